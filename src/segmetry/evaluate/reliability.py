"""Whether a stated probability can be believed: calibration, the parts of the Brier score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.evaluate.ranking import LEVELS, ScoreHistogram, count_scores
from segmetry.evaluate.ratios import over, plain
from segmetry.evaluate.scores import Score, table_of

CALIBRATION = table_of(
    Score(
        "ece",
        "low",
        "mean distance of stated and observed share, over bins of equal width (expected calibration error)",
    ),
    Score("ece_equal_mass", "low", "the same over bins that hold equally many cases (adaptive calibration error)"),
    Score("mce", "low", "largest distance of stated and observed share, over bins of equal width"),
    Score("brier", "low", "mean square of probability minus truth"),
    Score("brier_reliability", "low", "part of brier: stated shares are not the observed ones"),
    Score("brier_resolution", "high", "part of brier, taken off: observed shares of the bins differ"),
    Score("brier_uncertainty", "zero", "part of brier: the truth itself varies; nothing the method can change"),
    Score("brier_within", "zero", "part of brier: what varies within the bins"),
)
"""Scores of calibration: ``brier = brier_reliability - brier_resolution + brier_uncertainty + brier_within``."""

Bins = Literal["width", "mass"]


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability diagram: one entry per bin that holds a case.

    Parameters
    ----------
    predicted, observed : (K,) arrays
        Mean probability of the cases in a bin, and their share of foreground.
    low, high : (K,) arrays
        Interval of the observed share.
    n : (K,) int64 array
        Cases in the bin.
    lower, upper : (K,) arrays
        Smallest and largest probability that a case of the bin can have (equal width) or has (equal mass).
    level : float
        Coverage of the intervals.
    scores : dict of float
        Those of `CALIBRATION`.
    note : str
        What the intervals are from.
    """

    predicted: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    level: float
    scores: dict[str, float]
    note: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        told: dict[str, Any] = {name: np.round(getattr(self, name), 5).tolist() for name in _ARRAYS}
        return told | {"level": self.level, "scores": self.scores, "note": self.note}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the diagram that `as_dict` gave as data."""
        entries: dict[str, Any] = {name: np.asarray(v) if name in _ARRAYS else v for name, v in data.items()}
        return cls(**entries)


_ARRAYS = ("predicted", "observed", "low", "high", "n", "lower", "upper")


def reliability(
    truth: np.ndarray,
    probability: np.ndarray,
    *,
    n_bins: int = 15,
    bins: Bins = "width",
    ignore: int | np.ndarray | None = None,
) -> Reliability:
    """Return how often what was given a probability came true, of one image or of one list of objects.

    Parameters
    ----------
    truth : array of int or bool, 1D, 2D or 3D
        What is not 0 came true: foreground, or for objects "was right", for uncertainties "was wrong".
    probability : array of float in [0, 1], or of bool, uint8 or uint16, same shape
    n_bins : int
    bins : {"width", "mass"}
        Bins of equal width ``(k/n, (k+1)/n]``, 0 in the first, or of equally many cases.
    ignore : int or bool array, optional
        What is not to be judged.

    Notes
    -----
    The intervals are Wilson's, for independent cases. Objects may pass for that; neighbouring pixels do not, and their
    intervals are too narrow. For these, `diagram` of a stack of images takes the spread between images.

    Examples
    --------
    >>> found = reliability(np.array([1, 0, 1, 0]), np.array([0.8, 0.8, 0.8, 0.2]), n_bins=2)
    >>> found.predicted.round(4), found.observed.round(4), found.n
    (array([0.2, 0.8]), array([0.    , 0.6667]), array([1, 3]))
    """
    return diagram(count_scores(truth, probability, ignore=ignore), n_bins=n_bins, bins=bins)


def diagram(histogram: ScoreHistogram, *, n_bins: int = 15, bins: Bins = "width", level: float = 0.95) -> Reliability:
    """Return the reliability diagram of counted probabilities.

    Parameters
    ----------
    histogram : ScoreHistogram
        Of one image or of several added up; or a stack (N, ...) of independent images or groups. Then the cases of all
        are taken together, and the intervals are from the differences between groups.
    n_bins, bins
        As in `reliability`.
    level : float
        Coverage of the intervals.

    Notes
    -----
    Of a stack, the variance of an observed share is that of a ratio of sums over groups, and Wilson's formula is taken
    with as many independent cases as would vary as much (Korn & Graubard 1998); not more than there are, and where
    no group differs, as many as there are groups.
    """
    if histogram.positives.ndim not in (1, 2):
        raise ShapeMismatchError(
            f"a diagram is of one histogram or of a stack of groups, got {histogram.positives.shape[:-1]} in front."
        )
    if not (0 < level < 1):
        raise OptionError(f"the level of an interval lies in (0, 1), got {level}.")
    _checked(histogram, n_bins)
    level_of, positives, negatives = _used(np.atleast_2d(histogram.positives), np.atleast_2d(histogram.negatives))
    weight = (positives + negatives).sum(0)
    bin_of = _bins_of(level_of, weight, n_bins, bins)
    n_groups = len(positives)
    hits = np.stack([np.bincount(bin_of, row, n_bins) for row in positives])
    cases = hits + np.stack([np.bincount(bin_of, row, n_bins) for row in negatives])
    stated = np.bincount(bin_of, weight * level_of, n_bins) / (LEVELS - 1)
    lower, upper = _borders(bin_of, level_of, n_bins, bins)
    there = cases.sum(0) > 0
    hits, cases, stated = hits[:, there], cases[:, there], stated[there]
    n, observed = cases.sum(0), hits.sum(0) / cases.sum(0)
    n_effective, note = n, "Wilson, cases taken as independent"
    if n_groups > 1:
        n_effective = _independent_cases(hits, cases, observed, level)
        note = f"Wilson, from the differences between {n_groups} groups"
    low, high = _wilson(observed, n_effective, level)
    scores = dict(zip(CALIBRATION, _calibration(positives.sum(0), negatives.sum(0), level_of, n_bins)))
    return Reliability(
        stated / n, observed, low, high, n.astype(np.int64), lower[there], upper[there], level, scores, note
    )


def calibration(histogram: ScoreHistogram, *, n_bins: int = 15) -> dict[str, Any]:
    """Return the scores of `CALIBRATION`: floats, or (...) arrays where the histogram has axes in front.

    Parameters
    ----------
    histogram : ScoreHistogram
        Probabilities as `count_scores` counts them, added up over images.
    n_bins : int
        Bins of each kind.

    Notes
    -----
    With ``n_k`` cases of a bin, their mean probability ``p_k`` and observed share ``o_k``, and ``o`` that of all n:

    - ``ece = sum n_k |o_k - p_k| / n`` (Guo et al. 2017), `mce` the largest ``|o_k - p_k|`` of a bin that holds a case;
    - ``brier_reliability = sum n_k (p_k - o_k)^2 / n``, ``brier_resolution = sum n_k (o_k - o)^2 / n``,
      ``brier_uncertainty = o (1 - o)`` (Murphy 1973), of bins of equal width;
    - `brier_within` is the variance of the probabilities within bins minus twice their covariance with the truth
      (Stephenson et al. 2008): 0 where all cases of a bin have one probability.

    Probabilities are those of the levels: off by 1/131070 at most, which moves no score by more than 1.6e-5, unless a
    probability lies so near the border of a bin that it changes sides. With few cases `ece` is not 0 even for
    right probabilities: about ``sqrt(2 o (1 - o) / (pi n_k))`` for each bin. nan where there are no cases.

    References
    ----------
    Guo et al., ICML 2017, arXiv:1706.04599; Nguyen & O'Connor, EMNLP 2015, doi:10.18653/v1/D15-1182 (bins of equal
    mass); Murphy, J. Appl. Meteorol. 12, 595 (1973), doi:10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2; Stephenson,
    Coelho & Jolliffe, Weather Forecast. 23, 752 (2008), doi:10.1175/2007WAF2006116.1.
    """
    _checked(histogram, n_bins)
    front = histogram.positives.shape[:-1]
    level_of, positives, negatives = _used(
        histogram.positives.reshape(-1, LEVELS), histogram.negatives.reshape(-1, LEVELS)
    )
    rows = [_calibration(p, n, level_of, n_bins) for p, n in zip(positives, negatives)]
    found = np.array(rows).reshape(*front, len(CALIBRATION))
    return {name: plain(found[..., i]) for i, name in enumerate(CALIBRATION)}


def _used(positives: np.ndarray, negatives: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the levels that occur in any row, and the counts of these alone."""
    used = np.flatnonzero(positives.any(axis=0) | negatives.any(axis=0))
    return used, positives[:, used], negatives[:, used]


