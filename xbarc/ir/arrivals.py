"""When the parts of a value are there: how digital operators pass times on.

Arrivals are an array of the value's rank, in which an axis has size 1 where all its places come at the same time; a
single number stands for a value all of which comes at once. An operator that is not known here waits for all of its
inputs, which is never too early.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from xbarc.ir import foreign
from xbarc.ir.graph import Value
from xbarc.ir.operators import HostOp
from xbarc.ir.samples import ELEMENTWISE
from xbarc.ir.windows import Windows

_POOLS = frozenset({"AveragePool", "LpPool", "MaxPool"})
_GLOBAL_POOLS = frozenset({"GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"})
_RESHAPES = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})


def at_once(arrivals: Sequence[np.ndarray]) -> np.ndarray:
    """All of a value, when the last of what it is made of has come."""
    return np.array(max((float(each.max()) for each in arrivals), default=0.0))


def passed_on(operator: HostOp, arrivals: Sequence[np.ndarray]) -> np.ndarray:
    """When the results of a digital operator that takes no time are there, from the arrivals of its operands."""
    kind, first = operator.kind, arrivals[0] if arrivals else np.array(0.0)
    if kind in ELEMENTWISE or kind in foreign.ELEMENTWISE:
        return _both(arrivals)
    if kind == "Concat" and (joined := _joined(operator, arrivals)) is not None:
        return joined
    if first.ndim == 0:
        return at_once(arrivals)
    rest = at_once(arrivals[1:])
    if kind == "BatchNormalization":
        return _both([first, rest])
    if kind == "LRN":
        return _along(first, 1)
    if kind in _POOLS and (pooled := _pooled(operator, first)) is not None:
        return pooled
    if kind in _GLOBAL_POOLS:
        return _along(first, *range(2, first.ndim))
    if kind in ("Softmax", "LogSoftmax"):
        return _along(first, operator.attribute("axis", -1))
    if kind == "LayerNormalization":
        axis = operator.attribute("axis", -1) % first.ndim
        return _both([_along(first, *range(axis, first.ndim)), rest])
    if kind == "Transpose":
        return np.transpose(first, operator.attribute("perm"))
    if kind == "Split" and first.shape[operator.attribute("axis", 0)] == 1:
        return first
    if kind in _RESHAPES and (reshaped := _reshaped(operator, first)) is not None:
        return _both([reshaped, rest])
    return at_once(arrivals)


def windowed(arrivals: np.ndarray, windows: Windows, spatial: Sequence[int]) -> np.ndarray:
    """When the last place of each window is there, ``(*output sizes)``, from the arrivals of every place."""
    padded = np.pad(np.broadcast_to(arrivals, spatial), windows.padding(spatial), constant_values=-math.inf)
    sizes = windows.output_sizes(spatial)
    latest = np.full(sizes, -math.inf)
    for place in itertools.product(*map(range, windows.kernel)):
        begins = [at * dilation for at, dilation in zip(place, windows.dilations, strict=True)]
        latest = np.maximum(
            latest,
            padded[
                tuple(
                    slice(begin, begin + (size - 1) * stride + 1, stride)
                    for begin, size, stride in zip(begins, sizes, windows.strides, strict=True)
                )
            ],
        )
    # A window that lies in the padding waits for nothing of its own.
    return np.where(latest == -math.inf, arrivals.min(), latest)


def _both(arrivals: Sequence[np.ndarray]) -> np.ndarray:
    """Place by place, when the last of several values is there."""
    return np.array(np.max(np.broadcast_arrays(*arrivals), axis=0)) if arrivals else np.array(0.0)


def _along(arrivals: np.ndarray, *axes: int) -> np.ndarray:
    """When all along the axes is there."""
    return np.array(arrivals.max(axis=axes, keepdims=True))


def sizes(value: Value, rank: int) -> list[int] | None:
    """The sizes of all axes but the first ``len(shape) - rank``; ``None`` where they are not known."""
    known = [size for size in (value.shape or ())[-rank:] if isinstance(size, int)] if rank else []
    return known if len(known) == rank else None


def _pooled(operator: HostOp, arrivals: np.ndarray) -> np.ndarray | None:
    kernel = tuple(operator.attribute("kernel_shape"))
    rank = len(kernel)
    before, after = sizes(operator.operand, rank), sizes(operator.results[0], rank)
    if before is None or after is None:
        return None
    windows = Windows(
        kernel=kernel,
        strides=tuple(operator.attribute("strides", [1] * rank)),
        dilations=tuple(operator.attribute("dilations", [1] * rank)),
        pads=tuple(operator.attribute("pads", [0] * 2 * rank)),
        auto_pad=operator.attribute("auto_pad", b"NOTSET").decode(),
    )
    if windows.output_sizes(before) != after:  # sizes rounded up: the last windows reach beyond the padding
        return None
    return windowed(arrivals.max(axis=(0, 1)), windows, before)[None, None]


def _joined(operator: HostOp, arrivals: Sequence[np.ndarray]) -> np.ndarray | None:
    """Side by side along an axis whose places come at the same time: channels, mostly."""
    axis = operator.attribute("axis")
    ranks = {each.ndim for each in arrivals if each.ndim}
    if len(ranks) == 1 and all(each.ndim == 0 or each.shape[axis] == 1 for each in arrivals):
        return _both(arrivals)
    return None


def _reshaped(operator: HostOp, arrivals: np.ndarray) -> np.ndarray | None:
    """The same places where the axes whose places differ stay the first or the last ones."""
    before, after = operator.operand.shape, operator.results[0].shape
    if before is None or after is None:
        return None
    kept = [axis for axis, size in enumerate(arrivals.shape) if size > 1]
    if not kept:
        return np.full((1,) * len(after), arrivals.max())
    front, back = kept[-1] + 1, len(before) - kept[0]
    if before[1:front] == after[1:front] and kept[0] > 0 and front <= len(after):
        return arrivals.reshape(arrivals.shape[:front] + (1,) * (len(after) - front))
    if before[-back:] == after[-back:] and back <= len(after):
        return arrivals.reshape((1,) * (len(after) - back) + arrivals.shape[-back:])
    return None
