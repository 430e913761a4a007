package cache

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io/fs"
	"slices"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// Item is a sealed file of a cache directory.
type Item struct {
	Name   string // what Remove takes: the layout's ID in hexadecimal
	Path   string // whose view it was when it was sealed
	Size   int64  // bytes
	ID     layout.ID
	Digest string // SHA-256 in hexadecimal, "" while it is not known
	Sealed time.Time
	Used   time.Time // about when it was last opened
	Pinned bool      // stays whatever room is needed
}

// List is the sealed files of a cache directory, by path; none for a directory that does not exist.
func List(dir string) ([]Item, error) {
	d, err := openDisk(dir, false)
	if err != nil {
		return nil, commandFault(dir, err)
	}
	items, err := sealedItems(d)
	return items, commandFault(dir, err)
}

// commandFault is an error of a command that was given a directory. One that does not exist is an empty cache.
func commandFault(dir string, err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var e *fault.Error
	if errors.As(err, &e) || errors.Is(err, context.Canceled) {
		return err
	}
	return fault.In(dir, diskFault(err))
}

func sealedItems(d Disk) ([]Item, error) {
	var items []Item
	err := eachFolder(d, func(_ string, files []Info) error {
		for _, f := range files {
			kind, id := classify(f.Name)
			if kind != sealedFile || f.Dir {
				continue
			}
			item := Item{Name: f.Name, Size: f.Size, ID: id, Used: f.Used, Pinned: pinned(d, id)}
			if rec, err := loadRecord(d, id, false); err == nil {
				item.Path, item.Digest, item.Sealed = rec.path, rec.sha256(), rec.made
				if info, err := d.Stat(metaName(id)); err == nil {
					item.Used = info.Used
				}
			}
			items = append(items, item)
		}
		return nil
	})
	slices.SortFunc(items, func(a, b Item) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Name, b.Name)) })
	return items, err
}

// Remove removes a sealed file, whoever uses it: those who have it open read on. fault.Absent: there is none of that
// name.
func Remove(dir, name string) error {
	absent := fault.New(fault.Absent, "the cache %s has no file %q", dir, name).Remedied("see isomerfs cache ls for the names")
	d, err := openDisk(dir, false)
	if errors.Is(err, fs.ErrNotExist) {
		return absent
	}
	if err != nil {
		return commandFault(dir, err)
	}
	id, ok := parseID(name)
	if !ok {
		return absent
	}
	if _, err := d.Stat(objectName(id)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return absent
		}
		return commandFault(dir, err)
	}
	_, err = removeSealed(d, id, true)
	return commandFault(dir, err)
}

// Prune removes the sealed files that live does not want, unless somebody uses them, and all that is of no use: parts
// of daemons that are gone, records without a file, other versions of the format. It says how many bytes went.
func Prune(dir string, live func(Item) bool) (freed int64, err error) {
	d, err := openDisk(dir, false)
	if err != nil {
		return 0, commandFault(dir, err)
	}
	for _, path := range otherFormats(dir) {
		n, err := removeFormat(path)
		freed += n
		if err != nil {
			return freed, commandFault(dir, err)
		}
	}
	n, err := prune(d, live)
	return freed + n, commandFault(dir, err)
}

func prune(d Disk, live func(Item) bool) (freed int64, err error) {
	if freed, err = clean(d); err != nil {
		return freed, err
	}
	items, err := sealedItems(d)
	if err != nil {
		return freed, err
	}
	for _, item := range items {
		if live(item) {
			continue
		}
		ok, err := removeSealed(d, item.ID, false)
		if err != nil {
			return freed, err
		}
		if ok {
			freed += item.Size
		}
	}
	return freed, nil
}

// Verify reads every sealed file of a cache directory and compares it with its record. report is called for each, with
// what is wrong or nil.
func Verify(ctx context.Context, dir string, report func(Item, error)) error {
	d, err := openDisk(dir, false)
	if err != nil {
		return commandFault(dir, err)
	}
	return commandFault(dir, verify(ctx, d, report))
}

func verify(ctx context.Context, d Disk, report func(Item, error)) error {
	items, err := sealedItems(d)
	if err != nil {
		return err
	}
	buf := make([]byte, block)
	for _, item := range items {
		err := verifyOne(ctx, d, item.ID, buf)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := d.Stat(objectName(item.ID)); errors.Is(err, fs.ErrNotExist) {
				continue // evicted meanwhile
			}
			err = fault.New(fault.Missing, "its record is missing")
		}
		report(item, err)
	}
	return nil
}

func verifyOne(ctx context.Context, d Disk, id layout.ID, buf []byte) error {
	rec, err := loadRecord(d, id, true)
	if err != nil {
		return err
	}
	f, err := d.Open(objectName(id))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size != rec.size {
		return fault.At(fault.Truncated, min(info.Size, rec.size), "the file has %d bytes and was sealed with %d", info.Size, rec.size)
	}
	for off := int64(0); off < rec.size; off += block {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := buf[:min(block, rec.size-off)]
		if err := readFull(f, b, off); err != nil {
			return fault.At(fault.IO, off, "%w", err)
		}
		if got := checksum(b); got != rec.sums[off/block] {
			return badBlock(off, got, rec.sums[off/block])
		}
	}
	return nil
}

func checksum(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

func badBlock(off int64, got, want uint32) error {
	return fault.At(fault.Checksum, off, "the block from here has CRC-32 %08x and was sealed with %08x", got, want)
}

// parseID is the ID that String wrote.
func parseID(text string) (id layout.ID, ok bool) {
	if len(text) != 2*len(id) {
		return id, false
	}
	if _, err := hex.Decode(id[:], []byte(text)); err != nil || id.String() != text {
		return id, false
	}
	return id, true
}
