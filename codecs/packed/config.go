// Package packed says what the weights of a quantized checkpoint are.
//
// A Hugging Face repository may store a weight as several tensors: codes, scales, zero points. How they make one
// weight stands in config.json beside them, under quantization_config, whose quant_method names the scheme. Weights
// undoes the schemes that are known here, as a computation that nobody has run yet; a model whose scheme is not
// known has no weights that could be shown, only stored tensors.
package packed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// maxConfig is the largest config.json that is read, in bytes. Real ones are some kilobytes.
const maxConfig = 16 << 20

// Config is what the config.json beside a model's file says of its quantization; nil where it says nothing.
func Config(ctx context.Context, files layout.Files, name string) *model.Quantization {
	file := path.Join(path.Dir(name), "config.json")
	src, err := files.Open(file)
	if errors.Is(err, fault.Missing) {
		return nil
	}
	q := &model.Quantization{File: file}
	if err == nil {
		q.Settings, err = settings(ctx, src)
	}
	switch {
	case err != nil:
		q.Err = fault.In(file, err)
		return q
	case len(q.Settings) == 0:
		return nil
	}
	q.Method, _ = q.Settings["quant_method"].(string)
	return q
}

// settings is the quantization_config of a config.json.
func settings(ctx context.Context, src layout.Source) (map[string]any, error) {
	if src.Size() > maxConfig {
		return nil, fault.New(fault.Limit, "%d bytes, and the most that is read of a config.json is %d", src.Size(), maxConfig)
	}
	text := make([]byte, src.Size())
	if n, err := src.ReadAt(ctx, text, 0); n < len(text) {
		if err == nil || err == io.EOF {
			err = fault.At(fault.Changed, int64(n), "the file ended where it had %d bytes before", len(text))
		}
		return nil, err
	}
	var config struct {
		Quantization map[string]any `json:"quantization_config"`
	}
	err := json.Unmarshal(plain(text), &config)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return nil, fault.At(fault.Malformed, syntax.Offset, "this is not JSON: %w", err)
	case errors.As(err, &kind) && kind.Field != "":
		return nil, fault.At(fault.Malformed, kind.Offset, "quantization_config is no object")
	case err != nil: // some other program's config.json: an array, a number
		return nil, nil
	}
	return config.Quantization, nil
}

// plain is JSON as Python's json writes it, with the words it has for numbers that JSON lacks, NaN and Infinity,
// replaced by zeros of the same length. Configurations of real models have them.
func plain(text []byte) []byte {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == 'N' || c == 'I'):
			for _, word := range []string{"NaN", "Infinity"} {
				if bytes.HasPrefix(text[i:], []byte(word)) {
					copy(text[i:], "0.0000000"[:len(word)])
					i += len(word) - 1
					break
				}
			}
		}
	}
	return text
}
