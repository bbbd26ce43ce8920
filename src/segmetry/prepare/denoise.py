"""Denoising that respects counting noise, and a sharpening that is for the eye only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple

import numpy as np

from segmetry.errors import OptionError
from segmetry.options import Options, option
from segmetry.prepare.counting import Detector
from segmetry.prepare.filters import gaussian
from segmetry.prepare.frames import as_frames
from segmetry.prepare.valid import fill_invalid


@dataclass(frozen=True, kw_only=True)
class Denoise(Options):
    """Options of the denoising of frames with counting noise."""

    name: ClassVar[str] = "denoise"

    method: str = option(
        "nlm",
        "non-local means, which keeps repeated detail, or total variation, which likes flat parts",
        choices=("nlm", "tv"),
    )
    strength: float = option(1.0, "smoothing, in standard deviations of the noise", low=0.05, high=20)
    patch: int = option(5, "side of the patches that non-local means compares", unit="px", low=1, high=21)
    reach: int = option(6, "how far non-local means looks for like patches", unit="px", low=1, high=50)


def stabilise(frames: np.ndarray, detector: Detector | None = None) -> np.ndarray:
    """Return frames whose noise has standard deviation 1 everywhere: the generalised Anscombe transform.

    ``2 / g sqrt(g z + 3/8 g^2 + s^2)`` with gain g and read-out noise s; 0 where the root would be of a negative.

    Parameters
    ----------
    frames : (M, N) or (T, M, N) array
        Counts above the dark, in grey values.
    detector : Detector, optional
        A counting detector (gain 1, no read-out noise) if not given.

    References
    ----------
    Anscombe, Biometrika 35, 246 (1948), doi:10.1093/biomet/35.3-4.246; Starck, Murtagh, Bijaoui, Image Processing and
    Data Analysis (1998), doi:10.1017/CBO9780511564352.
    """
    d = detector or Detector()
    counts = as_frames("the stack", frames) / np.float32(d.gain)
    noise = (d.read_noise / d.gain) ** 2
    return 2 * np.sqrt(np.maximum(counts + np.float32(0.375 + noise), 0))


def destabilise(stabilised: np.ndarray, detector: Detector | None = None) -> np.ndarray:
    """Return the mean counts, in grey values, whose stabilised values have this mean: the exact unbiased inverse.

    The mean of a root is not the root of the mean: the algebraic inverse of a denoised frame is too small, by 0.18 of
    a count at a mean of 1 and by 0.25 from 4 on.

    Parameters
    ----------
    stabilised : array
        Denoised values from `stabilise`.
    detector : Detector, optional
        The same as there.

    Notes
    -----
    Up to 60 quanta the mean of the stabilised values is summed over the Poisson and the normal distribution, and the
    table read backwards; above, the inverse is ``v^2 / 4 - 1/8 - (s / g)^2`` to a thousandth of a count.

    References
    ----------
    Makitalo, Foi, IEEE Trans. Image Process. 20, 99 (2011), doi:10.1109/TIP.2010.2056693, and 22, 91 (2013),
    doi:10.1109/TIP.2012.2202675, with read-out noise; their closed forms are not used, as they are off by up to 0.02,
    and with read-out noise 0.1, of a count.
    """
    d = detector or Detector()
    noise = d.read_noise / d.gain
    means, counts = _mean_of_root(noise)
    v = np.asarray(stabilised, np.float64)
    few = np.interp(v, means, counts)
    many = v * v / 4 - 0.125 - noise**2
    return (np.where(v < means[-1], few, many) * d.gain).astype(np.float32)


@lru_cache(maxsize=8)
def _mean_of_root(noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean stabilised value for mean counts from 0 to 60, and these counts; noise is in counts."""
    from scipy.special import gammaln

    counts = 60 * np.linspace(1e-9, 1, 500) ** 2
    k = np.arange(140)
    at = np.linspace(-6, 6, 241) if noise else np.zeros(1)
    weight = np.exp(-0.5 * at**2)
    root = 2 * np.sqrt(np.maximum(k[:, None] + noise * at + 0.375 + noise**2, 0)) @ (weight / weight.sum())
    chance = np.exp(k * np.log(counts)[:, None] - counts[:, None] - gammaln(k + 1))
    return chance @ root, counts


def denoise_counts(
    frames: np.ndarray, *, detector: Detector | None = None, options: Denoise | None = None
) -> np.ndarray:
    """Return frames with less counting noise: stabilised, denoised each by itself, and put back without bias.

    Parameters
    ----------
    frames : (M, N) or (T, M, N) array
        Counts above the dark, in grey values, before the flat field: only there the noise is known. A pixel that is
        nan stays so.
    detector : Detector, optional
        `detector_noise` finds it from repeated frames.

    Returns
    -------
    frames : float32 array of that shape

    Notes
    -----
    The noise of neighbours must be independent, else patches resemble each other for no reason.
    """
    from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

    o = options or Denoise()
    stable = stabilise(frames, detector)
    out = np.empty_like(stable)
    for frame, result in zip(*(a if a.ndim == 3 else a[None] for a in (stable, out)), strict=True):
        valid = np.isfinite(frame)
        if not valid.any():
            result[:] = np.nan
            continue
        whole = frame if valid.all() else fill_invalid(np.where(valid, frame, np.float32(0)), valid, window=3)
        if o.method == "nlm":
            smooth = denoise_nl_means(whole, o.patch, o.reach, h=0.8 * o.strength, sigma=1.0, fast_mode=True)
        else:
            smooth = denoise_tv_chambolle(whole, weight=o.strength, eps=0, max_num_iter=100)
        result[:] = np.where(valid, smooth, np.float32(np.nan))
    return destabilise(out, detector)


class ForDisplay(NamedTuple):
    """A picture for the eye; `note` says why it is not to be measured."""

    pixels: np.ndarray
    note: str


def unsharp_mask(image: np.ndarray, *, amount: float = 1.0, sigma: float = 2.0) -> ForDisplay:
    """Return a sharpened picture, FOR DISPLAY ONLY: ``f + amount (f - G_sigma f)``.

    Edges overshoot and noise grows, so sizes, intensities and thresholds taken from it are wrong.

    Parameters
    ----------
    image : (M, N) array
    amount : float
        0.5 to 1.5 are usual.
    sigma : float
        Standard deviation of the Gaussian in px.
    """
    if amount < 0 or sigma <= 0:
        raise OptionError(f"unsharp_mask: amount must be at least 0 and sigma above 0, got {amount!r} and {sigma!r}.")
    work = as_frames("the image", image)
    valid = np.isfinite(work)
    whole = work
    if not valid.all():
        whole = fill_invalid(np.where(valid, work, np.float32(0)), valid, window=3)
    sharp = whole + np.float32(amount) * (whole - gaussian(whole, sigma))
    pixels = np.where(valid, sharp, np.float32(np.nan))
    return ForDisplay(pixels, "sharpened for display only: edges overshoot, so nothing is to be measured in it")
