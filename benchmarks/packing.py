"""Benchmarks of packing: tiles and serial reads beside lower bounds, for networks given as lists of layers.

A list is a JSON object of networks, each with ``layers``: ``name``, ``groups``, ``rows_per_group``, ``cols_per_group``.
Tiles are logical, of ``--rows`` and ``--columns``. Serial reads a window: of the layer that needs most, and of all
layers together. ``--json`` prints one JSON object.
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

from xbarc.passes.packing.bounds import area_bound, parallel_bound, uncut_bound
from xbarc.passes.packing.dense import pack_dense
from xbarc.passes.packing.parallel import pack_parallel
from xbarc.passes.packing.pieces import Matrix, Packing, Tile, all_blocks, unpacked_tiles
from xbarc.passes.packing.reads import serial_reads

LISTS = Path(__file__).resolve().parents[2] / "shared" / "oracles" / "array_counts.json"
NETWORKS = ("mobilenetv2", "shufflenet", "googlenet", "squeezenet", "inception_v3")
#: Room for dense packings, over the area bound: what more tiles save in serial reads.
ROOM = (1.0, 1.05, 1.15)


@dataclass(frozen=True)
class Result:
    """One packing of one network.

    Attributes:
        network, mode: which; dense ones with their room over the area bound.
        unpacked: tiles where no layers share one.
        area, uncut, parallel: bounds: by area; of uncut blocks; of uncut blocks with parallel reads.
        tiles: of the packing.
        most_reads, reads: serial reads a window of the layer that needs most, and of all layers.
        layers: how many there are: the reads where all are parallel.
        more_partial_sums: share of partial sums that cuts add.
        seconds: it took to pack.
    """

    network: str
    mode: str
    unpacked: int
    area: int
    uncut: int
    parallel: int
    tiles: int
    most_reads: int
    reads: int
    layers: int
    more_partial_sums: float
    seconds: float


def packings(matrices: Sequence[Matrix], tile: Tile) -> Iterator[tuple[str, Packing, float]]:
    """Each mode with its packing and the seconds it took."""
    start = time.perf_counter()
    yield "parallel", pack_parallel(matrices, tile), time.perf_counter() - start
    for room in ROOM:
        start = time.perf_counter()
        packing = pack_dense(matrices, tile, allowed=int(room * area_bound(matrices, tile)))
        yield f"dense, area x {room:g}", packing, time.perf_counter() - start


def measure(network: str, matrices: Sequence[Matrix], tile: Tile) -> Iterator[Result]:
    """Pack one network in every mode."""
    sums = sum(piece.columns for piece in all_blocks(matrices, tile))
    for mode, packing, seconds in packings(matrices, tile):
        reads = serial_reads(packing, tile, layers=len(matrices))
        yield Result(
            network=network,
            mode=mode,
            unpacked=unpacked_tiles(matrices, tile),
            area=area_bound(matrices, tile),
            uncut=uncut_bound(matrices, tile),
            parallel=parallel_bound(matrices, tile),
            tiles=packing.tiles,
            most_reads=max(reads),
            reads=sum(reads),
            layers=len(matrices),
            more_partial_sums=sum(packing.partial_sums(len(matrices))) / sums - 1,
            seconds=seconds,
        )


def table(results: Sequence[Result]) -> Table:
    """The results for people."""
    made = Table(title="Tiles and serial reads a window")
    for heading in ("network", "packing"):
        made.add_column(heading)
    for heading in ("unpacked", "area", "uncut", "parallel", "tiles", "most reads", "reads", "layers", "sums", "s"):
        made.add_column(heading, justify="right")
    for result in results:
        bounds = (result.unpacked, result.area, result.uncut, result.parallel)
        found = (result.tiles, result.most_reads, result.reads, result.layers)
        shares = (f"+{result.more_partial_sums:.1%}", f"{result.seconds:.1f}")
        made.add_row(result.network, result.mode, *(f"{number:,}" for number in (*bounds, *found)), *shares)
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
    tile = Tile(options.rows, options.columns)
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
            tile,
        )
    ]
    if options.json:
        print(json.dumps({"packing": [asdict(result) for result in results]}, indent=2))
    else:
        Console().print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
