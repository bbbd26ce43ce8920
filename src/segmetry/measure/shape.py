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

_DISK, _SQUARE, _TRIANGLE, _HEXAGON, _STADIUM = range(5)


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
    n = runs.n_regions
    misfit = np.zeros((n, 5))
    aspect = np.ones(n)
    _misfits(
        runs.start, runs.stop, runs.region, runs.first, np.ascontiguousarray(table[:, LOW]),
        np.ascontiguousarray(table[:, HIGH]), table[:, N].copy(), np.ascontiguousarray(covariance),
        _centroids(table) * np.asarray(spacing), float(spacing[0]), float(spacing[1]), misfit, aspect,
    )  # fmt: skip
    area = table[:, N].astype(float)
    return _decide(misfit, aspect, area)


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
def _inside(kind, u, v, ca, sa, size, half):
    """Whether a point lies in an ideal figure, turned by an angle (cosine, sine)."""
    x, y = ca * u + sa * v, ca * v - sa * u  # the vertex direction is +x
    if kind == 0:
        return x * x + y * y <= size * size
    if kind == 1:  # corners on the axes
        return abs(x) + abs(y) <= size
    if kind == 2:
        return -x <= size and 0.5 * x + 0.8660254037844386 * abs(y) <= size
    if kind == 3:
        return abs(y) <= size and 0.8660254037844386 * abs(x) + 0.5 * abs(y) <= size
    over = max(abs(x) - half, 0.0)
    return over * over + y * y <= size * size


@njit(cache=True, nogil=True)
def _stadium_ratio(a):
    """Ratio of the second moments of a rod of unit radius with round ends and a straight part of length 2 a."""
    along = np.pi * a * a + 8 / 3 * a + np.pi / 4 + 4 / 3 * a**3
    return along / (4 / 3 * a + np.pi / 4)


@njit(cache=True, nogil=True)
def _misfits(start, stop, region, first, low, high, n_pixels, covariance, centre, dy, dx, misfit, aspect):
    order, begin = by_region(region, n_pixels.size)
    line = lines_of(first)
    cos, sin, size = np.ones(5), np.zeros(5), np.zeros(5)
    hits, total = np.zeros(5), np.zeros(5)
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
        size[0] = np.sqrt(area / np.pi)
        size[1] = np.sqrt(area / 2)
        size[2] = np.sqrt(area / (3 * np.sqrt(3.0)))
        size[3] = np.sqrt(area / (2 * np.sqrt(3.0)))
        t = np.angle(m4) / 4
        cos[1], sin[1] = np.cos(t), np.sin(t)
        t = np.angle(m3) / 3
        cos[2], sin[2] = np.cos(t), np.sin(t)
        t = np.angle(m6) / 6
        cos[3], sin[3] = np.cos(t), np.sin(t)
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
        hits[:] = 0
        total[:] = 0
        # Ideal figures may reach a little beyond the object.
        pad = 2 + int(0.15 * max(high[i, 1] - low[i, 1], high[i, 2] - low[i, 2]))
        for row in range(low[i, 1] - pad, high[i, 1] + pad):
            y = row * dy - centre[i, 0]
            for col in range(low[i, 2] - pad, high[i, 2] + pad):
                x = col * dx - centre[i, 1]
                u, v = ca * y + sa * x, ca * x - sa * y
                for kind in range(4):
                    if _inside(kind, u * ku, v * kv, cos[kind], sin[kind], size[kind], 0.0):
                        total[kind] += 1
                if _inside(4, u, v, 1.0, 0.0, size[4], half):
                    total[4] += 1
        for q in range(begin[i], begin[i + 1]):
            k = order[q]
            y = line[k] * dy - centre[i, 0]
            for col in range(start[k], stop[k]):
                x = col * dx - centre[i, 1]
                u, v = ca * y + sa * x, ca * x - sa * y
                for kind in range(4):
                    if _inside(kind, u * ku, v * kv, cos[kind], sin[kind], size[kind], 0.0):
                        hits[kind] += 1
                if _inside(4, u, v, 1.0, 0.0, size[4], half):
                    hits[4] += 1
        for kind in range(5):
            misfit[i, kind] = n_pixels[i] + total[kind] - 2 * hits[kind]
