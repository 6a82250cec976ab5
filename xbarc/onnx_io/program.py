"""Compiled programs as ONNX models: host operators as they came, one function call a layer, metadata for the rest."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from xbarc.errors import InternalError, ProgramError
from xbarc.ir.captures import settle_captures
from xbarc.ir.cell_currents import NonlinearCurrents
from xbarc.ir.conversions import ReadConversions
from xbarc.ir.converter_errors import AdcErrors, AppliedLevels
from xbarc.ir.digits import Digits
from xbarc.ir.graph import Graph, Value
from xbarc.ir.input_statistics import DigitStatistics, InputStatistics
from xbarc.ir.layer import Layer, layer_of
from xbarc.ir.naming import unique_names
from xbarc.ir.operators import (
    Accumulate,
    Adc,
    CodeRange,
    Control,
    CurrentRange,
    Dac,
    Decision,
    HostOp,
    InputRange,
    Rescale,
    TileRead,
    WeightClipping,
)
from xbarc.ir.partition import Partition
from xbarc.ir.pieces import PIECE
from xbarc.ir.recombination import Recombination
from xbarc.ir.scopes import scopes
from xbarc.ir.stages import Stage
from xbarc.ir.verify import verify
from xbarc.ir.windows import Windows
from xbarc.onnx_io.bare_model import BareModel
from xbarc.onnx_io.emit import Emitter, Store, make_model, value_info
from xbarc.onnx_io.import_graph import import_graph
from xbarc.onnx_io.layer_function import DOMAIN, DOMAIN_VERSION, layer_attributes, layer_function, layer_tensors
from xbarc.onnx_io.node_names import name_nodes
from xbarc.onnx_io.outside import inside

#: Version of the metadata. Raised when an older xbarc could not read a program rightly, or this one an older program.
SCHEMA: Final = 2
_KEY: Final = "ai.xbarc.program"


@dataclass(frozen=True, slots=True)
class StoredProgram:
    """A program as it lies in a file.

    Attributes:
        graph: at stage ``PLACED``.
        facts: plain JSON data beside the layers': hardware, provenance, options, calibration.
    """

    graph: Graph
    facts: Mapping[str, Any]


def is_program(model: onnx.ModelProto) -> bool:
    """Whether a model is a compiled program."""
    return any(entry.key == _KEY for entry in model.metadata_props)


def constant_bytes(graph: Graph) -> int:
    """What the levels and the other constants of a graph take, each array counted once."""
    operators = [operator for scope in scopes(graph) for operator in scope.operators()]
    values = [value for operator in operators for value in operator.operands if value is not None]
    arrays = [value.constant for value in values if value.constant is not None]
    arrays += [operator.levels for operator in operators if isinstance(operator, TileRead)]
    return sum({id(array): array.nbytes for array in arrays}.values())


def write_program(program: StoredProgram, *, store: Store = inside) -> onnx.ModelProto:
    """The ONNX model of a program. ``store`` makes the tensor of each constant."""
    graph = program.graph
    names = unique_names(graph)
    order = graph.operators()
    opset = graph.opsets.get("", 0)
    functions: dict[str, onnx.FunctionProto] = {}
    layers_json: dict[str, Any] = {}

    def call(emitter: Emitter, dac: Dac) -> None:
        layer = layer_of(dac)
        function = layer_function(layer, opset)
        functions[function.name] = function
        _call(emitter, layer, function.name, names)
        layers_json[layer.name] = _layer_json(layer)

    around = [names[value] for value in (*graph.inputs, *graph.outputs)]
    emitter = Emitter(names, order, reserved=[*graph.output_names, *around], store=store, layer=call)
    for operator in order:
        emitter.operator(operator)
    outputs, given = [], set(graph.outputs)
    for value, name in zip(graph.outputs, graph.output_names, strict=True):
        if names[value] != name:
            emitter.output(value, name)
        outputs.append(value_info(name, value))
    infos = [
        value_info(names[value], value)
        for operator in order
        if isinstance(operator, HostOp | Control | Rescale)
        for value in operator.results
        if value.type is not None and value.hint and value not in given
    ]
    proto = helper.make_graph(
        emitter.nodes,
        graph.name or "program",
        [value_info(value.hint, value) for value in graph.inputs],
        outputs,
        emitter.initializers,
        value_info=infos,
    )
    host_json = {
        operator.name: operator.decision.reason
        for scope in scopes(graph)
        for operator in scope.operators()
        if isinstance(operator, HostOp) and operator.decision is not None
    }
    opsets = {**graph.opsets, DOMAIN: DOMAIN_VERSION} if functions else dict(graph.opsets)
    model = make_model(proto, opsets, list(functions.values()))
    facts = {"schema": SCHEMA, **program.facts, "layers": layers_json, "host": host_json}
    model.metadata_props.add(key=_KEY, value=json.dumps(facts, sort_keys=True))
    return model


def read_program(model: BareModel, *, where: str) -> StoredProgram:
    """The program in an ONNX model.

    Raises:
        ProgramError: the model is no program, was made by a newer schema, or is damaged.
    """
    facts = _facts(model.model, where)
    try:
        name_nodes(model.model.graph)
        graph = import_graph(model.model, arrays=model.arrays)
        layers_json, host_json = facts.pop("layers"), facts.pop("host")
        for scope in list(scopes(graph)):
            for operator in scope.operators():
                if not isinstance(operator, HostOp):
                    continue
                if operator.node.domain == DOMAIN:
                    _expand(scope, operator, layers_json[operator.name])
                elif operator.name in host_json:
                    operator.decision = Decision(False, host_json[operator.name])
            scope.opsets.pop(DOMAIN, None)
            _drop_copies(scope)
            scope.stage = Stage.PLACED
        settle_captures(graph)
        verify(graph)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, InternalError) as error:
        raise ProgramError(
            f"the program is damaged: {type(error).__name__}: {error}", where=where, fix="compile the model again"
        ) from error
    return StoredProgram(graph, facts)


def _facts(model: onnx.ModelProto, where: str) -> dict[str, Any]:
    text = next((entry.value for entry in model.metadata_props if entry.key == _KEY), None)
    if text is None:
        raise ProgramError(
            "this ONNX model is not a compiled program", where=where, fix="compile it first: xbarc compile MODEL"
        )
    try:
        facts = json.loads(text)
        schema = int(facts["schema"])
        if schema < 1:
            raise ValueError(schema)
    except (ValueError, KeyError, TypeError):
        raise ProgramError("the program's metadata are damaged", where=where, fix="compile the model again") from None
    if schema > SCHEMA:
        raise ProgramError(
            f"the program was made by a newer xbarc: its schema is {schema}, this one reads up to {SCHEMA}",
            where=where,
            fix="upgrade xbarc, or compile the model again with this one",
        )
    if schema < SCHEMA:
        raise ProgramError(
            f"the program was made by an older xbarc: its schema is {schema}, this one reads {SCHEMA}",
            where=where,
            fix="compile the model again",
        )
    facts.pop("schema")
    return dict(facts)


def _call(emitter: Emitter, layer: Layer, function: str, names: Mapping[Value, str]) -> None:
    name = names[layer.output]
    read, partition = layer.read, layer.read.partition
    channels = partition.groups * partition.rows // read.windows.kernel_size
    dac_scale = np.full((channels, *(1 for _ in read.windows.kernel)), layer.dac.scale, dtype=np.float32)
    single = layer.single_ended
    columns = partition.stack_columns if single else partition.diagonal_columns
    dtype = np.float64 if read.double else np.float32
    lsb = 1.0 if layer.adc.range is None else layer.adc.range.lsb
    accumulate, sums = layer.accumulate, np.float64 if layer.double_sums else np.float32
    weights = accumulate.slice_weights.reshape(-1, 1, 1, 1, 1)
    arrays: dict[str, np.ndarray] = {
        "dac_scale": dac_scale,
        "levels": read.levels,
        "adc_lsb": np.full((1, 1, 1, 1, columns), lsb, dtype=dtype),
        "slice_weights": weights.astype(sums),
        "output_scale": np.asarray(layer.rescale.scale),
    }
    if layer.rescale.bias is not None:
        arrays["bias"] = layer.rescale.bias
    if accumulate.recombination is not None:
        how = accumulate.recombination
        arrays["signs"] = how.signs[:, None, :, None].astype(sums)
        arrays["references"] = how.references[:, None, :, None].astype(sums)
    if accumulate.correction is not None:
        arrays["correction"] = accumulate.correction[:, None]
    if layer.dac.applied is not None:
        arrays["dac_levels"] = layer.dac.applied.levels
    if layer.adc.errors is not None:
        errors = layer.adc.errors
        arrays["adc_gain"], arrays["adc_offset"] = (
            each[:, :, :, None].astype(dtype) for each in (errors.gain, errors.offset)
        )
        if errors.inl is not None:
            arrays["adc_inl"] = errors.inl.astype(dtype)
    if read.nonlinear is not None:
        arrays |= {"nonlinear_cells": read.nonlinear.cells, "nonlinear_codes": read.nonlinear.curves}
    inputs = [emitter.name(layer.input)]
    for tensor in layer_tensors(layer):
        add = emitter.shared if tensor in ("levels", "nonlinear_cells") else emitter.tensor
        inputs.append(add(f"{name}.{tensor}", arrays[tensor]))
    emitter.node(function, inputs, [name], name=layer.name, domain=DOMAIN, **layer_attributes(layer))


def _layer_json(layer: Layer) -> dict[str, Any]:
    if layer.adc.range is None or layer.read.pieces is None:
        raise InternalError(f"layer {layer.name!r} is not ready to be stored")
    return {
        "reason": layer.read.reason,
        "matrix": layer.read.matrix,
        "sample_axis": layer.dac.sample_axis,
        "input_range": dataclasses.asdict(layer.dac.input_range),
        "current_range": dataclasses.asdict(layer.adc.range),
        "copies": layer.read.copies,
        "active_rows": layer.read.active_rows,
        "segment": layer.read.segment,
        **({} if layer.read.clipping is None else {"clipping": dataclasses.asdict(layer.read.clipping)}),
        "pieces": {name: layer.read.pieces[name].tolist() for name in PIECE.names or ()},
        "unit_scale": layer.rescale.unit_scale.tolist(),
        **({} if layer.dac.applied is None else {"dac_low": layer.dac.applied.low, "dac_grid": layer.dac.applied.grid}),
        **({} if layer.read.nonlinear is None else {"nonlinear_low": layer.read.nonlinear.low}),
        "inputs": None if layer.dac.statistics is None else dataclasses.asdict(layer.dac.statistics),
        **{
            key: array.tolist()
            for key in ("offsets", "unit_correction")
            if (array := getattr(layer.accumulate, key)) is not None
        },
    }


def _expand(graph: Graph, call: HostOp, facts: Mapping[str, Any]) -> None:
    """Replace the call of a layer's function by the steps of the layer."""

    def array(index: int) -> np.ndarray:
        value = call.operands[index]
        if value is None or value.constant is None:
            raise ValueError(f"layer {call.name!r} lacks its tensor number {index}")
        return value.constant

    def codes(name: str) -> CodeRange | None:
        given = attributes.get(name)
        return None if given is None else CodeRange(int(given[0]), int(given[1]))

    attributes = {entry.name: helper.get_attribute_value(entry) for entry in call.node.attribute}
    subtraction = attributes["subtraction"].decode()
    if subtraction not in ("analog", "digital"):
        raise ValueError(f"layer {call.name!r} subtracts {subtraction!r}")
    counts = ("groups", "rows", "columns", "groups_per_diagonal", "block_rows", "block_columns")
    partition = Partition(
        **{key: int(attributes[key]) for key in counts},
        reference_column=bool(attributes["reference_column"]),
        positions=int(attributes.get("positions", 1)),
    )
    windows = Windows()
    if "kernel_shape" in attributes:
        windows = Windows(
            kernel=tuple(attributes["kernel_shape"]),
            strides=tuple(attributes["strides"]),
            dilations=tuple(attributes["dilations"]),
            pads=tuple(attributes.get("pads", ())),
            auto_pad=attributes["auto_pad"].decode(),
        )
    name, source, levels = call.name, call.operands[0], array(2)
    pieces = np.zeros(len(facts["pieces"]["tile"]), dtype=PIECE)
    for field in PIECE.names or ():
        pieces[field] = facts["pieces"][field]
    dac = Dac(
        name=name,
        operands=[source],
        results=[Value(f"{name}.codes", None if source is None else source.type)],
        codes=codes("dac_codes"),
        scale=float(array(1).flat[0]),
        input_range=InputRange(**facts["input_range"]),
        sample_axis=facts["sample_axis"],
        statistics=_read_statistics(facts.get("inputs")),
    )
    read = TileRead(
        name=name,
        operands=[dac.result],
        results=[Value(f"{name}.currents")],
        source=attributes["source"].decode(),
        reason=facts["reason"],
        matrix=facts["matrix"],
        levels=levels,
        windows=windows,
        partition=partition,
        subtraction="analog" if subtraction == "analog" else "digital",
        pedestal=float(attributes["pedestal"]),
        double=attributes["sums"] == b"float64",
        digits=_read_digits(attributes),
        grid=attributes.get("grid"),
        copies=facts["copies"],
        active_rows=facts["active_rows"],
        segment=facts.get("segment", 0),
        clipping=WeightClipping(**facts["clipping"]) if "clipping" in facts else None,
        pieces=pieces,
    )
    adc = Adc(
        name=name,
        operands=[read.result],
        results=[Value(f"{name}.adc_codes")],
        codes=codes("adc_codes"),
        range=dataclasses.replace(_current_range(facts["current_range"]), lsb=float(array(3).flat[0])),
    )
    tensors = [text.decode() for text in attributes.get("tensors", [])] or ["bias"][: len(call.operands) - 6]
    optional = {tensor: array(6 + index) for index, tensor in enumerate(tensors)}
    if "dac_levels" in optional:
        dac.applied = AppliedLevels(optional["dac_levels"], int(facts["dac_low"]), float(facts["dac_grid"]))
    if "adc_gain" in optional:
        gain, offset = (optional[key][:, :, :, 0].astype(np.float32) for key in ("adc_gain", "adc_offset"))
        inl = optional["adc_inl"].astype(np.float32) if "adc_inl" in optional else None
        adc.errors = AdcErrors(gain, offset, inl)
    if "nonlinear_cells" in optional:
        cells, curves = optional["nonlinear_cells"], optional["nonlinear_codes"]
        read.nonlinear = NonlinearCurrents(cells, curves, int(facts["nonlinear_low"]))
    recombination = None
    if "signs" in optional:
        recombination = Recombination(_planes(optional["signs"]), _planes(optional["references"]))
    correction = optional.get("correction")
    accumulate = Accumulate(
        name=name,
        operands=[adc.result],
        results=[Value(f"{name}.sums")],
        slice_weights=array(4).reshape(-1).astype(np.float64),
        subtraction=read.subtraction,
        recombination=recombination,
        offsets=_listed(facts, "offsets", levels.dtype),
        unit_correction=_listed(facts, "unit_correction", np.float64),
        correction=None if correction is None else correction.reshape(len(correction), -1),
    )
    old = call.results[0]
    rescale = Rescale(
        name=name,
        operands=[accumulate.result],
        results=[Value(old.hint, old.type)],
        unit_scale=np.array(facts["unit_scale"], dtype=np.float64),
        scale=array(5),
        bias=optional.get("bias"),
    )
    for operator in (dac, read, adc, accumulate):
        graph.add(operator)
    graph.replace(call, rescale)


