"""Medians over small windows of finite pixels, by networks of comparisons; beyond its border an image is constant."""

from __future__ import annotations

import functools
import math

import cv2
import numba
import numpy as np

from segmetry.errors import ImageError, OptionError

_TILE = 256  # px of a row that the network works on at a time: 49 rows are 50 kB, which the cache holds
_PITCH = 514  # and of a row of a volume, with a neighbour at either end
_EXACT = (np.uint8, np.uint16, np.float32)

# The kernels see rows of a tile: a comparison-exchange of two rows is one loop without branches, which the compiler
# turns into a minimum and a maximum of many pixels at once.


@numba.njit(cache=True, nogil=True)
def _copy(source, target):
    for j in range(target.size):  # several times faster than the assignment of a slice
        target[j] = source[j]


@numba.njit(cache=True, nogil=True)
def _exchange(low, high):
    for j in range(low.size):
        a, b = low[j], high[j]
        low[j] = a if a < b else b
        high[j] = b if a < b else a


@numba.njit(cache=True, nogil=True)
def _ranks(padded, offsets, pairs, ranks, out):
    """Write some ranks of the window of every pixel of a plane: out (ranks, rows, columns)."""
    rows, cols = out.shape[1:]
    tile = np.empty((offsets.shape[0], _TILE), padded.dtype)
    for i in range(rows):
        for start in range(0, cols, _TILE):
            n = min(_TILE, cols - start)
            for m in range(offsets.shape[0]):
                at = start + offsets[m, 2]
                _copy(padded[offsets[m, 0], i + offsets[m, 1], at:], tile[m, :n])
            for m in range(pairs.shape[0]):
                _exchange(tile[pairs[m, 0], :n], tile[pairs[m, 1], :n])
            for m in range(ranks.shape[0]):
                _copy(tile[ranks[m]], out[m, i, start : start + n])


@functools.cache
def _network(n: int, ranks: tuple[int, ...]) -> np.ndarray:
    """Return the comparison-exchanges, (K, 2), that bring the values of some ranks of n to their places.

    Batcher's odd-even merge sort (AFIPS Spring Joint Computer Conf. 1968, 307, doi:10.1145/1468075.1468121), without
    what no wanted rank depends on.
    """
    pairs, p = [], 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                for i in range(j, min(j + k, n - k)):
                    if i // (2 * p) == (i + k) // (2 * p):
                        pairs.append((i, i + k))
            k //= 2
        p *= 2
    wanted, kept = set(ranks), []
    for low, high in reversed(pairs):
        if low in wanted or high in wanted:
            wanted |= {low, high}
            kept.append((low, high))
    return np.array(kept[::-1], np.int64).reshape(-1, 2)


