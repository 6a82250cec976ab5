"""Benchmarks of packing: tiles and serial reads beside lower bounds, for networks given as lists of layers.

A list is a JSON object of networks, each with ``layers``: ``name``, ``groups``, ``rows_per_group``, ``cols_per_group``.
Layers are cut, spread and packed as ``xbarc compile --pack`` does it. Tiles are logical, of ``--rows`` and
``--columns``: one slice, and both polarities of a weight in one cell. Serial reads a window: of the layer that needs
most, and of all layers together. ``--json`` prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from xbarc.hardware.load import load_hardware
from xbarc.hardware.schema import Hardware
from xbarc.ir.reads import take_turns
from xbarc.passes.packing.bounds import area_bound, parallel_bound, uncut_bound
from xbarc.passes.packing.matrices import Matrix, Tile, unpacked_tiles
from xbarc.passes.packing.pack import MODES, SCOPES, Mode, Scope, pack, tiles_of
from xbarc.passes.place_blocks import unplaced
from xbarc.passes.split_blocks import split
from xbarc.passes.spread_groups import Shape, SpreadGroups

LISTS = Path(__file__).resolve().parents[2] / "shared" / "oracles" / "array_counts.json"
NETWORKS = ("mobilenetv2", "shufflenet", "googlenet", "squeezenet", "inception_v3", "vgg16")


@dataclass(frozen=True)
class Result:
    """One packing of one network.

    Attributes:
        network, scope, mode: which.
        unpacked: tiles where no layers share one.
        area, uncut, parallel: bounds: by area; of uncut blocks; of uncut blocks with parallel reads.
        tiles: of the packing.
        most_reads, reads: serial reads a window of the layer that needs most, and of all layers.
        layers: how many there are: the reads where all are parallel.
        blocks, pieces: before the packer cut some, and after.
        sums: partial sums a window of all layers: columns of their pieces.
        unpacked_sums: without packing.
        seconds: it took to spread groups, to pack and to count reads.
    """

    network: str
    scope: Scope
    mode: Mode
    unpacked: int
    area: int
    uncut: int
    parallel: int
    tiles: int
    most_reads: int
    reads: int
    layers: int
    blocks: int
    pieces: int
    sums: int
    unpacked_sums: int
    seconds: float


def measure(network: str, matrices: Sequence[Matrix], hardware: Hardware) -> Iterator[Result]:
    """Pack one network in every mode."""
    tile = Tile(hardware.tile.rows, hardware.tile.columns)
    area, uncut, parallel = (bound(matrices, tile) for bound in (area_bound, uncut_bound, parallel_bound))
    shapes = {
        str(number): Shape(
            split(
                groups=matrix.groups,
                rows=matrix.rows,
                columns=matrix.columns,
                most_rows=hardware.weight_rows,
                most_columns=hardware.weight_columns,
            )
        )
        for number, matrix in enumerate(matrices)
    }
    whole = [unplaced(shape.partition, hardware, copies=1, slices=1, pairs=False) for shape in shapes.values()]
    for scope in SCOPES:
        for mode in MODES:
            start = time.perf_counter()
            partitions = SpreadGroups(hardware, scope, mode).spread(shapes).values()
            blocks = [unplaced(partition, hardware, copies=1, slices=1, pairs=False) for partition in partitions]
            tables = pack(blocks, tile, scope=scope, mode=mode)
            take_turns(tables, active_rows=None)
            seconds = time.perf_counter() - start
            reads = [int(table["turn"].max()) + 1 for table in tables]
            yield Result(
                network=network,
                scope=scope,
                mode=mode,
                unpacked=unpacked_tiles(matrices, tile),
                area=area,
                uncut=uncut,
                parallel=parallel,
                tiles=tiles_of(tables),
                most_reads=max(reads),
                reads=sum(reads),
                layers=len(matrices),
                blocks=sum(one.size for one in blocks),
                pieces=sum(table.size for table in tables),
                sums=sum(int(table["count"].sum()) for table in tables),
                unpacked_sums=sum(int(one["count"].sum()) for one in whole),
                seconds=seconds,
            )


def table(results: Sequence[Result]) -> Table:
    """The results for people."""
    made = Table(title="Tiles and serial reads a window")
    for heading in ("network", "packing"):
        made.add_column(heading, no_wrap=True)
    headings = (
        "unpacked",
        "area",
        "uncut",
        "parallel",
        "tiles",
        "most reads",
        "reads",
        "layers",
        "pieces",
        "sums",
        "s",
    )
    for heading in headings:
        made.add_column(heading, justify="right")
    for result in results:
        bounds = (result.unpacked, result.area, result.uncut, result.parallel)
        found = (result.tiles, result.most_reads, result.reads, result.layers, result.pieces)
        more = f"+{result.sums / result.unpacked_sums - 1:.1%}"
        numbers = (f"{number:,}" for number in (*bounds, *found))
        made.add_row(result.network, f"{result.scope} {result.mode}", *numbers, more, f"{result.seconds:.1f}")
    return made


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lists", type=Path, default=LISTS, help="JSON file of layer lists")
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--columns", type=int, default=128)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.lists.is_file():
        print(f"there are no layer lists at {options.lists}; name a file with --lists", file=sys.stderr)
        return 1
    networks = json.loads(options.lists.read_text(encoding="utf-8"))
    hardware = load_hardware("generic-pcm", [f"tile.rows={options.rows}", f"tile.columns={options.columns}"])
    results = [
        result
        for name in NETWORKS
        if name in networks
        for result in measure(
            name,
            [
                Matrix(layer["groups"], layer["rows_per_group"], layer["cols_per_group"])
                for layer in networks[name]["layers"]
            ],
            hardware,
        )
    ]
    if options.json:
        print(json.dumps({"packing": [asdict(result) for result in results]}, indent=2))
    else:
        Console(width=150).print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
