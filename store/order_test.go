package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
)

func TestIsVersion(t *testing.T) {
	for _, name := range []string{
		"1", "3", "v3", "V3", "00000123", "v10", "1.2", "1.2.0", "v1.2.3", "1.2.3.4", "2.0.0-rc.1", "v2-beta", "1.0rc1", "v1.0a2", "v2beta",
		"1.0.post1", "1.2.0+build5", "v1_0", "v1.5-7b", "2026-05-01", "2026-05", "2026_05_01", "20260501", "20260501-1200", "2026-05-01T12:00:00Z",
		"step-1000", "step_1000", "step1000", "Step-1", "checkpoint-500", "ckpt-3", "epoch-3", "epoch=3-step=100", "iter_100", "version-2", "version_0", "rev-7",
		"global_step1000", "build-17", "0123456789abcdef0123456789abcdef01234567", "9f1c2e7", "9f1c2e7a01b4",
		strings.Repeat("ab12", 16),
	} {
		if !IsVersion(name) {
			t.Errorf("%q is no version", name)
		}
	}
	for _, name := range []string{
		"", "resnet50", "model", "v", "version", "latest", "main", "7b", "13B", "1_Pooling", "2_Dense", "3-unet", "3d", "1x1", "v8n", "v2ray", "b3",
		"onnx", "unet", "text_encoder_2", "checkpoint", "checkpoints", "step-", "step-one", "stepwise", "deadbeef", "face2face", "cafe",
		"facade1", "abcdef", "release-notes", "Llama-3.1-8B", "gpt2", "bert-base", "fp16", "int8", "m0", ".v1", "-1", "v1\n", "1\n",
		"0123456789abcdef0123456789abcdef0123456", "vocab", "variables", "seed-1", "2026/05",
	} {
		if IsVersion(name) {
			t.Errorf("%q is a version", name)
		}
	}
}

func TestSort(t *testing.T) {
	for _, want := range [][]string{
		{"v1", "v2", "v3", "v10"},
		{"1", "2", "v3", "10"},
		{"1.2.0", "1.2.3", "1.10.0"},
		{"1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0"}, // semver.org, point 11
		{"1.0rc2", "1.0rc10", "1.0", "1.0.post1", "1.1"},
		{"v1", "v2-beta", "v2", "v3"},
		{"1.2.3", "1.2.3.1", "1.2.4"},
		{"2025-12-31", "2026-01-01", "2026-01-01T12:00", "2026-01-02", "2026-10-01"},
		{"20251231", "20260101"},
		{"step-500", "step-1000", "step-10000"},
		{"epoch=3-step=100", "epoch=3-step=1000", "epoch=10-step=100"},
		{"experiment", "9f1c2e7", "checkpoint-500", "2026-05-01", "v1"},
		{"99999999999999999999", "100000000000000000000"},
		{"00000123", "124"},
	} {
		for seed := range uint64(20) {
			got := slices.Clone(want)
			rand.New(rand.NewPCG(seed, 1)).Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
			Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
				break
			}
		}
	}
}

// TestCompareIsSemver compares with another implementation of semver.org, on versions whose identifiers have no
// letters before digits: those we compare as numbers.
func TestCompareIsSemver(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func() string {
		s := fmt.Sprintf("%d.%d.%d", r.IntN(3), r.IntN(12), r.IntN(3))
		if r.IntN(2) == 0 {
			s += "-" + []string{"alpha", "beta", "rc", "1", "11"}[r.IntN(5)]
			for range r.IntN(3) {
				s += "." + []string{"alpha", "x", "1", "2", "10", "0"}[r.IntN(6)]
			}
		}
		if r.IntN(3) == 0 {
			s = "v" + s
		}
		return s
	}
	for range 20_000 {
		a, b := random(), random()
		x, y := semver.MustParse(a), semver.MustParse(b)
		if want := x.Compare(y); want != 0 && Compare(a, b) != want {
			t.Fatalf("Compare(%q, %q) = %d, want %d", a, b, Compare(a, b), want)
		}
	}
}

