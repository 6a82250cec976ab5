"""What can go wrong by a user's doing, told as: what is wrong, where, and what to do.

Every error that a user can cause is an :class:`XbarcError`. The command line prints it without a traceback and exits
with :attr:`XbarcError.exit_code`: 1 where the job failed, 2 where the command was used wrongly.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final

#: What onnxruntime puts before its words: its name and the kind of error; a place in its sources with the signature of
#: the function there; the condition that it checked.
_NOISE: Final = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : "
    r"|(?<!\S)(?:\S*/)?\w+\.(?:cc|h):\d+ "
    r"(?:[^()]{,999}(?:\((?:[^()]|\([^()]*\))*\))+(?: const)?(?: \[with (?:[^][]|\[[^][]*\])*\])? )?"
    r"|Exception during initialization: "
)
_RUNNING: Final = re.compile(r"Non-zero status code returned while running (\S+) node\. Name:'(.*?)' Status Message: ")
_CONDITION: Final = re.compile(r"(?<=: )[^:']*? was false\. (?=\S)|^[^:']*? was false\. (?=\S)")


class XbarcError(Exception):
    """An error that a user can act on.

    Args:
        what: what is wrong, with the offending value.
        where: the place: a file, a node, a key with its line.
        fix: what to do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.fix:
            lines.append(f"  fix:   {self.fix}")
        return "\n".join(lines)


class ModelError(XbarcError):
    """A source model that cannot be read or compiled."""


class DataError(XbarcError):
    """Input, calibration or test data that does not fit the model."""


class HardwareError(XbarcError):
    """A hardware description that is malformed or cannot work."""


class DeviceError(XbarcError):
    """A device's measured table, or a map of faults, that is malformed or cannot be."""


class ProgramError(XbarcError):
    """A compiled program that cannot be read or run."""


class CapacityError(XbarcError):
    """A model that needs more tiles than the chip has."""


class UsageError(XbarcError):
    """A command or call that asks for something that does not exist."""

    exit_code: ClassVar[int] = 2


class InternalError(Exception):
    """A broken invariant of the compiler itself: a defect of xbarc, never the user's fault."""


def runtime_words(error: Exception) -> str:
    """What onnxruntime says is wrong, in one line, without its own files, functions and conditions."""
    words = _RUNNING.sub(r"node '\2' (\1): ", _NOISE.sub("", " ".join(str(error).split())))
    words = _CONDITION.sub("", words)
    return words.strip() or type(error).__name__
