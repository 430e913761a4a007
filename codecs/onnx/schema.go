package onnx

import "google.golang.org/protobuf/encoding/protowire"

// message is one of the messages of onnx.proto that are walked into.
type message uint8

const (
	opaqueMessage message = iota // carried, and not looked into
	modelMessage
	graphMessage
	nodeMessage
	attributeMessage
	tensorMessage
	sparseMessage
	valueMessage
	typeMessage
	tensorTypeMessage // of sparse tensors, too
	elemTypeMessage   // a type of something of one other type: a sequence, an option
	mapTypeMessage
	opaqueTypeMessage
	shapeMessage
	dimMessage
	functionMessage
	trainingMessage
	opsetMessage
	entryMessage
	annotationMessage
)

var messageNames = [...]string{
	opaqueMessage: "message", modelMessage: "ModelProto", graphMessage: "GraphProto", nodeMessage: "NodeProto", attributeMessage: "AttributeProto",
	tensorMessage: "TensorProto", sparseMessage: "SparseTensorProto", valueMessage: "ValueInfoProto", typeMessage: "TypeProto",
	tensorTypeMessage: "TypeProto.Tensor", elemTypeMessage: "TypeProto", mapTypeMessage: "TypeProto.Map", opaqueTypeMessage: "TypeProto.Opaque",
	shapeMessage: "TensorShapeProto", dimMessage: "TensorShapeProto.Dimension", functionMessage: "FunctionProto", trainingMessage: "TrainingInfoProto",
	opsetMessage: "OperatorSetIdProto", entryMessage: "StringStringEntryProto", annotationMessage: "TensorAnnotation",
}

func (m message) String() string { return messageNames[m] }

// shape is how a field may stand on the wire.
type shape uint8

const (
	one    shape = iota // at most once
	many                // any number of times
	packed              // any number of times, or several values at once in a field of bytes
)

// rule is what a field of a message may be.
type rule struct {
	name  string
	typ   protowire.Type
	shape shape
	in    message // what a field of bytes holds, where that is a message
	text  bool    // bytes that must be UTF-8, because a name that is not one can't be spoken of
	heavy bool    // bytes that may be large and say nothing of the structure: they are not read
}

const (
	vint  = protowire.VarintType
	f32   = protowire.Fixed32Type
	f64   = protowire.Fixed64Type
	bytes = protowire.BytesType
)

