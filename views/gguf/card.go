package gguf

import (
	"strings"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// none reports whether no option is set.
func (k knobs) none() bool {
	return !k.pure && !k.leave && k.output == nil && k.embedding == nil && len(k.tensors) == 0
}

// chosen adds the options of the card beside the model to those of the folder's name.
func (k knobs) chosen(c *model.Card) (knobs, error) {
	if c == nil {
		return k, nil
	}
	q := c.Quantize
	k.pure, k.leave = k.pure || q.Pure, q.LeaveOutput
	named := func(key, name string) (ggml.Type, error) {
		for _, t := range ggml.Types() {
			if strings.EqualFold(t.String(), name) {
				return t, nil
			}
		}
		return 0, fault.In(c.File, fault.New(fault.Malformed, "quantize.%s: there is no type %q", key, name).Remedied("name one as llama-quantize does: Q8_0, Q4_K, F16"))
	}
	for _, x := range []struct {
		key, name string
		to        **ggml.Type
	}{{"output_tensor_type", q.OutputType, &k.output}, {"token_embedding_type", q.EmbeddingType, &k.embedding}} {
		if x.name == "" {
			continue
		}
		t, err := named(x.key, x.name)
		if err != nil {
			return k, err
		}
		*x.to = &t
	}
	for _, x := range q.TensorTypes {
		t, err := named("tensor_types", x.Type)
		if err != nil {
			return k, err
		}
		k.tensors = append(k.tensors, override{x.Pattern, t})
	}
	return k, nil
}
