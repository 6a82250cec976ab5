"""The test suite that ONNX brings for backends, case by case: judged by onnxruntime, asked of xbarc.

A case counts where onnxruntime, given the model as it stands, gives what the suite expects within the suite's own
tolerances. Of these, xbarc must pass every one. Of the others it may pass or refuse with an error of its own; where
onnxruntime has an answer, though not the expected one, xbarc may have another answer too. It must not fail in any other
way.

In the suite weights are inputs of the graph, so nothing would be on tiles. Hence a second run: what stands where a
weight can stand (:data:`WEIGHTS`) becomes an initializer. Where both operands of a product are inputs, each is frozen
in turn.

Models that the suite would download are not part of this; the light ones ship with the package, and their expected
outputs too.
"""

from __future__ import annotations

import ctypes
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
import onnx.backend.test
import onnxruntime as ort
from onnx import numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

import xbarc.backend
from xbarc.errors import XbarcError

KINDS: Final = ("node", "simple", "pytorch-operator", "pytorch-converted", "real")

#: Operators that can hold weights, and which of their inputs these are. Of products of two operands, the first may be
#: the weight as well.
WEIGHTS: Final[Mapping[str, tuple[int, ...]]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "ConvInteger": (1, 2, 3),
    "DequantizeLinear": (1, 2),
    "Einsum": (1,),
    "Gemm": (1, 2),
    "GRU": (1, 2, 3),
    "LSTM": (1, 2, 3, 7),
    "MatMul": (1,),
    "MatMulInteger": (1, 2, 3),
    "QLinearConv": (1, 2, 3, 4, 5, 6, 7, 8),
    "QLinearMatMul": (1, 2, 3, 4, 5, 6, 7),
    "QuantizeLinear": (1, 2),
    "RNN": (1, 2, 3),
}
_EITHER: Final[Mapping[str, tuple[int, ...]]] = {
    "Einsum": (0,),
    "Gemm": (0, 2),
    "MatMul": (0,),
    "MatMulInteger": (0, 2, 3),
    "QLinearMatMul": (0, 1, 2, 4, 5, 6, 7),
}

#: Types that numpy lacks, by onnxruntime's names for tensors of them.
_ELEMENTS: Final = {
    f"tensor({name.lower()})": elem
    for name, elem in onnx.TensorProto.DataType.items()
    if name.startswith(("BFLOAT", "FLOAT4", "FLOAT8", "INT2", "INT4", "UINT2", "UINT4"))
}

Verdict = Literal["passed", "wrong", "refused", "died"]


@dataclass(frozen=True)
class Case:
    """A model with its vectors.

    Attributes:
        name: kind and name in the suite, and how its weights were frozen.
        model: to run.
        data: pairs of inputs, in the order of the model's, and expected outputs.
        rtol, atol: the suite's tolerances.
    """

    name: str
    model: onnx.ModelProto
    data: Sequence[tuple[Sequence[Any], Sequence[Any]]]
    rtol: float
    atol: float


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        name: of the case.
        reference: how onnxruntime does: it refuses by any exception.
        verdict: how xbarc does; ``refused`` with an error of its own, ``died`` by any other.
        layers: that xbarc put on tiles.
        message: why it did not pass.
    """

    name: str
    reference: Verdict
    verdict: Verdict
    layers: int
    message: str = ""

    @property
    def expected(self) -> bool:
        """Whether xbarc must pass it."""
        return self.reference == "passed"

    @property
    def fine(self) -> bool:
        """Whether it is as it must be."""
        if self.verdict == "wrong":
            return self.reference == "wrong"
        return self.verdict == "passed" or (self.verdict == "refused" and not self.expected)


@functools.cache
def suite() -> tuple[TestCase, ...]:
    """Every case that ships with the package, in a fixed order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some vectors are computed on import, with overflows and the like
        found = [case for kind in KINDS for case in load_model_tests(kind=kind)]
    return tuple(sorted(found, key=lambda case: (KINDS.index(case.kind), case.name)))


def load(case: TestCase) -> Case:
    """The model and vectors of a case."""
    name = f"{case.kind}/{case.name}"
    if case.model is not None:
        data = [
            ([_array(item) for item in given], [_array(item) for item in wanted]) for given, wanted in case.data_sets
        ]
        return Case(name, case.model, data, case.rtol, case.atol)
    if case.model_dir is None:
        return _light(case, name)
    folder = Path(case.model_dir)
    model = onnx.load(folder / "model.onnx")
    data = [
        (_protos(entry, "input", model.graph.input), _protos(entry, "output", model.graph.output))
        for entry in sorted(folder.glob("test_data_set*"))
    ]
    return Case(name, model, data, case.rtol, case.atol)


def frozen(case: Case) -> Iterator[Case]:
    """The case with the inputs that stand for weights frozen, in every way that freezes something."""
    seen: list[frozenset[str]] = []
    for mark, roles in (("frozen", WEIGHTS), ("first frozen", {**WEIGHTS, **_EITHER})):
        names = _weight_inputs(case.model, roles)
        if names and names not in seen:
            seen.append(names)
            for number, (given, wanted) in enumerate(case.data):
                kept, model = _freeze(case.model, given, names)
                yield Case(f"{case.name} {mark} {number}", model, [(kept, wanted)], case.rtol, case.atol)


