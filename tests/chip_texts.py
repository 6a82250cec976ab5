"""A small hardware description, for tests that change one thing in it."""

from __future__ import annotations

# Tests count its lines from the first one on.
CHIP = """\
name = "chip"

[cell]
g_min = "1 uS"
g_max = "25 uS"

[tile]  # a comment
rows = 128
columns = 64

[dac]
bits = 8

[adc]
bits = 8
"""
