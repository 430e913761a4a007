package onnx

import "github.com/isomerfs/isomerfs/model"

// runtimes are the first releases of ONNX Runtime that take an operator set of ONNX's own, or a version of the IR:
// https://github.com/microsoft/onnxruntime/blob/main/docs/Versioning.md. The first row is the oldest that is named.
var runtimes = []struct {
	opset, ir int64
	release   string
}{
	{17, 8, "1.12"}, {18, 8, "1.14"}, {19, 9, "1.15"}, {20, 9, "1.17"}, {21, 10, "1.18"}, {22, 10, "1.21"}, {23, 11, "1.23"}, {24, 12, "1.24"},
}

// Readers are the Python packages that read the view of a model: ONNX Runtime as new as its graph asks for.
func Readers(m *model.Model) []string {
	release := runtimes[0].release
	if m.Graph != nil {
		opset, ir := m.Graph.Opset(""), m.Graph.IRVersion
		for i, r := range runtimes[1:] {
			if opset > runtimes[i].opset || ir > runtimes[i].ir {
				release = r.release
			}
		}
	}
	return []string{"onnxruntime>=" + release}
}
