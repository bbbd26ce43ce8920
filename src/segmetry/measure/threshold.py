"""From a threshold to a table in one go: histogram, runs, connected runs, measures; no label image in between."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from segmetry.errors import ImageError, OptionError
from segmetry.measure.labelling import check_connectivity
from segmetry.measure.regions import Regions
from segmetry.measure.runs import Runs, lowest_bit
from segmetry.measure.table import check_inputs, choose, limits_of, tabulate
from segmetry.types import Calibration, Image

if TYPE_CHECKING:
    import pandas as pd

_FLOAT_BINS = 4096
_CHUNK = 1 << 19  # bytes of mask that are made at a time: they stay in the cache


def measure_threshold(
    image: Image | np.ndarray,
    threshold: float | None = None,
    *,
    dark: bool = False,
    connectivity: int | None = None,
    min_pixels: int = 1,
    calibration: Calibration | None = None,
    measures: Sequence[str] | None = None,
    ignore: np.ndarray | None = None,
) -> pd.DataFrame:
    """Return the table of the objects above (or below) a threshold, as `measure` would of their label image.

    Parameters
    ----------
    image : Image, or (M, N) or (P, M, N) array
        Intensities.
    threshold : float, optional
        Foreground is ``image > threshold``; `otsu_threshold` by default.
    dark : bool
        True: foreground is ``image <= threshold``.
    connectivity : {4, 8} in 2D, {6, 18, 26} in 3D, optional
        As for `label`.
    min_pixels : int
        Smaller objects are left out; the others are numbered 1..L in raster order.
    calibration, measures, ignore
        As for `measure`; ignored pixels are never foreground.

    Notes
    -----
    Much faster than making a label image, and the same to the last digit. The measures `contrast`,
    `contrast_to_noise` and `edge_sharpness` need a label image, which is then painted from the runs.
    """
    pixels_of = image.pixels if isinstance(image, Image) else np.asarray(image)
    if pixels_of.ndim not in (2, 3):
        raise ImageError(f"measure_threshold: an image has 2 or 3 axes, got an array of shape {pixels_of.shape}.")
    pixels, calibration, ignore = check_inputs(pixels_of.shape, image, calibration, ignore, "measure_threshold")
    assert pixels is not None
    chosen = choose(measures, pixels.ndim, True)
    if threshold is None:
        threshold = otsu_threshold(pixels, ignore=ignore)
    runs = threshold_runs(pixels, threshold, dark=dark, connectivity=connectivity, ignore=ignore)
    if min_pixels > 1:
        runs = _drop_small(runs, min_pixels)
    return tabulate(Regions(runs, calibration, pixels, ignore, limits_of(image)), chosen)


def otsu_threshold(image: np.ndarray, *, ignore: np.ndarray | None = None) -> float:
    """Return Otsu's threshold: the intensity t that separates ``image <= t`` from ``image > t`` best.

    Parameters
    ----------
    image : array
        Whole numbers that span less than 65,536 are counted exactly; anything else in 4096 bins between the least and
        the largest finite value.
    ignore : array of bool, optional
        True for pixels that do not count.

    Raises
    ------
    ImageError
        If there is no finite pixel.

    References
    ----------
    N. Otsu, IEEE Trans. Syst. Man Cybern. 9 (1979) 62, doi:10.1109/TSMC.1979.4310076.
    """
    values = image if ignore is None else image[~ignore]
    if values.dtype == np.bool_:
        values = values.view(np.uint8)
    values = np.ascontiguousarray(values).ravel()
    if values.size == 0:
        raise ImageError("otsu_threshold: there is no pixel that counts.")
    if values.dtype in (np.uint8, np.uint16):
        return float(_split(_count16(values)))
    if values.dtype.kind in "iu":
        low = int(values.min())
        if int(values.max()) - low < 65536:
            return float(_split(np.bincount((values - values.dtype.type(low)).astype(np.uint16))) + low)
    elif not np.isfinite(values).all():
        values = values[np.isfinite(values)]
        if values.size == 0:
            raise ImageError("otsu_threshold: no pixel is finite.")
    least, most = float(values.min()), float(values.max())
    if least == most:
        return least
    counts, edges = np.histogram(values, bins=_FLOAT_BINS, range=(least, most))
    return float(np.nextafter(edges[_split(counts) + 1], -np.inf))  # a value on the edge is in the bin above


def _split(counts: np.ndarray) -> int:
    """Return the bin after which a histogram splits best; the first where several are equal."""
    filled = np.flatnonzero(counts)
    if filled.size < 2:
        return int(filled[0]) if filled.size else 0
    first, last = filled[0], filled[-1]
    weight = counts[first : last + 1].astype(float)
    below = np.cumsum(weight)
    moment = np.cumsum(weight * np.arange(weight.size))
    n, total = below[-1], moment[-1]
    below, moment = below[:-1], moment[:-1]
    between = (moment * n - below * total) ** 2 / (below * (n - below))
    return int(first + np.argmax(between))


@njit(cache=True, nogil=True)
def _count16(values):
    # Four histograms: neighbours are alike, and adding to one counter twice in a row waits for the first to be done.
    counts = np.zeros((4, 65536), np.uint32)
    n = values.size - values.size % 4
    for i in range(0, n, 4):
        counts[0, values[i]] += 1
        counts[1, values[i + 1]] += 1
        counts[2, values[i + 2]] += 1
        counts[3, values[i + 3]] += 1
    for i in range(n, values.size):
        counts[0, values[i]] += 1
    return counts.sum(axis=0)


def threshold_runs(
    pixels: np.ndarray,
    threshold: float,
    *,
    dark: bool = False,
    connectivity: int | None = None,
    ignore: np.ndarray | None = None,
) -> Runs:
    """Return the connected objects of ``pixels > threshold`` (dark: ``<=``) as runs, numbered in raster order.

    Raises
    ------
    OptionError
        If the threshold is not a number, or the connectivity does not belong to the dimension.
    """
    if math.isnan(threshold):
        raise OptionError("the threshold is not a number (nan); give a finite one, or none for Otsu's.")
    connectivity = check_connectivity(connectivity, pixels.ndim)
    n = pixels.shape[-1]
    lines = pixels.reshape(-1, n) if pixels.size else pixels.reshape(0, max(n, 1))
    hidden = None if ignore is None else ignore.reshape(lines.shape)
    rows = max(1, _CHUNK // max(n, 1))
    width = -(-n // 8) * 8
    mask = np.zeros((rows, width), np.bool_)
    first = np.zeros(lines.shape[0] + 1, np.int64)
    start = stop = np.empty(0, np.int32)
    found = 0
    compare, limit = _comparison(pixels.dtype, threshold, dark)
    for i in range(0, lines.shape[0], rows):
        chunk = lines[i : i + rows]
        view = mask[: chunk.shape[0], :n]
        compare(chunk, limit, out=view)
        if hidden is not None:
            view &= ~hidden[i : i + rows]
        if start.size < found + chunk.size // 2 + rows + 1:  # a line of n pixels has at most (n + 1) / 2 runs
            size = max(2 * start.size, found + chunk.size // 2 + rows + 1)
            start, stop = np.resize(start, size), np.resize(stop, size)
        words = mask[: chunk.shape[0]].view(np.uint64)
        found = _runs_of_mask(words, n, found, start, stop, first[i : i + chunk.shape[0]])
    first[-1] = found
    start, stop = start[:found].copy(), stop[:found].copy()
    slack = np.array(_SLACK[connectivity], np.int64)
    n_rows = pixels.shape[-2]
    region, n_regions = _connect(start, stop, first, n_rows, slack)
    return Runs(start, stop, region, first, pixels.shape, np.arange(1, n_regions + 1, dtype=np.int32))


_SLACK = {
    4: (0, -1, -1, -1),
    8: (1, -1, -1, -1),
    6: (0, -1, 0, -1),
    18: (1, 0, 1, 0),
    26: (1, 1, 1, 1),
}
"""How far runs on neighbouring lines may miss each other; lines at (plane, row) 0 -1, -1 -1, -1 0, -1 +1; -1: never."""


def _comparison(dtype: np.dtype, threshold: float, dark: bool) -> tuple[np.ufunc, float | int]:
    """Return the comparison and its limit, a whole number of the pixels' type where they are whole numbers."""
    if dtype.kind not in "iu":
        limit = dtype.type(threshold)
        if (
            float(limit) > threshold
        ):  # rounded up to float32: the next value below splits the pixels as the threshold does
            limit = np.nextafter(limit, dtype.type(-math.inf))
        return (np.less_equal if dark else np.greater), limit
    limits = np.iinfo(dtype)
    if threshold < limits.min:  # everything lies above
        return (np.less if dark else np.greater_equal), limits.min
    whole = limits.max if threshold >= limits.max else math.floor(threshold)
    return (np.less_equal if dark else np.greater), whole


