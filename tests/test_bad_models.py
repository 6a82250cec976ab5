"""Models that cannot be compiled: one case for each message, told at once, with the place and what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from networks import node
from onnx import TensorProto, helper, numpy_helper

import xbarc
from xbarc.api.checking import check
from xbarc.errors import ModelError, runtime_words
from xbarc.onnx_io.import_graph import import_graph

Shape = tuple[int | str | None, ...]


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def model(
    nodes: list[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Shape]] | None = None,
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    opset: int = 17,
    output: int = TensorProto.FLOAT,
    functions: list[onnx.FunctionProto] | None = None,
    **imports: int,
) -> onnx.ModelProto:
    """A model that nobody has checked, of ``x`` (float, N x 4) and what else is given, with the output ``y``."""
    read = {"x": (TensorProto.FLOAT, ("N", 4)), **(inputs or {})}
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(name, elem, shape) for name, (elem, shape) in read.items()],
        [helper.make_tensor_value_info("y", output, None)],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    domains = {"": opset, **{name.replace("_", "."): version for name, version in imports.items()}}
    opsets = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=10)


RELU = node("Relu", ["x"], "y")
WEIGHTS = {"w": numbers(4, 3)}
PRODUCT = node("MatMul", ["x", "w"], "y")


def with_names(change: Callable[[bytes], bytes]) -> onnx.ModelProto:
    """A model whose bytes were changed."""
    return onnx.ModelProto.FromString(change(model([RELU]).SerializeToString()))


def without_output() -> onnx.ModelProto:
    made = model([RELU])
    del made.graph.output[:]
    return made


def function(name: str, *nodes: onnx.NodeProto, opset: int = 17) -> onnx.FunctionProto:
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["a"], ["b"], list(nodes), opsets)


def calling(*functions: onnx.FunctionProto) -> onnx.ModelProto:
    call = helper.make_node("F", ["x"], ["y"], name="call", domain="own")
    return model([call], functions=list(functions), own=1)


def old_scan() -> onnx.ModelProto:
    """A scan over frames of which each sample has its own number: only opset 8 has such."""
    step = helper.make_graph(
        [node("Add", ["sum", "frame"], "next"), node("Identity", ["next"], "seen")],
        "step",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in ("sum", "frame")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in ("next", "seen")],
    )
    scan = helper.make_node(
        "Scan", ["lengths", "start", "frames"], ["last", "y"], name="s", body=step, num_scan_inputs=1
    )
    floats = TensorProto.FLOAT
    read = {"lengths": (TensorProto.INT64, (2,)), "start": (floats, (2, 3)), "frames": (floats, (2, 5, 3))}
    return model([scan], read, opset=8)


def declaring(elem: int) -> onnx.ModelProto:
    """A model that gives a constant, and says of what type it is."""
    made = model([RELU], constants={"w": numbers(4, 3)})
    made.graph.output.append(helper.make_tensor_value_info("w", elem, [4, 3]))
    return made


def tensor(**fields: Any) -> onnx.ModelProto:
    """A product with the tensor of these fields."""
    made = model([PRODUCT])
    made.graph.initializer.add(name="w", **{"data_type": TensorProto.FLOAT, "dims": [64, 32], **fields})
    return made


#: Of models in memory: message, how it begins, and the model; ``where`` names a node wherever there is one.
MODELS: list[tuple[str, str | None, onnx.ModelProto]] = [
    # what the model says of itself
    ("the model has no output: there is nothing to compute", None, without_output()),
    ("a name in the model is no text: b'\\xffelu'", None, with_names(lambda data: data.replace(b"Relu", b"\xffelu"))),
    ("there is no opset 999, as far as is known here: the newest is ", None, model([RELU], opset=999)),
    ("there is no opset 0, as far as is known here: the newest is ", None, model([RELU], opset=0)),
    ("there is no opset -1, as far as is known here: the newest is ", None, model([RELU], opset=-1)),
    (
        "the model states two versions of the operators of domain 'ai.onnx': 17 and 13",
        None,
        model([RELU], ai_onnx=13),
    ),
    (
        "neither ONNX nor onnxruntime knows the operator 'Rectify' of domain 'ai.onnx', version 17 (node 'y')",
        "'y'",
        model([node("Rectify", ["x"], "y")]),
    ),
    (
        "neither ONNX nor onnxruntime knows the operator 'Relu' of domain 'org.nobody', version 3 (node 'y')",
        "'y'",
        model([helper.make_node("Relu", ["x"], ["y"], name="y", domain="org.nobody")], org_nobody=3),
    ),
    (
        "opset 6 cannot be converted to 13: No Adapter From Version",
        None,
        model([node("Less", ["x", "x"], "y")], output=TensorProto.BOOL, opset=6),
    ),
    ("the operator Scan of opset 8 has sequence lengths, and cannot be converted", "'s'", old_scan()),
    # its nodes
    (
        "the model is not valid ONNX: Nodes in a graph must be topologically sorted, however input 'b' of node: name:",
        "name: a",
        model([node("Add", ["x", "b"], "a"), node("Relu", ["a"], "b"), node("Relu", ["b"], "y")]),
    ),
    (
        "the model is not valid ONNX: Nodes in a graph must be topologically sorted, however input 'nothing' of node: ",
        "name: y",
        model([node("Add", ["x", "nothing"], "y")]),
    ),
    (
        "the model is not valid ONNX: Graph must be in single static assignment (SSA) form, however 'y' has been used",
        None,
        model([RELU, node("Neg", ["x"], "y")]),
    ),
    (
        "the model is not valid ONNX: Unrecognized attribute: alpha for operator Relu (node 'y', Relu)",
        "'y'",
        model([node("Relu", ["x"], "y", alpha=1.0)]),
    ),
    ("the model is not valid ONNX: Graph output 'y' is not an output of any node", None, model([])),
    (
        "the model is not valid ONNX: Cycle detected in model-local function references: own::F -> own::F.",
        None,
        calling(function("F", helper.make_node("F", ["a"], ["b"], domain="own"))),
    ),
    (
        "the model is not valid ONNX: Opset import for domain in function op Upsample",
        None,
        calling(function("F", node("Upsample", ["a"], "b", scales=[1.0, 2.0]), opset=7)),
    ),
    # types and shapes
    (
        "the model is not valid: Type Error: Type parameter (T) of Optype (Add) bound to different types",
        "(y)",
        model([node("Add", ["x", "i"], "y")], {"i": (TensorProto.INT64, ("N", 4))}),
    ),
    (
        "the model is not valid: Type Error: Type 'tensor(string)' of input parameter (s) of operator (MatMul) in",
        "(y)",
        model([node("MatMul", ["s", "s"], "y")], {"s": (TensorProto.STRING, (2, 2))}, output=TensorProto.STRING),
    ),
    (
        "the model is not valid: Type Error: Type (tensor(int64)) of output arg (y) of node (y) does not match",
        "(y)",
        model([RELU], output=TensorProto.INT64),
    ),
    (
        "the model is not valid: Node (y) Op (MatMul) [ShapeInferenceError] Incompatible dimensions",
        "(y)",
        model([PRODUCT], constants={"w": numbers(5, 3)}),
    ),
    (
        "the model is not valid: Node (y) Op (Softmax) [ShapeInferenceError] 'axis' must be in [-2 , 1]",
        "(y)",
        model([node("Softmax", ["x"], "y", axis=7)]),
    ),
    (
        "types or shapes do not fit together: [TypeInferenceError] Inferred elem type differs from existing",
        None,
        declaring(TensorProto.INT64),
    ),
    # what onnxruntime cannot run
    (
        "onnxruntime cannot load host operators: Invalid direction value of 'UP'. Valid values are 'LEFT' or 'RIGHT'.",
        "node 'y'",
        model(
            [node("BitShift", ["u", "u"], "y", direction="UP")],
            {"u": (TensorProto.UINT32, (2,))},
            output=TensorProto.UINT32,
        ),
    ),
    # tensors
    (
        "the model is not valid ONNX: the data of a tensor do not fit its type and shape, float[64, 32]: ",
        "tensor 'w'",
        tensor(raw_data=bytes(8000)),
    ),
    (
        "the model is not valid ONNX: the data of a tensor do not fit its type and shape, float[64, 32]: ",
        "tensor 'w'",
        tensor(float_data=[1.0] * 2047),
    ),
    (
        "the model is not valid ONNX: the data of a tensor do not fit its type and shape, float[1099511627776, 3]: ",
        "tensor 'w'",
        tensor(dims=[2**40, 3], raw_data=bytes(48)),
    ),
    (
        "the model is not valid ONNX: the data of a tensor do not fit its type and shape, float[-64, -32]: a",
        "tensor 'w'",
        tensor(dims=[-64, -32], raw_data=bytes(8192)),
    ),
    (
        "the model is not valid ONNX: the data of a tensor do not fit its type and shape, float[64, 32]: it has",
        "tensor 'w'",
        tensor(raw_data=bytes(8192), float_data=[1.0]),
    ),
    (
        "the tensor 'w' has its data in another file",
        None,
        tensor(data_location=TensorProto.EXTERNAL),
    ),
    (
        "12 of the 12 weights are not finite (the first is nan)",
        "node 'y' (MatMul)",
        model([PRODUCT], constants={"w": np.full((4, 3), np.nan, np.float32)}),
    ),
    (
        "folding it into the weights before it gives numbers that are not finite",
        "node 'y' (BatchNormalization) after 'c'",
        model(
            [node("Conv", ["i", "k"], "c"), node("BatchNormalization", ["c", "one", "one", "one", "minus"], "y")],
            {"i": (TensorProto.FLOAT, ("N", 3, 4, 4))},
            {"k": numbers(2, 3, 1, 1), "one": np.ones(2, np.float32), "minus": np.full(2, -1, np.float32)},
        ),
    ),
]


@pytest.mark.parametrize(("message", "place", "wrong"), MODELS, ids=[message for message, _, _ in MODELS])
def test_a_model_is_refused_as_soon_as_it_is_read(message: str, place: str | None, wrong: onnx.ModelProto) -> None:
    before = wrong.SerializeToString()
    for attempt in (lambda: check(wrong), lambda: xbarc.compile(wrong, hardware="exact")):
        with pytest.raises(ModelError) as caught:
            attempt()
        assert caught.value.what.startswith(message)
        assert "\n" not in caught.value.what
        assert place is None or place in f"{caught.value.what} {caught.value.where}"
    assert wrong.SerializeToString() == before


def with_external(folder: Path, name: str = "w", **fields: str) -> Path:
    """A file whose tensor lies in ``w.bin``, of 8192 bytes, as the fields say."""
    made = tensor(data_location=TensorProto.EXTERNAL)
    given = {"location": "w.bin", **fields}
    for key, value in given.items():
        made.graph.initializer[0].external_data.add(key=key, value=value)
    (folder / "w.bin").write_bytes(numbers(64, 32).tobytes())
    return saved(folder, made)


def saved(folder: Path, made: onnx.ModelProto | bytes) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    return path


NO_ONNX = "this is not an ONNX file, or it is truncated"
NO_GRAPH = "this is not an ONNX file: it holds no graph"
MISFIT = "the model is not valid ONNX: the data of a tensor do not fit its type and shape, float"

FILES: list[tuple[str, str | None, Callable[[Path], Path]]] = [
    ("there is no such file", None, lambda at: at / "none.onnx"),
    ("this is a folder, not an ONNX file", None, lambda at: at),
    ("the file cannot be read: File name too long", None, lambda at: at / ("n" * 300)),
    (NO_ONNX, "zip archive", lambda at: saved(at, b"PK\3\4" + bytes(99))),
    (NO_ONNX, "HDF5", lambda at: saved(at, b"\x89HDF\r\n\x1a\n" + bytes(9))),
    (NO_ONNX, "text file", lambda at: saved(at, b"version 1\n" * 9)),
    (NO_ONNX, "again", lambda at: saved(at, b"\xff" * 99)),
    (NO_GRAPH, "the file is empty", lambda at: saved(at, b"")),
    (NO_GRAPH, None, lambda at: saved(at, onnx.ModelProto(ir_version=8))),
    ("external data lies outside the model's folder: '../w'", "'w'", lambda at: with_external(at, location="../w")),
    ("external data lies outside the model's folder: '/w'", "'w'", lambda at: with_external(at, location="/w")),
    ("external data is missing: 'v.bin'", "'w'", lambda at: with_external(at, location="v.bin")),
    ("external data cannot be read: File name too long", "'w'", lambda at: with_external(at, location="n" * 300)),
    (
        "external data ends too early: 'w.bin' has 8192 bytes, needed are 4 to 8196",
        "'w'",
        lambda at: with_external(at, offset="4", length="8192"),
    ),
    ("the place of external data cannot be read: ", "'w'", lambda at: with_external(at, offset="-4")),
    ("the place of external data cannot be read: ", "'w'", lambda at: with_external(at, offset="four")),
    (f"{MISFIT}[64, 32]: it has 8188 bytes", "'w'", lambda at: with_external(at, offset="4")),
]


@pytest.mark.parametrize(("message", "hint", "make"), FILES, ids=[message for message, _, _ in FILES])
def test_a_file_is_refused_with_its_path(
    tmp_path: Path, message: str, hint: str | None, make: Callable[[Path], Path]
) -> None:
    path = make(tmp_path)
    with pytest.raises(ModelError) as caught:
        xbarc.compile(path, hardware="exact")
    assert caught.value.what.startswith(message)
    assert str(path) in str(caught.value.where)
    assert hint is None or hint in f"{caught.value.fix} {caught.value.where}"


def test_external_data_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: Any, **__: Any) -> np.ndarray:
        raise PermissionError(13, "Permission denied")

    path = with_external(tmp_path)
    monkeypatch.setattr(np, "fromfile", denied)
    with pytest.raises(ModelError, match="external data cannot be read: Permission denied"):
        xbarc.compile(path, hardware="exact")


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (model([node("Neg", ["a"], "y")]).graph, "node 'y' (Neg) reads 'a', which nothing makes"),
        (model([node("Neg", ["x"], "z")]).graph, "the output 'y' is made by nothing"),
    ],
)
def test_what_no_checker_has_seen_is_refused_when_it_is_imported(graph: onnx.GraphProto, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        import_graph(helper.make_model(graph), arrays={})
    assert caught.value.what == message


@pytest.mark.parametrize(
    "name", ["x" * 100_000, "a.cc:1 " * 10_000, "a: " * 30_000, "(" * 100_000], ids=lambda name: name[:7]
)
def test_words_are_found_beside_names_of_any_length(name: str) -> None:
    """Matched step by step: a pattern that goes back over the name would not end today."""
    wrong = node("BitShift", ["u", "u"], "y", direction="UP")
    wrong.name = name
    given = model([wrong], {"u": (TensorProto.UINT32, (2,))}, output=TensorProto.UINT32)
    with pytest.raises(ModelError, match="Invalid direction value of 'UP'"):
        check(given)
    wrong.attribute.append(helper.make_attribute("alpha", 1.0))
    with pytest.raises(ModelError, match="Unrecognized attribute: "):
        check(model([wrong], {"u": (TensorProto.UINT32, (2,))}, output=TensorProto.UINT32))
    words = runtime_words(Exception(f"[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : no operator for the node '{name}'"))
    assert words.startswith("no operator for the node")


def test_what_onnxruntime_finds_out_only_when_it_runs_is_told_with_the_node() -> None:
    wrong = model([node("Reshape", ["x", "shape"], "y")], constants={"shape": np.array([5, -1])})
    chip = xbarc.compile(wrong, hardware="exact").write()
    message = r"onnxruntime fails on host operators: node 'y' \(Reshape\): The dimension with value zero|.*cannot be"
    with pytest.raises(ModelError, match=message):
        chip.run(numbers(3, 4))
