"""The published trends that ``benchmarks/trends.py`` measures: the directions that must hold, on few images and chips.

What is asserted lies far beyond the spread of chips: tens of points of accuracy, or several intervals.
"""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trend_networks
import trends
from scipy import stats
from trend_charts import trend_svg
from trend_gates import column_currents, gated_snr_db, widest_product
from trend_networks import Network, beside, bundled, normal_product, wide_digits
from trend_points import Curve, Point, Trend, apart, enough_from, falls_at, point
from trend_sweeps import Sizes, adc_bits, cell_errors, drift, noise_places, noisy_chips, product_error, wires

from xbarc.runtime.circuit.exact import solve_exact
from xbarc.runtime.circuit.wiring import Wiring

IMAGES = 120
TINY = Sizes(
    chips=3,
    images=IMAGES,
    bits=(4, 8, 12),
    rows=(144, 1152),
    errors=(0.02, 0.2),
    times=("1s", "1y"),
    noises=(0.01, 0.15),
    wires=(1e-5, 1e-4, 1e-3),
)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def cnn() -> Network:
    return bundled("digits_cnn", "digits CNN").first(IMAGES)


def by_place(trend: Trend, network: Network, series: str) -> dict[float, Point]:
    curve = trend.curve(network.name, series)
    return dict(zip(curve.x, curve.points, strict=True))


def test_eight_bits_are_enough_for_pairs_of_1152_rows_and_an_offset_needs_more_bits() -> None:
    wide = wide_digits().first(IMAGES)
    assert wide.rows == 1152
    trend = adc_bits([wide], TINY)
    pairs, offset = (by_place(trend, wide, f"{name}, 1152 rows") for name in ("differential", "offset"))
    assert trend.float[wide.name] > 0.9
    assert abs(pairs[8].mean - trend.float[wide.name]) < 0.03
    assert apart(pairs[4], offset[4])
    assert apart(by_place(trend, wide, "offset, 144 rows")[4], offset[4]), "fewer rows at once need fewer bits"
    assert apart(pairs[4], by_place(trend, wide, "differential, 1152 rows, full range")[4]), "ranges from a sample"
    fills = trend.facts["calibrated_over_full_range"]
    assert all(0 < share < 0.6 for share in fills.values())
    assert (pairs[8].chips, pairs[8].images, pairs[8].deviation) == (1, IMAGES, None)


def test_errors_in_proportion_to_the_conductance_hurt_pairs_least(cnn: Network) -> None:
    trend = cell_errors([cnn], TINY)
    at = {
        (encoding, kind): by_place(trend, cnn, f"{encoding}, {kind}")[0.2]
        for encoding in ("differential", "offset")
        for kind in ("proportional", "independent")
    }
    best = at.pop(("differential", "proportional"))
    assert best.mean > 0.9
    assert all(best.mean > other.mean + 0.2 for other in at.values())
    assert at["offset", "proportional"].mean > at["offset", "independent"].mean + 0.1
    assert trend.reproduced


def test_drift_loses_what_compensation_keeps(cnn: Network) -> None:
    trend = drift([cnn], TINY)
    (young, old), (_, kept) = (trend.curve(cnn.name, series).points for series in ("as it is", "compensated"))
    assert young.mean > 0.95
    assert old.mean < 0.6
    assert kept.mean > 0.9
    assert trend.reproduced


def test_noise_on_outputs_hurts_more_than_as_much_on_weights(cnn: Network) -> None:
    trend = noise_places([cnn], TINY)
    outputs, weights = (by_place(trend, cnn, where) for where in ("outputs", "weights, every read"))
    assert outputs[0.01].mean > 0.95
    assert apart(weights[0.15], outputs[0.15])


def test_noise_is_of_the_size_that_it_is_said_to_be() -> None:
    """The error of a product by formula: normal inputs x, weights w that are over the largest of their column."""
    network = normal_product()
    x = network.images.astype(np.float64)
    (_, w), *_ = trend_networks.matrices(network.model.graph)
    y = x @ w
    w_max = np.abs(w).max(axis=0)
    x_max, i_max = np.percentile(np.abs(x), 99.99), np.percentile(np.abs(y / w_max), 99.98)
    expected = {
        "inputs": x_max * np.sqrt(np.square(w).sum(axis=0).mean()),
        "outputs": i_max * np.sqrt(np.square(w_max).mean()),
        "weights, every read": np.sqrt(np.square(x).sum(axis=1).mean() * np.square(w_max).mean()),
    }
    for where, error in expected.items():
        # 65536 outputs, so hardly any spread; some are clipped, and ranges are those of a histogram
        ratio = error / np.sqrt(np.square(y).mean())
        assert product_error(where, 2, share=0.05) == pytest.approx(ratio, rel=0.05), where


def test_noise_on_inputs_is_drawn_anew_by_every_run_and_again_the_same(cnn: Network) -> None:
    def runs() -> list[np.ndarray]:
        return [chip.run({"input": cnn.images[:8]})["logits"] for chip in noisy_chips(cnn, "inputs", 0.05, 2)]

    (first, second), (again, _) = runs(), runs()
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)
    assert [node.op_type for node in cnn.model.graph.node].count("RandomNormalLike") == 0, "the network is left alone"


