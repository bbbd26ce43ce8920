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
    5.7 and 1.6 %; pixel centres: -16, -7 and -1 %). It is found with whole numbers in half pixels, so points on one
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


@njit(cache=True, nogil=True)
def row_ends(start, stop, region, first_run, top, first):
    """Return the first and last column of every row of every object; a row it does not reach has last < first."""
    left = np.full(first[-1], 2**30, np.int32)
    right = np.full(first[-1], -1, np.int32)
    for i in range(first_run.size - 1):
        for k in range(first_run[i], first_run[i + 1]):
            at = first[region[k]] + i - top[region[k]]
            left[at] = min(left[at], start[k])
            right[at] = max(right[at], stop[k] - 1)
    return left, right


@njit(cache=True, nogil=True)
def _push(rows, cols, n, r, c, sign):
    """Add a point to a chain that goes down the rows and bends one way; drop the points that it makes inner."""
    while (
        n >= 2
        and sign * ((rows[n - 1] - rows[n - 2]) * (c - cols[n - 2]) - (cols[n - 1] - cols[n - 2]) * (r - rows[n - 2]))
        <= 0
    ):
        n -= 1
    rows[n], cols[n] = r, c
    return n + 1


@njit(cache=True, nogil=True)
def _chain(ends, sign, rows, cols):
    """Write one side of a hull (-1: left), in half pixels, top to bottom; return its number of points."""
    n = 0
    last = ends.size - 1
    for i in range(ends.size):
        c = np.int64(ends[i])
        if c < 0 or c == 2**30:
            continue
        # The points half a pixel above and below count only where the neighbouring row lies further in.
        above = i == 0 or ends[i - 1] < 0 or ends[i - 1] == 2**30 or sign * (c - ends[i - 1]) > 1
        below = i == last or ends[i + 1] < 0 or ends[i + 1] == 2**30 or sign * (c - ends[i + 1]) > 1
        if above:
            n = _push(rows, cols, n, 2 * i - 1, 2 * c, -sign)
        n = _push(rows, cols, n, 2 * i, 2 * c + sign, -sign)
        if below:
            n = _push(rows, cols, n, 2 * i + 1, 2 * c, -sign)
    return n


@njit(cache=True, nogil=True)
def _calipers(y, x, n, out, at):
    """Write area, perimeter, Feret max and min, and the sides of the least rectangle of a convex polygon."""
    area = 0.0
    perimeter = 0.0
    widest = 0.0
    narrowest = np.inf
    least = np.inf
    long = short = 0.0
    far = right = left = 1
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        dy, dx = y[j] - y[i], x[j] - x[i]
        area += (y[i] - y[0]) * (x[j] - x[0]) - (x[i] - x[0]) * (y[j] - y[0])
        length = np.sqrt(dy * dy + dx * dx)
        perimeter += length
        dy, dx = dy / length, dx / length
        while True:  # furthest along the edge
            k = right + 1 if right + 1 < n else 0
            if (y[k] - y[right]) * dy + (x[k] - x[right]) * dx <= 0:
                break
            right = k
        if i == 0:
            far = right
        while True:  # furthest from the edge
            k = far + 1 if far + 1 < n else 0
            if dy * (x[k] - x[far]) - dx * (y[k] - y[far]) <= 0:
                break
            far = k
        if i == 0:
            left = far
        while True:  # furthest back
            k = left + 1 if left + 1 < n else 0
            if (y[k] - y[left]) * dy + (x[k] - x[left]) * dx >= 0:
                break
            left = k
        width = dy * (x[far] - x[i]) - dx * (y[far] - y[i])
        span = (y[right] - y[left]) * dy + (x[right] - x[left]) * dx
        narrowest = min(narrowest, width)
        if width * span < least:
            least = width * span
            long, short = max(width, span), min(width, span)
        k = far + 1 if far + 1 < n else 0
        for p in (i, j):
            for q in (far, k):
                widest = max(widest, (y[p] - y[q]) ** 2 + (x[p] - x[q]) ** 2)
    out[0, at] = 0.5 * area
    out[1, at] = perimeter
    out[2, at] = np.sqrt(widest)
    out[3, at] = narrowest
    out[4, at] = long
    out[5, at] = short


@njit(cache=True, nogil=True)
def _hulls(start, stop, region, first_run, top, first, dy, dx, out):
    left, right = row_ends(start, stop, region, first_run, top, first)
    tallest = 0
    for i in range(top.size):
        tallest = max(tallest, first[i + 1] - first[i])
    size = 3 * tallest + 3
    rows, cols = np.empty(size, np.int64), np.empty(size, np.int64)
    y, x = np.empty(2 * size), np.empty(2 * size)
    for i in range(top.size):
        a, b = first[i], first[i + 1]
        # Down the left side, up the right.
        n = _chain(left[a:b], -1, rows, cols)
        for k in range(n):
            y[k], x[k] = 0.5 * dy * rows[k], 0.5 * dx * cols[k]
        m = _chain(right[a:b], 1, rows, cols)
        for k in range(m):
            y[n + k], x[n + k] = 0.5 * dy * rows[m - 1 - k], 0.5 * dx * cols[m - 1 - k]
        # Top and bottom points of both sides coincide where that row is one pixel wide.
        total = n + m
        if y[total - 1] == y[0] and x[total - 1] == x[0]:
            total -= 1
        if y[n] == y[n - 1] and x[n] == x[n - 1]:
            for k in range(n, total - 1):
                y[k], x[k] = y[k + 1], x[k + 1]
            total -= 1
        _calipers(y, x, total, out, i)
