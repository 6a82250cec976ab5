"""Windows: which values of a layer's input make up each input vector.

A layer's input is seen as ``(images, channels, *spatial)``. A convolution takes one window per output pixel; a plain
product is the case without spatial axes, where an image is one window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True, slots=True)
class Windows:
    """The geometry of a layer's windows; the empty tuples are a plain product over the last axis.

    Attributes:
        kernel, strides, dilations: one number per spatial axis.
        pads: explicit padding ``(begin..., end...)``; all zero unless ``auto_pad`` is ``NOTSET``.
        auto_pad: ``NOTSET``, ``VALID``, ``SAME_UPPER`` or ``SAME_LOWER``, as ONNX's ``Conv`` defines them.
    """

    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    auto_pad: str = "NOTSET"

    @property
    def rank(self) -> int:
        """Number of spatial axes; 0 for a plain product."""
        return len(self.kernel)

    @property
    def kernel_size(self) -> int:
        """Positions of the kernel: rows of the layer's matrix per input channel."""
        return math.prod(self.kernel)

    def padding(self, spatial: Sequence[int]) -> list[tuple[int, int]]:
        """Padding before and after each spatial axis of the given sizes."""
        if self.auto_pad not in ("SAME_UPPER", "SAME_LOWER"):
            return list(zip(self.pads[: self.rank], self.pads[self.rank :], strict=True))
        padding = []
        for size, kernel, stride, dilation in zip(spatial, self.kernel, self.strides, self.dilations, strict=True):
            total = max((math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
            small, large = total // 2, total - total // 2
            padding.append((small, large) if self.auto_pad == "SAME_UPPER" else (large, small))
        return padding

    def output_sizes(self, spatial: Sequence[int]) -> list[int]:
        """Sizes of the output's spatial axes (0 where the kernel does not fit)."""
        return [
            max((size + begin + end - (kernel - 1) * dilation - 1) // stride + 1, 0)
            for size, (begin, end), kernel, stride, dilation in zip(
                spatial, self.padding(spatial), self.kernel, self.strides, self.dilations, strict=True
            )
        ]

    def count(self, spatial: Sequence[int]) -> int:
        """Windows of one image."""
        return math.prod(self.output_sizes(spatial))

    def offsets(self, channels: int, spatial: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Where windows lie in one padded image, flattened from ``(channels, *padded spatial)``.

        Returns:
            ``(window_offset, row_offset)``, int64: element ``row`` of window ``w`` is at ``window_offset[w] +
                row_offset[row]``.
            Rows run over channels, then kernel positions: the order of a flattened ``Conv`` kernel. Not to be written:
            later calls return the same arrays.
        """
        return _offsets(self, channels, tuple(spatial))


@lru_cache(maxsize=64)  # of the layers of a network, batch after batch
def _offsets(windows: Windows, channels: int, spatial: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    padded = [size + begin + end for size, (begin, end) in zip(spatial, windows.padding(spatial), strict=True)]
    axis_step = [math.prod(padded[axis + 1 :]) for axis in range(windows.rank)]
    window = np.zeros(1, dtype=np.int64)
    position = np.zeros(1, dtype=np.int64)
    for axis, size in enumerate(windows.output_sizes(spatial)):
        steps = np.arange(size, dtype=np.int64) * (windows.strides[axis] * axis_step[axis])
        window = (window[:, None] + steps).reshape(-1)
        taps = np.arange(windows.kernel[axis], dtype=np.int64) * (windows.dilations[axis] * axis_step[axis])
        position = (position[:, None] + taps).reshape(-1)
    channel = np.arange(channels, dtype=np.int64) * math.prod(padded)
    return window, (channel[:, None] + position).reshape(-1)
