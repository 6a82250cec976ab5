"""Run one layer: its windows, on several threads, through every block."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np

from xbarc.errors import DataError
from xbarc.ir.executor import CurrentVisitor, ReadIndex
from xbarc.runtime.code_panels import CodePanels
from xbarc.runtime.convolution_panels import ConvolutionPanels
from xbarc.runtime.float_panels import FloatPanels
from xbarc.runtime.layer_plan import LayerPlan
from xbarc.runtime.read_noise import LayerReads
from xbarc.runtime.stopwatch import UNWATCHED, Watch


@dataclass(frozen=True, slots=True)
class Place:
    """Where a batch stands in the stream of random numbers.

    Attributes:
        first_sample: number of the batch's first sample in its data set.
        repeat: another number gives other noise for the same inputs.
        steps: in loops, outermost first: which repetition this is.
    """

    first_sample: int = 0
    repeat: int = 0
    steps: tuple[int, ...] = ()


def run_layer(
    plan: LayerPlan,
    x: np.ndarray,
    pool: ThreadPoolExecutor,
    threads: int,
    *,
    visit: CurrentVisitor | None = None,
    place: Place = Place(),
    watch: Watch = UNWATCHED,
) -> np.ndarray:
    """The layer's output for an input ``(images, channels, *spatial)``, or ``(..., rows)`` for a plain product.

    The result depends on each window alone: not on how many windows there are, nor on the number of threads. Of
    products that are not exact (unlimited resolution) that holds as far as BLAS rounds alike at every place of a panel.

    Raises:
        DataError: an input of the wrong shape, or a result beyond memory.
    """
    _check_shape(plan, x)
    spatial = x.shape[2:] if plan.windows.rank else ()
    images = x.shape[0] if plan.windows.rank else math.prod(x.shape[:-1])
    sizes = plan.windows.output_sizes(spatial)
    windows = math.prod(sizes)
    if windows == 0 and math.prod(spatial):
        raise DataError(
            f"the input has spatial sizes {tuple(spatial)}, too small for a kernel of {plan.windows.kernel}",
            where=f"layer {plan.name!r}",
            fix="feed larger inputs",
        )
    try:
        y = np.empty((images, plan.columns, windows), dtype=np.float32)
    except (MemoryError, ValueError):  # the latter where the size is beyond what numpy can count
        raise DataError(
            f"the result would have shape {(images, plan.columns, *sizes)}, for which there is no memory",
            where=f"layer {plan.name!r}",
            fix="feed smaller inputs, or fewer at a time",
        ) from None
    if y.size:
        lock = Lock()

        def visit_alone(read: ReadIndex, currents: np.ndarray) -> None:
            if visit is not None:
                with lock:
                    visit(read, currents)

        reads = None
        if plan.noise is not None:
            reads = LayerReads(
                plan,
                plan.noise,
                shape=x.shape,
                windows=windows,
                first_sample=place.first_sample,
                again=(place.repeat, *place.steps),
            )
            watch.lap("noise")
        watch.lap("other")
        work = _panels(
            plan, x.reshape(images, plan.channels, *spatial), y, visit_alone if visit else None, reads, threads
        )
        watch.lap("dac")
        total = images * windows
        share = math.ceil(total / threads / work.together) * work.together
        parts = [range(start, min(start + share, total)) for start in range(0, total, share)]
        if len(parts) == 1:
            work.run(parts[0], watch)
        else:
            watches = watch.split(len(parts))
            for done in [pool.submit(work.run, part, own) for part, own in zip(parts, watches, strict=True)]:
                done.result()
            watch.join(watches)
    if plan.windows.rank == 0:
        return y.reshape(*x.shape[:-1], plan.columns)
    return y.reshape(images, plan.columns, *sizes)


def _panels(
    plan: LayerPlan,
    x: np.ndarray,
    y: np.ndarray,
    visit: CurrentVisitor | None,
    reads: LayerReads | None,
    threads: int,
) -> FloatPanels | CodePanels | ConvolutionPanels:
    """What computes the layer fastest: the outputs are the same."""
    if plan.zero is None:
        return FloatPanels(plan, x, y, visit, reads)
    # whole images are a part, so that each thread needs one; what is no number would spread further than its windows
    if plan.convolution and visit is None and len(x) >= threads and not np.isnan(x.max(initial=0.0)):
        return ConvolutionPanels(plan, x, y)
    return CodePanels(plan, x, y, visit, reads)


def _check_shape(plan: LayerPlan, x: np.ndarray) -> None:
    if plan.windows.rank == 0:
        fits, expected = x.ndim >= 1 and x.shape[-1] == plan.channels, f"(..., {plan.channels})"
    else:
        fits = x.ndim == plan.windows.rank + 2 and x.shape[1] == plan.channels
        expected = f"(images, {plan.channels}, {', '.join(['size'] * plan.windows.rank)})"
    if not fits:
        raise DataError(
            f"the input has shape {x.shape}, expected {expected}",
            where=f"layer {plan.name!r}",
            fix="feed data of the shape that the model declares",
        )
