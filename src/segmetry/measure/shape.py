"""Shape classes: the ideal figure that covers an object best."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from segmetry.measure.moments import HIGH, LOW, N
from segmetry.measure.runs import Runs, by_region, lines_of

SHAPES = ("sphere", "ellipsoid", "rod", "cube", "triangle", "hexagon", "irregular")
"""Names of the classes; what is seen is the outline, so `sphere` is a disk and `cube` a square or short rectangle."""

ROUND_ASPECT = 1.2
"""Ellipses up to this aspect ratio are spheres."""
ROD_ASPECT = 1.8
"""Convex figures from this aspect ratio on are rods, whatever their ends."""


class Shapes(NamedTuple):
    """(L,) arrays: index into `SHAPES`, and the confidence in it from 0 to 1 (nan for single pixels)."""

    which: np.ndarray
    confidence: np.ndarray


def shapes(runs: Runs, table: np.ndarray, covariance: np.ndarray, spacing: tuple[float, float]) -> Shapes:
    """Return the shape class of every object of an image.

    Parameters
    ----------
    runs, table
        The objects, and their `moments.sums`.
    covariance : (L, 2, 2) array
        Second moments in units of the spacing.
    spacing : (row, col)
        Length of a pixel along each axis.

    Notes
    -----
    Five ideal figures of the object's area are laid over it: ellipse, parallelogram, triangle, hexagon, and rod with
    round ends. The first four are a disk, square, equilateral triangle and regular hexagon, stretched so that they
    have the object's second moments, and turned as its moments of order 4, 3 and 6 tell. Pixels that only one of the
    two covers are its misfit. The figure with the least misfit wins, unless even that is worse than what blur and
    raster excuse: then the object is irregular. Confidence is the winner's share of exp(-misfit / s), s being what a
    random raster leaves of misfit for a perfect figure, so it tells of the raster's doubt and not of nature's.
    Holes and rough outlines count as misfit. What is seen is a projection: a cube seen along its diagonal is a hexagon.
    """
    misfit, aspect = misfits(runs, table, covariance, spacing)
    return _decide(misfit, aspect, table[:, N].astype(float))


def misfits(
    runs: Runs, table: np.ndarray, covariance: np.ndarray, spacing: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the (L, 5) pixels that only the object or only the figure covers, and the (L,) aspect ratios.

    The figures are ellipse, parallelogram, triangle, hexagon and rod with round ends; a figure covers the pixels whose
    centres lie in it.
    """
    n = runs.n_regions
    misfit = np.zeros((n, 5))
    aspect = np.ones(n)
    _misfits(
        runs.start, runs.stop, runs.region, runs.first, np.ascontiguousarray(table[:, LOW]),
        np.ascontiguousarray(table[:, HIGH]), table[:, N].copy(), np.ascontiguousarray(covariance),
        _centroids(table) * np.asarray(spacing), float(spacing[0]), float(spacing[1]), misfit, aspect,
    )  # fmt: skip
    return misfit, aspect


def _centroids(table: np.ndarray) -> np.ndarray:
    return table[:, 1:3] + table[:, 5:7] / table[:, N : N + 1]


