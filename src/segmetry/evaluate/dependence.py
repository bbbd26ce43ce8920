"""What a score depends on: contrast, size, crowding, shape, noise. Binned medians, a slope, a sentence.

Rows are images or objects; objects of one image (or publication) go together as a group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.evaluate.bootstrap import FEWEST, Groups, decimals, draws, ends_of_sums, groups_of
from segmetry.measure.uncertainty import student
from segmetry.types import Estimate

_PER_BIN = 5
_SPREAD = 4.0
_RHO_DRAWS = 400
"""Draws for the standard deviation of Fisher's z: it needs no tails."""


@dataclass(frozen=True, eq=False)
class Trend:
    """A score against a property.

    Parameters
    ----------
    name, against, unit : str
        The score, the property, and the property's unit.
    scale : {"linear", "log2"}
        Of the property: the slope is per unit, or per doubling.
    edges : (B+1,) array
        Edges of the bins, each with about as many rows; in units of the property.
    centres, median, low, high : (B,) arrays
        Median of the property, and median and quartiles of the score, in each bin.
    n_bin : (B,) array of int
        Rows in each bin.
    slope : Estimate
        Of the least-squares line.
    rho : Estimate
        Spearman's rank correlation.
    through : (x, y)
        A point of the line: the mean (geometric for log2) of the property, and that of the score.
    n, n_groups : int
        Rows that have both, and the groups they fall in.
    sentence : str
        What to say.
    """

    name: str
    against: str
    unit: str
    scale: Literal["linear", "log2"]
    edges: np.ndarray
    centres: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n_bin: np.ndarray
    slope: Estimate
    rho: Estimate
    through: tuple[float, float]
    n: int
    n_groups: int
    sentence: str


