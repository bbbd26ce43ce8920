"""Frames of a camera: what may come in, and several of the same scene as one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from segmetry.errors import ImageError, OptionError, ShapeMismatchError

Box = tuple[int, int, int, int]
"""Top, left, bottom, right in px; the last two are one past the end."""

_MEDIAN_FROM = 5
"""Frames from which on the average is a median: of fewer it loses more to noise than it gains against spots."""


def as_frames(what: str, frames: np.ndarray) -> np.ndarray:
    """Return real frames as float32, (M, N) or (T, M, N); infinite values become nan.

    Raises
    ------
    ImageError
        If they are missing, empty, not numbers, or have another number of axes.
    """
    array = np.asarray(frames)
    if frames is None or array.size == 0:
        raise ImageError(f"{what} is missing: give one frame (M, N), or several as (T, M, N).")
    if array.dtype.kind not in "buif" or array.ndim not in (2, 3):
        raise ImageError(
            f"{what} must be real numbers of shape (M, N) or (T, M, N), got {array.dtype} {array.shape}; pick one "
            "channel, or convert it."
        )
    with np.errstate(over="ignore"):
        work = np.ascontiguousarray(array, np.float32)
    if array.dtype.kind == "f" and not np.isfinite(work).all():
        work = np.where(np.isfinite(work), work, np.float32(np.nan))
    return work


def check_same_frame(what: str, frames: np.ndarray, other: str, against: np.ndarray) -> None:
    """Raise ShapeMismatchError if two sets of frames differ in rows or columns."""
    if frames.shape[-2:] != against.shape[-2:]:
        raise ShapeMismatchError(
            f"{what} has frames of {frames.shape[-2:]} but {other} of {against.shape[-2:]}; crop or bin both alike."
        )


def check_box(what: str, box: Box, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return a box as slices of rows and columns; OptionError if it is empty or leaves the frame."""
    top, left, bottom, right = box
    if not (0 <= top < bottom <= shape[-2] and 0 <= left < right <= shape[-1]):
        raise OptionError(
            f"{what} (top, left, bottom, right) = {tuple(box)} is empty or leaves the frame of {shape[-2:]} pixels."
        )
    return slice(top, bottom), slice(left, right)


class Average(NamedTuple):
    """One frame made of several; `share` is its variance over that of a single frame."""

    pixels: np.ndarray
    n_frames: int
    share: float


def average_frames(frames: np.ndarray, *, what: str = "the stack") -> Average:
    """Return one frame for several of the same scene: their median from five on, their mean below.

    The variance of a median of n normal values is ``pi / 2 / (n + 0.47)`` for odd n and ``pi / 2 / (n + 1.33)`` for
    even n, within 1 % from n = 5 on (fitted to the integral over the order statistics). A pixel that is nan in one
    frame is nan in the average.

    Parameters
    ----------
    frames : (M, N) or (T, M, N) array

    Examples
    --------
    >>> hit = np.array([[[10.0]], [[11.0]], [[9.0]], [[900.0]], [[10.0]]])  # one frame with a gamma spot
    >>> average_frames(hit).pixels, round(average_frames(hit).share, 3)
    (array([[10.]], dtype=float32), 0.287)
    """
    work = as_frames(what, frames)
    if work.ndim == 2:
        return Average(work, 1, 1.0)
    n = len(work)
    if n < _MEDIAN_FROM:
        return Average(work.mean(axis=0, dtype=np.float64).astype(np.float32), n, 1 / n)
    with np.errstate(invalid="ignore"):
        middle = np.median(work, axis=0)
    return Average(middle.astype(np.float32), n, np.pi / 2 / (n + (0.47 if n % 2 else 1.33)))


def without_dark(what: str, frames: np.ndarray, dark: np.ndarray | None) -> np.ndarray:
    """Return frames less the averaged dark; as they are where there is none.

    Raises
    ------
    ShapeMismatchError
        If the dark has other rows or columns.
    """
    if dark is None:
        return frames
    offset = average_frames(dark, what="the dark").pixels
    check_same_frame("the dark", offset, what, frames)
    return frames - offset


def robust_spread(values: np.ndarray) -> float:
    """Return the standard deviation of normal values among outliers: 1.4826 times the median absolute deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))
