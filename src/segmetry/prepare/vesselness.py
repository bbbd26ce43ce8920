"""How much a place looks like a vessel, a fibre or a root: the ridge measures of Frangi and of Sato."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np

from segmetry.errors import OptionError, unknown_name
from segmetry.prepare.hessian import check_spacing, hessian_eigenvalues


class Vesselness(NamedTuple):
    """The largest response over the scales, and the scale it came from (0 where nothing answers); both float32."""

    response: np.ndarray
    sigma: np.ndarray


def sato(
    image: np.ndarray,
    sigmas: Sequence[float],
    *,
    polarity: str = "bright",
    spacing: Sequence[float] | None = None,
) -> Vesselness:
    """Return the line filter of Sato: how strongly the grey bends across a line, in units of the intensity.

    Parameters
    ----------
    image : (M, N) or (P, M, N) array
        Finite real numbers. A volume of one plane (row, column) counts as an image.
    sigmas : sequence of float
        Standard deviations of the Gaussians, in units of `spacing`.
    polarity : {"bright", "dark"}
        Whether lines are brighter or darker than what surrounds them.
    spacing : tuple of float, optional
        Length of a pixel along each axis; ones by default.

    Returns
    -------
    vesselness : Vesselness

    Raises
    ------
    ImageError, OptionError
        See `segmetry.prepare.hessian.hessian`.

    Notes
    -----
    In 3D the geometric mean of the two most negative eigenvalues of sigma² times the Hessian, in 2D the most negative
    one, both with the other sign; 0 where one of them is positive. This is the paper's filter for gamma_23 = 1/2 and
    gamma_12 = 0: it does not look at the eigenvalue along the line.

    A line of Gaussian profile (standard deviation w, height 1) answers with sigma² w² / (w² + sigma²)² on its axis in
    3D, most (1/4) at sigma = w; in 2D with sigma² w / (w² + sigma²)^(3/2), most (0.385) at sigma = √2 w. A cylinder
    of radius R answers most (1/e) at sigma = R/√2, a bar of half-width R (0.484) at sigma = R.

    References
    ----------
    Sato et al., Med. Image Anal. 2, 143 (1998), doi:10.1016/S1361-8415(98)80009-1.

    Examples
    --------
    >>> line = np.exp(-0.5 * (np.mgrid[-30:31, -30:31][1] / 3) ** 2)
    >>> found = sato(line, (2, 4.24, 8))
    >>> found.response[30, 30].round(3), found.sigma[30, 30]
    (np.float32(0.385), np.float32(4.24))
    """
    image, sigmas, lengths, sign, shape = _prepared(image, sigmas, polarity, spacing)
    best = _nothing(image.shape)
    for sigma in sigmas:
        values = hessian_eigenvalues(image, sigma, spacing=lengths).reshape(image.ndim, -1)
        _keep_sato(values, sign, sigma, *(part.ravel() for part in best))
    return Vesselness(*(part.reshape(shape) for part in best))


def frangi(
    image: np.ndarray,
    sigmas: Sequence[float],
    *,
    polarity: str = "bright",
    spacing: Sequence[float] | None = None,
    alpha: float = 0.5,
    beta: float = 0.5,
    c: float | None = None,
) -> Vesselness:
    """Return the vesselness of Frangi: 0 to 1, how much the grey bends like that of a tube, and not like noise.

    Parameters
    ----------
    image, sigmas, polarity, spacing
        As for `sato`.
    alpha, beta : float
        How much a plate, and a ball, are held against it.
    c : float, optional
        Norm of the Hessian (times sigma²) below which it is noise, in units of the intensity; by default half of the
        largest one over all scales.

    Returns
    -------
    vesselness : Vesselness

    Notes
    -----
    With eigenvalues |l1| <= |l2| <= |l3|, R_A = |l2| / |l3|, R_B = |l1| / sqrt(|l2 l3|) (2D: |l1| / |l2|), S = their
    norm: (1 - exp(-R_A² / 2 alpha²)) exp(-R_B² / 2 beta²) (1 - exp(-S² / 2 c²)), the first factor only in 3D; 0 where
    l2 or l3 has the sign of the other polarity.

    The paper takes half of the largest norm for c and leaves open whether of each scale. Here it is one over all
    scales: with one for each, the strongest line answers alike at every scale, and none is the best.

    References
    ----------
    Frangi, Niessen, Vincken, Viergever, MICCAI 1998, LNCS 1496, 130, doi:10.1007/BFb0056195.

    Examples
    --------
    >>> line = np.exp(-0.5 * (np.mgrid[-30:31, -30:31][1] / 3) ** 2)
    >>> frangi(line, (2, 4.24, 8)).response[30, 30].round(3), round(1 - np.exp(-2), 3)
    (np.float32(0.865), np.float64(0.865))
    """
    for name, value in (("alpha", alpha), ("beta", beta), ("c", c)):
        if value is not None and not value > 0:
            raise OptionError(f"frangi: {name} must be above 0, got {value}.")
    image, sigmas, lengths, sign, shape = _prepared(image, sigmas, polarity, spacing)
    best = _nothing(image.shape)
    scales = []
    for sigma in sigmas:
        values = hessian_eigenvalues(image, sigma, spacing=lengths).reshape(image.ndim, -1)
        form, square = np.empty((2, image.size), np.float32)
        _frangi_form(values, sign, 0.5 / alpha**2, 0.5 / beta**2, form, square)
        scales.append((sigma, form, square))
    largest = max(float(square.max()) for _, _, square in scales)
    half = 0.5 / c**2 if c is not None else 2 / largest if largest > 0 else 0.0
    for sigma, form, square in scales:
        _keep_frangi(form, square, half, sigma, *(part.ravel() for part in best))
    return Vesselness(*(part.reshape(shape) for part in best))


def _prepared(
    image: np.ndarray, sigmas: Sequence[float], polarity: str, spacing: Sequence[float] | None
) -> tuple[np.ndarray, list[float], tuple[float, ...], float, tuple[int, ...]]:
    """Return the image without axes of one pixel (two are kept), its scales and spacing, the sign, its whole shape."""
    if polarity not in ("bright", "dark"):
        raise unknown_name("polarity", polarity, ("bright", "dark"))
    image, scales = np.asarray(image), [float(s) for s in np.atleast_1d(np.asarray(sigmas))]
    if not scales:
        raise OptionError("vesselness needs at least one sigma.")
    lengths, shape = check_spacing(spacing, image.ndim), image.shape
    thin = [a for a, n in enumerate(shape) if n == 1][: max(0, image.ndim - 2)]
    lengths = tuple(s for a, s in enumerate(lengths) if a not in thin)
    return image.squeeze(tuple(thin)), scales, lengths, -1.0 if polarity == "bright" else 1.0, shape


def _nothing(shape: tuple[int, ...]) -> Vesselness:
    return Vesselness(np.zeros(shape, np.float32), np.zeros(shape, np.float32))


@numba.njit(cache=True, nogil=True)
def _keep_sato(values, sign, sigma, response, scale):
    n = values.shape[0]
    first, second = (1, n - 1) if sign > 0 else (0, n - 2)  # the two farthest out on the line's side; one in 2D
    for j in range(response.size):
        a, b = sign * values[first, j], sign * values[second, j]
        if a > 0 and b > 0:
            found = math.sqrt(a * b)
            if found > response[j]:
                response[j] = found
                scale[j] = sigma


@numba.njit(cache=True, nogil=True)
def _frangi_form(values, sign, plate, ball, form, square):
    n = values.shape[0]
    for j in range(form.size):
        total = np.float64(0)
        least, at = np.inf, 0
        for i in range(n):
            value = np.float64(values[i, j])
            total += value * value
            if abs(value) < least:
                least, at = abs(value), i
        square[j] = total
        # The other two (one in 2D) must have the sign of the line's side.
        low, high = np.inf, 0.0
        for i in range(n):
            if i != at:
                value = sign * np.float64(values[i, j])
                low, high = min(low, value), max(high, value)
        if low <= 0:
            form[j] = 0
            continue
        answer = np.exp(-ball * least * least / (low * high))
        if n == 3:
            answer *= 1 - np.exp(-plate * (low / high) ** 2)
        form[j] = answer


@numba.njit(cache=True, nogil=True)
def _keep_frangi(form, square, half, sigma, response, scale):
    for j in range(response.size):
        if form[j] > 0:
            found = form[j] * (1 - np.exp(-half * square[j]))
            if found > response[j]:
                response[j] = found
                scale[j] = sigma
