"""From accumulated sums to outputs, compiled: lines of columns become lines of windows on the way.

As in :mod:`xbarc.runtime.kernels`, nothing here reorders or fuses floating-point operations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from xbarc.compiled import compiled as _compile

_SIDE = 8  # windows and columns that are turned in registers
_TURNED = (
    64  # windows of an output that are turned together: few enough for their sums to stay in the first-level cache
)


def _type_square(
    _: Any, sums: Any, at: Any, width: Any, scale: Any, bias: Any, column: Any, y: Any, to: Any, windows: Any
) -> Any:
    """Of 8 windows by 8 columns, whose lines are turned in registers: no compiler finds that by itself."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        count = ir.IntType(64)
        vector = ir.VectorType(ir.FloatType(), _SIDE)

        def start(array: int, place: Any) -> Any:
            return builder.gep(context.make_array(signature.args[array])(context, builder, given[array]).data, [place])

        def load(pointer: Any, kind: Any) -> Any:
            found = builder.load(builder.bitcast(pointer, ir.VectorType(kind, _SIDE).as_pointer()), align=4)
            return found if kind == ir.FloatType() else builder.fptrunc(found, vector)

        kind = ir.DoubleType() if signature.args[0].dtype == types.float64 else ir.FloatType()
        factor, offset = load(start(3, given[5]), ir.FloatType()), load(start(4, given[5]), ir.FloatType())
        lines = []
        for window in range(_SIDE):
            sums_of = load(start(0, builder.add(given[1], builder.mul(count(window), given[2]))), kind)
            lines.append(builder.fadd(builder.fmul(sums_of, factor), offset))
        for apart in (1, 2, 4):  # squares of that size change places beside the diagonal
            for one in (line for line in range(_SIDE) if not line & apart):
                pair = lines[one], lines[one | apart]
                kept = [(place ^ apart) + _SIDE if place & apart else place for place in range(_SIDE)]
                moved = [place + _SIDE if place & apart else place ^ apart for place in range(_SIDE)]
                for line, places in ((one, kept), (one | apart, moved)):
                    mask = ir.Constant(ir.VectorType(ir.IntType(32), _SIDE), places)
                    lines[line] = builder.shuffle_vector(*pair, mask)
        for column_, line in enumerate(lines):
            target = start(6, builder.add(given[7], builder.mul(count(column_), given[8])))
            builder.store(line, builder.bitcast(target, vector.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(sums, types.intp, types.intp, scale, bias, types.intp, y, types.intp, types.intp), generate


_rescale_square: Any = intrinsic(_type_square)


@_compile
def rescale(sums, first, count, windows, column_start, columns, scale, bias, y):  # type: ignore[no-untyped-def]
    """``y = float32(sum) * scale + bias``, written to the place of the window in the output.

    Args:
        sums: ``(windows a panel, at least columns)``.
        windows: windows of one image.
        column_start, columns: which columns of the layer these are.
        y: ``(images, columns of the layer, windows)`` float32.
    """
    width, flat_sums, flat_y = sums.shape[1], sums.reshape(-1), y.reshape(-1)
    factors, offsets = scale[column_start : column_start + columns], bias[column_start : column_start + columns]
    if windows == 1:
        for place in range(count):
            begin = (first + place) * y.shape[1] + column_start
            source, target = sums[place], flat_y[begin : begin + columns]
            for column in range(columns):
                target[column] = np.float32(source[column]) * factors[column] + offsets[column]
        return
    wide = columns // _SIDE * _SIDE
    place = 0
    while place < count:  # windows of one image lie side by side in the output
        image, window = divmod(first + place, windows)
        together = min(count - place, windows - window, _TURNED)
        whole = together // _SIDE * _SIDE
        for column in range(0, wide, _SIDE):
            to = (image * y.shape[1] + column_start + column) * windows + window
            for step in range(0, whole, _SIDE):
                at = (place + step) * width + column
                _rescale_square(flat_sums, at, width, factors, offsets, column, flat_y, to + step, windows)
        for column in range(columns):
            begin = whole if column < wide else 0
            target = y[image, column_start + column, window + begin : window + together]
            factor, offset = factors[column], offsets[column]
            for step in range(target.shape[0]):
                target[step] = np.float32(sums[place + begin + step, column]) * factor + offset
        place += together
