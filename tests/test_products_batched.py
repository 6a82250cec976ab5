"""``MatMul`` with a batch of constant matrices on tiles against onnxruntime, batch axes on either side or both."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import OPSETS, Case, Draw, arrays, error, finite_hardware, network, node, run
from product_checks import check_exact, check_same_bits, host_reasons, on_tiles

import xbarc
from xbarc.hardware.load import load_hardware
from xbarc.hardware.schema import Hardware


@st.composite
def batched(draw: Draw, dtype: type = np.float32) -> Case:
    """One ``MatMul`` of a constant with up to three batch axes, each of which its input has, lacks or has as one."""
    inner = draw(st.integers(1, 9))
    batch = [draw(st.integers(1, 3)) for _ in range(draw(st.integers(1, 3)))]
    constant_left = draw(st.booleans())
    # sizes of each batch axis, from the last one, in the constant and in the input
    both = [(size, draw(st.sampled_from([size, size, 1]))) for size in batch]
    both = [pair if draw(st.booleans()) else pair[::-1] for pair in both]
    fixed_batch, own_batch = ([pair[side] for pair in both] for side in (0, 1))
    fixed_batch, own_batch = fixed_batch[draw(st.integers(0, 1)) :], own_batch[draw(st.integers(0, len(batch))) :]
    vectors = st.sampled_from([False, False, False, True])
    fixed_matrix = [draw(st.integers(1, 5)), inner] if constant_left else [inner, draw(st.integers(1, 5))]
    own_matrix = [inner, draw(st.integers(1, 4))] if constant_left else [draw(st.integers(1, 4)), inner]
    if not own_batch and draw(vectors):
        own_matrix = [inner]
    if not fixed_batch and draw(vectors):
        fixed_matrix = [inner]
    shape = [*own_batch, *own_matrix]
    declared: list[int | str | None] = list(shape)
    free = [axis for axis in range(len(own_batch)) if axis + len(fixed_batch) < len(own_batch)]  # the input's alone
    free += [axis for axis in range(len(own_batch)) if [*own_batch, *fixed_batch][axis - len(own_batch)] == 1]
    for axis in free:
        if [1, *fixed_batch][max(len(fixed_batch) + 1 - (len(own_batch) - axis), 0)] == 1 and draw(st.booleans()):
            declared[axis] = f"B{axis}"
    if len(own_matrix) == 2 and draw(st.booleans()):
        declared[-1 if constant_left else -2] = "T"
    constants = {"w": draw(arrays([*fixed_batch, *fixed_matrix], dtype, weights=True))}
    nodes = [node("MatMul", ["w", "x"] if constant_left else ["x", "w"], "y")]
    model = network(nodes, {"x": declared}, constants, dtype=dtype, opset=draw(st.sampled_from(OPSETS)))
    return Case(model, {"x": draw(arrays(shape, dtype))})


OTHERS = st.one_of(batched(np.float64), batched(np.float16))


@settings(max_examples=150)
@given(batched())
def test_exact_hardware_gives_the_floating_point_result(case: Case) -> None:
    check_exact(case, 1e-6)


@settings(max_examples=40)
@given(OTHERS)
def test_exact_hardware_is_within_a_rounding_in_other_precisions(case: Case) -> None:
    check_exact(case, 2.0**-10 if case.feeds["x"].dtype == np.float16 else 1e-6)


@settings(max_examples=80)
@given(st.one_of(batched(), OTHERS), finite_hardware())
def test_the_program_gives_the_same_bits_in_onnxruntime(case: Case, hardware: Hardware) -> None:
    check_same_bits(case, hardware)


@settings(max_examples=40)
@given(st.one_of(batched(), OTHERS))
def test_the_default_hardware_gives_the_same_bits_in_onnxruntime(case: Case) -> None:
    check_same_bits(case, load_hardware("generic-pcm"))


@settings(max_examples=30)
@given(batched(), st.integers(0, 2**32))
def test_files_and_written_chips_of_groups_give_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, case: Case, seed: int
) -> None:
    program = xbarc.compile(case.model, calibration=[case.feeds])
    loaded = xbarc.load(program.save(tmp_path_factory.mktemp("programs") / "one.xbar.onnx"))
    assert loaded.text() == program.text()
    before, after = (each.write("pcm", seed=seed).with_read_noise("frozen") for each in (program, loaded))
    ours = before.run(case.feeds)["y"]
    assert after.run(case.feeds)["y"].tobytes() == ours.tobytes()
    (theirs,) = run(before.model(), case.feeds)
    assert theirs.tobytes() == ours.tobytes()


def product(shape: tuple[int | str, ...], constant: tuple[int, ...]) -> xbarc.Program:
    weight = np.random.default_rng(0).normal(size=constant).astype(np.float32)
    model = network([node("MatMul", ["x", "w"], "y")], {"x": shape}, {"w": weight})
    return xbarc.compile(model, hardware="exact")


@pytest.mark.parametrize(
    ("shape", "constant", "groups", "columns", "host"),
    [
        (("N", 4), (4, 3), 1, 3, []),
        (("N", "T", 4), (4, 3), 1, 3, []),
        (("N", 5, "T", 4), (5, 4, 3), 5, 3, ["Transpose", "Reshape", "Reshape", "Transpose"]),
        (("T", 4), (5, 4, 3), 1, 15, ["Reshape", "Transpose"]),
        (("N", 1, "T", 4), (5, 4, 3), 1, 15, ["Squeeze", "Reshape", "Transpose"]),
        (("N", "H", "T", 4), (1, 1, 4, 3), 1, 3, []),
    ],
)
def test_batch_axes_of_both_are_groups_and_those_of_the_constant_alone_are_columns(
    shape: tuple[int | str, ...], constant: tuple[int, ...], groups: int, columns: int, host: list[str]
) -> None:
    program = product(shape, constant)
    (layer,) = program.report().layers
    assert (layer.name, layer.groups, layer.rows, layer.columns) == ("y", groups, 4, columns)
    assert sorted(operator.kind for operator in program.report().host) == sorted(host)


def test_a_batch_axis_that_may_be_one_or_all_stays_digital() -> None:
    program = product(("N", 4, 4), (2, 4, 3))
    reason = "the size of its input along axis 0 is not known: it may be 1 or 2"
    assert host_reasons(program) == {"y": reason}
    assert on_tiles(program) == []
    for size in (1, 2):
        x = np.random.default_rng(1).normal(size=(size, 4, 4)).astype(np.float32)
        (expected,) = run(program.model(), {"x": x})
        assert expected.shape == (2, 4, 3)
        assert error(program.write().run({"x": x})["y"], expected) < 1e-6
