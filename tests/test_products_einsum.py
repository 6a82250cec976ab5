"""``Einsum`` with a constant on tiles against onnxruntime: every kind of index, in every order."""

from __future__ import annotations

import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import OPSETS, Case, Draw, arrays, error, finite_hardware, network, node, run
from product_checks import check_exact, check_same_bits, host_reasons, on_tiles

import xbarc
from xbarc.hardware.load import load_hardware
from xbarc.hardware.schema import Hardware
from xbarc.ir.equations import Equation, parse


@st.composite
def einsums(draw: Draw, dtype: type = np.float32) -> Case:
    """One ``Einsum`` of an input and a constant that share at least one index that is summed over."""
    letters = draw(st.permutations("abcdefgXYZ"))

    def take(least: int, most: int) -> list[str]:
        return [letters.pop() for _ in range(draw(st.integers(least, most)))]

    rows, groups, summed, columns = take(0, 2), take(0, 2), take(1, 2), take(0, 2)
    alone, constant_alone = take(0, 1), take(0, 1)
    own = draw(st.permutations([*rows, *groups, *summed, *alone]))
    fixed = draw(st.permutations([*groups, *summed, *columns, *constant_alone]))
    result = draw(st.permutations([*rows, *groups, *columns]))
    sizes = {letter: draw(st.integers(1, 4)) for letter in {*own, *fixed}}
    own_sizes, fixed_sizes = [[sizes[letter] for letter in side] for side in (own, fixed)]
    declared: list[int | str | None] = [
        draw(st.sampled_from([size, letter.upper() * 2, None])) for letter, size in zip(own, own_sizes, strict=True)
    ]
    widest: list[int] = [draw(st.integers(2, 3)) for _ in range(draw(st.sampled_from([0, 0, 1, 2])))]
    if widest:
        for side, side_sizes in ((own, own_sizes), (fixed, fixed_sizes)):
            if side is fixed and draw(st.booleans()):
                continue
            kept = [draw(st.sampled_from([size, 1])) for size in widest]  # ONNX wants them to be as many in both
            place = draw(st.integers(0, len(side)))
            side.insert(place, "...")
            side_sizes[place:place] = kept
            if side is own:
                declared[place:place] = kept
        result.insert(draw(st.integers(0, len(result))), "...")
    terms = ["".join(own), "".join(fixed)]
    names = ["x", "w"]
    if draw(st.booleans()):
        terms, names = terms[::-1], names[::-1]
    equation = ",".join(terms)
    if groups or alone or constant_alone or draw(st.booleans()):
        equation += "->" + "".join(result)
    else:  # the result in its implicit order, of which onnxruntime knows small letters only
        equation = equation.lower()
    if draw(st.booleans()):
        equation = " " + equation.replace(",", " , ").replace("->", " -> ")
    constants = {"w": draw(arrays(fixed_sizes, dtype, weights=True))}
    nodes = [node("Einsum", names, "y", equation=equation)]
    model = network(
        nodes,
        {"x": declared},
        constants,
        dtype=dtype,
        output_ranks={"y": len(result) - ("..." in result) + len(widest)},  # where sizes differ, ONNX infers none
        opset=draw(st.sampled_from(OPSETS)),
    )
    return Case(model, {"x": draw(arrays(own_sizes, dtype))})


OTHERS = st.one_of(einsums(np.float64), einsums(np.float16))


@settings(max_examples=200)
@given(einsums())
def test_exact_hardware_gives_the_floating_point_result(case: Case) -> None:
    check_exact(case, 1e-6)


@settings(max_examples=40)
@given(OTHERS)
def test_exact_hardware_is_within_a_rounding_in_other_precisions(case: Case) -> None:
    check_exact(case, 2.0**-9 if case.feeds["x"].dtype == np.float16 else 1e-6)


@settings(max_examples=80)
@given(st.one_of(einsums(), OTHERS), finite_hardware())
def test_the_program_gives_the_same_bits_in_onnxruntime(case: Case, hardware: Hardware) -> None:
    check_same_bits(case, hardware)


@settings(max_examples=40)
@given(einsums())
def test_the_default_hardware_gives_the_same_bits_in_onnxruntime(case: Case) -> None:
    check_same_bits(case, load_hardware("generic-pcm"))


def program_of(equation: str, shape: tuple[int | str, ...], *constants: np.ndarray) -> xbarc.Program:
    names = [f"w{place}" for place in range(len(constants))]
    nodes = [node("Einsum", ["x", *names], "y", equation=equation)]
    model = network(nodes, {"x": shape}, dict(zip(names, constants, strict=True)))
    return xbarc.compile(model, hardware="exact")


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("equation", "shape", "constant", "matrix", "host"),
    [
        ("btd,dh->bth", ("N", "T", 4), (4, 6), (1, 4, 6), []),
        ("btd,dhk->bthk", ("N", "T", 4), (4, 2, 3), (1, 4, 6), ["Reshape"]),  # heads of an attention
        ("bthk,hkd->btd", ("N", "T", 2, 3), (2, 3, 5), (1, 6, 5), ["Reshape"]),
        ("bhi,hij->bhj", ("N", 2, 3), (2, 3, 5), (2, 3, 5), ["Reshape", "Reshape"]),
        ("bi,ij->b", ("N", 3), (3, 5), (1, 3, 1), ["Reshape"]),  # the constant is summed beforehand
    ],
)
def test_common_equations_need_little_on_the_host(
    equation: str,
    shape: tuple[int | str, ...],
    constant: tuple[int, ...],
    matrix: tuple[int, int, int],
    host: list[str],
) -> None:
    program = program_of(equation, shape, numbers(*constant))
    (layer,) = program.report().layers
    assert (layer.name, layer.groups, layer.rows, layer.columns) == ("y", *matrix)
    assert sorted(operator.kind for operator in program.report().host) == host


