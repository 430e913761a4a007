//go:build !linux

package main

import "os"

func workingDir() (string, error) { return os.Getwd() }