@njit(cache=True, nogil=True)
def _runs_of_mask(words, n, k, start, stop, first):
    """Write the runs of a mask of bytes 0 and 1, read eight at a time; the bytes after column n are 0."""
    one, none, full = np.uint64(1), np.uint64(0), np.uint64(0x0101010101010101)
    for i in range(words.shape[0]):
        first[i] = k
        on = none
        same = none
        for w in range(words.shape[1]):
            word = words[i, w]
            if word == same:
                continue
            # 1 in every byte that differs from the one before it.
            change = word ^ ((word << np.uint64(8)) | on)
            while change != none:
                c = 8 * w + np.int64(lowest_bit(change) >> np.uint64(3))
                change &= change - one
                if on == none:
                    start[k] = c
                else:
                    stop[k] = c
                    k += 1
                on = one - on
            same = full if on == one else none
        if on == one:
            stop[k] = n
            k += 1
    return k


@njit(cache=True, nogil=True)
def _root(parent, k):
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


@njit(cache=True, nogil=True)
def _join(parent, start, stop, first, before, line, slack):
    j, end = first[before], first[before + 1]
    for k in range(first[line], first[line + 1]):
        a, b = start[k] - slack, stop[k] + slack
        while j < end and stop[j] <= a:
            j += 1
        m = j
        while m < end and start[m] < b:
            p, q = _root(parent, m), _root(parent, k)
            if p < q:  # the first run in raster order stays the root
                parent[q] = p
            else:
                parent[p] = q
            m += 1


