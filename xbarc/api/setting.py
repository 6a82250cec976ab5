"""What all chips of one program share: the program, and how it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xbarc.api.reference import Origin
from xbarc.api.specs import InputSpec
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.runtime.host import Optimization


@dataclass(frozen=True)
class Setting:
    """A program as its chips see it.

    Attributes:
        graph: of the program, at its last stage.
        hardware: what it was compiled for.
        facts: provenance, options and calibration.
        specs: its inputs.
        origin: of the program, for comparisons with the network in floating point.
        calibrated: whether its ranges came from real data.
        threads: for layers and for host operators.
        optimization: how far onnxruntime may rewrite host operators.
        memory_bytes: that a run may take; ``None``: batches of a modest size.
    """

    graph: Graph
    hardware: Hardware
    facts: Mapping[str, Any]
    specs: Sequence[InputSpec]
    origin: Origin
    calibrated: bool
    threads: int
    optimization: Optimization
    memory_bytes: float | None = None
