package hf

import (
	"math"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/isomerfs/isomerfs/fault"
)

// piece is a SentencePiece message in a ModelProto; kind 0 leaves the kind out.
func piece(text string, score float32, kind uint64) []byte {
	var b []byte
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	b = protowire.AppendString(b, text)
	b = protowire.AppendTag(b, 2, protowire.Fixed32Type)
	b = protowire.AppendFixed32(b, math.Float32bits(score))
	if kind > 0 {
		b = protowire.AppendTag(b, 3, protowire.VarintType)
		b = protowire.AppendVarint(b, kind)
	}
	return message(1, b)
}

func message(number protowire.Number, inner []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), inner)
}

func varint(number protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), n)
}

func TestSentencePiece(t *testing.T) {
	pieces := slices.Concat(piece("<unk>", 0, PieceUnknown), piece("▁a", -1.5, 0), piece("<0x0A>", 0, PieceByte))
	m, err := ReadSentencePiece(ctx, nil, file(string(pieces)))
	if err != nil || m.Vocabulary.Len() != 3 || string(m.Vocabulary.Token(1)) != "▁a" || !slices.Equal(m.Vocabulary.Scores, []float32{0, -1.5, 0}) || !slices.Equal(m.Vocabulary.Kinds, []byte{2, 1, 6}) {
		t.Fatalf("%+v, %v", m, err)
	}
	if !m.Unigram || !m.AddPrefix || !m.RemoveExtraSpace || len(m.Charsmap) > 0 { // the defaults of the schema
		t.Errorf("%+v", m)
	}
	told := slices.Concat(pieces, message(2, slices.Concat(varint(4, 7), varint(3, 2))), message(3, slices.Concat(message(2, []byte("map")), varint(3, 0), varint(4, 0))), message(9, []byte("later")))
	m, err = ReadSentencePiece(ctx, nil, file(string(told)))
	if err != nil || m.Unigram || m.AddPrefix || m.RemoveExtraSpace || string(m.Charsmap) != "map" {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestSentencePieceRefuses(t *testing.T) {
	good := string(piece("a", 0, 0))
	for name, c := range map[string]struct {
		text string
		kind fault.Kind
		off  int64
	}{
		"nothing":             {"", fault.Malformed, -1},
		"no pieces":           {string(message(2, varint(3, 1))), fault.Malformed, -1},
		"a field without end": {good + "\x0a\x7f", fault.Malformed, int64(len(good)) + 1},
		"no field":            {good + "\x07", fault.Malformed, int64(len(good))},
		"a piece twice":       {good + good, fault.Duplicate, int64(len(good)) + 2},
		"no text":             {string(piece("", 0, 0)), fault.Malformed, 2},
		"no UTF-8":            {string(piece("\xff", 0, 0)), fault.Malformed, 2},
		"an unknown kind":     {string(piece("a", 0, 7)), fault.Malformed, 2},
		"a piece cut short":   {string(message(1, []byte("\x0a\x05a"))), fault.Malformed, 3},
		"HTML":                {"<!DOCTYPE html>", fault.Malformed, -2},
	} {
		_, err := ReadSentencePiece(ctx, nil, file(c.text))
		e, _ := err.(*fault.Error)
		if e == nil || e.Kind != c.kind || c.off > -2 && e.Off != c.off {
			t.Errorf("%s: %v, want %v at %d", name, err, c.kind, c.off)
		}
	}
}

// FuzzSentencePiece: any bytes end; of what is taken every piece has a score and a kind, and an id of its own.
func FuzzSentencePiece(f *testing.F) {
	f.Add(string(slices.Concat(piece("<unk>", 0, PieceUnknown), piece("▁a", -1.5, 1), message(3, varint(3, 0)))))
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ReadSentencePiece(ctx, nil, file(text))
		if err != nil {
			return
		}
		v := m.Vocabulary
		if v.Len() == 0 || v.Len() != len(v.Scores) || v.Len() != len(v.Kinds) || v.Bound() != int64(v.Len()) {
			t.Fatalf("%d pieces, %d scores, %d kinds", v.Len(), len(v.Scores), len(v.Kinds))
		}
		for i := range v.Len() {
			if len(v.Token(i)) == 0 || v.Index(v.ID(i)) != i {
				t.Fatalf("piece %d: %q", i, v.Token(i))
			}
		}
	})
}
