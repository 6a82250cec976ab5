"""The circuit of a tile: what the resistance of its wires does to its currents (IR drop). Arrays and numbers only.

``wiring`` describes the circuit, which all others solve: ``exact`` by one sparse system, ``effective`` for all inputs
at once, ``fast`` for few inputs, to a tolerance. ``netlist`` writes it down for SPICE.
"""
