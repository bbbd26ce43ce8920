"""Stripes of a sinogram, which become rings in the slice: found and removed by sorting each column over the angle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numba import njit

from segmetry.errors import ImageError, OptionError
from segmetry.options import Options, option
from segmetry.prepare.frames import as_frames
from segmetry.prepare.valid import fill_invalid


@dataclass(frozen=True, kw_only=True)
class Stripes(Options):
    """Options of the removal of stripes: dead ones first, then large ones, then what sorting finds.

    References
    ----------
    Vo, Atwood, Drakopoulos, Opt. Express 26, 28396 (2018), doi:10.1364/OE.26.028396, algorithms 3 to 6. What we do
    differently: a large stripe is the difference of column means, not their ratio, because a wrong gain adds to an
    attenuation and air is 0 in it; from that difference its own running median is taken, which is what the first
    median does to a bent profile, a disk's say; columns that are not marked stay as they are in the first two steps;
    and the border's columns can be marked too.
    """

    name: ClassVar[str] = "stripes"

    snr: float = option(3.0, "how far outside the noise a stripe lies; more finds less", low=1, high=100)
    small: int = option(21, "width of the median that evens out narrow stripes, odd", unit="px", low=3, high=1001)
    large: int = option(51, "width of the median that marks wide and dead stripes, odd", unit="px", low=3, high=1001)
    drop: float = option(0.1, "share of the sorted values left out at the ends, for large stripes", low=0, high=0.8)


def remove_stripes(projections: np.ndarray, options: Stripes | None = None) -> np.ndarray:
    """Return a sinogram or all projections of a scan without stripes: dead, then large, then by sorting.

    Parameters
    ----------
    projections : (A, N) or (A, M, N) array
        Attenuation over A angles; each row of the detector is a sinogram. A pixel that is nan stays so, and has no
        say in the others.

    Returns
    -------
    projections : float32 array of that shape
    """
    o = options or Stripes()

    def clean(sinogram: np.ndarray) -> np.ndarray:
        even = remove_dead(sinogram, snr=o.snr, size=o.large)
        return remove_by_sorting(remove_large(even, snr=o.snr, size=o.large, drop=o.drop), size=o.small)

    return _over_rows(projections, clean)


def remove_by_sorting(projections: np.ndarray, *, size: int = 21) -> np.ndarray:
    """Return projections whose columns, sorted over the angle, were smoothed by a median across the columns.

    Neighbouring columns see nearly the same values in another order; where one of them is off at every angle, its
    sorted values stand out from its neighbours'. Algorithm 3 of Vo 2018; equal values keep the order of the angles.

    Parameters
    ----------
    projections : (A, N) or (A, M, N) array
    size : int
        Width of the median in px, odd; more than twice the widest stripe.
    """
    _check_size(size)

    def clean(sinogram: np.ndarray) -> np.ndarray:
        keys, _, smooth = _sorted(sinogram, size)
        return _unsort(keys, smooth)

    return _over_rows(projections, clean)


def remove_large(projections: np.ndarray, *, snr: float = 3.0, size: int = 51, drop: float = 0.1) -> np.ndarray:
    """Return projections whose wide stripes hold the sorted, smoothed values (algorithm 5 of Vo 2018).

    Parameters
    ----------
    projections : (A, N) or (A, M, N) array
    snr : float
        See `detect_stripe`.
    size : int
        Width of the median in px, odd.
    drop : float
        Share of the sorted values, both ends together, left out of the columns' means.
    """
    _check_size(size)

    def clean(sinogram: np.ndarray) -> np.ndarray:
        keys, values, smooth = _sorted(sinogram, size)
        n_drop = int(0.5 * drop * len(sinogram))
        inner = slice(n_drop, len(sinogram) - n_drop)
        excess = values[inner].mean(axis=0, dtype=np.float64) - smooth[inner].mean(axis=0, dtype=np.float64)
        bend = _median_across(excess.astype(np.float32)[None], size // 2)[0]
        marked = _widened(detect_stripe(excess - bend, snr=snr))
        return np.where(marked, _unsort(keys, smooth) + bend, sinogram)

    return _over_rows(projections, clean)


def remove_dead(projections: np.ndarray, *, snr: float = 3.0, size: int = 51) -> np.ndarray:
    """Return projections whose dead or flickering columns were interpolated from the columns beside (algorithm 6).

    A column is marked by how much it changes from angle to angle, over the median of that across the columns.

    Parameters
    ----------
    projections : (A, N) or (A, M, N) array
    snr : float
        See `detect_stripe`.
    size : int
        Width of the median in px, odd.
    """
    _check_size(size)

    def clean(sinogram: np.ndarray) -> np.ndarray:
        smooth = cv2.blur(sinogram, (1, 10), borderType=cv2.BORDER_REFLECT)
        change = np.abs(sinogram - smooth).mean(axis=0, dtype=np.float64).astype(np.float32)
        usual = _median_across(change[None], size // 2)[0]
        marked = _widened(detect_stripe(change / np.where(usual > 0, usual, max(usual.mean(), 1e-30)), snr=snr))
        if not marked.any() or marked.all():
            return sinogram
        good, bad = np.flatnonzero(~marked), np.flatnonzero(marked)
        after = np.searchsorted(good, bad)
        left, right = good[np.maximum(after - 1, 0)], good[np.minimum(after, len(good) - 1)]
        weight = ((bad - left) / np.maximum(right - left, 1)).astype(np.float32)
        out = sinogram.copy()
        out[:, bad] = sinogram[:, left] * (1 - weight) + sinogram[:, right] * weight
        return out

    return _over_rows(projections, clean)


def detect_stripe(profile: np.ndarray, *, snr: float = 3.0) -> np.ndarray:
    """Return which columns stand out of a profile (algorithm 4 of Vo 2018).

    The profile is sorted and a line fitted to the middle half of it. The line's rise from end to end is the noise,
    about 2.6 standard deviations of normal values. If an extreme lies `snr` times the noise beyond the line's end, all
    values more than half of that beyond it are marked.

    Parameters
    ----------
    profile : (N,) array of float
    snr : float

    Returns
    -------
    marked : (N,) array of bool

    Examples
    --------
    >>> profile = np.sin(np.arange(40))
    >>> profile[7] = 20
    >>> np.flatnonzero(detect_stripe(profile))
    array([7])
    """
    n = len(profile)
    marked = np.zeros(n, bool)
    ordered = np.sort(np.asarray(profile, np.float64))
    if n < 8 or ordered[-1] == ordered[0]:
        return marked
    at = np.arange(n)
    middle = slice(n // 4, n - n // 4 - 1)
    x, y = at[middle] - at[middle].mean(), ordered[middle]
    slope = float(x @ y / (x @ x))
    low = y.mean() - slope * at[middle].mean()
    high = low + slope * (n - 1)
    noise = max(high - low, 1e-6 * (ordered[-1] - ordered[0]))  # rounding is no noise
    if ordered[-1] - high >= snr * noise:
        marked |= profile > high + 0.5 * snr * noise
    if low - ordered[0] >= snr * noise:
        marked |= profile < low - 0.5 * snr * noise
    return marked


def _over_rows(projections: np.ndarray, clean: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return what a function makes of each row's sinogram; nan is filled before it and nan again after."""
    work = as_frames("the sinogram", projections)
    if work.shape[0] < 2 or work.shape[-1] < 8:
        raise ImageError(f"a sinogram has two angles and eight columns at least, got shape {work.shape}.")
    out = np.empty_like(work)
    for row in range(work.shape[1] if work.ndim == 3 else 1):
        at = (slice(None), row) if work.ndim == 3 else (slice(None), slice(None))
        sinogram = np.ascontiguousarray(work[at])
        valid = np.isfinite(sinogram)
        if valid.all():
            out[at] = clean(sinogram)
        elif valid.any():
            filled = fill_invalid(np.where(valid, sinogram, np.float32(0)), valid, window=3)
            out[at] = np.where(valid, clean(filled), np.float32(np.nan))
        else:
            out[at] = np.nan
    return out


