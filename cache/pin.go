package cache

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// pinSuffix ends the name of an empty file beside a sealed one that shall stay: neither eviction nor pruning take it,
// whoever shares the folder, until the pin is removed.
const pinSuffix = ".pin"

func pinName(id layout.ID) string { return objectName(id) + pinSuffix }

// Pin fills the file, waits until it is sealed, and keeps it until Unpin. It returns the path of the sealed file.
// fault.Space: it cannot be kept; fault.Unsupported: it is so small that it is held in memory alone.
func (e *Entry) Pin(ctx context.Context) (path string, err error) {
	if e.small {
		return "", fault.New(fault.Unsupported, "a file of %d bytes is held in memory, and has no file in the cache", e.size).Remedied("copy it where it is needed")
	}
	for range 3 { // evicted between the seal and the pin
		if err := e.Warm(ctx); err != nil {
			return "", err
		}
		if err := pin(e.c.disk, e.id); err != nil {
			return "", diskFault(err)
		}
		if _, err := e.c.disk.Stat(objectName(e.id)); err == nil {
			e.c.ledger.pin(e.id, true)
			return filepath.Join(e.c.dir, format, filepath.FromSlash(objectName(e.id))), nil
		}
		e.probe(always)
	}
	return "", fault.New(fault.Space, "the file was removed from the cache as often as it was made")
}

// Unpin lets a pinned file go when its space is needed. It is no error that it was not pinned.
func (e *Entry) Unpin() error {
	e.c.ledger.pin(e.id, false)
	if err := ignoreAbsent(e.c.disk.Remove(pinName(e.id))); err != nil {
		return diskFault(err)
	}
	return nil
}

func pin(d Disk, id layout.ID) error {
	f, err := d.Create(pinName(id))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return errors.Join(f.Close(), d.Sync(objectDir(id)))
}

// pinned reports whether a sealed file shall stay.
func pinned(d Disk, id layout.ID) bool {
	_, err := d.Stat(pinName(id))
	return err == nil
}
