package main

import (
	"context"
	"errors"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/tree"
)

// The JSON that commands print and daemons answer. Every key is always there: null where nothing is known, [] where
// there is none.

// listed is one file of `isomerfs ls`.
type listed struct {
	Path  string `json:"path"`
	Size  int64  `json:"size"`
	Exact bool   `json:"exact"`
	State string `json:"state"`
}

// reasoned is the answer of `isomerfs why`.
type reasoned struct {
	Path      string  `json:"path"`
	Available bool    `json:"available"`
	Reason    *string `json:"reason"`
	Remedy    *string `json:"remedy"`
}

// mounted is one mount of `isomerfs status`.
type mounted struct {
	Mountpoint  string      `json:"mountpoint"`
	Store       string      `json:"store"`
	PID         *int        `json:"pid"`
	Passthrough passthrough `json:"passthrough"`
	Fills       []filling   `json:"fills"`
	Cache       usage       `json:"cache"`
	Version     *string     `json:"version"`
	Since       *string     `json:"since"` // RFC 3339
	Log         *string     `json:"log"`
}

type passthrough struct {
	Cache  *bool   `json:"cache"`
	Store  *bool   `json:"store"`
	Reason *string `json:"reason"`
}

type filling struct {
	Path string `json:"path"`
	Done int64  `json:"done"`
	Size int64  `json:"size"`
}

type usage struct {
	Dir   *string `json:"dir"`
	Used  *int64  `json:"used"`
	Limit *int64  `json:"limit"`
	Files *int    `json:"files"`
}

// known is a pointer to v, and null in JSON for the zero value.
func known[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// given is a pointer to v.
func given[T any](v T) *T { return &v }

// answers answer questions about the models of one tree. That of a mount's daemon knows the cache; a command without a
// mount makes its own.
type answers struct{ tree *tree.Tree }

// ls calls found with every stored file and every view at and below path.
func (s *answers) ls(ctx context.Context, path string, found func(listed) error) error {
	node, err := s.tree.Resolve(ctx, path)
	if err != nil {
		return err
	}
	return s.files(ctx, node, func(n *tree.Node) error { return found(s.listed(n)) })
}

// lsOf is ls of one stored file and what can be made of it alone.
func (s *answers) lsOf(ctx context.Context, stored string, found func(listed) error) error {
	file, err := s.tree.Resolve(ctx, stored)
	if err != nil {
		return err
	}
	if err := found(s.listed(file)); err != nil {
		return err
	}
	return s.files(ctx, s.tree.Version(file), func(n *tree.Node) error {
		if n.File.Source != nil && n.Path == file.Path {
			return nil
		}
		if made, err := s.tree.MadeOf(ctx, n, file); err != nil || !made {
			return err
		}
		return found(s.listed(n))
	})
}

// files visits every stored file and every view at and below a node.
func (s *answers) files(ctx context.Context, node *tree.Node, visit func(*tree.Node) error) error {
	return s.tree.Walk(ctx, node, func(n *tree.Node) error {
		if n.Kind != tree.Regular || n.File == nil || n.File.Document != nil {
			return nil
		}
		return visit(n)
	})
}

func (s *answers) listed(n *tree.Node) listed {
	return listed{n.Path, n.Attr.Size, n.File.Exact, s.tree.State(n)}
}

// why says whether what path names is there, and if not, why not.
func (s *answers) why(ctx context.Context, path string) (reasoned, error) {
	answer, err := s.tree.Why(ctx, path)
	if err != nil {
		return reasoned{}, err
	}
	return reasoned{answer.Path, answer.Available, known(answer.Reason), known(answer.Remedy)}, nil
}

// refusal is an error on its way from a daemon to a command.
type refusal struct {
	Kind   fault.Kind `json:"kind"`
	Path   string     `json:"path"`
	Off    int64      `json:"off"`
	Reason string     `json:"reason"`
	Remedy string     `json:"remedy"`
}

func newRefusal(err error) *refusal {
	var e *fault.Error
	if !errors.As(err, &e) {
		return &refusal{Off: -1, Reason: err.Error()}
	}
	return &refusal{e.Kind, e.Path, e.Off, e.Reason, e.Remedy}
}

func (r *refusal) err() error {
	return &fault.Error{Kind: r.Kind, Path: r.Path, Off: r.Off, Reason: r.Reason, Remedy: r.Remedy}
}
