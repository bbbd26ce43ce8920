"""Principal components of many pixels with many bins each, through the Gram matrix of the bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segmetry.errors import ImageError

_ROWS = 2048
"""Pixels that are centred and multiplied at once: they stay in cache."""


@dataclass(frozen=True, eq=False)
class Principal:
    """Directions of most variance.

    Parameters
    ----------
    mean : (F,) array
    axes : (F, d) array
        Orthonormal columns, that of the largest variance first; the largest entry of each is positive.
    variances : (d,) array
        Variance along each axis.
    total : float
        Variance along all axes, those left out included.
    """

    mean: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    total: float

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Return the coordinates (n, d) along the axes of (n, F) features."""
        return features @ self.axes.astype(features.dtype) - (self.mean @ self.axes).astype(features.dtype)


def principal(features: np.ndarray, n_components: int) -> Principal:
    """Return the principal components of the rows of an array.

    Parameters
    ----------
    features : (n, F) array of float
        A large array is best float32: the products are summed in its own type within 2,048 rows, in float64 beyond.
    n_components : int
        How many; at most F, and n - 1.

    Raises
    ------
    ImageError
        If features are no (n, F) array of finite numbers.

    Examples
    --------
    >>> found = principal(np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]]), 2)
    >>> found.axes[:, 0], found.variances.round(6)
    (array([0.6, 0.8]), array([25., 0.]))
    """
    features = np.asarray(features)
    if features.dtype not in (np.float32, np.float64):
        features = features.astype(np.float64)
    if features.ndim != 2 or not features.size:
        raise ImageError(f"features are an (n, F) array that is not empty, got shape {features.shape}.")
    from scipy.linalg import eigh

    n, n_bins = features.shape
    shift = features[: min(n, _ROWS)].mean(0)  # near the mean: what is left of it is taken off the sums below
    gram, sums = np.zeros((n_bins, n_bins)), np.zeros(n_bins)
    for start in range(0, n, _ROWS):
        part = features[start : start + _ROWS] - shift
        gram += part.T @ part
        sums += part.sum(0, dtype=np.float64)
    if not np.isfinite(sums).all():
        raise ImageError("features must be finite; leave out the pixels and bins that are not.")
    covariance = (gram - np.outer(sums, sums) / n) / max(n - 1, 1)
    d = max(1, min(n_components, n_bins, n - 1))
    values, axes = eigh(covariance, subset_by_index=[n_bins - d, n_bins - 1])
    axes = axes[:, ::-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(d)])
    return Principal(shift + sums / n, axes, np.maximum(values[::-1], 0.0), float(np.trace(covariance)))
