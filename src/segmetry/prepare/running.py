"""Sums over a box round every pixel or voxel, by running sums: the cost does not grow with the box."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from segmetry.errors import ImageError, OptionError

# The kernels see a volume; an image is a volume of one plane. `plane` holds the sums over the planes of the box,
# `line` those over its planes and rows, `prefix` the running sum along the row, padded so that the box never leaves it.


@numba.njit(cache=True, nogil=True)
def _give(total, part):
    for i in range(part.shape[0]):
        for j in range(part.shape[1]):
            total[i, j] += part[i, j]


@numba.njit(cache=True, nogil=True)
def _take(total, part):
    for i in range(part.shape[0]):
        for j in range(part.shape[1]):
            total[i, j] -= part[i, j]


@numba.njit(cache=True, nogil=True)
def _slide(total, coming, going):
    """Move a running sum by one step: add what comes into the box, subtract what leaves it."""
    for i in range(total.shape[0]):
        for j in range(total.shape[1]):
            total[i, j] = total[i, j] + coming[i, j] - going[i, j]


@numba.njit(cache=True, nogil=True)
def _move(total, stack, k, r):
    """Turn the sum over steps k-1-r..k-1+r of a stack into that over k-r..k+r; at k = 0 it starts anew."""
    n = stack.shape[0]
    if k == 0:
        total[:] = 0
        for m in range(min(r + 1, n)):
            _give(total, stack[m])
    elif k + r < n and k - r - 1 >= 0:
        _slide(total, stack[k + r], stack[k - r - 1])
    elif k + r < n:
        _give(total, stack[k + r])
    elif k - r - 1 >= 0:
        _take(total, stack[k - r - 1])


@numba.njit(cache=True, nogil=True)
def _run_along(prefix, line, r):
    n = line.shape[1]
    running = line[0, 0] - line[0, 0]
    inner, row = prefix[r + 1 :], line[0]
    # Four at a time: the sum waits for one addition in four, which is what takes the time.
    whole = n - n % 4
    for j in range(0, whole, 4):
        ab, cd = row[j] + row[j + 1], row[j + 2] + row[j + 3]
        inner[j] = running + row[j]
        inner[j + 1] = running + ab
        inner[j + 2] = running + (ab + row[j + 2])
        running += ab + cd
        inner[j + 3] = running
    for j in range(whole, n):
        running += row[j]
        inner[j] = running
    inner[n:] = running


@numba.njit(cache=True, nogil=True)
def _sum_rows(source, line, prefix, r1, r2, out):
    rows = source.reshape(source.shape[0], 1, source.shape[1])
    for i in range(source.shape[0]):
        _move(line, rows, i, r1)
        _run_along(prefix, line, r2)
        right, row = prefix[2 * r2 + 1 :], out[i]
        for j in range(source.shape[1]):
            row[j] = right[j] - prefix[j]


@numba.njit(cache=True, nogil=True)
def _sums(volume, zero, r0, r1, r2, out):
    n0, n1, n2 = volume.shape
    line, prefix = np.zeros((1, n2), zero.dtype), np.zeros(n2 + 2 * r2 + 1, zero.dtype)
    if n0 == 1:
        _sum_rows(volume[0], line, prefix, r1, r2, out[0])
        return
    plane = np.zeros((n1, n2), zero.dtype)
    for k in range(n0):
        _move(plane, volume, k, r0)
        _sum_rows(plane, line, prefix, r1, r2, out[k])


@numba.njit(cache=True, nogil=True)
def _compare_rows(source, image, deep, across, line, prefix, r1, r2, low, high, out):
    n1, n2 = source.shape
    rows = source.reshape(n1, 1, n2)
    for i in range(n1):
        _move(line, rows, i, r1)
        _run_along(prefix, line, r2)
        n = np.float64(deep * (min(i + r1, n1 - 1) - max(i - r1, 0) + 1))
        row, pixels, right = out[i], image[i], prefix[2 * r2 + 1 :]
        for j in range(n2):
            total = np.float64(right[j] - prefix[j])
            value = np.float64(pixels[j]) * (n * across[j])
            row[j] = (value <= low * total) | (value >= high * total)


@numba.njit(cache=True, nogil=True)
def _compare(volume, zero, r0, r1, r2, low, high, out):
    n0, n1, n2 = volume.shape
    line, prefix = np.zeros((1, n2), zero.dtype), np.zeros(n2 + 2 * r2 + 1, zero.dtype)
    across = np.empty(n2, np.float64)
    for j in range(n2):
        across[j] = min(j + r2, n2 - 1) - max(j - r2, 0) + 1
    if n0 == 1:
        _compare_rows(volume[0], volume[0], 1, across, line, prefix, r1, r2, low, high, out[0])
        return
    plane = np.zeros((n1, n2), zero.dtype)
    for k in range(n0):
        _move(plane, volume, k, r0)
        deep = min(k + r0, n0 - 1) - max(k - r0, 0) + 1
        _compare_rows(plane, volume[k], deep, across, line, prefix, r1, r2, low, high, out[k])


def _volume(image: np.ndarray, window: Sequence[int]) -> tuple[np.ndarray, np.ndarray, tuple[int, int, int]]:
    """Return the image as a volume, a zero of the type that holds its sums exactly, and the box's radii."""
    if image.ndim not in (1, 2, 3) or image.size == 0:
        raise ImageError(f"a box runs over 1 to 3 axes of at least one pixel, got an array of shape {image.shape}.")
    if len(window) != image.ndim or any(w < 1 or w % 2 == 0 for w in window):
        raise OptionError(f"window must be {image.ndim} odd numbers of pixels, got {tuple(window)}.")
    if image.dtype == bool:
        image = image.view(np.uint8)
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        image = image.astype(np.float32)
    fill = (1,) * (3 - image.ndim)
    volume = np.ascontiguousarray(image).reshape(fill + image.shape)
    sides = fill + tuple(min(w, 2 * n - 1) for w, n in zip(window, image.shape, strict=True))
    # Whole numbers add without error. The sum along a row may wrap round; its differences, the sums over the box,
    # come out right wherever they fit.
    if image.dtype == np.float32:
        zero = np.zeros(1, np.float64)
    else:
        largest = float(np.prod(sides)) * float(np.iinfo(image.dtype).max)
        zero = np.zeros(1, np.int32 if largest < 2**31 else np.int64)
    return volume, zero, (sides[0] // 2, sides[1] // 2, sides[2] // 2)


def box_sum(image: np.ndarray, window: Sequence[int]) -> np.ndarray:
    """Return the sum over a box centred on every pixel; outside the image there is nothing.

    Parameters
    ----------
    image : (N,), (M, N) or (P, M, N) array
        uint8, uint16 and float32 as they are, other types as float32. Sums of whole numbers are exact.
    window : sequence of int
        Odd side of the box along each axis, in px.

    Returns
    -------
    sums : float64 array of that shape

    Examples
    --------
    >>> import numpy as np
    >>> box_sum(np.array([[1, 2, 3, 4]], np.uint8), (1, 3))
    array([[3., 6., 9., 7.]])
    """
    volume, zero, radii = _volume(image, window)
    out = np.empty(volume.shape, np.float64)
    _sums(volume, zero, *radii, out)
    return out.reshape(image.shape)


def box_count(shape: Sequence[int], window: Sequence[int]) -> np.ndarray:
    """Return how many pixels of an image lie in a box centred on each pixel; shape broadcast, float64."""
    count = np.ones((1,) * len(shape))
    for axis, (n, side) in enumerate(zip(shape, window, strict=True)):
        at, r = np.arange(n), side // 2
        along = np.minimum(at + r, n - 1) - np.maximum(at - r, 0) + 1
        count = count * along.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return count


def outside_band(
    image: np.ndarray, window: Sequence[int], *, low: float, high: float, valid: np.ndarray | None = None
) -> np.ndarray:
    """Return where a pixel is at most `low` times, or at least `high` times, the mean of the box round it.

    Parameters
    ----------
    image : (N,), (M, N) or (P, M, N) array
    window : sequence of int
        Odd side of the box along each axis, in px. At the border the mean is over the pixels that are there.
    low, high : float
        Minus and plus infinity switch a side off.
    valid : bool array, optional
        Pixels that count; where it is False the answer is False.

    Returns
    -------
    mask : bool array of that shape
    """
    # Infinity times an empty sum is no number; these bounds are beyond any ratio of real pixels.
    low, high = max(low, -1e30), min(high, 1e30)
    if valid is not None:
        counted = box_sum(valid, window)
        total = box_sum(np.where(valid, image, 0).astype(np.float32), window)
        value = image * counted
        return ((value <= low * total) | (value >= high * total)) & valid
    volume, zero, radii = _volume(image, window)
    out = np.empty(volume.shape, np.bool_)
    _compare(volume, zero, *radii, low, high, out)
    return out.reshape(image.shape)
