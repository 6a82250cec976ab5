"""Passes, and the pipeline that runs them: verified after each, dumped on request, stopped where asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from xbarc.errors import InternalError, UsageError
from xbarc.ir.graph import Graph
from xbarc.ir.printer import print_graph
from xbarc.ir.scopes import scopes
from xbarc.ir.stages import Stage
from xbarc.ir.verify import verify


class Pass(Protocol):
    """A pass: a frozen dataclass whose fields are its options.

    Attributes:
        name: what the command line and the dumps call it.
        requires: the stage that the graph must be at.
        ensures: the stage that it is at afterwards.
    """

    name: ClassVar[str]
    requires: ClassVar[Stage]
    ensures: ClassVar[Stage]

    def run(self, graph: Graph) -> None:
        """Change the graph in place."""
        ...


#: Told before each pass: its name, its number, and how many there are.
Progress = Callable[[str, int, int], None]
#: Shown the verified graph after each pass, with the pass and its number.
Observer = Callable[[Pass, int, Graph], None]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Passes in order.

    Attributes:
        stop_after: name of the last pass to run.
        progress: told before each pass.
        observers: shown the graph after each pass.
    """

    passes: Sequence[Pass]
    stop_after: str | None = None
    progress: Progress | None = None
    observers: Sequence[Observer] = ()

    def __post_init__(self) -> None:
        names = [entry.name for entry in self.passes]
        if self.stop_after is not None and self.stop_after not in names:
            raise UsageError(f"there is no pass {self.stop_after!r}", fix=f"the passes are {', '.join(names)}")

    def run(self, graph: Graph) -> None:
        """Run the passes and verify the graph after each.

        Raises:
            XbarcError: as the passes raise it.
            InternalError: where a pass breaks its contract; the note holds the graph as text.
        """
        verify(graph)
        for number, entry in enumerate(self.passes, start=1):
            if self.progress is not None:
                self.progress(entry.name, number, len(self.passes))
            if graph.stage != entry.requires:
                raise InternalError(f"pass {entry.name!r} requires stage {entry.requires.name}, not {graph.stage.name}")
            entry.run(graph)
            for scope in scopes(graph):
                scope.stage = entry.ensures
            try:
                verify(graph)
            except InternalError as error:
                error.add_note(f"after pass {number}, {describe(entry)}")
                raise
            for observer in self.observers:
                observer(entry, number, graph)
            if entry.name == self.stop_after:
                return


@dataclass(frozen=True, slots=True)
class Dump:
    """An observer that writes the text of the graph after each pass to ``NN-name.txt`` in a folder, which it makes."""

    folder: Path

    def __call__(self, entry: Pass, number: int, graph: Graph) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{number:02d}-{entry.name}.txt"
        path.write_text(f"// {describe(entry)}\n{print_graph(graph)}\n", encoding="utf-8")


def describe(entry: Pass) -> str:
    """A pass with the options that differ from its defaults."""
    options = []
    for field in dataclasses.fields(entry):  # type: ignore[arg-type]
        value = getattr(entry, field.name)
        if field.repr and value != field.default:
            options.append(f"{field.name}={value!r}")
    return f"{entry.name}({', '.join(options)})"