def _decide(misfit: np.ndarray, aspect: np.ndarray, area: np.ndarray) -> Shapes:
    """Return class and confidence from the misfits in px."""
    width = 2 * np.sqrt(area / (math.pi * aspect))  # short axis of the ellipse, px
    never = np.inf
    cost = np.full((area.size, len(SHAPES)), never)
    rod = aspect >= ROD_ASPECT
    disk, square, triangle, hexagon, stadium = misfit.T
    cost[:, 0] = np.where(aspect < ROUND_ASPECT, disk, never)
    cost[:, 1] = np.where((aspect >= ROUND_ASPECT) & ~rod, disk, never)
    cost[:, 2] = np.where(rod, np.minimum(np.minimum(disk, square), stadium), np.where(aspect > 1.5, stadium, never))
    cost[:, 3] = np.where(rod, never, square)
    cost[:, 4] = np.where(aspect < 3, triangle, never)
    cost[:, 5] = np.where(aspect < 1.35, hexagon, never)
    cost[:, 6] = area * (IRREGULAR_SHARE + IRREGULAR_RASTER / np.sqrt(area))
    scale = NOISE * area**0.25
    share = np.exp(-(cost - cost.min(axis=1, keepdims=True)) / scale[:, None])
    share /= share.sum(axis=1, keepdims=True)
    index = np.argmin(cost, axis=1)
    # The aspect ratio is known to about half a pixel of its width: near a limit between two names, doubt them alike.
    step = 0.5 * aspect / width
    best = share[np.arange(area.size), index]
    for limit, low, high in ((ROUND_ASPECT, 0, 1), (ROD_ASPECT, 1, 2), (ROD_ASPECT, 3, 2)):
        near = (index == low) | (index == high)
        best = np.where(near, best * _certainty(np.abs(aspect - limit) / step), best)
    best = np.where(area < 2, np.nan, best)
    return Shapes(index, best)


def _certainty(distance: np.ndarray) -> np.ndarray:
    """Return the probability to be on the right side of a limit that is this many standard deviations away."""
    from scipy.special import ndtr

    return ndtr(distance)


IRREGULAR_SHARE = 0.09
IRREGULAR_RASTER = 0.5
"""An object is irregular when the best figure misses more than SHARE of its area plus RASTER times sqrt(area)."""
NOISE = 1.0


@njit(cache=True, nogil=True)
def _cover(step_u, step_v, origin_u, origin_v, n_sides, normals, size, half):
    """Return the interval of x in which a row of the raster lies inside an ideal figure; empty if low > high.

    On the row, u = origin_u + x step_u and v = origin_v + x step_v in the plane of the figure. `n_sides` 0 is a disk of
    radius `size`, 1 a rod of this radius with a straight part of 2 `half` along u, otherwise a polygon whose sides
    are `size` away from the centre in the directions `normals`.
    """
    low, high = -np.inf, np.inf
    if n_sides > 1:
        for k in range(n_sides):
            c, s = normals[k, 0], normals[k, 1]
            slope, room = c * step_u + s * step_v, size - c * origin_u - s * origin_v
            if slope > 1e-12:
                high = min(high, room / slope)
            elif slope < -1e-12:
                low = max(low, room / slope)
            elif room < 0:
                return 1.0, 0.0
        return low, high
    if n_sides == 1:  # the two round ends; between them the straight part, which is convex with them
        low, high = np.inf, -np.inf
        for end in (-half, half):
            a, b = _disk_cover(step_u, step_v, origin_u - end, origin_v, size)
            if a <= b:
                low, high = min(low, a), max(high, b)
        # Where the row crosses the straight sides |v| = size between the ends.
        if abs(step_v) > 1e-12:
            for side in (-size, size):
                x = (side - origin_v) / step_v
                if abs(origin_u + x * step_u) <= half:
                    low, high = min(low, x), max(high, x)
        return low, high
    return _disk_cover(step_u, step_v, origin_u, origin_v, size)


@njit(cache=True, nogil=True)
def _disk_cover(step_u, step_v, origin_u, origin_v, radius):
    a = step_u * step_u + step_v * step_v
    b = step_u * origin_u + step_v * origin_v
    d = b * b - a * (origin_u * origin_u + origin_v * origin_v - radius * radius)
    if d < 0:
        return 1.0, 0.0
    root = np.sqrt(d)
    return (-b - root) / a, (-b + root) / a


@njit(cache=True, nogil=True)
def _stadium_ratio(a):
    """Ratio of the second moments of a rod of unit radius with round ends and a straight part of length 2 a."""
    along = np.pi * a * a + 8 / 3 * a + np.pi / 4 + 4 / 3 * a**3
    return along / (4 / 3 * a + np.pi / 4)


