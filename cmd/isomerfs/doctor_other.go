//go:build !linux

package main

import (
	"context"
	"runtime"
)

func examine(ctx context.Context, s *settings) []checked {
	return []checked{
		wrong("fuse", "isomerfs mounts on Linux only, and this is "+runtime.GOOS, "ls, show, verify and convert work without a mount"),
		wrong("fuse passthrough", "needs a mount", "Mount on a Linux host"),
	}
}
