package views

import (
	"encoding/json"
	"testing"

	"github.com/isomerfs/isomerfs/codecs/torch"
	"github.com/isomerfs/isomerfs/codecs/zip"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// FuzzCheckpoint: of any object that a checkpoint may hold, every view that is made can be read back, and every one
// that is not has a reason that somebody classified.
func FuzzCheckpoint(f *testing.F) {
	var members []zip.Entry
	for _, name := range []string{"training.pt", "saved.pt"} {
		src := saved(f, name)
		a, err := zip.Open(ctx, src, 0, src.Size())
		if err != nil {
			f.Fatal(err)
		}
		for i := range a.Members {
			m := &a.Members[i]
			b, err := a.Bytes(ctx, m, 1<<20)
			if err != nil {
				f.Fatal(err)
			}
			switch short := m.Name[len(name)-len(".pt")+1:]; {
			case short == "data.pkl":
				f.Add(b)
			case name == "training.pt":
				members = append(members, zip.Entry{Name: "m/" + short, Data: layout.Bytes(b)})
			}
		}
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		archive, err := zip.Write(zip.Torch, append([]zip.Entry{{Name: "m/data.pkl", Data: layout.Bytes(object)}}, members...)...)
		if err != nil {
			t.Fatal(err)
		}
		data := content(t, archive)
		files := folder{"m.pt": {name: "m.pt", data: data, body: int64(len(data))}}
		m, err := torch.Read(ctx, files, "m.pt")
		if err != nil {
			return
		}
		for _, precision := range []string{"fp32", "fp16-full"} {
			out, err := view("pytorch").Plan(m, precision)
			if err != nil {
				if fault.KindOf(err) == fault.Unknown {
					t.Errorf("%s: %v", precision, err)
				}
				continue
			}
			distinct(t, out)
			if out[0].File.Size() <= mostFuzzed {
				written := content(t, out[0].File)
				if _, err := torch.Read(ctx, folder{"model.pt": {name: "model.pt", data: written}}, "model.pt"); err != nil && fault.KindOf(err).Broken() {
					t.Errorf("%s: what was written is refused: %v", precision, err)
				}
			}
		}
		view("pytorch").Left(m)
		view("optimizer").Saves(m)
		if out, err := view("optimizer").Plan(m, ""); err == nil {
			distinct(t, out)
			for _, o := range out[:2] {
				if o.File.Size() <= mostFuzzed && !json.Valid(content(t, o.File)) {
					t.Errorf("%s is no JSON:\n%s", o.Path, content(t, o.File))
				}
			}
		} else if fault.KindOf(err) == fault.Unknown {
			t.Error(err)
		}
	})
}

const mostFuzzed = 4 << 20

// distinct fails where a plan has one path twice.
func distinct(t *testing.T, out []Output) {
	t.Helper()
	seen := map[string]bool{}
	for _, o := range out {
		if seen[o.Path] || o.Path == "" {
			t.Errorf("%q twice, or without a name", o.Path)
		}
		seen[o.Path] = true
	}
}
