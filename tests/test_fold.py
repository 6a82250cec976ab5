"""Folding: what goes into the weights, what must not, and constants that the model computes, against onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Draw, error, network, node, run
from onnx import numpy_helper

import xbarc

GROUPS, INNER, OUTER = 2, 3, 4
CHANNELS, COLUMNS = GROUPS * INNER, GROUPS * OUTER
TOLERANCE = 1e-5


def numbers(shape: Sequence[int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def magnitudes(shape: Sequence[int], seed: int) -> np.ndarray:
    """Numbers that are safe to divide by: 0.5 to 2, of either sign."""
    rng = np.random.default_rng(seed)
    return (rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape)).astype(np.float32)


def compiled(model: onnx.ModelProto, x: np.ndarray) -> tuple[xbarc.Program, list[str]]:
    """The program on hardware that rounds nothing, checked against onnxruntime, and the types of its host operators.

    Against the model as it stands: optimised, onnxruntime quantises the input of a dequantised matrix.
    """
    program = xbarc.compile(model, hardware="exact", calibration=x)
    outputs = program.write().run(x)
    assert list(outputs) == [output.name for output in model.graph.output]
    for ours, expected in zip(outputs.values(), run(model, {"x": x}, optimized=False), strict=True):
        assert error(ours, expected) < TOLERANCE
    return program, [operator.kind for operator in program.report().host]


class Product:
    """A product of some form: its node, its constants, an input, and the axis of its result on which columns lie."""

    def __init__(
        self, kind: str, x: Sequence[int], weight: Sequence[int], *, axis: int, rank: int, **attributes: Any
    ) -> None:
        self.node = node("MatMul" if kind == "MatMul" else kind, ["x", "w"], "product", **attributes)
        self.constants = {"w": numbers(weight, 0)}
        self.x = numbers(x, 1)
        self.axis, self.rank = axis, rank


PRODUCTS = {
    "Conv 1-D": Product("Conv", (5, CHANNELS, 6), (COLUMNS, INNER, 2), axis=1, rank=3, group=GROUPS),
    "Conv 2-D": Product("Conv", (5, CHANNELS, 4, 3), (COLUMNS, INNER, 2, 2), axis=1, rank=4, group=GROUPS),
    "Conv 3-D": Product("Conv", (5, CHANNELS, 3, 3, 2), (COLUMNS, INNER, 2, 1, 2), axis=1, rank=5, group=GROUPS),
    "Gemm": Product("Gemm", (5, CHANNELS), (CHANNELS, COLUMNS), axis=1, rank=2),
    "MatMul 2-D": Product("MatMul", (5, CHANNELS), (CHANNELS, COLUMNS), axis=1, rank=2),
    "MatMul 3-D": Product("MatMul", (5, 7, CHANNELS), (CHANNELS, COLUMNS), axis=2, rank=3),
}
any_product = pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS.keys())


def column_shape(product: Product, rank: int) -> tuple[int, ...]:
    """One number a column, as a constant of so many axes."""
    full = [1] * product.rank
    full[product.axis] = COLUMNS
    return tuple(full[product.rank - rank :])


def after(
    product: Product, nodes: Sequence[onnx.NodeProto], constants: dict[str, np.ndarray], **more: Any
) -> onnx.ModelProto:
    shape = ["N", *product.x.shape[1:]]
    return network([product.node, *nodes], {"x": shape}, product.constants | constants, **more)


# Additions and products by constants


@st.composite
def column_chains(draw: Draw) -> tuple[Product, list[onnx.NodeProto], dict[str, np.ndarray]]:
    """A product and several operators after it, each by one number or by one a column."""
    product = PRODUCTS[draw(st.sampled_from(sorted(PRODUCTS)))]
    least = product.rank - product.axis
    shapes = [(), (1,), (1,) * product.rank, *(column_shape(product, rank) for rank in range(least, product.rank + 1))]
    nodes, constants, last = [], {}, "product"
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["Add", "Sub", "Mul", "Div"]))
        name = f"c{number}"
        constants[name] = magnitudes(draw(st.sampled_from(shapes)), draw(st.integers(0, 99)))
        operands = [name, last] if kind in ("Add", "Mul") and draw(st.booleans()) else [last, name]
        last = f"t{number}"
        nodes.append(node(kind, operands, last))
    nodes[-1].output[0] = "y"
    return product, nodes, constants


@settings(max_examples=60)
@given(column_chains())
def test_operators_by_one_number_a_column_go_into_the_weights(
    drawn: tuple[Product, list[onnx.NodeProto], dict[str, np.ndarray]],
) -> None:
    product, nodes, constants = drawn
    program, host = compiled(after(product, nodes, constants), product.x)
    assert host == []
    assert [layer.name for layer in program.report().layers] == ["product"]


@any_product
@pytest.mark.parametrize("kind", ["Sub", "Div"])
def test_a_constant_less_or_over_the_product_is_right(product: Product, kind: str) -> None:
    constants = {"c": magnitudes(column_shape(product, product.rank), 2), "b": np.float32(40.0)}
    nodes = [node("Add", ["product", "b"], "away_from_zero"), node(kind, ["c", "away_from_zero"], "y")]
    compiled(after(product, nodes, constants), product.x)


def apart(product: Product) -> dict[str, tuple[int, ...]]:
    """Shapes of constants that do not mean one number a column."""
    full = list(product.x.shape[:1]) + [1] * (product.rank - 1)
    shapes = {
        "one number a sample": tuple(full),
        "one more axis": (1,) * (product.rank + 1),
        "a column of one more axis": (1, *column_shape(product, product.rank)),
        "two copies": (2, *[1] * product.rank),
    }
    if product.rank > 2:
        other = 1 if product.axis != 1 else 2
        sizes = run(after(product, [node("Identity", ["product"], "y")], {}), {"x": product.x})[0].shape
        shapes["one number a place"] = tuple(sizes[axis] if axis == other else 1 for axis in range(product.rank))
    return shapes


@any_product
@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div"])
def test_other_broadcasts_stay_on_the_host(product: Product, kind: str) -> None:
    for shape in apart(product).values():
        for operands in (["product", "c"], ["c", "product"]):
            if kind == "Div" and operands[0] == "c":
                continue  # a product may come close to zero
            model = after(product, [node(kind, operands, "y")], {"c": magnitudes(shape, 3)})
            _, host = compiled(model, product.x)
            assert host == [kind]


def test_a_constant_that_widens_a_product_of_one_column_stays_on_the_host() -> None:
    constants = {"w": numbers((6, 1), 0), "c": numbers((5,), 1)}
    model = network([node("MatMul", ["x", "w"], "p"), node("Add", ["p", "c"], "y")], {"x": ("N", 6)}, constants)
    _, host = compiled(model, numbers((4, 6), 2))
    assert host == ["Add"]


# BatchNormalization


def normalisation(columns: int, seed: int) -> dict[str, np.ndarray]:
    constants = {"scale": magnitudes((columns,), seed), "shift": numbers((columns,), seed)}
    variance = np.random.default_rng(seed).uniform(0.2, 3.0, columns).astype(np.float32)
    return constants | {"mean": numbers((columns,), seed + 1), "variance": variance}


@any_product
@pytest.mark.parametrize("epsilon", [None, 0.0, 0.3])
def test_batch_normalisation_goes_into_the_weights(product: Product, epsilon: float | None) -> None:
    places = 7 if product.axis != 1 else COLUMNS
    given = {} if epsilon is None else {"epsilon": epsilon}
    constants = normalisation(places, 5)
    nodes = [node("BatchNormalization", ["product", *constants], "y", **given)]
    _, host = compiled(after(product, nodes, constants), product.x)
    # Its axis is always 1: where columns lie on another, it is no matter of theirs.
    assert host == ([] if product.axis == 1 else ["BatchNormalization"])


def test_batch_normalisation_in_training_stays_on_the_host() -> None:
    product = PRODUCTS["Conv 2-D"]
    constants = normalisation(COLUMNS, 5)
    nodes = [node("BatchNormalization", ["product", *constants], "y", "running_mean", "running_var", training_mode=1)]
    _, host = compiled(after(product, nodes, constants, opset=15), product.x)
    assert host == ["BatchNormalization"]


def test_a_negative_variance_is_refused_by_name() -> None:
    product = PRODUCTS["Gemm"]
    constants = normalisation(COLUMNS, 5)
    constants["variance"][2] = -1.0
    model = after(product, [node("BatchNormalization", ["product", *constants], "y")], constants)
    with pytest.raises(xbarc.XbarcError, match="not finite") as raised:
        xbarc.compile(model)
    assert raised.value.where == "node 'y' (BatchNormalization) after 'product'"


# Who else reads the product

SHARED: dict[str, tuple[list[onnx.NodeProto], tuple[str, ...]]] = {
    "the product is an output": ([node("Mul", ["product", "c"], "y")], ("y", "product")),
    "two operators read it": ([node("Mul", ["product", "c"], "y"), node("Relu", ["product"], "z")], ("y", "z")),
    "one operator reads it twice": ([node("Add", ["product", "product"], "y")], ("y",)),
    "one operator reads it and what is made of it": (
        [node("Mul", ["product", "c"], "t"), node("Add", ["product", "t"], "y")],
        ("y",),
    ),
}


@any_product
@pytest.mark.parametrize("case", SHARED)
def test_a_product_with_other_readers_is_left_as_it_is(product: Product, case: str) -> None:
    nodes, outputs = SHARED[case]
    model = after(product, nodes, {"c": magnitudes((), 1)}, outputs=outputs)
    _, host = compiled(model, product.x)
    assert sorted(host) == sorted(each.op_type for each in nodes)


@any_product
def test_folding_stops_where_the_result_is_an_output_too(product: Product) -> None:
    nodes = [node("Mul", ["product", "c"], "y"), node("Add", ["y", "c"], "z")]
    _, host = compiled(after(product, nodes, {"c": magnitudes((), 1)}, outputs=("z", "y")), product.x)
    assert host == ["Add"]


# Constants that the model computes

Recipe = Callable[[np.ndarray], tuple[list[onnx.NodeProto], dict[str, np.ndarray]]]


def _quantised(weight: np.ndarray) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    codes = np.clip(np.rint(weight * 50), -128, 127).astype(np.int8)
    columns = weight.shape[1]
    constants = {"codes": codes, "step": np.full(columns, 0.02, np.float32), "zero": np.zeros(columns, np.int8)}
    return [node("DequantizeLinear", ["codes", "step", "zero"], "w", axis=1)], constants


def _reshaped(weight: np.ndarray) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    nodes = [
        node("Shape", ["like"], "shape"),
        node("Transpose", ["flat"], "row", perm=[1, 0]),
        node("Reshape", ["row", "shape"], "w"),
    ]
    return nodes, {"flat": weight.reshape(-1, 1), "like": np.zeros(weight.shape, np.float32)}


def _cut(weight: np.ndarray) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    nodes = [
        node("Split", ["other", "sizes"], "left", "right", axis=1),
        node("Concat", ["right", "left"], "w", axis=1),
    ]
    return nodes, {"other": np.roll(weight, 2, axis=1), "sizes": np.array([2, weight.shape[1] - 2])}


def _chosen(weight: np.ndarray) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    yes = onnx.helper.make_graph([node("Neg", ["stored"], "yes")], "yes", [], [onnx.ValueInfoProto(name="yes")])
    no = onnx.helper.make_graph([node("Identity", ["stored"], "no")], "no", [], [onnx.ValueInfoProto(name="no")])
    return [node("If", ["flag"], "w", then_branch=yes, else_branch=no)], {"stored": -weight, "flag": np.array(True)}


RECIPES: dict[str, Recipe] = {
    "transposed": lambda w: ([node("Transpose", ["t"], "w")], {"t": np.ascontiguousarray(w.T)}),
    "a Constant node": lambda w: ([node("Constant", [], "w", value=numpy_helper.from_array(w))], {}),
    "a chain of Identity": lambda w: ([node("Identity", ["a"], "b"), node("Identity", ["b"], "w")], {"a": w}),
    "cast": lambda w: ([node("Cast", ["wide"], "w", to=onnx.TensorProto.FLOAT)], {"wide": w.astype(np.float64)}),
    "arithmetic": lambda w: ([node("Mul", ["half", "two"], "w")], {"half": w / 2, "two": np.float32(2.0)}),
    "shape of a constant": _reshaped,
    "split and joined": _cut,
    "dequantised": _quantised,
    "a branch": _chosen,
}


@pytest.mark.parametrize("kind", ["Gemm", "MatMul"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_computed_matrix_goes_on_tiles(recipe: str, kind: str) -> None:
    weight = numbers((6, 5), 3)
    nodes, constants = RECIPES[recipe](weight)
    model = network([*nodes, node(kind, ["x", "w"], "y")], {"x": ("N", 6)}, constants)
    program, host = compiled(model, numbers((4, 6), 4))
    assert host == []
    assert [(layer.rows, layer.columns) for layer in program.report().layers] == [weight.shape]


def test_outputs_may_be_constants_and_inputs_and_given_twice() -> None:
    nodes = [
        node("MatMul", ["x", "w"], "y"),
        node("Transpose", ["w"], "constant"),
        node("Identity", ["x"], "copy"),
        node("Identity", ["y"], "again"),
    ]
    outputs = ("y", "constant", "copy", "again")
    model = network(nodes, {"x": (4, 6)}, {"w": numbers((6, 5), 0)}, outputs=outputs)
    x = numbers((4, 6), 1)
    program, _ = compiled(model, x)
    for ours, expected in zip(program.write().run(x).values(), run(program.model(), {"x": x}), strict=True):
        assert error(ours, expected) < TOLERANCE


def test_random_numbers_are_not_folded() -> None:
    nodes = [node("RandomNormal", [], "r", shape=[6, 5]), node("MatMul", ["x", "r"], "y")]
    program = xbarc.compile(network(nodes, {"x": ("N", 6)}))
    assert [operator.kind for operator in program.report().host] == ["RandomNormal", "MatMul"]
    chip, x = program.write(), numbers((4, 6), 1)
    assert not np.array_equal(chip.run(x)["y"], chip.run(x)["y"])


def test_a_large_tensor_that_a_few_numbers_make_is_not_stored() -> None:
    nodes = [node("Expand", ["one", "shape"], "many"), node("Add", ["x", "many"], "y")]
    constants = {"one": np.ones((1, 1), np.float32), "shape": np.array([1, 2**21])}
    program, host = compiled(network(nodes, {"x": ("N", 1)}, constants), numbers((2, 1), 0))
    assert host == ["Expand", "Add"]
    assert program.model().ByteSize() < 10_000
