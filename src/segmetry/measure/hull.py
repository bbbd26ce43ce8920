"""Convex hulls and calipers of all objects of an image, from the ends of their rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from segmetry.measure.moments import HIGH, LOW
from segmetry.measure.runs import Runs


class Hulls(NamedTuple):
    """What the convex hull says about every object: (L,) arrays of float, lengths in units of the spacing."""

    area: np.ndarray
    perimeter: np.ndarray
    feret_max: np.ndarray
    feret_min: np.ndarray
    rectangle_long: np.ndarray
    rectangle_short: np.ndarray


def hulls(runs: Runs, table: np.ndarray, spacing: tuple[float, float]) -> Hulls:
    """Return hull area and perimeter, Feret diameters, and the rectangle of least area, per object of an image.

    Notes
    -----
    The hull is that of the *edge midpoints* of the pixels (up, down, left, right of each centre by half a pixel). Over
    disks at random centres its area came out +1.7 % at radius 5, +2.1 % at 10 and +0.9 % at 50 px (pixel corners: 8.5,
    5.7 and 1.6 %; pixel centres: -16, -7 and -1 %), its largest Feret diameter +6.1, +3.4 and +0.9 %, and its least
    -1.5, -1.0 and -0.2 % (100 disks each). It is found with whole numbers in half pixels, so points on one
    line never disturb it, and scaled afterwards: a hull stays a hull when an axis is stretched.
    Feret diameters and the rectangle come from rotating calipers (Toussaint 1983) over the hull's edges.
    """
    height = table[:, HIGH][:, 1] - table[:, LOW][:, 1]
    first = np.zeros(runs.n_regions + 1, np.int64)
    np.cumsum(height, out=first[1:])
    out = np.empty((6, runs.n_regions))
    _hulls(
        runs.start, runs.stop, runs.region, runs.first, np.ascontiguousarray(table[:, LOW][:, 1]), first,
        float(spacing[0]), float(spacing[1]), out,
    )  # fmt: skip
    return Hulls(*out)


_NOWHERE = 2**30


@njit(cache=True, nogil=True)
def _row_ends(start, stop, region, first_run, top, first):
    """Return the first and last column of every row of every object; rows it does not reach end far inside."""
    left = np.full(first[-1], _NOWHERE, np.int32)
    right = np.full(first[-1], -_NOWHERE, np.int32)
    for i in range(first_run.size - 1):
        for k in range(first_run[i], first_run[i + 1]):
            at = first[region[k]] + i - top[region[k]]
            left[at] = min(left[at], start[k])
            right[at] = max(right[at], stop[k] - 1)
    return left, right


@njit(cache=True, nogil=True)
def _push(rows, cols, n, r, c, sign):
    """Add a point to a chain that goes down the rows and bends one way; drop the points that it makes inner."""
    while n >= 2:
        turn = (rows[n - 1] - rows[n - 2]) * (c - cols[n - 2]) - (cols[n - 1] - cols[n - 2]) * (r - rows[n - 2])
        if sign * turn < 0:
            break
        n -= 1
    rows[n], cols[n] = r, c
    return n + 1


@njit(cache=True, nogil=True)
def _chain(ends, sign, rows, cols, maybe):
    """Write one side of a hull (-1: left), in half pixels, top to bottom; return its number of points."""
    # Most rows cannot hold a corner: they do not stick out beyond the line between their neighbours. A point half a
    # pixel above or below a row counts only where the neighbouring row lies further in by more than one.
    last = ends.size - 1
    m = 1
    maybe[0] = 0
    for i in range(1, last):
        up, down = sign * (ends[i] - ends[i - 1]), sign * (ends[i] - ends[i + 1])
        maybe[m] = i
        m += (up + down > 0) | (up > 1) | (down > 1)
    if last > 0:
        maybe[m] = last
        m += 1
    n = np.int64(0)
    for q in range(m):
        i = maybe[q]
        c = np.int64(ends[i])
        if abs(c) == _NOWHERE:
            continue
        if i == 0 or sign * (c - ends[i - 1]) > 1:
            n = _push(rows, cols, n, 2 * i - 1, 2 * c, sign)
        n = _push(rows, cols, n, 2 * i, 2 * c + sign, sign)
        if i == last or sign * (c - ends[i + 1]) > 1:
            n = _push(rows, cols, n, 2 * i + 1, 2 * c, sign)
    return n


@njit(cache=True, nogil=True)
def _calipers(row, col, n, scale_y, scale_x, out, at):
    """Write area, perimeter, Feret max and min, and the sides of the least rectangle of a convex polygon."""
    area = 0.0
    perimeter = 0.0
    widest = 0.0
    narrowest = np.inf
    least = np.inf
    long = short = 0.0
    far = right = left = 1
    weight_y, weight_x = scale_y * scale_y, scale_x * scale_x
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        dr, dc = row[j] - row[i], col[j] - col[i]
        area += row[i] * col[j] - col[i] * row[j]
        length = np.sqrt(dr * dr * weight_y + dc * dc * weight_x)
        perimeter += length
        along_r, along_c = dr * weight_y, dc * weight_x
        while True:  # furthest along the edge
            k = right + 1 if right + 1 < n else 0
            if (row[k] - row[right]) * along_r + (col[k] - col[right]) * along_c <= 0:
                break
            right = k
        if i == 0:
            far = right
        while True:  # furthest from the edge: whole numbers, so that of two equal corners the first is kept
            k = far + 1 if far + 1 < n else 0
            if dr * (col[k] - col[far]) - dc * (row[k] - row[far]) <= 0:
                break
            far = k
        if i == 0:
            left = far
        while True:  # furthest back
            k = left + 1 if left + 1 < n else 0
            if (row[k] - row[left]) * along_r + (col[k] - col[left]) * along_c >= 0:
                break
            left = k
        width = (dr * (col[far] - col[i]) - dc * (row[far] - row[i])) * scale_y * scale_x / length
        span = ((row[right] - row[left]) * along_r + (col[right] - col[left]) * along_c) / length
        narrowest = min(narrowest, width)
        if width * span < least:
            least = width * span
            long, short = max(width, span), min(width, span)
        for p in (i, j):
            widest = max(widest, (row[p] - row[far]) ** 2 * weight_y + (col[p] - col[far]) ** 2 * weight_x)
    out[0, at] = 0.5 * area * scale_y * scale_x
    out[1, at] = perimeter
    out[2, at] = np.sqrt(widest)
    out[3, at] = narrowest
    out[4, at] = long
    out[5, at] = short


@njit(cache=True, nogil=True)
def _hulls(start, stop, region, first_run, top, first, dy, dx, out):
    left, right = _row_ends(start, stop, region, first_run, top, first)
    tallest = 0
    for i in range(top.size):
        tallest = max(tallest, first[i + 1] - first[i])
    size = 3 * tallest + 3
    rows, cols = np.empty(size, np.int64), np.empty(size, np.int64)
    maybe = np.empty(tallest + 1, np.int64)
    y, x = np.empty(2 * size), np.empty(2 * size)
    for i in range(top.size):
        a, b = first[i], first[i + 1]
        # Down the left side, up the right. Columns count from the first corner's: differences stay exact.
        n = _chain(left[a:b], np.int64(-1), rows, cols, maybe)
        origin = cols[0]
        for k in range(n):
            y[k], x[k] = rows[k], cols[k] - origin
        m = _chain(right[a:b], np.int64(1), rows, cols, maybe)
        for k in range(m):
            y[n + k], x[n + k] = rows[m - 1 - k], cols[m - 1 - k] - origin
        # Top and bottom points of both sides coincide where that row is one pixel wide.
        total = n + m
        if y[total - 1] == y[0] and x[total - 1] == x[0]:
            total -= 1
        if y[n] == y[n - 1] and x[n] == x[n - 1]:
            for k in range(n, total - 1):
                y[k], x[k] = y[k + 1], x[k + 1]
            total -= 1
        _calipers(y, x, total, 0.5 * dy, 0.5 * dx, out, i)
