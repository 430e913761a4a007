package torch

import (
	"archive/tar"
	"io"
	"path"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/fault"
)

// maxTapeFiles is how many members of a tar are looked at.
const maxTapeFiles = 1 << 16

// tape reads a tar: what PyTorch saved before 0.1.10, or an archive of NeMo's around a checkpoint.
func (f *file) tape() (*reading, Container, error) {
	members, err := f.members()
	if err != nil {
		return nil, "", err
	}
	if _, ok := members["sys_info"]; ok {
		r, err := f.oldest(members)
		return r, Tar, err
	}
	for name, e := range members {
		if name == "model_weights.ckpt" {
			return f.part(e.off, e.size).read()
		}
	}
	return nil, "", fault.New(fault.Unsupported, "a tar that is neither one of PyTorch's, which has a member sys_info, nor one of NeMo's, which has model_weights.ckpt")
}

// members are the files of a tar, by their names without a leading ./.
func (f *file) members() (map[string]extent, error) {
	in := &position{f: f}
	t := tar.NewReader(in)
	members := map[string]extent{}
	for {
		h, err := t.Next()
		if err == io.EOF {
			return members, nil
		}
		if in.err != nil {
			return nil, in.err
		}
		if err != nil {
			return nil, f.at(fault.Malformed, in.off, "a tar: %s", err)
		}
		if f.ctx.Err() != nil {
			return nil, f.ctx.Err()
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		for key := range h.PAXRecords {
			if strings.HasPrefix(key, "GNU.sparse.") {
				return nil, f.at(fault.Unsupported, in.off, "a tar with a sparse member, %s", quoted(h.Name))
			}
		}
		name := strings.TrimPrefix(path.Clean(h.Name), "./")
		if _, twice := members[name]; twice {
			return nil, f.at(fault.Duplicate, in.off, "a tar with two members %s", quoted(name))
		}
		if len(members) == maxTapeFiles {
			return nil, f.at(fault.Limit, in.off, "a tar with more than %d members", maxTapeFiles)
		}
		if h.Size > f.size-in.off {
			return nil, f.at(fault.Truncated, in.off, "the member %s of a tar has %d bytes, and the file ends after %d", quoted(name), h.Size, f.size-in.off)
		}
		members[name] = extent{in.off, h.Size}
	}
}

// position reads a file in order and knows where it is.
type position struct {
	f   *file
	off int64
	err error // of reading, if it is not the end
}

func (p *position) Read(b []byte) (int, error) {
	n, err := p.f.ReadAt(b, p.off)
	p.off += int64(n)
	if err != nil && err != io.EOF {
		p.err = err
	}
	if n > 0 {
		err = nil
	}
	return n, err
}

func (p *position) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += p.off
	case io.SeekEnd:
		off += p.f.size
	}
	p.off = max(0, off)
	return p.off, nil
}

