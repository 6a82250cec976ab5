"""The images of a layer's input, through onnxruntime's convolution: neither windows nor channels change places."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from xbarc.errors import InternalError
from xbarc.runtime import kernels
from xbarc.runtime.code_product import Buffers
from xbarc.runtime.layer_plan import LayerPlan
from xbarc.runtime.stopwatch import Watch

_CACHED: Final = 2**20  # bytes that images are worked on together in


class ConvolutionPanels:
    """Every sum is exact, whatever its order.

    Args:
        plan: of the layer.
        x: ``(images, channels, *spatial)`` float32, all numbers.
        y: ``(images, columns, windows)`` float32: the output.

    Attributes:
        together: windows of an image; parts that are run begin at a multiple of it.
    """

    def __init__(self, plan: LayerPlan, x: np.ndarray, y: np.ndarray) -> None:
        self._plan, self._y = plan, y
        self._x = np.ascontiguousarray(x, dtype=np.float32)
        self._sizes = plan.windows.output_sizes(x.shape[2:])
        self.together = y.shape[2]

    def run(self, part: range, watch: Watch) -> None:
        """Compute the outputs of some images, and tell the watch where the time goes."""
        plan, spatial = self._plan, self._x.shape[2:]
        first, last = part.start // self.together, part.stop // self.together
        most = max(len(one.channels) for one in plan.convolution)
        size = 4 * (most * math.prod(spatial) + 2 * plan.columns * self.together)  # both in onnxruntime's layout too
        images = max(1, _CACHED // size)
        images = math.ceil((last - first) / math.ceil((last - first) / images))
        buffers = Buffers()
        for begin in range(first, last, images):
            self._run_images(range(begin, min(begin + images, last)), buffers, watch)

    def _run_images(self, images: range, buffers: Buffers, watch: Watch) -> None:
        plan, adc, dac = self._plan, self._plan.adc_codes, self._plan.dac_codes
        if dac is None:
            raise InternalError(f"layer {plan.name!r} has no codes")
        numbers = np.float32(plan.dac_scale), np.float32(dac.low), np.float32(dac.high)
        some, y = slice(images.start, images.stop), self._y[images.start : images.stop]
        currents = buffers.take("currents", (len(images), plan.columns, *self._sizes), np.float32)
        products = [(part, *of) for part in plan.convolution for of in zip(part.products, part.weights, strict=True)]
        for number, (part, product, weight) in enumerate(products):
            shape = len(images), len(part.channels), *self._x.shape[2:]
            codes = buffers.take("codes", shape, np.float32)
            if number == 0 or products[number - 1][0] is not part:
                taken = self._x[some, part.channels.start : part.channels.stop]
                kernels.convert_images(taken.reshape(len(images), -1), codes.reshape(len(images), -1), *numbers)
                watch.lap("dac")
            product.bind(codes, currents)()
            watch.lap("product")
            flat = currents.reshape(y.shape)
            if adc is None:
                kernels.rescale_images(flat, plan.scale, plan.bias, y)
            else:
                converter = np.float32(plan.lsb), np.float32(adc.low), np.float32(adc.high), np.float32(weight)
                last = number == len(products) - 1
                kernels.convert_and_rescale_images(flat, *converter, number == 0, last, plan.scale, plan.bias, y)
            watch.lap("adc")
