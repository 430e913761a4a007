//go:build !linux

package main

import "github.com/isomerfs/isomerfs/fault"

func unmounted(string) error { return nil }

func deviceOf(point string) (string, error) {
	return "", fault.In(point, fault.New(fault.Unsupported, "mounts exist on Linux only"))
}
