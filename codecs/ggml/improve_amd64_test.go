package ggml

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"unsafe"
)

// TestKernelsKeepToTheirTier: the assembler takes registers that only AVX-512 has in the instructions of AVX2, too.
func TestKernelsKeepToTheirTier(t *testing.T) {
	text, err := os.ReadFile("kernels_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	beyond := regexp.MustCompile(`\b([XY](1[6-9]|2[0-9]|3[01])|Z[0-9]+|K[0-7])\b`)
	name := ""
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "TEXT ·"); ok {
			name, _, _ = strings.Cut(rest, "(")
		}
		if strings.HasSuffix(name, "AVX2") && beyond.MatchString(line) {
			t.Errorf("%s: %s", name, strings.TrimSpace(line))
		}
	}
}

// TestLanes: fields lie where kernels look for them.
func TestLanes(t *testing.T) {
	var l lanes
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"w", unsafe.Offsetof(l.w), 2048}, {"t", unsafe.Offsetof(l.t), 4096}, {"scale", unsafe.Offsetof(l.scale), 6144},
		{"offset", unsafe.Offsetof(l.offset), 6208}, {"weight", unsafe.Offsetof(l.weight), 6272}, {"sigma", unsafe.Offsetof(l.sigma), 6336},
		{"inverse", unsafe.Offsetof(l.inverse), 6400}, {"from", unsafe.Offsetof(l.from), 6464}, {"spare", unsafe.Offsetof(l.spare), 6528},
	} {
		if c.got != c.want {
			t.Errorf("%s lies at %d, for the kernels at %d", c.name, c.got, c.want)
		}
	}
}
