"""Compile: from a trained network to a program."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnx

from xbarc.api.calibration import Calibration, CalibrationLike, calibration_of
from xbarc.api.executor import MachineExecutor
from xbarc.api.machines import build_machine, default_threads
from xbarc.api.memory import batch_size
from xbarc.api.pass_check import OnDifference, PassCheck
from xbarc.api.program import Program
from xbarc.api.source import ModelLike, input_specs, read_source
from xbarc.errors import UsageError
from xbarc.hardware.load import load_hardware
from xbarc.hardware.overrides import read_overrides
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.pipeline import Dump, Observer, Pass, Pipeline, Progress
from xbarc.passes.calibrate_adc import CalibrateAdc
from xbarc.passes.calibrate_inputs import CalibrateInputs
from xbarc.passes.choose_analog import ChooseAnalog
from xbarc.passes.cut_segments import CutSegments
from xbarc.passes.encode_weights import EncodeWeights
from xbarc.passes.fold_affine import FoldAffine
from xbarc.passes.fold_constants import FoldConstants
from xbarc.passes.insert_converters import InsertConverters
from xbarc.passes.lower_products import LowerProducts
from xbarc.passes.pack_blocks import PackBlocks
from xbarc.passes.packing.pack import MODES, SCOPES, Mode
from xbarc.passes.place_blocks import PlaceBlocks
from xbarc.passes.place_cores import PlaceCores
from xbarc.passes.replicate import Rate, Replicate
from xbarc.passes.share_weights import ShareWeights
from xbarc.passes.split_blocks import Split, SplitBlocks
from xbarc.passes.spread_groups import SpreadGroups
from xbarc.passes.verify_mapping import VerifyMapping
from xbarc.units import parse_quantity

HardwareLike = str | os.PathLike[str] | Hardware
#: Besides the words, a number of rounds, or a text such as ``"5 k/s"``.
Replication = Literal["none", "balance"] | int | str
Packing = Literal["off", "layer", "network"]


def compile_model(
    model: ModelLike,
    *,
    hardware: HardwareLike = "generic-pcm",
    overrides: Mapping[str, str] | Sequence[str] = (),
    calibration: CalibrationLike = None,
    analog: Sequence[str] = (),
    host: Sequence[str] = (),
    split: Split = "greedy",
    replicate: Replication = "none",
    pack: Packing = "off",
    pack_mode: Mode = "parallel",
    segments: bool = False,
    threads: int | None = None,
    dump_folder: str | os.PathLike[str] | None = None,
    on_difference: OnDifference | None = None,
    verify: bool = False,
    progress: Progress | None = None,
) -> Program:
    """Compile a network for a chip.

    Args:
        model: an ONNX file or model.
        hardware: a preset, a TOML file, or a description.
        overrides: ``key.path=value`` changes to it.
        calibration: a sample of inputs for the converters' ranges: a data file or folder, arrays, or batches. Without
            one, ranges come from random inputs and the program is marked uncalibrated.
        analog, host: name patterns of operators to put on tiles or to leave digital; the more specific pattern wins.
        split: how matrices are cut into blocks: as large as a tile holds (``"greedy"``), as many of sizes as equal as
            they can be (``"balanced"``), or none with rows of two kernel positions of a convolution (``"positions"``).
        replicate: how often the chip holds the cells of layers of many windows: once (``"none"``), so that the slowest
            layer takes as few rounds as the chip allows (``"balance"``), or at most so many (a number, at least 1), or
            so that there are so many inferences a second (``"5 k/s"``), as far as reads of tiles decide.
        pack: which blocks share tiles: none (``"off"``), those of one layer, its slices, sides, groups and copies
            (``"layer"``), or of all layers (``"network"``), which then take turns. Never more tiles than without.
        pack_mode: whether all that a layer has in a tile is read at once (``"parallel"``), or there are as few tiles as
            can be, for which blocks are cut and read one after the other (``"dense"``).
        segments: whether a network that is larger than the chip is cut into segments of layers that fit, for which the
            chip is written one after the other.
        threads: all that the process may use by default.
        dump_folder: where the graph goes as text after each pass.
        on_difference: told after each pass by how much it changed the outputs for the first batch of the sample.
        verify: prove at the end that every weight lies on cells of its own, which decode to it within half a step.
        progress: told before each pass.

    Raises:
        ModelError: the model cannot be read or compiled.
        HardwareError: the hardware cannot work.
        DataError: the calibration sample does not fit.
        CapacityError: the chip has too few tiles; with ``segments``, for what must not come apart.
        UsageError: patterns or overrides that name nothing; ``split``, ``replicate``, ``pack`` or ``pack_mode`` is none
            of these; copies to fill an unlimited chip; inferences a second where the time of a read is not known.
        InternalError: with ``verify``, cells do not hold the weights.
    """
    if isinstance(hardware, Hardware) and overrides:
        raise UsageError("overrides change a preset or a file, not a description", fix="change the description itself")
    _check_split(split)
    _check_packing(pack, pack_mode)
    options = _MappingOptions(split, replicate != "none", _target(replicate), pack, pack_mode, segments)
    described = hardware if isinstance(hardware, Hardware) else load_hardware(hardware, overrides)
    source = read_source(model)
    graph = source.graph
    executor = MachineExecutor(threads=threads or default_threads())
    sample = calibration_of(calibration, input_specs(graph), batch_size(graph), trial=lambda: executor.trial(graph))
    passes = [
        *lowering_passes(executor, analog=analog, host=host),
        *_mapping_passes(described, executor, sample, options),
    ]
    observers: list[Observer] = [] if dump_folder is None else [Dump(Path(dump_folder))]
    observers.append(_refuse_unloadable)
    if on_difference is not None:
        observers.append(PassCheck(graph, executor, next(iter(sample)), on_difference))
    if verify:
        observers.append(VerifyMapping(described))
    Pipeline(passes, progress=progress, observers=observers).run(graph)
    facts = {
        "xbarc": importlib.metadata.version("xbarc"),
        "source": {"path": None if source.path is None else os.path.abspath(source.path), "sha256": source.sha256},
        "options": {
            "analog": list(analog),
            "host": list(host),
            "overrides": [override.text for override in read_overrides(overrides)],
            "split": split,
            "replicate": replicate,
            "pack": pack,
            "pack_mode": pack_mode,
            "segments": segments,
        },
        "calibration": sample.facts(),
    }
    return Program(graph, described, facts, model if isinstance(model, onnx.ModelProto) else None)


def lower(
    graph: Graph,
    *,
    analog: Sequence[str] = (),
    host: Sequence[str] = (),
    threads: int | None = None,
    progress: Progress | None = None,
) -> None:
    """The front half of a compilation, in place: fold, choose, lower. Arguments as for :func:`compile_model`.

    Raises:
        ModelError: the model cannot be lowered, or onnxruntime cannot run what is left to the host.
        UsageError: patterns that name nothing.
    """
    executor = MachineExecutor(threads=threads or default_threads())
    passes = lowering_passes(executor, analog=analog, host=host)
    Pipeline(passes, progress=progress, observers=[_refuse_unloadable]).run(graph)


def lowering_passes(executor: MachineExecutor, *, analog: Sequence[str], host: Sequence[str]) -> list[Pass]:
    """The passes that need no hardware."""
    return [
        FoldConstants(executor),
        ChooseAnalog(tuple(analog), tuple(host)),
        LowerProducts(),
        FoldAffine(),
        ShareWeights(),
    ]


def _refuse_unloadable(entry: Pass, _number: int, graph: Graph) -> None:
    """An observer that lets onnxruntime say what it cannot run, as soon as it is known what is left to the host.

    Raises:
        ModelError: it cannot run an operator.
    """
    if isinstance(entry, ShareWeights):
        build_machine(graph)


def _check_split(split: Split) -> None:
    if split not in ("greedy", "balanced", "positions"):
        raise UsageError(f"there is no split {split!r}", fix='take "greedy", "balanced" or "positions"')


def _target(replicate: Replication) -> int | Rate | None:
    """What replication is to reach; ``None``: as much as the chip allows, or nothing.

    Raises:
        UsageError: it is none of what there is.
    """
    if replicate in ("none", "balance"):
        return None
    if type(replicate) is int and replicate >= 1:
        return replicate
    if isinstance(replicate, str):
        try:
            rate = parse_quantity(replicate, "/s")
        except ValueError:
            rate = 0.0
        if rate > 0.0:
            return Rate(rate)
    raise UsageError(
        f"there is no replication {replicate!r}",
        fix='take "none", "balance", the number of windows that the slowest layer may take, at least 1, or how many '
        'inferences a second are enough, such as "5 k/s"',
    )


def _check_packing(pack: Packing, mode: Mode) -> None:
    if pack not in ("off", *SCOPES):
        raise UsageError(f"there is no packing {pack!r}", fix='take "off", "layer" or "network"')
    if mode not in MODES:
        raise UsageError(f"there is no packing mode {mode!r}", fix='take "parallel" or "dense"')
    if pack == "off" and mode != "parallel":
        raise UsageError(
            f"packing {mode!r} is asked for, and nothing is packed", fix='pack "layer" or "network" (--pack)'
        )


@dataclass(frozen=True, slots=True)
class _MappingOptions:
    """What a compilation says about the mapping, checked."""

    split: Split
    replicate: bool
    target: int | Rate | None
    pack: Packing
    pack_mode: Mode
    segments: bool


def _mapping_passes(
    hardware: Hardware, executor: MachineExecutor, sample: Calibration, options: _MappingOptions
) -> list[Pass]:
    """The passes that put products on tiles."""
    pack, mode = options.pack, options.pack_mode
    place = PlaceBlocks(hardware) if pack == "off" else PackBlocks(hardware, pack, mode)
    return [
        CalibrateInputs(hardware.dac, executor, sample, sample.measured),
        EncodeWeights(hardware.cell, hardware.weights),
        SplitBlocks(hardware, options.split),
        *([] if pack == "off" else [SpreadGroups(hardware, pack, mode)]),
        InsertConverters(hardware),
        CalibrateAdc(hardware.adc, executor, sample, sample.measured),
        *([CutSegments(hardware, place.tiles_of)] if options.segments else []),
        *([Replicate(hardware, options.target)] if options.replicate else []),
        place,
        *([] if hardware.chip.mesh is None else [PlaceCores(hardware)]),
    ]
