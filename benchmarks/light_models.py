"""The networks of the onnx package's light models, compiled: a table of layers, tiles, analog arithmetic and time.

They are ImageNet networks in full size whose weights are one repeated number, so that their files are small. Each is
compiled without a calibration sample for tiles of 128 x 128 and of 256 x 256 weights, on a chip with as many as it
needs (all else as the default hardware has it), and run on the preset ``exact``, which must give the outputs that come
with the model. ``--only WORD`` takes the models whose name holds the word.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
from onnx import numpy_helper

import xbarc

FOLDER = Path(onnx.backend.test.__file__).parent / "data" / "light"


def row(path: Path) -> str:
    """One model's line of the table."""
    model = onnx.load(path)
    started = time.perf_counter()
    large = xbarc.compile(path, overrides=["chip.tiles=unlimited"]).report()
    seconds = time.perf_counter() - started
    small = xbarc.compile(path, overrides=["chip.tiles=unlimited", "tile.rows=128", "tile.columns=128"]).report()
    share = "unknown" if large.analog_share is None else f"{100 * large.analog_share:.2f} %"
    cells = [
        path.stem.removeprefix("light_"),
        f"{len(large.layers)}",
        f"{large.analog_macs or 0:,}",
        share,
        f"{small.logical_tiles:,}",
        f"{large.logical_tiles:,}",
        f"{seconds:.1f}",
        f"{difference(path, model):.0e}",
    ]
    return "| " + " | ".join(cells) + " |"


def difference(path: Path, model: onnx.ModelProto) -> float:
    """The largest difference from the expected output on exact hardware, over that output's range."""
    expected = numpy_helper.to_array(onnx.load_tensor(path.with_name(f"{path.stem}_output_0.pb")))
    constants = {tensor.name for tensor in model.graph.initializer}
    (fed,) = [entry for entry in model.graph.input if entry.name not in constants]
    shape = tuple(size.dim_value for size in fed.type.tensor_type.shape.dim)
    # As the package's own test of these models makes them.
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / np.prod(shape, dtype=np.float32)
    outputs = xbarc.compile(path, hardware="exact").write().run({fed.name: image})
    actual = next(iter(outputs.values()))
    return float(np.abs(actual - expected).max() / (np.ptp(expected) or np.abs(expected).max() or 1.0))


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="WORD")
    only = parser.parse_args().only
    print("| network | layers | MACs on tiles | analog | tiles of 128 | tiles of 256 | compile, s | difference |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for path in sorted(FOLDER.glob("light_*.onnx")):
        if only in path.stem:
            print(row(path), flush=True)


if __name__ == "__main__":
    main()
