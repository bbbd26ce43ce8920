"""How long an object is, along an axis of the volume or its own, and its cross-sections on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from segmetry.errors import LabelError, OptionError
from segmetry.measure.calipers3d import width_along
from segmetry.measure.regions import Regions
from segmetry.measure.runs import by_region, lines_of
from segmetry.measure.spacing import checked
from segmetry.types import Calibration


def long_axes(regions: Regions) -> np.ndarray:
    """Return the direction cosines (L, 3) of the long axis of each object of a volume, in array order.

    It is the axis of the ellipsoid with the object's second moments, in calibrated lengths. Of both ends the one is
    taken that points to later planes (of none, later rows, columns). nan where the two longest axes are equal.
    """
    values, vectors = np.linalg.eigh(regions.covariance)
    first = vectors[:, :, 2]
    first = np.where(np.abs(first) < 1e-12, 0.0, first)
    leading = np.take_along_axis(first, (first != 0).argmax(axis=1)[:, None], axis=1)
    doubtful = values[:, 2] - values[:, 1] <= 1e-9 * values.sum(axis=1)
    return np.where(doubtful[:, None], np.nan, first * np.sign(leading))


def lengths(regions: Regions, directions: np.ndarray | None = None) -> np.ndarray:
    """Return the extent (L,) of each object of a volume along its own long axis, or along given directions.

    Parameters
    ----------
    regions : Regions
        Of a volume.
    directions : (L, 3) array, optional
        Unit vectors in array order, in calibrated lengths. One that is nan gives nan, as a ball's own axis does.

    Notes
    -----
    From the first to the last centre of a voxel, and half a voxel at either end: along an axis of the volume that is
    the number of slices times their distance. Ends that lie flat at an angle, and are wider than a few voxels, come out
    up to a voxel too long; round ends are right to a third of a voxel.
    """
    if regions.ndim != 3:
        raise OptionError(f"lengths: wants the regions of a volume, got {regions.ndim} axes; use feret_max of images.")
    directions = long_axes(regions) if directions is None else np.asarray(directions, float)
    runs, out = regions.runs, np.empty(regions.n)
    _extents(
        runs.start, runs.stop, runs.region, runs.first, runs.shape3[1], directions, np.asarray(regions.spacing), out
    )
    return out


@njit(cache=True, nogil=True)
def _extents(start, stop, region, first_run, n_rows, directions, spacing, out):
    order, begin = by_region(region, out.shape[0])
    line = lines_of(first_run)
    for i in range(out.shape[0]):
        u, v, w = directions[i, 0], directions[i, 1], directions[i, 2]
        out[i] = width_along(u, v, w, begin[i], begin[i + 1], order, start, stop, line, n_rows, spacing)
        if np.isnan(u):
            out[i] = np.nan


@dataclass(frozen=True, eq=False)
class Profile:
    """Cross-sections of an object along a direction.

    Parameters
    ----------
    direction : (ndim,) array
        Unit vector in array order.
    positions : (K,) array
        Middle of each slice along the direction; 0 is the centre of the frame's first pixel.
    areas : (K,) array
        Area of the cross-section (in an image its length), the mean over the slice.
    length : float
        From the first slice to the last, as `lengths` has it.
    volume : float
        Of the object (in an image its area); the sum of areas times the distance of slices.
    unit : str
        Of lengths.
    """

    direction: np.ndarray
    positions: np.ndarray
    areas: np.ndarray
    length: float
    volume: float
    unit: str


def profile(
    mask: np.ndarray, *, axis: int | np.ndarray | None = None, calibration: Calibration | None = None
) -> Profile:
    """Return length, volume and cross-sections of an object along an axis of the array, a direction, or its long axis.

    Parameters
    ----------
    mask : (M, N) or (P, M, N) array of bool
        The object, such as one bone; pieces count together.
    axis : int or (ndim,) array, optional
        An axis of the array, or a direction in calibrated lengths (of any length). By default the object's long axis.
    calibration : Calibration, optional

    Raises
    ------
    LabelError
        If the mask is empty.
    OptionError
        If there is no such axis, the direction is none, or the object has no long axis.

    Notes
    -----
    Slices are one pixel apart: the pixel's side along an axis of the array, else the width of a pixel along the
    direction. A pixel is spread over the two slices next to its centre, by its distance from them, so that a cylinder's
    profile is smooth at any angle; along an axis of the array each pixel lies in one.

    Examples
    --------
    >>> cone = np.tri(4, dtype=bool)
    >>> found = profile(cone, axis=0, calibration=Calibration((2, 1), "mm"))
    >>> found.length, found.volume, found.areas.tolist()
    (8.0, 20.0, [1.0, 2.0, 3.0, 4.0])
    """
    calibration = checked(mask, calibration, "profile")
    spacing = np.array(calibration.spacing)
    if not mask.any():
        raise LabelError("profile: the mask is empty; choose a label that occurs.")
    points = np.argwhere(mask) * spacing
    direction = _direction(points, axis, mask.ndim)
    step = float(np.max(np.abs(direction) * spacing))
    along = points @ direction
    low, high = float(along.min()), float(along.max())
    place = (along - low) / step
    before = np.floor(place + 1e-9).astype(int)
    part = np.clip(place - before, 0, 1)
    n = int(before.max()) + 2
    amount = np.bincount(before, 1 - part, n) + np.bincount(before + 1, part, n)
    if amount[-1] < 1e-6:
        amount = amount[:-1]
    pixel = float(spacing.prod())
    positions = low + step * np.arange(amount.size)
    volume = len(points) * pixel
    return Profile(direction, positions, amount * pixel / step, high - low + step, volume, calibration.unit)


def _direction(points: np.ndarray, axis: int | np.ndarray | None, ndim: int) -> np.ndarray:
    """Return the unit vector along which slices are laid."""
    if axis is None:
        values, vectors = np.linalg.eigh(np.cov(points.T, bias=True)) if len(points) > 1 else (np.zeros(ndim), None)
        if vectors is None or values[-1] - values[-2] <= 1e-9 * values.sum():
            raise OptionError(
                "profile: the object has no long axis, as a ball or a single pixel has none; name an axis."
            )
        own = vectors[:, -1]
        return np.asarray(own * np.sign(own[np.argmax(np.abs(own) > 1e-12)]))
    if isinstance(axis, int | np.integer):
        if not -ndim <= axis < ndim:
            raise OptionError(f"profile: there is no axis {axis} of {ndim}; count from 0, or give a direction.")
        return np.eye(ndim)[axis]
    direction = np.asarray(axis, float)
    size = float(np.linalg.norm(direction))
    if direction.shape != (ndim,) or not 0 < size < np.inf:
        raise OptionError(f"profile: a direction has {ndim} finite numbers, not all 0; got {axis!r}.")
    return direction / size
