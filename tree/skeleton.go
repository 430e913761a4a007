package tree

import (
	"context"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
	"github.com/isomerfs/isomerfs/store"
)

type where struct{}

type Options struct {
	Store    store.Store
	Program  string
	UID, GID *uint32
	Umask    uint32
	State    func(*layout.File) string
	Digest   func(layout.ID) (string, bool)
	Live     map[string]func() ([]byte, error)
}

type Tree struct{}

type Shown struct {
	Path, Format string
	Tensors      []TensorInfo
	Inputs       []Port
	Outputs      []Port
	Metadata     map[string]string
}

type TensorInfo struct {
	Name   string
	DType  model.DType
	Shape  []int64
	NBytes int64
}

type Port struct {
	Name, DType string
	Shape       []any
}

type Finding struct {
	Path          string
	OK            bool
	Check, Detail string
}

var errNone = fault.New(fault.Unsupported, "none")

func New(Options) *Tree                                                         { return &Tree{} }
func (*Tree) Root(ctx context.Context) (*Node, error)                           { return nil, errNone }
func (*Tree) Lookup(ctx context.Context, dir *Node, name string) (*Node, error) { return nil, errNone }
func (*Tree) List(ctx context.Context, dir *Node) ([]Entry, error)              { return nil, errNone }
func (*Tree) Resolve(ctx context.Context, path string) (*Node, error)           { return nil, errNone }
func (*Tree) Walk(ctx context.Context, n *Node, visit func(*Node) error) error  { return errNone }
func (*Tree) Why(ctx context.Context, path string) (Answer, error)              { return Answer{}, errNone }
func (*Tree) Model(ctx context.Context, n *Node) (*Shown, error)                { return nil, errNone }
func (*Tree) Verify(ctx context.Context, n *Node, report func(Finding)) error   { return errNone }
func (*Tree) Watch(ctx context.Context, changed func(path string)) error        { return errNone }
