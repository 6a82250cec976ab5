"""Chips: writing a large one, ten of them on one batch, and the wires of one."""

from __future__ import annotations

import dataclasses

import numpy as np
from harness import Case, Figure, Options, compare
from random_networks import dense
from sides import ADC_NOISE, Subject, full, normals
from suite_networks import RESNET8, SUBJECTS

from xbarc.api.together import side_by_side, turns_of

SUITE = "chips"
ROWS, COLUMNS = 4096, 6144
WRITING = f"writing {ROWS} x {COLUMNS} weights: 25.2 M, 50.3 M cells"
TOGETHER = "ten chips of ResNet-8, batch 64, no read noise"
TOGETHER_NOISY = "ten chips of ResNet-8, batch 64, full PCM"
TEN, WRITE = "ten chips", "write on PCM"
WIRES = "reading the 1,024 x 512 weights of a chip with wires of 1 Ohm"


def measure_writing(options: Options) -> list[Figure]:
    """Beside drawing a normal deviate for each cell, the least that must be done."""
    program = Subject(dense(ROWS, COLUMNS), normals(64, ROWS), {}).compiled()
    draws = np.random.default_rng(0)
    sides = {
        "numpy draws a deviate a cell": lambda: draws.standard_normal((2, ROWS, COLUMNS), dtype=np.float32),
        WRITE: lambda: program.write("pcm", threads=options.threads),
        "write, read at a day": lambda: program.write("pcm", threads=options.threads).at("1d").prepare(),
    }
    return compare(SUITE, WRITING, sides, dataclasses.replace(options, least=2, most=3))


def measure_together(case: str, options: Options) -> list[Figure]:
    """Ten chips on the same batch, each on a thread of its own, beside one that has all threads."""
    subject = SUBJECTS[RESNET8]()
    if case == TOGETHER_NOISY:
        program = subject.compiled(ADC_NOISE)
        chips = [full(program, options.threads, seed=seed) for seed in range(10)]
    else:  # programming error and drift; nothing is drawn at a read
        program = subject.compiled()
        written = [program.write("pcm", seed=seed, threads=options.threads) for seed in range(10)]
        chips = [chip.at("1d").with_read_noise("frozen") for chip in written]
    alone = turns_of([chip.with_threads(1) for chip in chips])
    sides = {
        "one chip": subject.running(chips[0]),
        TEN: lambda: side_by_side(alone, lambda chip: chip.run(subject.batch), workers=options.threads),
    }
    return compare(SUITE, case, sides, options)


def measure_wires(options: Options) -> list[Figure]:
    """Solving the circuits of eight tiles, beside reading their cells alone."""
    wires = ("tile.row_wire=1 Ohm", "tile.column_wire=1 Ohm")
    written = Subject(dense(1024, 512), normals(64, 1024), {}, wires).compiled().write("pcm", threads=options.threads)
    sides = {
        "without wires": lambda: written.at("1d").with_ir_drop(False).prepare(),
        "with wires": lambda: written.at("1d").prepare(),
    }
    return compare(SUITE, WIRES, sides, options, facts={"tiles": 8})


GOALS = (
    Case(SUITE, TOGETHER, lambda options: measure_together(TOGETHER, options)),
    Case(SUITE, TOGETHER_NOISY, lambda options: measure_together(TOGETHER_NOISY, options)),
    Case(SUITE, WRITING, measure_writing),
)
QUICK = (GOALS[0],)
CASES = (*GOALS, Case(SUITE, WIRES, measure_wires))
