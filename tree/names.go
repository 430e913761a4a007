package tree

import (
	"slices"
	"strconv"
	"strings"
)

// spellings lists the other names of precisions, in lower case. GGUF's F16 is found by all names of fp16.
var spellings = map[string]string{
	"f64": "fp64", "float64": "fp64", "double": "fp64",
	"f32": "fp32", "float32": "fp32", "float": "fp32", "single": "fp32",
	"f16": "fp16", "float16": "fp16", "half": "fp16",
	"bfloat16": "bf16", "brain": "bf16",
	"f8": "fp8", "float8": "fp8",
	"i8": "int8", "i4": "int4",
	"q3_k": "q3_k_m", "q4_k": "q4_k_m", "q5_k": "q5_k_m", "mxfp4": "mxfp4_moe", // as llama-quantize takes them
}

// precisionKey is one name for all spellings of a precision.
func precisionKey(name string) string {
	name = strings.ToLower(name)
	if key, ok := spellings[name]; ok {
		return key
	}
	return name
}

// precisionName takes apart the name of a folder below FORMAT: a precision in any of its spellings, and modifiers
// behind dashes (fp16-merged). It returns the canonical name, which is name itself when that is how it is spelt.
func precisionName(name string, precisions []string) (string, bool) {
	if p, ok := samePrecision(name, precisions); ok {
		return p, true
	}
	base, modifiers, ok := strings.Cut(name, "-")
	if !ok || modifiers == "" {
		return "", false
	}
	p, ok := samePrecision(base, precisions)
	return p + "-" + strings.ToLower(modifiers), ok
}

// samePrecision is the one of precisions that name is a spelling of: itself first.
func samePrecision(name string, precisions []string) (string, bool) {
	if slices.Contains(precisions, name) {
		return name, true
	}
	key := precisionKey(name)
	for _, p := range precisions {
		if precisionKey(p) == key {
			return p, true
		}
	}
	return "", false
}

// labels are the precisions that a stored file's stem may end in.
var labels = []string{"fp32", "bf16", "fp16", "fp8", "int8", "int4"} // from the widest to the narrowest

// label takes a precision off the end of a stem: model_fp16, model-fp16 and model.fp16 are model in fp16, and so are
// those that only its format has: model-Q4_K_M. Words that are also something else (half, single) are part of the stem.
func label(stem string, own []string) (base, precision string) {
	for _, l := range own {
		if at := len(stem) - len(l) - 1; at > 0 && strings.IndexByte("_-.", stem[at]) >= 0 && strings.EqualFold(stem[at+1:], l) {
			return stem[:at], l
		}
	}
	at := strings.LastIndexAny(stem, "_-.")
	if at <= 0 || at == len(stem)-1 {
		return stem, ""
	}
	word := strings.ToLower(stem[at+1:])
	if !strings.ContainsAny(word, "0123456789") {
		return stem, ""
	}
	if key := precisionKey(word); slices.Contains(labels, key) {
		return stem[:at], key
	}
	return stem, ""
}

// versionName is the version that a short name means: 3 is v3 and v3 is 3; 1.2 is the newest 1.2.x, a pre-release only
// where there is nothing else. versions are in order, the newest last.
func versionName(name string, versions []string) (string, bool) {
	bare := strings.TrimPrefix(strings.ToLower(name), "v")
	for _, v := range versions {
		if strings.TrimPrefix(strings.ToLower(v), "v") == bare {
			return v, true
		}
	}
	want, ok := numbers(bare)
	if !ok {
		return "", false
	}
	first := ""
	for _, v := range slices.Backward(versions) {
		core := strings.TrimPrefix(strings.ToLower(v), "v")
		if at := strings.IndexAny(core, "-+"); at >= 0 {
			core = core[:at]
		}
		have, ok := numbers(core)
		if !ok || len(have) <= len(want) || !slices.Equal(have[:len(want)], want) {
			continue
		}
		if !early(v) {
			return v, true
		}
		if first == "" {
			first = v
		}
	}
	return first, first != ""
}

// early reports whether a version comes before the release that it is named after: 2.0.0-beta, v3-rc1. A date and a
// step-1000 do not.
func early(version string) bool {
	core, rest, ok := strings.Cut(strings.TrimPrefix(strings.ToLower(version), "v"), "-")
	have, numeric := numbers(core)
	if !ok || !numeric {
		return false
	}
	if len(have) > 1 {
		return true
	}
	for _, word := range []string{"alpha", "beta", "rc", "pre", "dev", "snapshot", "nightly"} {
		if strings.HasPrefix(rest, word) {
			return true
		}
	}
	return false
}

// numbers are the parts of a dotted number.
func numbers(s string) ([]uint64, bool) {
	var list []uint64
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.ParseUint(part, 10, 63)
		if err != nil {
			return nil, false
		}
		list = append(list, n)
	}
	return list, true
}

// near is the one of names that a mistyped name most likely meant, "" where none is close: at most one letter, and one
// more of each four, away.
func near(name string, names []string) string {
	best, least := "", 2+len(name)/4
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return n
		}
		if d := distance(strings.ToLower(name), strings.ToLower(n), least); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance is the number of letters to insert, remove or replace to make b of a; limit or more where it is no less.
func distance(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) >= limit || len(a) > 255 || len(b) > 255 {
		return limit
	}
	row := make([]int, len(b)+1) // row[j]: from a[:i] to b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d = min(diagonal, row[j], row[j+1]) + 1
			}
			diagonal, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}
