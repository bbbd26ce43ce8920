"""Radiographs from counts to transmission and attenuation, each pixel with its variance."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from segmetry.errors import ImageError, OptionError
from segmetry.prepare.counting import Detector
from segmetry.prepare.frames import Average, Box, as_frames, average_frames, check_box, check_same_frame, robust_spread
from segmetry.prepare.valid import fill_invalid

_MEDIAN_LOSS = float(np.sqrt(np.pi / 2))
"""Standard deviation of a median over that of a mean, for many values."""


@dataclass(frozen=True, eq=False)
class Transmission:
    """Transmitted share of the beam.

    Parameters
    ----------
    pixels, variance : (M, N) or (T, M, N) array of float32
        nan where there is no answer: no beam, or a pixel that was nan.
    valid : bool array of that shape
    dose, dose_error : (T,) array of float64
        Dose of each frame over that of the open beam, 1 where no air region was given, and its standard error (nan
        from less than four rows of air). The error is common to all pixels of a frame, so it is not in `variance`.
    """

    pixels: np.ndarray
    variance: np.ndarray
    valid: np.ndarray
    dose: np.ndarray
    dose_error: np.ndarray


@dataclass(frozen=True, eq=False)
class Attenuation:
    """Attenuation ``-ln T``: coefficient times length.

    Parameters
    ----------
    pixels, variance : (M, N) or (T, M, N) array of float32
        nan where not valid. A pixel filled from its neighbours has a value, but its variance is nan.
    valid, repaired : bool arrays of that shape
        `repaired` is where the value comes from the neighbours.
    """

    pixels: np.ndarray
    variance: np.ndarray
    valid: np.ndarray
    repaired: np.ndarray


def transmission(
    sample: np.ndarray,
    open_beam: np.ndarray | Average,
    dark: np.ndarray | Average | None = None,
    *,
    detector: Detector | None = None,
    air: Box | None = None,
    scatter: tuple[np.ndarray | float, np.ndarray | float] = (0.0, 0.0),
) -> Transmission:
    """Return the transmitted share of the beam with its variance: ``(I - DC) / (OB - DC) * D_OB / D_I``.

    Parameters
    ----------
    sample : (M, N) or (T, M, N) array
        Counts behind the sample.
    open_beam, dark : (M, N) or (K, M, N) array, or Average
        Several frames are averaged (`average_frames`). Without a dark, counts are taken as free of it.
    detector : Detector, optional
        Gain and read-out noise, for the variance; a counting detector if not given.
    air : (top, left, bottom, right), optional
        A part of the frame that the sample never covers: there T is set to 1 in each frame, which undoes a drift of
        the beam. Without it the doses are taken as equal.
    scatter : pair of (M, N) array or float
        Scattered counts in the sample's frames and in the open beam, above the dark (`scatter_field`).

    Returns
    -------
    transmission : Transmission

    Raises
    ------
    ImageError
        If a frame is missing, counts are negative, or there is no beam in the whole frame or in the air region.
    ShapeMismatchError
        If frames differ in rows or columns.
    OptionError
        If the air region leaves the frame.

    Notes
    -----
    With S = I - DC, B = OB - DC and d the dose, ``var T = (var I + T'^2 var OB + (1 - T')^2 var DC) / B^2 / d^2``
    where T' = S / B: the dark is one and the same in both. This is the usual
    ``var T / T^2 = var I / S^2 + var OB / B^2 + var DC (1/S - 1/B)^2`` without its poles. Scattered counts are taken
    off S and B, but stay in var I and var OB, as they were counted. The dose is the median over the region's rows of
    the ratio of their sums in S and in B, so that a spot or two do not move it.
    """
    detector = detector or Detector()
    work = as_frames("the sample", sample)
    opened = open_beam if isinstance(open_beam, Average) else average_frames(open_beam, what="the open beam")
    check_same_frame("the open beam", opened.pixels, "the sample", work)
    if dark is None:
        dark = Average(np.zeros(work.shape[-2:], np.float32), 1, 0.0)
    elif not isinstance(dark, Average):
        dark = average_frames(dark, what="the dark")
    check_same_frame("the dark", dark.pixels, "the sample", work)
    raw_counts = dark.share > 0 or np.asarray(sample).dtype.kind != "f"
    for what, frames in (("the sample", work), ("the open beam", opened.pixels)):
        if raw_counts and np.any(frames < 0):
            raise ImageError(
                f"{what} holds negative counts, down to {np.nanmin(frames):g}; were they read as signed numbers? If "
                "the dark is off already, give floats and no dark."
            )
    beam = opened.pixels - dark.pixels
    open_variance = detector.variance(beam) * np.float32(opened.share)
    dark_variance = np.float32(detector.read_noise**2 * dark.share)
    beam = beam - np.asarray(scatter[1], np.float32)
    usable = beam > 0
    if not usable.any():
        raise ImageError(
            "the open beam is nowhere above the dark (and its scatter): no flux; are the two files swapped?"
        )
    beam = np.where(usable, beam, np.float32(np.nan))
    stack = work if work.ndim == 3 else work[None]
    out, variance = np.empty_like(stack), np.empty_like(stack)
    dose, dose_error = np.ones(len(stack)), np.zeros(len(stack))
    for k, frame in enumerate(stack):
        counted = frame - dark.pixels
        signal = counted - np.asarray(scatter[0], np.float32)
        if air is not None:
            dose[k], dose_error[k] = _dose(signal, beam, air, k)
        share = signal / beam
        total = detector.variance(counted) + share**2 * open_variance + (1 - share) ** 2 * dark_variance
        out[k] = share / np.float32(dose[k])
        variance[k] = total / (beam * np.float32(dose[k])) ** 2
    out, variance = out.reshape(work.shape), variance.reshape(work.shape)
    return Transmission(out, variance, np.isfinite(out), dose, dose_error)


def _dose(signal: np.ndarray, beam: np.ndarray, air: Box, k: int) -> tuple[float, float]:
    """Return the dose of a frame over that of the open beam in a box, and its standard error."""
    box = check_box("the air region", air, signal.shape)
    part, open_part = signal[box].astype(np.float64), beam[box].astype(np.float64)
    both = np.isfinite(part) & np.isfinite(open_part)
    rows = both.any(axis=1)
    if not rows.any():
        raise ImageError(f"the air region {air} holds no usable pixel in frame {k}; choose another.")
    over = np.where(both, part, 0).sum(1)[rows] / np.where(both, open_part, 0).sum(1)[rows]
    dose = float(np.median(over))
    if dose <= 0:
        raise ImageError(
            f"no flux in the air region {air} of frame {k}; leave the frame out, or choose another region."
        )
    error = _MEDIAN_LOSS * robust_spread(over) / len(over) ** 0.5 if len(over) > 3 else np.nan
    return dose, error


def attenuation(passed: Transmission, *, floor: float = 0.005, largest_gap: int = 25) -> Attenuation:
    """Return ``-ln T`` with variance ``var T / T^2``; opaque pixels are filled from their neighbours.

    Parameters
    ----------
    passed : Transmission
    floor : float
        A pixel of this transmission or less has no useful logarithm.
    largest_gap : int
        Such pixels are filled where they form a patch of at most so many; a larger one is an opaque thing, of which
        nothing is known but that it takes more than ``-ln(floor)``: it comes out as nan.

    Notes
    -----
    The logarithm of a noisy T is too large by ``var T / (2 T^2)`` in the mean. Average T, then take the logarithm.
    """
    if not 0 < floor < 1:
        raise OptionError(f"attenuation: floor must lie between 0 and 1, got {floor!r}.")
    opaque = passed.valid & ~(passed.pixels > floor)
    with np.errstate(invalid="ignore"):
        safe = np.maximum(passed.pixels, np.float32(floor))
        pixels, variance = -np.log(safe), passed.variance / safe**2
    repaired = np.zeros_like(opaque)
    shape = (-1, *opaque.shape[-2:])
    for frame, marked, usable, filled in zip(
        *(a.reshape(shape) for a in (pixels, opaque, passed.valid, repaired)), strict=True
    ):
        if not marked.any():
            continue
        _, patches, stats, _ = cv2.connectedComponentsWithStats(marked.view(np.uint8), connectivity=8)
        filled[:] = marked & (stats[:, cv2.CC_STAT_AREA][patches] <= largest_gap)
        known = usable & ~marked
        if not known.any():
            filled[:] = False
        if filled.any():
            frame[filled] = fill_invalid(np.where(known, frame, np.float32(0)), known, window=3)[filled]
        frame[marked & ~filled] = np.nan
    variance[opaque] = np.nan
    return Attenuation(pixels, variance, np.isfinite(pixels), repaired)
