package model

import (
	"reflect"
	"testing"

	"github.com/isomerfs/isomerfs/layout"
)

// filled is a value with something in every field, n levels down.
func filled(t reflect.Type, n int) reflect.Value {
	v := reflect.New(t).Elem()
	switch t.Kind() {
	case reflect.Pointer:
		if t == reflect.TypeFor[*layout.File]() {
			return reflect.ValueOf(layout.Bytes([]byte{1, 2, 3}))
		}
		if n > 0 {
			v.Set(reflect.New(t.Elem()))
			v.Elem().Set(filled(t.Elem(), n-1))
		}
	case reflect.Slice:
		if n > 1 { // and its elements, which are not nil
			v = reflect.Append(v, filled(t.Elem(), n-1), filled(t.Elem(), n-1))
		}
	case reflect.Struct:
		for i := range t.NumField() {
			switch f := v.Field(i); {
			case t.Field(i).Name == "Wire":
				f.Set(reflect.ValueOf(any(&struct{ byte }{1})))
			default:
				f.Set(filled(f.Type(), n))
			}
		}
	case reflect.String:
		v.SetString("s")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		v.SetInt(7)
	case reflect.Uint8:
		v.SetUint(3)
	}
	return v
}

// shared reports the first place where two values hold the same memory: but bytes of tensors, and a codec's own.
func shared(at string, a, b reflect.Value) string {
	switch a.Kind() {
	case reflect.Interface:
		if !a.IsNil() {
			return shared(at, a.Elem(), b.Elem())
		}
	case reflect.Pointer:
		if a.IsNil() || a.Type() == reflect.TypeFor[*layout.File]() {
			return ""
		}
		if a.Pointer() == b.Pointer() {
			return at
		}
		return shared(at, a.Elem(), b.Elem())
	case reflect.Slice:
		if a.Len() > 0 && a.Pointer() == b.Pointer() {
			return at
		}
		for i := range a.Len() {
			if s := shared(at+"[]", a.Index(i), b.Index(i)); s != "" {
				return s
			}
		}
	case reflect.Struct:
		for i := range a.NumField() {
			if name := a.Type().Field(i).Name; name != "Wire" {
				if s := shared(at+"."+name, a.Field(i), b.Field(i)); s != "" {
					return s
				}
			}
		}
	}
	return ""
}

func TestClone(t *testing.T) {
	g := filled(reflect.TypeFor[*Graph](), 7).Interface().(*Graph)
	part := func(v any) { // attributes hold values of every kind
		a := &Attribute{Name: "a", Value: v}
		for _, f := range g.Main.Nodes {
			f.Attributes = append(f.Attributes, a)
		}
	}
	part(float32(1))
	part(int64(1))
	part("s")
	part([]float32{1})
	part([]int64{1})
	part([]string{"s"})
	for _, kind := range []reflect.Type{
		reflect.TypeFor[*Constant](), reflect.TypeFor[*Body](), reflect.TypeFor[*Sparse](), reflect.TypeFor[*Type](),
		reflect.TypeFor[[]*Constant](), reflect.TypeFor[[]*Body](), reflect.TypeFor[[]*Sparse](), reflect.TypeFor[[]*Type](),
	} {
		part(filled(kind, 4).Interface())
	}
	c := g.Clone()
	if !reflect.DeepEqual(g, c) {
		t.Error("a clone is not equal")
	}
	if s := shared("Graph", reflect.ValueOf(g), reflect.ValueOf(c)); s != "" {
		t.Errorf("a clone shares %s", s)
	}
	if g.Main.Initializers[0].Data != c.Main.Initializers[0].Data || g.Main.Wire != c.Main.Wire {
		t.Error("a clone has data, or a codec's bytes, of its own")
	}
}

func TestTypeEqual(t *testing.T) {
	a := &Type{Form: TensorForm, DType: F32, Ranked: true, Shape: []Dim{{Fixed: true, Size: 3}, {Param: "n"}}}
	for _, change := range []func(*Type){
		func(t *Type) {}, func(t *Type) { t.Form = SparseForm }, func(t *Type) { t.DType = F16 }, func(t *Type) { t.Ranked = false }, func(t *Type) { t.Shape[1].Param = "m" },
		func(t *Type) { t.Shape = t.Shape[:1] }, func(t *Type) { t.Elem = &Type{} }, func(t *Type) { t.Key = I64 }, func(t *Type) { t.Denotation = "d" }, func(t *Type) { t.Name = "o" }, func(t *Type) { t.Domain = "o" },
	} {
		b := a.Clone()
		change(b)
		if a.Equal(b) != reflect.DeepEqual(a, b) {
			t.Errorf("%+v, %+v: %v", a, b, a.Equal(b))
		}
	}
	if a.Equal(nil) || !(*Type)(nil).Equal(nil) || (*Type)(nil).Clone() != nil {
		t.Error("nil is equal to nil alone")
	}
}
