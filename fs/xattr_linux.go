package fs

import (
	"context"
	"fmt"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/isomerfs/isomerfs/cache"
	"github.com/isomerfs/isomerfs/fault"
)

// prefix is before the name of each attribute that there is.
const prefix = "user.isomerfs."

// GetXAttr answers user.isomerfs.NAME of the files of a version, and ENODATA for all else at once: ls -l asks each
// file for security labels and access lists.
func (v *volume) GetXAttr(cancel <-chan struct{}, h *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	n := v.inodes.get(h.NodeId)
	if n == nil {
		return 0, v.answer(opGetxattr, syscall.ESTALE)
	}
	key, ours := strings.CutPrefix(name, prefix)
	if !ours {
		return 0, v.answer(opGetxattr, syscall.ENODATA)
	}
	ctx := v.asked(cancel, h)
	value, ok := v.attribute(ctx, n, key)
	ctx.end()
	switch {
	case !ok:
		return 0, v.answer(opGetxattr, syscall.ENODATA)
	case len(value) > len(dest): // a caller that asks for the length alone has no room at all, and is no error
		v.count.ops[opGetxattr].Add(1)
		return uint32(len(value)), fuse.ERANGE
	}
	copy(dest, value)
	return uint32(len(value)), v.answer(opGetxattr, 0)
}

// attribute is the value of user.isomerfs.KEY:
//
//	state     source, memory, virtual, filling, ready, building or failed
//	progress  bytes that are computed, of how many: "1048576 4194304"
//	sha256    of the bytes, in hexadecimal, where it is known without reading them
//	error     why the last open or read failed
//
// and what the tree knows: size_exact recipe source dtype shape name.
func (v *volume) attribute(ctx context.Context, n *inode, key string) (string, bool) {
	f := n.node.Load().File
	if f == nil {
		return "", false
	}
	switch key {
	case "error":
		return v.failure(n)
	case "state":
		switch {
		case f.Layout != nil:
			return v.cache.State(f.Layout.ID(), f.Layout).String(), true
		case f.Source != nil:
			return "source", true
		}
		return "", false
	case "progress":
		if f.Layout == nil {
			return "", false
		}
		e := v.cache.get(f.Layout, f.Path)
		defer e.Release()
		done, size := e.Progress()
		return fmt.Sprintf("%d %d", done, size), true
	case "sha256":
		if f.Layout != nil {
			if digest, ok := v.cache.Digest(f.Layout.ID()); ok {
				return digest, true
			}
		}
	}
	value, ok := f.XAttr[key]
	return value, ok
}

// failure is why n can't be read, as user.isomerfs.error says it.
func (v *volume) failure(n *inode) (string, bool) {
	n.mu.Lock()
	err := n.err
	n.mu.Unlock()
	if f := n.node.Load().File; err == nil && f.Layout != nil && v.cache.State(f.Layout.ID(), f.Layout) == cache.Failed {
		e := v.cache.get(f.Layout, f.Path)
		err = e.Err()
		e.Release()
	}
	if err == nil {
		return "", false
	}
	text := fault.Reason(err)
	if remedy := fault.Remedy(err); remedy != "" {
		text += "; " + remedy
	}
	return text, true
}

// ListXAttr lists nothing, so that no copy carries a state along that it does not have.
func (v *volume) ListXAttr(<-chan struct{}, *fuse.InHeader, []byte) (uint32, fuse.Status) {
	return 0, v.answer(opListxattr, 0)
}