// oldest reads the three members of a tar that PyTorch saved:
//
//	storages  pickle count; for each: pickle (key, location, class), int64 elements, and they;
//	          pickle [(key, key of whole, offset, elements)...] of parts of them
//	tensors   pickle count; for each: pickle (key, storage, class), int32 dimensions, 4 bytes, int64 sizes, strides, offset
//	pickle    the object, in which the keys are persistent ids
func (f *file) oldest(members map[string]extent) (*reading, error) {
	var parts [3]*file
	for i, name := range []string{"storages", "tensors", "pickle"} {
		e, ok := members[name]
		if !ok {
			return nil, fault.New(fault.Missing, "the tar has no member %s", name)
		}
		parts[i] = f.part(e.off, e.size)
	}
	o := &oldest{r: newReading(f, nil, parts[2].base(0)), storages: map[string]*Storage{}, tensors: map[string]*Tensor{}}
	if err := o.readStorages(parts[0]); err != nil {
		return nil, err
	}
	if err := o.readTensors(parts[1]); err != nil {
		return nil, err
	}
	root, end, err := parts[2].pickle(0)
	if err != nil {
		return nil, err
	}
	if end != parts[2].size {
		return nil, parts[2].at(fault.Malformed, end, "%d bytes follow the end of the pickle", parts[2].size-end)
	}
	o.r.root = root
	var objects []*pickle.Object
	err = each(root, func(v pickle.Value) error {
		o.r.values++
		switch v := v.(type) {
		case *pickle.Object:
			objects = append(objects, v)
		case *pickle.Persistent:
			if isContainer(v) {
				return nil
			}
			key := keyName(v.ID)
			if t := o.tensors[key]; t != nil {
				o.r.held[v] = t
			} else if s := o.storages[key]; s != nil {
				o.r.persist[v] = s
			} else {
				return o.r.at(fault.Missing, v.Off, "neither a tensor nor a storage has the key %s", quoted(key))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return o.r, o.r.make(objects)
}

// oldest is what a tar's members say, by key.
type oldest struct {
	r        *reading
	storages map[string]*Storage
	tensors  map[string]*Tensor
}

// list reads a number at the beginning of a member, and as many pickled tuples of three, each with what follows it.
func (f *file) list(what string, each func(key string, fields []pickle.Value, off int64) (int64, error)) (int64, error) {
	v, off, err := f.pickle(0)
	if err != nil {
		return 0, err
	}
	count, ok := v.(int64)
	if !ok || count < 0 {
		return 0, fault.New(fault.Malformed, "the number of %s is no number", what)
	}
	for range count {
		if f.ctx.Err() != nil {
			return 0, f.ctx.Err()
		}
		at := off
		v, next, err := f.pickle(off)
		if err != nil {
			return 0, err
		}
		t, ok := v.(*pickle.Tuple)
		if !ok || len(t.Items) != 3 {
			return 0, f.at(fault.Malformed, at, "one of the %s is no tuple of three", what)
		}
		if off, err = each(keyName(t.Items[0]), t.Items, next); err != nil {
			return 0, err
		}
	}
	return off, nil
}

func (o *oldest) readStorages(f *file) error {
	off, err := f.list("storages", func(key string, fields []pickle.Value, off int64) (int64, error) {
		s := &Storage{Key: key}
		s.Location, _ = text(fields[1])
		if err := o.r.class(s, fields[2], 0); err != nil {
			return 0, f.at(fault.KindOf(err), off, "%s", fault.Reason(err))
		}
		if s.elem == nil {
			return 0, f.at(fault.Unsupported, off, "storage %s is a %s, whose elements are of no known size, so that nobody knows where the next begins", quoted(key), quoted(s.Class))
		}
		size, err := f.storage(off, -1, s.elem.bytes, key)
		if err != nil {
			return 0, err
		}
		s.Numel = size / s.elem.bytes
		if s.Data, err = f.bytes(off+8, size); err != nil {
			return 0, err
		}
		if o.storages[key] != nil {
			return 0, f.at(fault.Duplicate, off, "two storages have the key %s", quoted(key))
		}
		o.storages[key] = s
		return off + 8 + size, nil
	})
	if err != nil {
		return err
	}
	v, end, err := f.pickle(off)
	if err != nil {
		return err
	}
	views, ok := v.(*pickle.List)
	if !ok || end != f.size {
		return f.at(fault.Malformed, off, "the storages do not end in a list of parts")
	}
	for _, v := range views.Items {
		t, ok := v.(*pickle.Tuple)
		if !ok || len(t.Items) != 4 {
			return f.at(fault.Malformed, off, "a part of a storage is no tuple of four")
		}
		whole := o.storages[keyName(t.Items[1])]
		if whole == nil {
			return f.at(fault.Missing, off, "a part of the storage %s, which is not there", quoted(keyName(t.Items[1])))
		}
		from, okFrom := t.Items[2].(int64)
		n, okN := t.Items[3].(int64)
		if !okFrom || !okN || from < 0 || n < 0 || from > whole.Numel-n {
			return f.at(fault.Extent, off, "a part of storage %s that does not lie in its %d elements", quoted(whole.Key), whole.Numel)
		}
		s := *whole
		s.Key, s.Numel = keyName(t.Items[0]), n
		if s.Data, err = whole.Data.Slice(from*s.elem.bytes, n*s.elem.bytes); err != nil {
			return err
		}
		o.storages[s.Key] = &s
	}
	return nil
}

func (o *oldest) readTensors(f *file) error {
	end, err := f.list("tensors", func(key string, fields []pickle.Value, off int64) (int64, error) {
		s := o.storages[keyName(fields[1])]
		if s == nil {
			return 0, f.at(fault.Missing, off, "a tensor of the storage %s, which is not there", quoted(keyName(fields[1])))
		}
		short := func(n int64) error {
			if off > f.size-n {
				return f.at(fault.Truncated, off, "a tensor ends past the end of the member")
			}
			return nil
		}
		if err := short(8); err != nil {
			return 0, err
		}
		var head [8]byte
		if err := f.full(head[:], off); err != nil {
			return 0, err
		}
		dims := int64(le.Uint32(head[:]))
		if dims > maxRank {
			return 0, f.at(fault.Limit, off, "a tensor of %d dimensions, and the most is %d", dims, maxRank)
		}
		off += 8
		if err := short(16*dims + 8); err != nil {
			return 0, err
		}
		raw := make([]byte, 16*dims+8)
		if err := f.full(raw, off); err != nil {
			return 0, err
		}
		numbers := make([]int64, 2*dims+1)
		for i := range numbers {
			if numbers[i] = int64(le.Uint64(raw[8*i:])); numbers[i] < 0 {
				return 0, f.at(fault.Malformed, off, "a tensor whose sizes, strides and offset are %v", numbers[:i+1])
			}
		}
		t, err := o.r.viewOf(s, nil, numbers[2*dims], numbers[:dims:dims], numbers[dims:2*dims:2*dims], false, false, 0)
		if err != nil {
			return 0, f.at(fault.KindOf(err), off, "%s", fault.Reason(err))
		}
		if o.tensors[key] != nil {
			return 0, f.at(fault.Duplicate, off, "two tensors have the key %s", quoted(key))
		}
		o.tensors[key] = t
		return off + int64(len(raw)), nil
	})
	if err == nil && end != f.size {
		err = f.at(fault.Extent, end, "%d bytes follow the last tensor", f.size-end)
	}
	return err
}
