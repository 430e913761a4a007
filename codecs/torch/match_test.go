package torch

import "testing"

// TestMatch: what is PyTorch's by its name, what only where its first bytes say so, and what trainers put beside.
func TestMatch(t *testing.T) {
	for _, c := range []struct {
		name                   string
		match, script, perhaps bool
	}{
		{"model.pt", true, true, false}, {"a/b/MODEL.PTH", true, true, false}, {"model_best.pth.tar", true, false, true}, {"m.pt2", true, false, false},
		{"pytorch_model.bin", true, false, true}, {"pytorch_model-00001-of-00002.bin", true, false, true}, {"pytorch_model.bin.index.json", true, false, false},
		{"model.bin", false, false, true}, {"unet/diffusion_pytorch_model.bin", false, false, true}, {"last.ckpt", false, false, true}, {"x.th", false, false, true},
		{"speech.nemo", true, false, false}, {"mnist.state_dict", true, false, false}, {"vad.jit", false, true, false}, {"mobile.ptl", false, true, false},
		{"optimizer.pt", false, false, false}, {"scheduler.pt", false, false, false}, {"rng_state.pth", false, false, false}, {"rng_state_3.pth", false, false, false},
		{"training_args.bin", false, false, false}, {"random_states_0.pkl", false, false, false}, {"scaler.pt", false, false, false},
		{"labels.pkl", false, false, false}, {"model.safetensors", false, false, false}, {"model.safetensors.index.json", false, false, false}, {"README.md", false, false, false},
	} {
		if m, s, p := Match(c.name), MatchScript(c.name), Perhaps(c.name); m != c.match || s != c.script || p != c.perhaps {
			t.Errorf("%s: %t, %t, %t", c.name, m, s, p)
		}
	}
}

// TestSniff: files are known by their first bytes, whatever their names, and others' are not.
func TestSniff(t *testing.T) {
	files := store(t, "testdata/saved")
	for name := range savedFiles(t) {
		data := files[name]
		head := data[:min(len(data), headSize)]
		if len(data) > 0 && data[0] == '{' || name == "deflated/v1/model.pt" {
			continue // an index; an archive of another program's, whose members may come in any order
		}
		if !Sniff(head) && !SniffScript(head) {
			t.Errorf("%s is not known by its first bytes", name)
		}
	}
	for what, head := range map[string]string{
		"nothing": "", "text": "a model", "npz": "PK\x03\x04\x14\x00\x00\x00\x00\x00\x00\x00!\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00w.npy",
		"keras": "PK\x03\x04\x14\x00\x00\x00\x00\x00\x00\x00!\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0d\x00\x00\x00metadata.json",
		"ggml":  "lmgg\x0a\x00\x00\x00", "gguf": "GGUF\x03\x00\x00\x00", "tflite": "\x18\x00\x00\x00TFL3", "hdf5": "\x89HDF\r\n\x1a\n", "old pickle": "cposix\nsystem\n",
	} {
		if Sniff([]byte(head)) || SniffScript([]byte(head)) {
			t.Errorf("%s is taken for one of PyTorch's", what)
		}
	}
}
