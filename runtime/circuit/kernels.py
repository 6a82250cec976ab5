"""What the solvers compile. All kernels stand in one file: a cached kernel does not notice that a callee has changed.

All release the interpreter lock, so that tiles and vectors can run on several threads; none uses threads itself.
"""

from __future__ import annotations

import numpy as np

from xbarc.compiled import compiled as _compile


@_compile
def join_pairs(  # type: ignore[no-untyped-def]
    near, far, inner_near, outer_near, inner_far, outer_far, place_near, place_far, joined
):
    """Join pairs of pieces; see :mod:`xbarc.runtime.circuit.pieces`.

    Between them, potentials ``u = a + Z f`` come from the near piece and currents ``f = b + Y u`` from the far one. So
    ``u = (1 - Z Y)^-1 (a + Z b)``; ``Y`` is positive, ``Z`` negative semidefinite, and all eigenvalues of ``1 - Z Y``
    are 1 or more.

    Args:
        near, far: responses, ``(down, across, ports, ports)``.
        inner_near, outer_near: which ports of the near piece lie between the two, and which others there are.
        inner_far, outer_far: of the far piece.
        place_near, place_far: where the outer ports stand in the joined piece.
        joined: responses, set.
    """
    inner, near_ports, far_ports = inner_near.shape[0], outer_near.shape[0], outer_far.shape[0]
    from_near, from_far = np.empty((inner, near_ports)), np.empty((inner, far_ports))
    impedance, admittance, system = np.empty((inner, inner)), np.empty((inner, inner)), np.empty((inner, inner))
    driving = np.empty((inner, near_ports + far_ports))
    for down in range(near.shape[0]):
        for across in range(near.shape[1]):
            one, other, target = near[down, across], far[down, across], joined[down, across]
            for k in range(inner):
                response = one[inner_near[k]]
                for port in range(near_ports):
                    from_near[k, port] = response[outer_near[port]]
                for port in range(inner):
                    impedance[k, port] = response[inner_near[port]]
                response = other[inner_far[k]]
                for port in range(far_ports):
                    from_far[k, port] = response[outer_far[port]]
                for port in range(inner):
                    admittance[k, port] = response[inner_far[port]]
            np.dot(impedance, admittance, system)
            for k in range(inner):
                for port in range(inner):
                    system[k, port] = -system[k, port]
                system[k, k] += 1.0
            driving[:, :near_ports] = from_near
            driving[:, near_ports:] = np.dot(impedance, from_far)
            potentials = np.linalg.solve(system, driving)
            by_near = np.ascontiguousarray(potentials[:, :near_ports])
            by_far = np.ascontiguousarray(potentials[:, near_ports:])
            within_near = np.dot(from_near.T, np.dot(admittance, by_near))
            between = np.dot(from_far.T, by_near)
            within_far = np.dot(from_far.T, by_far)
            for k in range(near_ports):
                row, response, added = target[place_near[k]], one[outer_near[k]], within_near[k]
                for port in range(near_ports):
                    row[place_near[port]] = response[outer_near[port]] + added[port]
            for k in range(far_ports):
                row, response, added, crossing = target[place_far[k]], other[outer_far[k]], within_far[k], between[k]
                for port in range(far_ports):
                    row[place_far[port]] = response[outer_far[port]] + added[port]
                for port in range(near_ports):
                    row[place_near[port]] = crossing[port]
                    target[place_near[port], place_far[k]] = crossing[port]


@_compile
def solve_by_conjugate_gradients(  # type: ignore[no-untyped-def]
    roots, inputs, sites, row_ohm, column_ohm, source_ohm, sense_ohm, goal, most, currents
):
    """Conjugate gradients on ``(1 + B) y = roots * inputs``; see :mod:`xbarc.runtime.circuit.fast`.

    Args:
        roots: ``(rows, planes * sites)``, of the cells' conductances.
        inputs: ``(rows,)``.
        sites: of a row; a plane's cells lie side by side.
        row_ohm, column_ohm, source_ohm, sense_ohm: in the reciprocal of the conductances' unit.
        goal: for the bound of the error's energy.
        most: iterations.
        currents: ``(planes * sites,)``; set to those at the ends of the columns.

    Returns:
        A bound of the energy ``e . (1 + B) e`` of the error ``e`` that is left, and the number of iterations.
    """
    rows, lines = roots.shape
    residual, product = np.empty((rows, lines)), np.empty((rows, lines))
    direction = np.zeros((rows, lines))
    collected, drops, squares = np.empty(lines), np.empty(lines), np.empty(lines)
    drop = np.empty(sites)
    currents[:] = 0.0
    squares[:] = 0.0
    for row in range(rows):
        source, root = residual[row], roots[row]
        for line in range(lines):
            source[line] = root[line] * inputs[row]
            squares[line] += source[line] * source[line]
    remains, momentum, share, iterations = squares.sum(), 0.0, 1.0, 0
    while share * remains > goal and iterations < most:
        iterations += 1
        # The next direction; the currents that its cells send down the columns, row after row.
        collected[:] = 0.0
        for row in range(rows):
            source, root, ahead, target = residual[row], roots[row], direction[row], product[row]
            for line in range(lines):
                ahead[line] = source[line] + momentum * ahead[line]
                collected[line] += root[line] * ahead[line]
                target[line] = collected[line]
        # The voltage that they and the currents along the rows drop on the wires, back from the columns' ends.
        squares[:] = 0.0
        for line in range(lines):
            drops[line] = sense_ohm * collected[line]
        for step in range(rows):
            row = rows - 1 - step
            root, ahead, target = roots[row], direction[row], product[row]
            drop[:] = 0.0
            for first in range(0, lines, sites):
                for site in range(sites):
                    drop[site] += root[first + site] * ahead[first + site]
            current = 0.0
            for back in range(sites):
                site = sites - 1 - back
                current += drop[site]
                drop[site] = current
            lost = source_ohm * current
            for site in range(sites):
                lost += row_ohm * drop[site]
                drop[site] = lost
            for first in range(0, lines, sites):
                for site in range(sites):
                    line = first + site
                    drops[line] += column_ohm * target[line]
                    target[line] = ahead[line] + root[line] * (drops[line] + drop[site])
                    squares[line] += ahead[line] * target[line]
        # The step that leaves the least error along the direction.
        length = remains / squares.sum()
        squares[:] = 0.0
        for line in range(lines):
            currents[line] += length * collected[line]
        for row in range(rows):
            source, target = residual[row], product[row]
            for line in range(lines):
                source[line] -= length * target[line]
                squares[line] += source[line] * source[line]
        before, remains = remains, squares.sum()
        momentum = remains / before
        # Of the residual's square, what the error's energy can be; 1 is always right, also where rounding hides less.
        excess = share - length
        share = excess / (excess + momentum) if excess > 0.0 else 1.0
    return share * remains, iterations
