"""Dead and hot pixels of a camera: found once, in dark and open beam, and repaired from their neighbours."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from segmetry.errors import ImageError, OptionError
from segmetry.prepare.frames import as_frames, average_frames, check_same_frame, robust_spread, without_dark
from segmetry.prepare.valid import fill_invalid


class BadPixels(NamedTuple):
    """Masks (M, N) of pixels that cannot be trusted.

    `hot` stand out in the dark; `dead` answer the beam by less than half of what their neighbours do, or not at all;
    `uneven` answer it, but by more or less than noise allows; `stuck` hold one value in all of three frames or more.
    """

    hot: np.ndarray
    dead: np.ndarray
    uneven: np.ndarray
    stuck: np.ndarray

    @property
    def bad(self) -> np.ndarray:
        """Return the pixels to repair: all but the uneven ones, which the flat field puts right."""
        return self.hot | self.dead | self.stuck


def find_bad_pixels(open_beam: np.ndarray, dark: np.ndarray, *, threshold: float = 8.0) -> BadPixels:
    """Return the hot, dead, uneven and stuck pixels of a camera.

    Parameters
    ----------
    open_beam, dark : (M, N) or (K, M, N) array
        Several frames are averaged first; five or more free them of gamma spots, which one frame cannot tell from
        hot pixels.
    threshold : float
        How many standard deviations of the residuals a pixel differs from the median of the 5 x 5 pixels around it.

    Notes
    -----
    The standard deviation is that of the residuals' inner half (`robust_spread`), at least half a grey value. A pixel
    that is nan in either counts as dead. Clusters wider than two pixels are beyond a 5 x 5 median.
    """
    if threshold <= 0:
        raise OptionError(f"find_bad_pixels: threshold must be above 0 standard deviations, got {threshold!r}.")
    opened, darks = as_frames("the open beam", open_beam), as_frames("the dark", dark)
    offset = average_frames(darks).pixels
    beam = without_dark("the open beam", average_frames(opened).pixels, offset)
    missing = ~np.isfinite(beam)
    if missing.all() or not np.nanmax(beam) > 0:
        raise ImageError("the open beam is nowhere above the dark: no flux; are the two files swapped?")
    hot, _ = _outlying(offset, missing, threshold)
    uneven, level = _outlying(beam, missing, threshold)
    dead = missing | (beam <= 0) | ((beam < 0.5 * level) & uneven)
    stuck = np.zeros_like(missing)
    if opened.ndim == 3 and len(opened) > 2:
        stuck = (opened == opened[0]).all(axis=0) & (beam > 0)
        if stuck.mean() > 0.5:  # frames that are copies, or hardly any counts
            stuck = np.zeros_like(missing)
    return BadPixels(hot, dead, uneven & ~(dead | hot | stuck), stuck)


def _outlying(frame: np.ndarray, missing: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return where a frame is off the median around each pixel, on the bright side or both, and that median."""
    usable = ~missing
    filled = fill_invalid(np.where(usable, frame, np.float32(0)), usable, window=3) if missing.any() else frame
    level = cv2.medianBlur(np.ascontiguousarray(filled, np.float32), 5)
    rest = filled - level
    spread = max(robust_spread(rest[usable]), 0.5)
    return (np.abs(rest) > threshold * spread) & usable, level


def repair_pixels(frames: np.ndarray, bad: np.ndarray | None = None) -> np.ndarray:
    """Return frames whose bad pixels hold the mean of their good neighbours, filled inwards from the rim of a cluster.

    Parameters
    ----------
    frames : (M, N) or (T, M, N) array
    bad : (M, N) array of bool, optional
        Pixels to repair in every frame, besides those that are nan. A frame without a good pixel becomes nan.

    Returns
    -------
    frames : float32 array of that shape
    """
    work = as_frames("the stack", frames)
    marked = np.zeros(work.shape[-2:], bool) if bad is None else np.asarray(bad, bool)
    check_same_frame("the mask of bad pixels", marked, "the stack", work)
    out = work.copy()
    for frame in out if out.ndim == 3 else out[None]:
        good = np.isfinite(frame) & ~marked
        if not good.any():
            frame[:] = np.nan
        elif not good.all():
            frame[:] = fill_invalid(np.where(good, frame, np.float32(0)), good, window=3)
    return out
