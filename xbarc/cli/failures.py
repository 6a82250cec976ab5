"""How commands end when something goes wrong: a message without a traceback, and an exit code."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from typing import Final, ParamSpec

import typer

from xbarc.errors import XbarcError

_INTERRUPTED: Final = 130  # what shells report for a process that Ctrl-C ended
_P = ParamSpec("_P")


def told(command: Callable[_P, None]) -> Callable[_P, None]:
    """A command that tells its errors. With ``XBARC_DEBUG=1`` in the environment, defects come with their traceback."""

    @functools.wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
            sys.stdout.flush()  # here, where a closed pipe is met quietly
        except XbarcError as error:
            raise _told(error) from None
        except KeyboardInterrupt:
            raise typer.Exit(_INTERRUPTED) from None
        except BrokenPipeError:
            raise  # the reader has seen enough: typer ends quietly
        except MemoryError:
            raise _told(XbarcError("out of memory", fix="use fewer threads, or smaller batches of data")) from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise _told(XbarcError(f"a file cannot be read or written: {reason}", where=error.filename)) from None
        except Exception as error:  # noqa: BLE001  # whatever is left is our own fault, and the user is told so
            if os.environ.get("XBARC_DEBUG") == "1":
                traceback.print_exc()
            raise _told(_defect(error)) from None

    return run


def _told(error: XbarcError) -> typer.Exit:
    from xbarc.cli.terminal import print_error

    print_error(error)
    return typer.Exit(error.exit_code)


def _defect(error: Exception) -> XbarcError:
    return XbarcError(
        f"this is a defect of xbarc, not of your files: {type(error).__name__}: {error}",
        fix="run it again with XBARC_DEBUG=1 in the environment, and report the traceback",
    )
