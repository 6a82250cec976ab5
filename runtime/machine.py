"""The machine: runs a program on a number of threads."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import threadpoolctl

from xbarc.ir.executor import CurrentVisitor
from xbarc.runtime.layer_run import Place
from xbarc.runtime.steps import Array, Context, Routine, ValueVisitor
from xbarc.runtime.stopwatch import Watches, unwatched


class Machine:
    """Executes a routine.

    Args:
        routine: with everything that it reads among its inputs.
        threads: for layers; host regions bring their own number.
    """

    def __init__(self, routine: Routine, *, threads: int = 1) -> None:
        self._routine = routine
        self._threads = threads
        self._libraries = threadpoolctl.ThreadpoolController()

    def run(
        self,
        feeds: Mapping[str, Array],
        *,
        currents: Mapping[str, CurrentVisitor] | None = None,
        values: Mapping[str, ValueVisitor] | None = None,
        place: Place = Place(),  # noqa: B008 - immutable
        watches: Watches = unwatched,
    ) -> dict[str, Array]:
        """Outputs for one batch of inputs.

        Args:
            feeds: inputs by name.
            currents: who sees the currents of layers, by the layer's name.
            values: who sees values that steps make, by the value's name.
            place: of the batch in the stream of random numbers.
            watches: who is told where the time goes.
        """
        # One BLAS thread a panel: the panels themselves run in parallel, and a product's rounding must not depend on
        # threads.
        with self._libraries.limit(limits=1, user_api="blas"), ThreadPoolExecutor(self._threads) as pool:
            context = Context(pool, self._threads, place, currents or {}, values or {}, watches)
            return self._routine.run(feeds, context)
