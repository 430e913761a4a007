package store

import (
	"regexp"
	"slices"
	"strings"
)

// modelSuffixes are the endings by which a loose file is a model, and a folder that holds one is a model's folder.
// What is in a file is no concern of a store; these are names that people keep weights under.
var modelSuffixes = []string{
	".safetensors", ".onnx", ".ort", ".gguf", ".ggml", ".pt", ".pth", ".ptl", ".jit", ".torchscript", ".ckpt", ".bin",
	".pkl", ".pickle", ".joblib", ".h5", ".hdf5", ".keras", ".tflite", ".lite", ".npz", ".npy", ".msgpack", ".ot",
	".mlmodel", ".pb", ".pdparams", ".nemo", ".distcp",
}

// indexSuffix ends the name of a file that says in which shard each tensor lies.
const indexSuffix = ".index.json"

// temporarySuffixes end the names of files that a program is still writing under another name than the final one.
var temporarySuffixes = []string{".partial", ".incomplete", ".tmp", ".temp", ".part", ".crdownload", ".aria2", ".swp", "~"}

// clutter are names that operating systems leave in folders: none is part of a model.
var clutter = []string{"lost+found", "System Volume Information", "$RECYCLE.BIN", "@eaDir", "__MACOSX", "__pycache__"}

// otherRepositories begin the names of folders of a hub cache that hold no model.
var otherRepositories = []string{"datasets--", "spaces--", "kernels--"}

// modelSuffix is the ending by which name is a model file; "" for another file, hidden and temporary ones included.
func modelSuffix(name string) string {
	if hidden(name) || temporary(name) {
		return ""
	}
	for _, suffix := range modelSuffixes {
		if n := len(name) - len(suffix); n > 0 && strings.EqualFold(name[n:], suffix) {
			return name[n:]
		}
	}
	return ""
}

var shard = regexp.MustCompile(`^(.+?)[-_.]\d{3,6}-of-\d{3,6}$`)

// stem is the model that a loose file is or belongs to: its name without the model suffix and without the numbers of
// a shard. "" for a file that is no model file.
func stem(name string) string {
	suffix := modelSuffix(name)
	if suffix == "" {
		return ""
	}
	name = name[:len(name)-len(suffix)]
	if m := shard.FindStringSubmatch(name); m != nil {
		name = m[1]
	}
	return name
}

// hidden reports whether a name is one that listings leave out by custom.
func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// rsyncTemporary is rsync's name for a file in transfer: a dot, the final name, six letters or digits. Names such as
// .eslint.config are not: rsync's six are random, and without any digit or capital in one of three hundred.
var rsyncTemporary = regexp.MustCompile(`^\..+\.([A-Za-z0-9]{6})$`)

// temporary reports whether a file's name says that it is being written, or is the remains of one that was.
func temporary(name string) bool {
	for _, suffix := range temporarySuffixes {
		if n := len(name) - len(suffix); n >= 0 && strings.EqualFold(name[n:], suffix) {
			return true
		}
	}
	if !hidden(name) {
		return false
	}
	if strings.HasPrefix(name, ".nfs") || strings.HasPrefix(name, ".fuse_hidden") || strings.HasPrefix(name, "._") || name == ".DS_Store" {
		return true
	}
	m := rsyncTemporary.FindStringSubmatch(name)
	return m != nil && strings.ContainsAny(m[1], "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
}

// shownFolder reports whether a folder of that name is seen at all.
func shownFolder(name string) bool {
	return !hidden(name) && !temporary(name) && !slices.Contains(clutter, name)
}

// shownFile reports whether a file of that name is part of a version. Dotfiles such as .gitattributes are: source/
// has to equal the stored folder for its signature to hold.
func shownFile(name string) bool {
	return !temporary(name) && !slices.Contains(clutter, name)
}

// contents is what the names directly in a folder say of it.
type contents struct {
	folders  []string // seen ones, links to folders not included
	weights  bool     // a model file lies directly in it
	marked   bool     // and a file that only a model's own folder has
	indexed  bool     // and the index of a sharded model
	complete bool     // a file lies in it that makes the whole folder one model, wherever its weights are
}

// look sorts the entries of a folder.
func look(entries []entry) contents {
	var c contents
	parts := false
	for _, e := range entries {
		switch {
		case e.kind == folderEntry:
			if shownFolder(e.name) {
				c.folders = append(c.folders, e.name)
				parts = parts || e.name == "onnx" || e.name == "openvino" || e.name == "gguf"
			}
			continue
		case modelSuffix(e.name) != "":
			c.weights = true
		}
		switch lower := strings.ToLower(e.name); {
		case lower == "model_index.json", lower == "saved_model.pb":
			c.marked, c.complete = true, true
		case lower == "config.json", lower == "adapter_config.json", lower == "modules.json", lower == "isomerfs.json":
			c.marked = true
		case strings.HasSuffix(lower, indexSuffix):
			c.indexed = true
		}
	}
	c.complete = c.complete || c.marked && parts // weights in subfolders alone, as of models for the browser
	return c
}

// versions are the folders that are versions by their names.
func (c contents) versions() []string {
	var names []string
	for _, name := range c.folders {
		if IsVersion(name) {
			names = append(names, name)
		}
	}
	return names
}

// onlyVersions reports whether there are folders and each is a version by its name. It looks at no more names than
// it must: most stores have thousands of folders and the first is a model.
func (c contents) onlyVersions() bool {
	for _, name := range c.folders {
		if !IsVersion(name) {
			return false
		}
	}
	return len(c.folders) > 0
}
