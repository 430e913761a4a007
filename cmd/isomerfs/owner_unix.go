//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// ownerOfFile is the user who owns a file.
func ownerOfFile(info fs.FileInfo) (uid int, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}
