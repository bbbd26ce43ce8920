"""Probabilities that come true: one temperature for all of a network's logits."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize_scalar

from segmetry.errors import ShapeMismatchError

RANGE = (0.05, 20.0)
"""Temperatures that are looked at."""


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """Return the temperature with which logits tell the truth best: the least mean cross-entropy of logits / T.

    Parameters
    ----------
    logits : (K, n) or (1, n) array of float
        One row for each class, or the one row of a network for two classes: log odds of the second.
    truth : (n,) array of int
        Class of each case.

    Returns
    -------
    temperature : float
        Above 1 where the network is too sure. 1 where there is nothing to go by: no case, or one class only.

    Notes
    -----
    The cross-entropy is convex in 1 / T, so the least value is the only one. Classes stay as they are: the largest
    logit remains the largest.

    References
    ----------
    Guo et al., ICML 2017, arXiv:1706.04599.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> odds = rng.normal(0, 1, 100_000)
    >>> truth = rng.random(odds.size) < 1 / (1 + np.exp(-odds))
    >>> round(fit_temperature(3 * odds[None], truth.astype(int)), 1)
    3.0
    """
    if logits.ndim != 2 or logits.shape[1:] != truth.shape:
        raise ShapeMismatchError(f"logits are (K, n) and truth is (n,), got {logits.shape} and {truth.shape}.")
    rows = np.asarray(logits, np.float64)
    if len(rows) == 1:
        rows = np.concatenate([np.zeros_like(rows), rows])
    if np.unique(truth).size < 2:
        return 1.0
    rows = rows - np.take_along_axis(rows, np.asarray(truth, np.intp)[None], axis=0)

    def loss(log_heat: float) -> float:
        heated = rows * math.exp(log_heat)
        most = heated.max(axis=0)
        return float((most + np.log(np.exp(heated - most).sum(axis=0))).mean())

    low, high = (math.log(1 / t) for t in reversed(RANGE))
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return float(math.exp(-found.x))
