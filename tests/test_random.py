"""Random numbers: Philox's published answers, a field that can be cut anywhere, and the distribution.

Statistical tests draw from fixed keys. Their bounds are five standard errors: another key would fail one comparison in
1.7 million.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xbarc import random
from xbarc.random import Key, fill_normals, fill_uniforms, normals, uniforms

NORMAL = NormalDist()
STANDARD_ERRORS = 5
KEY = Key(0x12345678, 0x9ABCDEF0)
WORD = st.integers(0, 2**32 - 1)
KEYS = st.builds(Key, WORD, WORD)

# counter, key, words: the known answers for philox4x32-10 that come with Random123, the authors' library
KNOWN = {
    "zeros": ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    "ones": ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    "pi": (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
}


@dataclass(frozen=True)
class Block:
    """A part of a stream's field."""

    key: Key
    rows: int = 1000
    columns: int = 1000
    row: int = 0
    column: int = 0
    plane: int = 0

    def normals(self) -> np.ndarray:
        shape = (self.rows, self.columns)
        return normals(self.key, shape, first_row=self.row, first_column=self.column, plane=self.plane)

    def uniforms(self) -> np.ndarray:
        shape = (self.rows, self.columns)
        return uniforms(self.key, shape, first_row=self.row, first_column=self.column, plane=self.plane)

    def words(self) -> np.ndarray:
        """Written anew from the paper, one counter after the other in Python's integers."""
        quads = range(self.column // 4, (self.column + self.columns + 3) // 4)
        lead = self.column % 4
        lines = []
        for row in range(self.row, self.row + self.rows):
            low_high = row % 2**32, row // 2**32
            line = [word for quad in quads for word in philox((*low_high, quad, self.plane), self.key)]
            lines.append(line[lead : lead + self.columns])
        return np.array(lines, dtype=np.uint32).reshape(self.rows, self.columns)


def philox(counter: tuple[int, int, int, int], key: Key) -> tuple[int, int, int, int]:
    """Philox-4x32-10 in Python's integers."""
    c0, c1, c2, c3 = counter
    for step in range(10):
        high0, low0 = divmod(c0 * 0xD2511F53, 2**32)
        high1, low1 = divmod(c2 * 0xCD9E8D57, 2**32)
        key0 = (key.low + step * 0x9E3779B9) % 2**32
        key1 = (key.high + step * 0xBB67AE85) % 2**32
        c0, c1, c2, c3 = high1 ^ c1 ^ key0, low1, high0 ^ c3 ^ key1, low0
    return c0, c1, c2, c3


def normal_of(words: np.ndarray) -> np.ndarray:
    """The transform of words to normal numbers, step by step in numpy's float32."""
    lower = np.minimum(words, ~words)
    x = lower.astype(np.float32) + np.float32(0.5)
    mantissa, exponent = np.frexp(x)  # x = mantissa * 2**exponent, mantissa from 0.5 to 1
    steps = ((mantissa - np.float32(0.5)) * np.float32(2**24)).astype(np.int64)
    per_segment = 2**23 // 64
    segment = exponent * 64 + steps // per_segment
    t = (steps % per_segment).astype(np.float32)
    z = (random._C2[segment] * t + random._C1[segment]) * t + random._C0[segment]
    return np.where(words < 2**31, z, -z)


def uniform_of(words: np.ndarray) -> np.ndarray:
    nearest = (words / 2.0**32).astype(np.float32)
    return np.minimum(nearest, np.nextafter(np.float32(1), np.float32(0)))


def telling_words() -> np.ndarray:
    """Words at which a transform may go wrong: ends, edges of segments, and an even spread, in both halves."""
    octaves = 2.0 ** np.arange(31)[:, None] * (1 + np.arange(64) / 64)
    edges = np.round(octaves.ravel()).astype(np.int64)[:, None] + np.arange(-2, 3)
    lower = np.concatenate(
        [np.arange(5000), edges.ravel(), np.arange(0, 2**31, 30011), 2**31 - 1 - np.arange(5000), [2**31 - 1]]
    )
    lower = np.unique(lower[(lower >= 0) & (lower < 2**31)])
    return np.concatenate([lower, 2**32 - 1 - lower]).astype(np.uint32)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype == np.float32 and a.shape == b.shape and a.tobytes() == b.tobytes()


# The generator


@pytest.mark.parametrize("name", KNOWN)
def test_published_answers(name: str) -> None:
    counter, key, expected = KNOWN[name]
    c0, c1, c2 = (np.array([word], dtype=np.uint32) for word in counter[:3])
    words = np.zeros(4, dtype=np.uint32)
    random._philox(c0, c1, c2, np.uint32(counter[3]), np.uint32(key[0]), np.uint32(key[1]), 1, words)
    assert tuple(words) == expected
    assert philox(counter, Key(*key)) == expected


@pytest.mark.parametrize("name", KNOWN)
def test_published_answers_at_their_places_in_the_field(name: str) -> None:
    counter, key, words = KNOWN[name]
    row, column = counter[0] + 2**32 * counter[1], 4 * counter[2]
    block = Block(Key(*key), 1, 4, row, column, counter[3])
    assert block.uniforms()[0] == pytest.approx([word / 2**32 for word in words], rel=1e-7)
    assert block.normals()[0] == pytest.approx([NORMAL.inv_cdf((word + 0.5) / 2**32) for word in words], abs=2e-7)


BLOCKS = st.builds(
    Block,
    KEYS,
    rows=st.integers(0, 6),
    columns=st.integers(0, 40),
    row=st.integers(0, 2**64 - 6),
    column=st.integers(0, 2**34 - 40),
    plane=WORD,
)


@given(block=BLOCKS)
@example(block=Block(KEY, rows=3, columns=1403, column=3))  # more counters than are taken at a time
@example(block=Block(KEY, rows=700, columns=2, row=2**32 - 350, column=7))
@example(block=Block(KEY, rows=1, columns=5, row=2**64 - 1, column=2**34 - 5, plane=2**32 - 1))
def test_bits_equal_those_of_a_slow_twin(block: Block) -> None:
    words = block.words()
    assert same_bits(block.normals(), normal_of(words))
    assert same_bits(block.uniforms(), uniform_of(words))


# The field


@st.composite
def cuts(draw: st.DrawFn) -> tuple[Block, Block]:
    """A field and a block within it."""
    rows, columns = draw(st.sampled_from([(5, 700), (40, 40), (300, 5)]))
    edge = draw(st.sampled_from([0, 2**32]))
    row = draw(st.integers(max(edge - rows, 0), edge + 3))
    field = Block(draw(KEYS), rows, columns, row, draw(st.integers(0, 9)), draw(WORD))
    top, left = draw(st.integers(0, rows)), draw(st.integers(0, columns))
    height, width = draw(st.integers(0, rows - top)), draw(st.integers(0, columns - left))
    return field, Block(field.key, height, width, row + top, field.column + left, field.plane)


@given(pair=cuts())
def test_a_block_cut_out_is_that_part_of_the_field(pair: tuple[Block, Block]) -> None:
    field, block = pair
    top, left = block.row - field.row, block.column - field.column
    part = slice(top, top + block.rows), slice(left, left + block.columns)
    assert same_bits(block.normals(), field.normals()[part])
    assert same_bits(block.uniforms(), field.uniforms()[part])


@pytest.mark.parametrize(("fill", "draw"), [(fill_normals, normals), (fill_uniforms, uniforms)])
def test_rows_go_by_their_words_in_any_order_and_memory(
    fill: Callable[..., None], draw: Callable[..., np.ndarray]
) -> None:
    key, columns = Key(3, 4), 37
    numbers = np.array([5, 2**32 + 5, 0, 77, 5, 3 * 2**32])
    row_words = np.stack([numbers % 2**32, numbers // 2**32], axis=1).astype(np.uint32)
    expected = np.concatenate([draw(key, (1, columns), first_row=int(n), first_column=6, plane=9) for n in numbers])
    frames = {
        "rows side by side": np.full((6, columns), np.nan, np.float32),
        "columns side by side": np.full((columns, 6), np.nan, np.float32).T,
        "every second column": np.full((6, 2 * columns), np.nan, np.float32)[:, ::2],
        "backwards": np.full((6, columns), np.nan, np.float32)[::-1, ::-1],
    }
    for frame in frames.values():
        fill(frame, key, row_words, 9, 6)
    assert [name for name, frame in frames.items() if not same_bits(frame, expected)] == []


def test_nothing_beside_the_output_is_written() -> None:
    frame = np.full((9, 50), 7, np.float32)
    fill_normals(frame[2:7, 5:40], Key(1, 2), np.zeros((5, 2), np.uint32), 0, 3)
    frame[2:7, 5:40] = 7
    assert (frame == 7).all()


def test_threads_draw_the_same() -> None:
    field = Block(KEY, rows=512, columns=513, column=1)
    blocks = [
        Block(KEY, rows=64, columns=min(57, 514 - column), row=row, column=column)
        for row in range(0, 512, 64)
        for column in range(1, 514, 57)
    ]
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(Block.normals, blocks))
    whole = np.full((512, 513), np.nan, np.float32)
    for block, part in zip(blocks, parts, strict=True):
        whole[block.row : block.row + 64, block.column - 1 : block.column - 1 + block.columns] = part
    assert same_bits(whole, field.normals())


# Keys


def test_a_key_is_the_digest_of_its_names() -> None:
    """Written down, since chips are known by their seeds."""
    digest = hashlib.sha256(b'[7, "programming", "conv \\u00e9", 3]').digest()
    low, high = np.frombuffer(digest[:8], "<u4").tolist()
    assert Key.stream(7, "programming", "conv é", 3) == Key(low, high)


def test_names_do_not_run_together() -> None:
    names: list[tuple[str | int, ...]] = [
        (), ("",), ("a",), ("a", "b"), ("ab",), ("a", "", "b"), ("b", "a"), ('a", "b',), ("a, b",), ("a\\",), ("a", 1),
        ("a", "1"), ("a", -1), ("a", 11), ("a", 1, 1), ("a", 2**70), ("é",), ("e\u0301",), ("\ud800",),
    ]  # fmt: skip
    kinds = ["programming", "drift", "programming-drift", "é"]
    seeds = [0, 1, 10, 2**32, 2**64 - 1]
    keys = {Key.stream(seed, kind, *rest) for seed in seeds for kind in kinds for rest in names}
    assert len(keys) == len(names) * len(kinds) * len(seeds)


@pytest.mark.parametrize("seed", [-1, 2**64, True, 1.0, "7", None, np.float32(7)])
def test_a_seed_that_is_none(seed: object) -> None:
    with pytest.raises(ValueError, match=r"the seed is .*, expected an integer from 0 to 2\*\*64 - 1"):
        Key.stream(seed, "programming")  # type: ignore[arg-type]


def test_places_out_of_the_field() -> None:
    for place, message in [
        ({"first_row": -1}, "3 rows from row -1 on"),
        ({"first_row": 2**64 - 2}, "3 rows from row 18446744073709551614 on"),
        ({"first_column": -1}, "8 columns from column -1 on"),
        ({"first_column": 2**34 - 7}, "8 columns from column 17179869177 on"),
        ({"plane": -1}, "the plane is -1"),
        ({"plane": 2**32}, "the plane is 4294967296"),
    ]:
        with pytest.raises(ValueError, match=message):
            normals(Key(1, 2), (3, 8), **place)


def test_arrays_that_do_not_fit() -> None:
    good, words = np.empty((3, 8), np.float32), np.zeros((3, 2), np.uint32)
    for out, row_words, message in [
        (good.astype(np.float64), words, r"the output is float64 \(3, 8\)"),
        (good[0], words, r"the output is float32 \(8,\)"),
        (good, words[:2], r"the row words are uint32 \(2, 2\), expected uint32 \(3, 2\)"),
        (good, words.astype(np.int64), r"the row words are int64 \(3, 2\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            fill_uniforms(out, Key(1, 2), row_words, 0, 0)


# From words to numbers


def test_a_normal_number_is_the_quantile_of_its_word() -> None:
    words = telling_words()
    found = np.array([random._normal(word) for word in words], dtype=np.float32)
    expected = np.array([NORMAL.inv_cdf((word + 0.5) / 2**32) for word in words.tolist()])
    error = np.abs(found - expected)
    assert error.max() < 5e-7
    assert error[np.abs(expected) < 2].max() < 2e-7
    assert same_bits(found, normal_of(words))
    assert found.max() == -found.min() == pytest.approx(6.3379, abs=1e-4)


def test_every_word_counted_gives_the_probabilities_of_the_tails() -> None:
    """Over all 2**32 words, by bisection: as many as should be, but for one word and the rounding to float32."""
    for sigma in np.arange(0.25, 6.26, 0.25):
        below, above = 0, 2**31  # the count of words under -sigma lies between
        while above - below > 1:
            middle = (below + above) // 2
            below, above = (middle, above) if random._normal(np.uint32(middle - 1)) < -sigma else (below, middle)
        assert below == pytest.approx(NORMAL.cdf(-sigma) * 2**32, rel=5e-6, abs=1)


@given(word=WORD, rate=st.floats(0, 1, width=32))
@example(word=0, rate=0.0)
@example(word=2**32 - 1, rate=1.0)
def test_a_uniform_number_is_its_word(word: int, rate: float) -> None:
    number = random._uniform(np.uint32(word))
    assert 0 <= number < 1
    assert float(number) == pytest.approx(word / 2**32, rel=2**-24)
    threshold = rate * 2**32
    slack = 1 + threshold * 2**-24
    if word < threshold - slack:
        assert number < rate
    if word > threshold + slack:
        assert number >= rate


# The distribution


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_moments(seed: int) -> None:
    """Of ten million normal numbers: mean, variance, third and fourth moment; of as many uniform ones, two."""
    block = Block(Key.stream(seed, "moments"), 10_000, 1000)
    count = block.rows * block.columns
    z = block.normals().astype(np.float64)
    power = np.ones_like(z)
    for order, (moment, variance) in enumerate([(0, 1), (1, 2), (0, 15), (3, 96)], start=1):
        power *= z
        assert power.mean() == pytest.approx(moment, abs=STANDARD_ERRORS * math.sqrt(variance / count)), order
    u = block.uniforms().astype(np.float64)
    assert u.mean() == pytest.approx(1 / 2, abs=STANDARD_ERRORS * math.sqrt(1 / 12 / count))
    assert (u * u).mean() == pytest.approx(1 / 3, abs=STANDARD_ERRORS * math.sqrt(4 / 45 / count))


def test_tails() -> None:
    """Of a hundred million numbers, as many beyond 3, 4 and 5 sigma, on either side, as a binomial has."""
    sigmas = (3, 4, 5)
    found = np.zeros((2, len(sigmas)), np.int64)
    for plane in range(100):
        z = Block(Key.stream(0, "tails"), plane=plane).normals()
        found += [[np.count_nonzero(side > sigma) for sigma in sigmas] for side in (z, -z)]
    expected = np.array([1e8 * NORMAL.cdf(-sigma) for sigma in sigmas])
    assert (np.abs(found - expected) < STANDARD_ERRORS * np.sqrt(expected)).all()


def test_distribution_as_a_whole() -> None:
    """Kolmogorov and Smirnov's distance; 2.7 over the root of the count is passed with a probability of 1e-6."""
    block = Block(Key.stream(0, "whole"), 500, 1000)
    count = block.rows * block.columns
    z, u = np.sort(block.normals().ravel()), np.sort(block.uniforms().ravel())
    for probabilities in (np.array([NORMAL.cdf(value) for value in z.tolist()]), u):
        ranks = np.arange(count)
        distance = max((probabilities - ranks / count).max(), ((ranks + 1) / count - probabilities).max())
        assert distance < 2.7 / math.sqrt(count)


NEIGHBOURS = {
    "words of one counter, next": Block(KEY, column=1),
    "words of one counter, second": Block(KEY, column=2),
    "words of one counter, third": Block(KEY, column=3),
    "counters along a row": Block(KEY, column=4),
    "rows": Block(KEY, row=1),
    "a thousand rows on": Block(KEY, row=1000),
    "high words of rows": Block(KEY, row=2**32),
    "planes": Block(KEY, plane=1),
    "distant planes": Block(KEY, plane=2**31),
    "keys, low word": Block(Key(KEY.low ^ 1, KEY.high)),
    "keys, high word": Block(Key(KEY.low, KEY.high ^ 2**31)),
}
STREAMS = {
    "seeds": (Key.stream(0, "drift", "a", 0), Key.stream(1, "drift", "a", 0)),
    "kinds": (Key.stream(0, "drift", "a", 0), Key.stream(0, "programming", "a", 0)),
    "names": (Key.stream(0, "drift", "a", 0), Key.stream(0, "drift", "a", 1)),
}
PAIRS = {name: (Block(KEY), block) for name, block in NEIGHBOURS.items()}
PAIRS |= {name: (Block(one), Block(other)) for name, (one, other) in STREAMS.items()}


@pytest.mark.parametrize("name", PAIRS)
def test_neighbours_are_independent(name: str) -> None:
    """A million pairs: correlations of values and squares, and the counts of 32 by 32 classes of equal probability."""
    one, other = (block.normals().ravel().astype(np.float64) for block in PAIRS[name])
    # orthogonal functions of a normal number with mean 0 and variance 1
    a, b = (np.stack([z, (z * z - 1) / math.sqrt(2), (z**3 - 3 * z) / math.sqrt(6)]) for z in (one, other))
    correlations = a @ b.T / one.size
    assert np.abs(correlations).max() < STANDARD_ERRORS / math.sqrt(one.size)

    classes = 32
    edges = np.array([NORMAL.inv_cdf(i / classes) for i in range(1, classes)])
    counts = np.bincount(np.searchsorted(edges, one) * classes + np.searchsorted(edges, other), minlength=classes**2)
    expected = one.size / classes**2
    freedom = classes**2 - 1
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square == pytest.approx(freedom, abs=STANDARD_ERRORS * math.sqrt(2 * freedom))


def test_means_of_rows_and_columns_scatter_as_they_should() -> None:
    """A pattern along a row or a column would show in the means, even where pairs look independent."""
    z = Block(KEY, rows=2000, columns=2000).normals().astype(np.float64)
    for axis in (0, 1):
        squares = 2000 * z.mean(axis=axis) ** 2  # chi-square with one degree of freedom each
        assert squares.mean() == pytest.approx(1, abs=STANDARD_ERRORS * math.sqrt(2 / 2000))
