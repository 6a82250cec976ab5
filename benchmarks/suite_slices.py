"""Sliced weights and serial inputs: a 1024 x 1024 layer, four slices of two bits, one bit of the input at a time."""

from __future__ import annotations

from harness import Case, Figure, Options, compare
from random_networks import dense
from sides import ADC_NOISE, FLOAT, Subject, full, normals, tiles

SUITE = "slices"
SIZE, WINDOWS = 1024, 256
NAME = f"{SIZE} x {SIZE}, tiles of 256, 4 slices of 2 bits, 1-bit digits, windows {WINDOWS}"
LOSSY, LOSSLESS, FULL_LOSSY = "ADC of 8 bits", "ADC loses nothing", "ADC of 8 bits, full PCM"
SLICED = ("cell.levels=4", "weights.slices=4", "input.mode=bit-serial", "input.digit_bits=1", *tiles(256))
#: 256 rows of levels up to 3 and digits of one bit come to 768 at most, with a sign: a code counts 8 in one, 1 in the
#: other.
BITS_LOST = ("adc.range=unit", "adc.bits=8")
NOTHING_LOST = ("adc.range=unit", "adc.bits=11")


def measure(options: Options) -> list[Figure]:
    """Both kinds of converters beside one product in floating point."""
    model, sample, batch = dense(SIZE, SIZE), normals(256, SIZE), {"x": normals(WINDOWS, SIZE)}
    lossy, lossless = (Subject(model, sample, batch, (*SLICED, *how)) for how in (BITS_LOST, NOTHING_LOST))
    program, threads = lossy.compiled(ADC_NOISE), options.threads
    sides = {
        FLOAT: lossy.floating(threads),
        LOSSY: lossy.running(program.write(threads=threads)),
        LOSSLESS: lossless.running(lossless.compiled().write(threads=threads)),
        FULL_LOSSY: lossy.running(full(program, threads)),
    }
    return compare(SUITE, NAME, sides, options)


CASES = GOALS = (Case(SUITE, NAME, measure),)
QUICK: tuple[Case, ...] = ()