def judge(case: Case) -> Outcome:
    """Run a case by onnxruntime and by xbarc."""
    reference = _by_onnxruntime(case)
    layers = 0

    def run() -> None:
        nonlocal layers
        prepared = xbarc.backend.prepare(case.model)
        layers = len(prepared.program.report().layers)
        compare(case, prepared.run)

    try:
        run()
    except XbarcError as error:
        return Outcome(case.name, reference, "refused", layers, str(error))
    except AssertionError as error:
        return Outcome(case.name, reference, "wrong", layers, str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
        return Outcome(case.name, reference, "died", layers, f"{type(error).__name__}: {error}")
    return Outcome(case.name, reference, "passed", layers)


def compare(case: Case, run: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
    """Run all vectors of a case and compare as the suite does.

    Raises:
        AssertionError: outputs differ.
    """
    for given, wanted in case.data:
        found = list(run(given))
        try:
            Runner.assert_similar_outputs(wanted, found, rtol=case.rtol, atol=case.atol)
        except (TypeError, AttributeError) as error:  # how the suite takes notice of a sequence in place of an array
            raise AssertionError(str(error)) from error


def _by_onnxruntime(case: Case) -> Verdict:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(case.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        compare(case, lambda given: _run(session, given))
    except AssertionError:
        return "wrong"
    except Exception:  # noqa: BLE001 - for whatever reason
        return "refused"
    return "passed"


def _run(session: ort.InferenceSession, given: Sequence[Any]) -> Sequence[Any]:
    """The outputs for inputs of any type: those that numpy lacks (bfloat16, float8, ...) go in and out as bytes."""
    feeds = dict(zip([entry.name for entry in session.get_inputs()], given, strict=True))
    borders = {entry.type for entry in (*session.get_inputs(), *session.get_outputs())}
    if borders.isdisjoint(_ELEMENTS):
        return session.run(None, feeds)  # type: ignore[no-any-return]
    values = {name: _to_value(array) for name, array in feeds.items()}
    return [_from_value(value) for value in session.run_with_ort_values(None, values)]


def _to_value(array: np.ndarray) -> ort.OrtValue:
    tensor = numpy_helper.from_array(array)
    if tensor.data_type not in _ELEMENTS.values():
        return ort.OrtValue.ortvalue_from_numpy(array)
    held = np.zeros(array.nbytes, dtype=np.uint8)
    held[: len(tensor.raw_data)] = np.frombuffer(tensor.raw_data, dtype=np.uint8)
    in_shape = held.view(array.dtype).reshape(array.shape)
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(in_shape, tensor.data_type)


def _from_value(value: ort.OrtValue) -> np.ndarray:
    elem = _ELEMENTS.get(value.data_type())
    if elem is None:
        return value.numpy()  # type: ignore[no-any-return]
    held = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return numpy_helper.to_array(onnx.TensorProto(data_type=elem, dims=value.shape(), raw_data=held))


def _weight_inputs(model: onnx.ModelProto, roles: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
    """Inputs of the graph that operators read as weights and as nothing else."""
    weights: set[str] = set()
    others: set[str] = {entry.name for entry in model.graph.output}
    for node in model.graph.node:
        places = roles.get(node.op_type, ()) if node.domain in ("", "ai.onnx") else ()
        for place, name in enumerate(node.input):
            (weights if place in places else others).add(name)
    constants = {tensor.name for tensor in model.graph.initializer}
    tensors = {entry.name for entry in model.graph.input if entry.type.HasField("tensor_type")} - constants
    return frozenset((weights & tensors) - others)


def _freeze(model: onnx.ModelProto, given: Sequence[Any], names: frozenset[str]) -> tuple[list[Any], onnx.ModelProto]:
    constants = {tensor.name for tensor in model.graph.initializer}
    fed = [entry for entry in model.graph.input if entry.name not in constants]
    values = dict(zip([entry.name for entry in fed], given, strict=True))
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    changed.ir_version = max(model.ir_version, 4)  # from then on, initializers need not be inputs
    del changed.graph.input[:]
    changed.graph.input.extend(entry for entry in model.graph.input if entry.name not in names)
    changed.graph.initializer.extend(numpy_helper.from_array(np.asarray(values[name]), name) for name in sorted(names))
    return [values[entry.name] for entry in fed if entry.name not in names], changed


def _light(case: TestCase, name: str) -> Case:
    """A model without weights of its own: ramps for inputs, and the outputs that lie beside it."""
    path = Path(onnx.backend.test.__file__).parents[3] / str(case.url)
    model = onnx.load(path)
    constants = {tensor.name for tensor in model.graph.initializer}
    given = [Runner.generate_dummy_data(entry) for entry in model.graph.input if entry.name not in constants]
    wanted = [
        _read(path.with_name(f"{path.stem}_output_{index}.pb"), entry.type)
        for index, entry in enumerate(model.graph.output)
    ]
    return Case(name, model, [(given, wanted)], case.rtol, case.atol)


def _protos(folder: Path, role: str, entries: Sequence[onnx.ValueInfoProto]) -> list[Any]:
    count = len(list(folder.glob(f"{role}_*.pb")))
    return [_read(folder / f"{role}_{index}.pb", entries[index].type) for index in range(count)]


def _read(path: Path, declared: onnx.TypeProto) -> Any:
    content = path.read_bytes()
    if declared.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(content))
    if declared.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(content))
    return numpy_helper.to_array(onnx.TensorProto.FromString(content))


def _array(item: Any) -> Any:
    if isinstance(item, onnx.TensorProto):
        return numpy_helper.to_array(item)
    return np.asarray(item) if isinstance(item, np.generic) else item
