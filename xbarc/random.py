"""Random numbers: pure functions of a key and a place. Nothing else in the project draws.

The generator is Philox-4x32-10 (J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, "Parallel random numbers: as
easy as 1, 2, 3", SC'11): a keyed mixing of a 128-bit counter into four words of 32 bits. A key names a stream and a
counter a place in it, so every number can be drawn alone, in any order, by any thread, and comes out the same.

A stream is a field of numbers: rows of 64 bits, columns of 34 bits, planes of 32 bits. The number in a column is word
``column % 4`` of the counter ``(low row word, high row word, column // 4, plane)``.

A normal number is the quantile of its word, ``NormalDist().inv_cdf((word + 0.5) / 2**32)``, within 5e-7 (within 2e-7
below 2 sigma). The largest magnitude is 6.338; neighbours are 0.0002 apart at 5 sigma and 0.04 at 6. A uniform number
is ``word / 2**32``, rounded to float32 and held below 1.

All of it is integer arithmetic, additions and multiplications of float32 in a fixed order, and tables: a loop over
vectors and its scalar remainder agree bit for bit.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from xbarc.compiled import compiled as _compile

_CHUNK = 256  # counters at a time: enough for vector loops, few enough for the first-level cache

_SEGMENT_BITS = 6  # 64 segments an octave
_STEP_BITS = 23 - _SEGMENT_BITS  # what is left of a float32's mantissa: steps within a segment
_BITS_OF_HALF = int(np.float32(0.5).view(np.uint32))
_BELOW_ONE = np.float32(1 - 2**-24)


@dataclass(frozen=True)
class Key:
    """The name of a stream of random numbers: two words of 32 bits."""

    low: int
    high: int

    @staticmethod
    def stream(seed: int, kind: str, *names: str | int) -> Key:
        """The key for one kind of draw, such as ``"programming"``, for whatever has these names, such as a layer.

        Different arguments give unrelated keys; ``"1"`` and ``1`` are different names.

        Raises:
            ValueError: the seed is not an integer from 0 to 2**64 - 1.
        """
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**64:
            raise ValueError(f"the seed is {seed!r}, expected an integer from 0 to 2**64 - 1")
        digest = hashlib.sha256(json.dumps([seed, kind, *names]).encode("ascii")).digest()
        return Key(int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little"))


def normals(
    key: Key, shape: tuple[int, int], *, first_row: int = 0, first_column: int = 0, plane: int = 0
) -> np.ndarray:
    """Standard-normal float32 numbers ``(rows, columns)``: the part of the stream's field that begins at a place.

    Raises:
        ValueError: the part reaches out of the field.
    """
    out = np.empty(shape, dtype=np.float32)
    fill_normals(out, key, _row_words(first_row, shape[0]), plane, first_column)
    return out


def uniforms(
    key: Key, shape: tuple[int, int], *, first_row: int = 0, first_column: int = 0, plane: int = 0
) -> np.ndarray:
    """As :func:`normals`, uniform in [0, 1)."""
    out = np.empty(shape, dtype=np.float32)
    fill_uniforms(out, key, _row_words(first_row, shape[0]), plane, first_column)
    return out


def fill_normals(out: np.ndarray, key: Key, row_words: np.ndarray, plane: int, first_column: int) -> None:
    """Fill an array with standard-normal numbers of the named rows, from a column on.

    Args:
        out: ``(rows, columns)`` float32, of any strides.
        key: the stream.
        row_words: ``(rows, 2)`` uint32: the low and the high word of each row's number, or any two words that name it.
        plane: below 2**32.
        first_column: the column that ``out[:, 0]`` is; all columns lie below 2**34.

    Raises:
        ValueError: arrays of other shapes or types, or a place out of the field.
    """
    _fill_checked(out, key, row_words, plane, first_column, normal=True)


def fill_uniforms(out: np.ndarray, key: Key, row_words: np.ndarray, plane: int, first_column: int) -> None:
    """As :func:`fill_normals`, uniform in [0, 1).

    A number is below ``rate`` with a probability of ``rate``, within ``2**-32 + rate * 2**-24``; never below 0, always
    below 1.
    """
    _fill_checked(out, key, row_words, plane, first_column, normal=False)


def _row_words(first_row: int, rows: int) -> np.ndarray:
    if not 0 <= first_row <= 2**64 - rows:
        raise ValueError(f"{rows} rows from row {first_row} on, expected rows from 0 to 2**64 - 1")
    row = np.uint64(first_row) + np.arange(rows, dtype=np.uint64)
    return np.stack([row & np.uint64(2**32 - 1), row >> np.uint64(32)], axis=1).astype(np.uint32)


def _fill_checked(
    out: np.ndarray, key: Key, row_words: np.ndarray, plane: int, first_column: int, *, normal: bool
) -> None:
    if out.ndim != 2 or out.dtype != np.float32:
        raise ValueError(f"the output is {out.dtype} {out.shape}, expected float32 (rows, columns)")
    rows, columns = out.shape
    if row_words.shape != (rows, 2) or row_words.dtype != np.uint32:
        raise ValueError(f"the row words are {row_words.dtype} {row_words.shape}, expected uint32 {(rows, 2)}")
    if not 0 <= plane < 2**32:
        raise ValueError(f"the plane is {plane}, expected 0 to 2**32 - 1")
    if not 0 <= first_column <= 2**34 - columns:
        raise ValueError(f"{columns} columns from column {first_column} on, expected columns from 0 to 2**34 - 1")
    quad, lead = divmod(first_column, 4)
    if normal and lead == 0 and columns % 4 == 0 and out.flags.c_contiguous:
        place = np.uint32(plane), np.uint32(quad)
        _fill_whole(out.reshape(-1), np.uint32(key.low), np.uint32(key.high), row_words, *place, columns // 4)
        return
    _fill(out, np.uint32(key.low), np.uint32(key.high), row_words, np.uint32(plane), np.uint32(quad), lead, normal)


def _quantile_table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The lower half of the normal quantile as parabolas ``c0 + c1 * t + c2 * t * t``, one a segment.

    Segments divide the octaves of ``x = probability * 2**32`` from 0.5 to 2**31 evenly; ``t`` counts steps of float32
    from the start of a segment. One more segment is for ``x = 2**31``, the median.
    """
    octave = np.arange(-1, 31)[:, None]
    starts = np.ldexp(1 + np.arange(2**_SEGMENT_BITS) / 2**_SEGMENT_BITS, octave).ravel()
    widths = np.ldexp(np.ones(2**_SEGMENT_BITS), octave - _SEGMENT_BITS).ravel()

    # through the values at Chebyshev's three nodes: close to the parabola with the least error
    node = np.sqrt(3) / 4
    quantile = NormalDist().inv_cdf
    before, middle, behind = (
        np.array([quantile(x) for x in np.ldexp(starts + widths * place, -32).tolist()])
        for place in (0.5 - node, 0.5, 0.5 + node)
    )
    slope = (behind - before) / (2 * node)
    bend = (behind - 2 * middle + before) / (2 * node * node)
    c0, c1, c2 = middle - slope / 2 + bend / 4, slope - bend, bend

    in_steps = c0, np.ldexp(c1, -_STEP_BITS), np.ldexp(c2, -2 * _STEP_BITS)
    median = -0.0, 0.0, 0.0
    c0, c1, c2 = (np.append(c, last).astype(np.float32) for c, last in zip(in_steps, median, strict=True))
    return c0, c1, c2


