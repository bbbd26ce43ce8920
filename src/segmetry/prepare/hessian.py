"""Second derivatives of smoothed images and volumes, and their eigenvalues: what ridges and vessels are found by."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numba
import numpy as np

from segmetry.errors import ImageError, OptionError

_REACH = 5
"""Half-width of a kernel in standard deviations."""

# A matrix is stored by rows of its upper half: (00, 01, 11) in 2D, (00, 01, 02, 11, 12, 22) in 3D.


def hessian(image: np.ndarray, sigma: float, *, spacing: Sequence[float] | None = None) -> np.ndarray:
    """Return the second derivatives of an image smoothed by a Gaussian, times sigma squared.

    Parameters
    ----------
    image : (M, N) or (P, M, N) array
        Finite real numbers; mirrored at the border.
    sigma : float
        Standard deviation of the Gaussian, in units of `spacing`.
    spacing : tuple of float, optional
        Length of a pixel along each axis; ones by default.

    Returns
    -------
    parts : (3, M, N) or (6, P, M, N) array of float32
        Upper half of the symmetric matrix by rows: (00, 01, 11), or (00, 01, 02, 11, 12, 22). With the factor sigma²
        they are in units of the intensity, and responses of several scales can be compared (Lindeberg 1998).

    Raises
    ------
    ImageError
        If the image is neither 2D nor 3D, is empty, or holds a number that is not finite.
    OptionError
        If sigma or the spacing is not positive.

    Notes
    -----
    Kernels are sampled Gaussian derivatives, corrected so that their moments are exact: a constant gives 0, a
    parabola its curvature, however narrow the Gaussian is beside a pixel.

    References
    ----------
    Lindeberg, Int. J. Comput. Vis. 30, 117 (1998), doi:10.1023/A:1008097225773.

    Examples
    --------
    >>> bowl = np.hypot(*np.mgrid[-20:21, -20:21]) ** 2 / 2  # both second derivatives are 1
    >>> hessian(bowl, 2)[:, 20, 20].round(3) / 2**2
    array([1., 0., 1.], dtype=float32)
    """
    return _derive(image, sigma, spacing, eigenvalues=False)


def hessian_eigenvalues(image: np.ndarray, sigma: float, *, spacing: Sequence[float] | None = None) -> np.ndarray:
    """Return the eigenvalues of `hessian`, rising: (2, M, N) or (3, P, M, N) float32; parameters and errors as there.

    The matrix itself is not kept, which saves half of the memory.

    Examples
    --------
    >>> saddle = np.subtract(*np.mgrid[-20:21, -20:21] ** 2) / 2.0
    >>> hessian_eigenvalues(saddle, 1)[:, 20, 20].round(3)
    array([-1.,  1.], dtype=float32)
    """
    return _derive(image, sigma, spacing, eigenvalues=True)


def symmetric_eigenvalues(parts: np.ndarray) -> np.ndarray:
    """Return the eigenvalues of symmetric 2 x 2 or 3 x 3 matrices, rising, in closed form.

    Parameters
    ----------
    parts : (3, ...) or (6, ...) array of float
        Upper half of each matrix by rows.

    Returns
    -------
    values : (2, ...) or (3, ...) array of float32

    Notes
    -----
    Of nearly equal eigenvalues of a 3 x 3 matrix, half of the digits of float64 are left: 1e-8 of the largest.

    References
    ----------
    Smith, Commun. ACM 4, 168 (1961), doi:10.1145/355578.366316.

    Examples
    --------
    >>> symmetric_eigenvalues(np.array([2.0, 1.0, 2.0]))
    array([1., 3.], dtype=float32)
    """
    ndim = {3: 2, 6: 3}.get(len(parts))
    if ndim is None:
        raise ImageError(f"a symmetric matrix has 3 parts (2 x 2) or 6 (3 x 3), got {len(parts)}.")
    flat = np.ascontiguousarray(parts, np.float32).reshape(len(parts), -1)
    out = np.empty((ndim, flat.shape[1]), np.float32)
    (_eigenvalues2 if ndim == 2 else _eigenvalues3)(flat, out)
    return out.reshape(ndim, *np.shape(parts)[1:])


def check_spacing(spacing: Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    """Return the length of a pixel along each axis; ones where it is not given."""
    lengths = (1.0,) * ndim if spacing is None else tuple(float(s) for s in spacing)
    if len(lengths) != ndim or not all(0 < s < math.inf for s in lengths):
        raise OptionError(f"spacing is a positive length for each of {ndim} axes, got {spacing}.")
    return lengths


def _derive(image: np.ndarray, sigma: float, spacing: Sequence[float] | None, *, eigenvalues: bool) -> np.ndarray:
    image = np.asarray(image)
    ndim = image.ndim
    if ndim not in (2, 3) or image.size == 0 or image.dtype.kind not in "biuf":
        raise ImageError(f"second derivatives are of 2D or 3D real numbers, got {image.dtype} of shape {image.shape}.")
    if not 0 < sigma < math.inf:
        raise OptionError(f"sigma must be positive and finite, got {sigma}.")
    mean = image.mean(dtype=np.float64)
    if not np.isfinite(mean):
        raise ImageError("the image holds pixels that are not finite; replace them first, see fill_invalid().")
    # float32 sums of a large offset would lose the small differences that derivatives are made of.
    pixels = np.subtract(image, mean, dtype=np.float64).astype(np.float32, order="C")
    kernels = [_kernels(sigma / s) for s in check_spacing(spacing, ndim)]
    around = [_mirrored(n, k.shape[1] // 2) for n, k in zip(image.shape, kernels, strict=True)]
    n_parts = 3 if ndim == 2 else 6
    out = np.empty((ndim if eigenvalues else n_parts, *image.shape), np.float32)
    (_image_kernel if ndim == 2 else _volume_kernel)(pixels, *kernels, *around, out)
    return out


def _kernels(sigma: float) -> np.ndarray:
    """Return the Gaussian and its first two derivatives, times 1, sigma and sigma squared, as (3, 2 r + 1) float32."""
    r = max(1, math.ceil(_REACH * sigma))
    t = np.arange(-r, r + 1) / sigma
    smooth = np.exp(-0.5 * t * t)
    smooth /= smooth.sum()
    slope = t * smooth
    slope /= slope @ t
    bend = (t * t - 1) * smooth
    bend -= bend.sum() * smooth
    bend *= 2 / (bend @ (t * t))
    return np.stack([smooth, slope, bend]).astype(np.float32)


def _mirrored(n: int, r: int) -> np.ndarray:
    """Return the index that stands at -r .. n - 1 + r, where the image is mirrored at its faces again and again."""
    at = np.arange(-r, n + r) % (2 * n)
    return np.minimum(at, 2 * n - 1 - at)


@numba.njit(cache=True, nogil=True)
def _across(source, at, k, kernels, lo, hi, n_orders, out):
    """Write the first orders of derivative across the rows of a 2D array, at row k and columns lo..hi."""
    r = kernels.shape[1] // 2
    row = source[at[k + r], lo:hi]
    for m in range(n_orders):
        target, w = out[m, lo:hi], kernels[m, r]
        for j in range(hi - lo):
            target[j] = w * row[j]
    for t in range(1, r + 1):
        after, before = source[at[k + r + t], lo:hi], source[at[k + r - t], lo:hi]
        for m in range(n_orders):
            target, w = out[m, lo:hi], kernels[m, r + t]
            v = -w if m == 1 else w  # the slope is odd, the others are even
            for j in range(hi - lo):
                target[j] += w * after[j] + v * before[j]


@numba.njit(cache=True, nogil=True)
def _along(row, at, kernels, order, wide, out):
    """Write one derivative along a row; `wide` has room for the row and its mirrored ends."""
    n, r = row.size, kernels.shape[1] // 2
    wide[r : r + n] = row
    for j in range(r):
        wide[j] = row[at[j]]
        wide[r + n + j] = row[at[r + n + j]]
    w = kernels[order, r]
    for j in range(n):
        out[j] = w * row[j]
    for t in range(1, r + 1):
        w = kernels[order, r + t]
        v = -w if order == 1 else w
        after, before = wide[r + t : r + t + n], wide[r - t : r - t + n]
        for j in range(n):
            out[j] += w * after[j] + v * before[j]


@numba.njit(cache=True, nogil=True)
def _eigenvalues2(parts, out):
    for j in range(parts.shape[1]):
        a, c, b = np.float64(parts[0, j]), np.float64(parts[1, j]), np.float64(parts[2, j])
        middle, half = 0.5 * (a + b), math.sqrt(0.25 * (a - b) * (a - b) + c * c)
        out[0, j] = middle - half
        out[1, j] = middle + half


@numba.njit(cache=True, nogil=True)
def _eigenvalues3(parts, out):
    for j in range(parts.shape[1]):
        a, d, e = np.float64(parts[0, j]), np.float64(parts[1, j]), np.float64(parts[2, j])
        b, f, c = np.float64(parts[3, j]), np.float64(parts[4, j]), np.float64(parts[5, j])
        q = (a + b + c) / 3
        a, b, c = a - q, b - q, c - q
        p = math.sqrt((a * a + b * b + c * c + 2 * (d * d + e * e + f * f)) / 6)
        if p == 0:
            out[0, j] = out[1, j] = out[2, j] = q
            continue
        half = a * (b * c - f * f) - d * (d * c - e * f) + e * (d * f - b * e)
        cosine = math.cos(math.acos(min(1.0, max(-1.0, half / (2 * p * p * p)))) / 3)
        sine = math.sqrt(max(0.0, 1 - cosine * cosine))
        high, low = 2 * p * cosine, -p * (cosine + math.sqrt(3.0) * sine)
        out[0, j] = q + low
        out[1, j] = q - low - high
        out[2, j] = q + high


@numba.njit(cache=True, nogil=True)
def _image_kernel(image, k0, k1, at0, at1, out):
    n0, n1 = image.shape
    across, parts = np.empty((3, n1), np.float32), np.empty((3, n1), np.float32)
    wide = np.empty(n1 + k1.shape[1], np.float32)
    for i in range(n0):
        _across(image, at0, i, k0, 0, n1, 3, across)
        for m in range(3):
            _along(across[2 - m], at1, k1, m, wide, parts[m])
        if out.shape[0] == 3:
            out[:, i] = parts
        else:
            _eigenvalues2(parts, out[:, i])


@numba.njit(cache=True, nogil=True)
def _volume_kernel(volume, k0, k1, k2, at0, at1, at2, out):
    n0, n1, n2 = volume.shape
    flat = volume.reshape(n0, n1 * n2)
    deep = np.empty((3, n1 * n2), np.float32)
    planes = deep.reshape(3, n1, n2)
    across, parts = np.empty((3, 3, n2), np.float32), np.empty((6, n2), np.float32)
    wide = np.empty(n2 + k2.shape[1], np.float32)
    for k in range(n0):
        for i in range(n1):  # a row at a time: it stays in the nearest cache
            _across(flat, at0, k, k0, i * n2, (i + 1) * n2, 3, deep)
        for i in range(n1):
            part = 0
            for m in range(2, -1, -1):
                _across(planes[m], at1, i, k1, 0, n2, 3 - m, across[m])
                for n in range(2 - m, -1, -1):
                    _along(across[m, n], at2, k2, 2 - m - n, wide, parts[part])
                    part += 1
            if out.shape[0] == 6:
                out[:, k, i] = parts
            else:
                _eigenvalues3(parts, out[:, k, i])
