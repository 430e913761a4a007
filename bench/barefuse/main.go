// Command barefuse mounts a folder with go-fuse's loopback and nothing else: the floor of an open through FUSE
// passthrough. It prints "ready" once the mount answers, and unmounts when its standard input closes.
//
//	barefuse FOLDER MOUNTPOINT
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: barefuse FOLDER MOUNTPOINT")
	}
	root, err := fs.NewLoopbackRoot(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	hour := time.Hour
	server, err := fs.Mount(os.Args[2], root, &fs.Options{
		EntryTimeout: &hour, AttrTimeout: &hour,
		MountOptions: fuse.MountOptions{FsName: os.Args[1], Name: "barefuse", DirectMountStrict: os.Getuid() == 0, MaxWrite: 1 << 20, DisableSplice: true},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	if err := server.Unmount(); err != nil {
		log.Fatal(err)
	}
}
