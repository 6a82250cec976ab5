"""Random networks of many kinds of operators: whatever a trained network may hold around its products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from hypothesis import assume
from hypothesis import strategies as st
from networks import Draw, network, node


def numbers(shape: Sequence[int], seed: int = 0) -> np.ndarray:
    """Normal numbers of a shape."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@dataclass
class Sketch:
    """A network while it is drawn: its nodes so far, and the shape of the last result in a batch of ``batch``."""

    draw: Draw
    shape: list[int]
    batch: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    earlier: dict[str, list[int]] = field(default_factory=dict)
    last: str = "x"

    @property
    def rank(self) -> int:
        return len(self.shape)

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def axis(self) -> int:
        """Any axis, counted from the front or from the back."""
        return int(self.draw(st.integers(-self.rank, self.rank - 1)))

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        return name

    def weights(self, *shape: int) -> str:
        return self.constant(numbers(shape, len(self.constants)))

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def name(self) -> str:
        return f"v{len(self.nodes)}"

    def step(self, kind: str, *others: str, results: int = 1, **attributes: Any) -> str:
        """Apply an operator to the last result; its last result becomes the last."""
        outputs = [f"{self.name()}_{number}" for number in range(results)]
        self.nodes.append(node(kind, [self.last, *others], *outputs, **attributes))
        self.last = outputs[-1]
        return self.last

    def cast(self) -> None:
        self.step("Cast", to=onnx.TensorProto.FLOAT)


def broadcasts(left: Sequence[int], right: Sequence[int]) -> bool:
    return all(a == b or 1 in (a, b) for a, b in zip(reversed(left), reversed(right), strict=False))


def elementwise(sketch: Sketch) -> None:
    sketch.step(sketch.pick("Relu", "Sigmoid", "Neg", "Abs"))


def with_constant(sketch: Sketch) -> None:
    shape = [sketch.pick(1, size) for size in sketch.shape]
    shape = [1] * sketch.pick(0, 0, 1) + shape[sketch.pick(0, 0, 1) :]
    sketch.step(sketch.pick("Add", "Mul", "Max"), sketch.weights(*shape))


def with_earlier(sketch: Sketch) -> None:
    name = sketch.pick(*(name for name, shape in sketch.earlier.items() if broadcasts(shape, sketch.shape)))
    if sketch.pick(True, False):
        sketch.last, name = name, sketch.last
    sketch.step(sketch.pick("Add", "Mul", "Sub"), name)


def transpose(sketch: Sketch) -> None:
    sketch.step("Transpose", perm=sketch.draw(st.permutations(range(sketch.rank))))


