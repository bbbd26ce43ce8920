"""Feret diameters of the objects of a volume."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from segmetry.measure.runs import Runs, by_region, lines_of

N_DIRECTIONS = 128


def directions(n: int = N_DIRECTIONS) -> np.ndarray:
    """Return n unit vectors (n, 3) spread evenly over half a sphere, the three axes first."""
    k = np.arange(n - 3)
    z = (k + 0.5) / (n - 3)
    angle = k * math.pi * (3 - math.sqrt(5))  # the golden angle: no two rings line up
    spiral = np.stack([z, np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle)], axis=1)
    return np.concatenate([np.eye(3), spiral])


def feret3d(runs: Runs, spacing: tuple[float, float, float]) -> np.ndarray:
    """Return the (2, L) largest and least width of the objects of a volume.

    Notes
    -----
    Widths along 128 directions over half the sphere, of the midpoints of the voxels' faces. The least width is the
    least of these, too large by at most (diameter x 0.1 rad) for a thin plate between two directions. The largest is
    the greatest distance between two points that are ends of the object in one of the directions, which is right to
    second order: within 0.3 % of the true diameter of a long rod.
    """
    out = np.empty((2, runs.n_regions))
    _feret3d(
        runs.start, runs.stop, runs.region, runs.first, runs.shape3[1], directions(), np.asarray(spacing, float), out
    )
    return out


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
        low[:] = np.inf
        high[:] = -np.inf
        for q in range(begin[i], begin[i + 1]):
            k = order[q]
            z, y = (line[k] // n_rows) * spacing[0], (line[k] % n_rows) * spacing[1]
            for x in (start[k] * spacing[2], (stop[k] - 1) * spacing[2]):
                for d in range(n):
                    at = z * units[d, 0] + y * units[d, 1] + x * units[d, 2]
                    if at < low[d]:
                        low[d] = at
                        low_at[d, 0], low_at[d, 1], low_at[d, 2] = z, y, x
                    if at > high[d]:
                        high[d] = at
                        high_at[d, 0], high_at[d, 1], high_at[d, 2] = z, y, x
        least, most = np.inf, 0.0
        for d in range(n):
            least = min(least, high[d] - low[d] + pad[d])
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
        out[1, i] = least
