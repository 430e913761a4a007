"""Writes the models of this folder: onnx==1.23.2 numpy==2.4.6 ml_dtypes==0.6.0.

raw.onnx and typed.onnx hold the same tensors, in raw_data and in the typed fields: one of every type.
everything.onnx has something of every part of the format.
old.onnx is as files were before ir_version 4: weights among the inputs, attributes without a type.
external.onnx has its tensors in external.bin.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as T, helper, numpy_helper

rng = np.random.default_rng(1)


def info(name, kind, *shape):
    return helper.make_tensor_value_info(name, kind, shape)


def model(graph, opset=21, ir=10, **more):
    return helper.make_model(graph, ir_version=ir, producer_name="fixtures", opset_imports=[helper.make_opsetid("", opset)], **more)


def save(proto, name):
    onnx.checker.check_model(proto)
    with open(name, "wb") as file:
        file.write(proto.SerializeToString(deterministic=True))


def every_type():
    raw, typed = [], []
    for name, kind in T.DataType.items():
        if kind in (T.UNDEFINED, T.STRING):
            continue
        dtype = helper.tensor_dtype_to_np_dtype(kind)
        if kind == T.BOOL:
            values = np.array([1, 0, 0, 1, 1], bool)
        elif name.startswith("COMPLEX"):
            values = (rng.standard_normal(5) + 1j * rng.standard_normal(5)).astype(dtype)
        elif name.startswith("FLOAT8E8M0"):
            values = np.array([0.25, 1, 2, 8, 0.5]).astype(dtype)
        elif "INT" in name:
            bits = {"2": 2, "4": 4, "8": 8, "6": 16}.get(name[-1], 32) if not name.endswith("64") else 64
            low, high = (0, 2**bits - 1) if name.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            values = np.array([low, high, 1, low // 2, high // 2], np.uint64 if low == 0 else np.int64).astype(dtype)
        else:
            values = rng.standard_normal(5).astype(dtype)
        proto = numpy_helper.from_array(values, name)
        raw.append(proto)
        other = helper.make_tensor(name, kind, [5], values, raw=False) if not name.startswith("FLOAT6") else None
        if other is None:
            other = T(name=name, data_type=kind, dims=[5])
            other.int32_data.extend(int(v) & 63 for v in values.view(np.uint8))
        typed.append(other)
    return raw, typed


raw, typed = every_type()
for name, tensors in ("raw", raw), ("typed", typed):
    save(model(helper.make_graph([], name, [], [info("INT64", T.INT64, 5)], tensors), opset=26, ir=14), f"{name}.onnx")

weight = lambda name, *shape: numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
branch = lambda tag: helper.make_graph([helper.make_node("Add", ["x", f"{tag}.b"], [f"{tag}.y"])], tag, [], [info(f"{tag}.y", T.FLOAT, 2, 3)], [weight(f"{tag}.b", 3)])
scale = helper.make_function("local", "Scale", ["a"], ["b"], [helper.make_node("Constant", [], ["c"], value=weight("c0", 1)), helper.make_node("Mul", ["a", "c"], ["m"]), helper.make_node("LeakyRelu", ["m"], ["b"])], [helper.make_opsetid("", 21)], attributes=["gain"])
scale.node[2].attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="gain", type=onnx.AttributeProto.FLOAT))
sparse = helper.make_sparse_tensor(helper.make_tensor("sparse", T.FLOAT, [2], [1.5, -2]), helper.make_tensor("", T.INT64, [2], [1, 4]), [2, 3])
words = helper.make_tensor("words", T.STRING, [2, 2], [b"one", b"", b"\xff\xfe", "drei €".encode()])
nodes = [
    helper.make_node("If", ["cond"], ["picked"], name="choose", then_branch=branch("then"), else_branch=branch("else")),
    helper.make_node("Scale", ["picked"], ["scaled"], domain="local", gain=0.25),
    helper.make_node("Add", ["scaled", "sparse"], ["sum"], doc_string="a note"),
    helper.make_node("Odd", ["sum", "", "words"], ["y", ""], domain="vendor.example", ints=[1, -1, 1 << 40], floats=[1.5, float("nan")], strings=["a", b"\xff"], tensors=[weight("inner", 2)], s="", i=0,
                     type=helper.make_tensor_type_proto(T.FLOAT, ["n", None, 3]), types=[helper.make_sequence_type_proto(helper.make_tensor_type_proto(T.INT64, None)), helper.make_map_type_proto(T.INT64, helper.make_tensor_type_proto(T.FLOAT, []))], sparse=sparse),
]
graph = helper.make_graph(nodes, "everything", [info("cond", T.BOOL), info("x", T.FLOAT, "batch", 3), helper.make_tensor_value_info("w", T.FLOAT, [4])], [info("y", T.FLOAT, None, 3)], [weight("w", 4), words, weight("large", 40, 30)],
                          doc_string="has something of everything", value_info=[info("sum", T.FLOAT, 2, 3)], sparse_initializer=[sparse])
annotation = graph.quantization_annotation.add(tensor_name="x")
annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="w")
graph.metadata_props.add(key="graph", value="note")
graph.node[0].metadata_props.add(key="node", value="note")
everything = model(graph, functions=[scale])
everything.opset_import.extend([helper.make_opsetid("local", 1), helper.make_opsetid("vendor.example", 3)])
everything.producer_version, everything.domain, everything.model_version, everything.doc_string = "1", "example", 7, "a model"
helper.set_model_props(everything, {"author": "nobody", "licence": "Apache-2.0"})
step = everything.training_info.add()
step.algorithm.CopyFrom(helper.make_graph([helper.make_node("Identity", ["w"], ["w.new"])], "step", [], [info("w.new", T.FLOAT, 4)]))
step.update_binding.add(key="w", value="w.new")
with open("everything.onnx", "wb") as file:
    file.write(everything.SerializeToString(deterministic=True) + bytes([0xBA, 0x3E, 3]) + b"new" + bytes([0x08 | 0x80, 0x7D, 5]))  # and fields of a later version

old = helper.make_model(helper.make_graph([helper.make_node("Gemm", ["x", "w", "b"], ["y"], alpha=0.5, transB=1)], "old", [info("x", T.FLOAT, 2, 5), info("w", T.FLOAT, 4, 5), info("b", T.FLOAT, 4)], [info("y", T.FLOAT, 2, 4)], [weight("w", 4, 5), weight("b", 4)]), ir_version=1)
old.ClearField("opset_import")
for attribute in old.graph.node[0].attribute:
    attribute.ClearField("type")
with open("old.onnx", "wb") as file:
    file.write(old.SerializeToString(deterministic=True))

Path("external.bin").unlink(missing_ok=True)
outside = model(helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])], "external", [info("x", T.FLOAT, 2, 30)], [info("y", T.FLOAT, 2, 20)], [weight("w", 30, 20), weight("b", 20)]))
onnx.save(outside, "external.onnx", save_as_external_data=True, location="external.bin", size_threshold=0)
