"""Counting noise: what a detector makes of quanta, and how near the square root of their number a frame comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from segmetry.errors import ImageError
from segmetry.options import Options, option
from segmetry.prepare.frames import Box, as_frames, check_box, without_dark
from segmetry.prepare.noise import noise_sigma


@dataclass(frozen=True, kw_only=True)
class Detector(Options):
    """What a camera makes of quanta: the variance of a pixel is ``gain * signal + read_noise^2``."""

    name: ClassVar[str] = "detector"

    gain: float = option(1.0, "grey values per counted quantum", unit="intensity", low=1e-9)
    read_noise: float = option(0.0, "standard deviation of the read-out", unit="intensity", low=0)

    def variance(self, signal: np.ndarray) -> np.ndarray:
        """Return the variance of a signal above the dark, never less than that of one quantum."""
        return np.float32(self.gain) * np.maximum(signal, np.float32(self.gain)) + np.float32(self.read_noise**2)


class SignalToNoise(NamedTuple):
    """Signal over noise as measured, and the square root of the number of quanta, which is the most there can be.

    `ratio` is measured over expected: below 1 something adds noise (read-out, drift, spots, fixed pattern); above 1
    the noise is smoothed (blur, filters, binning after the fact) or the gain is wrong.
    """

    measured: float
    expected: float
    ratio: float


def _median_share(n_free: int) -> float:
    """Return the median over the mean of a variance estimated with so many degrees of freedom."""
    from scipy.special import gammaincinv

    return float(2 * gammaincinv(n_free / 2, 0.5) / n_free)


def _spread(what: str, frames: np.ndarray, dark: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return mean signal and variance over repeated frames of each usable pixel, the beam's drift taken out."""
    signal = without_dark(what, frames, dark).reshape(len(frames), -1).astype(np.float64)
    signal = signal[:, np.isfinite(signal).all(axis=0)]
    level = np.median(signal, axis=1) if signal.size else np.zeros(len(frames))
    if np.any(level <= 0):
        raise ImageError(f"{what} has no signal above the dark; noise cannot be set against counts.")
    signal *= (level.mean() / level)[:, None]
    mean, variance = signal.mean(axis=0), signal.var(axis=0, ddof=1)
    return mean[mean > 0], variance[mean > 0]


def detector_noise(frames: np.ndarray, dark: np.ndarray | None = None) -> Detector:
    """Return gain and read-out noise of a detector from repeated frames of the same scene (photon transfer).

    Parameters
    ----------
    frames : (T, M, N) array, T >= 2
        Open-beam frames, say. A drift of the beam is taken out.
    dark : (M, N) or (K, M, N) array, optional
        With two frames or more the read-out noise comes from their scatter; else it is taken as 0.

    Notes
    -----
    The gain is the median over pixels of ``(variance - read_noise^2) / signal``, corrected for the median of a
    variance of so few frames; spots in less than half of the pixels hardly move it. A blur between the quanta and the
    pixels (scintillator, optics) smooths the noise, and the gain comes out too small by it.
    """
    work = as_frames("the frames", frames)
    if work.ndim != 3 or len(work) < 2:
        raise ImageError(f"detector_noise needs two frames or more of the same scene, got shape {work.shape}.")
    mean, variance = _spread("the frames", work, dark)
    read = 0.0
    if dark is not None:
        darks = as_frames("the dark", dark)
        if darks.ndim == 3 and len(darks) > 1:
            each = darks.var(axis=0, ddof=1, dtype=np.float64)
            read = float(np.nanmedian(each)) / _median_share(len(darks) - 1)
    share = _median_share(len(work) - 1)
    gain = float(np.median(variance / mean)) / share
    for _ in range(20):  # the read-out's part of the variance depends on the gain
        gain = float(np.median(variance / (mean + read / gain))) / share
    return Detector(gain=gain, read_noise=read**0.5)


def signal_to_noise(
    frames: np.ndarray,
    *,
    dark: np.ndarray | None = None,
    gain: float = 1.0,
    box: Box | None = None,
) -> SignalToNoise:
    """Return the signal-to-noise ratio of one frame or of repeated ones, beside the expected root of the counts.

    Parameters
    ----------
    frames : (M, N) or (T, M, N) array
        Of one frame the noise is the local scatter of pixels, so `box` must hold nothing but an even field. Of
        repeated frames it is the scatter of each pixel in time, and the scene does not matter.
    dark : (M, N) or (K, M, N) array, optional
    gain : float
        Grey values per quantum (`detector_noise`).
    box : (top, left, bottom, right), optional
        The part to look at.

    Returns
    -------
    signal_to_noise : SignalToNoise
        Of a single frame's typical (median) pixel, also where several frames were given.
    """
    work = as_frames("the frames", frames)
    if box is not None:
        rows, cols = check_box("the box", box, work.shape)
        work = work[..., rows, cols]
        dark = None if dark is None else np.asarray(dark)[..., rows, cols]
    if work.ndim == 3 and len(work) > 1:
        mean, variance = _spread("the frames", work, dark)
        measured = float(np.median(variance / mean**2) / _median_share(len(work) - 1)) ** -0.5
        expected = float(np.median(mean) / gain) ** 0.5
        return SignalToNoise(measured, expected, measured / expected)
    frame = without_dark("the frame", work.reshape(work.shape[-2:]), dark)
    valid = np.isfinite(frame)
    level = float(np.median(frame[valid])) if valid.any() else 0.0
    if level <= 0:
        raise ImageError("the frame has no signal above the dark; noise cannot be set against counts.")
    noise = noise_sigma(np.where(valid, frame, np.float32(level)), valid=valid)
    expected = (level / gain) ** 0.5
    measured = level / noise if noise > 0 else np.inf
    return SignalToNoise(measured, expected, measured / expected)
