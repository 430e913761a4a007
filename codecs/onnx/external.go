package onnx

import (
	"path"
	"strconv"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// external finds the data of tensors that lie in other files:
// https://github.com/onnx/onnx/blob/main/docs/ExternalData.md.
//
// A location is relative to the model's folder and stays below it. Links are the store's matter: what leaves the store
// is refused where a file is opened. Files with several names are taken, which onnx.checker refuses: stores that keep
// equal files once have them.
type external struct {
	files layout.Files
	model string // the model's file
	known map[string]layout.Source
	names []string // of the files, in order of first use
}

// find sets the data of a tensor of length bytes to what the entries of its external_data say.
func (x *external) find(w *tensorWire, entries []model.Entry, length int64) error {
	said := map[string]string{}
	for _, e := range entries {
		if _, twice := said[e.Key]; twice {
			return fault.New(fault.Duplicate, "%q is given twice for its external data", e.Key)
		}
		said[e.Key] = e.Value
	}
	location, ok := said["location"]
	if !ok || location == "" {
		return fault.New(fault.Malformed, "its data is in another file, and no location says in which")
	}
	clean := path.Clean(location)
	switch {
	case strings.ContainsAny(location, "\\\x00"), path.IsAbs(location), clean == "..", strings.HasPrefix(clean, "../"), len(clean) > 1 && clean[1] == ':':
		return fault.New(fault.Unsafe, "its data is at %q, which is not below the model's folder", location)
	case clean == ".", strings.Contains(location, "_ORT_MEM_ADDR_"):
		return fault.New(fault.Malformed, "its data is at %q, which is no file", location)
	}
	number := func(key string) (int64, bool, error) {
		text, ok := said[key]
		if !ok {
			return 0, false, nil
		}
		for _, c := range []byte(text) {
			if c < '0' || c > '9' {
				return 0, true, fault.New(fault.Malformed, "the %s of its external data is %q, which is no number of bytes", key, text)
			}
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			if text == "" {
				return 0, true, fault.New(fault.Malformed, "the %s of its external data is empty", key)
			}
			return 0, true, fault.New(fault.Overflow, "the %s of its external data, %s, does not fit 63 bits", key, text)
		}
		return n, true, nil
	}
	off, _, err := number("offset")
	if err != nil {
		return err
	}
	n, stated, err := number("length")
	if err != nil {
		return err
	}
	name := path.Join(path.Dir(x.model), clean)
	src, err := x.open(name)
	if err != nil {
		return fault.New(fault.KindOf(err), "its data is at %q: %s", location, fault.Reason(err))
	}
	rest := src.Size() - off
	if stated && n > rest || !stated && length > rest {
		return fault.New(fault.Truncated, "%d bytes from %d of %s, which has %d", max(n, length), off, location, src.Size())
	}
	if !stated {
		n = rest
	}
	if n != length {
		return fault.New(fault.Mismatch, "%d bytes of %s, and its shape and type ask for %d", n, location, length)
	}
	w.location, w.file, w.source = location, name, src
	w.data, err = layout.New(layout.Extent{Source: src, Off: off, Len: n})
	return err
}

// open opens a file once.
func (x *external) open(name string) (layout.Source, error) {
	if src := x.known[name]; src != nil {
		return src, nil
	}
	src, err := x.files.Open(name)
	if err != nil {
		return nil, err
	}
	x.known[name] = src
	x.names = append(x.names, name)
	return src, nil
}
