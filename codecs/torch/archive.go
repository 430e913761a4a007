package torch

import (
	"strconv"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/codecs/zip"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// Versions of the archive's format that are known (caffe2/serialize/versions.h).
const (
	oldestVersion = 1
	newestVersion = 10
)

const (
	maxVersion = 64       // bytes of the member version, of byteorder
	maxCode    = 16 << 20 // of a member of code, of which only declarations are looked at
	maxConfig  = 64 << 20 // of a list of weights
)

// archive is a zip of PyTorch's.
type archive struct {
	*file
	zip *zip.Archive
	top string // the folder that everything lies in, with its slash; "" in the first archives of torch.export
	big bool
}

// archive opens a zip and reads what is said of it as a whole.
func (f *file) archive() (*archive, error) {
	z, err := zip.Open(f.ctx, f.src, f.off, f.size)
	if err != nil {
		return nil, err
	}
	a := &archive{file: f, zip: z}
	if z.Find(firstProgram) != nil {
		return a, nil
	}
	if len(z.Members) == 0 {
		return nil, fault.New(fault.Malformed, "an archive without a member")
	}
	name := z.Members[0].Name
	slash := strings.IndexByte(name, '/')
	if slash <= 0 {
		return nil, fault.New(fault.Malformed, "the member %s lies in no folder, as all of PyTorch's archives have one", quoted(name))
	}
	a.top = name[:slash+1]
	for i := range z.Members {
		if !strings.HasPrefix(z.Members[i].Name, a.top) {
			return nil, fault.New(fault.Malformed, "the member %s does not lie in the archive's folder %s", quoted(z.Members[i].Name), quoted(a.top))
		}
	}
	if err := a.checkVersion(); err != nil {
		return nil, err
	}
	switch order, err := a.small("byteorder"); {
	case err != nil:
		return nil, err
	case order == "big":
		a.big = true
	case order != "little" && order != "":
		return nil, fault.New(fault.Malformed, "the member byteorder says %s, which is neither little nor big", quoted(order))
	}
	return a, nil
}

// find is a member below the archive's folder; nil where there is none.
func (a *archive) find(name string) *zip.Member { return a.zip.Find(a.top + name) }

// small is the text of a member that may not be there.
func (a *archive) small(name string) (string, error) {
	m := a.find(name)
	if m == nil {
		return "", nil
	}
	text, err := a.zip.Bytes(a.ctx, m, maxVersion)
	return string(text), err
}

func (a *archive) checkVersion() error {
	text := ""
	for _, name := range []string{"version", ".data/version"} {
		if a.find(name) == nil {
			continue
		}
		var err error
		if text, err = a.small(name); err != nil {
			return err
		}
		break
	}
	if text == "" {
		return fault.New(fault.Missing, "the archive has no member version")
	}
	switch n, err := strconv.Atoi(strings.TrimSpace(text)); {
	case err != nil:
		return fault.New(fault.Malformed, "the member version says %s, which is no number", quoted(text))
	case n < oldestVersion || n > newestVersion:
		return fault.New(fault.Unsupported, "version %d of PyTorch's archives: those from %d to %d are known", n, oldestVersion, newestVersion)
	}
	return nil
}

// isScript reports whether the archive is TorchScript's, as PyTorch tells it, and the first ones by their code.
func (a *archive) isScript() bool {
	return a.find("constants.pkl") != nil || a.find("model.json") != nil
}

// isExported reports whether the archive is one of torch.export.
func (a *archive) isExported() bool {
	return a.top == "" || a.find("archive_format") != nil
}

// pickle reads a member that is a pickle, and the tensors in it, whose storages are members of a folder.
func (a *archive) pickle(name, storages string) (*reading, error) {
	m := a.find(name)
	if m == nil {
		return nil, fault.New(fault.Missing, "the archive has no member %s", name)
	}
	data, err := a.zip.Bytes(a.ctx, m, maxPickle)
	if err != nil {
		return nil, err
	}
	base := int64(-1)
	if m.Method == zip.Stored && a.inline == nil {
		base = m.Off
	}
	root, n, err := pickle.Decode(data, pickle.Options{Imports: a.imports, Base: max(base, 0)})
	if err != nil {
		return nil, a.inPickle(err, name, base)
	}
	if n < len(data) {
		return nil, a.inPickle(fault.At(fault.Malformed, base+int64(n), "%d bytes follow the end of %s", len(data)-n, name), name, base)
	}
	r := newReading(a.file, root, base)
	r.big = a.big
	r.plain = a.stored() && len(data) > 1 && data[1] == 2 && a.harmless()
	return r, r.read(func(s *Storage) (*layout.File, error) { return a.storage(storages, s) })
}

// inPickle is an error of a pickle; its offset is the file's only where the member is stored as it is.
func (a *archive) inPickle(err error, name string, base int64) error {
	if base >= 0 {
		return err
	}
	return fault.New(fault.KindOf(err), "%s: %s", name, fault.Reason(err)).Remedied("%s", fault.Remedy(err))
}

// storage is the member that a storage is.
func (a *archive) storage(folder string, s *Storage) (*layout.File, error) {
	if strings.HasPrefix(s.Key, "/") || strings.Contains("/"+s.Key+"/", "/../") {
		return nil, fault.New(fault.Unsafe, "the key %s of a storage leaves the archive's folder of storages", quoted(s.Key))
	}
	m := a.find(folder + s.Key)
	switch {
	case m == nil && s.Location == "meta":
		return nil, nil
	case m == nil:
		return nil, fault.New(fault.Missing, "the archive has no member %s, which a storage of %d elements is to lie in", quoted(folder+s.Key), s.Numel)
	}
	if s.elem != nil {
		switch want := s.Numel * s.elem.bytes; {
		case m.Size < want:
			return nil, a.at(fault.Truncated, m.Off-a.off, "the member %s has %d bytes, and the %d elements of its storage take %d", quoted(m.Name), m.Size, s.Numel, want)
		case m.Size > want:
			return nil, a.at(fault.Mismatch, m.Off-a.off, "the member %s has %d bytes, and the %d elements of its storage take %d", quoted(m.Name), m.Size, s.Numel, want)
		}
	}
	return a.member(m)
}

// member is a member's bytes.
func (a *archive) member(m *zip.Member) (*layout.File, error) {
	if a.inline == nil {
		return a.zip.File(m)
	}
	data, err := a.zip.Bytes(a.ctx, m, maxPickle)
	return layout.Bytes(data), err
}

// stored reports whether every member lies in the file as it is, so that the file can be mapped.
func (a *archive) stored() bool {
	for i := range a.zip.Members {
		if a.zip.Members[i].Method != zip.Stored {
			return false
		}
	}
	return true
}

// harmless reports whether torch.load takes the pickle with weights_only=True, as far as what it imports goes.
func (a *archive) harmless() bool {
	return a.imports.Worst() == pickle.Safe
}