def test_wires_cost_little_up_to_1e_4_and_much_at_1e_3(cnn: Network) -> None:
    trend = wires([cnn], TINY)
    short, tall = (by_place(trend, cnn, series) for series in ("256 rows", "1152 rows"))
    assert short[1e-5].mean > 0.95
    assert short[1e-4].mean > 0.9
    assert short[1e-3].mean < 0.6
    assert apart(short[1e-4], tall[1e-4]), "rows below a block are wire too"
    assert trend.reproduced


def test_a_column_is_the_circuit_that_the_tile_is_solved_for() -> None:
    draws = np.random.default_rng(1)
    cells, voltages, wire = draws.uniform(0, 1, (40, 5)), draws.uniform(0, 1, (40, 7)), 3e-3
    found = column_currents(cells, voltages, np.ones_like(voltages), wire)
    solved = solve_exact(cells, voltages.T, Wiring(row_wire_ohm=0.0, column_wire_ohm=wire)).currents
    np.testing.assert_allclose(found.T, solved, rtol=1e-9)
    gone = voltages * (voltages > 0.5)
    off = column_currents(cells, gone, (gone > 0).astype(float), wire)
    for window in range(7):
        rows = gone[:, window] > 0
        left = np.where(rows[:, None], cells, 0.0)
        alone = solve_exact(left, gone[:, window][None], Wiring(row_wire_ohm=0.0, column_wire_ohm=wire)).currents
        np.testing.assert_allclose(off[:, window], alone[0], rtol=1e-9)


def test_cells_that_are_switched_off_lose_less(cnn: Network) -> None:
    codes, weights = widest_product(cnn, 10)
    assert (codes.shape, weights.shape, np.abs(weights).max()) == ((144, 10), (144, 32), 1.0)
    plain, gated = gated_snr_db(cnn, 1e-4, windows=10)
    assert gated > plain + 3


def test_points_have_students_and_wilsons_intervals(cnn: Network) -> None:
    program = cnn.compiled()
    several = point(cnn, program.series("pcm", seeds=range(4)))
    shares = [
        float((chip.run({"input": cnn.images})["logits"].argmax(axis=-1) == cnn.labels).mean())
        for chip in program.series("pcm", seeds=range(4))
    ]
    reach = stats.t.ppf(0.975, 3) * np.std(shares, ddof=1) / 2
    assert several.interval[0] == pytest.approx(np.mean(shares) - reach, abs=1e-3)
    one = point(cnn, [program.write()])
    wilson = stats.binomtest(round(one.mean * IMAGES), IMAGES).proportion_ci(method="wilson")
    assert one.interval == pytest.approx(tuple(wilson), abs=1e-9)


def curve(*means: float) -> Curve:
    points = tuple(Point(mean, None, (mean, mean), 1, 1) for mean in means)
    return Curve("n", "s", tuple(10.0**place for place in range(len(means))), points)


def test_where_curves_rise_and_fall() -> None:
    assert enough_from(curve(0.2, 0.9, 0.5, 0.9, 0.95), 0.9) == 1000
    assert math.isinf(enough_from(curve(0.95, 0.2), 0.9))
    assert falls_at(curve(0.9, 0.9, 0.1), 0.5) == pytest.approx(10**1.5)
    assert falls_at(curve(0.4, 0.9, 0.1), 0.5) == 1
    assert math.isinf(falls_at(curve(0.9, 0.9), 0.5))


def test_figures_and_numbers_are_written_whole(tmp_path: Path) -> None:
    trend = Trend("k", "<title>", "axis", ("a", "b"), (curve(0.9, 0.2), curve(0.8, 0.1)), {"n": 0.95}, True, "so")
    trends.write([trend], tmp_path / "out")
    written = json.loads((tmp_path / "out/trends.json").read_text())
    assert written["trends"][0]["curves"][0]["points"][1]["mean"] == 0.2
    picture = ElementTree.fromstring((tmp_path / "out/k.svg").read_text())
    assert len(picture.findall(f"{SVG}polygon")) == 2
    assert len(picture.findall(f"{SVG}polyline")) == 2 + 1 + 1, "curves, the float network, the legend"
    assert "<title>" in [text.text for text in picture.findall(f"{SVG}text")]
    none = ElementTree.fromstring(trend_svg(replace(trend, drawn=("other",))))
    assert none.findall(f"{SVG}polygon") == []
    assert list(trends.table(trend))[2] == "| n | s | 90.0 | 20.0 |"


def test_networks_that_are_not_there_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trend_networks, "SHARED", tmp_path)
    assert list(beside("mnist_mlp", "mnist", "MNIST MLP")) == []
    assert capsys.readouterr().err == f"skipped MNIST MLP: {tmp_path}/models/mnist_mlp.onnx is not there\n"
