"""Check a model: what would go on tiles, without hardware or data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xbarc.api.compiler import lower
from xbarc.api.source import ModelLike, read_source
from xbarc.ir.pipeline import Progress
from xbarc.ir.scopes import scopes
from xbarc.report.checking import CheckReport, check_report


def check(
    model: ModelLike,
    *,
    analog: Sequence[str] = (),
    host: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """What of a model would go on tiles, what stays on the host, and why.

    Args:
        model: an ONNX file or model.
        analog, host: name patterns, as :func:`xbarc.api.compiler.compile_model` takes them.
        sizes: numbers for symbols in the shapes of inputs, so that arithmetic can be counted.
        threads: all that the process may use by default.
        progress: told before each pass.

    Raises:
        ModelError: the model cannot be read or compiled.
        UsageError: patterns or sizes that name nothing.
    """
    graph = read_source(model, sizes=sizes).graph
    source = [operator for scope in scopes(graph) for operator in scope.operators()]
    lower(graph, analog=analog, host=host, threads=threads, progress=progress)
    return check_report(graph, source)