def window_median(image: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Return the median over a window of any form round every pixel.

    Parameters
    ----------
    image : (M, N) or (P, M, N) array
        uint8, uint16 and float32 as they are, other types as float32. Finite.
    window : bool array of as many axes
        True where a neighbour counts; its sides are odd, and its middle lies on the pixel.

    Returns
    -------
    median : array of the image's shape
        The image's type; float32 where the window has an even number of pixels: the mean of the middle two.

    Examples
    --------
    >>> ring = np.array([[True, False, True]])
    >>> window_median(np.array([[1, 90, 5, 7]], np.uint8), ring)
    array([[45.5,  3. , 48.5,  6. ]], dtype=float32)
    """
    window = np.asarray(window, bool)
    if window.ndim != image.ndim or any(side % 2 == 0 for side in window.shape) or not window.any():
        raise OptionError(
            f"a median's window has {image.ndim} odd sides and at least one pixel, got shape {window.shape}."
        )
    image = _checked(image)
    if window.all() and window.shape in ((3, 3), (5, 5)):
        return cv2.medianBlur(image, window.shape[0])
    if window.all() and window.shape == (3, 3, 3):
        return _median_cube(image) if image.dtype == np.uint8 else _values(_median_cube(_ordered(image)), image.dtype)
    fill = (1,) * (3 - image.ndim)
    box = window.reshape(fill + window.shape)
    offsets = np.argwhere(box)
    ranks = tuple(sorted({(len(offsets) - 1) // 2, len(offsets) // 2}))
    pairs = _network(len(offsets), ranks)
    padded = np.pad(_ordered(image).reshape(fill + image.shape), [(s // 2, s // 2) for s in box.shape], mode="edge")
    out = np.empty((len(ranks), *fill, *image.shape), padded.dtype)
    for k in range(out.shape[1]):
        _ranks(padded[k : k + box.shape[0]], offsets, pairs, np.array(ranks), out[:, k])
    found = _values(out.reshape(len(ranks), *image.shape), image.dtype)
    return found[0] if len(ranks) == 1 else found.mean(axis=0, dtype=np.float32)


def median3(image: np.ndarray) -> np.ndarray:
    """Return the median over the 3 x 3 (x 3) pixels round every pixel of an image or a volume, in its type.

    Examples
    --------
    >>> median3(np.array([[1, 1, 9], [2, 90, 9], [3, 3, 9]], np.uint8))[1, 1]
    np.uint8(3)
    """
    return window_median(image, np.ones((3,) * image.ndim, bool))


def ring(side: int, ndim: int = 2) -> np.ndarray:
    """Return the window of an odd side without its middle: a pixel has no say in what it is compared with."""
    window = np.ones((side,) * ndim, bool)
    window[(side // 2,) * ndim] = False
    return window


def disk(radius: float) -> np.ndarray:
    """Return the window that ImageJ's rank filters have for a radius in px: 0.5 is a cross, 1 is 3 x 3, 2 has 21 px.

    Examples
    --------
    >>> [int(disk(r).sum()) for r in (0.5, 1, 1.5, 2, 2.5, 3)]
    [5, 9, 13, 21, 29, 37]
    """
    # Two ranges of radii are raised there, so that the windows of a still older version come out.
    radius = 1.75 if 1.5 <= radius < 1.75 else 2.85 if 2.5 <= radius < 2.85 else radius
    square = int(radius * radius) + 1
    reach = math.isqrt(square)
    at = np.arange(-reach, reach + 1)
    return at[:, None] ** 2 + at**2 <= square


def _checked(image: np.ndarray) -> np.ndarray:
    if image.ndim not in (2, 3) or image.size == 0:
        raise ImageError(f"a median needs an image or a volume of at least one pixel, got shape {image.shape}.")
    return np.ascontiguousarray(image if image.dtype in _EXACT else image.astype(np.float32))


# The median of 3 x 3 x 3. The nine values of a column of the window (its planes and rows) are sorted once and serve
# three windows. Of three sorted columns, sorted once more across, 13 values can be the median; 7 of the others are
# surely not above it and 7 not below. The thirteen are three sorted runs.


@numba.njit(cache=True, nogil=True)
def _pair(a, b):
    return (a, b) if a < b else (b, a)


@numba.njit(cache=True, nogil=True)
def _low(a, b):
    return a if a < b else b


@numba.njit(cache=True, nogil=True)
def _high(a, b):
    return b if a < b else a


@numba.njit(cache=True, nogil=True)
def _middle(a, b, c):
    low, high = _pair(a, b)
    return _high(low, _low(high, c))


@numba.njit(cache=True, nogil=True)
def _sort_columns(rows, out, n):
    """Sort the nine values of each column; a row is `_PITCH` long, so that the compiler knows where the next begins."""
    for j in range(n):
        a, b = _pair(rows[j], rows[_PITCH + j])
        b, c = _pair(b, rows[2 * _PITCH + j])
        a, b = _pair(a, b)
        d, e = _pair(rows[3 * _PITCH + j], rows[4 * _PITCH + j])
        e, f = _pair(e, rows[5 * _PITCH + j])
        d, e = _pair(d, e)
        g, h = _pair(rows[6 * _PITCH + j], rows[7 * _PITCH + j])
        h, i = _pair(h, rows[8 * _PITCH + j])
        g, h = _pair(g, h)
        a, d = _pair(a, d)
        d, g = _pair(d, g)
        a, d = _pair(a, d)
        b, e = _pair(b, e)
        e, h = _pair(e, h)
        b, e = _pair(b, e)
        c, f = _pair(c, f)
        f, i = _pair(f, i)
        c, f = _pair(c, f)
        b, d = _pair(b, d)
        f, h = _pair(f, h)
        c, g = _pair(c, g)
        c, e = _pair(c, e)
        e, g = _pair(e, g)
        c, d = _pair(c, d)
        f, g = _pair(f, g)
        out[j] = a
        out[_PITCH + j] = b
        out[2 * _PITCH + j] = c
        out[3 * _PITCH + j] = d
        out[4 * _PITCH + j] = e
        out[5 * _PITCH + j] = f
        out[6 * _PITCH + j] = g
        out[7 * _PITCH + j] = h
        out[8 * _PITCH + j] = i


@numba.njit(cache=True, nogil=True)
def _median_of_columns(s, out, n):
    """Write the median of three neighbouring sorted columns: of the nine ranks, the lowest count only where high."""
    for j in range(n):
        # Ranks of the window's columns after sorting across: the least of each rank (a), the middle (b), the most (c).
        c0 = _high(_high(s[j], s[j + 1]), s[j + 2])
        c1 = _high(_high(s[_PITCH + j], s[_PITCH + j + 1]), s[_PITCH + j + 2])
        low, high = _pair(s[2 * _PITCH + j], s[2 * _PITCH + j + 1])
        c2 = _high(high, s[2 * _PITCH + j + 2])
        b2 = _high(low, _low(high, s[2 * _PITCH + j + 2]))
        low, high = _pair(s[3 * _PITCH + j], s[3 * _PITCH + j + 1])
        c3 = _high(high, s[3 * _PITCH + j + 2])
        b3 = _high(low, _low(high, s[3 * _PITCH + j + 2]))
        b4 = _middle(s[4 * _PITCH + j], s[4 * _PITCH + j + 1], s[4 * _PITCH + j + 2])
        low, high = _pair(s[5 * _PITCH + j], s[5 * _PITCH + j + 1])
        a5 = _low(low, s[5 * _PITCH + j + 2])
        b5 = _low(high, _high(low, s[5 * _PITCH + j + 2]))
        low, high = _pair(s[6 * _PITCH + j], s[6 * _PITCH + j + 1])
        a6 = _low(low, s[6 * _PITCH + j + 2])
        b6 = _low(high, _high(low, s[6 * _PITCH + j + 2]))
        a7 = _low(_low(s[7 * _PITCH + j], s[7 * _PITCH + j + 1]), s[7 * _PITCH + j + 2])
        a8 = _low(_low(s[8 * _PITCH + j], s[8 * _PITCH + j + 1]), s[8 * _PITCH + j + 2])
        # Merge a5..a8 with c0..c3 to x1..x8 (odd with even); x1 and x8 cannot be the seventh of thirteen.
        q = _high(a5, c0)
        r, t = _pair(a7, c2)
        r, q = _pair(r, q)
        u, v = _pair(a6, c1)
        w = _low(a8, c3)
        w, v = _pair(w, v)
        x2, x3 = _pair(u, r)
        x4, x5 = _pair(w, q)
        x6, x7 = _pair(v, t)
        # The seventh of x and b together: the least over all ways to take seven from the bottom of both.
        best = _low(_high(x2, b6), _high(x3, b5))
        best = _low(best, _low(_high(x4, b4), _high(x5, b3)))
        out[j] = _low(best, _low(_high(x6, b2), x7))


@numba.njit(cache=True, nogil=True)
def _cube(padded, width, out):
    """Write the medians of planes whose rows lie end to end; `width` is that of a padded row."""
    rows, columns = np.empty(9 * _PITCH, padded.dtype), np.empty(9 * _PITCH, padded.dtype)
    for k in range(out.shape[0]):
        used = out.shape[1] - 2  # the end of the last row is padding
        for start in range(0, used, _PITCH - 2):
            n = min(_PITCH - 2, used - start)
            for m in range(9):
                first = start + m % 3 * width
                _copy(padded[k + m // 3, first:], rows[m * _PITCH : m * _PITCH + n + 2])
            _sort_columns(rows, columns, n + 2)
            _median_of_columns(columns, out[k, start : start + n], n)


def _median_cube(volume: np.ndarray) -> np.ndarray:
    depth, height, width = volume.shape
    padded = np.pad(volume, 1, mode="edge")
    out = np.empty((depth, height * (width + 2)), volume.dtype)
    _cube(padded.reshape(depth + 2, -1), width + 2, out)
    return np.ascontiguousarray(out.reshape(depth, height, width + 2)[:, :, :width])


def _ordered(image: np.ndarray) -> np.ndarray:
    """Return whole numbers in the order of an array's values.

    Compilers turn comparisons of whole numbers into vector instructions, those of floats not.
    """
    if image.dtype.kind == "u":
        return image.astype(np.int32)
    bits = image.view(np.int32)
    return bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))


def _values(numbers: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return the values that `_ordered` made whole numbers of."""
    if dtype.kind == "u":
        return numbers.astype(dtype)
    return (numbers ^ ((numbers >> 31) & np.int32(0x7FFFFFFF))).view(np.float32)
