package checkpoint

import (
	"context"
	"fmt"
	"io"

	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/codecs/hf"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// The kinds of tokens, as llama.cpp numbers them (enum llama_token_type).
const (
	normal      = 1
	unknown     = 2
	control     = 3
	userDefined = 4
	unused      = 5
	byteToken   = 6
)

// lexicon is the tokens of a model in the order of their ids, as the file lists them: each list's bytes.
type lexicon struct {
	count  int64
	tokens []byte // each after its length
	scores []byte // float32; empty where the kind of tokenizer has none
	kinds  []byte // int32

	merged int64
	merges []byte // pairs with a space between, each after its length
}

// add appends a token.
func (l *lexicon) add(text string, kind int32) {
	l.tokens = gguf.AppendValue(l.tokens, text)
	l.kinds = gguf.AppendValue(l.kinds, kind)
	l.count++
}

// scored appends a token with its score.
func (l *lexicon) scored(text string, kind int32, score float32) {
	l.add(text, kind)
	l.scores = gguf.AppendValue(l.scores, score)
}

// pad is the token of an id that the tokenizer does not have.
func pad(id int64) string { return fmt.Sprintf("[PAD%d]", id) }

// maxVocabulary bounds the tokens of a file.
const maxVocabulary = 1 << 22

// small is the most bytes of lists that are held as they are. Those of larger ones are made again when they are read.
const small = 64 << 10

// list puts the lists of a lexicon. make makes it of the files of a folder, and is called again where the lists are too
// large to be held; settings is everything else that it depends on.
func (c *converter) list(settings string, make func(ctx context.Context, f *hf.Folder) (*lexicon, error)) (*lexicon, error) {
	f := c.folder.Again()
	l, err := make(c.ctx, f)
	if err != nil {
		return nil, err
	}
	parts := [][]byte{l.tokens, l.scores, l.kinds, l.merges}
	var size int64
	for _, p := range parts {
		size += int64(len(p))
	}
	var file *layout.File
	if size <= small {
		var all []byte
		for _, p := range parts {
			all = append(all, p...)
		}
		file = layout.Bytes(all)
	} else {
		again := c.folder.Again()
		file, err = layout.New(layout.Materialized{
			Name: "tokens " + settings + "/1", Length: size, In: f.Used(),
			Run: func(ctx context.Context, _ layout.Workspace, w io.WriterAt) error {
				l, err := make(ctx, again.Again())
				if err != nil {
					return err
				}
				off := int64(0)
				for _, p := range [][]byte{l.tokens, l.scores, l.kinds, l.merges} {
					if _, err := w.WriteAt(p, off); err != nil {
						return err
					}
					off += int64(len(p))
				}
				if off != size {
					return fault.New(fault.Changed, "the tokenizer makes %d bytes of tokens, and %d when it was planned", off, size)
				}
				return nil
			},
		})
		if err != nil {
			return nil, err
		}
	}
	off := int64(0)
	for i, x := range []struct {
		key   string
		elem  gguf.ValueType
		count int64
	}{
		{"tokens", gguf.String, l.count}, {"scores", gguf.Float32, l.count}, {"token_type", gguf.Int32, l.count}, {"merges", gguf.String, l.merged},
	} {
		n := int64(len(parts[i]))
		if n == 0 {
			continue
		}
		data, err := file.Slice(off, n)
		if err != nil {
			return nil, err
		}
		c.put(gguf.LargeList("tokenizer.ggml."+x.key, x.elem, x.count, data))
		off += n
	}
	l.tokens, l.scores, l.kinds, l.merges = nil, nil, nil, nil
	return l, nil
}
