//go:build !linux

package main

import "os"

func replaceStderr(*os.File) error { return nil }
