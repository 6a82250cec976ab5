"""Packing: blocks of several layers share tiles. Rectangles only: no graph, no hardware description.

``matrices`` holds the words, ``bounds`` how few tiles can do; ``pack`` is the entry to the two packers, ``parallel``
and ``dense``. ``strips`` are what both place, and ``free_space`` is what the first leaves of tiles.
"""
