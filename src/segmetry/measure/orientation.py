"""Which way a structure runs: gradient tensors at each place, and the directions and diameters of fibres."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from segmetry.errors import ImageError, OptionError, ShapeMismatchError
from segmetry.measure.spacing import checked
from segmetry.measure.thickness import local_thickness
from segmetry.types import Calibration


def structure_tensor(
    image: np.ndarray, *, sigma: float = 1.0, rho: float = 3.0, calibration: Calibration | None = None
) -> np.ndarray:
    """Return the structure tensor of an image or volume: the mean over a neighbourhood of gradient times gradient.

    Parameters
    ----------
    image : (M, N) or (P, M, N) array of real numbers
    sigma : float
        Standard deviation of the Gaussian whose derivatives give the gradient, in px of the longest side.
    rho : float
        That of the Gaussian over which gradients are averaged: about the radius of a fibre, or more.
    calibration : Calibration, optional
        Both Gaussians are round, and gradients right, in calibrated lengths.

    Returns
    -------
    tensor : (..., ndim, ndim) float32 array
        Symmetric, in array order.

    Raises
    ------
    ImageError, OptionError
        If pixels are not finite, or a width is not positive.

    References
    ----------
    Bigün, Granlund, Proc. ICCV 1987, 433. In 3D for fibres: Krause et al. 2010, doi:10.1016/j.ndteint.2010.06.002.

    Examples
    --------
    >>> rows = np.sin(np.arange(32.0))[:, None] + np.zeros(32)
    >>> structure_tensor(rows)[16, 16].round(2).tolist()[1]
    [0.0, 0.0]
    """
    from scipy.ndimage import gaussian_filter

    image = np.asarray(image)
    spacing = np.array(checked(image, calibration, "structure_tensor").spacing)
    for name, value in (("sigma", sigma), ("rho", rho)):
        if not 0 < value < math.inf:
            raise OptionError(f"structure_tensor: {name} must be positive and finite, got {value!r}.")
    image = image.astype(np.float32)
    if not np.isfinite(image).all():
        raise ImageError("structure_tensor: some pixels are not finite; fill them first (prepare.valid.as_finite).")
    sides = spacing / spacing.max()  # a Gaussian narrower than a pixel has wrong slopes
    n = image.ndim
    slopes = [
        gaussian_filter(image, sigma / sides, order=np.eye(n, dtype=int)[k].tolist(), mode="nearest") / sides[k]
        for k in range(n)
    ]
    tensor = np.empty((*image.shape, n, n), np.float32)
    for i in range(n):
        for j in range(i, n):
            tensor[..., i, j] = gaussian_filter(slopes[i] * slopes[j], rho / sides, mode="nearest")
            tensor[..., j, i] = tensor[..., i, j]
    return tensor


@dataclass(frozen=True, eq=False)
class Field:
    """Directions at some places.

    Parameters
    ----------
    directions : (K, ndim) array
        Unit vectors in array order, in calibrated lengths; the first component that is not 0 is positive.
    linearity : (K,) array
        How far the place is like a fibre, (second - least) / largest eigenvalue of its tensor: 1 along a line, 0 in a
        plate, a grain, or where nothing is to be seen. In an image (largest - least) / (largest + least).
    """

    directions: np.ndarray
    linearity: np.ndarray


def directions_of(tensor: np.ndarray) -> Field:
    """Return the directions along which an image changes least, from structure tensors (K, ndim, ndim).

    They run along fibres; in an image along lines.

    Examples
    --------
    >>> directions_of(np.array([[[1.0, 0], [0, 0]]])).directions.tolist()
    [[0.0, 1.0]]
    """
    values, vectors = np.linalg.eigh(np.asarray(tensor, float))
    least, second, largest = values[..., 0], values[..., 1], values[..., -1]
    scale = largest if values.shape[-1] == 3 else least + largest
    with np.errstate(divide="ignore", invalid="ignore"):
        linearity = np.where(scale > 0, (second - least) / scale, 0.0)
    return Field(_half(vectors[..., 0]), np.clip(linearity, 0, 1))


def _half(vectors: np.ndarray) -> np.ndarray:
    """Return vectors turned so that the first component that is not 0 is positive: v and -v are one direction."""
    vectors = np.where(np.abs(vectors) < 1e-12, 0.0, vectors)
    leading = np.take_along_axis(vectors, (vectors != 0).argmax(axis=-1)[..., None], axis=-1)
    return np.where(leading < 0, -vectors, vectors)


@dataclass(frozen=True, eq=False)
class OrientationTensor:
    """The mean of direction times direction over a phase.

    Parameters
    ----------
    tensor : (ndim, ndim) array
        Trace 1.
    values : (ndim,) array
        Its eigenvalues, falling: 1, 0, 0 if all is parallel; 1/2, 1/2, 0 spread in a plane; 1/3 each without direction.
    axes : (ndim, ndim) array
        Its eigenvectors as rows, in the same order.
    """

    tensor: np.ndarray
    values: np.ndarray
    axes: np.ndarray


def orientation_tensor(directions: np.ndarray, weights: np.ndarray | None = None) -> OrientationTensor:
    """Return the orientation tensor of directions.

    Parameters
    ----------
    directions : (K, ndim) array
        Unit vectors, either way round.
    weights : (K,) array, optional
        What each stands for: length, volume.

    Raises
    ------
    ImageError
        If there is no direction, or no weight.

    References
    ----------
    Advani, Tucker, J. Rheol. 31, 751 (1987), doi:10.1122/1.549945.

    Examples
    --------
    >>> orientation_tensor(np.eye(3)[:2]).values.tolist()
    [0.5, 0.5, 0.0]
    """
    weights = np.ones(len(directions)) if weights is None else np.asarray(weights, float)
    if weights.shape != directions.shape[:1]:
        raise ShapeMismatchError(f"orientation_tensor: {len(directions)} directions but weights {weights.shape}.")
    if not weights.sum() > 0:
        raise ImageError("orientation_tensor: there is no direction to average; is the phase empty?")
    tensor = np.einsum("k,ki,kj->ij", weights, directions, directions) / weights.sum()
    values, vectors = np.linalg.eigh(tensor)
    return OrientationTensor(tensor, values[::-1], _half(vectors.T[::-1]))


@dataclass(frozen=True, eq=False)
class Rose:
    """How often directions fall into parts of the half sphere that are equally large.

    Parameters
    ----------
    density : (n_tilt, n_turn) array
        Over that of directions without preference: 1 everywhere for those.
    tilt : (n_tilt + 1,) array
        Edges in degrees from the first axis of the array, 0 to 90, equally spaced in the cosine.
    turn : (n_turn + 1,) array
        Edges in degrees around it, 0 to 360, from the second axis towards the third.
    """

    density: np.ndarray
    tilt: np.ndarray
    turn: np.ndarray


def direction_histogram(
    directions: np.ndarray, weights: np.ndarray | None = None, *, n_tilt: int = 9, n_turn: int = 36
) -> Rose:
    """Return the histogram of directions (K, 3) over the half sphere around the first axis of the array.

    Examples
    --------
    >>> direction_histogram(np.array([[1.0, 0, 0]]), n_tilt=2, n_turn=1).density.tolist()
    [[2.0], [0.0]]
    """
    up = np.where(directions[:, :1] < 0, -directions, directions)
    cosine = np.linspace(1, 0, n_tilt + 1)
    turn = np.linspace(0, 360, n_turn + 1)
    angle = np.degrees(np.arctan2(up[:, 2], up[:, 1])) % 360
    counts, _, _ = np.histogram2d(up[:, 0], angle, bins=(cosine[::-1], turn), weights=weights)
    with np.errstate(invalid="ignore"):
        return Rose(counts[::-1] * counts.size / counts.sum(), np.degrees(np.arccos(cosine)), turn)


@dataclass(frozen=True, eq=False)
class Fibres:
    """A fibre phase, at each voxel of its centre lines.

    Parameters
    ----------
    places : (K, 3) array of int
        Index of the voxel.
    diameter : (K,) array
        Local thickness there.
    directions : (K, 3) array
        Along the fibre, see `Field`.
    length : (K,) array
        Length of centre line that the voxel stands for; their sum is the length of all fibres.
    unit : str
        Of lengths.
    """

    places: np.ndarray
    diameter: np.ndarray
    directions: np.ndarray
    length: np.ndarray
    unit: str

    @property
    def mean_diameter(self) -> float:
        """Mean over the length of the fibres; nan if there are none."""
        total = float(self.length.sum())
        return float(self.diameter @ self.length) / total if total else math.nan

    @property
    def tensor(self) -> OrientationTensor:
        """Orientation tensor, each fibre by its length."""
        return orientation_tensor(self.directions, self.length)


def fibres(mask: np.ndarray, *, rho: float | None = None, calibration: Calibration | None = None) -> Fibres:
    """Return diameter, direction and length of a fibre phase along its centre lines.

    Parameters
    ----------
    mask : (P, M, N) array of bool
    rho : float, optional
        Of `structure_tensor`, in px of the longest side. By default half the median thickness, 1 at least.
    calibration : Calibration, optional

    Notes
    -----
    Centre lines are thinned from the mask by the rule of Lee et al. (scikit-image), one voxel wide. Along a direction u
    such a line has max(\\|u_k\\| / side_k) voxels for each unit of length, so a voxel stands for one over that.
    Directions are those of the mask's structure tensor. Ends are shortened by up to a radius, and crossings of fibres
    that touch belong to both, so that lengths are right for long, thin fibres.

    References
    ----------
    Lee, Kashyap, Chu, CVGIP 56, 462 (1994), doi:10.1006/cgip.1994.1042.
    """
    from skimage.morphology import skeletonize

    mask = np.asarray(mask, bool)
    calibration = checked(mask, calibration, "fibres", ndims=(3,))
    spacing = np.array(calibration.spacing)
    # With a margin, so that what the thinning does does not depend on the frame.
    places = np.argwhere(skeletonize(np.pad(mask, 1))[1:-1, 1:-1, 1:-1])
    at = tuple(places.T)
    diameter = local_thickness(mask, calibration=calibration)[at].astype(float)
    if rho is None:
        rho = max(float(np.nanmedian(diameter)) / 2 / spacing.max(), 1.0) if np.isfinite(diameter).any() else 1.0
    directions = directions_of(structure_tensor(mask, rho=rho, calibration=calibration)[at]).directions
    length = 1 / np.max(np.abs(directions) / spacing, axis=1, initial=0) if len(places) else np.zeros(0)
    return Fibres(places, diameter, directions, np.asarray(length), calibration.unit)