// The fields that are understood, by message and number. Every other field is carried as it is.
var schema = [...]map[protowire.Number]rule{
	modelMessage: {
		1: {name: "ir_version", typ: vint}, 8: {name: "opset_import", typ: bytes, shape: many, in: opsetMessage},
		2: {name: "producer_name", typ: bytes}, 3: {name: "producer_version", typ: bytes}, 4: {name: "domain", typ: bytes},
		5: {name: "model_version", typ: vint}, 6: {name: "doc_string", typ: bytes}, 7: {name: "graph", typ: bytes, in: graphMessage},
		14: {name: "metadata_props", typ: bytes, shape: many, in: entryMessage}, 20: {name: "training_info", typ: bytes, shape: many, in: trainingMessage},
		25: {name: "functions", typ: bytes, shape: many, in: functionMessage},
	},
	graphMessage: {
		1: {name: "node", typ: bytes, shape: many, in: nodeMessage}, 2: {name: "name", typ: bytes},
		5: {name: "initializer", typ: bytes, shape: many, in: tensorMessage}, 15: {name: "sparse_initializer", typ: bytes, shape: many, in: sparseMessage},
		10: {name: "doc_string", typ: bytes}, 11: {name: "input", typ: bytes, shape: many, in: valueMessage},
		12: {name: "output", typ: bytes, shape: many, in: valueMessage}, 13: {name: "value_info", typ: bytes, shape: many, in: valueMessage},
		14: {name: "quantization_annotation", typ: bytes, shape: many, in: annotationMessage},
		16: {name: "metadata_props", typ: bytes, shape: many, in: entryMessage},
	},
	nodeMessage: {
		1: {name: "input", typ: bytes, shape: many, text: true}, 2: {name: "output", typ: bytes, shape: many, text: true},
		3: {name: "name", typ: bytes, text: true}, 4: {name: "op_type", typ: bytes, text: true}, 7: {name: "domain", typ: bytes, text: true},
		8: {name: "overload", typ: bytes, text: true}, 5: {name: "attribute", typ: bytes, shape: many, in: attributeMessage},
		6: {name: "doc_string", typ: bytes}, 9: {name: "metadata_props", typ: bytes, shape: many, in: entryMessage},
	},
	attributeMessage: {
		1: {name: "name", typ: bytes, text: true}, 21: {name: "ref_attr_name", typ: bytes, text: true}, 13: {name: "doc_string", typ: bytes},
		20: {name: "type", typ: vint}, 2: {name: "f", typ: f32}, 3: {name: "i", typ: vint}, 4: {name: "s", typ: bytes},
		5: {name: "t", typ: bytes, in: tensorMessage}, 6: {name: "g", typ: bytes, in: graphMessage},
		22: {name: "sparse_tensor", typ: bytes, in: sparseMessage}, 14: {name: "tp", typ: bytes, in: typeMessage},
		7: {name: "floats", typ: f32, shape: packed}, 8: {name: "ints", typ: vint, shape: packed}, 9: {name: "strings", typ: bytes, shape: many},
		10: {name: "tensors", typ: bytes, shape: many, in: tensorMessage}, 11: {name: "graphs", typ: bytes, shape: many, in: graphMessage},
		23: {name: "sparse_tensors", typ: bytes, shape: many, in: sparseMessage}, 15: {name: "type_protos", typ: bytes, shape: many, in: typeMessage},
	},
	tensorMessage: {
		1: {name: "dims", typ: vint, shape: packed}, 2: {name: "data_type", typ: vint}, 3: {name: "segment", typ: bytes},
		4: {name: "float_data", typ: f32, shape: packed, heavy: true}, 5: {name: "int32_data", typ: vint, shape: packed, heavy: true},
		6: {name: "string_data", typ: bytes, shape: many, heavy: true}, 7: {name: "int64_data", typ: vint, shape: packed, heavy: true},
		8: {name: "name", typ: bytes, text: true}, 12: {name: "doc_string", typ: bytes}, 9: {name: "raw_data", typ: bytes, heavy: true},
		13: {name: "external_data", typ: bytes, shape: many, in: entryMessage}, 14: {name: "data_location", typ: vint},
		10: {name: "double_data", typ: f64, shape: packed, heavy: true}, 11: {name: "uint64_data", typ: vint, shape: packed, heavy: true},
		16: {name: "metadata_props", typ: bytes, shape: many, in: entryMessage},
	},
	sparseMessage: {
		1: {name: "values", typ: bytes, in: tensorMessage}, 2: {name: "indices", typ: bytes, in: tensorMessage}, 3: {name: "dims", typ: vint, shape: packed},
	},
	valueMessage: {
		1: {name: "name", typ: bytes, text: true}, 2: {name: "type", typ: bytes, in: typeMessage}, 3: {name: "doc_string", typ: bytes},
		4: {name: "metadata_props", typ: bytes, shape: many, in: entryMessage},
	},
	typeMessage: {
		1: {name: "tensor_type", typ: bytes, in: tensorTypeMessage}, 4: {name: "sequence_type", typ: bytes, in: elemTypeMessage},
		5: {name: "map_type", typ: bytes, in: mapTypeMessage}, 9: {name: "optional_type", typ: bytes, in: elemTypeMessage},
		8: {name: "sparse_tensor_type", typ: bytes, in: tensorTypeMessage}, 7: {name: "opaque_type", typ: bytes, in: opaqueTypeMessage},
		6: {name: "denotation", typ: bytes},
	},
	tensorTypeMessage: {1: {name: "elem_type", typ: vint}, 2: {name: "shape", typ: bytes, in: shapeMessage}},
	elemTypeMessage:   {1: {name: "elem_type", typ: bytes, in: typeMessage}},
	mapTypeMessage:    {1: {name: "key_type", typ: vint}, 2: {name: "value_type", typ: bytes, in: typeMessage}},
	opaqueTypeMessage: {1: {name: "domain", typ: bytes, text: true}, 2: {name: "name", typ: bytes, text: true}},
	shapeMessage:      {1: {name: "dim", typ: bytes, shape: many, in: dimMessage}},
	dimMessage:        {1: {name: "dim_value", typ: vint}, 2: {name: "dim_param", typ: bytes, text: true}, 3: {name: "denotation", typ: bytes}},
	functionMessage: {
		1: {name: "name", typ: bytes, text: true}, 4: {name: "input", typ: bytes, shape: many, text: true}, 5: {name: "output", typ: bytes, shape: many, text: true},
		6: {name: "attribute", typ: bytes, shape: many, text: true}, 11: {name: "attribute_proto", typ: bytes, shape: many, in: attributeMessage},
		7: {name: "node", typ: bytes, shape: many, in: nodeMessage}, 8: {name: "doc_string", typ: bytes},
		9: {name: "opset_import", typ: bytes, shape: many, in: opsetMessage}, 10: {name: "domain", typ: bytes, text: true},
		13: {name: "overload", typ: bytes, text: true}, 12: {name: "value_info", typ: bytes, shape: many, in: valueMessage},
		14: {name: "metadata_props", typ: bytes, shape: many, in: entryMessage},
	},
	trainingMessage: {
		1: {name: "initialization", typ: bytes, in: graphMessage}, 2: {name: "algorithm", typ: bytes, in: graphMessage},
		3: {name: "initialization_binding", typ: bytes, shape: many, in: entryMessage}, 4: {name: "update_binding", typ: bytes, shape: many, in: entryMessage},
	},
	opsetMessage:      {1: {name: "domain", typ: bytes, text: true}, 2: {name: "version", typ: vint}},
	entryMessage:      {1: {name: "key", typ: bytes}, 2: {name: "value", typ: bytes}},
	annotationMessage: {1: {name: "tensor_name", typ: bytes, text: true}, 2: {name: "quant_parameter_tensor_names", typ: bytes, shape: many, in: entryMessage}},
}

// oneOf are the groups of fields of which a message holds one.
var oneOf = map[message]uint64{
	typeMessage: 1<<1 | 1<<4 | 1<<5 | 1<<7 | 1<<8 | 1<<9,
	dimMessage:  1<<1 | 1<<2,
}
