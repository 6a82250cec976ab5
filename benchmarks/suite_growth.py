"""How time grows: with windows, with cells, with layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import onnx
from harness import Case, Figure, Options, amount, compare, slope, threads_of
from random_networks import dense
from rich.table import Table
from sides import ADC_NOISE, CONVERTERS, FLOAT, FULL, Subject, full, normals

SUITE = "growth"
WINDOWS, CELLS, LAYERS = "windows", "weights", "layers"


def _measure(axis: str, size: int, model: onnx.ModelProto, batches: Sequence[int], options: Options) -> list[Figure]:
    """One model, with batches of several sizes; on the axis of windows these are the sizes."""
    (width,) = (entry.dim_value for entry in model.graph.input[0].type.tensor_type.shape.dim[1:])
    subject = Subject(model, normals(64, width), {})
    program = subject.compiled(ADC_NOISE)
    chips = {CONVERTERS: program.write(threads=options.threads), FULL: full(program, options.threads)}
    figures = []
    for count in batches:
        batch = dataclasses.replace(subject, batch={"x": normals(count, width)})
        sides = {FLOAT: batch.floating(options.threads)} | {name: batch.running(chip) for name, chip in chips.items()}
        at = count if axis == WINDOWS else size
        figures += compare(SUITE, f"{axis}: {at:,}", sides, options, facts={"axis": axis, "size": at})
    return figures


def measure_windows(options: Options) -> list[Figure]:
    """Of a 256 x 256 layer."""
    return _measure(WINDOWS, 0, dense(256, 256), [4**power for power in range(3, 9)], options)


def measure_cells(options: Options) -> list[Figure]:
    """Of square layers, 64 windows."""
    sizes = (128, 256, 512, 1024, 2048, 4096)
    return [figure for n in sizes for figure in _measure(CELLS, n * n, dense(n, n), [64], options)]


def measure_layers(options: Options) -> list[Figure]:
    """Of 256 x 256 each, one after the other, 256 windows."""
    counts = (1, 2, 4, 8, 16, 32)
    return [figure for n in counts for figure in _measure(LAYERS, n, dense(256, 256, layers=n), [256], options)]


def table(figures: Iterable[Figure]) -> Table:
    """The curves, and the slope of each: 1 where time grows with the size."""
    figures = [figure for figure in figures if figure.suite == SUITE]
    sides = list(dict.fromkeys(figure.side for figure in figures))
    made = Table(title=f"growth: {threads_of(figures)}, {figures[0].clock}")
    made.add_column("")
    for side in sides:
        made.add_column(side, justify="right")
    for axis in dict.fromkeys(str(figure.facts["axis"]) for figure in figures):
        curves = {side: [f for f in figures if (f.facts["axis"], f.side) == (axis, side)] for side in sides}
        for points in zip(*curves.values(), strict=True):
            made.add_row(points[0].case, *(amount(point.value.median, "s") for point in points))
        made.add_row(f"slope with {axis}", *(f"{curve_slope(curve):.2f}" for curve in curves.values()))
        made.add_section()
    return made


def curve_slope(curve: Sequence[Figure]) -> float:
    """Of the upper half of a curve: below, what a call costs whatever its size counts as much."""
    upper = curve[len(curve) // 2 :]
    return slope([float(point.facts["size"]) for point in upper], [point.value.median for point in upper])


CASES = (
    Case(SUITE, WINDOWS, measure_windows),
    Case(SUITE, CELLS, measure_cells),
    Case(SUITE, LAYERS, measure_layers),
)
GOALS: tuple[Case, ...] = ()
QUICK: tuple[Case, ...] = ()
