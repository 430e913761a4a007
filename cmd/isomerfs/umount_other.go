//go:build !linux

package main

import (
	"context"

	"github.com/isomerfs/isomerfs/fault"
)

func detach(ctx context.Context, point string, lazy bool) error {
	return fault.In(point, fault.New(fault.Unsupported, "mounts exist on Linux only"))
}

func usersOf(point string) []string { return nil }