_C0, _C1, _C2 = _quantile_table()


@_compile
def _philox(c0, c1, c2, c3, k0, k1, count, words):  # type: ignore[no-untyped-def]
    """Philox-4x32-10: ``words[4 * i + 0 .. 3]`` of the counters ``(c0[i], c1[i], c2[i], c3)``; all uint32.

    A word is kept in 64 bits with the upper half zero: so products of 32 by 32 bits are one vector instruction.
    """
    low, high = np.uint64(0xFFFFFFFF), np.uint64(32)
    for i in range(count):
        x0, x1, x2, x3 = np.uint64(c0[i]), np.uint64(c1[i]), np.uint64(c2[i]), np.uint64(c3)
        a, b = np.uint64(k0), np.uint64(k1)
        for _ in range(10):
            p = x0 * np.uint64(0xD2511F53)
            q = x2 * np.uint64(0xCD9E8D57)
            x0, x1 = (q >> high) ^ x1 ^ a, q & low
            x2, x3 = (p >> high) ^ x3 ^ b, p & low
            a = (a + np.uint64(0x9E3779B9)) & low
            b = (b + np.uint64(0xBB67AE85)) & low
        words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3] = x0, x1, x2, x3


@_compile
def _normal(word):  # type: ignore[no-untyped-def]
    """The normal quantile of a uint32 word, as float32."""
    lower = min(word, np.uint32(~word))  # the upper half mirrors the lower
    x = np.float32(np.float32(np.int32(lower)) + np.float32(0.5))
    # a float's bits count the floats before it; subtracted first, so that the index is seen to be no negative number
    steps = np.uint32(np.float32(x).view(np.uint32) - np.uint32(_BITS_OF_HALF))
    segment = steps >> np.uint32(_STEP_BITS)
    t = np.float32(np.int32(steps & np.uint32(2**_STEP_BITS - 1)))
    z = np.float32((_C2[segment] * t + _C1[segment]) * t + _C0[segment])
    return np.uint32(np.float32(z).view(np.uint32) ^ np.uint32(word & np.uint32(0x80000000))).view(np.float32)


