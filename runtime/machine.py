"""The machine: runs the steps of a program, host regions by onnxruntime and layers on simulated tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import threadpoolctl

from xbarc.runtime.host import HostModel
from xbarc.runtime.layer_plan import LayerPlan
from xbarc.runtime.layer_run import CurrentVisitor, Place, run_layer


@dataclass(frozen=True, slots=True)
class HostStep:
    """A host region with the names of what it reads and makes."""

    model: HostModel
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LayerStep:
    """A layer with the names of its input and output."""

    plan: LayerPlan
    input: str
    output: str


Step = HostStep | LayerStep


class Machine:
    """Executes steps in order.

    Args:
        steps: each reads inputs or results of earlier ones.
        outputs: names of the results to return.
        constants: values that layers or the caller read and no step makes.
        threads: for layers; host regions bring their own number.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        outputs: Sequence[str],
        *,
        constants: Mapping[str, np.ndarray] | None = None,
        threads: int = 1,
    ) -> None:
        self._steps = list(steps)
        self._constants = dict(constants or {})
        self._outputs = list(outputs)
        self._threads = threads
        self._libraries = threadpoolctl.ThreadpoolController()
        last: dict[str, int] = {}
        for index, step in enumerate(self._steps):
            for name in _reads(step):
                last[name] = index
        self._drop: list[list[str]] = [[] for _ in self._steps]
        for name, index in last.items():
            if name not in self._outputs:
                self._drop[index].append(name)

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        visitors: Mapping[str, CurrentVisitor] | None = None,
        place: Place = Place(),  # noqa: B008 - immutable
    ) -> dict[str, np.ndarray]:
        """Outputs for one batch of inputs.

        Args:
            feeds: inputs by name.
            visitors: see the currents of layers, by the layer's name.
            place: of the batch in the stream of random numbers.
        """
        values: dict[str, np.ndarray] = {**self._constants, **feeds}
        watching = visitors or {}
        # One BLAS thread a panel: the panels themselves run in parallel, and a product's rounding must not depend on
        # threads.
        with self._libraries.limit(limits=1, user_api="blas"), ThreadPoolExecutor(self._threads) as pool:
            for step, done in zip(self._steps, self._drop, strict=True):
                if isinstance(step, HostStep):
                    results = step.model.run({name: values[name] for name in step.inputs}, step.outputs)
                    values.update(zip(step.outputs, results, strict=True))
                else:
                    visit = watching.get(step.plan.name)
                    values[step.output] = run_layer(
                        step.plan, values[step.input], pool, self._threads, visit=visit, place=place
                    )
                for name in done:
                    del values[name]
        return {name: values[name] for name in self._outputs}


def _reads(step: Step) -> tuple[str, ...]:
    return step.inputs if isinstance(step, HostStep) else (step.input,)