def reshape(sketch: Sketch) -> None:
    shape = list(sketch.shape)
    if sketch.rank > 1 and sketch.pick(True, False):
        place = sketch.draw(st.integers(0, sketch.rank - 2))
        shape[place : place + 2] = [shape[place] * shape[place + 1]]
    else:
        place = sketch.draw(st.integers(0, sketch.rank - 1))
        divisors = [size for size in range(1, shape[place] + 1) if shape[place] % size == 0]
        first = sketch.pick(*divisors)
        shape[place : place + 1] = [first, shape[place] // first]
    free = sketch.draw(st.integers(-1, len(shape) - 1))
    if free >= 0:
        shape[free] = -1
    if shape[0] == sketch.shape[0] and sketch.pick(True, False):
        shape[0] = 0
    sketch.step("Reshape", sketch.ints(*shape))


def reshape_to_counted(sketch: Sketch) -> None:
    """Keep the first axis by its size, taken from the value itself or from the input."""
    source = sketch.pick(sketch.last, "x") if np.prod(sketch.shape) % sketch.batch == 0 else sketch.last
    sketch.nodes.append(node("Shape", [source], f"shape{len(sketch.nodes)}"))
    sketch.nodes.append(node("Gather", [sketch.nodes[-1].output[0], sketch.ints(0)], f"first{len(sketch.nodes)}"))
    sketch.nodes.append(node("Concat", [sketch.nodes[-1].output[0], sketch.ints(-1)], f"to{len(sketch.nodes)}", axis=0))
    sketch.step("Reshape", sketch.nodes[-1].output[0])


def scale_by_size(sketch: Sketch) -> None:
    """A number that depends on the size of an axis, perhaps on the number of samples."""
    place = sketch.axis()
    if sketch.pick(True, False):
        sketch.nodes.append(node("Shape", [sketch.last], f"shape{len(sketch.nodes)}"))
        index = sketch.constant(np.array(place, np.int64))
        sketch.nodes.append(node("Gather", [sketch.nodes[-1].output[0], index], f"size{len(sketch.nodes)}"))
    else:
        ends = {"end": place + 1} if place != -1 else {}
        sketch.nodes.append(node("Shape", [sketch.last], f"size{len(sketch.nodes)}", start=place, **ends))
    size = sketch.nodes[-1].output[0]
    sketch.nodes.append(node("Cast", [size], f"real_{size}", to=onnx.TensorProto.FLOAT))
    sketch.step("Mul", f"real_{size}")


def flatten(sketch: Sketch) -> None:
    sketch.step("Flatten", axis=sketch.draw(st.integers(0, sketch.rank)))


def along_axis(sketch: Sketch) -> None:
    kind = sketch.pick("Softmax", "LogSoftmax", "Hardmax", "CumSum", "ArgMax", "ArgMin")
    if kind == "CumSum":
        sketch.step(kind, sketch.constant(np.array(sketch.axis(), np.int64)))
    elif kind.startswith("Arg"):
        sketch.step(kind, **sketch.pick({}, {"axis": sketch.axis()}), keepdims=sketch.pick(0, 1))
        sketch.cast()
    else:
        sketch.step(kind, **sketch.pick({}, {"axis": sketch.axis()}))


def top(sketch: Sketch) -> None:
    axis = sketch.axis()
    sketch.step("TopK", sketch.ints(min(2, sketch.shape[axis])), results=2, axis=axis)
    sketch.cast()


def reduce(sketch: Sketch) -> None:
    axes = sorted({sketch.axis() % sketch.rank for _ in range(sketch.pick(1, 2))})
    kind = sketch.pick("ReduceMean", "ReduceMax", "ReduceSum", "ReduceL2")
    if kind == "ReduceSum":
        sketch.step(kind, sketch.ints(*axes), keepdims=sketch.pick(0, 1))
    else:
        sketch.step(kind, axes=axes, keepdims=sketch.pick(0, 1))


def matmul(sketch: Sketch) -> None:
    """With a matrix on either side, or a batch of matrices."""
    assume(sketch.rank >= 2)
    ahead = [sketch.pick(1, size) for size in sketch.shape[:-2]]
    ahead = ahead[sketch.draw(st.integers(0, len(ahead))) :]
    if sketch.pick(True, False):
        sketch.step("MatMul", sketch.weights(*ahead, sketch.shape[-1], 2))
        return
    name, sketch.last = sketch.last, sketch.weights(*ahead, 3, sketch.shape[-2])
    sketch.step("MatMul", name)


def scores(sketch: Sketch) -> None:
    """A product of the value with itself."""
    assume(sketch.rank >= 2)
    perm = [*range(sketch.rank - 2), sketch.rank - 1, sketch.rank - 2]
    name = sketch.last
    sketch.step("Transpose", perm=perm)
    if sketch.pick(True, False):
        sketch.last, name = name, sketch.last
    sketch.step("MatMul", name)


def gemm(sketch: Sketch) -> None:
    assume(sketch.rank == 2)
    transposed, left = sketch.pick(0, 1), sketch.pick(True, False)
    rows, inner = sketch.shape[::-1] if transposed ^ (not left) else sketch.shape
    addend = sketch.pick((), (1,), (rows, 1), (1, 3)) if left else sketch.pick((), (1,), (1, rows), (3, 1))
    matrix = sketch.weights(inner, 3) if left else sketch.weights(3, inner)
    if left:
        sketch.step("Gemm", matrix, sketch.weights(*addend), transA=transposed)
    else:
        name, sketch.last = sketch.last, matrix
        sketch.step("Gemm", name, sketch.weights(*addend), transB=transposed)


def imagewise(sketch: Sketch) -> None:
    assume(sketch.rank in (3, 4) and sketch.shape[0] * sketch.shape[1] > 0)
    spatial, channels = sketch.rank - 2, sketch.shape[1]
    window = {"kernel_shape": [2] * spatial, "pads": [1] * 2 * spatial}
    kinds = ["AveragePool", "BatchNormalization", "Conv", "GlobalAveragePool", "Indices", "LRN", "MaxPool", "training"]
    match sketch.pick(*kinds):
        case "Conv":
            sketch.step("Conv", sketch.weights(2, channels, *[2] * spatial), pads=[1] * 2 * spatial)
        case "Indices":
            sketch.step("MaxPool", results=2, **window)
            sketch.cast()
        case "LRN":
            assume(spatial == 2)  # onnxruntime has no other
            sketch.step("LRN", size=3)
        case "BatchNormalization" | "training" as kind:
            training = kind == "training"
            four = [sketch.constant(np.abs(numbers((channels,), each)) + 0.1) for each in range(4)]
            sketch.nodes.append(
                node(
                    "BatchNormalization",
                    [sketch.last, *four],
                    *(f"{sketch.name()}_{number}" for number in range(3 if training else 1)),
                    training_mode=int(training),
                )
            )
            sketch.last = sketch.nodes[-1].output[0]
        case kind:
            sketch.step(kind, **({} if kind.startswith("Global") else window))


def layer_norm(sketch: Sketch) -> None:
    axis = sketch.axis()
    shape = sketch.shape[axis % sketch.rank :]
    sketch.step("LayerNormalization", sketch.weights(*shape), axis=axis)


def ones(sketch: Sketch) -> None:
    single = [axis for axis, size in enumerate(sketch.shape) if size == 1]
    if single and sketch.pick(True, False):
        sketch.step("Squeeze", sketch.ints(sketch.pick(*single)))
    else:
        sketch.step("Unsqueeze", sketch.ints(sketch.draw(st.integers(-sketch.rank - 1, sketch.rank))))


def cut(sketch: Sketch) -> None:
    axis = sketch.axis()
    size = sketch.shape[axis]
    match sketch.pick("Slice", "Split", "Gather", "Pad", "Concat"):
        case "Slice":
            sketch.step("Slice", sketch.ints(sketch.pick(0, size // 2)), sketch.ints(size), sketch.ints(axis))
        case "Split":
            sketch.step("Split", sketch.ints(size // 2, size - size // 2), results=2, axis=axis)
        case "Gather":
            index = sketch.pick(np.array(0), np.array([0, size - 1]), np.array([[0], [0]]))
            sketch.step("Gather", sketch.constant(index.astype(np.int64)), axis=axis)
        case "Pad":
            pads = [0] * 2 * sketch.rank
            pads[axis % sketch.rank + sketch.pick(0, sketch.rank)] = 1
            sketch.step("Pad", sketch.ints(*pads))
        case _:
            sketch.step("Concat", sketch.last, axis=axis)


STEPS: tuple[Callable[[Sketch], None], ...] = (
    *(elementwise, with_constant, with_earlier, transpose, reshape, reshape_to_counted, scale_by_size, flatten),
    *(along_axis, top, reduce, matmul, scores, gemm, imagewise, layer_norm, ones, cut),
)


@st.composite
def sketches(draw: Draw) -> tuple[onnx.ModelProto, np.ndarray]:
    """A random network of every kind of step, whose every result is an output, and a batch for it."""
    batch = draw(st.integers(2, 4))
    shape = [batch, *(draw(st.integers(1, 4)) for _ in range(draw(st.integers(1, 3))))]
    sketch = Sketch(draw, shape, batch)
    sketch.earlier["x"] = shape
    for _ in range(draw(st.integers(1, 5))):
        draw(st.sampled_from(STEPS))(sketch)
        model = network(sketch.nodes, {"x": shape}, sketch.constants, outputs=(sketch.last,))
        dims = model.graph.output[0].type.tensor_type.shape.dim
        sketch.shape = [dim.dim_value for dim in dims]
        assume(sketch.shape and all(sketch.shape) and np.prod(sketch.shape) < 3000)
        sketch.earlier[sketch.last] = sketch.shape
    outputs = tuple(sketch.earlier)[1:]
    return network(sketch.nodes, {"x": ["N", *shape[1:]]}, sketch.constants, outputs=outputs), numbers(shape, 7)