def test_several_constants_are_multiplied_out_where_that_makes_them_no_larger() -> None:
    program = program_of("bi,ij,jk->bk", ("N", 4), numbers(4, 30), numbers(30, 5))
    (layer,) = program.report().layers
    assert (layer.rows, layer.columns) == (4, 5)
    x = numbers(3, 4)
    expected = x @ (numbers(4, 30) @ numbers(30, 5))
    assert error(program.write().run({"x": x})["y"], expected) < 1e-6


def test_a_diagonal_of_the_constant_is_taken_beforehand() -> None:
    weight, x = numbers(3, 3, 2), numbers(5, 3)
    program = program_of("bi,iij->bj", ("N", 3), weight)
    assert on_tiles(program) == ["y"]
    assert error(program.write().run({"x": x})["y"], x @ np.einsum("iij->ij", weight)) < 1e-6


REFUSED = {
    "it sums over no axis that both operands have": ("bi,i->bi", ("N", 4), [numbers(4)]),
    "its constants, multiplied out, are larger than apart": (
        "bi,ij,jk->bk",
        ("N", 9),
        [numbers(9, 1), numbers(1, 9)],
    ),
    "the equation 'ii,ij->j' takes a diagonal of its input": ("ii,ij->j", (4, 4), [numbers(4, 3)]),
    "the size of its input along axis 0 is not known: it may be 1 or 3": (
        "...i,...ij->...j",
        ("N", 4),
        [numbers(3, 4, 2)],
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_no_product_with_a_matrix_stays_digital_for_a_stated_reason(reason: str) -> None:
    equation, shape, constants = REFUSED[reason]
    program = program_of(equation, shape, *constants)
    assert on_tiles(program) == []
    assert host_reasons(program) == {"y": reason}
    x = numbers(*(4 if isinstance(size, str) else size for size in shape))
    x = x[:3] if "1 or 3" in reason else x
    (expected,) = run(program.model(), {"x": x})
    assert error(program.write().run({"x": x})["y"], expected) < 1e-6


def test_two_computed_operands_stay_digital_and_their_arithmetic_is_counted() -> None:
    nodes = [node("MatMul", ["x", "w"], "h"), node("Einsum", ["h", "x"], "y", equation="bti,bsi->bts")]
    program = xbarc.compile(network(nodes, {"x": ("N", 5, 4)}, {"w": numbers(4, 4)}), hardware="exact")
    (host,) = program.report().host
    assert host.reason == "more than one of its operands is not constant"
    assert host.macs == 5 * 5 * 4


@given(st.data())
def test_equations_are_read_as_numpy_reads_them(data: st.DataObject) -> None:
    """Letters, ellipses and implicit results, against the shape that numpy gives."""
    sizes = {letter: size for size, letter in enumerate(string.ascii_letters[:4] + string.ascii_uppercase[:4], start=2)}
    terms, shapes = [], []
    for _ in range(data.draw(st.integers(1, 3))):
        letters = data.draw(st.lists(st.sampled_from(sorted(sizes)), max_size=3, unique=True))
        shape = [sizes[letter] for letter in letters]
        if data.draw(st.booleans()):
            place = data.draw(st.integers(0, len(letters)))
            shape[place:place] = [11, 12][data.draw(st.integers(0, 2)) :]
            letters.insert(place, "...")
        terms.append("".join(letters))
        shapes.append(shape)
    text = ",".join(terms)
    equation = parse(text, [len(shape) for shape in shapes])
    assert equation is not None
    of_index = {}
    for indices, shape in zip(equation.operands, shapes, strict=True):
        of_index |= dict(zip(indices, shape, strict=True))
    expected = np.einsum(text, *(np.zeros(shape) for shape in shapes), optimize=True)
    assert tuple(of_index[index] for index in equation.result) == expected.shape


@pytest.mark.parametrize(
    ("text", "ranks"),
    [
        ("ij", [2, 2]),
        ("ij,jk->ik", [2, 3]),
        ("i1->i", [2]),
        ("ij->ik", [2]),
        ("ij->ii", [2]),
        ("...i->i", [2]),
        ("...i", [None]),
        ("i...j...", [3]),
        ("ij...", [1]),
    ],
)
def test_equations_without_a_meaning_are_not_guessed(text: str, ranks: list[int | None]) -> None:
    assert parse(text, ranks) is None


def test_an_equation_without_an_ellipsis_tells_the_rank() -> None:
    assert parse("ij , jk -> ik", [None, None]) == Equation((("i", "j"), ("j", "k")), ("i", "k"))
