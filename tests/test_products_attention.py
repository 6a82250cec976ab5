"""``Attention`` and ``QAttention`` of onnxruntime: their projections on tiles, the rest as onnxruntime has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import OPSETS, Case, Draw, network, node, run
from product_checks import check_close, host_reasons, on_tiles

import xbarc
from xbarc.hardware.load import load_hardware

MICROSOFT = "com.microsoft"


@st.composite
def attentions(draw: Draw, kind: str) -> Case:
    """One operator, in all forms of its mask, with a past or not, and with what is added to its scores."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    batch, length, width, heads, head, before = (draw(st.integers(1, top)) for top in (3, 6, 12, 3, 4, 4))
    quantised = kind == "QAttention"
    kept = draw(st.booleans())
    past = kept and draw(st.booleans())
    attributes: dict[str, Any] = {"num_heads": heads, "domain": MICROSOFT}
    sizes = [heads * head] * 3
    if not (kept or quantised) and draw(st.booleans()):
        sizes[2] = heads * draw(st.integers(1, 5))
        attributes["qkv_hidden_sizes"] = sizes
    if draw(st.booleans()):
        attributes["unidirectional"] = 1
    if not quantised and draw(st.booleans()):
        attributes |= {"scale": 0.7, "mask_filter_value": -50.0}

    def floats(*shape: int) -> np.ndarray:
        return np.asarray(rng.normal(size=shape), dtype=np.float32)

    feeds = {"x": floats(batch, length, width)}
    constants = {"w": floats(width, sum(sizes)), "b": floats(sum(sizes))}
    if quantised:
        dtype = draw(st.sampled_from([np.uint8, np.int8]))
        columns = (sum(sizes),) if draw(st.booleans()) else ()
        feeds["x"] = rng.integers(0, 256, (batch, length, width)).astype(np.uint8)
        constants["w"] = rng.integers(
            -60 if dtype == np.int8 else 70, 61 if dtype == np.int8 else 190, (width, sum(sizes))
        )
        constants["w"] = constants["w"].astype(dtype)
        constants |= {
            "x_scale": np.asarray(0.02, dtype=np.float32),
            "w_scale": rng.uniform(0.005, 0.03, columns).astype(np.float32),
            "x_zero": np.asarray(rng.integers(0, 200), dtype=np.uint8),
            "w_zero": np.full(columns, 128 if dtype == np.uint8 else 0, dtype=dtype),
        }
    total = length + (before if past else 0)
    mask = draw(st.sampled_from(["", "lengths", "starts", "keys", "scores"]))
    match mask:
        case "lengths":
            feeds["mask"] = rng.integers(1, total + 1, batch).astype(np.int32)
        case "starts":
            steps = np.arange(batch + 1)
            feeds["mask"] = np.concatenate([rng.integers(1, total + 1, batch), steps * length, steps * total]).astype(
                np.int32
            )
        case "keys":
            feeds["mask"] = rng.integers(0, 2, (batch, total)).astype(np.int32)
        case "scores":
            feeds["mask"] = rng.integers(0, 2, (batch, length, total)).astype(np.int32)
    if past:
        feeds["past"] = floats(2, batch, heads, before, head)
    if not (quantised or past) and draw(st.booleans()):
        spread = (draw(st.sampled_from([1, batch])), draw(st.sampled_from([1, heads])))
        feeds["bias"] = floats(*spread, length, total)
    names = ["x", "w", "b", "x_scale", "w_scale", "mask", "x_zero", "w_zero", "past"]
    operands = [name if name in feeds or name in constants else "" for name in names]
    if not quantised:
        operands = [
            name if name in feeds or name in constants else "" for name in ("x", "w", "b", "mask", "past", "bias")
        ]
    while not operands[-1]:
        operands.pop()
    results = ["y", "present"] if kept else ["y"]
    model = network(
        [node(kind, operands, *results, **attributes)],
        {name: array.shape for name, array in feeds.items()},
        constants,
        outputs=results,
        input_types={name: array.dtype for name, array in feeds.items()},
        output_ranks={"y": 3, "present": 5},
        opset=draw(st.sampled_from(OPSETS)),
    )
    return Case(model, feeds)


ATTENTIONS = st.one_of(attentions("Attention"), attentions("QAttention"))


@settings(max_examples=120)
@given(ATTENTIONS)
def test_exact_hardware_gives_the_floating_point_result(case: Case) -> None:
    program = check_close(case)
    assert on_tiles(program) == ["y"]
    assert host_reasons(program)["y.attended"] == "made by the compiler for 'y'"


