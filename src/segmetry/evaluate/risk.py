"""What is gained by keeping only the objects one is sure of: risk against coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from segmetry.errors import ImageError, ShapeMismatchError
from segmetry.evaluate.scores import Score, table_of

RISK = table_of(
    Score("aurc", "low", "mean error of the kept objects, averaged over how many are kept"),
    Score("excess_aurc", "low", "aurc minus that of the best possible order"),
)
"""Scores of a filter."""


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """Error of what is kept, against the share that is kept, surest first.

    Parameters
    ----------
    coverage, risk : (N,) arrays
        Share of the objects that is kept, ``1/N`` to 1, and their mean error.
    threshold : (N,) array
        Score of the last object that is kept.
    best : (N,) array
        Risk if the order were that of the errors themselves.
    aurc, excess_aurc : float
        See `RISK`; nan without objects.
    """

    coverage: np.ndarray
    risk: np.ndarray
    threshold: np.ndarray
    best: np.ndarray
    aurc: float
    excess_aurc: float

    def scores(self) -> dict[str, float]:
        """Return the scores of `RISK`."""
        return {"aurc": self.aurc, "excess_aurc": self.excess_aurc}


def risk_coverage(score: Any, error: Any) -> RiskCoverage:
    """Return what filtering by a score gains.

    Parameters
    ----------
    score : (N,) array
        How sure each object is; high is kept first. Give ``-uncertainty`` for an uncertainty.
    error : (N,) array
        How wrong each is: 0 or 1, or a loss such as ``1 - iou``.

    Returns
    -------
    RiskCoverage
        Objects of one score come in no order: the risk is the mean over all orders of theirs.

    Raises
    ------
    ShapeMismatchError
        If there is not one error for each score.
    ImageError
        If a score is nan or an error is not finite.

    Notes
    -----
    The risk is that of what was found and kept. Objects that were missed are in it at no coverage, so a filter's gain
    here is to be read beside its recall.

    References
    ----------
    Geifman & El-Yaniv, NeurIPS 2017, arXiv:1705.08500; Geifman, Uziel & El-Yaniv, ICLR 2019, arXiv:1805.08206 (area and
    its excess).

    Examples
    --------
    >>> found = risk_coverage([0.9, 0.8, 0.1], [0, 1, 1])
    >>> found.risk.round(3), round(found.aurc, 4)
    (array([0.   , 0.5  , 0.667]), 0.3889)
    >>> abs(found.excess_aurc)
    0.0
    """
    score, error = np.asarray(score, float), np.asarray(error, float)
    if score.ndim != 1 or score.shape != error.shape:
        raise ShapeMismatchError(f"each object has one score and one error, got {score.shape} and {error.shape}.")
    n_nan, n_bad = int(np.isnan(score).sum()), int((~np.isfinite(error)).sum())
    if n_nan or n_bad:
        raise ImageError(f"of {score.size} objects {n_nan} have a nan score and {n_bad} an error that is not finite.")
    if not score.size:
        none = np.zeros(0)
        return RiskCoverage(none, none, none, none, np.nan, np.nan)
    order = np.argsort(-score, kind="stable")
    threshold = score[order]
    _, first, size = np.unique(-threshold, return_index=True, return_counts=True)
    tied = np.repeat(np.add.reduceat(error[order], first) / size, size)
    kept = np.arange(1, score.size + 1)
    risk, best = np.cumsum(tied) / kept, np.cumsum(np.sort(error)) / kept
    aurc = float(risk.mean())
    return RiskCoverage(kept / score.size, risk, threshold, best, aurc, aurc - float(best.mean()))