def _calibration(positives: np.ndarray, negatives: np.ndarray, level_of: np.ndarray, n_bins: int) -> list[float]:
    """Return the scores of one histogram in the order of the table."""
    weight = positives + negatives
    n = weight.sum()
    if n == 0:
        return [np.nan] * len(CALIBRATION)
    share = level_of / (LEVELS - 1)
    rate = positives.sum() / n
    brier = float((positives @ (1 - share) ** 2 + negatives @ share**2) / n)
    parts = []
    for bin_of in (_bins_of(level_of, weight, n_bins, "width"), _bins_of(level_of, weight, n_bins, "mass")):
        cases = np.bincount(bin_of, weight, n_bins)
        stated = over(np.bincount(bin_of, weight * share, n_bins), cases)
        observed = over(np.bincount(bin_of, positives, n_bins), cases)
        parts.append((cases / n, np.nan_to_num(stated), np.nan_to_num(observed)))
    (part, stated, observed), (mass, mass_stated, mass_observed) = parts
    reliable = float(part @ (stated - observed) ** 2)
    resolved = float(part @ (observed - rate) ** 2)
    unsure = float(rate * (1 - rate))
    return [
        float(part @ np.abs(stated - observed)),
        float(mass @ np.abs(mass_stated - mass_observed)),
        float(np.abs(stated - observed).max()),
        brier,
        reliable,
        resolved,
        unsure,
        brier - reliable + resolved - unsure,
    ]


