package hf

import (
	"context"
	"errors"
	"io"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// The kinds of a piece, as sentencepiece_model.proto numbers them.
const (
	PieceNormal      = 1
	PieceUnknown     = 2
	PieceControl     = 3
	PieceUserDefined = 4
	PieceUnused      = 5
	PieceByte        = 6
)

// maxSentencePiece is the largest model that is read, in bytes; the largest published ones have some five megabytes.
const maxSentencePiece = 64 << 20

// SentencePiece is a model of SentencePiece: its pieces with their scores and kinds, and how it normalizes.
type SentencePiece struct {
	Vocabulary *Vocabulary // the id of a piece is its place
	Unigram    bool        // else BPE, words or characters

	Charsmap         []byte // the precompiled table of the normalizer; empty where there is none
	AddPrefix        bool   // a space before the text
	RemoveExtraSpace bool
}

// SentencePiece reads a model of a folder; nil where there is none.
func (f *Folder) SentencePiece(ctx context.Context, name string) (*SentencePiece, error) {
	file, err := f.File(name)
	if file == nil || err != nil {
		return nil, err
	}
	m, err := ReadSentencePiece(ctx, nil, file)
	return m, fault.In(f.path(name), err)
}

// ReadSentencePiece reads a model: a ModelProto of sentencepiece_model.proto.
func ReadSentencePiece(ctx context.Context, ws layout.Workspace, file *layout.File) (*SentencePiece, error) {
	if file.Size() > maxSentencePiece {
		return nil, fault.New(fault.Limit, "%d bytes, and the most that is read of a model of SentencePiece is %d", file.Size(), maxSentencePiece)
	}
	b := make([]byte, file.Size())
	if _, err := file.ReadAt(ctx, ws, b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	m := &SentencePiece{Vocabulary: newVocabulary(), Unigram: true, AddPrefix: true, RemoveExtraSpace: true}
	m.Vocabulary.Scores = []float32{}
	err := fields(b, 0, func(number protowire.Number, kind protowire.Type, at int64, inner []byte, _ uint64) error {
		switch {
		case number == 1 && kind == protowire.BytesType:
			return m.piece(inner, at)
		case number == 2 && kind == protowire.BytesType: // trainer_spec
			return fields(inner, at, func(number protowire.Number, kind protowire.Type, _ int64, _ []byte, n uint64) error {
				if number == 3 && kind == protowire.VarintType {
					m.Unigram = n == 1
				}
				return nil
			})
		case number == 3 && kind == protowire.BytesType: // normalizer_spec
			return fields(inner, at, func(number protowire.Number, kind protowire.Type, _ int64, inner []byte, n uint64) error {
				switch {
				case number == 2 && kind == protowire.BytesType:
					m.Charsmap = inner
				case number == 3 && kind == protowire.VarintType:
					m.AddPrefix = n != 0
				case number == 4 && kind == protowire.VarintType:
					m.RemoveExtraSpace = n != 0
				}
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if m.Vocabulary.Len() == 0 {
		return nil, fault.New(fault.Malformed, "a model of SentencePiece without pieces")
	}
	m.Vocabulary.done()
	return m, nil
}

// piece takes one SentencePiece message.
func (m *SentencePiece) piece(b []byte, at int64) error {
	var text []byte
	score, sort := float32(0), uint64(PieceNormal)
	err := fields(b, at, func(number protowire.Number, kind protowire.Type, _ int64, inner []byte, n uint64) error {
		switch {
		case number == 1 && kind == protowire.BytesType:
			text = inner
		case number == 2 && kind == protowire.Fixed32Type:
			score = math.Float32frombits(uint32(n))
		case number == 3 && kind == protowire.VarintType:
			sort = n
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case len(text) == 0:
		return fault.At(fault.Malformed, at, "piece %d has no text", m.Vocabulary.Len())
	case !utf8.Valid(text):
		return fault.At(fault.Malformed, at, "piece %d is not UTF-8", m.Vocabulary.Len())
	case sort < PieceNormal || sort > PieceByte:
		return fault.At(fault.Malformed, at, "piece %d is of kind %d", m.Vocabulary.Len(), sort)
	}
	m.Vocabulary.Scores = append(m.Vocabulary.Scores, score)
	m.Vocabulary.Kinds = append(m.Vocabulary.Kinds, byte(sort))
	return placed(m.Vocabulary.add(int64(m.Vocabulary.Len()), text), at)
}

// fields calls field with each field of a message whose bytes lie at an offset of the file: its number and type, where
// its value lies, and the value: the bytes of a BytesType, the number of a VarintType or a fixed one.
func fields(b []byte, off int64, field func(number protowire.Number, kind protowire.Type, at int64, inner []byte, n uint64) error) error {
	for at := 0; at < len(b); {
		number, kind, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return fault.At(fault.Malformed, off+int64(at), "this is no model of SentencePiece: %w", protowire.ParseError(n))
		}
		begin := at + n
		size := protowire.ConsumeFieldValue(number, kind, b[begin:])
		if size < 0 {
			return fault.At(fault.Malformed, off+int64(begin), "this is no model of SentencePiece: %w", protowire.ParseError(size))
		}
		var inner []byte
		var value uint64
		where := begin
		switch kind {
		case protowire.BytesType:
			inner, _ = protowire.ConsumeBytes(b[begin:])
			where = begin + size - len(inner)
		case protowire.VarintType:
			value, _ = protowire.ConsumeVarint(b[begin:])
		case protowire.Fixed32Type:
			n, _ := protowire.ConsumeFixed32(b[begin:])
			value = uint64(n)
		}
		if err := field(number, kind, off+int64(where), inner, value); err != nil {
			return err
		}
		at = begin + size
	}
	return nil
}
