package onnx

import (
	stdbytes "bytes"
	"path"
	"reflect"
	"testing"

	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// unchanged asks that a graph as it was read, and a clone of it, are written as the stored files.
func unchanged(t *testing.T, name string, m *model.Model, f folder) {
	t.Helper()
	for _, g := range []*model.Graph{m.Graph, m.Graph.Clone()} {
		outputs, err := Encode(g)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if len(outputs) != len(m.Files) {
			t.Errorf("%s: %d files of %d", name, len(outputs), len(m.Files))
			return
		}
		for i, out := range outputs {
			if out.File.Size() > 0 && out.File.Identical() != layout.Source(f[m.Files[i]]) {
				t.Errorf("%s: %s is not the stored %s:\n%.2000s", name, out.Path, m.Files[i], out.File)
			}
		}
	}
}

// reworded asks that a change of the producer's name changes nothing else.
func reworded(t *testing.T, name string, m *model.Model) {
	t.Helper()
	g := m.Graph.Clone()
	was := g.Producer
	g.Producer = "someone else"
	outputs, err := Encode(g)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	back, err := decode(ctx, layoutSource{outputs[0].File}, together(outputs), modelName)
	if err != nil {
		t.Errorf("%s, reworded: %v", name, err)
		return
	}
	if m.Source == nil { // data in other files moved
		same(t, name, m.Graph, back.Graph, false)
		return
	}
	g = back.Graph.Clone()
	g.Producer = was
	outputs, err = Encode(g)
	if err != nil {
		t.Errorf("%s, worded back: %v", name, err)
		return
	}
	got, want := content(t, outputs[0].File), content(t, layout.Stored(m.Source))
	if was != "" && !stdbytes.Equal(got, want) || len(got)-len(want) > 2+len("someone else") {
		t.Errorf("%s: %d bytes are %d after a word was changed and changed back", name, len(want), len(got))
	}
}

// anew asks that a graph without anything of its stored bytes is written as a file that reads as the same graph, and
// is written the same again.
func anew(t *testing.T, name string, m *model.Model) {
	t.Helper()
	g := m.Graph.Clone()
	if !forget(reflect.ValueOf(g)) { // strings can't be written anew
		return
	}
	outputs, err := Encode(g)
	if err != nil {
		t.Errorf("%s, anew: %v", name, err)
		return
	}
	back, err := decode(ctx, layoutSource{outputs[0].File}, together(outputs), modelName)
	if err != nil {
		t.Errorf("%s, anew: %v", name, err)
		return
	}
	same(t, name, m.Graph, back.Graph, true)
	again := back.Graph.Clone()
	forget(reflect.ValueOf(again))
	second, err := Encode(again)
	if err != nil || len(second) != len(outputs) || !stdbytes.Equal(content(t, second[0].File), content(t, outputs[0].File)) {
		t.Errorf("%s: written anew twice it is not the same: %v", name, err)
	}
}

// forget takes away every Wire below a value. It reports false where a tensor has no bytes without.
func forget(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() || v.Type() == reflect.TypeFor[*layout.File]() {
			return true
		}
		return forget(v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			if !forget(v.Index(i)) {
				return false
			}
		}
	case reflect.Struct:
		if c, ok := v.Interface().(model.Constant); ok && (c.DType == model.String || c.DType == model.Invalid) {
			return false
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "Wire" {
				v.Field(i).SetZero()
			} else if !forget(v.Field(i)) {
				return false
			}
		}
	}
	return true
}

// same compares all that two graphs say.
func same(t *testing.T, name string, a, b *model.Graph, all bool) {
	t.Helper()
	a, b = a.Clone(), b.Clone()
	if !all {
		b.Producer = a.Producer
	}
	var walk func(path string, a, b reflect.Value)
	bad := 0
	walk = func(at string, a, b reflect.Value) {
		if bad > 3 {
			return
		}
		wrong := func() {
			bad++
			t.Errorf("%s: %s differs: %.200v, %.200v", name, at, a, b)
		}
		if a.Kind() != b.Kind() || a.Type() != b.Type() {
			wrong()
			return
		}
		switch a.Kind() {
		case reflect.Pointer, reflect.Interface:
			if a.IsNil() || b.IsNil() {
				if a.IsNil() != b.IsNil() {
					wrong()
				}
				return
			}
			if f, ok := a.Interface().(*layout.File); ok {
				if !stdbytes.Equal(content(t, f), content(t, b.Interface().(*layout.File))) {
					wrong()
				}
				return
			}
			walk(at, a.Elem(), b.Elem())
		case reflect.Slice:
			if a.Len() != b.Len() {
				wrong()
				return
			}
			for i := range a.Len() {
				walk(path.Join(at, itoa(int64(i))), a.Index(i), b.Index(i))
			}
		case reflect.Struct:
			for i := range a.NumField() {
				if field := a.Type().Field(i).Name; field != "Wire" {
					walk(path.Join(at, field), a.Field(i), b.Field(i))
				}
			}
		case reflect.Float32:
			if a.Float() != b.Float() && a.Float() == a.Float() {
				wrong()
			}
		default:
			if a.Interface() != b.Interface() {
				wrong()
			}
		}
	}
	walk("", reflect.ValueOf(a), reflect.ValueOf(b))
}

// together is what was written, as files to read.
type together []model.Output

func (l together) List() []string { return nil }
func (l together) Open(name string) (layout.Source, error) {
	for _, o := range l {
		if o.Path == name {
			return layoutSource{o.File}, nil
		}
	}
	return folder{}.Open(name)
}
