// Package cache keeps computed bytes on disk.
package cache

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

type Disk interface{}

type Options struct {
	Dir     string
	Limit   int64
	Disk    Disk
	Workers int
	Memory  int64
	Fills   int
	Log     *slog.Logger
}

type (
	Cache struct{}
	Entry struct{}
	State uint8
	Fill  struct {
		Path       string
		Done, Size int64
	}
	Usage struct {
		Dir         string
		Used, Limit int64
		Files       int
	}
	Item struct {
		Name, Path string
		Size       int64
	}
)

const (
	Virtual State = iota
	Memory
	Filling
	Ready
	Failed
)

func (s State) String() string { return "virtual" }

var errNone = fault.New(fault.Unsupported, "none")

func Open(Options) (*Cache, error)                      { return nil, errNone }
func (*Cache) Close() error                             { return nil }
func (*Cache) Get(f *layout.File, name string) *Entry   { return &Entry{} }
func (*Cache) State(id layout.ID, f *layout.File) State { return Virtual }
func (*Cache) Digest(id layout.ID) (string, bool)       { return "", false }
func (*Cache) Fills() []Fill                            { return nil }
func (*Cache) Usage() Usage                             { return Usage{} }
func (*Cache) Budget() int64                            { return 1 << 20 }
func (*Cache) Keep(ctx context.Context, id layout.ID, size int64, build func(context.Context, io.WriterAt) error) (layout.Source, error) {
	return nil, errNone
}
func (*Entry) Release()                                                      {}
func (*Entry) ReadAt(ctx context.Context, p []byte, off int64) (int, error)  { return 0, errNone }
func (*Entry) Prepare(ctx context.Context) error                             { return nil }
func (*Entry) Warm(ctx context.Context) error                                { return nil }
func (*Entry) Complete() (*os.File, bool)                                    { return nil, false }
func (*Entry) State() State                                                  { return Virtual }
func (*Entry) Progress() (done, size int64)                                  { return 0, 0 }
func (*Entry) Err() error                                                    { return nil }
func (*Entry) OnChange(func())                                               {}
func List(dir string) ([]Item, error)                                        { return nil, errNone }
func Remove(dir, name string) error                                          { return errNone }
func Prune(dir string, live func(Item) bool) (freed int64, err error)        { return 0, errNone }
func Verify(ctx context.Context, dir string, report func(Item, error)) error { return errNone }
