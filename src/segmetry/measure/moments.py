"""The fused pass: everything about an object that needs no intensity, as exact integers, from its runs."""

from __future__ import annotations

import numpy as np
from numba import njit

from segmetry.measure.runs import Runs

# Columns of the table of sums. Positions count from the object's first pixel (its origin), which keeps the sums small
# and makes every result independent of where the object lies.
ORIGIN = slice(0, 3)  # plane, row, column of the first pixel
N = 3
SUM = slice(4, 7)  # over pixels: p, r, c
SUM2 = slice(7, 13)  # pp, rr, cc, pr, pc, rc
LOW = slice(13, 16)  # bounding box: first plane, row, column
HIGH = slice(16, 19)  # one after the last
PAIRS = slice(19, 32)  # pixels whose neighbour in direction i of DIRECTIONS belongs to the object too
RUN_PAIRS = 32  # neighbouring runs (corners count) on neighbouring lines
N_RUNS = 33
WIDTH = 34

DIRECTIONS = np.array(
    [(0, 0, 1)] + [(*line, c) for line in ((0, 1), (1, -1), (1, 0), (1, 1)) for c in (-1, 0, 1)], dtype=np.int64
)
"""(plane, row, column) steps to half of the 26 neighbours of a voxel; an image uses the first four."""


def sums(runs: Runs) -> np.ndarray:
    """Return the (L, WIDTH) int64 table of sums; the constants of this module name its columns.

    Notes
    -----
    One pass over the runs. A run adds its pixels in closed form. Two runs of one object on neighbouring lines add the
    length of their overlap, straight and shifted by one: from those pair counts come perimeter, surface and Euler
    number, so no neighbourhood is ever looked up (the idea of run-length Crofton estimates is Lehmann & Legland's,
    *Efficient N-dimensional surface estimation using Crofton formula and run-length encoding*, 2012).
    """
    table = np.zeros((runs.n_regions, WIDTH), np.int64)
    _sums(runs.start, runs.stop, runs.region, runs.first, runs.shape3[1], table)
    return table


@njit(cache=True, nogil=True)
def _up_to(m):
    """Sum of squares 0..m; for negative m the difference of two such sums is right as well."""
    return m * (m + 1) * (2 * m + 1) // 6


@njit(cache=True, nogil=True)
def _sums(start, stop, region, first, n_rows, table):
    n_lines = first.size - 1
    for i in range(n_lines):
        plane, row = i // n_rows, i % n_rows
        for k in range(first[i], first[i + 1]):
            t = table[region[k]]
            a, b = np.int64(start[k]), np.int64(stop[k])
            n = b - a
            if t[3] == 0:
                t[0], t[1], t[2] = plane, row, a
                t[13], t[14], t[15] = plane, row, a
                t[17], t[18] = row + 1, b
            p, r, c0, c1 = plane - t[0], row - t[1], a - t[2], b - 1 - t[2]
            sum_c = (c0 + c1) * n // 2
            t[3] += n
            t[5] += r * n
            t[6] += sum_c
            t[8] += r * r * n
            t[9] += _up_to(c1) - _up_to(c0 - 1)
            if p > 0:
                t[4] += p * n
                t[7] += p * p * n
                t[10] += p * r * n
                t[11] += p * sum_c
            t[12] += r * sum_c
            t[14] = min(t[14], row)
            t[15] = min(t[15], a)
            t[16] = plane + 1
            t[17] = max(t[17], row + 1)
            t[18] = max(t[18], b)
            t[19] += n - 1
            t[33] += 1
        # Numbers that are written out are typed: numba would compile one version of a function for each of them.
        # Lines before this one that touch it: seen from there, this line lies at (0, 1), (1, 1), (1, 0), (1, -1).
        if row > 0:
            _overlaps(start, stop, region, first, i - 1, i, np.int64(20), table)
        if plane > 0:
            if row < n_rows - 1:
                _overlaps(start, stop, region, first, i - n_rows + 1, i, np.int64(23), table)
            _overlaps(start, stop, region, first, i - n_rows, i, np.int64(26), table)
            if row > 0:
                _overlaps(start, stop, region, first, i - n_rows - 1, i, np.int64(29), table)


@njit(cache=True, nogil=True)
def _overlaps(start, stop, region, first, before, line, column, table):
    j, end = first[before], first[before + 1]
    for k in range(first[line], first[line + 1]):
        a, b, own = start[k], stop[k], region[k]
        while j < end and stop[j] < a:
            j += 1
        m = j
        while m < end and start[m] <= b:
            if region[m] == own:
                t = table[own]
                a2, b2 = start[m], stop[m]
                t[column] += max(0, min(b2, b + 1) - max(a2, a + 1))  # the neighbour one column back: c - 1 here
                t[column + 1] += max(0, min(b2, b) - max(a2, a))
                t[column + 2] += max(0, min(b2, b - 1) - max(a2, a - 1))
                t[32] += 1
            m += 1