def _planes(array: np.ndarray) -> np.ndarray:
    """``(S, 1, D, 1, C)`` as ``(S, D, C)``."""
    found: np.ndarray = array[:, 0, :, 0].astype(np.float64)
    return found


def _listed(facts: Mapping[str, Any], key: str, dtype: npt.DTypeLike) -> np.ndarray | None:
    return np.array(facts[key], dtype=dtype) if key in facts else None


def _current_range(facts: Mapping[str, Any]) -> CurrentRange:
    given: Mapping[str, Any] | None = facts.get("reads")
    reads = None
    if given is not None:
        lists: dict[str, Any] = {key: None if entry is None else tuple(entry) for key, entry in given.items()}
        reads = ReadConversions(**lists)
    return CurrentRange(**{**facts, "reads": reads})


def _read_statistics(facts: Mapping[str, Any] | None) -> InputStatistics | None:
    if facts is None:
        return None
    digits = tuple(DigitStatistics(**digit) for digit in facts["digits"])
    return InputStatistics(int(facts["windows"]), tuple(facts["histogram"]), digits)


def _read_digits(attributes: Mapping[str, Any]) -> Digits | None:
    if "digits" not in attributes:
        return None
    bits, width = attributes["digits"]
    match attributes["digit_sign"]:
        case b"none":
            return Digits(bits, width, None)
        case b"phases":
            return Digits(bits, width, "phases")
        case b"twos-complement":
            return Digits(bits, width, "twos-complement")
        case other:
            raise ValueError(f"codes are signed by {other!r}")


def _drop_copies(graph: Graph) -> None:
    """Undo the copies that name outputs which are also something else."""
    for index, value in enumerate(graph.outputs):
        copy = value.producer
        if isinstance(copy, HostOp) and copy.kind == "Identity" and not copy.decision and not value.users:
            graph.outputs[index] = copy.operand
            if not graph.is_output(value):
                graph.remove(copy)