@njit(cache=True, nogil=True)
def _misfits(start, stop, region, first, low, high, n_pixels, covariance, centre, dy, dx, misfit, aspect):
    order, begin = by_region(region, n_pixels.size)
    line = lines_of(first)
    size, turn = np.zeros(5), np.zeros(5)
    sides = np.array([0, 4, 3, 6, 1])
    normals = np.zeros((5, 6, 2))
    for i in range(n_pixels.size):
        a, b, c = covariance[i, 0, 0], covariance[i, 1, 1], covariance[i, 0, 1]
        thinnest = min(dy, dx) ** 2 / 12
        long = max((a + b) / 2 + np.hypot((a - b) / 2, c), thinnest)
        short = max((a * b - c * c) / long, thinnest)
        aspect[i] = np.sqrt(long / short)
        angle = 0.5 * np.arctan2(2 * c, a - b)
        ca, sa = np.cos(angle), np.sin(angle)
        # Whitening: along the long axis by 1/sqrt(long), across by 1/sqrt(short); in the frame of the axes.
        ku, kv = 1 / np.sqrt(long), 1 / np.sqrt(short)
        m3, m4, m6 = 0j, 0j, 0j
        for q in range(begin[i], begin[i + 1]):
            k = order[q]
            y = line[k] * dy - centre[i, 0]
            for col in range(start[k], stop[k]):
                x = col * dx - centre[i, 1]
                z = complex((ca * y + sa * x) * ku, (ca * x - sa * y) * kv)
                z3 = z * z * z
                m3 += z3
                m4 += z3 * z
                m6 += z3 * z3
        area = n_pixels[i] * dy * dx * ku * kv  # in the whitened plane
        # Inner radius of each figure of this area; moments point at corners, sides are half a turn of a side further.
        size[0] = np.sqrt(area / np.pi)
        size[1], turn[1] = np.sqrt(area / 4), np.angle(m4) / 4 + np.pi / 4
        size[2], turn[2] = np.sqrt(area / (3 * np.sqrt(3.0))), np.angle(m3) / 3 + np.pi / 3
        size[3], turn[3] = np.sqrt(area / (2 * np.sqrt(3.0))), np.angle(m6) / 6 + np.pi / 6
        # The rod lives in the plane of the axes, not whitened.
        below, above = 0.0, 100.0
        for _ in range(40):
            half = (below + above) / 2
            if _stadium_ratio(half) < long / short:
                below = half
            else:
                above = half
        size[4] = np.sqrt(n_pixels[i] * dy * dx / (np.pi + 4 * half))
        half *= size[4]
        for kind in range(5):
            misfit[i, kind] = n_pixels[i]
            for k in range(sides[kind]):
                angle_k = turn[kind] + 2 * np.pi * k / sides[kind]
                normals[kind, k, 0], normals[kind, k, 1] = np.cos(angle_k), np.sin(angle_k)
        # Row by row: the pixels of the figure count once, those that it shares with the object count off twice. Ideal
        # figures may reach a little beyond the object.
        pad = 2 + int(0.15 * max(high[i, 1] - low[i, 1], high[i, 2] - low[i, 2]))
        q = begin[i]
        for row in range(low[i, 1] - pad, high[i, 1] + pad):
            y = row * dy - centre[i, 0]
            last = q
            while last < begin[i + 1] and line[order[last]] == row:
                last += 1
            for kind in range(5):
                wu, wv = (ku, kv) if kind < 4 else (1.0, 1.0)
                a, b = _cover(sa * wu, ca * wv, ca * y * wu, -sa * y * wv, sides[kind], normals[kind], size[kind], half)
                if a > b:
                    continue
                c0 = int(np.ceil((a + centre[i, 1]) / dx))
                c1 = int(np.floor((b + centre[i, 1]) / dx)) + 1
                misfit[i, kind] += max(c1 - c0, 0)
                for p in range(q, last):
                    k = order[p]
                    misfit[i, kind] -= 2 * max(min(c1, stop[k]) - max(c0, start[k]), 0)
            q = last
