//go:build !linux

package cache

import "os"

func renameNew(from, to string) error { return linkNew(from, to) }

func startWriting(*os.File, int64, int64) error { return nil }

func yield() {}