def trend(
    score: np.ndarray | Sequence[float],
    against: np.ndarray | Sequence[float],
    *,
    name: str,
    against_name: str,
    unit: str = "",
    scale: Literal["auto", "linear", "log2"] = "auto",
    groups: Sequence[Any] | np.ndarray | None = None,
    n_bins: int = 8,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Trend:
    """Return how a score goes with a property.

    Parameters
    ----------
    score, against : (n,) arrays
        A row is an image or an object; where either is nan, it is left out.
    name, against_name, unit : str
        Of the score, of the property, and the property's unit.
    scale : {"auto", "linear", "log2"}
        Of the property. ``"auto"`` is log2 where at most one row in a hundred is 0 or less and the property spreads
        over more than a factor of four (from its 5th to its 95th percentile). Rows of 0 or less have no logarithm and
        are left out then.
    groups : (n,) sequence, optional
        Image of each object, publication of each image: drawn as a whole.
    n_bins : int
        Bins at most; fewer where they would hold fewer than five rows.
    n_resamples, level, seed
        As for `segmetry.evaluate.uncertain.mean_over_images`.

    Raises
    ------
    ShapeMismatchError
        If score and property differ in length.
    OptionError
        If there is no such scale, or `n_bins` is not positive.

    Notes
    -----
    The slope is that of least squares, every row with the same weight: scores have bounds, so none lies far out, and
    the logarithm takes the far ones in from the property. It is a function of five sums, which makes its bootstrap-t
    (that of `pooled`) cheap and right for groups. The median slope of pairs (Theil-Sen) would stay 0 where most images
    have a score of 1. The interval of Spearman's rho is Student's on Fisher's z, with the standard deviation of z over
    draws of the groups, and as many degrees of freedom as equal groups would have (Kish's effective number). A trend
    over data that nobody set up is no cause: contrast and size go together in micrographs.

    Examples
    --------
    >>> contrast = np.array([5, 8, 12, 20, 30, 45, 60, 90, 130, 160])
    >>> iou = 0.3 + 0.08 * np.log2(contrast) + 0.01 * np.tile([1, -1], 5)
    >>> print(trend(iou, contrast, name="IoU", against_name="contrast").sentence)
    IoU falls by 0.079 per halving of contrast [0.074, 0.087]
    """
    y, x = np.asarray(score, float), np.asarray(against, float)
    if y.ndim != 1 or x.shape != y.shape:
        raise ShapeMismatchError(f"trend: {name} has the shape {y.shape}, {against_name} {x.shape}; give one a row.")
    if n_bins < 1:
        raise OptionError(f"trend: n_bins must be positive, got {n_bins}; 8 is usual.")
    if scale not in ("auto", "linear", "log2"):
        raise OptionError(f"trend: scale is 'auto', 'linear' or 'log2', got {scale!r}.")
    drawn = groups_of(groups, len(y))
    kept = np.isfinite(x) & np.isfinite(y)
    log = scale == "log2" or (scale == "auto" and _asks_for_log(x[kept]))
    if log:
        kept &= x > 0
    x, y = x[kept], y[kept]
    drawn = groups_of(drawn.code[kept] if drawn.named else None, len(y))
    edges, which = _bins(x, n_bins)
    quartiles = [np.quantile(y[which == k], [0.25, 0.5, 0.75]) for k in range(len(edges) - 1)]
    low, median, high = np.array(quartiles).reshape(-1, 3).T
    scaled = np.log2(x) if log else x
    middle = float(scaled.mean()) if len(x) else math.nan
    slope = _slope(
        scaled, y, drawn, "" if log or not unit else f"{unit}^-1", n_resamples=n_resamples, level=level, seed=seed
    )
    words = against_name.replace("_", " ")
    step, per = _step(x, log, words, unit)
    return Trend(
        name,
        against_name,
        unit,
        "log2" if log else "linear",
        edges,
        np.array([np.median(x[which == k]) for k in range(len(edges) - 1)]),
        median,
        low,
        high,
        np.bincount(which, minlength=len(edges) - 1),
        slope,
        _spearman(x, y, drawn, min(n_resamples, _RHO_DRAWS), level=level, seed=seed),
        (2**middle if log else middle, float(y.mean()) if len(y) else math.nan),
        len(y),
        drawn.n,
        _sentence(slope, step, per, name, words),
    )


def _asks_for_log(x: np.ndarray) -> bool:
    positive = x[x > 0]
    if len(positive) < 2 or len(positive) < 0.99 * len(x):
        return False
    low, high = np.quantile(positive, [0.05, 0.95])
    return bool(high > _SPREAD * low)


def _bins(x: np.ndarray, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Return edges of bins that hold about as many values each, and the bin of each value."""
    if not len(x):
        return np.zeros(1), np.zeros(0, int)
    n = max(min(n_bins, len(x) // _PER_BIN), 1)
    edges = np.unique(np.quantile(x, np.linspace(0, 1, n + 1), method="inverted_cdf"))
    if len(edges) == 1:
        return np.repeat(edges, 2), np.zeros(len(x), int)
    which = np.clip(np.searchsorted(edges, x, side="left") - 1, 0, len(edges) - 2)
    return edges, which


def _slope(
    x: np.ndarray, y: np.ndarray, drawn: Groups, unit: str, *, n_resamples: int, level: float, seed: int
) -> Estimate:
    method = f"least squares, every row alike; bootstrap-t, {_rows(drawn, n_resamples)}"
    if len(x) < 2 or np.ptp(x) == 0:
        note = "fewer than two different values of the property"
        return Estimate("slope", math.nan, unit=unit, level=level, method=method, n=len(x), note=note)
    spread = float(np.std(x))
    dx, dy = (x - x.mean()) / spread, y - y.mean()
    sums = drawn.sums(np.column_stack([np.ones(len(x)), dx, dy, dx * dx, dx * dy]))

    def line(s: np.ndarray) -> dict[str, np.ndarray]:
        n, sx, sy, sxx, sxy = s.T
        with np.errstate(invalid="ignore", divide="ignore"):
            return {"slope": (sxy - sx * sy / n) / (sxx - sx * sx / n)}

    value, low, high, note = ends_of_sums(
        sums, line, drawn, bounds=None, n_resamples=n_resamples, level=level, seed=seed
    )["slope"]
    return Estimate("slope", value / spread, low / spread, high / spread, unit, level, method, n=len(x), note=note)


def _spearman(x: np.ndarray, y: np.ndarray, drawn: Groups, n_resamples: int, *, level: float, seed: int) -> Estimate:
    method = f"Spearman; Student's t on Fisher's z, {_rows(drawn, n_resamples)}"
    n = len(x)
    if n < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        note = "fewer than three rows, or no spread"
        return Estimate("rho", math.nan, level=level, method=method, n=n, note=note)
    ranks = _Ranks(x), _Ranks(y)
    value = float(_correlation(np.ones((1, n)), *ranks)[0])
    if drawn.n < FEWEST:
        note = f"{drawn.n} groups or rows: too few for an interval"
        return Estimate("rho", value, level=level, method=method, n=n, note=note)
    found = []
    for weights in draws(drawn.n, n_resamples, seed):
        rows = max(1, 2_000_000 // n)
        for k in range(0, len(weights), rows):
            found.append(_correlation(weights[k : k + rows][:, drawn.code], *ranks))
    z = np.arctanh(np.clip(np.concatenate(found), -1 + 1e-9, 1 - 1e-9))
    sizes = np.bincount(drawn.code, minlength=drawn.n)
    equal = max(n**2 / float(np.sum(sizes**2)), 2.0)  # as many equal groups (Kish)
    half = student(level, equal - 1) * float(np.nanstd(z, ddof=1)) * math.sqrt(equal / (equal - 1))
    centre = math.atanh(min(max(value, -1 + 1e-9), 1 - 1e-9))
    return Estimate("rho", value, math.tanh(centre - half), math.tanh(centre + half), level=level, method=method, n=n)


class _Ranks:
    """Middle ranks of values that occur a given number of times each."""

    def __init__(self, values: np.ndarray) -> None:
        found, self.place = np.unique(values, return_inverse=True)
        self.order = np.argsort(self.place, kind="stable")
        self.first = np.searchsorted(self.place[self.order], np.arange(len(found)))

    def of(self, weights: np.ndarray) -> np.ndarray:
        """Return ranks (B, n) for weights (B, n), counted from their mean."""
        each = np.add.reduceat(weights[:, self.order], self.first, axis=1)
        return (np.cumsum(each, axis=1) - each / 2 - weights.sum(1, keepdims=True) / 2)[:, self.place]


def _correlation(weights: np.ndarray, x: _Ranks, y: _Ranks) -> np.ndarray:
    a, b = x.of(weights), y.of(weights)
    wa = weights * a
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sum(wa * b, 1) / np.sqrt(np.sum(wa * a, 1) * np.sum(weights * b * b, 1))


def _rows(drawn: Groups, n_resamples: int) -> str:
    return f"{drawn.n} {'groups' if drawn.named else 'rows'} drawn {n_resamples} times"


def _step(x: np.ndarray, log: bool, against: str, unit: str) -> tuple[float, str]:
    """Return a change of the property and its words: half of it, or a round step; the same for every score."""
    if log:
        return -1.0, f"per halving of {against}"
    spread = float(np.subtract(*np.quantile(x, [0.75, 0.25]))) or float(np.ptp(x)) if len(x) else 0.0
    size = 10.0 ** math.floor(math.log10(spread)) if spread > 0 else 1.0
    return size, f"per {size:g}{f' {unit}' if unit else ''} of {against}"


def _sentence(slope: Estimate, step: float, per: str, name: str, against: str) -> str:
    if not math.isfinite(slope.low):
        return f"whether {name} goes with {against} cannot be told: {slope.note}"
    change = step * slope.value
    low, high = sorted((step * slope.low, step * slope.high))
    digits = decimals(low, high)
    if low <= 0 <= high:
        ends = f"[{low:z.{digits}f}, {high:z.{digits}f}]"
        return f"no trend of {name} with {against} can be seen: {change:z.{digits}f} {ends} {per}"
    if change < 0:
        low, high = -high, -low
    word = "falls" if change < 0 else "rises"
    return f"{name} {word} by {abs(change):.{digits}f} {per} [{low:.{digits}f}, {high:.{digits}f}]"
