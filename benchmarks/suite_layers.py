"""Dense layers: sizes, tiles and windows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from harness import Case, Figure, Options, compare
from random_networks import dense
from sides import ADC_NOISE, CONVERTERS, FLOAT, FULL, Subject, full, normals, tiles

SUITE = "layers"
SIZES = (64, 256, 1024, 4096)
TILES = (128, 256, 512)
WINDOWS = (1, 32, 1024, 100_000)
#: Multiply-accumulates of a batch at most, so that the slowest takes seconds.
MOST_MACS = 7e9


def name_of(size: int, tile: int, windows: int) -> str:
    """Of a figure's case."""
    return f"{size} x {size}, tiles of {tile}, windows {windows:,}"


def measure(size: int, tile: int, windows: Sequence[int], options: Options) -> list[Figure]:
    """One layer, with batches of so many windows."""
    subject = Subject(dense(size, size), normals(256, size), {}, tiles(tile))
    program = subject.compiled(ADC_NOISE)
    ideal, chip = program.write(threads=options.threads), full(program, options.threads)
    figures = []
    for count in windows:
        batch = dataclasses.replace(subject, batch={"x": normals(count, size)})
        sides = {FLOAT: batch.floating(options.threads), CONVERTERS: batch.running(ideal), FULL: batch.running(chip)}
        facts = {"rows": size, "columns": size, "tile": tile, "windows": count}
        figures += compare(SUITE, name_of(size, tile, count), sides, options, facts=facts)
    return figures


def case(size: int, tile: int, windows: Sequence[int]) -> Case:
    """One layer."""
    return Case(SUITE, f"{size} x {size}, tiles of {tile}", lambda options: measure(size, tile, windows, options))


def _affordable(size: int) -> list[int]:
    return [windows for windows in WINDOWS if windows * size**2 <= MOST_MACS]


GOALS = (case(1024, 512, (1024,)), case(4096, 256, (256,)))
QUICK = (case(256, 256, (32,)), case(1024, 512, (1024,)))
CASES = tuple(
    case(size, tile, [*_affordable(size), *([256] if (size, tile) == (4096, 256) else [])])
    for size in SIZES
    for tile in TILES
)
