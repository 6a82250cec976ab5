"""Operators that hold static matrices, one file a family: how each becomes products and host operators around them."""
