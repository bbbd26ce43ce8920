"""Spots that gamma rays and bad pixels leave in a frame: found by how far they stand out of the noise, and filled."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numba
import numpy as np

from segmetry.errors import ImageError, OptionError
from segmetry.prepare.medians import ring, window_median
from segmetry.prepare.valid import as_finite

SIDES = ("bright", "dark", "both")
"""Which outliers count."""

_BLOCK = 32  # px; the median of 1,024 absolute residuals has an error of about 4 %
_MAD = 1.4826  # standard deviation of a normal law over the median of its absolute values


class Cleaned(NamedTuple):
    """A frame as float32, and where its values were replaced."""

    image: np.ndarray
    replaced: np.ndarray


def usable_frame(frame: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a frame as finite float32, and where it was not finite; refuse what is no frame.

    Raises
    ------
    ImageError
        If it is a stack, has no finite pixel, or fewer than `least` pixels along an axis.
    """
    frame = np.asarray(frame)
    if frame.ndim != 2:
        raise ImageError(
            f"spots are cleaned frame by frame, got shape {frame.shape}; pass the frames of a stack one by one."
        )
    if min(frame.shape) < least:
        raise ImageError(
            f"a frame of {frame.shape} px is smaller than the window of {least} px; take a smaller window."
        )
    finite = as_finite(frame)
    if finite.valid is None:
        return finite.pixels, np.zeros(frame.shape, bool)
    if not finite.valid.any():
        raise ImageError("no pixel of the frame is a finite number.")
    return fill_inwards(finite.pixels, ~finite.valid), ~finite.valid


def clean_spots(
    frame: np.ndarray,
    *,
    high: float = 6.0,
    low: float = 3.0,
    which: str = "bright",
    offset: float = 0.0,
    max_area: int = 100,
) -> Cleaned:
    """Return a frame without spots: those that stand out of their surroundings by more than the noise explains.

    Parameters
    ----------
    frame : (M, N) array
        Counts or transmission. What is not finite is replaced too.
    high, low : float
        A spot has a pixel of more than `high` standard deviations of the noise; it reaches as far as connected pixels
        have more than `low`.
    which : {"bright", "dark", "both"}
    offset : float
        Value without any light: noise grows with the square root of what is above it.
    max_area : int
        Spots of more pixels are left alone: they are something else.

    Returns
    -------
    cleaned : Cleaned

    Raises
    ------
    ImageError
        For a stack, a frame without a finite pixel, or one smaller than 5 x 5 px.
    OptionError
        For an unknown side, or a `low` above `high`.

    Notes
    -----
    The residual against the median of the 24 neighbours is divided by the square root of that median, so that Poisson
    noise is alike everywhere; its standard deviation comes from the median absolute residual of blocks of 32 px. The
    second pass takes medians of the frame that the first one cleaned: neighbours of large spots stand out better.
    Whole numbers are taken to have a rounding error of half a unit.
    """
    if which not in SIDES or not 0 < low <= high or max_area < 1:
        raise OptionError(
            f"clean_spots: which is one of {', '.join(SIDES)}, 0 < low <= high, max_area >= 1; got {which!r}, "
            f"{low:g}, {high:g}, {max_area}."
        )
    pixels, broken = usable_frame(frame, 5)
    rounding = 0.5 if np.asarray(frame).dtype.kind in "iu" else 0.0
    cleaned, replaced = pixels, broken
    for _ in range(2):
        score = spot_score(pixels, cleaned, offset=offset, rounding=rounding)
        score = {"bright": score, "dark": -score, "both": np.abs(score)}[which]
        replaced = connected_above(score, low, high, max_area) | broken
        cleaned = fill_inwards(pixels, replaced)
    return Cleaned(cleaned, replaced)


def spot_score(pixels: np.ndarray, background: np.ndarray, *, offset: float = 0.0, rounding: float = 0.0) -> np.ndarray:
    """Return how far pixels lie above the median of their 24 neighbours, in standard deviations of the noise there.

    Parameters
    ----------
    pixels : (M, N) array of float32
    background : (M, N) array of float32
        Where the medians are taken: the frame itself, or one without the spots that are known.
    offset, rounding : float
        As in `clean_spots`; `rounding` is the least standard deviation.
    """
    median = window_median(background, ring(5))
    signal = median - np.float32(offset)
    # Where there is next to no light the noise no longer goes with the root of it.
    least = 0.01 * float(np.quantile(signal[::4, ::4], 0.99))
    root = np.sqrt(np.maximum(signal, np.float32(least))) if least > 0 else np.ones_like(signal)
    residual = (pixels - median) / root
    tiny = max(rounding, 1e-6 * float(np.abs(median).max()), 1e-30)
    return residual / np.maximum(local_sigma((background - median) / root), np.float32(tiny) / root)


