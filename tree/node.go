package tree

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"path"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/store"
)

// place is the kind of folder that a node is.
type place uint8

const (
	nowhere place = iota // no folder
	space                // the root, or a namespace
	aModel
	control // .isomerfs
	inside  // a version's folder, and every folder below it
)

// where is how tree finds its way from a node. A folder below a version is found again by its path, so that a node
// holds no plan: the kernel may keep a million nodes.
type where struct {
	place place
	read  fs.FileMode // of a namespace or model: the read bits that the folders above leave
	v     *version    // of everything below a model
	below string      // the path below the version's folder
}

const (
	readAll   fs.FileMode = 0o444
	folderAll fs.FileMode = 0o555
	linkAll   fs.FileMode = 0o777
)

// rootIno is the number that FUSE gives to the root of a mount.
const rootIno = 1

// inode is the number of a path: 63 bits of its hash, so that it is the same in every mount. That two of a million
// paths have one number happens in one of some twenty million stores.
func inode(p string) uint64 {
	if p == "" {
		return rootIno
	}
	sum := sha256.Sum256([]byte("isomerfs inode 1\x00" + p))
	n := binary.LittleEndian.Uint64(sum[:]) >> 1
	if n <= rootIno { // 0 is no inode
		n += rootIno + 1
	}
	return n
}

// nanoseconds is a fraction of a second that stands for an ID.
func nanoseconds(id layout.ID) time.Duration {
	return time.Duration(binary.LittleEndian.Uint64(id[:]) % uint64(time.Second))
}

// pass is the read bits of read that are left below a folder of this mode: who may not enter it reads nothing in it.
func pass(read, mode fs.FileMode) fs.FileMode {
	return read & ((mode & 0o111) << 2)
}

// attr is the attributes of something at a path, with the overrides.
func (t *Tree) attr(p string, mode fs.FileMode, uid, gid uint32, when time.Time, size int64) Attr {
	if t.o.UID != nil {
		uid = *t.o.UID
	}
	if t.o.GID != nil {
		gid = *t.o.GID
	}
	return Attr{Ino: inode(p), Mode: mode &^ fs.FileMode(t.o.Umask), UID: uid, GID: gid, ModTime: when, Changed: when, Size: size}
}

// space is the node of a namespace or model.
func (t *Tree) space(d *store.Dir, read fs.FileMode) *Node {
	n := &Node{
		Name: path.Base(d.Path), Path: d.Path, Kind: Folder,
		Attr: t.attr(d.Path, folderAll, d.Info.UID, d.Info.GID, d.Info.ModTime, 0),
		in:   where{place: space, read: read},
	}
	if d.Path == "" {
		n.Name = ""
	}
	if d.Model {
		n.in.place = aModel
	}
	return n
}

// link is the node of a name in a folder that leads to a sibling.
func (t *Tree) link(dir *Node, name, target string) *Node {
	p := join(dir.Path, name)
	n := &Node{Name: name, Path: p, Kind: Link, Target: target, Gen: dir.Gen, Fixed: dir.Fixed}
	n.Attr = t.attr(p, linkAll, dir.Attr.UID, dir.Attr.GID, dir.Attr.ModTime, int64(len(target)))
	return n
}

// join is a path below the root and a path below that.
func join(dir, name string) string {
	switch {
	case dir == "":
		return name
	case name == "":
		return dir
	}
	return dir + "/" + name
}

// absent is the fault of a path that leads nowhere.
func absent(p, format string, args ...any) *fault.Error {
	err := fault.New(fault.Absent, format, args...)
	err.Path = p
	return err
}

// absentFor is the fault of a view that can't be made: it reads like its cause and is Absent, but where a policy
// refuses what could be made.
func absentFor(p string, cause error) *fault.Error {
	kind := fault.Absent
	if errors.Is(cause, errRefused) {
		kind = fault.KindOf(cause)
	}
	return &fault.Error{Kind: kind, Path: p, Off: -1, Reason: fault.Reason(cause), Remedy: fault.Remedy(cause), Err: cause}
}
