"""Feret diameters of the objects of a volume."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numba import njit

from segmetry.measure.runs import Runs, by_region, lines_of

STEPS = 3


def directions() -> np.ndarray:
    """Return the unit vectors (145, 3) to all points of a cubic grid up to three steps away; one of each pair ±v.

    A quarter turn takes this set to itself, so an object's sampled widths do not change with it. No direction is
    further than 13 degrees from one of the set.
    """
    grid = range(-STEPS, STEPS + 1)
    steps = [v for v in itertools.product(grid, repeat=3) if v > (0, 0, 0) and math.gcd(*v) == 1]
    vectors = np.array(steps, float)
    return vectors / np.linalg.norm(vectors, axis=1)[:, None]


def feret3d(runs: Runs, spacing: tuple[float, float, float]) -> np.ndarray:
    """Return the (2, L) largest and least width of the objects of a volume.

    Notes
    -----
    Widths along 145 directions over half the sphere, of the midpoints of the voxels' faces. From the narrowest of
    these the least width is searched by turning in ever smaller steps, down to half a degree. The largest is the
    largest of these, or the distance between two points that are ends of the object in one of the directions (plus half
    a voxel at either end), which is right to second order. As with all widths of a raster that are the best of many,
    balls come out too wide: by 0.9 voxels. The search may end
    in another valley when an object of ragged form is turned: its least width then changes by some per cent.
    """
    out = np.empty((2, runs.n_regions))
    _feret3d(
        runs.start, runs.stop, runs.region, runs.first, runs.shape3[1], directions(), np.asarray(spacing, float), out
    )
    return out


@njit(cache=True, nogil=True)
def width_along(u, v, w, first, last, order, start, stop, line, n_rows, spacing):
    """Return the width of one object in a direction."""
    low, high = np.inf, -np.inf
    # From the object's first voxel, so that the sums are the same to the last bit wherever it lies.
    plane, row, col = line[order[first]] // n_rows, line[order[first]] % n_rows, start[order[first]]
    for q in range(first, last):
        k = order[q]
        at = (line[k] // n_rows - plane) * spacing[0] * u + (line[k] % n_rows - row) * spacing[1] * v
        a, b = at + (start[k] - col) * spacing[2] * w, at + (stop[k] - 1 - col) * spacing[2] * w
        low, high = min(low, a, b), max(high, a, b)
    return high - low + max(abs(u) * spacing[0], abs(v) * spacing[1], abs(w) * spacing[2])


@njit(cache=True, nogil=True)
def _narrowest(unit, width, first, last, order, start, stop, line, n_rows, spacing):
    """Return the least width near a direction."""
    u, v, w = unit[0], unit[1], unit[2]
    step = 0.12
    while step > 0.008:
        # Two directions at right angles to this one and to each other.
        if abs(u) < 0.6:
            a0, a1, a2 = 0.0, w, -v
        else:
            a0, a1, a2 = -w, 0.0, u
        length = np.sqrt(a0 * a0 + a1 * a1 + a2 * a2)
        a0, a1, a2 = a0 / length, a1 / length, a2 / length
        b0, b1, b2 = v * a2 - w * a1, w * a0 - u * a2, u * a1 - v * a0
        best, x, y, z = width, u, v, w
        for k in range(8):
            c, s = step * np.cos(k * np.pi / 4), step * np.sin(k * np.pi / 4)
            p, q, r = u + c * a0 + s * b0, v + c * a1 + s * b1, w + c * a2 + s * b2
            length = np.sqrt(p * p + q * q + r * r)
            p, q, r = p / length, q / length, r / length
            found = width_along(p, q, r, first, last, order, start, stop, line, n_rows, spacing)
            if found < best:
                best, x, y, z = found, p, q, r
        if best < width:
            width, u, v, w = best, x, y, z
        else:
            step /= 2
    return width


@njit(cache=True, nogil=True)
def _feret3d(start, stop, region, first_run, n_rows, units, spacing, out):
    order, begin = by_region(region, out.shape[1])
    line = lines_of(first_run)
    n = units.shape[0]
    low, high = np.empty(n), np.empty(n)
    low_at, high_at = np.empty((n, 3)), np.empty((n, 3))
    pad = np.empty(n)
    for d in range(n):
        for axis in range(3):
            pad[d] = max(pad[d] if axis else 0.0, abs(units[d, axis]) * spacing[axis])
    for i in range(out.shape[1]):
        k = order[begin[i]]
        plane, row, col = line[k] // n_rows, line[k] % n_rows, start[k]
        low[:] = np.inf
        high[:] = -np.inf
        for q in range(begin[i], begin[i + 1]):
            k = order[q]
            z, y = (line[k] // n_rows - plane) * spacing[0], (line[k] % n_rows - row) * spacing[1]
            for x in ((start[k] - col) * spacing[2], (stop[k] - 1 - col) * spacing[2]):
                for d in range(n):
                    at = z * units[d, 0] + y * units[d, 1] + x * units[d, 2]
                    if at < low[d]:
                        low[d] = at
                        low_at[d, 0], low_at[d, 1], low_at[d, 2] = z, y, x
                    if at > high[d]:
                        high[d] = at
                        high_at[d, 0], high_at[d, 1], high_at[d, 2] = z, y, x
        least, most, best = np.inf, 0.0, 0
        for d in range(n):
            width = high[d] - low[d] + pad[d]
            most = max(most, width)
            if width < least:
                least, best = width, d
            dz, dy, dx = high_at[d, 0] - low_at[d, 0], high_at[d, 1] - low_at[d, 1], high_at[d, 2] - low_at[d, 2]
            length = np.sqrt(dz * dz + dy * dy + dx * dx)
            # Half a voxel's face midpoint at either end, in the direction of the line between the two points.
            end = (
                spacing.max()
                if length == 0
                else max(abs(dz) * spacing[0], abs(dy) * spacing[1], abs(dx) * spacing[2]) / length
            )
            most = max(most, length + end)
        out[0, i] = most
        out[1, i] = _narrowest(units[best], least, begin[i], begin[i + 1], order, start, stop, line, n_rows, spacing)
