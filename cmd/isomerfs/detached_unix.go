//go:build unix

package main

import "syscall"

// detached is how a process is started that outlives the terminal.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
