"""Quotients of counts: nan where there is nothing to divide by, never a silent 0."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def over(a: Any, b: Any) -> np.ndarray:
    """Return a / b as float64, nan where b is 0; a and b broadcast.

    Examples
    --------
    >>> over([1, 2, 0], [2, 0, 0])
    array([0.5, nan, nan])
    """
    a, b = np.broadcast_arrays(np.asarray(a, float), np.asarray(b, float))
    return np.divide(a, b, out=np.full(a.shape, math.nan), where=b != 0)


def mean_over(each: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis of what is not nan; nan where nothing is.

    Examples
    --------
    >>> mean_over(np.array([[1.0, math.nan, 3.0], [math.nan, math.nan, math.nan]]))
    array([ 2., nan])
    """
    there = ~np.isnan(each)
    return over(np.where(there, each, 0).sum(-1), there.sum(-1))


def plain(value: Any) -> Any:
    """Return a float for an array without axes, and any other array as it is."""
    return value if np.ndim(value) else float(value)
