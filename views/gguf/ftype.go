package gguf

import (
	"slices"

	"github.com/isomerfs/isomerfs/codecs/ggml"
)

// ftype is a precision: what llama-quantize calls a file type, and which of ggml's types most tensors get.
type ftype struct {
	name    string
	number  uint32 // general.file_type
	base    ggml.Type
	imatrix bool // it is not made without an importance matrix
}

// ftypes are the file types in the order of listing.
var ftypes = []ftype{
	{name: "F32", number: 0, base: ggml.F32},
	{name: "F16", number: 1, base: ggml.F16},
	{name: "BF16", number: 32, base: ggml.BF16},
	{name: "Q8_0", number: 7, base: ggml.Q8_0},
	{name: "Q6_K", number: 18, base: ggml.Q6_K},
	{name: "Q5_K_M", number: 17, base: ggml.Q5_K},
	{name: "Q5_K_S", number: 16, base: ggml.Q5_K},
	{name: "Q5_1", number: 9, base: ggml.Q5_1},
	{name: "Q5_0", number: 8, base: ggml.Q5_0},
	{name: "Q4_K_M", number: 15, base: ggml.Q4_K},
	{name: "Q4_K_S", number: 14, base: ggml.Q4_K},
	{name: "Q4_1", number: 3, base: ggml.Q4_1},
	{name: "Q4_0", number: 2, base: ggml.Q4_0},
	{name: "IQ4_NL", number: 25, base: ggml.IQ4_NL},
	{name: "IQ4_XS", number: 30, base: ggml.IQ4_XS},
	{name: "MXFP4_MOE", number: 38, base: ggml.MXFP4},
	{name: "Q3_K_L", number: 13, base: ggml.Q3_K},
	{name: "Q3_K_M", number: 12, base: ggml.Q3_K},
	{name: "Q3_K_S", number: 11, base: ggml.Q3_K},
	{name: "Q2_K", number: 10, base: ggml.Q2_K},
	{name: "Q2_K_S", number: 21, base: ggml.Q2_K, imatrix: true},
	{name: "TQ2_0", number: 37, base: ggml.TQ2_0},
	{name: "TQ1_0", number: 36, base: ggml.TQ1_0},
}

// weighed are llama-quantize's file types that are nothing without an importance matrix, and that are not made here.
var weighed = []string{"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "IQ3_XS", "IQ3_S", "IQ3_M"}

// ftypeOf is the file type of a name.
func ftypeOf(name string) (ftype, bool) {
	i := slices.IndexFunc(ftypes, func(f ftype) bool { return f.name == name })
	if i < 0 {
		return ftype{}, false
	}
	return ftypes[i], true
}
