"""Pixels that cannot be used: not-a-number, infinite, or not specimen."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np


class Finite(NamedTuple):
    """Finite float32 pixels; `valid` is None where every pixel can be used; `n_bad` were not finite."""

    pixels: np.ndarray
    valid: np.ndarray | None
    n_bad: int


def as_finite(pixels: np.ndarray, ignore: np.ndarray | None = None) -> Finite:
    """Return the pixels as finite float32, and where they can be used.

    Parameters
    ----------
    pixels : array of real numbers
        Not changed. Values beyond the range of float32 count as infinite.
    ignore : bool array of that shape, optional
        True where pixels are not specimen.

    Returns
    -------
    finite : Finite
        Pixels that were not finite hold the mean of those that are (0 if none is).
    """
    with np.errstate(over="ignore"):
        work = np.ascontiguousarray(pixels, dtype=np.float32)
    valid = None if ignore is None or not ignore.any() else ~ignore
    n_bad = 0
    if pixels.dtype.kind == "f":
        finite = np.isfinite(work)
        n_bad = int(finite.size - np.count_nonzero(finite))
        if n_bad:
            mean = float(work[finite].mean(dtype=np.float64)) if n_bad < finite.size else 0.0
            work = np.where(finite, work, np.float32(mean))
            valid = finite if valid is None else valid & finite
    return Finite(work, valid, n_bad)


def fill_invalid(pixels: np.ndarray, valid: np.ndarray, *, window: int = 31) -> np.ndarray:
    """Return a 2D image whose unusable pixels hold the mean of the usable ones around them.

    The window doubles until every gap is filled, so that the rim of a burned-in text leaves no edge.

    Parameters
    ----------
    pixels : (M, N) array of float32
    valid : (M, N) array of bool
        False where a pixel is to be replaced.
    window : int
        First side of the averaging window, in px.
    """
    out = pixels.copy()
    missing = ~valid
    if not valid.any():
        return out
    centre = np.float32(pixels[valid].mean(dtype=np.float64))
    weight = valid.astype(np.float32)
    sums = np.where(valid, pixels - centre, np.float32(0))
    side = window
    while missing.any():
        size = (min(side, 2 * pixels.shape[1] + 1) | 1, min(side, 2 * pixels.shape[0] + 1) | 1)
        n = cv2.boxFilter(weight, -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
        s = cv2.boxFilter(sums, -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
        ready = missing & (n > 0.5)
        out[ready] = centre + s[ready] / n[ready]
        missing &= ~ready
        side = 2 * side + 1
    return out
