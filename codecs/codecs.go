// Package codecs is the table of model formats that can be read.
//
// To add a format, write a folder below this one that exports a Read function, and add a line to Formats. The order of
// the lines is the order in which a file is tried.
package codecs

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/codecs/imports"
	"github.com/isomerfs/isomerfs/codecs/npy"
	"github.com/isomerfs/isomerfs/codecs/onnx"
	"github.com/isomerfs/isomerfs/codecs/packed"
	"github.com/isomerfs/isomerfs/codecs/safetensors"
	"github.com/isomerfs/isomerfs/codecs/torch"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// Format is a model format that can be read.
type Format struct {
	Name string // as metadata.json's format

	// Match reports whether a file of this name, below its version's folder, is a model of this format.
	Match func(name string) bool

	// Perhaps reports whether a file of this name is a model of this format where Sniff says so of its first bytes: its
	// ending belongs to others too. nil for a format without such names.
	Perhaps func(name string) bool

	// Sniff reports whether a file that begins with these bytes (HeadSize of them, fewer in a shorter file) may be of
	// this format. It is asked about names that no format matches.
	Sniff func(head []byte) bool

	// Labels are what the stem of a model's file may end in that says how it is quantized, beside the usual precisions:
	// from the most bits to the fewest.
	Labels []string

	// Shards reports whether a model of this format may lie in several files, with an index.
	Shards bool

	// Read reads the model whose file is name: its header and what the header leads to, never a tensor's bytes. The
	// model's Files are all it consists of: none of them is a model of its own.
	Read func(ctx context.Context, files layout.Files, name string) (*model.Model, error)
}

// Formats is the table, in the order of preference.
var Formats = []Format{
	{Name: safetensors.Format, Match: safetensors.Match, Sniff: safetensors.Sniff, Shards: true, Read: checkpoint(safetensors.Read)},
	{Name: onnx.Format, Match: onnx.Match, Sniff: onnx.Sniff, Read: stored(onnx.Read)},
	{Name: gguf.Format, Match: gguf.Match, Sniff: gguf.Sniff, Labels: gguf.Labels, Read: stored(gguf.Read)},
	{Name: torch.ZeROFormat, Match: torch.MatchZeRO, Sniff: never, Read: stored(torch.ReadZeRO)},
	{Name: torch.Format, Match: torch.Match, Perhaps: torch.Perhaps, Sniff: torch.Sniff, Shards: true, Read: checkpoint(sharded(torch.Read, torch.ReadShard))},
	{Name: torch.ScriptFormat, Match: torch.MatchScript, Sniff: torch.SniffScript, Read: stored(torch.ReadScript)},
	{Name: torch.DistributedFormat, Match: torch.MatchDistributed, Sniff: never, Read: stored(torch.ReadDistributed)},
	{Name: npy.ArchiveFormat, Match: npy.MatchArchive, Sniff: npy.SniffArchive, Read: stored(npy.ReadArchive)},
	{Name: npy.Format, Match: npy.Match, Sniff: npy.Sniff, Read: stored(npy.Read)},
}

// never is the Sniff of what is known by its name alone.
func never([]byte) bool { return false }

// HeadSize is how many bytes of a file's beginning Sniff looks at.
const HeadSize = 512

type read = func(ctx context.Context, files layout.Files, name string) (*model.Model, error)

// checkpoint is a read of a format that stores quantized weights in tensors of their own: config.json beside it says
// how.
func checkpoint(r read) read {
	return func(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
		m, err := stored(r)(ctx, files, name)
		if err == nil {
			m.Quantization = packed.Config(ctx, files, name)
		}
		return m, err
	}
}

// sharded is a read that takes the index of several files, each of which shard reads, beside files by themselves.
func sharded(r, shard read) read {
	return func(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
		if strings.HasSuffix(strings.ToLower(name), ".index.json") {
			return safetensors.ReadIndex(ctx, files, name, shard)
		}
		return r(ctx, files, name)
	}
}

// stored is a read that says of a file that was never downloaded that it was not, and of a model what lies beside it.
func stored(r read) read {
	return func(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
		m, err := r(ctx, files, name)
		if err == nil {
			m.Beside, m.Memo = files, &model.Memo{}
		}
		if err == nil || !fault.KindOf(err).Broken() && !errors.Is(err, fault.Limit) {
			return m, err
		}
		const pointer = "version https://git-lfs.github.com/spec/"
		broken := name // or one of its shards
		var e *fault.Error
		if errors.As(err, &e) && e.Path != "" {
			broken = e.Path
		}
		if head, herr := Head(ctx, files, broken); herr == nil && strings.HasPrefix(string(head), pointer) {
			return nil, fault.In(broken, fault.New(fault.Missing, "this is a Git LFS pointer: its file was not downloaded").
				Remedied("run git lfs pull where the model was cloned"))
		}
		return nil, err
	}
}

// Head is the first HeadSize bytes of a file, all of a shorter one.
func Head(ctx context.Context, files layout.Files, name string) ([]byte, error) {
	src, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	head := make([]byte, min(HeadSize, src.Size()))
	n, err := src.ReadAt(ctx, head, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	return head[:n], nil
}

// Pickles goes through the pickles that a stored file holds, whatever its format, for what Python would import to load
// them. It runs nothing.
func Pickles(ctx context.Context, files layout.Files, name string) (*imports.Found, error) {
	return imports.Read(ctx, files, name)
}

// ByName is the format of a file by its name; nil where no format matches it.
func ByName(name string) *Format {
	for i := range Formats {
		if Formats[i].Match(name) {
			return &Formats[i]
		}
	}
	return nil
}

// Of is the format of a file, by its name and, where that says nothing, by its first bytes. A file of no format that
// is read here is Unsupported.
func Of(ctx context.Context, files layout.Files, name string) (*Format, error) {
	if f := ByName(name); f != nil {
		return f, nil
	}
	head, err := Head(ctx, files, name)
	if err != nil {
		return nil, err
	}
	for i := range Formats {
		if Formats[i].Sniff(head) {
			return &Formats[i], nil
		}
	}
	return nil, fault.In(name, fault.New(fault.Unsupported, "neither its name nor its first bytes are those of a model format that is read here").
		Remedied("isomerfs formats lists those that are"))
}