@settings(max_examples=60)
@given(ATTENTIONS)
def test_the_default_hardware_gives_the_same_bits_in_onnxruntime(case: Case) -> None:
    program = xbarc.compile(case.model, hardware=load_hardware("generic-pcm"), calibration=[case.feeds])
    ours = program.write().run(case.feeds)
    for optimized in (False, True):
        theirs = run(program.model(), case.feeds, optimized=optimized)
        for actual, wanted in zip(theirs, ours.values(), strict=True):
            assert actual.tobytes() == wanted.tobytes()


def self_attention(**attributes: Any) -> list[onnx.NodeProto]:
    return [node("Attention", ["x", "w", "b", "mask"], "y", domain=MICROSOFT, **{"num_heads": 2, **attributes})]


def weights(width: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "w": rng.normal(size=(width, 24)).astype(np.float32),
        "b": rng.normal(size=24).astype(np.float32),
    }


def attention_case(
    mask: np.ndarray, shape: tuple[int | str | None, ...] | None = None, batch: int | str = 2, **attributes: Any
) -> Case:
    x = np.random.default_rng(1).normal(size=(2, 5, 6)).astype(np.float32)
    inputs: dict[str, tuple[int | str | None, ...]] = {"x": (batch, 5, 6), "mask": shape or mask.shape}
    model = network(
        self_attention(**attributes), inputs, weights(), input_types={"mask": np.int32}, output_ranks={"y": 3}
    )
    return Case(model, {"x": x, "mask": mask.astype(np.int32)})


REFUSED = {
    "its mask has a start and an end for each sample": attention_case(np.array([3, 5, 1, 0])),
    "the shape of its mask is not known": attention_case(np.array([3, 5]), ("M",), "N"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_mask_that_the_host_has_no_word_for_leaves_the_operator_whole(reason: str) -> None:
    program = check_close(REFUSED[reason])
    assert on_tiles(program) == []
    assert host_reasons(program) == {"y": reason}


def test_samples_stay_apart() -> None:
    """A mask of one length for each sample lies along the samples, so that they can be cut into batches."""
    case = attention_case(np.array([3, 5]), ("N",), "N")
    program = check_close(case)
    assert on_tiles(program) == ["y"]
    assert program.report().layers[0].batch_dependent is False
    whole = program.write().run(case.feeds)["y"]
    one = program.write().run({name: array[1:] for name, array in case.feeds.items()})["y"]
    np.testing.assert_array_equal(one, whole[1:])


def test_samples_stay_apart_in_a_network_of_fused_operators() -> None:
    """A table of words, attention, normalisation, an activation, and a product of two values."""
    rng = np.random.default_rng(0)
    constants = {
        **weights(8),
        "table": rng.normal(size=(30, 8)).astype(np.float32),
        "gain": np.ones(8, np.float32),
        "shift": np.zeros(8, np.float32),
    }
    nodes = [
        node("Gather", ["table", "words"], "x"),
        node("Attention", ["x", "w", "b"], "attended", num_heads=2, domain=MICROSOFT),
        node("SkipLayerNormalization", ["attended", "x", "gain", "shift"], "normal", domain=MICROSOFT),
        node("FastGelu", ["normal", "shift"], "active", domain=MICROSOFT),
        node("FusedMatMul", ["active", "normal"], "scores", transB=1, alpha=0.5, domain=MICROSOFT),
        node("MatMul", ["scores", "last"], "y"),
    ]
    constants["last"] = rng.normal(size=(5, 3)).astype(np.float32)
    model = network(nodes, {"words": ("N", 5)}, constants, input_types={"words": np.int64}, output_ranks={"y": 3})
    feeds = {"words": rng.integers(0, 30, (4, 5))}
    program = check_close(Case(model, feeds))
    assert on_tiles(program) == ["attended", "y"]
    report = program.report()
    assert [layer.batch_dependent for layer in report.layers] == [False, False]
    macs = {operator.name: operator.macs for operator in report.host if operator.macs}
    assert macs == {"attended.attended": 2 * 5 * 5 * 8, "scores": 5 * 5 * 8}
    chip = xbarc.compile(model, calibration=feeds).write()
    np.testing.assert_array_equal(chip.run({"words": feeds["words"][2:]})["y"], chip.run(feeds)["y"][2:])


@pytest.mark.parametrize(
    ("kind", "reason"), [("MultiHeadAttention", "its matrices are not constant"), ("FastGelu", "no matrix product")]
)
def test_what_holds_no_static_matrix_says_so(kind: str, reason: str) -> None:
    operands, attributes = (["x", "x", "x"], {"num_heads": 2}) if kind == "MultiHeadAttention" else (["x"], {})
    model = network(
        [node(kind, operands, "y", domain=MICROSOFT, **attributes)], {"x": ("N", 3, 8)}, output_ranks={"y": 3}
    )
    program = xbarc.compile(model)
    assert host_reasons(program) == {"y": reason}
