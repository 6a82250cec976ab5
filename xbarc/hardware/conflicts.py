"""Rules that join several keys of a hardware description, each reported at the keys that it joins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xbarc.hardware.components import Component
from xbarc.hardware.keys import dotted, listed
from xbarc.hardware.problems import Problem
from xbarc.hardware.tables import WIRES_GIVEN_AT, Adc, Cell, Chip, Core, Dac, Tile
from xbarc.units import format_quantity


def cell_conflicts(cell: Cell) -> Iterator[Problem]:
    """Conductances that are no range."""
    if cell.g_min >= cell.g_max:
        low, high = format_quantity(cell.g_min, "S"), format_quantity(cell.g_max, "S")
        yield Problem(
            keys=(("cell", "g_min"), ("cell", "g_max")),
            what=f"cell.g_min = {low} is not below cell.g_max = {high}",
            fix="lower cell.g_min or raise cell.g_max",
        )


def tile_conflicts(tile: Tile, adc: Adc) -> Iterator[Problem]:
    """More active rows than rows, more columns at a converter than columns, wires that are too cold."""
    if tile.active_rows is not None and tile.active_rows > tile.rows:
        yield Problem(
            keys=(("tile", "active_rows"), ("tile", "rows")),
            what=f"tile.active_rows = {tile.active_rows} is more than tile.rows = {tile.rows}",
            fix="lower tile.active_rows, or leave it out where one read drives all rows",
        )
    if adc.columns_per_adc is not None and adc.columns_per_adc > tile.columns:
        yield Problem(
            keys=(("adc", "columns_per_adc"), ("tile", "columns")),
            what=f"adc.columns_per_adc = {adc.columns_per_adc} is more than tile.columns = {tile.columns}",
            fix=f"give adc.columns_per_adc at most {tile.columns}",
        )
    if tile.temperature is not None and tile.temperature < WIRES_GIVEN_AT:
        yield Problem(
            keys=(("tile", "temperature"),),
            what=(
                f"tile.temperature = {format_quantity(tile.temperature, 'K')} is lower than "
                f"{WIRES_GIVEN_AT:g} K, from which on it is known what wires resist"
            ),
            fix="give a higher one, or the resistances at that temperature and no temperature",
        )


def adc_conflicts(adc: Adc, *, cell: Cell, dac: Dac) -> Iterator[Problem]:
    """Ranges that need what is not given, or cannot use what is."""
    if adc.range == "fixed" and adc.fixed_lsb is None:
        yield Problem(
            keys=(("adc", "fixed_lsb"), ("adc", "range")),
            what='adc.fixed_lsb is missing, which adc.range = "fixed" needs',
            fix="give adc.fixed_lsb a number above 0, in conductance steps times input codes",
        )
    if adc.range != "fixed" and adc.fixed_lsb is not None:
        yield Problem(
            keys=(("adc", "fixed_lsb"), ("adc", "range")),
            what=f'adc.fixed_lsb = {adc.fixed_lsb:g} has no effect with adc.range = "{adc.range}"',
            fix='remove adc.fixed_lsb, or set adc.range = "fixed"',
        )
    stepless = [
        path
        for path, resolution in ((("cell", "levels"), cell.levels), (("dac", "bits"), dac.bits))
        if resolution == "unlimited"
    ]
    if adc.range in ("unit", "full-scale", "fixed") and adc.bits != "unlimited" and stepless:
        names = listed(dotted(path) for path in stepless)
        yield Problem(
            keys=(("adc", "range"), *stepless),
            what=f'adc.range = "{adc.range}" counts steps of cells and input codes, and {names} = "unlimited" has none',
            fix=f"give {names} a number, or set another adc.range",
        )


def error_conflicts(adc: Adc, dac: Dac) -> Iterator[Problem]:
    """Errors in codes of converters that have none, more effective bits than bits, a voltage for the code 0."""
    for key in ("enob", "gain_sigma", "offset_sigma", "inl_sigma", "inl"):
        if getattr(adc, key) and adc.bits == "unlimited":
            yield Problem(
                keys=(("adc", key), ("adc", "bits")),
                what=f'adc.{key} is that of a converter with codes, and adc.bits = "unlimited" has none',
                fix=f"give adc.bits a number, or remove adc.{key}",
            )
    if adc.enob is not None and adc.bits != "unlimited" and adc.enob > adc.bits:
        yield Problem(
            keys=(("adc", "enob"), ("adc", "bits")),
            what=f"adc.enob = {adc.enob:g} is more than adc.bits = {adc.bits}",
            fix=f"give adc.enob at most {adc.bits}",
        )
    if dac.inl is not None and dac.bits == "unlimited":
        yield Problem(
            keys=(("dac", "inl"), ("dac", "bits")),
            what='dac.inl counts input codes, and dac.bits = "unlimited" has none',
            fix="give dac.bits a number, or remove dac.inl",
        )
    if dac.inl is not None and dac.inl[0] != 0:
        yield Problem(
            keys=(("dac", "inl"),),
            what=f"dac.inl begins with {dac.inl[0]:g}, and the code 0 applies no voltage",
            fix="begin dac.inl with 0",
        )


def chip_conflicts(chip: Chip, core: Core) -> Iterator[Problem]:
    """Tiles that do not fill the cores, a mesh of one side, a mesh of other tiles."""
    for given, missing in (("mesh_rows", "mesh_columns"), ("mesh_columns", "mesh_rows")):
        if getattr(chip, given) is not None and getattr(chip, missing) is None:
            yield Problem(
                keys=(("chip", given), ("chip", missing)),
                what=f"chip.{given} = {getattr(chip, given)} is one side of a mesh, and chip.{missing} is missing",
                fix=f"give chip.{missing} a whole number from 1 to 65536, or remove chip.{given}",
            )
    if chip.tiles == "unlimited":
        return
    if chip.mesh is not None:
        rows, columns = chip.mesh
        if chip.tiles != rows * columns * core.tiles:
            yield Problem(
                keys=(("chip", "tiles"), ("chip", "mesh_rows"), ("chip", "mesh_columns"), ("core", "tiles")),
                what=(
                    f"chip.tiles = {chip.tiles} contradicts a mesh of {rows} x {columns} cores of {core.tiles} tiles, "
                    f"which has {rows * columns * core.tiles}"
                ),
                fix="remove chip.tiles, which the mesh sets, or correct the mesh",
            )
    elif chip.tiles % core.tiles:
        yield Problem(
            keys=(("chip", "tiles"), ("core", "tiles")),
            what=f"chip.tiles = {chip.tiles} do not fill cores of core.tiles = {core.tiles}",
            fix=f"give chip.tiles a multiple of {core.tiles}, or another core.tiles",
        )


def component_conflicts(components: Mapping[str, Component]) -> Iterator[Problem]:
    """Parts without a figure, figures of a use that is not named, figures that say one thing twice."""
    for name, part in components.items():
        path = ("components", name)
        figures = {
            key: getattr(part, key)
            for key in ("energy", "latency", "power", "static_power", "area")
            if getattr(part, key) is not None
        }
        if not figures:
            yield Problem(
                keys=(path,),
                what=f"the table [{dotted(path)}] has no figure",
                fix="give at least one of energy, latency, power, static_power and area",
            )
        for key in ("energy", "latency"):
            if key in figures and part.use is None:
                yield Problem(
                    keys=((*path, key),),
                    what=f"{dotted((*path, key))} is that of one use, and {dotted((*path, 'use'))} is missing",
                    fix='say what one use is, as in use = "adc-conversion"',
                )
        for key in ("latency", "power"):
            if part.use == "cell-write" and key in figures:
                yield Problem(
                    keys=((*path, key), (*path, "use")),
                    what=f'{dotted((*path, key))} is of no effect with use = "cell-write"',
                    fix="give the energy of a cell there, and the time of a row as tile.write_time",
                )
        if {"energy", "latency", "power"} <= figures.keys():
            yield Problem(
                keys=((*path, "energy"), (*path, "power"), (*path, "latency")),
                what=f"{dotted((*path, 'energy'))}, power and latency are all given, and two of them make the third",
                fix="remove one of the three",
            )
        if part.scales_with != "nothing" and part.use not in ("dac-conversion", "tile-read"):
            use = "is missing" if part.use is None else f'= "{part.use}" applies none'
            yield Problem(
                keys=((*path, "scales_with"), (*path, "use")),
                what=f'{dotted((*path, "scales_with"))} = "{part.scales_with}" follows the inputs that are applied, '
                f"and {dotted((*path, 'use'))} {use}",
                fix='set use = "dac-conversion" or "tile-read", or remove scales_with',
            )


def inclusion_conflicts(components: Mapping[str, Component]) -> Iterator[Problem]:
    """Energy that would count twice: within the figures of one part, and by itself."""
    for name, part in components.items():
        path = ("components", name, "includes")
        for held in dict.fromkeys(part.includes):
            for other, counted in components.items():
                if counted.use == held:
                    yield Problem(
                        keys=(path, ("components", other, "use")),
                        what=f'{dotted(path)} has "{held}", which {dotted(("components", other))} counts again',
                        fix="take it out of includes, or remove the use of the other part",
                    )