def _check_size(size: int) -> None:
    if size < 3 or size % 2 == 0:
        raise OptionError(f"the width of a median over stripes is odd and at least 3 px, got {size!r}.")


def _widened(marked: np.ndarray) -> np.ndarray:
    """Return marked columns and their neighbours."""
    wide = marked.copy()
    wide[1:] |= marked[:-1]
    wide[:-1] |= marked[1:]
    return wide


# Values and their places travel as one 64-bit number, the value's bits (in an order that sorts as the value does)
# above the place: a sort of such numbers is vectorised, and several times an argsort.


_SIGN = np.uint32(0x80000000)


def _pack(bits: np.ndarray) -> np.ndarray:
    ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN).astype(np.uint64)
    return (ordered << np.uint64(32)) | np.arange(bits.shape[1], dtype=np.uint64)


def _value_bits(keys: np.ndarray) -> np.ndarray:
    ordered = (keys >> np.uint64(32)).astype(np.uint32)
    return np.where(ordered & _SIGN, ordered ^ _SIGN, ~ordered)


@njit(cache=True, nogil=True)
def _put_back(keys, values):
    out = np.empty_like(values)
    for c in range(keys.shape[0]):
        for a in range(keys.shape[1]):
            out[c, keys[c, a] & np.uint64(0xFFFFFFFF)] = values[c, a]
    return out


@njit(cache=True, nogil=True)
def _median_across(rows, half):
    """Return the median over 2 half + 1 columns, mirrored at the ends; the window is kept sorted as it moves."""
    n, size = rows.shape[1], 2 * half + 1
    out, window = np.empty_like(rows), np.empty(size, rows.dtype)
    for r in range(rows.shape[0]):
        row = rows[r]
        for k in range(size):
            value, j = row[_mirrored(k - half, n)], k
            while j > 0 and window[j - 1] > value:
                window[j] = window[j - 1]
                j -= 1
            window[j] = value
        out[r, 0] = window[half]
        for c in range(1, n):
            going, value = row[_mirrored(c - 1 - half, n)], row[_mirrored(c + half, n)]
            j = 0
            while window[j] < going:
                j += 1
            while j + 1 < size and window[j + 1] < value:
                window[j] = window[j + 1]
                j += 1
            while j > 0 and window[j - 1] > value:
                window[j] = window[j - 1]
                j -= 1
            window[j] = value
            out[r, c] = window[half]
    return out


@njit(cache=True, nogil=True)
def _mirrored(i, n):
    while i < 0 or i >= n:
        i = -i - 1 if i < 0 else 2 * n - 1 - i
    return i


def _sorted(sinogram: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the keys (N, A), the sorted values (A, N), and these smoothed across the columns."""
    keys = _pack(cv2.transpose(sinogram).view(np.uint32))
    keys.sort(axis=1)
    values = cv2.transpose(_value_bits(keys).view(np.float32))
    return keys, values, _median_across(values, size // 2)


def _unsort(keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return sorted values (A, N) at their places."""
    return cv2.transpose(_put_back(keys, cv2.transpose(values)))