// TestCompareIsAnOrder checks the laws of a total order on names of every rank.
func TestCompareIsAnOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	parts := []string{"v", "V", "1", "2", "10", "01", "2026-05-01", "2026", "-", ".", "_", "rc", "alpha", "post", "step-", "x", "+", "a1b2c3d", "ü", "\xff"}
	random := func() string {
		s := ""
		for range 1 + r.IntN(5) {
			s += parts[r.IntN(len(parts))]
		}
		return s
	}
	for range 50_000 {
		a, b, c := random(), random(), random()
		ab, bc, ac := Compare(a, b), Compare(b, c), Compare(a, c)
		switch {
		case ab != -Compare(b, a):
			t.Fatalf("%q and %q: %d and %d", a, b, ab, Compare(b, a))
		case (ab == 0) != (a == b):
			t.Fatalf("%q and %q compare %d", a, b, ab)
		case ab <= 0 && bc <= 0 && ac > 0:
			t.Fatalf("%q <= %q <= %q, and yet %q > %q", a, b, c, a, c)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		versions string
		asked    string
		want     string // "" when there is none
	}{
		{"v1 v2 v3 v10", "v3", "v3"},
		{"v1 v2 v3 v10", "3", "v3"},
		{"v1 v2 v3 v10", "V10", "v10"},
		{"v1 v2 v3 v10", "1", "v1"},
		{"v1 v2 v3 v10", "4", ""},
		{"v1 v2 v3 v10", "v4", ""},
		{"v1 v2 v3 v10", "v", ""},
		{"v1 v2 v3 v10", "", ""},
		{"v1 v2 v3 v10", "latest", ""},
		{"1 2 3", "v2", "2"},
		{"1 v1", "1", "1"},
		{"1 v1", "v1", "v1"},
		{"1 v1", "01", ""}, // either could be meant
		{"00000123 00000124", "123", "00000123"},
		{"00000123 00000124", "v124", "00000124"},
		{"1.2.0 1.2.3 1.10.0", "1.2", "1.2.3"},
		{"1.2.0 1.2.3 1.10.0", "1.2.x", "1.2.3"},
		{"1.2.0 1.2.3 1.10.0", "1", "1.10.0"},
		{"1.2.0 1.2.3 1.10.0", "v1", "1.10.0"},
		{"1.2.0 1.2.3 1.10.0", "1.x", "1.10.0"},
		{"1.2.0 1.2.3 1.10.0", "1.3", ""},
		{"1.2.0 1.2.3 1.10.0", "1.2.3.4", ""},
		{"1.2.0 1.2.3 1.10.0", "1.2.4", ""},
		{"1.2.0 1.2.3 1.10.0", "2", ""},
		{"1.2.0 1.2.1-rc.1", "1.2", "1.2.0"},
		{"1.2.0-rc.1 1.2.0-rc.2", "1.2", "1.2.0-rc.2"},
		{"1.2.0-rc.1", "1.2.0", ""},
		{"v1.2.0 v1", "1", "v1"},
		{"v1.2.0 v1", "1.x", "v1.2.0"},
		{"2026-05-01 2026-05-20 2026-06-01", "2026-05", "2026-05-20"},
		{"2026-05-01 2026-05-20 2026-06-01", "2026", "2026-06-01"},
		{"2026-05-01 2026-05-20 2026-06-01", "2026-07", ""},
		{"step-500 step-1000", "1000", "step-1000"},
		{"step-1000 epoch-1000", "1000", ""},
		{"checkpoint-500", "0500", "checkpoint-500"},
		{"0123456789ab fedcba987654", "0123456789abcdef0123456789abcdef01234567", "0123456789ab"},
		{"0123456789ab fedcba987654", "fedc", "fedcba987654"},
		{"0123456789ab fedcba987654", "FEDCBA9", "fedcba987654"},
		{"0123456789ab fedcba987654", "fed", ""},
		{"0123456789ab 0123456789ff", "0123456", ""},
		{"main prod", "prod", "prod"},
		{"main prod", "pro", ""},
	} {
		versions := strings.Fields(test.versions)
		for range 2 {
			got, ok := Match(versions, test.asked)
			if got != test.want || ok != (test.want != "") {
				t.Errorf("Match(%q, %q) = %q, %t, want %q", versions, test.asked, got, ok, test.want)
			}
			slices.Reverse(versions)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("v1 1.2.0 2026-05-01 step-1 a1b2c3d", "1")
	f.Fuzz(func(t *testing.T, versions, asked string) {
		list := strings.Fields(versions)
		got, ok := Match(list, asked)
		if ok != slices.Contains(list, got) || slices.Contains(list, asked) && got != asked {
			t.Fatalf("Match(%q, %q) = %q, %t", list, asked, got, ok)
		}
		if len(list) > 1 && Compare(list[0], list[1]) != -Compare(list[1], list[0]) {
			t.Fatalf("%q and %q have no order", list[0], list[1])
		}
	})
}