def _checked(histogram: ScoreHistogram, n_bins: int) -> None:
    if histogram.highest != 1:
        raise OptionError(f"calibration is of probabilities in [0, 1], these scores end at {histogram.highest:g}.")
    if not (1 <= n_bins <= 1000):
        raise OptionError(f"n_bins must be 1 to 1000, got {n_bins}.")


def _bins_of(level_of: np.ndarray, weight: np.ndarray, n_bins: int, bins: Bins) -> np.ndarray:
    """Return the bin of each level."""
    if bins == "width":  # (k/n, (k+1)/n], and 0 in the first; in whole numbers, so that no border is rounded
        return np.maximum(-(-level_of * n_bins // (LEVELS - 1)) - 1, 0)
    if bins == "mass":  # by the middle of a level's ranks: ties stay together
        middle = np.cumsum(weight) - weight / 2
        return np.minimum((middle / max(weight.sum(), 1) * n_bins).astype(np.int64), n_bins - 1)
    raise OptionError(f"bins are of equal 'width' or 'mass', got {bins!r}.")


def _borders(bin_of: np.ndarray, level_of: np.ndarray, n_bins: int, bins: Bins) -> tuple[np.ndarray, np.ndarray]:
    if bins == "width":
        border = np.arange(n_bins + 1) / n_bins
        return border[:-1], border[1:]
    lower, upper = np.full(n_bins, LEVELS), np.zeros(n_bins, np.int64)
    np.minimum.at(lower, bin_of, level_of)
    np.maximum.at(upper, bin_of, level_of)
    return lower / (LEVELS - 1), upper / (LEVELS - 1)


def _independent_cases(hits: np.ndarray, cases: np.ndarray, observed: np.ndarray, level: float) -> np.ndarray:
    """Return how many independent cases would let the observed share vary as the groups do.

    Few groups know their own spread badly, as Student's t says; so fewer cases are taken (Korn & Graubard 1998).
    """
    from scipy.special import ndtri, stdtrit

    n, n_groups = cases.sum(0), (cases > 0).sum(0)
    spread = ((hits - cases * observed) ** 2).sum(0) * over(n_groups, n_groups - 1) / n**2
    found = over(observed * (1 - observed), spread)
    found = np.where(np.isfinite(found), found, n_groups)
    student = (ndtri((1 + level) / 2) / stdtrit(np.maximum(n_groups - 1, 1), (1 + level) / 2)) ** 2
    return np.where(n_groups > 1, np.clip(found * student, 1, n), 1.0)


def _wilson(share: np.ndarray, n: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilson's interval of a share (J. Am. Stat. Assoc. 22, 209 (1927), doi:10.1080/01621459.1927.10502953)."""
    from scipy.special import ndtri

    z = ndtri((1 + level) / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.maximum(middle - half, 0), np.minimum(middle + half, 1)
