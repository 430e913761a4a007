package store

import (
	"crypto/sha256"
	"encoding/binary"
	"io/fs"
	"time"

	"github.com/isomerfs/isomerfs/layout"
)

// identity is what tells whether a file is still the one that was seen. The change time is in it: it is the one that
// an ordinary user cannot set back.
type identity struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // nanoseconds since 1970
}

// status is what stat says of a file or folder.
type status struct {
	identity
	mode     fs.FileMode // type and permission bits
	uid, gid uint32
}

func (s status) info() Info {
	return Info{Mode: s.mode.Perm(), UID: s.uid, GID: s.gid, ModTime: time.Unix(0, s.mtime), Size: s.size}
}

// bytesID identifies the bytes of a file by where and when they were seen; filesystem stands for its device, whose
// number may be another one after a restart.
func (id identity) bytesID(filesystem string) layout.ID {
	h := sha256.New()
	h.Write([]byte("isomerfs stored file 1\n"))
	h.Write(id.appendTo([]byte(filesystem + "\n")))
	var sum layout.ID
	h.Sum(sum[:0])
	return sum
}

// appendTo appends the numbers of an identity without the device's.
func (id identity) appendTo(b []byte) []byte {
	for _, n := range []uint64{id.ino, uint64(id.size), uint64(id.mtime), uint64(id.ctime)} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return b
}

// blobID identifies bytes by the name of a content-addressed blob. The size is in it, so that a blob that was cut
// short is not taken for the whole one.
func blobID(name string, size int64) layout.ID {
	h := sha256.New()
	h.Write([]byte("isomerfs blob 1\n" + name + "\n"))
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(size)))
	var sum layout.ID
	h.Sum(sum[:0])
	return sum
}
