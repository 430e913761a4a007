//go:build linux

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// slowStore mounts folder a second time, as a file system whose reads below slow take their time: a disk that is far
// away. The child that serves it ends with the test.
func slowStore(t *testing.T, folderOf, slow string, each time.Duration) string {
	t.Helper()
	point := folder(t, "slow")
	cmd := program("/proc/self/exe", folderOf, point, slow, each.String())
	cmd.Env = append(cmd.Env, childVariable+"=slow")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Unmount(point, syscall.MNT_DETACH)
		syscall.Kill(cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	if bad := within(10*time.Second, func() string {
		if !isMounted(point, "self") {
			return "the slow file system is not there"
		}
		return ""
	}); bad != "" {
		t.Fatal(bad)
	}
	return point
}

// slowMain serves args[0] at args[1]; each read below args[2] takes args[3].
func slowMain(args []string) int {
	each, err := time.ParseDuration(args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	root := &fs.LoopbackRoot{Path: args[0]}
	//lint:ignore SA1019 the one way to have a node of one's own in a loopback without wrapping each child
	root.NewNode = func(data *fs.LoopbackRoot, parent *fs.Inode, name string, st *syscall.Stat_t) fs.InodeEmbedder {
		return &slowNode{LoopbackNode: fs.LoopbackNode{RootData: data}, below: args[2], each: each}
	}
	//lint:ignore SA1019 as above
	root.RootNode = root.NewNode(root, nil, "", nil)
	server, err := fs.Mount(args[1], root.RootNode, &fs.Options{MountOptions: fuse.MountOptions{
		FsName: "slow", Name: "slow", DirectMountStrict: true, DisabledCapabilities: fuse.CAP_PASSTHROUGH, MaxBackground: 256,
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	server.Wait()
	return 0
}

type slowNode struct {
	fs.LoopbackNode
	below string
	each  time.Duration
}

var _ = (fs.NodeOpener)((*slowNode)(nil))

func (n *slowNode) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	handle, _, no := n.LoopbackNode.Open(ctx, flags)
	if no != 0 {
		return nil, 0, no
	}
	path := n.Path(nil)
	if !strings.HasPrefix(path, filepath.Clean(n.below)+"/") {
		return &plainFile{handle}, 0, 0
	}
	return &slowFile{plainFile{handle}, n.each}, fuse.FOPEN_DIRECT_IO, 0
}

// plainFile hides what else a loopback file can do: passthrough would leave us out of its reads.
type plainFile struct{ in fs.FileHandle }

var (
	_ = (fs.FileReader)((*plainFile)(nil))
	_ = (fs.FileReleaser)((*plainFile)(nil))
)

func (f *plainFile) Read(ctx context.Context, p []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return f.in.(fs.FileReader).Read(ctx, p, off)
}

func (f *plainFile) Release(ctx context.Context) syscall.Errno {
	return f.in.(fs.FileReleaser).Release(ctx)
}

type slowFile struct {
	plainFile
	each time.Duration
}

func (f *slowFile) Read(ctx context.Context, p []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	time.Sleep(f.each)
	return f.plainFile.Read(ctx, p, off)
}
