"""Programs: compiled models in memory, saved and loaded as ONNX."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import onnx

from xbarc.api.calibration import SampleLike, open_sample
from xbarc.api.chip import Chip
from xbarc.api.chip_files import load_cells
from xbarc.api.machines import default_threads
from xbarc.api.memory import bytes_of
from xbarc.api.model_files import save_program
from xbarc.api.reading import Reading, compensation_of
from xbarc.api.reference import Origin
from xbarc.api.repairs import Repair, repairs_of
from xbarc.api.series import ChipSeries, Repairs
from xbarc.api.setting import Setting
from xbarc.api.source import input_specs, read_bare
from xbarc.api.specs import InputSpec
from xbarc.api.times import seconds_of
from xbarc.api.verified import known_programming
from xbarc.api.writing import check_placement, check_seed, write_chip
from xbarc.devices.catalogue import find_device
from xbarc.devices.faults import FaultMap, load_faults
from xbarc.devices.ideal import IdealDevice
from xbarc.errors import HardwareError, ProgramError, UsageError
from xbarc.hardware.schema import Hardware
from xbarc.ir.effects import EVERYTHING
from xbarc.ir.graph import Graph
from xbarc.ir.printer import print_graph
from xbarc.onnx_io.program import StoredProgram, read_program, write_program
from xbarc.report.difference import Described, ProgramDifference, program_difference
from xbarc.report.tile_map import TileMap, tile_map
from xbarc.report.utilisation import UtilisationReport, is_calibrated, utilisation_report

if TYPE_CHECKING:
    from xbarc.devices.device import Device, ReadNoise
    from xbarc.report.evaluation import Compensation, Placement
    from xbarc.runtime.host import Optimization
    from xbarc.runtime.programming import WriteVerify

#: What every program remembers of its making.
_FACTS: Final = (
    ("source", "path"),
    ("source", "sha256"),
    ("options", "overrides"),
    ("calibration", "measured"),
    ("calibration", "origin"),
    ("calibration", "samples"),
)


@dataclass(frozen=True)
class Program:
    """A compiled model: what goes where, with target levels, ranges and scales. Deterministic.

    Attributes:
        graph: the IR at its last stage.
        hardware: what it was compiled for.
        facts: provenance, options and calibration, as plain JSON data.
        source: the model it was compiled from, where that came from memory.
    """

    graph: Graph
    hardware: Hardware
    facts: Mapping[str, Any]
    source: onnx.ModelProto | None = field(default=None, repr=False)

    @property
    def inputs(self) -> list[InputSpec]:
        """What data must look like to be fed to it."""
        return input_specs(self.graph)

    @property
    def calibrated(self) -> bool:
        """Whether converter ranges, where there are any, came from real data."""
        return is_calibrated(self.graph, self.facts)

    @property
    def origin(self) -> Origin:
        """Where it comes from."""
        path = self.facts["source"]["path"]
        return Origin(None if path is None else Path(path), self.facts["source"]["sha256"], self.source)

    def write(
        self,
        device: str | Device = "ideal",
        *,
        seed: int = 0,
        faults: str | os.PathLike[str] | FaultMap | None = None,
        programming: str | WriteVerify | None = None,
        placement: Placement = "as-compiled",
        threads: int | None = None,
        memory: float | str | None = None,
        optimization: Optimization = "basic",
    ) -> Chip:
        """Write the program on a chip.

        Args:
            device: a name, with parameters where they differ from the defaults: ``pcm``,
                ``generic:programming_proportional=0.02``; the file of a measured table; or an object that behaves as
                :class:`xbarc.devices.device.Device` says.
            seed: of the chip: the same seed gives the same chip.
            faults: that the chip is known to have, beside those that are drawn: a CSV file, as
                :func:`xbarc.devices.faults.load_faults` reads it, or a map.
            programming: the closed loop that cells are written in, ``ecram-li:band=0.01`` or an object
                (:class:`xbarc.runtime.programming.WriteVerify`), in place of the device's programming errors; ``None``:
                in one shot, with these. What it came to is ``chip.writing``.
            placement: ``fault-aware``: lines of blocks lie on those of tiles where the faults of this chip do little
                harm (:mod:`xbarc.runtime.fault_placement`); ``as-compiled``: as the program says.
            threads: all that the process may use by default.
            memory: that a run of the chip may take, in bytes or as ``"2 GB"``: batches are cut to fit
                (:mod:`xbarc.api.memory` says what is counted); no more than a modest batch by default.
            optimization: how far onnxruntime may rewrite host operators.

        Raises:
            UsageError: an unknown device, closed loop or placement, parameters out of their range, what is no seed,
                faults, a closed loop or a placement by faults on the ideal device, or memory in which not one sample
                can run.
            DeviceError: a map of faults that cannot be read, or of places that the chip does not have.
        """
        found, known, loop = _found(device), _known(faults), known_programming(programming)
        check_seed(seed)
        check_placement(placement)
        if "chip" in self.facts and not isinstance(found, IdealDevice):
            raise UsageError(
                "this is a chip that was written already, not a program",
                fix="write the program that it was made from, or run this one as it is",
            )
        setting = self._setting(threads, memory, optimization)
        if not isinstance(found, IdealDevice):
            written = write_chip(
                self.graph,
                self.hardware,
                found,
                seed=int(seed),
                faults=known,
                programming=loop,
                placement=placement,
                threads=setting.threads,
            )
            return Chip(setting, written)
        if loop is not None:
            raise UsageError(
                "cells of the ideal device hold their targets: there is nothing to verify",
                fix="write on another device, such as generic, whose cells have errors only where it is asked for",
            )
        if known is not None or placement != "as-compiled":
            raise UsageError(
                "the ideal device has no faults", fix="write on the device generic, whose cells hold theirs"
            )
        return Chip(setting)

    def series(
        self,
        device: str | Device,
        *,
        seeds: Sequence[int],
        faults: str | os.PathLike[str] | FaultMap | None = None,
        programming: str | WriteVerify | None = None,
        placement: Placement = "as-compiled",
        times: Iterable[float | str] = (0.0,),
        compensated: Iterable[bool | Compensation] = (False,),
        read_noise: ReadNoise = "split",
        inference: float | str = 1e-3,
        ir_drop: bool = True,
        repairs: Iterable[str] = (),
        sample: SampleLike | None = None,
        repair_time: float | str | None = None,
        threads: int | None = None,
        memory: float | str | None = None,
        optimization: Optimization = "basic",
    ) -> ChipSeries:
        """The program on many chips, each at several times: for :meth:`Chip.evaluate`, or to go through.

        Args:
            device: as for :meth:`write`, and not the ideal one.
            seeds: one a chip.
            faults: as for :meth:`write`; all chips have them.
            programming, placement: as for :meth:`write`.
            times: seconds from the device's reference moment on, or texts such as ``"1d"``.
            compensated: without drift compensation, with it, or both; as for :meth:`Chip.compensated`.
            read_noise: which part of the cells' noise is frozen.
            inference: how long one takes, which parts slow from fast noise.
            ir_drop: whether what is lost on wires counts, where the hardware has any.
            repairs: ``retune`` and ``recalibrate``, as :meth:`Chip.retuned` and :meth:`Chip.recalibrated`, in this
                order.
            sample: that they are made with.
            repair_time: when they are made; by default anew at each time.
            threads, memory, optimization: as for :meth:`write`.

        Raises:
            UsageError: what :meth:`write` and :meth:`Chip.at` refuse; nothing to do, or something twice; an unknown
                repair, repairs without a sample or a sample without them.
            DeviceError: as :meth:`write`.
            DataError: a sample that does not fit the model, or can be read only once.
        """
        effects = EVERYTHING.switched("ir-drop", on=ir_drop)
        instants, inference_s = [seconds_of(time) for time in times], seconds_of(inference)
        readings = [
            Reading(
                time_s=time_s,
                read_noise=read_noise,
                inference_s=inference_s,
                compensation=compensation_of(on),
                effects=effects,
            )
            for on in compensated
            for time_s in instants
        ]
        return ChipSeries(
            self._setting(threads, memory, optimization),
            _found(device),
            seeds,
            readings,
            _known(faults),
            known_programming(programming),
            self._repairs(repairs_of(repairs), sample, None if repair_time is None else seconds_of(repair_time)),
            placement=placement,
        )

    def _repairs(self, names: Sequence[Repair], sample: SampleLike | None, time_s: float | None) -> Repairs | None:
        if not names:
            if sample is not None or time_s is not None:
                raise UsageError("a sample or a time for repairs, and no repair", fix="name repairs, or leave it out")
            return None
        if sample is None:
            raise UsageError("repairs measure on a calibration sample, and none is given", fix="give one")
        return Repairs(names, open_sample(sample, self.inputs)[0], time_s)

    def load_chip(
        self,
        path: str | os.PathLike[str],
        *,
        threads: int | None = None,
        memory: float | str | None = None,
        optimization: Optimization = "basic",
    ) -> Chip:
        """A chip that was saved.

        Raises:
            DataError: the file is damaged, or the chip was written with another program.
            UsageError: its cells are no resistors, and the program does not say what voltages they are read at.
        """
        return Chip(self._setting(threads, memory, optimization), load_cells(path, self.graph, self.hardware))

    def _setting(self, threads: int | None, memory: float | str | None, optimization: Optimization) -> Setting:
        return Setting(
            graph=self.graph,
            hardware=self.hardware,
            facts=self.facts,
            specs=self.inputs,
            origin=self.origin,
            calibrated=self.calibrated,
            threads=threads or default_threads(),
            optimization=optimization,
            memory_bytes=bytes_of(memory),
        )

    def report(self) -> UtilisationReport:
        """Where tiles and cells go."""
        return utilisation_report(self.graph, self.hardware, self.facts)

    def tile_map(self) -> TileMap:
        """Which block lies where on the chip."""
        return tile_map(self.graph, self.hardware)

    def difference(self, other: Program, *, names: tuple[str, str] = ("first", "second")) -> ProgramDifference:
        """What this program and another do not agree on, under the names that they go by."""
        sides = [
            Described(name, program.graph, program.hardware, program.facts, program.report())
            for name, program in zip(names, (self, other), strict=True)
        ]
        return program_difference(*sides)

    def text(self) -> str:
        """The program's IR as text."""
        return print_graph(self.graph)

    def model(self) -> onnx.ModelProto:
        """The program as an ONNX model that onnxruntime executes."""
        return write_program(self._stored())

    def _stored(self) -> StoredProgram:
        return StoredProgram(self.graph, {**self.facts, "hardware": self.hardware.to_dict()})

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the program to a file, and beside it a file of weights where it is too large for one.

        Raises:
            XbarcError: the file cannot be written.
        """
        return save_program(self._stored(), path)


def load(program: str | os.PathLike[str] | onnx.ModelProto) -> Program:
    """Load a compiled program.

    Raises:
        ModelError: the file is no ONNX model.
        ProgramError: it is no program, damaged, or made by a newer schema.
    """
    _, where, bare = read_bare(program)
    stored = read_program(bare, where=where)
    facts = dict(stored.facts)
    try:
        hardware = Hardware.from_dict(facts.pop("hardware"))
        lacking = [f"{table}.{key}" for table, key in _FACTS if key not in facts[table]]
    except (KeyError, TypeError, HardwareError) as error:
        raise ProgramError(f"the program is damaged: {error}", where=where, fix="compile the model again") from error
    if lacking:
        raise ProgramError(f"the program lacks {', '.join(lacking)}", where=where, fix="compile the model again")
    return Program(stored.graph, hardware, facts)


def _known(faults: str | os.PathLike[str] | FaultMap | None) -> FaultMap | None:
    return faults if faults is None or isinstance(faults, FaultMap) else load_faults(os.fspath(faults))


def _found(device: str | Device) -> Device:
    return find_device(device) if isinstance(device, str) else device
