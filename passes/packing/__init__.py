"""Packing: pieces of several matrices share tiles. Rectangles only: no graph, no hardware description.

``pieces`` holds the words, ``reads`` what one read of a tile needs, ``bounds`` how few tiles can do, ``free_space``
what is left of tiles; ``parallel`` and ``dense`` are the two packers.
"""
