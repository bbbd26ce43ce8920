"""Slices from a parallel-beam scan by filtered back-projection, and the column of its axis of rotation."""

from __future__ import annotations

import numpy as np

from segmetry.errors import ImageError, OptionError, ShapeMismatchError, unknown_name
from segmetry.prepare.frames import as_frames

_FILTERS = ("ramp", "shepp-logan", "cosine", "hamming", "hann")


def reconstruct(
    projections: np.ndarray,
    angles: np.ndarray,
    *,
    centre: float | None = None,
    pixel_size: float = 1.0,
    window: str = "ramp",
) -> np.ndarray:
    """Return the slices of a scan: attenuation per length, as float32; nan outside the circle that every angle sees.

    Parameters
    ----------
    projections : (A, N) or (A, M, N) array
        Attenuation (`attenuation`) over A angles; each of the M rows of the detector gives a slice.
    angles : (A,) array of float
        In degrees, over 180 or 360 in any order; uneven steps are weighted.
    centre : float, optional
        Column of the axis of rotation (`find_centre`); the frame's middle ``(N - 1) / 2`` by default.
    pixel_size : float
        Length of a pixel at the sample; the result is in 1 / its unit.
    window : {"ramp", "shepp-logan", "cosine", "hamming", "hann"}
        Filter; each in this order is smoother than the last.

    Returns
    -------
    slices : (N, N) or (M, N, N) array of float32
        The axis is at pixel ``N // 2``; the direction of the beam at angle 0 is along the rows' index.

    Raises
    ------
    ImageError
        If a projection holds nan; one pixel would spoil the whole slice.
    ShapeMismatchError
        If the number of angles is not that of the projections.
    OptionError
        If the angles leave a wedge out, or the centre is outside the frame.
    """
    from scipy.ndimage import shift
    from skimage.transform import iradon

    work = as_frames("the projections", projections)
    theta = np.asarray(angles, np.float64)
    if theta.shape != (len(work),):
        raise ShapeMismatchError(
            f"reconstruct: {len(work)} projections but angles of shape {theta.shape}; give one angle for each."
        )
    if window not in _FILTERS:
        raise unknown_name("filter of the back-projection", window, _FILTERS)
    n = work.shape[-1]
    centre = (n - 1) / 2 if centre is None else float(centre)
    if not 0 < centre < n - 1 or not 0 < pixel_size < np.inf:
        raise OptionError(
            f"reconstruct: centre {centre!r} must lie inside the {n} columns, and pixel_size {pixel_size!r} be above 0."
        )
    n_bad = int(np.count_nonzero(~np.isfinite(work)))
    if n_bad:
        raise ImageError(f"reconstruct: {n_bad} pixels of the projections are not finite; repair_pixels() fills them.")
    weighted = work * _weights(theta).astype(np.float32).reshape(-1, *[1] * (work.ndim - 1))
    sinograms = weighted[:, None] if work.ndim == 2 else weighted
    row, col = np.indices((n, n))
    outside = np.hypot(row - n // 2, col - n // 2) > min(centre, n - 1 - centre)
    slices = np.empty((sinograms.shape[1], n, n), np.float32)
    for m, out in enumerate(slices):
        centred = shift(sinograms[:, m], (0, n // 2 - centre), order=3, mode="nearest")
        out[:] = iradon(centred.T, theta=theta, filter_name=window, circle=True)
        out /= np.float32(pixel_size)
        out[outside] = np.nan
    return slices[0] if work.ndim == 2 else slices


def _weights(theta: np.ndarray) -> np.ndarray:
    """Return the share of the half turn that each angle stands for, times the number of angles."""
    order = np.argsort(theta % 180)
    turned = theta[order] % 180
    gaps = np.diff(turned, append=turned[0] + 180)  # the last is across 180
    if not np.isfinite(theta).all() or len(theta) < 2 or gaps.max() > max(5 * 180 / len(theta), 2.0):
        raise OptionError(
            f"reconstruct: {len(theta)} angles leave {gaps.max():.3g} degrees of the half turn out; they must cover "
            "it, in degrees."
        )
    weights = np.empty(len(theta))
    weights[order] = (gaps + np.roll(gaps, 1)) / 2 * len(theta) / 180
    return weights


def find_centre(projection: np.ndarray, opposite: np.ndarray) -> float:
    """Return the column of the axis of rotation, from two projections half a turn apart.

    The second is the first in the mirror, moved by twice the axis's distance from the frame's middle: the peak of
    their correlation along the rows of the detector, refined by a parabola.

    Parameters
    ----------
    projection, opposite : (N,) or (M, N) array
        Attenuation at some angle and 180 degrees on; rows that hold nan are left out. The object must lie within the
        frame, with 0 beside it.

    Examples
    --------
    >>> column = np.arange(64.0)
    >>> first, second = (np.exp(-((column - c) ** 2) / 50) for c in (40, 26))  # the axis is half-way
    >>> round(find_centre(first, second), 2)
    33.0
    """
    first, second = np.atleast_2d(np.asarray(projection, np.float64)), np.atleast_2d(np.asarray(opposite, np.float64))
    if first.shape != second.shape or first.ndim != 2:
        raise ShapeMismatchError(
            f"find_centre: projections of shape {first.shape} and {second.shape}; give two of the same (M, N)."
        )
    whole = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
    first, second = first[whole], second[whole]
    if not first.size or np.ptp(first) == 0 or np.ptp(second) == 0:
        raise ImageError(
            "find_centre: the projections show nothing to find the axis by: no whole row, or all the same."
        )
    n = first.shape[1]
    size = 2 * n
    # first[x] = second[2c - x]: the convolution of the two peaks at 2c.
    both = np.fft.irfft((np.fft.rfft(first, size) * np.fft.rfft(second, size)).sum(axis=0), size)[: 2 * n - 1]
    peak = int(np.argmax(both))
    offset = 0.0
    if 0 < peak < len(both) - 1:
        left, middle, right = both[peak - 1 : peak + 2]
        bend = left - 2 * middle + right
        offset = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float(peak + offset) / 2
