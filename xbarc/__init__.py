"""xbarc: a compiler from trained networks to analog crossbar tiles.

>>> program = xbarc.compile("model.onnx", hardware="generic-pcm", calibration="sample.npz")
>>> program.save("model.xbar.onnx")
>>> chip = program.write(device="ideal")
>>> outputs = chip.run(inputs)
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xbarc.api.chip import Chip
    from xbarc.api.compiler import compile_model as compile
    from xbarc.api.program import Program, load
    from xbarc.errors import XbarcError

__all__ = ["Chip", "Program", "XbarcError", "compile", "load"]

_HERE = os.path.dirname(os.path.abspath(__file__))
if not os.path.isdir(os.path.join(_HERE, "runtime")):
    # Python that is started in a checkout finds this folder before the installed package: what an installation holds in
    # it stands beside it there.
    __path__.append(os.path.dirname(_HERE))

#: Where each public name lives; imported when it is first asked for, so that the command line starts fast.
_HOMES = {
    "Chip": ("xbarc.api.chip", "Chip"),
    "Program": ("xbarc.api.program", "Program"),
    "XbarcError": ("xbarc.errors", "XbarcError"),
    "compile": ("xbarc.api.compiler", "compile_model"),
    "load": ("xbarc.api.program", "load"),
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # slow to import, and seldom asked for

        return version("xbarc")
    if name not in _HOMES:
        raise AttributeError(f"module 'xbarc' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)
