"""Switching models: published numbers, shapes and bounds, and what is refused."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xbarc.devices.switching.model import ExponentialStep, LinearStep, SwitchingModel
from xbarc.devices.switching.presets import SWITCHING, find_switching
from xbarc.errors import UsageError

#: Mean step of either direction, bounds, spreads of step, up/down, low and high bound, from cycle to cycle, and write
#: noise, as aihwkit's presets have them; steps down of reram-es are shorter by its up_down.
PUBLISHED = {
    "ecram-li": (0.002, 0.002, -0.8276, 1.1724, 0.1, 0.01, 0.05, 0.05, 0.3, 0.0),
    "ecram-mo": (2.8214e-4, 2.8214e-4, -0.8286, 1.1714, 0.1, 0.01, 0.05, 0.05, 2.0, 0.0),
    "capacitor": (0.005, 0.005, -1.0, 1.0, 0.1, 0.06, 0.07, 0.07, 0.3, 0.0),
    "reram-es": (0.00135, 0.00135 * 0.740641, -1.0, 1.0, 0.2, 0.05, 0.3, 0.3, 5.0, 75.0),
    "reram-sb": (0.002, 0.002, -0.75, 1.25, 0.3, 0.01, 0.3 / 0.75, 0.3 / 1.25, 3.75, 56.0),
    "reram-array-om": (0.0949, 0.0949, -1.0, 1.0, 0.7829, 0.01, 0.5695, 0.3499, 0.4158, 1.4113),
    "reram-array-hfo2": (0.4622, 0.4622, -1.0, 1.0, 0.7125, 0.01, 0.5990, 0.4295, 0.2174, 0.5841),
    "idealized": (2e-4, 2e-4, -1.0, 1.0, 0.3, 0.0, 0.3, 0.3, 0.3, 0.0),
    "gokmen-vlasov": (0.0016, 0.0016, -1.0, 1.0, 0.3, 0.01, 0.3, 0.3, 0.3, 0.0),
}
STEPS = {"ecram-li": 1000, "ecram-mo": 7090, "capacitor": 400, "idealized": 10_000, "gokmen-vlasov": 1250}
#: Step up at the high bound and step down at the low one, over the step at 0, in percent.
AT_BOUNDS = {
    "ecram-li": (88.5, 49.2),
    "ecram-mo": (58.5, 26.6),
    "capacitor": (95.0, 95.0),
    "reram-sb": (0.0, 0.0),
    "reram-array-om": (0.0, 0.0),
    "reram-array-hfo2": (0.0, 0.0),
    "idealized": (100.0, 100.0),
    "gokmen-vlasov": (100.0, 100.0),
}
PLAIN = {"step_up": 0.01, "step_down": 0.01, "low": -1.0, "high": 1.0}


def at(state: float) -> np.ndarray:
    return np.array(state)


@pytest.mark.parametrize("name", SWITCHING)
def test_presets_have_their_published_numbers(name: str) -> None:
    model = SWITCHING[name]
    fields = "step_up step_down low high step_spread up_down_spread low_spread high_spread cycle_spread write_noise"
    assert [getattr(model, field) for field in fields.split()] == pytest.approx(PUBLISHED[name], rel=1e-12)
    assert model.description
    assert len(model.sources) == 2
    assert find_switching(name) is model


@pytest.mark.parametrize("name", AT_BOUNDS)
def test_steps_shrink_to_the_published_share_at_the_bounds(name: str) -> None:
    model = SWITCHING[name]
    mean = model.mean_cells()
    up, down = model.shape(at(model.high), mean, up=True), model.shape(at(model.low), mean, up=False)
    assert (100 * float(up), 100 * float(down)) == pytest.approx(AT_BOUNDS[name], abs=0.06)
    assert model.shape(at(0.0), mean, up=True) == model.shape(at(0.0), mean, up=False) == 1.0


@pytest.mark.parametrize("name", STEPS)
def test_the_range_has_the_published_number_of_steps(name: str) -> None:
    assert SWITCHING[name].steps == pytest.approx(STEPS[name], rel=1e-3)


def test_exponential_steps_are_their_formula() -> None:
    """reram-es: z = -0.5 w - 0.5, so that z is 0 at the low bound and -1 at the high one."""
    model = SWITCHING["reram-es"]
    mean = model.mean_cells()
    for state, z in ((-1.0, 0.0), (0.0, -0.5), (1.0, -1.0)):
        up = 0.00135 * (1 + 1.18445 * math.exp(5 * z))
        down = 0.00135 * 0.740641 * (1 + 0.081404 * math.exp(-5 * z))
        assert model.mean_step(at(state), mean, up=True) == pytest.approx(up, rel=1e-12)
        assert model.mean_step(at(state), mean, up=False) == pytest.approx(down, rel=1e-12)


@given(
    step_up=st.floats(1e-4, 0.1),
    step_down=st.floats(1e-4, 0.1),
    gamma_up=st.floats(0.05, 1.5),
    gamma_down=st.floats(0.05, 1.5),
    low=st.floats(-2, -0.1),
    high=st.floats(0.1, 2),
)
def test_a_symmetric_reference_is_where_steps_are_equal(
    step_up: float, step_down: float, gamma_up: float, gamma_down: float, low: float, high: float
) -> None:
    model = LinearStep(
        step_up=step_up,
        step_down=step_down,
        low=low,
        high=high,
        gamma_up=gamma_up,
        gamma_down=gamma_down,
        symmetric_reference=True,
    )
    cells = model.mean_cells()
    up, down = (model.mean_step(cells.reference, cells, up=up) for up in (True, False))
    assert up == pytest.approx(down, rel=1e-9, abs=1e-12 * model.step)


@settings(max_examples=25)
@given(gamma_up=st.floats(0, 3), gamma_down=st.floats(0, 3))
def test_linear_steps_reach_as_far_as_they_last(gamma_up: float, gamma_down: float) -> None:
    """By walking: five thousand pulses of a hundredth come within a thousandth of the end of the reach."""
    model = LinearStep(**PLAIN, gamma_up=gamma_up, gamma_down=gamma_down)
    cells = model.mean_cells()
    lowest, highest = model.reach(cells)
    for end, up in ((lowest, False), (highest, True)):
        state = at(0.0)
        for _ in range(5000):
            state = state + (1 if up else -1) * model.mean_step(state, cells, up=up)
            state = np.clip(state, -1.0, 1.0)
        assert state == pytest.approx(float(end), abs=1e-3)


@given(
    amplitude=st.floats(-2, 2),
    exponent=st.floats(0.01, 3) | st.floats(-3, -0.01),
    scale=st.floats(0.01, 1) | st.floats(-1, -0.01),
    offset=st.floats(-1, 1),
)
def test_exponential_steps_reach_no_further_than_they_last(
    amplitude: float, exponent: float, scale: float, offset: float
) -> None:
    """By the steps on a grid: what lies between 0 and the end has steps, what lies beyond has none."""
    model = ExponentialStep(
        **PLAIN,
        amplitude_up=amplitude,
        amplitude_down=amplitude,
        exponent_up=exponent,
        exponent_down=exponent,
        scale=scale,
        offset=offset,
    )
    cells = model.mean_cells()
    lowest, highest = model.reach(cells)
    grid = np.linspace(-1, 1, 401)
    for end, up, sign in ((lowest, False, -1), (highest, True, 1)):
        steps = model.mean_step(grid, cells, up=up)
        if abs(end) < 1:
            assert steps[sign * grid > sign * end + 1e-3].max(initial=0.0) <= 1e-12
            assert steps[sign * grid < sign * end - 1e-3].min(initial=1.0) > 0
        else:
            inner = steps[1:-1]  # at the bound itself a step may be nothing
            ceased = (inner[:-1] > 0) & (inner[1:] == 0) if up else (inner[1:] > 0) & (inner[:-1] == 0)
            assert not ceased.any()


@given(state=st.floats(-1, 1.5), g_min=st.floats(0, 1e-5), span=st.floats(1e-6, 1e-4))
def test_states_and_conductances_stand_for_each_other(state: float, g_min: float, span: float) -> None:
    model = SWITCHING["ecram-li"]
    ends = {"g_min": g_min, "g_max": g_min + span}
    assert model.conductance(at(model.low), **ends) == g_min
    assert model.state(at(g_min), **ends) == model.low
    assert model.state(model.conductance(at(state), **ends), **ends) == pytest.approx(state, abs=1e-6)


def test_cells_spread_by_what_each_quantity_draws() -> None:
    """One deviate of 1 at a time, written out."""
    model = LinearStep(
        step_up=0.02,
        step_down=0.01,
        low=-0.5,
        high=2.0,
        gamma_up=0.3,
        gamma_down=0.4,
        step_spread=0.1,
        up_down_spread=0.05,
        low_spread=0.2,
        high_spread=0.3,
        gamma_spread=0.02,
        reference_spread=0.07,
    )

    def cell(*deviating: str) -> list[float]:
        drawn = model.cells((), lambda quantity: at(1.0 if quantity in deviating else 0.0))
        return [float(getattr(drawn, field.name)) for field in dataclasses.fields(drawn)]

    mean = [0.02, 0.01, -0.5, 2.0, 0.3 / 2, 0.4 / -0.5, 0.0]
    assert cell() == pytest.approx(mean)
    assert cell("step") == pytest.approx([0.022, 0.012, *mean[2:]])
    assert cell("up/down") == pytest.approx([0.021, 0.009, *mean[2:]])
    assert cell("low", "high") == pytest.approx([*mean[:2], -0.6, 2.6, *mean[4:]])  # slopes by the mean bounds
    assert cell("slope up", "slope down") == pytest.approx([*mean[:4], 0.32 / 2, 0.42 / -0.5, 0.0])
    assert cell("reference") == pytest.approx([*mean[:6], 0.07])
    model = dataclasses.replace(model, own_bounds=True, lognormal=True)
    assert cell("low", "high") == pytest.approx([*mean[:2], -0.6, 2.6, 0.3 / 2.6, 0.4 / -0.6, 0.0])
    assert cell("step")[0] == pytest.approx(0.02 * math.exp(0.1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step_up": math.inf}, "step_up = inf of a switching model is not finite"),
        ({"cycle_spread": -0.1}, "cycle_spread = -0.1 of a switching model is negative"),
        ({"write_noise": -1.0}, "write_noise = -1.0 of a switching model is negative"),
        ({"step_down": 0.0}, "the steps of a switching model are 0.01 up and 0 down"),
        ({"low": 0.5}, "the bounds 0.5 and 1 of a switching model do not enclose 0"),
        ({"symmetric_reference": True}, "constant steps are equal at no state that reads could count from"),
    ],
)
def test_numbers_that_make_no_model_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        LinearStep(**{**PLAIN, **changes})
    assert refused.value.what == message
    assert refused.value.fix


def test_an_unknown_switching_model_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="there is no switching model 'ecram-lo'") as refused:
        find_switching("ecram-lo")
    assert refused.value.fix is not None
    assert refused.value.fix.startswith("did you mean 'ecram-mo'? Switching models: ecram-li, ecram-mo, ") or (
        refused.value.fix.startswith("did you mean 'ecram-li'? Switching models: ecram-li, ecram-mo, ")
    )


def test_every_model_says_where_it_is_from() -> None:
    assert all(isinstance(model, SwitchingModel) and model.sources for model in SWITCHING.values())