@njit(cache=True, nogil=True)
def _connect(start, stop, first, n_rows, slack):
    """Return the object of every run, and how many there are."""
    parent = np.arange(start.size).astype(np.int32)
    for i in range(first.size - 1):
        row = i % n_rows
        if row > 0:
            _join(parent, start, stop, first, i - 1, i, slack[0])
        if i >= n_rows:
            if slack[1] >= 0 and row > 0:
                _join(parent, start, stop, first, i - n_rows - 1, i, slack[1])
            if slack[2] >= 0:
                _join(parent, start, stop, first, i - n_rows, i, slack[2])
            if slack[3] >= 0 and row < n_rows - 1:
                _join(parent, start, stop, first, i - n_rows + 1, i, slack[3])
    region = np.empty(start.size, np.int32)
    n = 0
    for k in range(start.size):
        root = _root(parent, k)
        if root == k:
            region[k] = n
            n += 1
        else:
            region[k] = region[root]
    return region, n


def _drop_small(runs: Runs, min_pixels: int) -> Runs:
    """Return the runs of the objects that have at least `min_pixels` pixels, numbered anew."""
    size = np.bincount(runs.region, weights=runs.stop - runs.start, minlength=runs.n_regions)
    keep = size >= min_pixels
    number = np.cumsum(keep, dtype=np.int32) - np.int32(1)
    of_run = keep[runs.region]
    first = np.concatenate([[0], np.cumsum(of_run)])[runs.first]
    labels = np.arange(1, np.count_nonzero(keep) + 1, dtype=np.int32)
    return Runs(
        runs.start[of_run], runs.stop[of_run], number[runs.region[of_run]], first.astype(np.int64), runs.shape, labels
    )
