"""Compile: from a trained network to a program."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx

from xbarc.api.calibration import Calibration, CalibrationLike, calibration_of
from xbarc.api.executor import MachineExecutor
from xbarc.api.machines import batch_size, default_threads
from xbarc.api.program import Program
from xbarc.api.source import ModelLike, Source, input_specs, read_source
from xbarc.hardware.load import load_hardware
from xbarc.hardware.schema import Hardware
from xbarc.ir.pipeline import Pass, Pipeline, Progress
from xbarc.passes.calibrate_adc import CalibrateAdc
from xbarc.passes.calibrate_inputs import CalibrateInputs
from xbarc.passes.choose_analog import ChooseAnalog
from xbarc.passes.encode_weights import EncodeWeights
from xbarc.passes.fold_affine import FoldAffine
from xbarc.passes.fold_constants import FoldConstants
from xbarc.passes.insert_converters import InsertConverters
from xbarc.passes.lower_products import LowerProducts
from xbarc.passes.place_blocks import PlaceBlocks
from xbarc.passes.split_blocks import SplitBlocks

HardwareLike = str | os.PathLike[str] | Hardware


def compile_model(
    model: ModelLike,
    *,
    hardware: HardwareLike = "generic-pcm",
    overrides: Mapping[str, str] | Sequence[str] = (),
    calibration: CalibrationLike = None,
    analog: Sequence[str] = (),
    host: Sequence[str] = (),
    threads: int | None = None,
    dump_folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Program:
    """Compile a network for a chip.

    Args:
        model: an ONNX file or model.
        hardware: a preset, a TOML file, or a description.
        overrides: ``key.path=value`` changes to it.
        calibration: a sample of inputs for the converters' ranges: a data file or folder, arrays, or batches. Without one, ranges
            come from random inputs and the program is marked uncalibrated.
        analog, host: name patterns of operators to put on tiles or to leave digital; the more specific pattern wins.
        threads: all that the process may use by default.
        dump_folder: where the graph goes as text after each pass.
        progress: told before each pass.

    Raises:
        ModelError: the model cannot be read or compiled.
        HardwareError: the hardware cannot work.
        DataError: the calibration sample does not fit.
        CapacityError: the chip has too few tiles.
        UsageError: patterns or overrides that name nothing.
    """
    described = hardware if isinstance(hardware, Hardware) else load_hardware(hardware, overrides)
    source = read_source(model)
    graph = source.graph
    executor = MachineExecutor(threads=threads or default_threads())
    lowering = lowering_passes(executor, analog=analog, host=host)
    specs = input_specs(graph)
    sample = calibration_of(calibration, specs, batch_size(graph))
    passes = [*lowering, *_mapping_passes(described, executor, sample)]
    Pipeline(passes, dump_folder=None if dump_folder is None else Path(dump_folder), progress=progress).run(graph)
    facts = {
        "xbarc": importlib.metadata.version("xbarc"),
        "source": {"path": None if source.path is None else os.path.abspath(source.path), "sha256": source.sha256},
        "options": {"analog": list(analog), "host": list(host)},
        "calibration": sample.facts(),
    }
    return Program(graph, described, facts, model if isinstance(model, onnx.ModelProto) else None)


def lower(model: ModelLike, *, analog: Sequence[str] = (), host: Sequence[str] = (), threads: int | None = None) -> Source:
    """The front half of a compilation: read, fold, choose, lower. What ``xbarc check`` and ``inspect`` look at."""
    source = read_source(model)
    executor = MachineExecutor(threads=threads or default_threads())
    Pipeline(lowering_passes(executor, analog=analog, host=host)).run(source.graph)
    return source


def lowering_passes(executor: MachineExecutor, *, analog: Sequence[str], host: Sequence[str]) -> list[Pass]:
    """The passes that need no hardware."""
    return [FoldConstants(executor), ChooseAnalog(tuple(analog), tuple(host)), LowerProducts(), FoldAffine()]


def _mapping_passes(hardware: Hardware, executor: MachineExecutor, sample: Calibration) -> list[Pass]:
    """The passes that put products on tiles."""
    return [
        CalibrateInputs(hardware.dac, executor, sample, sample.measured),
        EncodeWeights(hardware.cell, hardware.weights),
        SplitBlocks(hardware),
        InsertConverters(hardware),
        CalibrateAdc(hardware.adc, executor, sample, sample.measured),
        PlaceBlocks(hardware),
    ]


