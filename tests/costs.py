"""Hardware with round figures, and uses counted one by one: for tests of what an inference costs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import strategies as st
from networks import Draw, finite_hardware

from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import Layer
from xbarc.ir.partition import Partition
from xbarc.report.tile_map import MappedBlock

#: One part for each use, each with a figure of its own.
PARTS: dict[str, dict[str, Any]] = {
    "dac": {"level": "tile", "count": 8, "use": "dac-conversion", "energy": "1 pJ", "scales_with": "level"},
    "adc": {"level": "tile", "use": "adc-conversion", "energy": "2 pJ", "area": "100 um2"},
    "array": {"level": "tile", "count": 2, "use": "tile-read", "energy": "3 pJ"},
    "adder": {"level": "core", "use": "shift-add", "energy": "5 pJ", "static_power": "1 uW"},
    "buffer": {"level": "core", "use": "buffer-bit", "power": "7 mW", "latency": "1 ns", "area": "0.01 mm2"},
    "bus": {"level": "core", "use": "bus-bit", "energy": "11 pJ"},
    "router": {"level": "chip", "use": "network-bit", "energy": "13 pJ"},
    "unit": {"level": "core", "use": "digital-operation", "energy": "17 pJ"},
    "clock": {"level": "tile", "count": 0.5, "power": "2 uW"},
    "link": {"level": "chip", "power": "1 mW", "area": "1 mm2"},
}
COMPONENTS = {name: part | {"source": f"drawn for {name}"} for name, part in PARTS.items()}
REFERENCE = {"name": "a processor", "energy_per_mac": "1 pJ", "source": "drawn"}


def with_costs(hardware: Hardware, **tables: dict[str, Any]) -> Hardware:
    """The same with a figure for every use, and with tables changed."""
    values = hardware.to_dict() | {"components": COMPONENTS, "digital_reference": REFERENCE}
    tables["tile"] = {"read_time": "100 ns", "read_voltage": "0.2 V"} | tables.get("tile", {})
    for name, table in tables.items():
        before = values.get(name, {})
        assert isinstance(before, dict)
        values[name] = before | table
    return Hardware.from_dict(values)


@st.composite
def costly_hardware(draw: Draw) -> Hardware:
    """Of finite resolution, in cores, on a mesh or without end; reads may drive a part of the rows."""
    hardware = draw(finite_hardware())
    rows = draw(st.one_of(st.just({}), st.fixed_dictionaries({"active_rows": st.integers(1, hardware.tile.rows)})))
    chip = draw(st.sampled_from([{}, {"mesh_rows": 150, "mesh_columns": 200}]))
    return with_costs(hardware, tile=rows, core={"tiles": draw(st.integers(1, 6))}, chip=chip)


def holds(partition: Partition, diagonal: int, column: int) -> str:
    """What a column of the stack holds in a diagonal: ``weight``, ``reference``, or nothing."""
    groups = min(partition.groups_per_diagonal, partition.groups - diagonal * partition.groups_per_diagonal)
    if not partition.reference_column:
        return "weight" if column < groups * partition.columns else ""
    block, place = divmod(column, partition.block_columns + 1)
    if place == partition.block_columns or column == partition.stack_columns - 1:
        return "reference"
    return "weight" if block * partition.block_columns + place < groups * partition.columns else ""


def count_uses(layer: Layer, blocks: list[MappedBlock], windows: int, hardware: Hardware) -> Counter[str]:
    """Uses of one layer in one inference: every window, digit, read and block by itself.

    Args:
        layer: placed.
        blocks: of its matrix, from the map of tiles.
        windows: of one inference.
        hardware: of finite resolution.
    """
    partition, found = layer.read.partition, Counter[str]()
    digits = 1 if layer.read.digits is None else len(layer.read.digits.reads)
    in_bits, out_bits = len(f"{int(np.ptp([layer.dac.codes.low, layer.dac.codes.high])):b}"), hardware.dac.bits  # type: ignore[union-attr]
    analog = hardware.weights.subtraction == "analog"
    of_copy, turns = [], []
    for copy in range(layer.read.copies):
        one, cores = Counter[str](), dict[tuple[int, int], set[int]]()
        reads, rows, fed = set(), set(), set()
        for block in (block for block in blocks if block.copy == copy):
            diagonal = block.place // partition.row_blocks
            reads.add((block.tile, block.turn))
            for row in range(block.rows):
                rows.add((block.tile, block.turn, block.row + row))
                fed.add((block.tile, block.place, row, block.row + row))
            for column in range(block.first, block.first + block.count):
                cores.setdefault((diagonal, column), set()).add(block.tile // hardware.core.tiles)
                held = holds(partition, diagonal, column)
                if held:
                    one["cells"] += digits * block.rows * len(block.polarities)
                if held == "weight" or (held and not analog):
                    one["adc-conversion"] += digits * (1 if analog else len(block.polarities))
        one["dac-conversion"] = digits * len(rows)
        one["input-bit"] = in_bits * len(fed)
        one["passed-on"] = sum(len(found) - 1 for found in cores.values())
        of_copy.append(one)
        turns.append(reads)
    for window in range(windows):
        found += of_copy[window % layer.read.copies]
    for first in range(0, windows, layer.read.copies):  # copies work side by side
        found["tile-read"] += digits * len(set().union(*turns[: windows - first]))
    outputs = windows * partition.groups * partition.columns
    sums = len(f"{int(np.ceil(layer.largest_code_sum)):b}") + 1 if layer.adc.codes is not None else 32
    passed_on, inputs = found.pop("passed-on", 0) * sums, found.pop("input-bit", 0)
    found["buffer-bit"] = inputs + outputs * out_bits + 2 * passed_on  # type: ignore[operator]
    found["bus-bit"] = inputs + outputs * sums + passed_on
    one_code = digits * layer.read.levels.shape[0] * partition.row_blocks == 1 and (
        analog or (layer.read.levels.shape[1] == 1 and not partition.reference_column)
    )
    found["shift-add"] = 0 if one_code else found["adc-conversion"]
    return found
