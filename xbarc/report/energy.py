"""The terms of the energy of an inference: a count, times a figure of the hardware description, times a factor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from xbarc.hardware.components import Component, Held, Level, Scaling, Use
from xbarc.hardware.schema import Hardware
from xbarc.ir.input_statistics import InputStatistics
from xbarc.ir.layer import Layer
from xbarc.report.counts import ProgramCounts
from xbarc.report.words import shortened

#: What an inference does; a chip is written once for many.
_USES: Final[tuple[Held, ...]] = tuple(use for use in get_args(Use) if use != "cell-write")
_CELLS_SOURCE: Final = "tile.read_voltage^2 x cell.g_max x read time; the factor holds targets and inputs"


@dataclass(frozen=True, slots=True)
class EnergyLine:
    """One term of the energy of an inference: ``energy = count x figure x factor``.

    Attributes:
        part: name of the component, or ``cells``.
        use: what is counted; ``always``: parts that are on at all times.
        count: uses in one inference, those of a tile's several parts each; of what is always on, parts: on used tiles,
            in used cores, on the chip. ``None``: not known of any layer.
        figure: joules of a use at the largest input, or watts of a part; ``None``: not given.
        unit: of the figure, ``J`` or ``W``.
        factor: mean over the uses of what the inputs make of it, 1 where they do not matter; of what is always on,
            seconds; ``None``: not known.
        energy: joules, of the layers of which all this is known; ``None``: of none.
        source: of the figure.
    """

    part: str
    use: Held | Literal["always"]
    count: float | None
    figure: float | None
    unit: Literal["J", "W"]
    factor: float | None
    energy: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Term:
    """A line with what it consists of.

    Attributes:
        line: all of it.
        energies: joules of each layer, and last of the digital operators; ``None``: not known, or in no layer.
    """

    line: EnergyLine
    energies: tuple[float | None, ...]


def energy_terms(
    found: Sequence[Layer],
    counts: ProgramCounts,
    hardware: Hardware,
    *,
    owners: Mapping[Level, int],
    read_time: float | None,
    interval: float | None,
) -> tuple[list[Term], list[str]]:
    """The terms of a program, by the names of components, and in sentences what is not in them.

    Args:
        found: layers, in the order of execution.
        counts: of their uses.
        hardware: with the figures.
        owners: used tiles and cores, and the chip, whose parts may be on at all times.
        read_time: seconds of a read of a tile.
        interval: seconds from one inference to the next.
    """
    terms = [
        *_uses(found, counts, hardware),
        *_cells(found, counts, hardware, read_time),
        *_always_on(len(found) + 1, hardware, owners, interval),
    ]
    return terms, list(_missing(terms, found, counts, hardware))


def total_energy(energies: Iterable[float | None]) -> float | None:
    """The sum of those that are known; ``None`` where none is."""
    known = [energy for energy in energies if energy is not None]
    return math.fsum(known) if known else None


def _uses(found: Sequence[Layer], counts: ProgramCounts, hardware: Hardware) -> Iterator[Term]:
    """What uses of components take."""
    for name, part in sorted(hardware.components.by_name.items()):
        if part.use in _USES:
            factors = [*(_factor(layer.dac.statistics, part.scales_with) for layer in found), 1.0]
            yield _term(name, part.use, counts, _parts_a_use(part), part.use_energy, factors, part.source)


def _parts_a_use(part: Component) -> float:
    """A read of a tile uses all of the parts that the tile has; everything else uses one."""
    return part.count if part.use == "tile-read" and part.level == "tile" else 1.0


def _factor(statistics: InputStatistics | None, scaling: Scaling) -> float | None:
    """What a use takes on average over what it takes at the largest input; ``None`` where nothing was measured."""
    if scaling == "nothing":
        return 1.0
    if statistics is None:
        return None
    of_digit = {
        "level": [digit.level for digit in statistics.digits],
        "level-squared": [digit.squared for digit in statistics.digits],
        "nonzero": [digit.nonzero for digit in statistics.digits],
    }[scaling]
    return math.fsum(of_digit) / len(of_digit)


def _cells(
    found: Sequence[Layer], counts: ProgramCounts, hardware: Hardware, read_time: float | None
) -> Iterator[Term]:
    """What flows through the cells: ``V^2 G t`` of each, by Joule's law, of a voltage in proportion to the input.

    Rows are driven for the whole time of a read, whatever the input; conductances are at their targets. Cells in
    columns that a read is not for take nothing, wires and selectors neither. Nothing is counted where a part's figures
    hold it already.
    """
    volts, cell = hardware.tile.read_voltage, hardware.cell
    if volts is None or any("cells" in part.includes for part in hardware.components.by_name.values()):
        return
    step = cell.g_max - cell.g_min if cell.g_step is None else cell.g_step
    factors: list[float | None] = []
    for layer in found:
        statistics = layer.dac.statistics
        if statistics is None:
            factors.append(None)
            continue
        means = [cell.g_min * digit.cell_squared + step * digit.cell_levels for digit in statistics.digits]
        factors.append(math.fsum(means) / len(means) / cell.g_max)
    figure = None if read_time is None else volts**2 * cell.g_max * read_time
    yield _term("cells", "cells", counts, 1.0, figure, [*factors, 1.0], _CELLS_SOURCE)


def _term(
    name: str,
    use: Held,
    counts: ProgramCounts,
    parts: float,
    figure: float | None,
    factors: Sequence[float | None],
    source: str,
) -> Term:
    """The term of what is used, by the factors of each layer and of the digital operators."""
    uses = [entry.of(use) for entry in (*counts.layers, counts.digital)]
    # Pairs of a count and a factor; what is not used needs no factor.
    known = [
        None if count is None or (count and factor is None) else (count * parts, factor or 0.0)
        for count, factor in zip(uses, factors, strict=True)
    ]
    energies = tuple(None if each is None or figure is None else each[0] * figure * each[1] for each in known)
    pairs = [each for each in known if each is not None]
    count = math.fsum(each for each, _ in pairs)
    factor = math.fsum(each * of_each for each, of_each in pairs) / count if count else 1.0
    if counts.layers and not any(known[:-1]):  # the digital operators' nothing would look like all
        return Term(EnergyLine(name, use, None, figure, "J", None, None, source), energies)
    return Term(EnergyLine(name, use, count, figure, "J", factor, total_energy(energies), source), energies)


def _always_on(places: int, hardware: Hardware, owners: Mapping[Level, int], interval: float | None) -> Iterator[Term]:
    """Parts without a use, and static power."""
    for name, part in sorted(hardware.components.by_name.items()):
        watts = part.full_power if part.use is None else part.static_power
        if watts is not None:
            count = part.count * owners[part.level]
            energy = None if interval is None else count * watts * interval
            line = EnergyLine(name, "always", count, watts, "W", interval, energy, part.source)
            yield Term(line, (None,) * places)


def _missing(terms: Sequence[Term], found: Sequence[Layer], counts: ProgramCounts, hardware: Hardware) -> Iterator[str]:
    """What is used and has no energy."""
    names, every = [layer.name for layer in found], (*counts.layers, counts.digital)
    if unsized := [name for name, entry in zip(names, counts.layers, strict=True) if entry.tile_reads is None]:
        yield f"layers of which windows are not known: {shortened(unsized)}"
    if segments := max((layer.read.segment for layer in found), default=0):
        yield f"writing {segments + 1} segments to the chip, one after the other"
    held: set[str] = {term.line.use for term in terms}
    for part in hardware.components.by_name.values():
        held.update(part.includes)
    if free := [use for use in (*_USES, "cells") if use not in held and any(entry.of(use) != 0 for entry in every)]:
        yield f"no component says what it takes: {', '.join(free)}"
    for term in terms:
        yield from _lacking(term, names, counts)
    if counts.uncounted and "digital-operation" in held:
        yield f"digital operators whose operations are not counted: {', '.join(counts.uncounted)}"


def _lacking(term: Term, names: Sequence[str], counts: ProgramCounts) -> Iterator[str]:
    """What keeps the energies of one line from being known."""
    line = term.line
    if line.use == "always":
        if line.energy is None:
            yield f"{line.part}, always on: the time between inferences is not known"
        return
    if line.figure is None:
        yield f"{line.part}: no {'time of a read' if line.use == 'cells' else 'energy of a use'} is given"
        return
    sized = [entry.of(line.use) if entry.tile_reads is not None else 0 for entry in counts.layers]
    if None in (*sized, counts.digital.of(line.use)):
        yield f"{line.part}: its bits are not known, as there is no mesh, or sizes of values are not known"
    unmeasured = [
        name
        for name, count, energy in zip(names, sized, term.energies, strict=False)
        if count is not None and count > 0 and energy is None
    ]
    if unmeasured:
        yield f"{line.part}: nothing was measured of the inputs of {shortened(unmeasured)}"
