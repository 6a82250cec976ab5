"""Benchmark of mapping: how long it takes to compile ResNet-50 and VGG-16 for a chip of 9,216 tiles, pass by pass.

The networks have their layers and connections, and random weights. The chip has 12 x 12 cores of 64 tiles, 128 x 128
weights each; all else is as the default hardware has it. There is no calibration sample, layers have as many copies as
the chip has room for, and blocks have tiles of their own or share them. Each compilation runs in a process of its own;
what it takes to import xbarc is not counted. Seconds of the wall clock stand beside those of all processors together.

The bottleneck, in windows of the slowest layer, is held against the optimum that is known for these layers where no two
of them share a tile. ``--only WORD`` runs the cases whose name holds the word, ``--json`` prints one JSON object. The
exit status is 1 where a bottleneck is worse.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from random_networks import VGG16, resnet50, vgg
from rich.console import Console
from rich.table import Table

CHIP = (
    "tile.rows=128",
    "tile.columns=128",
    "core.tiles=64",
    "chip.tiles=9216",
    "chip.mesh_rows=12",
    "chip.mesh_columns=12",
)
PACKINGS = ("off", "network")
READING = "reading"


@dataclass(frozen=True)
class Network:
    """What to compile.

    Attributes:
        name: for people.
        make: writes it to a path.
        windows: of the slowest layer at best, with one block a tile.
    """

    name: str
    make: Callable[[Path], int]
    windows: int


NETWORKS = (
    Network("ResNet-50", lambda path: resnet50().save(path), 38),
    Network("VGG-16", lambda path: vgg(path, VGG16), 965),
)


@dataclass(frozen=True)
class Seconds:
    """Time of the wall clock, and of all processors."""

    wall: float
    cpu: float

    @staticmethod
    def now() -> Seconds:
        """Since some moment."""
        return Seconds(time.perf_counter(), time.process_time())

    def since(self, before: Seconds) -> Seconds:
        """What lies between."""
        return Seconds(self.wall - before.wall, self.cpu - before.cpu)


@dataclass(frozen=True)
class Result:
    """One compilation.

    Attributes:
        network, packing: what was compiled, and how blocks share tiles.
        total: of the compilation.
        passes: of what comes before the first pass, and of each pass with the check after it.
        saving: of writing the program to a file.
        tiles: that it takes.
        windows: of the slowest layer.
        optimum: the fewest that are possible with one block a tile.
    """

    network: str
    packing: str
    total: Seconds
    passes: dict[str, Seconds]
    saving: Seconds
    tiles: int
    windows: int
    optimum: int

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.network},\npacking {self.packing}"


def measure(network: Network, packings: Sequence[str]) -> list[Result]:
    """Make a network, and compile it in fresh processes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        network.make(path)
        results = []
        for packing in packings:
            print(f"compiling {network.name}, packing {packing}", file=sys.stderr)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                results.append(pool.apply(_compile, (path, NETWORKS.index(network), packing)))
        return results


def _compile(path: Path, index: int, packing: str) -> Result:
    from xbarc.api.compiler import compile_model  # what it takes is not counted
    from xbarc.ir.layer import layers

    network, names, moments = NETWORKS[index], [READING], [Seconds.now()]

    def note(name: str, _number: int, _count: int) -> None:
        names.append(name)
        moments.append(Seconds.now())

    program = compile_model(path, overrides=CHIP, replicate="balance", pack=packing, progress=note)
    moments.append(Seconds.now())
    program.save(path.with_name("program.xbar.onnx"))
    saved = Seconds.now()
    tiles = {tile for layer in layers(program.graph) for tile in layer.read.pieces["tile"].tolist()}
    return Result(
        network=network.name,
        packing=packing,
        total=moments[-1].since(moments[0]),
        passes={name: end.since(begin) for name, begin, end in zip(names, moments, moments[1:], strict=False)},
        saving=saved.since(moments[-1]),
        tiles=len(tiles),
        windows=program.report().replication.bottleneck,
        optimum=network.windows,
    )


def table(results: Sequence[Result]) -> Table:
    """A column a compilation."""
    made = Table(title="compiling for 9,216 tiles: seconds of the wall clock / of all processors")
    made.add_column("", no_wrap=True)
    for result in results:
        made.add_column(result.name, justify="right")
    for name in dict.fromkeys(name for result in results for name in result.passes):
        made.add_row(name, *(_both(result.passes[name]) if name in result.passes else "" for result in results))
    made.add_section()
    made.add_row("compilation", *(_both(result.total) for result in results))
    made.add_row("saving", *(_both(result.saving) for result in results))
    made.add_section()
    made.add_row("tiles", *(f"{result.tiles:,}" for result in results))
    made.add_row("bottleneck", *(f"{result.windows:,}" for result in results))
    made.add_row("unpacked optimum", *(f"{result.optimum:,}" for result in results))
    return made


def _both(seconds: Seconds) -> str:
    return f"{seconds.wall:.1f} / {seconds.cpu:.1f}"


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--only", default="", metavar="WORD", help="the networks whose name holds this")
    options = parser.parse_args()
    results = [result for network in NETWORKS if options.only in network.name for result in measure(network, PACKINGS)]
    if options.json:
        print(json.dumps({"mapping": [asdict(result) for result in results]}, indent=2))
    else:
        Console().print(table(results))
    return int(any(result.windows > result.optimum for result in results))


if __name__ == "__main__":
    sys.exit(main())
