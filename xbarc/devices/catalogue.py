"""The devices by name, and how a device is written as text."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from xbarc.devices.device import Device
from xbarc.devices.ecram import EcramLiDevice, EcramMoDevice
from xbarc.devices.generic import GenericDevice, GenericLognormalDevice, GenericUniformDevice
from xbarc.devices.ideal import IdealDevice
from xbarc.devices.parameters import parameters_of
from xbarc.devices.pcm import PcmDevice
from xbarc.devices.pcm_hermes import PcmHermesDevice
from xbarc.devices.pcm_joshi import PcmJoshiDevice
from xbarc.devices.reram_cmo import ReramCmoDevice
from xbarc.devices.reram_milo import ReramMiloDevice
from xbarc.devices.reram_wan import ReramWanDevice
from xbarc.devices.sonos import SonosDevice
from xbarc.devices.table import TableDevice
from xbarc.errors import UsageError
from xbarc.units import format_duration

#: Every device, with its parameters at their defaults. A new device is one file and one line here.
DEVICES: Final[Mapping[str, Device]] = MappingProxyType(
    {
        "ideal": IdealDevice(),
        "pcm": PcmDevice(),
        "generic": GenericDevice(),
        "pcm-hermes": PcmHermesDevice(),
        "pcm-joshi": PcmJoshiDevice(),
        "reram-wan": ReramWanDevice(),
        "reram-cmo": ReramCmoDevice(),
        "reram-milo": ReramMiloDevice(),
        "sonos": SonosDevice(),
        "ecram-li": EcramLiDevice(),
        "ecram-mo": EcramMoDevice(),
        "generic-uniform": GenericUniformDevice(),
        "generic-lognormal": GenericLognormalDevice(),
    }
)

_TABLE: Final = "table:"
_TABLE_FILES: Final = (".toml", ".csv")


def find_device(text: str) -> Device:
    """The device of a text such as ``pcm`` or ``generic:programming_independent=0.02,stuck_at_gmin=0.001``.

    A measured table is named by its file, ``my.toml`` or ``my.csv``; with parameters, ``table:my.toml,read_scale=2``.

    Raises:
        UsageError: an unknown device or parameter, with the nearest one; a parameter that is no number, out of its
            range or given twice.
        DeviceError: a table that cannot be read or cannot be.
    """
    if text.startswith(_TABLE) or text.lower().endswith(_TABLE_FILES):
        from xbarc.devices.table_files import load_table

        path, comma, listed = text.removeprefix(_TABLE).partition(",")
        return _with_parameters(load_table(path), listed if comma else None)
    name, colon, listed = text.partition(":")
    name = name.strip()
    if name not in DEVICES:
        near = _did_you_mean(name, DEVICES, likeness=0.0)
        raise UsageError(f"there is no device {name!r}", fix=f"{near}Devices: {', '.join(DEVICES)}")
    return _with_parameters(DEVICES[name], listed if colon else None)


def device_text(device: Device) -> str:
    """The text that :func:`find_device` makes this device of: its name, and the parameters that are not the default.

    Of a table it is that of its file.
    """
    given = [
        f"{declared.name}={value!r}"
        for declared in parameters_of(device)
        if (value := getattr(device, declared.name)) != declared.default
    ]
    if isinstance(device, TableDevice):
        return ",".join([f"{_TABLE}{device.path}", *given])
    return f"{device.name}:{','.join(given)}" if given else device.name


def stored_device(device: Device) -> dict[str, object]:
    """A device as plain JSON data, from which :func:`restored_device` makes it, whatever became of its file.

    Raises:
        UsageError: it is neither in the catalogue nor a table.
    """
    text = device_text(device)
    if isinstance(device, TableDevice):
        from xbarc.devices.table_files import store_table

        return {"device": text, "table": store_table(device)}
    if device.name not in DEVICES or find_device(text) != device:
        raise UsageError(
            f"the device {device.name!r} cannot be found again by its name", fix="add it to the catalogue of devices"
        )
    return {"device": text}


def restored_device(stored: Mapping[str, Any]) -> Device:
    """The device that :func:`stored_device` made this of.

    Raises:
        UsageError: an unknown device or parameters.
        DeviceError: a table that cannot be.
    """
    text = str(stored["device"])
    if "table" not in stored:
        return find_device(text)
    from xbarc.devices.table_files import restore_table

    path, comma, listed = text.removeprefix(_TABLE).partition(",")
    return _with_parameters(restore_table(stored["table"], path), listed if comma else None)


def device_facts(device: Device) -> dict[str, object]:
    """What is to be said of a device, as plain JSON data: quantities are strings with a unit."""
    return {
        "name": device.name,
        "description": device.description,
        "sources": list(device.sources),
        "t0": format_duration(device.t0_s),
        "parameters": [
            {"name": declared.name, "value": getattr(device, declared.name), "meaning": declared.meaning}
            for declared in parameters_of(device)
        ],
    }


def _with_parameters(device: Device, listed: str | None) -> Device:
    return device if listed is None else dataclasses.replace(device, **_read_parameters(listed, device))


def _read_parameters(listed: str, device: Device) -> dict[str, float]:
    known = {declared.name: declared for declared in parameters_of(device)}
    where = f"the device {device.name}"
    if not known:
        raise UsageError(f"the device {device.name!r} has no parameters", fix=f"write {device.name} alone")
    values: dict[str, float] = {}
    for item in listed.split(","):
        name, equals, text = (part.strip() for part in item.partition("="))
        if not equals:
            raise UsageError(
                f"{item.strip()!r} is not name=value",
                where=where,
                fix=f"write it as in {device.name}:{next(iter(known))}=0.01",
            )
        if name not in known:
            raise UsageError(
                f"there is no parameter {name!r}",
                where=where,
                fix=f"{_did_you_mean(name, known)}Parameters: {', '.join(known)}",
            )
        if name in values:
            raise UsageError(f"{name} is given twice", where=where, fix="give it once")
        values[name] = known[name].checked(_number(text), where=where)
    return values


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _did_you_mean(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=likeness)
    return f"did you mean {near[0]!r}? " if near else ""
