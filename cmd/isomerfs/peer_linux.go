package main

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerOf is the user at the other end of a Unix socket, as the kernel saw it connect; nil where it can't tell.
func peerOf(c net.Conn) any {
	socket, ok := c.(*net.UnixConn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	var peer any
	raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			peer = int(cred.Uid)
		}
	})
	return peer
}
