package checkpoint

import (
	"strings"

	"github.com/isomerfs/isomerfs/codecs/hf"
)

// special tokens that a class of transformers has where a configuration does not name them.
type defaults map[string]string

// any is the same for specialNames.
func (d defaults) any() map[string]any {
	m := make(map[string]any, len(d))
	for k, v := range d {
		m[k] = v
	}
	return m
}

var robertaDefaults = defaults{"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}

// classes are transformers' classes of tokenizers that make their tokenizer themselves, of the vocabulary of
// tokenizer.json, with the special tokens that they have by default.
var classes = map[string]map[string]any{
	"BartTokenizer":       robertaDefaults.any(),
	"BertTokenizer":       defaults{"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}.any(),
	"CamembertTokenizer":  robertaDefaults.any(),
	"CodeLlamaTokenizer":  defaults{"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}.any(),
	"CohereTokenizer":     defaults{"unk_token": "<UNK>", "bos_token": "<BOS_TOKEN>", "eos_token": "<|END_OF_TURN_TOKEN|>", "pad_token": "<PAD>", "cls_token": "<CLS>", "sep_token": "<SEP>", "mask_token": "<MASK_TOKEN>"}.any(),
	"GPT2Tokenizer":       defaults{"unk_token": "<|endoftext|>", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}.any(),
	"GPTNeoXTokenizer":    defaults{"unk_token": "<|endoftext|>", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|padding|>"}.any(),
	"GemmaTokenizer":      defaults{"unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "mask_token": "<mask>"}.any(),
	"LlamaTokenizer":      defaults{"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}.any(),
	"Qwen2Tokenizer":      defaults{"unk_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}.any(),
	"RobertaTokenizer":    robertaDefaults.any(),
	"XLMRobertaTokenizer": robertaDefaults.any(),
}

// generalClass is the class that takes tokenizer.json as it stands.
const generalClass = "TokenizersBackend"

// registered are the classes that transformers has for models by their model_type.
var registered = map[string]string{
	"mistral": generalClass, "mixtral": generalClass, "qwen2": "Qwen2Tokenizer", "qwen3": "Qwen2Tokenizer", "qwen2_moe": "Qwen2Tokenizer", "qwen3_moe": "Qwen2Tokenizer",
	"gemma": "GemmaTokenizer", "gemma2": "GemmaTokenizer", "gemma3": "GemmaTokenizer", "gemma3_text": "GemmaTokenizer", "phi": "GPT2Tokenizer", "phi3": generalClass,
	"bert": "BertTokenizer", "nomic_bert": "BertTokenizer", "distilbert": "BertTokenizer", "roberta": "RobertaTokenizer", "xlm-roberta": "XLMRobertaTokenizer",
	"camembert": "CamembertTokenizer", "granite": generalClass, "granitemoe": generalClass, "olmo": "GPTNeoXTokenizer", "olmo2": generalClass, "olmo3": generalClass,
	"cohere": "CohereTokenizer", "cohere2": "CohereTokenizer", "starcoder2": "GPT2Tokenizer", "stablelm": generalClass, "gpt2": "GPT2Tokenizer",
	"gpt_neox": "GPTNeoXTokenizer", "gpt_bigcode": generalClass,
}

// tokenizerClass is the class that transformers takes for the model's tokenizer; "" for the general one.
func (c *converter) tokenizerClass() (string, error) {
	config, err := c.folder.Object(c.ctx, tokenizerConfig)
	if err != nil {
		return "", err
	}
	said := config.Text("tokenizer_class")
	if said == "" {
		said = c.config.Values.Text("tokenizer_class")
	}
	said = strings.TrimSuffix(said, "Fast")
	kind := c.config.Values.Text("model_type")
	own := registered[kind]
	t, err := c.tokenizerJSON()
	if err != nil {
		return "", err
	}
	pick := said
	switch {
	case said == "LlamaTokenizer" && t != nil && byteLevel(t.Rest.Object("pre_tokenizer")):
		pick = ""
	case said == "":
		pick = own
	case own == generalClass:
		pick = ""
	case own != "" && own != said && kind == "qwen2": // whose repositories name wrong ones
		pick = own
	}
	if classes[pick] == nil {
		pick = ""
	}
	return pick, nil
}

// byteLevel reports whether a pre-tokenizer writes bytes as characters.
func byteLevel(o *hf.Object) bool {
	if o.Text("type") == "ByteLevel" {
		return true
	}
	for _, v := range o.List("pretokenizers") {
		if inner, _ := v.(*hf.Object); inner.Text("type") == "ByteLevel" {
			return true
		}
	}
	return false
}
