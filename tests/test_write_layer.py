"""Write-and-verify of layers: every cell at its own place, whatever block it lies in."""

from __future__ import annotations

import numpy as np
import pytest
from chips import G_MAX, product

from xbarc.devices.switching.presets import SWITCHING
from xbarc.ir.layer import layers
from xbarc.report.writing import write_report
from xbarc.runtime.cells import Conductances
from xbarc.runtime.write_layer import write_layer_verified
from xbarc.runtime.write_verify import Procedure, Site, write_cells_verified

SPAN = Conductances(0.0, G_MAX, G_MAX / 255)
MODEL = SWITCHING["ecram-li"]
#: The margin is for cells of target 0, of which half could not go down so far.
PLAN = Procedure(band=0.01, max_cycles=10, margin=0.1)
WEIGHT = np.random.default_rng(5).normal(size=(100, 70))


@pytest.mark.parametrize("threads", [1, 4])
def test_blocks_of_a_layer_are_written_as_its_whole_matrix_is(threads: int) -> None:
    """A matrix of 100 x 70 in blocks of 64 x 32, against one write of each polarity."""
    (layer,) = layers(product(WEIGHT, ("tile.rows=64", "tile.columns=32")).graph)
    programmed, written = write_layer_verified(layer, MODEL, PLAN, seed=9, span=SPAN, threads=threads)
    whole = [np.zeros((100, 70)), np.zeros((100, 70))]
    targets = [np.zeros((100, 70)), np.zeros((100, 70))]
    for polarity in (0, 1):
        for block, rows in ((0, slice(0, 64)), (1, slice(64, 100))):
            count = rows.stop - rows.start
            whole[polarity][rows] = programmed[0, polarity, block, :count]
            levels = layer.read.levels[0, polarity, block, :count]
            targets[polarity][rows] = np.float32(SPAN.g_min) + levels.astype(np.float32) * np.float32(SPAN.step)
            assert (programmed[0, polarity, block, count:] == SPAN.g_min).all()
        site = Site(seed=9, matrix=layer.read.matrix, plane=polarity)
        alone = write_cells_verified(targets[polarity], MODEL, PLAN, g_min=0.0, g_max=G_MAX, site=site)
        np.testing.assert_array_equal(whole[polarity], alone.conductance.astype(np.float32))
    assert written.target.shape == (2 * 100 * 70,)
    assert np.sort(written.target).tolist() == np.sort(np.concatenate(targets), axis=None).tolist()
    assert write_report(written).accepted > 0.95


def test_reads_deviate_cell_by_cell() -> None:
    """One column of cells that cannot be read ends where luck has it; the others do not notice."""
    (layer,) = layers(product(WEIGHT[:20, :8]).graph)
    sigma = np.zeros(layer.read.levels.shape)
    sigma[..., 3] = G_MAX
    clear, _ = write_layer_verified(layer, MODEL, PLAN, seed=9, span=SPAN)
    found, _ = write_layer_verified(layer, MODEL, PLAN, seed=9, span=SPAN, read_sigma=sigma)
    others = np.arange(8) != 3
    np.testing.assert_array_equal(found[..., others], clear[..., others])
    assert np.abs(found - clear)[..., :20, 3].mean() > 0.05 * G_MAX
