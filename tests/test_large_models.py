"""Large models: deep and wide graphs, external data, constants that are not copied, and memory."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import networkx as nx
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from networks import error, network, node, run
from onnx import numpy_helper

import xbarc
from xbarc.api import host_models
from xbarc.api.checking import check
from xbarc.api.executor import MachineExecutor
from xbarc.api.source import read_source
from xbarc.errors import InternalError, ModelError
from xbarc.ir.graph import Graph, Operator, Value
from xbarc.ir.operators import MatVec
from xbarc.onnx_io.bare_model import strip
from xbarc.passes.fold_constants import FoldConstants
from xbarc.passes.magnitudes import Magnitudes
from xbarc.runtime.host import HostModel

DEEP = 10_000
BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "large.py"


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# --- many nodes


def deep_chain() -> onnx.ModelProto:
    """Ten thousand nodes, one after the other, that bring any input to 0 or above; a product at the end."""
    nodes = []
    value = "x"
    for number in range(DEEP):
        nodes.append(node("Relu" if number % 2 else "Neg", [value], f"v{number}"))
        value = f"v{number}"
    return network([*nodes, node("MatMul", [value, "w"], "y")], {"x": ("N", 4)}, {"w": numbers(4, 3)})


def wide_sum() -> onnx.ModelProto:
    """Ten thousand nodes beside one another, and one that reads them all."""
    nodes = [node("Abs" if number % 2 else "Neg", ["x"], f"v{number}") for number in range(DEEP)]
    total = node("Sum", [each.output[0] for each in nodes], "sum")
    return network([*nodes, total, node("MatMul", ["sum", "w"], "y")], {"x": ("N", 4)}, {"w": numbers(4, 3)})


def deep_constants() -> onnx.ModelProto:
    """A matrix that ten thousand nodes make."""
    nodes = [node("Neg", ["w" if number == 0 else f"v{number - 1}"], f"v{number}") for number in range(DEEP)]
    return network([*nodes, node("MatMul", ["x", f"v{DEEP - 1}"], "y")], {"x": ("N", 4)}, {"w": numbers(4, 3)})


def many_outputs() -> onnx.ModelProto:
    """A thousand products and as many outputs."""
    nodes = [node("MatMul", ["x", f"w{number}"], f"y{number}") for number in range(1000)]
    constants = {f"w{number}": numbers(4, 2, seed=number) for number in range(1000)}
    return network(nodes, {"x": ("N", 4)}, constants, outputs=[each.output[0] for each in nodes])


MANY_NODES = {"deep": deep_chain, "wide": wide_sum, "constants": deep_constants, "outputs": many_outputs}


@pytest.mark.parametrize("kind", MANY_NODES)
def test_many_nodes_compile_run_and_print(kind: str) -> None:
    model = MANY_NODES[kind]()
    x = numbers(5, 4, seed=1)
    program = xbarc.compile(model, hardware="exact", calibration=x)
    outputs = program.write().run_batch({"x": x})
    for ours, expected in zip(outputs.values(), run(model, {"x": x}), strict=True):
        assert error(ours, expected) < 1e-5
    layers = 1000 if kind == "outputs" else 1
    assert len(program.report().layers) == layers
    assert sum(entry.analog for entry in check(model).operators) == layers
    assert xbarc.load(program.model()).text() == program.text()


@st.composite
def orders(draw: st.DrawFn) -> Graph:
    """A graph whose operators were added in an order of its own."""
    count = draw(st.integers(1, 12))
    values = [Value(f"v{number}") for number in range(count)]
    operators = []
    for number in range(count):
        reads = draw(st.lists(st.integers(0, number - 1), max_size=3)) if number else []
        operators.append(
            Operator(name=str(number), operands=[values[each] for each in reads], results=[values[number]])
        )
    graph = Graph(name="drawn")
    for operator in draw(st.permutations(operators)):
        graph.add(operator)
    return graph


@given(orders())
def test_the_order_is_the_first_topological_one_by_the_order_of_addition(graph: Graph) -> None:
    added = list(graph._operators)
    edges = nx.DiGraph()
    edges.add_nodes_from(added)
    edges.add_edges_from((operator, user) for operator in added for user in operator.result.users)
    assert graph.operators() == list(nx.lexicographical_topological_sort(edges, key=added.index))
    graph.operators().clear()
    assert len(graph.operators()) == len(added)


def test_the_order_follows_changes_and_a_cycle_is_named() -> None:
    a, b, c = (Operator(name=name, operands=[None], results=[Value(name)]) for name in "abc")
    graph = Graph(name="drawn")
    for operator in (a, b, c):
        graph.add(operator)
    graph.set_operand(a, 0, c.result)
    assert graph.operators() == [b, c, a]
    graph.set_operand(c, 0, a.result)
    with pytest.raises(InternalError, match=r"the graph has a cycle: (a -> c|c -> a)"):
        graph.operators()
    graph.set_operand(c, 0, None)
    graph.remove(a)
    assert graph.operators() == [b, c]


# --- weights are kept once


ANY_TYPE = st.sampled_from([np.float32, np.float64, np.float16, np.int8, np.uint16, np.int64, np.bool_]).map(np.dtype)
FEW_BITS = [np.dtype(kind) for kind in (ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.int4, ml_dtypes.uint4)]


def of_constants(arrays: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """A model that gives its constants, and Constant nodes of the same."""
    names = [*arrays, *(f"{name}.node" for name in arrays)]
    nodes = [node("Constant", [], f"{name}.node", value=numpy_helper.from_array(arrays[name])) for name in arrays]
    nodes += [node("Identity", [name], f"{name}.copy") for name in names]
    types = [onnx.helper.np_dtype_to_tensor_dtype(array.dtype) for array in (*arrays.values(), *arrays.values())]
    outputs = [
        onnx.helper.make_tensor_value_info(f"{name}.copy", elem, None) for name, elem in zip(names, types, strict=True)
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = onnx.helper.make_graph(nodes, "constants", [], outputs, tensors)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)


def constants_of(graph: Graph) -> dict[str, np.ndarray]:
    values = [value for operator in graph.operators() for value in operator.operands if value is not None]
    found = {value.hint: value.constant for value in values}
    return {name: array for name, array in found.items() if array is not None}


@settings(max_examples=30)
@given(
    small=hnp.arrays(ANY_TYPE, hnp.array_shapes(max_dims=3, max_side=4)),
    large_type=ANY_TYPE,
    external=st.booleans(),
)
def test_constants_are_the_same_from_memory_files_and_external_data(
    tmp_path_factory: pytest.TempPathFactory, small: np.ndarray, large_type: np.dtype, external: bool
) -> None:
    large = np.abs(100 * numbers(3, 7, 800)).astype(large_type)
    arrays = {"small": small, "large": large}
    path = tmp_path_factory.mktemp("models") / "model.onnx"
    onnx.save_model(of_constants(arrays), path, save_as_external_data=external, size_threshold=0)
    for source in (path, of_constants(arrays)):
        found = constants_of(read_source(source).graph)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array, strict=True)
        np.testing.assert_array_equal(found["large.node"], large, strict=True)


@pytest.mark.parametrize("dtype", FEW_BITS, ids=str)
@pytest.mark.parametrize("count", [10, 10_001])
def test_types_that_share_bytes_come_from_external_data_too(tmp_path: Path, dtype: np.dtype, count: int) -> None:
    array = (np.arange(count) % 7).astype(dtype)
    onnx.save_model(
        of_constants({"w": array}), tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0, location="d"
    )
    found = constants_of(read_source(tmp_path / "m.onnx").graph)["w"]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.astype(np.float32), array.astype(np.float32))


def test_weights_in_fields_of_numbers_are_those_in_bytes() -> None:
    array = numbers(40, 50)
    raw, typed = of_constants({"w": array}), of_constants({"w": array})
    typed.graph.initializer[0].ClearField("raw_data")
    typed.graph.initializer[0].float_data.extend(array.reshape(-1))
    np.testing.assert_array_equal(constants_of(read_source(typed).graph)["w"], array, strict=True)
    assert read_source(typed).sha256 == read_source(raw).sha256
    changed = of_constants({"w": array + 1})
    assert read_source(changed).sha256 != read_source(raw).sha256


def test_a_model_without_its_weights_is_small() -> None:
    bare = strip(of_constants({"w": numbers(100, 100)}), path=None, where="here")
    assert bare.model.ByteSize() < 1000
    assert set(bare.arrays) == {"w", "w.node"}


def test_weights_go_when_their_layers_stand() -> None:
    """At once, not when a garbage collection finds them: of a large model the next pass needs the memory."""
    nodes = [node("Transpose", ["w"], "t"), node("MatMul", ["x", "t"], "h"), node("MatMul", ["h", "w"], "y")]
    model = network(nodes, {"x": ("N", 300)}, {"w": numbers(70, 300)})
    alive: dict[str, int] = {}

    def count(name: str, _number: int, _of: int) -> None:
        alive[name] = sum(isinstance(entry, MatVec) for entry in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        xbarc.compile(model, progress=count)
    finally:
        gc.enable()
    assert alive["insert-converters"] == 2
    assert alive["calibrate-adc"] == 0


# --- external data that do not fit


def external_weight(folder: Path, array: np.ndarray, **changes: str) -> Path:
    """A model whose weight lies in a file, with entries of its place changed or, where empty, left out."""
    path = folder / "net.onnx"
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ("N", array.shape[0])}, {"w": array})
    onnx.save_model(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    model = onnx.load(path, load_external_data=False)
    (tensor,) = model.graph.initializer
    entries = {entry.key: entry.value for entry in tensor.external_data} | changes
    del tensor.external_data[:]
    for key, value in entries.items():
        if value:
            tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_without_a_length_are_as_long_as_the_shape_says(tmp_path: Path) -> None:
    weight = numbers(60, 50)
    path = external_weight(tmp_path, weight, length="")
    np.testing.assert_array_equal(constants_of(read_source(path).graph)["w"], weight, strict=True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"length": "400"}, "do not fit its type and shape, float[60, 50]: it has 400 bytes in 'net.data'"),
        ({"offset": "8", "length": ""}, "do not fit its type and shape"),
        ({"offset": "8"}, "external data ends too early"),
        ({"offset": "-8"}, "negative"),
        ({"offset": "eight"}, "the place of external data cannot be read"),
    ],
)
def test_external_data_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, str], says: str) -> None:
    path = external_weight(tmp_path, numbers(60, 50), **changes)
    with pytest.raises(ModelError) as refused:
        read_source(path)
    assert says in refused.value.what
    assert str(path) in str(refused.value.where)


@pytest.mark.parametrize("size", [5, 60])
@pytest.mark.parametrize("extra", [b"\0\0\0\0", b"\0"])
def test_initializers_of_another_size_than_their_shape_are_refused(size: int, extra: bytes) -> None:
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ("N", size)}, {"w": numbers(size, 50)})
    model.graph.initializer[0].raw_data += extra
    with pytest.raises(ModelError, match=r"the model is not valid.*size"):
        xbarc.compile(model)


# --- constants beside the models that onnxruntime gets


@given(data=st.data(), feed=st.booleans())
@settings(max_examples=20)
def test_large_constants_reach_onnxruntime(data: st.DataObject, feed: bool) -> None:
    """Whichever way constants go, the results are those of the whole model."""
    dtype = data.draw(st.sampled_from([np.float32, np.float64, np.int32]))
    rows, columns = data.draw(st.sampled_from([(3, 4), (90, 80), (70, 130)]))
    weight = (numbers(rows, columns) * 10).astype(dtype)
    kind = data.draw(st.sampled_from(["MatMul", "Gather"]))
    dtypes = {"x": dtype if kind == "MatMul" else np.int64}
    reads = ["x", "w"] if kind == "MatMul" else ["w", "x"]
    shape = ("N", rows) if kind == "MatMul" else ("N",)
    model = network([node(kind, reads, "y")], {"x": shape}, {"w": weight}, dtype=dtype, input_types=dtypes)
    x = np.arange(2 * rows).reshape(2, rows).astype(dtype) if kind == "MatMul" else np.arange(3)
    graph = read_source(model).graph
    names = {value: value.hint for operator in graph.operators() for value in (*operator.operands, *operator.results)}
    host, outputs = host_models.host_model(
        graph.operators(),
        graph.inputs,
        graph.outputs,
        names=names,
        opsets=graph.opsets,
        feed=feed,
        threads=1,
        optimization="basic",
    )
    (ours,) = host.run({"x": x}, outputs)
    assert error(ours.astype(np.float64), run(model, {"x": x})[0].astype(np.float64)) < 1e-5


def test_operators_that_insist_on_initializers_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class Strict(HostModel):
        def __init__(self, model: bytes, **options: object) -> None:
            if options["constants"]:
                raise ModelError("onnxruntime cannot load host operators: this must be an initializer")
            super().__init__(model, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(host_models, "HostModel", Strict)
    weight = numbers(80, 80)
    model = network([node("Transpose", ["w"], "t"), node("MatMul", ["x", "t"], "y")], {"x": ("N", 80)}, {"w": weight})
    x = numbers(3, 80, seed=1)
    program = xbarc.compile(model, hardware="exact", calibration=x)
    assert error(program.write().run(x)["y"], x @ weight.T) < 1e-5


# --- folding


def test_matrices_that_a_few_numbers_make_go_on_tiles() -> None:
    half = numpy_helper.from_array(np.array([0.5], np.float32))
    nodes = [
        node("ConstantOfShape", ["shape"], "filled", value=half),
        node("Reshape", ["filled", "square"], "w"),
        node("MatMul", ["x", "w"], "y"),
    ]
    constants = {"shape": np.array([1500 * 1000]), "square": np.array([1500, 1000])}
    program = xbarc.compile(network(nodes, {"x": ("N", 1500)}, constants))
    assert program.report().host == ()
    assert [(layer.rows, layer.columns) for layer in program.report().layers] == [(1500, 1000)]


def test_constants_are_folded_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xbarc.passes.fold_constants._PORTION", 100)
    weights = {f"w{number}": numbers(8, 8, seed=number) for number in range(6)}
    nodes, value = [], "x"
    for number in range(6):
        nodes += [
            node("Transpose", [f"w{number}"], f"t{number}"),
            node("Add", [f"t{number}", "w0"], f"s{number}"),
            node("MatMul", [value, f"s{number}"], f"y{number}"),
        ]
        value = f"y{number}"
    graph = read_source(network(nodes, {"x": ("N", 8)}, weights, outputs=("y5",))).graph
    executor = MachineExecutor(threads=1)
    asked: list[int] = []

    class Counting(MachineExecutor):
        def evaluate(self, graph: Graph, values: list[Value]) -> list[np.ndarray]:
            asked.append(len(values))
            return executor.evaluate(graph, values)

    FoldConstants(Counting(threads=1)).run(graph)
    assert sum(asked) == 6
    assert len(asked) == 6
    folded = constants_of(graph)
    assert len(graph) == 6
    for number in range(6):
        np.testing.assert_array_equal(folded[f"s{number}"], weights[f"w{number}"].T + weights["w0"])


# --- histograms of what a sample makes


@given(
    values=hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.integers(1, 60),
        elements=st.floats(-3, 3, width=32, allow_subnormal=True),
    ),
    exponent=st.sampled_from([0, -125, -137, 90]),
    cuts=st.lists(st.integers(0, 60), max_size=4),
)
def test_histograms_count_what_numpy_counts(values: np.ndarray, exponent: int, cuts: list[int]) -> None:
    scaled = np.ldexp(values, exponent)
    seen = Magnitudes("layer")
    for piece in np.split(scaled, sorted(cuts)):
        seen.add(piece)
    magnitudes = np.abs(scaled[np.abs(scaled) >= np.finfo(np.float32).tiny]).astype(np.float64)
    assert seen.count == magnitudes.size
    if not magnitudes.size:
        assert seen.largest == 0.0
        return
    assert seen.largest == magnitudes.max()
    bin_width = 2.0 * seen.largest / 4096
    for percent in (10.0, 50.0, 99.0):
        wanted = np.quantile(magnitudes, percent / 100.0, method="inverted_cdf")
        assert abs(seen.percentile(percent) - wanted) <= bin_width
    half = seen.largest / 2
    beyond = round(seen.share_beyond(half) * magnitudes.size)
    assert np.sum(magnitudes > half + bin_width) <= beyond <= np.sum(magnitudes >= half - bin_width)


# --- memory


@pytest.mark.long
def test_compiling_takes_at_most_three_times_the_memory_of_the_weights() -> None:
    found = subprocess.run(
        [sys.executable, BENCHMARK, "--json", "--only", "1 GB"], check=True, capture_output=True, text=True
    )
    results = json.loads(found.stdout)["results"]
    assert len(results) == 3
    for result in results:
        assert result["weight_bytes"] > 1e9
        assert result["compile_peak_bytes"] < 3 * result["weight_bytes"]
        assert result["save_peak_bytes"] < 3 * result["weight_bytes"]
