package torch

import (
	"bytes"
	"path"
	"strings"
)

// Match reports whether a file of this name is a model of PyTorch's by its name alone. The endings .bin, .tar and
// .ckpt belong to others too: Perhaps has those. A pickle (.pkl) may be anything, and is looked at where a version has
// no other model.
func Match(name string) bool {
	base := strings.ToLower(path.Base(name))
	if isBeside(base) {
		return false
	}
	for _, end := range []string{".pt", ".pth", ".pt2", ".pth.tar", ".pt.tar", ".state_dict", ".bin.index.json", ".nemo"} {
		if strings.HasSuffix(base, end) {
			return true
		}
	}
	return strings.HasPrefix(base, "pytorch_model") && strings.HasSuffix(base, ".bin")
}

// MatchScript reports whether a file of this name may be a TorchScript archive: people name those as other files of
// PyTorch's, or after the compiler.
func MatchScript(name string) bool {
	base := strings.ToLower(path.Base(name))
	for _, end := range []string{".jit", ".ptl", ".pt", ".pth", ".torchscript"} {
		if strings.HasSuffix(base, end) {
			return !isBeside(base)
		}
	}
	return false
}

// Perhaps reports whether a file of this name is a model of PyTorch's where its first bytes are those of one.
func Perhaps(name string) bool {
	base := strings.ToLower(path.Base(name))
	if isBeside(base) {
		return false
	}
	for _, end := range []string{".bin", ".ckpt", ".th", ".tar", ".weights", ".params", ".model", ".checkpoint"} {
		if strings.HasSuffix(base, end) {
			return true
		}
	}
	return false
}

// isBeside reports whether a file is what a training keeps beside the weights in a file of its own, as transformers'
// Trainer and accelerate name them: it holds no weights.
func isBeside(base string) bool {
	if strings.HasSuffix(base, "_optim_states.pt") { // DeepSpeed's: ReadZeRO has them
		return true
	}
	stem, ext := strings.TrimSuffix(base, path.Ext(base)), path.Ext(base)
	switch ext {
	case ".pt", ".pth", ".bin", ".pkl":
		for _, word := range []string{"optimizer", "scheduler", "scaler", "training_args", "rng_state", "random_states", "sampler"} {
			if stem == word || strings.HasPrefix(stem, word+"_") {
				return true
			}
		}
	}
	return false
}

// headSize is how many bytes of a file's beginning tell what it is.
const headSize = 512

// Sniff reports whether a file that begins like this may be one of PyTorch's: an archive whose first member is one of
// its own, the magic number of the files before, a tar with a member of theirs, any pickle of protocol 2 to 5.
func Sniff(head []byte) bool {
	switch {
	case isZip(head):
		return strings.HasSuffix(firstMember(head), "/data.pkl") || strings.HasSuffix(firstMember(head), "/archive_format") || firstMember(head) == "version"
	case isTar(head):
		name := strings.TrimPrefix(cString(head[:100]), "./")
		return name == "sys_info" || name == "model_config.yaml" || name == "model_weights.ckpt"
	}
	return isLegacy(head) || len(head) > 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5 && bytes.IndexByte([]byte("}(]c)\x95"), head[2]) >= 0
}

// SniffScript reports whether a file that begins like this may be a TorchScript archive.
func SniffScript(head []byte) bool {
	if !isZip(head) {
		return false
	}
	_, name, ok := strings.Cut(firstMember(head), "/")
	if !ok {
		return false
	}
	for _, begin := range []string{"data/", "data.pkl", "constants.pkl", "constants/", "version", "code/", "model.json", "tensors/"} {
		if strings.HasPrefix(name, begin) {
			return true
		}
	}
	return false
}

func isZip(head []byte) bool {
	return bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06"))
}

// firstMember is the name of an archive's first member; cut where head ends.
func firstMember(head []byte) string {
	if len(head) < 30 {
		return ""
	}
	n := int(le.Uint16(head[26:]))
	return string(head[30:min(len(head), 30+n)])
}

func isTar(head []byte) bool {
	return len(head) >= 512 && bytes.HasPrefix(head[257:], []byte("ustar"))
}

// isLegacy reports whether head is the magic number of the files before zip, in any protocol of pickle.
func isLegacy(head []byte) bool {
	if bytes.HasPrefix(head, []byte("L119547037146038801333356L\n.")) {
		return true
	}
	if len(head) < 2 || head[0] != 0x80 {
		return false
	}
	rest := head[2:]
	if len(rest) > 9 && rest[0] == 0x95 { // FRAME and its length
		rest = rest[9:]
	}
	return bytes.HasPrefix(rest, []byte("\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."))
}

func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