def local_sigma(residual: np.ndarray) -> np.ndarray:
    """Return the standard deviation round every pixel, (M, N) float32, from medians of absolute values over blocks.

    Spots and edges have no say as long as they are less than half of a block.
    """
    rows, cols = (max(1, round(n / _BLOCK)) for n in residual.shape)
    edges = [np.linspace(0, n, parts + 1).astype(int) for n, parts in zip(residual.shape, (rows, cols))]
    size = np.abs(residual)
    blocks = np.array(
        [[np.median(size[a:b, c:d]) for c, d in zip(edges[1], edges[1][1:])] for a, b in zip(edges[0], edges[0][1:])],
        np.float32,
    )
    return cv2.resize(np.float32(_MAD) * blocks, residual.shape[::-1], interpolation=cv2.INTER_LINEAR)


def connected_above(score: np.ndarray, low: float, high: float, max_area: int) -> np.ndarray:
    """Return the 8-connected regions above `low` that have a pixel above `high` and at most `max_area` pixels."""
    above = score > low
    n, labels, stats, _ = cv2.connectedComponentsWithStats(above.view(np.uint8), connectivity=8)
    keep = np.zeros(n, bool)
    keep[labels[score > high]] = True
    keep &= stats[:, cv2.CC_STAT_AREA] <= max_area
    keep[0] = False
    return keep[labels]


def fill_inwards(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return an image whose masked pixels are filled from their border inwards, as float32.

    Each layer of masked pixels beside known ones takes the mean of its known neighbours (of eight), then it is known.

    Examples
    --------
    >>> fill_inwards(np.array([[1.0, 9.0, 9.0, 4.0]]), np.array([[False, True, True, False]]))
    array([[1., 1., 4., 4.]], dtype=float32)
    """
    out = image.astype(np.float32)
    if mask.all():
        raise ImageError("every pixel is to be filled, and none is known.")
    _fill(out, mask.copy(), np.argwhere(mask))
    return out


@numba.njit(cache=True, nogil=True)
def _fill(image, unknown, places):
    rows, cols = image.shape
    values = np.empty(places.shape[0], np.float32)
    n = places.shape[0]
    while n > 0:
        n_found = 0
        for k in range(n):
            i, j = places[k]
            total, count = 0.0, 0
            for r in range(max(i - 1, 0), min(i + 2, rows)):
                for c in range(max(j - 1, 0), min(j + 2, cols)):
                    if not unknown[r, c]:
                        total += image[r, c]
                        count += 1
            if count:  # found ones gather at the front, those that wait behind them
                places[k, 0], places[k, 1] = places[n_found, 0], places[n_found, 1]
                places[n_found, 0], places[n_found, 1] = i, j
                values[n_found] = total / count
                n_found += 1
        for k in range(n_found):
            image[places[k, 0], places[k, 1]] = values[k]
            unknown[places[k, 0], places[k, 1]] = False
        n_left = n - n_found
        for k in range(n_left):
            places[k, 0], places[k, 1] = places[n_found + k, 0], places[n_found + k, 1]
        n = n_left


def clean_repeats(frames: np.ndarray, *, high: float = 6.0, offset: float = 0.0) -> Cleaned:
    """Return the mean of repeated frames, without what stands out in one of them.

    Parameters
    ----------
    frames : (K, M, N) array
        At least three frames of the same scene.
    high : float
        A value counts as a spot where it lies more than this many standard deviations above the median of the
        other frames; that median takes its place.
    offset : float
        As in `clean_spots`.

    Returns
    -------
    cleaned : Cleaned
        `image` is (M, N), `replaced` (K, M, N). What is the same in all frames (hot pixels) stays.
    """
    frames = np.asarray(frames)
    if frames.ndim != 3 or len(frames) < 3:
        raise ImageError(f"repeated frames are a (K, M, N) array of at least three, got shape {frames.shape}.")
    total, replaced = np.zeros(frames.shape[1:], np.float64), np.zeros(frames.shape, bool)
    whole = np.isfinite(frames).all(axis=0) if frames.dtype.kind == "f" else np.ones(frames.shape[1:], bool)
    if not whole.all():
        raise ImageError(f"{np.count_nonzero(~whole)} pixels are not finite in one of the frames; clean these first.")
    for k, frame in enumerate(frames):
        others = np.median(np.delete(frames, k, axis=0), axis=0).astype(np.float32)
        root = np.sqrt(np.maximum(others - np.float32(offset), 1))
        residual = (frame.astype(np.float32) - others) / root
        replaced[k] = residual > high * np.maximum(local_sigma(residual), 0.5 / root)
        total += np.where(replaced[k], others, frame)
    return Cleaned((total / len(frames)).astype(np.float32), replaced)
