"""Intensities of objects, of their surroundings, and of the step between the two."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from segmetry.measure.moments import HIGH, LOW
from segmetry.measure.runs import Runs, by_region, lines_of

RING = (2, 6)
"""The ring around an object: pixels further than the first, at most the second, in px from it."""

SATURATED_SHARE = 0.01
"""An object is called saturated when more than this share of its pixels sits at the limit of the intensity range."""


class Intensities(NamedTuple):
    """(L,) arrays of float: what the pixels of every object say; nan where an object has no finite pixel."""

    mean: np.ndarray
    std: np.ndarray
    low: np.ndarray
    high: np.ndarray
    clipped: np.ndarray


class Rings(NamedTuple):
    """(L,) arrays of float: the surroundings of every object; nan where there are none."""

    mean: np.ndarray
    std: np.ndarray
    step_row: np.ndarray
    step_col: np.ndarray


def intensities(runs: Runs, image: np.ndarray, limits: tuple[float, float] | None = None) -> Intensities:
    """Return mean, standard deviation (of the population), least and largest intensity, and the share at the limits.

    `limits` are `clip_levels` of the image, of its own type where that was another one.
    """
    sums = np.zeros((runs.n_regions, 7))
    low, high = clip_levels(image) if limits is None else limits
    lines = image.reshape(-1, image.shape[-1]) if image.size else image.reshape(0, 1)
    kernel = _whole_intensities if image.dtype.kind == "u" else _intensities
    kernel(runs.start, runs.stop, runs.region, runs.first, lines, low, high, sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        n = sums[:, 0]
        mean = sums[:, 2] / n
        std = np.sqrt(np.maximum(sums[:, 3] / n - mean**2, 0))
        empty = n == 0
        lowest, highest = np.where(empty, np.nan, sums[:, 4]), np.where(empty, np.nan, sums[:, 5])
        return Intensities(sums[:, 1] + mean, std, lowest, highest, sums[:, 6] / n)


def clip_levels(image: np.ndarray) -> tuple[float, float]:
    """Return the intensities at and beyond which a pixel is saturated.

    Notes
    -----
    Whole-number images: the limits of the type; and where the largest value is 2^k - 1 for k = 8, 10, 12, 14 (a camera
    of fewer bits in a wider type), that. Floats name no limit: -inf and inf.
    """
    if image.dtype.kind not in "iu" or image.size == 0:
        return -math.inf, math.inf
    limits = np.iinfo(image.dtype)
    top = int(image.max())
    return float(limits.min), float(top if top in (255, 1023, 4095, 16383) else limits.max)


@njit(cache=True, nogil=True)
def _whole_intensities(start, stop, region, first, lines, low, high, sums):
    """As `_intensities` for uint8 and uint16: the sums over a run are whole numbers, and exact."""
    bottom, top = np.int64(low), np.int64(high)
    for i in range(first.size - 1):
        line = lines[i]
        for k in range(first[i], first[i + 1]):
            s = sums[region[k]]
            if s[0] == 0:
                s[1] = line[start[k]]
                s[4], s[5] = np.inf, -np.inf
            run = line[start[k] : stop[k]]
            origin = np.int64(s[1])
            total, square, clipped = np.int64(0), np.int64(0), np.int64(0)
            least, most = run[0], run[0]
            for c in range(run.size):
                d = np.int64(run[c]) - origin
                total += d
                square += d * d
                least = min(least, run[c])
                most = max(most, run[c])
            if least <= bottom or most >= top:
                for c in range(run.size):
                    clipped += run[c] <= bottom or run[c] >= top
            s[0] += run.size
            s[2] += total
            s[3] += square
            s[4] = min(s[4], least)
            s[5] = max(s[5], most)
            s[6] += clipped


@njit(cache=True, nogil=True)
def _intensities(start, stop, region, first, lines, low, high, sums):
    for i in range(first.size - 1):
        line = lines[i]
        for k in range(first[i], first[i + 1]):
            s = sums[region[k]]
            if s[0] == 0:
                s[1] = np.float64(line[start[k]])  # sums count from the first pixel: no cancellation in the variance
                if not np.isfinite(s[1]):
                    s[1] = 0.0
                s[4], s[5] = np.inf, -np.inf
            origin = s[1]
            n, total, square, least, most, clipped = 0.0, 0.0, 0.0, s[4], s[5], 0.0
            for c in range(start[k], stop[k]):
                value = np.float64(line[c])
                if value - value == 0:
                    d = value - origin
                    n += 1
                    total += d
                    square += d * d
                    least = min(least, value)
                    most = max(most, value)
                    if value <= low or value >= high:
                        clipped += 1
            s[0] += n
            s[2] += total
            s[3] += square
            s[4] = least
            s[5] = most
            s[6] += clipped


def rings(runs: Runs, table: np.ndarray, labels: np.ndarray, image: np.ndarray, ignore: np.ndarray | None) -> Rings:
    """Return mean and standard deviation of the ring around every object of an image, and the step at its boundary.

    Parameters
    ----------
    runs, table
        The objects, and their `moments.sums`.
    labels : (M, N) int32 array
        The label image of the runs.
    image : (M, N) array
        Intensities.
    ignore : (M, N) array of bool or None
        Pixels that are not specimen.

    Notes
    -----
    The ring holds the pixels up to 6 px from the object that are further than 2 px from every object and from every
    ignored pixel. `step_row` and `step_col` are the means of (inside - outside) over the pixel faces between object and
    bare background that are crossed along the rows' axis and along the columns' axis.
    """
    import cv2

    inner, outer = RING
    busy = (labels != 0).view(np.uint8)
    if ignore is not None:
        busy = busy | ignore.view(np.uint8)
    near = cv2.dilate(busy, _disk(inner))
    half = np.array([int(math.sqrt(outer**2 - d**2)) for d in range(-outer, outer + 1)], np.int64)
    low, high = np.ascontiguousarray(table[:, LOW]), np.ascontiguousarray(table[:, HIGH])
    out = np.full((4, runs.n_regions), np.nan)
    _rings(runs.start, runs.stop, runs.region, runs.first, low, high, half, near, busy, image, out)
    return Rings(*out)


def _disk(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return (y**2 + x**2 <= radius**2).astype(np.uint8)


@njit(cache=True, nogil=True)
def _rings(start, stop, region, first_run, low, high, half, near, busy, image, out):
    n_rows, n_cols = image.shape
    reach = half.size // 2
    faces = np.zeros(2)
    steps = np.zeros(2)
    widest = 0
    tallest = 0
    for i in range(low.shape[0]):
        widest = max(widest, high[i, 2] - low[i, 2] + 2 * reach)
        tallest = max(tallest, high[i, 1] - low[i, 1] + 2 * reach)
    order, begin = by_region(region, low.shape[0])
    row_of = lines_of(first_run)
    canvas = np.zeros((tallest, widest), np.uint8)
    for i in range(low.shape[0]):
        top, left = low[i, 1] - reach, low[i, 2] - reach
        height, width = high[i, 1] - low[i, 1] + 2 * reach, high[i, 2] - low[i, 2] + 2 * reach
        for r in range(height):
            for c in range(width):
                canvas[r, c] = 0
        for axis in range(2):
            faces[axis] = steps[axis] = 0
        for q in range(begin[i], begin[i + 1]):
            k = order[q]
            r, a, b = row_of[k], start[k], stop[k]
            for d in range(-reach, reach + 1):
                w = half[d + reach]
                for c in range(a - w - left, b + w - left):
                    canvas[r + d - top, c] = 1
            # Faces towards bare background: before and after the run, above and below its pixels.
            if a > 0 and busy[r, a - 1] == 0:
                step = np.float64(image[r, a]) - np.float64(image[r, a - 1])
                if step - step == 0:
                    steps[1] += step
                    faces[1] += 1
            if b < n_cols and busy[r, b] == 0:
                step = np.float64(image[r, b - 1]) - np.float64(image[r, b])
                if step - step == 0:
                    steps[1] += step
                    faces[1] += 1
            for side in (-1, 1):
                if 0 <= r + side < n_rows:
                    for c in range(a, b):
                        if busy[r + side, c] == 0:
                            step = np.float64(image[r, c]) - np.float64(image[r + side, c])
                            if step - step == 0:
                                steps[0] += step
                                faces[0] += 1
        n, total, square, origin = 0, 0.0, 0.0, 0.0
        for r in range(max(0, top), min(n_rows, top + height)):
            for c in range(max(0, left), min(n_cols, left + width)):
                if canvas[r - top, c - left] != 0 and near[r, c] == 0:
                    value = np.float64(image[r, c])
                    if value - value == 0:
                        if n == 0:
                            origin = value
                        n += 1
                        total += value - origin
                        square += (value - origin) ** 2
        if n > 0:
            mean = total / n
            out[0, i] = origin + mean
            out[1, i] = np.sqrt(max(square / n - mean * mean, 0.0))
        for axis in range(2):
            if faces[axis] > 0:
                out[2 + axis, i] = steps[axis] / faces[axis]
