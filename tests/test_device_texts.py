"""Devices as text and their parameters: exact round trips, and what is said of texts that are no device."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xbarc.devices.catalogue import DEVICES, device_facts, device_text, find_device
from xbarc.devices.device import check_time
from xbarc.devices.generic import GenericDevice
from xbarc.devices.ideal import IdealDevice
from xbarc.devices.parameters import parameters_of
from xbarc.devices.pcm import PcmDevice
from xbarc.errors import UsageError

PCM_PARAMETERS = (
    "Parameters: stuck_at_gmin, stuck_at_gmax, dead_rows, dead_columns, programming_scale, drift_scale, read_scale"
)


def test_the_catalogue_holds_every_device_under_its_name_without_options() -> None:
    assert {name: device.name for name, device in DEVICES.items()} == {name: name for name in DEVICES}
    assert {name: type(device)() for name, device in DEVICES.items()} == dict(DEVICES)
    assert " ".join(DEVICES) == (
        "ideal pcm generic pcm-hermes pcm-joshi reram-wan reram-cmo reram-milo sonos ecram-li ecram-mo "
        "generic-uniform generic-lognormal"
    )


def test_a_device_is_read_with_its_parameters() -> None:
    assert find_device("pcm") == PcmDevice()
    assert find_device("generic:programming_independent=0.02,stuck_at_gmin=1e-3") == GenericDevice(
        programming_independent=0.02, stuck_at_gmin=0.001
    )
    assert find_device(" pcm : read_scale = 2 , stuck_at_gmax=.5") == PcmDevice(read_scale=2.0, stuck_at_gmax=0.5)


@given(data=st.data(), name=st.sampled_from([name for name, device in DEVICES.items() if parameters_of(device)]))
def test_writing_and_reading_gives_the_same_device(data: st.DataObject, name: str) -> None:
    values = {
        declared.name: data.draw(
            st.sampled_from(declared.choices) if declared.choices else st.floats(declared.low, declared.high),
            label=declared.name,
        )
        for declared in data.draw(st.lists(st.sampled_from(parameters_of(DEVICES[name])), unique=True))
    }
    if values.get("stuck_at_gmin", 0) + values.get("stuck_at_gmax", 0) > 1:
        values["stuck_at_gmax"] = 0.0
    device = dataclasses.replace(DEVICES[name], **values)
    assert find_device(device_text(device)) == device
    assert {declared.name: getattr(device, declared.name) for declared in parameters_of(device)} == {
        declared.name: values.get(declared.name, declared.default) for declared in parameters_of(device)
    }


def test_what_is_default_is_not_written() -> None:
    assert [device_text(device) for device in DEVICES.values()] == list(DEVICES)
    assert device_text(PcmDevice(read_scale=0, stuck_at_gmin=0)) == "pcm:read_scale=0.0"
    assert device_text(PcmDevice(read_scale=np.float32(0.5))) == "pcm:read_scale=0.5"


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("pcx", "there is no device 'pcx'", f"did you mean 'pcm'? Devices: {', '.join(DEVICES)}"),
        ("pcx:read_scale=1", "there is no device 'pcx'", f"did you mean 'pcm'? Devices: {', '.join(DEVICES)}"),
        ("", "there is no device ''", None),
        ("ideal:read_scale=1", "the device 'ideal' has no parameters", "write ideal alone"),
        ("pcm:", "'' is not name=value", "write it as in pcm:stuck_at_gmin=0.01"),
        ("pcm:read_scale=1,", "'' is not name=value", None),
        ("pcm:read_scale", "'read_scale' is not name=value", None),
        ("pcm:read_skale=1", "there is no parameter 'read_skale'", f"did you mean 'read_scale'? {PCM_PARAMETERS}"),
        ("pcm:t=1", "there is no parameter 't'", PCM_PARAMETERS),
        ("pcm:name=1", "there is no parameter 'name'", None),
        ("pcm:read_scale=1,read_scale=2", "read_scale is given twice", "give it once"),
        ("pcm:read_scale=big", "read_scale = 'big' is not a number", "give read_scale a number from 0 to 100"),
        ("pcm:read_scale=", "read_scale = '' is not a number", None),
        ("pcm:read_scale=-1", "read_scale = -1.0 is out of range", "give read_scale a number from 0 to 100"),
        ("pcm:read_scale=inf", "read_scale = inf is out of range", None),
        ("generic:stuck_at_gmin=nan", "stuck_at_gmin = nan is out of range", "give stuck_at_gmin a number from 0 to 1"),
        ("generic:t0_s=0", "t0_s = 0.0 is out of range", "give t0_s a number from 1e-06 to 1e+09"),
        (
            "pcm:stuck_at_gmin=0.6,stuck_at_gmax=0.5",
            "stuck_at_gmin = 0.6 and stuck_at_gmax = 0.5 add up to more than 1",
            "give shares of all cells",
        ),
    ],
)  # fmt: skip
def test_what_is_no_device_is_refused_with_what_would_be(text: str, what: str, fix: str | None) -> None:
    with pytest.raises(UsageError) as refused:
        find_device(text)
    assert refused.value.what == what
    assert fix in (None, refused.value.fix)
    assert refused.value.exit_code == 2


@given(text=st.text(max_size=30) | st.from_regex(r"(pcm|generic):[a-z_0-9=.,]{0,30}", fullmatch=True))
def test_any_text_is_a_device_or_refused(text: str) -> None:
    try:
        name = find_device(text).name
    except UsageError as error:
        name = error.what
    assert name


@pytest.mark.parametrize("kind", [PcmDevice, GenericDevice])
@pytest.mark.parametrize("value", [-1e-9, 1.0000001, 10**400, math.inf, math.nan, "0.1", None, True, 0.1j])
def test_parameters_are_checked_however_a_device_is_made(kind: type[PcmDevice], value: float) -> None:
    with pytest.raises(
        UsageError, match=rf"^stuck_at_gmin = {re.escape(repr(value))} is (not a number|out of range)\n"
    ):
        kind(stuck_at_gmin=value)


def test_times_are_those_that_the_device_has_data_for() -> None:
    pcm = PcmDevice()
    for t_s in (0.0, 1.0, pcm.t_max_s):
        check_time(pcm, t_s)
    check_time(IdealDevice(), 1e300)
    for t_s in (-1.0, math.nan, math.inf):
        with pytest.raises(UsageError, match=rf"^the time {t_s} s is not a time after programming\n"):
            check_time(pcm, t_s)
    with pytest.raises(
        UsageError, match=r"the time 11 years is beyond .* 'pcm' .*\n +fix: +give a time up to 10 years$"
    ):
        check_time(pcm, 11 * 31536000.0)


def test_what_is_said_of_a_device_is_plain_data() -> None:
    said = {name: device_facts(device) for name, device in DEVICES.items()}
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert said["pcm"]["t0"] == "20 s"
    assert {
        "name": "read_scale",
        "value": 1.0,
        "meaning": "factor on the standard deviation of the read noise",
    } in said["pcm"]["parameters"]
    assert [name for name, facts in said.items() if not facts["sources"]] == ["ideal", "generic-lognormal"]
