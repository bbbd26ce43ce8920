"""Masks and their pixel size, as the measures of volumes take them."""

from __future__ import annotations

import numpy as np

from segmetry.errors import ImageError, ShapeMismatchError
from segmetry.types import Calibration


def checked(
    array: np.ndarray, calibration: Calibration | None, who: str, *, ndims: tuple[int, ...] = (2, 3)
) -> Calibration:
    """Return the calibration of an array of pixels; without one a pixel is one pixel.

    Raises
    ------
    ImageError
        If the array has no pixels, or another number of axes than `ndims`.
    ShapeMismatchError
        If the calibration has another number of axes than the array.

    Examples
    --------
    >>> checked(np.ones((2, 2), bool), None, "example").spacing
    (1.0, 1.0)
    """
    if array.ndim not in ndims or array.size == 0:
        wanted = " or ".join(map(str, ndims))
        raise ImageError(f"{who}: wants {wanted} axes and at least one pixel, got an array of shape {array.shape}.")
    calibration = calibration or Calibration.unknown(array.ndim)
    if len(calibration.spacing) != array.ndim:
        raise ShapeMismatchError(
            f"{who}: {len(calibration.spacing)} pixel lengths for {array.ndim} axes; give one per axis."
        )
    return calibration
