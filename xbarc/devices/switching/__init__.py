"""Switching models: how the conductance of a cell moves at a programming pulse."""
