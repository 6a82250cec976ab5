"""The network of a chip, as far as its description tells of it."""

from __future__ import annotations

from xbarc.hardware.schema import Hardware
from xbarc.ir.mesh import Mesh
from xbarc.ir.traffic import UNQUANTISED_BITS


def mesh_of(hardware: Hardware) -> Mesh | None:
    """The mesh of its cores; ``None`` where the description gives none."""
    mesh = hardware.chip.mesh
    return None if mesh is None else Mesh(*mesh)


def digital_bits(hardware: Hardware) -> int:
    """Bits of a number between digital operators: those of an input code, as it has to become one in the end."""
    return UNQUANTISED_BITS if hardware.dac.bits == "unlimited" else hardware.dac.bits


def link_bandwidth(hardware: Hardware) -> float | None:
    """Bits a second over one link; ``None`` where not given."""
    link = hardware.network
    return None if link.link_bits is None or link.clock is None else link.link_bits * link.clock
