"""How far the compiler has come with a graph."""

from __future__ import annotations

from enum import IntEnum


class Stage(IntEnum):
    """The stages of a compilation, in order. What may stand in a graph at each is a table in ``xbarc.ir.verify``."""

    #: As read: host operators only.
    HOST = 0
    #: Every host operator says whether it is to go on tiles, and why.
    CHOSEN = 1
    #: Products with a static matrix are ``MatVec`` operators.
    LOWERED = 2
    #: Every ``MatVec`` knows the range of its input.
    CALIBRATED = 3
    #: Every ``MatVec`` has its weights as integer levels of cells.
    ENCODED = 4
    #: Every ``MatVec`` is cut into blocks that fit a tile.
    SPLIT = 5
    #: Tile level: ``Dac``, ``TileRead``, ``Adc``, ``Accumulate``, ``Rescale``. Converters have their bits, not their
    #: range.
    TILES = 6
    #: Every ``Adc`` has its range.
    RANGED = 7
    #: Every block has its physical tile: a program.
    PLACED = 8
