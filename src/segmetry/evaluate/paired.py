"""Two methods on the same images: the mean difference, its interval, and how often chance alone would give as much."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.evaluate.bootstrap import groups_of
from segmetry.evaluate.uncertain import mean_over_images
from segmetry.types import Estimate

EXACT = 12
"""Groups up to which every choice of signs is counted: 4096 of them."""


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences, b - a.

    Parameters
    ----------
    name : str
    estimate : Estimate
        Mean over the images that have both scores, with its interval.
    p_value : float
        Two-sided, by changing the signs of groups; nan where there is no image.
    n, n_groups : int
        Images that have both scores, and the groups they fall in (images, where there are none).
    """

    name: str
    estimate: Estimate
    p_value: float
    n: int
    n_groups: int


def paired_difference(
    a: np.ndarray | Sequence[float],
    b: np.ndarray | Sequence[float],
    *,
    name: str = "difference",
    groups: Sequence[Any] | np.ndarray | None = None,
    n_resamples: int = 1000,
    n_permutations: int = 9999,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Return the mean over images of b - a, with an interval for the population and a permutation p-value.

    Parameters
    ----------
    a, b : (n,) arrays
        One score of two methods on the same images; an image that lacks either (nan) is left out.
    name : str
        Of the difference, such as ``"hybrid - otsu"``.
    groups : (n,) sequence, optional
        Publication, specimen: drawn, and turned, as a whole.
    n_resamples, level, seed
        As for `mean_over_images`.
    n_permutations : int
        Random choices of signs, where there are too many groups to count all.

    Raises
    ------
    ShapeMismatchError
        If a and b are not one score for each image.
    OptionError
        If the number of permutations is not positive.

    Notes
    -----
    If the methods do not differ, the sums of differences of each group could as well have the other sign. `p_value` is
    the share of choices of signs whose mean is at least as far from 0 as the one found: of all choices up to 12 groups,
    and (hits + 1) / (choices + 1) of random ones above that (Phipson & Smyth 2010, doi:10.2202/1544-6115.1585). Five
    groups can give no less than 1/16.

    Examples
    --------
    >>> paired_difference([0.5, 0.6, 0.7], [0.6, 0.8, 1.0]).p_value
    0.25
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.ndim != 1 or a.shape != b.shape:
        raise ShapeMismatchError(f"paired_difference: scores of shapes {a.shape} and {b.shape}; give one an image.")
    if n_permutations < 1:
        raise OptionError(f"paired_difference: n_permutations must be positive, got {n_permutations}; 9999 is usual.")
    difference = b - a
    estimate = dataclasses.replace(
        mean_over_images(difference, groups=groups, n_resamples=n_resamples, level=level, seed=seed), name=name
    )
    both = np.isfinite(difference)
    names = None if groups is None else np.asarray(groups)[both]
    drawn = groups_of(names, int(both.sum()))
    p_value = _sign_flips(drawn.sums(difference[both]), n_permutations, seed)
    return Difference(name, estimate, p_value, int(both.sum()), drawn.n)


def _sign_flips(sums: np.ndarray, n_permutations: int, seed: int) -> float:
    """Return the two-sided p-value of sums (G,) over groups whose signs could be either."""
    n = len(sums)
    if n == 0:
        return float("nan")
    limit = abs(sums.sum()) - 1e-12 * np.abs(sums).sum()  # equal sums in another order are equal
    if n <= EXACT:
        every = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
        return float(np.mean(np.abs(every @ sums) >= limit))
    signs = 1.0 - 2.0 * np.random.default_rng(seed).integers(0, 2, (n_permutations, n), dtype=np.int8)
    hits = int(np.count_nonzero(np.abs(signs @ sums) >= limit))
    return (hits + 1) / (n_permutations + 1)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return p-values adjusted for being several: the chance of any false alarm among them stays below the level.

    Parameters
    ----------
    p_values : (m,) array
        In [0, 1]; nan is no test, does not count, and stays nan.

    References
    ----------
    Holm 1979, Scandinavian Journal of Statistics 6:65.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, float)
    out = np.full(p.shape, np.nan)
    tests = np.flatnonzero(np.isfinite(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return out
