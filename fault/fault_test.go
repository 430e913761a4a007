package fault

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestError(t *testing.T) {
	cause := io.ErrUnexpectedEOF
	base := At(Truncated, 12, "tensor %q ends %d bytes past the file: %w", "w", 3, cause).Remedied("fetch %s again", "it")
	placed := In("model.safetensors", fmt.Errorf("reading: %w", base))
	for _, c := range []struct {
		what string
		ok   bool
	}{
		{"kind", errors.Is(placed, Truncated)},
		{"no other kind", !errors.Is(placed, Malformed)},
		{"cause", errors.Is(placed, cause)},
		{"kind of", KindOf(placed) == Truncated},
		{"text", placed.Error() == `model.safetensors: offset 12: tensor "w" ends 3 bytes past the file: unexpected EOF`},
		{"reason", Reason(placed) == `offset 12: tensor "w" ends 3 bytes past the file: unexpected EOF`},
		{"remedy", Remedy(placed) == "fetch it again"},
		{"first place stays", In("other", placed).Error() == placed.Error()},
		{"the error without a place is unchanged", base.Path == ""},
		{"broken", KindOf(placed).Broken() && !Unsupported.Broken() && !Limit.Broken() && !Unknown.Broken()},
	} {
		if !c.ok {
			t.Errorf("%s: %v", c.what, placed)
		}
	}
}

func TestForeignErrors(t *testing.T) {
	if err := In("x", nil); err != nil {
		t.Error(err)
	}
	err := In("x", io.EOF)
	if KindOf(err) != Unknown || !errors.Is(err, io.EOF) || err.Error() != "x: EOF" || Remedy(err) != "" || Reason(io.EOF) != "EOF" {
		t.Error(err)
	}
}

// TestNames: every kind has a word of its own.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for k := Unknown; k <= IO; k++ {
		if name := k.String(); name == "" || seen[name] {
			t.Errorf("kind %d is %q", k, name)
		} else {
			seen[name] = true
		}
	}
	if Kind(200).String() != "kind(200)" {
		t.Error(Kind(200))
	}
}