@_compile
def _uniform(word):  # type: ignore[no-untyped-def]
    """A uint32 word as a float32 in [0, 1)."""
    return min(np.float32(np.float32(word) * np.float32(2**-32)), _BELOW_ONE)


@_compile
def normal_quads(c0, c1, c2, plane, k0, k1, count, words, values):  # type: ignore[no-untyped-def]
    """For kernels: the four standard-normal numbers of each of some counters, ``values[4 * i + 0 .. 3]``.

    Args:
        c0, c1, c2: uint32 arrays: low row word, high row word and ``column // 4`` of each counter.
        plane, k0, k1: uint32: the plane, and the two words of the key.
        count: of counters.
        words, values: uint32 and float32, of at least ``4 * count``; the first is scratch.
    """
    _philox(c0, c1, c2, plane, k0, k1, count, words)
    for i in range(4 * count):
        values[i] = _normal(words[i])


@_compile
def _fill_whole(out, k0, k1, row_words, plane, first_quad, quads):  # type: ignore[no-untyped-def]
    """As :func:`_fill`, normal numbers, where every row takes whole counters and lies behind the one before."""
    c0, c1, c2 = np.empty(_CHUNK, np.uint32), np.empty(_CHUNK, np.uint32), np.empty(_CHUNK, np.uint32)
    words = np.empty(4 * _CHUNK, np.uint32)
    for start in range(0, row_words.shape[0] * quads, _CHUNK):
        count = min(_CHUNK, row_words.shape[0] * quads - start)
        row, quad = divmod(start, quads)
        low, high = row_words[row, 0], row_words[row, 1]
        for i in range(count):
            c0[i], c1[i], c2[i] = low, high, np.uint32(first_quad + np.uint32(quad))
            quad += 1
            if quad == quads:
                quad, row = 0, row + 1
                if row < row_words.shape[0]:
                    low, high = row_words[row, 0], row_words[row, 1]
        normal_quads(c0, c1, c2, plane, k0, k1, count, words, out[4 * start : 4 * (start + count)])


@_compile
def _fill(out, k0, k1, row_words, plane, first_quad, lead, normal):  # type: ignore[no-untyped-def]
    """Fill ``out`` from word ``lead`` of counter ``first_quad`` on in each row.

    The counters of all rows are one list, cut into chunks, so that narrow rows run in vector loops as well.
    """
    rows, columns = out.shape
    quads = (lead + columns + 3) // 4
    c0, c1, c2 = np.empty(_CHUNK, np.uint32), np.empty(_CHUNK, np.uint32), np.empty(_CHUNK, np.uint32)
    words, values = np.empty(4 * _CHUNK, np.uint32), np.empty(4 * _CHUNK, np.float32)
    for start in range(0, rows * quads, _CHUNK):
        count = min(_CHUNK, rows * quads - start)

        place = 0
        row, quad = divmod(start, quads)
        while place < count:
            end = min(place + quads - quad, count)
            c0[place:end], c1[place:end] = row_words[row, 0], row_words[row, 1]
            target, counter = c2[place:end], np.uint32(first_quad + np.uint32(quad))
            for i in range(target.shape[0]):
                target[i] = np.uint32(counter + np.uint32(i))
            place, row, quad = end, row + 1, 0

        if normal:
            normal_quads(c0, c1, c2, plane, k0, k1, count, words, values)
        else:
            _philox(c0, c1, c2, plane, k0, k1, count, words)
            for i in range(4 * count):
                values[i] = _uniform(words[i])

        place = 0
        row, quad = divmod(start, quads)
        while place < count:
            end = min(place + quads - quad, count)
            first, last = 4 * quad - lead, min(4 * (quad + end - place) - lead, columns)
            skipped = max(-first, 0)
            source, target = values[4 * place + skipped :], out[row, first + skipped : last]
            for column in range(target.shape[0]):
                target[column] = source[column]
            place, row, quad = end, row + 1, 0
