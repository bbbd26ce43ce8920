"""How well a score ranks: ROC and precision-recall, from a histogram that adds up over images and machines."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from segmetry.errors import ImageError, OptionError, ShapeMismatchError
from segmetry.evaluate.pair import check_pair
from segmetry.evaluate.ratios import over, plain
from segmetry.evaluate.scores import Score, table_of

LEVELS = 1 << 16
"""Levels of a score histogram: those of a 16-bit image."""

RANKING = table_of(
    Score("roc_auc", "high", "chance that a foreground pixel scores higher than a background pixel"),
    Score("pr_auc", "high", "average precision: precision at each foreground pixel's score, averaged"),
)
"""Scores of a ranking."""

_CHUNK = 32  # resampled histograms held at a time: 32 MiB


class Curve(NamedTuple):
    """A curve over all thresholds, from the strictest to the most lenient.

    ``x, y`` are false and true positive rate, or recall and precision; pixels with a score >= ``threshold`` are taken.
    """

    x: np.ndarray
    y: np.ndarray
    threshold: np.ndarray


@dataclass(frozen=True, eq=False)
class ScoreHistogram:
    """Foreground and background by their score, on 65,536 levels.

    Histograms add up: ``a + b`` is that of both images.

    Parameters
    ----------
    positives, negatives : (..., 65536) arrays of int
        Pixels (or objects) of the foreground, and of the background, at each level.
    highest : float
        The score that the last level stands for; the first stands for 0.
    """

    positives: np.ndarray
    negatives: np.ndarray
    highest: float = 1.0

    def __post_init__(self) -> None:
        if self.positives.shape != self.negatives.shape or self.positives.shape[-1:] != (LEVELS,):
            raise ShapeMismatchError(
                f"a score histogram holds two arrays (..., {LEVELS}), got {self.positives.shape} and "
                f"{self.negatives.shape}."
            )

    def __add__(self, other: ScoreHistogram) -> ScoreHistogram:
        highest = _common([self, other])
        return ScoreHistogram(self.positives + other.positives, self.negatives + other.negatives, highest)

    @classmethod
    def stack(cls, histograms: Iterable[ScoreHistogram]) -> ScoreHistogram:
        """Return the histograms of several images with an axis of images in front; a MiB each."""
        rows = list(histograms)
        highest = _common(rows)
        return cls(np.stack([h.positives for h in rows]), np.stack([h.negatives for h in rows]), highest)

    def scores(self) -> dict[str, np.ndarray | float]:
        """Return the scores of `RANKING`; arrays (...) where there are axes in front. nan if a class is missing."""
        front = self.positives.shape[:-1]
        areas = _areas(self.positives.reshape(-1, LEVELS), self.negatives.reshape(-1, LEVELS))
        return {name: plain(area.reshape(front)) for name, area in zip(RANKING, areas)}

    def resampled(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return the scores of many resamples of a stack of images: the bootstrap.

        Parameters
        ----------
        weights : (B, N) array
            How often each of the N images is in each resample.

        Returns
        -------
        scores : dict of (B,) arrays
            A few resamples are held at a time, so memory does not grow with B.
        """
        weights = np.asarray(weights, float)
        if self.positives.ndim != 2 or weights.ndim != 2 or weights.shape[1] != len(self.positives):
            raise ShapeMismatchError(
                f"weights (B, N) belong to a stack of N histograms, got {weights.shape} for "
                f"{self.positives.shape[:-1]}."
            )
        used = np.flatnonzero(np.any(self.positives, axis=0) | np.any(self.negatives, axis=0))
        positives, negatives = self.positives[:, used].astype(float), self.negatives[:, used].astype(float)
        areas = np.empty((len(RANKING), len(weights)))
        for first in range(0, len(weights), _CHUNK):
            rows = slice(first, first + _CHUNK)
            areas[:, rows] = _areas(weights[rows] @ positives, weights[rows] @ negatives)
        return dict(zip(RANKING, areas))

    def roc_auc(self) -> np.ndarray | float:
        """Return the area under the ROC curve; ties count half. nan if a class is missing.

        It is the chance that a random foreground pixel scores higher than a random background pixel (Mann & Whitney
        1947, doi:10.1214/aoms/1177730491), so 0.5 for a score that knows nothing.
        """
        return self.scores()["roc_auc"]

    def pr_auc(self) -> np.ndarray | float:
        """Return the average precision, ``sum_i (R_i - R_(i-1)) P_i`` over the scores that occur.

        nan if a class is missing. Between two thresholds precision does not change along a straight line, and the
        trapezoid rule gives areas that no threshold reaches (Davis & Goadrich 2006, doi:10.1145/1143844.1143874); so
        each step takes the precision at its own threshold. A score that knows nothing has the share of the foreground.
        """
        return self.scores()["pr_auc"]

    def roc_auc_limits(self) -> tuple[np.ndarray | float, np.ndarray | float]:
        """Return what the area under the ROC curve can be at least and at most before scores were put into levels.

        Pairs of one level may be in either order, so these are half their share below and above `roc_auc`. For
        16-bit and 8-bit scores, and for floats with gaps wider than a level, `roc_auc` itself is exact.
        """
        p, n = self.positives.astype(float), self.negatives.astype(float)
        slack = over((p * n).sum(-1), 2 * p.sum(-1) * n.sum(-1))
        middle = self.roc_auc()
        return plain(middle - slack), plain(middle + slack)

    def pr_auc_limits(self) -> tuple[np.ndarray | float, np.ndarray | float]:
        """Return limits of the average precision before scores were put into levels.

        At the j-th of p positives of a level, after m of its n negatives, precision is ``(TP + j) / (TP + j + FP + m)``
        with TP and FP those of higher levels; the limits take ``j = 1, m = n`` and ``j = p, m = 0`` for all.
        """
        p, n = self.positives.astype(float), self.negatives.astype(float)
        above_p, above_n = _from_top(p) - p, _from_top(n) - n
        low = over(above_p + 1, above_p + 1 + above_n + n)
        high = over(above_p + p, above_p + p + above_n)
        total = p.sum(-1)
        missing = n.sum(-1) == 0
        limits = (over(np.where(p > 0, p * bound, 0).sum(-1), total) for bound in (low, high))
        lower, upper = (plain(np.where(missing, math.nan, limit)) for limit in limits)
        return lower, upper

    def roc_curve(self) -> Curve:
        """Return false and true positive rate at every score that occurs, from (0, 0) to (1, 1)."""
        taken_p, taken_n, threshold = self._taken()
        x, y = over(taken_n, taken_n[-1]), over(taken_p, taken_p[-1])
        return Curve(np.r_[0, x], np.r_[0, y], np.r_[math.inf, threshold])

    def pr_curve(self) -> Curve:
        """Return recall and precision at every score that occurs, from the highest. Draw it as steps."""
        taken_p, taken_n, threshold = self._taken()
        return Curve(over(taken_p, taken_p[-1]), over(taken_p, taken_p + taken_n), threshold)

    def _taken(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self.positives.ndim != 1:
            raise ShapeMismatchError(f"a curve is of one histogram, here are {self.positives.shape[:-1]} of them.")
        used = np.flatnonzero(self.positives + self.negatives)[::-1]
        if not used.size:
            raise ImageError("there is no curve of no scores: every pixel was ignored.")
        return np.cumsum(self.positives[used]), np.cumsum(self.negatives[used]), used / (LEVELS - 1) * self.highest


def count_scores(
    truth: np.ndarray, score: np.ndarray, *, ignore: int | np.ndarray | None = None, highest: float = 1.0
) -> ScoreHistogram:
    """Return how many foreground and background pixels have each score.

    Parameters
    ----------
    truth : array of int or bool, 1D, 2D or 3D
        What is not 0 is foreground. For "was it wrong" give ``truth != prediction``; for objects one entry each.
    score : array of float, or of bool, uint8 or uint16, same shape
        High for foreground: a probability, or an uncertainty. Integers keep their order, the largest possible one is
        1; floats are rounded to the nearest of 65,536 levels from 0 to `highest`, so by half a level at most.
    ignore : int or bool array, optional
        What is not to be judged: a value of the truth, or a mask that is True there. Its scores may be nan.
    highest : float
        Largest possible score where scores are floats, such as ``math.log(2)`` for an entropy of two classes.

    Raises
    ------
    ShapeMismatchError
        If the shapes differ.
    ImageError
        If a judged score is nan, or more than half a level out of [0, highest], or the scores are of another kind.

    Examples
    --------
    >>> histogram = count_scores(np.array([[1, 1, 0, 0]]), np.array([[0.9, 0.4, 0.4, 0.1]]))
    >>> histogram.roc_auc()
    0.875
    """
    if not (0 < highest < math.inf):
        raise OptionError(f"the highest score is positive and finite, got {highest}.")
    truth, score = np.asarray(truth), np.asarray(score)
    if truth.shape == score.shape == (0,):  # no objects
        return ScoreHistogram(np.zeros(LEVELS, np.int64), np.zeros(LEVELS, np.int64), float(highest))
    if truth.ndim == 1 and truth.shape == score.shape:
        truth, score = truth[None], score[None]
        ignore = ignore[None] if isinstance(ignore, np.ndarray) else ignore
    pair = check_pair(truth, np.broadcast_to(np.uint8(0), score.shape), ignore=ignore)
    flat, scale = _levelled(score, highest)
    ignored = np.zeros(0, np.bool_) if pair.ignored is None else pair.ignored.ravel()
    counts, n_nan, n_outside = _count(pair.truth.ravel(), flat, ignored, scale)
    n = score.size - np.count_nonzero(ignored)
    if n_nan:
        raise ImageError(f"{n_nan} of {n} scores are nan; mend them, or leave these pixels out with ignore.")
    if n_outside:
        raise ImageError(
            f"{n_outside} of {n} scores are not in [0, {highest:g}]; name the highest possible score with highest, and "
            "turn logits into probabilities."
        )
    return ScoreHistogram(counts[1], counts[0], float(highest) if score.dtype.kind == "f" else 1.0)


def _levelled(score: np.ndarray, highest: float) -> tuple[np.ndarray, float]:
    """Return flat scores, and what to multiply them with to get levels."""
    if score.dtype == np.bool_:
        return score.ravel().view(np.uint8), float(LEVELS - 1)
    if score.dtype in (np.uint8, np.uint16):
        return score.ravel(), (LEVELS - 1) / np.iinfo(score.dtype).max
    if score.dtype.kind != "f":
        raise ImageError(f"scores are floats in [0, {highest:g}], uint8 or uint16, got {score.dtype}.")
    if score.dtype not in (np.float32, np.float64):
        score = score.astype(np.float32 if score.dtype.itemsize < 4 else np.float64)
    return score.ravel(), (LEVELS - 1) / highest


@njit(cache=True, nogil=True)
def _count(truth, score, ignored, scale):
    """Return counts (background and foreground, levels), and how many scores are nan, and out of range."""
    counts = np.zeros((2, 65536), np.int64)
    n_nan = n_outside = 0
    for i in range(truth.size):
        if ignored.size and ignored[i]:
            continue
        level = score[i] * scale
        if -0.5 < level < 65535.5:  # a float32 may end a little above the highest score
            counts[1 if truth[i] > 0 else 0, int(level + 0.5)] += 1
        elif level != level:
            n_nan += 1
        else:
            n_outside += 1
    return counts, n_nan, n_outside


def _common(histograms: list[ScoreHistogram]) -> float:
    if not histograms:
        raise OptionError("there are no histograms to put together.")
    highest = {h.highest for h in histograms}
    if len(highest) > 1:
        raise OptionError(f"score histograms add up only on one scale; these end at {sorted(highest)}.")
    return highest.pop()


def _from_top(counts: np.ndarray) -> np.ndarray:
    """Return how many have at least each score."""
    return np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]


@njit(cache=True, nogil=True)
def _areas(positives, negatives):
    """Return area under the ROC curve and average precision of each row, (2, rows)."""
    areas = np.full((2, positives.shape[0]), np.nan)
    for row in range(positives.shape[0]):
        taken_p = taken_n = 0.0
        pairs = precision = 0.0
        for level in range(positives.shape[1] - 1, -1, -1):
            p, n = float(positives[row, level]), float(negatives[row, level])
            pairs += n * (taken_p + 0.5 * p)
            taken_p += p
            taken_n += n
            if p > 0:
                precision += p * (taken_p / (taken_p + taken_n))
        if taken_p > 0 and taken_n > 0:
            areas[0, row] = pairs / (taken_p * taken_n)
            areas[1, row] = precision / taken_p
    return areas
