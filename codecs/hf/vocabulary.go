package hf

import (
	"hash/maphash"

	"github.com/isomerfs/isomerfs/fault"
)

// Bounds of a vocabulary. The largest published ones have some 260,000 tokens of some two megabytes.
const (
	maxTokens     = 1 << 22
	maxVocabulary = 64 << 20 // bytes of all tokens
)

// Vocabulary is the tokens of a tokenizer, in the order they stand in its file, held in little more than their bytes.
type Vocabulary struct {
	text   []byte
	ends   []uint32  // ends[i] is the offset just past token i in text
	ids    []int32   // of token i
	Scores []float32 // of token i; nil where the kind of tokenizer has none
	Kinds  []byte    // of token i, as SentencePiece numbers them; nil where the kind of tokenizer has none

	byID []int32 // byID[id] is the index of the token plus 1, 0 where there is none
	seen map[uint64]struct{}
	seed maphash.Seed
}

func newVocabulary() *Vocabulary {
	return &Vocabulary{seen: map[uint64]struct{}{}, seed: maphash.MakeSeed()}
}

// add takes one more token. A token or an id that is there already is Duplicate.
func (v *Vocabulary) add(id int64, token []byte) error {
	if id < 0 || id >= maxTokens || len(v.ids) >= maxTokens {
		return fault.New(fault.Limit, "token %d with the id %d, and at most %d are read", len(v.ids), id, maxTokens)
	}
	if len(v.text)+len(token) > maxVocabulary {
		return fault.New(fault.Limit, "tokens of more than %d bytes in all", maxVocabulary)
	}
	for int64(len(v.byID)) <= id {
		v.byID = append(v.byID, make([]int32, max(1024, min(int64(len(v.byID)), maxTokens-int64(len(v.byID)))))...)
	}
	if other := v.byID[id]; other != 0 {
		return fault.New(fault.Duplicate, "the tokens %.80q and %.80q have the same id %d", v.Token(int(other-1)), token, id)
	}
	if v.seen != nil {
		h := maphash.Bytes(v.seed, token) // of 64 bits with a seed of the moment: two tokens of one hash are one token
		if _, ok := v.seen[h]; ok {
			return fault.New(fault.Duplicate, "the token %.80q is there twice", token)
		}
		v.seen[h] = struct{}{}
	}
	v.text = append(v.text, token...)
	v.ends = append(v.ends, uint32(len(v.text)))
	v.ids = append(v.ids, int32(id))
	v.byID[id] = int32(len(v.ids))
	return nil
}

// done lets go of what only add needs.
func (v *Vocabulary) done() { v.seen = nil }

// Len is the number of tokens.
func (v *Vocabulary) Len() int { return len(v.ids) }

// Token is the text of token i. The caller must not change it.
func (v *Vocabulary) Token(i int) []byte {
	from := uint32(0)
	if i > 0 {
		from = v.ends[i-1]
	}
	return v.text[from:v.ends[i]]
}

// ID is the id of token i.
func (v *Vocabulary) ID(i int) int64 { return int64(v.ids[i]) }

// Index is the index of the token with an id, -1 where there is none.
func (v *Vocabulary) Index(id int64) int {
	if id < 0 || id >= int64(len(v.byID)) {
		return -1
	}
	return int(v.byID[id]) - 1
}

// Bound is one more than the largest id, 0 where there is no token.
func (v *Vocabulary) Bound() int64 {
	for id := len(v.byID); id > 0; id-- {
		if v.byID[id-1] != 0 {
			return int64(id)
		}
	}
	return 0
}

// Find gives the ids of the tokens that are among the keys of wanted, as its values.
func (v *Vocabulary) Find(wanted map[string]int64) {
	longest := 0
	for token := range wanted {
		longest = max(longest, len(token))
	}
	for i := range v.ids {
		if token := v.Token(i); len(token) <= longest {
			if _, ok := wanted[string(token)]; ok {
				wanted[string(token)] = int64(v.ids[i])
			}
		}
	}
}
