"""Published trends of analog in-memory computing, measured anew: docs/trends.md says what was published, and by whom.

Five trends, each over several networks: accuracy over bits of the ADC, over errors of cells, over time, over noise at
different places, over the resistance of wires. Prints a table and a verdict of each; ``--output FOLDER`` writes
``trends.json`` and a figure of each. Networks beside the checkout (../shared) are left out where they are not there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from trend_charts import trend_svg
from trend_networks import Network, beside, bundled, wide_digits
from trend_points import Point, Trend
from trend_sweeps import OFFSET_ROWS, Sizes, adc_bits, cell_errors, drift, noise_places, wires

from xbarc.api.files import atomic_path

TRENDS: Mapping[str, Callable[[Sequence[Network], Sizes], Trend]] = {
    "adc-bits": adc_bits,
    "cell-errors": cell_errors,
    "drift": drift,
    "noise-places": noise_places,
    "wires": wires,
}
QUICK = Sizes(
    chips=3,
    images=200,
    bits=(4, 6, 8, 10),
    rows=(OFFSET_ROWS, 1152),
    errors=(0.02, 0.1, 0.5),
    times=("1s", "1d", "1y"),
    noises=(0.01, 0.05, 0.2),
    wires=(1e-5, 1e-4, 1e-3),
)


def chosen(quick: bool) -> list[Network]:
    """The networks with as many images as there is time for."""
    digits = [bundled("digits_mlp", "digits MLP"), bundled("digits_cnn", "digits CNN")]
    if quick:
        return [network.first(QUICK.images) for network in digits]
    return [
        *digits,
        bundled("digits_dscnn", "digits depthwise CNN"),
        wide_digits(),
        *(network.first(500) for network in beside("mnist_mlp", "mnist", "MNIST MLP")),
        *(network.first(500) for network in beside("resnet8_cifar10", "cifar10", "CIFAR-10 ResNet-8")),
    ]


def table(trend: Trend) -> Iterator[str]:
    """A trend as a table, in per cent."""
    yield f"| network | | {' | '.join(trend.ticks)} |"
    yield f"|---|---|{'---:|' * len(trend.ticks)}"
    for curve in trend.curves:
        yield f"| {curve.network} | {curve.series} | {' | '.join(map(_cell, curve.points))} |"


def _cell(point: Point) -> str:
    spread = "" if point.deviation is None else f" ± {100 * point.deviation:.1f}"
    return f"{100 * point.mean:.1f}{spread}"


def write(found: Sequence[Trend], folder: Path) -> None:
    """``trends.json``, and a figure of each."""
    texts = {f"{trend.key}.svg": trend_svg(trend) for trend in found}
    texts["trends.json"] = json.dumps({"schema": 1, "trends": [asdict(trend) for trend in found]}, indent=2) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with atomic_path(folder / name) as aside:
            aside.write_text(text, encoding="utf-8")


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two bundled networks, few places, three chips")
    parser.add_argument("--only", choices=TRENDS, nargs="+", default=list(TRENDS), help="some of the trends")
    parser.add_argument("--output", type=Path, help="a folder for trends.json and the figures")
    options = parser.parse_args()
    networks, sizes = chosen(options.quick), QUICK if options.quick else Sizes()
    found = []
    for key in options.only:
        start = time.perf_counter()
        found.append(TRENDS[key](networks, sizes))
        print(f"## {found[-1].title}\n", *table(found[-1]), sep="\n")
        print(f"\n{time.perf_counter() - start:.0f} s\n", flush=True)
        if options.output is not None:
            write(found, options.output)
    for trend in found:
        print(f"{trend.key}: {'reproduced' if trend.reproduced else 'not reproduced in full'}: {trend.verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
