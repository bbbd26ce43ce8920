"""Quotients of counts: nan where there is nothing to divide by, unless a score says what it is then."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def over(a: Any, b: Any, otherwise: Any = math.nan) -> np.ndarray:
    """Return a / b as float64, and `otherwise` where b is 0; all three broadcast.

    Examples
    --------
    >>> over([1, 2, 0], [2, 0, 0])
    array([0.5, nan, nan])
    """
    a, b, out = np.broadcast_arrays(*(np.asarray(x, float) for x in (a, b, otherwise)))
    return np.divide(a, b, out=out.copy(), where=b != 0)


def harmonic(precision: Any, recall: Any) -> np.ndarray:
    """Return the harmonic mean of two shares, 0 where both are 0; a share of nothing (nan) counts as 0.

    Examples
    --------
    >>> harmonic([1.0, 0.0, math.nan], [0.5, 0.0, 1.0]).round(3)
    array([0.667, 0.   , 0.   ])
    """
    p, r = np.nan_to_num(precision), np.nan_to_num(recall)
    return over(2 * p * r, p + r, 0.0)


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
