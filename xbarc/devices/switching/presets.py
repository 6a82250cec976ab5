"""Switching models by name: published fits, in weights. Amplitudes, steps and bounds with the digits of aihwkit."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from xbarc.devices.switching.model import ExponentialStep, LinearStep, SwitchingModel
from xbarc.errors import UsageError

_AIHWKIT: Final = "aihwkit, presets of devices (coefficients)"
_TANG: Final = "J. Tang et al., ECRAM as scalable synaptic cell, IEDM 2018"
_KIM: Final = "S. Kim et al., Metal-oxide based, CMOS-compatible ECRAM, IEDM 2019"
_LI: Final = "Y. Li et al., Capacitor-based cross-point array, VLSI 2018"
_GONG_2018: Final = "N. Gong et al., Nature Communications 9, 2102 (2018)"
_GONG_2022: Final = "N. Gong et al., Deep learning acceleration in 14nm CMOS compatible ReRAM array, IEDM 2022"
_GOKMEN: Final = "T. Gokmen and Y. Vlasov, Frontiers in Neuroscience 10:333 (2016)"

#: Not modelled: the leakage of the capacitor, which its source counts in mini-batches; cells of arrays that do not
#: switch at all (13.5 % and 9.8 % in Gong 2022): stuck cells are the device's to have.
SWITCHING: Final[Mapping[str, SwitchingModel]] = MappingProxyType(
    {
        "ecram-li": LinearStep(
            description="lithium ECRAM: 1000 steps that shrink little upwards, to a half downwards",
            sources=(_TANG, _AIHWKIT),
            step_up=0.002,
            step_down=0.002,
            low=-0.8276,
            high=1.1724,
            gamma_up=0.1153,
            gamma_down=0.5085,
            gamma_spread=0.05,
            step_spread=0.1,
            up_down_spread=0.01,
            low_spread=0.05,
            high_spread=0.05,
            cycle_spread=0.3,
        ),
        "ecram-mo": LinearStep(
            description="metal-oxide ECRAM: 7000 steps, noisy, that shrink to a half upwards and a quarter downwards",
            sources=(_KIM, _AIHWKIT),
            step_up=2.8214e-4,
            step_down=2.8214e-4,
            low=-0.8286,
            high=1.1714,
            gamma_up=0.4152,
            gamma_down=0.7342,
            gamma_spread=0.05,
            step_spread=0.1,
            up_down_spread=0.01,
            low_spread=0.05,
            high_spread=0.05,
            cycle_spread=2.0,
        ),
        "capacitor": LinearStep(
            description="capacitor and readout transistor: 400 nearly constant steps; without its leakage",
            sources=(_LI, _AIHWKIT),
            step_up=0.005,
            step_down=0.005,
            low=-1.0,
            high=1.0,
            gamma_up=0.05,
            gamma_down=0.05,
            gamma_spread=0.01,
            step_spread=0.1,
            up_down_spread=0.06,
            low_spread=0.07,
            high_spread=0.07,
            cycle_spread=0.3,
            additive=True,
        ),
        "reram-es": ExponentialStep(
            description="ReRAM, exponential steps: each pulse a gamble, and so is what a read then finds",
            sources=(_GONG_2018, _AIHWKIT),
            step_up=0.00135,
            step_down=0.00135 * (1 - 0.259359),
            low=-1.0,
            high=1.0,
            amplitude_up=-1.18445,
            amplitude_down=-0.081404,
            exponent_up=5.0,
            exponent_down=5.0,
            scale=-0.5,
            offset=-0.5,
            step_spread=0.2,
            up_down_spread=0.05,
            low_spread=0.3,
            high_spread=0.3,
            cycle_spread=5.0,
            write_noise=75.0,
        ),
        "reram-sb": LinearStep(
            description="ReRAM, soft bounds: a looser fit of the same cells, counted from their symmetric state",
            sources=(_GONG_2018, _AIHWKIT),
            step_up=0.002,
            step_down=0.002,
            low=-0.75,
            high=1.25,
            gamma_up=1.0,
            gamma_down=1.0,
            own_bounds=True,
            step_spread=0.3,
            up_down_spread=0.01,
            low_spread=0.4,
            high_spread=0.24,
            cycle_spread=3.75,
            additive=True,
            write_noise=56.0,
        ),
        "reram-array-om": LinearStep(
            description="ReRAM array of optimised material, soft bounds: 21 steps, lognormal from cell to cell",
            sources=(_GONG_2022, _AIHWKIT),
            step_up=0.0949,
            step_down=0.0949,
            low=-1.0,
            high=1.0,
            gamma_up=1.0,
            gamma_down=1.0,
            own_bounds=True,
            step_spread=0.7829,
            lognormal=True,
            up_down_spread=0.01,
            low_spread=0.5695,
            high_spread=0.3499,
            cycle_spread=0.4158,
            additive=True,
            write_noise=1.4113,
            symmetric_reference=True,
            reference_spread=0.05,
        ),
        "reram-array-hfo2": LinearStep(
            description="ReRAM array of HfO2, soft bounds: four steps, lognormal from cell to cell",
            sources=(_GONG_2022, _AIHWKIT),
            step_up=0.4622,
            step_down=0.4622,
            low=-1.0,
            high=1.0,
            gamma_up=1.0,
            gamma_down=1.0,
            own_bounds=True,
            step_spread=0.7125,
            lognormal=True,
            up_down_spread=0.01,
            low_spread=0.5990,
            high_spread=0.4295,
            cycle_spread=0.2174,
            additive=True,
            write_noise=0.5841,
            symmetric_reference=True,
            reference_spread=0.05,
        ),
        "idealized": LinearStep(
            description="constant steps, 10000 of them, equal up and down; sizes and bounds differ from cell to cell",
            sources=(_GOKMEN, _AIHWKIT),
            step_up=2e-4,
            step_down=2e-4,
            low=-1.0,
            high=1.0,
            step_spread=0.3,
            low_spread=0.3,
            high_spread=0.3,
            cycle_spread=0.3,
        ),
        "gokmen-vlasov": LinearStep(
            description="constant steps, 1250 of them: what training on the array was found to bear",
            sources=(_GOKMEN, _AIHWKIT),
            step_up=0.0016,
            step_down=0.0016,
            low=-1.0,
            high=1.0,
            step_spread=0.3,
            up_down_spread=0.01,
            low_spread=0.3,
            high_spread=0.3,
            cycle_spread=0.3,
        ),
    }
)


def find_switching(name: str) -> SwitchingModel:
    """The switching model of a name.

    Raises:
        UsageError: there is none, with the nearest one.
    """
    if name not in SWITCHING:
        near = difflib.get_close_matches(name, list(SWITCHING), n=1, cutoff=0.6)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"there is no switching model {name!r}", fix=f"{hint}Switching models: {', '.join(SWITCHING)}")
    return SWITCHING[name]
