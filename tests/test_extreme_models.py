"""Models that are right, if barely: deep, wide, empty, oddly named, untidy. They give what onnxruntime gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import pytest
from networks import error, node, run
from onnx import TensorProto, helper, numpy_helper

import xbarc
from xbarc.api.checking import check
from xbarc.errors import ModelError

FLOAT = TensorProto.FLOAT
W = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
X = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)

Declared = Mapping[str, Sequence[int | str | None] | None]


def model(
    nodes: list[onnx.NodeProto],
    inputs: Declared | None = None,
    outputs: Declared | None = None,
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    opset: int = 17,
    **more: list[onnx.FunctionProto],
) -> onnx.ModelProto:
    """A model of float32, by default from ``x`` (N x 4) to ``y``, with the matrix ``w``; not tidied in any way."""

    def infos(declared: Declared) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in declared.items()]

    graph = helper.make_graph(
        nodes,
        "network",
        infos({"x": ["N", 4]} if inputs is None else inputs),
        infos({"y": None} if outputs is None else outputs),
        [
            numpy_helper.from_array(array, name)
            for name, array in ({"w": W} if constants is None else constants).items()
        ],
    )
    domains = {"": opset} | {function.domain: 1 for function in more.get("functions", ())}
    imports = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, **more)


def right(given: onnx.ModelProto, feeds: Mapping[str, np.ndarray] | None = None, *, layers: int = 1) -> xbarc.Program:
    """Exact hardware and the program in onnxruntime give what onnxruntime gives of the model."""
    fed = {"x": X} if feeds is None else feeds
    program = xbarc.compile(given, hardware="exact")
    assert len(program.report().layers) == layers
    made = program.write().run_batch(fed)
    names = [entry.name for entry in given.graph.output]
    for name, theirs, wanted in zip(names, run(program.model(), fed), run(given, fed), strict=True):
        assert error(made[name], wanted) < 1e-5
        assert error(theirs, wanted) < 1e-5
    return program


def test_a_chain_of_ten_thousand_nodes_of_one_name() -> None:
    steps = [helper.make_node("Neg", [f"v{i}"], [f"v{i + 1}"], name="same") for i in range(10_000)]
    deep = model([node("MatMul", ["x", "w"], "v0"), *steps], outputs={"v10000": None})
    program = xbarc.compile(deep, hardware="exact")
    assert error(program.write().run(X)["v10000"], X @ W) < 1e-5
    assert len({operator.name for operator in program.report().host}) == 10_000
    assert check(deep).analog_share == 1.0


def test_bodies_as_deep_as_protobuf_reads() -> None:
    then, otherwise = node("MatMul", ["x", "w"], "then28"), node("Neg", ["x"], "else28")
    for depth in reversed(range(28)):
        branches = [
            helper.make_graph([step], "body", [], [helper.make_tensor_value_info(step.output[0], FLOAT, None)])
            for step in (then, otherwise)
        ]
        then = node("If", ["c"], f"then{depth}", then_branch=branches[0], else_branch=branches[1])
        otherwise = node("Neg", ["x"], f"else{depth}")
    nested = model([then], outputs={"then0": None})
    nested.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    for condition in (True, False):
        right(nested, {"x": X, "c": np.array(condition)})


def test_five_thousand_inputs() -> None:
    names = [f"x{number}" for number in range(5000)]
    wide = model([node("Sum", names, "sum"), node("MatMul", ["sum", "w"], "y")], dict.fromkeys(names, ("N", 4)))
    right(wide, dict.fromkeys(names, X))


@pytest.mark.parametrize(
    "name", ["a b", "a\nb", "\0", "é\u202e", "x" * 20_000, "a/../b\\c", "'\"", "%d{x}[bold]", "-"], ids=ascii
)
def test_any_text_is_a_name(name: str) -> None:
    nodes = [
        helper.make_node("MatMul", [name, f"{name}w"], [f"{name}h"], name=name),
        helper.make_node("Relu", [f"{name}h"], [f"{name}y"], name=f"{name}w"),
    ]
    program = right(model(nodes, {name: ["N", 4]}, {f"{name}y": None}, {f"{name}w": W}), {name: X})
    assert [layer.name for layer in program.report().layers] == [name]


PRODUCT = node("MatMul", ["x", "w"], "y")


@pytest.mark.parametrize(
    ("odd", "layers"),
    [
        (model([PRODUCT], outputs={"x": ["N", 4], "y": None}), 1),
        (model([PRODUCT], outputs={"w": [4, 4], "y": None}), 1),
        (model([PRODUCT], outputs={"y": None, "x": None, "w": None}), 1),
        (model([], outputs={"x": ["N", 4]}), 0),
        (model([], outputs={"w": [4, 4]}), 0),
        (model([PRODUCT], inputs={"x": ["N", 4], "w": [4, 4]}), 1),
        (model([PRODUCT], inputs={"x": ["N", -1]}), 1),
        (model([PRODUCT], outputs={"y": ["N", 7]}), 1),
        (model([PRODUCT], outputs={"y": [2, 3, 4]}), 1),
        (model([helper.make_node("Dropout", ["x"], ["h", ""]), node("MatMul", ["h", "w"], "y")]), 1),
        (model([node("MatMul", ["x", "w"], "x.y"), node("MatMul", ["x.y", "w"], "y")]), 2),
        (model([helper.make_node("MatMul", ["x", "w"], ["y"], name="x")]), 1),
    ],
    ids=[
        "an output that is an input",
        "an output that is a constant",
        "both, without shapes",
        "no node, an input",
        "no node, a constant",
        "a constant that is an input",
        "a negative size",
        "an output of another size",
        "an output of another rank",
        "a result without a name",
        "names like those of the compiler",
        "a node called as its input",
    ],
)
def test_odd_graphs(odd: onnx.ModelProto, layers: int) -> None:
    right(odd, layers=layers)


def test_an_output_that_is_given_twice() -> None:
    twice = model([PRODUCT])
    twice.graph.output.append(twice.graph.output[0])
    program = right(twice)
    assert program.graph.output_names == ["y", "y"]


def test_sizes_that_were_left_behind_are_not_believed() -> None:
    """Of another number of samples, or of another network: the nodes say what is right."""
    nodes = [node("MatMul", ["x", "w"], "h"), node("Softmax", ["h"], "s"), node("MatMul", ["s", "w"], "y")]
    for size in (1, 7):
        stale = model(nodes, outputs={"y": [size, 4]})
        stale.graph.value_info.append(helper.make_tensor_value_info("h", FLOAT, [size, 4]))
        program = right(stale, layers=2)
        assert [layer.batch_dependent for layer in program.report().layers] == [False, False]


def test_sizes_that_nothing_else_tells_are_believed() -> None:
    nodes = [node("Reshape", ["x", "shape"], "h"), node("MatMul", ["h", "w"], "y")]
    given = model(nodes, {"x": ["N", 4]}, constants={"w": np.stack([W, -W])})
    given.graph.input.append(helper.make_tensor_value_info("shape", TensorProto.INT64, ["rank"]))
    given.graph.value_info.append(helper.make_tensor_value_info("h", FLOAT, [2, "M", 4]))
    right(given, {"x": X[:2], "shape": np.array([2, 1, 4])})


@pytest.mark.parametrize("opset", range(7, onnx.defs.onnx_opset_version() + 1))
def test_every_opset(opset: int) -> None:
    nodes = [node("MatMul", ["x", "w"], "h"), node("Relu", ["h"], "r"), node("Gemm", ["r", "w", "b"], "y", beta=0.5)]
    right(model(nodes, constants={"w": W, "b": X[:1]}, opset=opset), layers=2)


def test_the_own_domain_of_onnx_by_its_name() -> None:
    named = model([helper.make_node("MatMul", ["x", "w"], ["y"], name="y", domain="ai.onnx")])
    right(named)


@pytest.mark.parametrize("opset", [17, 18, 21])
def test_functions_of_another_opset_that_means_the_same(opset: int) -> None:
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    function = helper.make_function("own", "F", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])], opsets)
    called = [helper.make_node("F", [name], [f"{name}f"], name=name, domain="own") for name in ("x", "w")]
    right(model([*called, node("MatMul", ["xf", "wf"], "y")], functions=[function]))


# Nothing in it


@pytest.mark.parametrize("hardware", ["exact", "generic-pcm"])
def test_no_sample_gives_no_result(hardware: str) -> None:
    nodes = [node("MatMul", ["x", "w"], "h"), node("Softmax", ["h"], "s"), node("Gemm", ["s", "w"], "y")]
    made = xbarc.compile(model(nodes), hardware=hardware).write().run_batch({"x": X[:0]})
    assert (made["y"].shape, made["y"].dtype) == ((0, 4), np.float32)


@pytest.mark.parametrize(
    ("nodes", "inputs", "weight", "feeds", "layers"),
    [
        ([PRODUCT], {"x": ["N", 0]}, W[:0], {"x": X[:, :0]}, 0),
        ([PRODUCT], {"x": ["N", 4]}, W[:, :0], {"x": X}, 0),
        ([node("Gemm", ["x", "w"], "y")], {"x": ["N", 0]}, W[:0], {"x": X[:, :0]}, 0),
        ([node("Conv", ["x", "w"], "y")], {"x": ["N", 4, "T"]}, W[:0, :, None], {"x": X[..., None]}, 0),
        (
            [node("Concat", ["x", "z"], "h", axis=1), node("MatMul", ["h", "w"], "y")],
            {"x": ["N", 4], "z": ["N", 0]},
            W,
            {"x": X, "z": X[:, :0]},
            1,
        ),
    ],
    ids=["no rows", "no columns", "gemm", "no channels", "an empty operand"],
)
def test_sizes_of_zero(
    nodes: list[onnx.NodeProto], inputs: Declared, weight: np.ndarray, feeds: dict[str, np.ndarray], layers: int
) -> None:
    right(model(nodes, inputs, constants={"w": weight}), feeds, layers=layers)


# Parameters that are no vectors


@pytest.mark.parametrize(
    ("nodes", "parameter"),
    [
        ([node("ReduceSum", ["h", "p"], "y")], np.array([[-1]])),
        ([node("Squeeze", ["h", "p"], "y")], np.array([[0]])),
        ([node("Unsqueeze", ["h", "p"], "y")], np.array([1, 1])),
        ([node("Reshape", ["h", "p"], "y")], np.array([[0, 4]])),
        ([node("CumSum", ["h", "p"], "y")], np.array([0, 1])),
        ([node("Pad", ["h", "p"], "y")], np.array([[0, 0, 0, 1]])),
        (
            [node("Shape", ["h"], "s"), node("Gather", ["s", "p"], "g"), node("Expand", ["h", "g"], "y")],
            np.array([[9]]),
        ),
        ([node("Clip", ["h", "low"], "y")], np.array([0])),
    ],
    ids=lambda value: value[-1].op_type if isinstance(value, list) else "",
)
def test_a_parameter_of_a_wrong_shape_is_refused_or_means_what_onnxruntime_takes_it_for(
    nodes: list[onnx.NodeProto], parameter: np.ndarray
) -> None:
    given = model([node("MatMul", ["x", "w"], "h"), *nodes], constants={"w": W, "p": parameter, "low": W[:0]})
    try:
        expected = run(given, {"x": X})[0]
    except Exception:  # noqa: BLE001 - onnxruntime has errors of many types
        with pytest.raises(ModelError):
            xbarc.compile(given, calibration=X).write().run_batch({"x": X})
    else:
        assert error(xbarc.compile(given, hardware="exact").write().run_batch({"x": X})["y"], expected) < 1e-5
