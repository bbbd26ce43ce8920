"""Every score as an `Estimate`: means over images and pooled scores, with intervals that draw images or groups again.

Images of one publication or specimen resemble each other, so the group is what is drawn; without groups every image is
its own. The interval is a studentised bootstrap: how often it holds the truth is in ``docs/studies/score-coverage.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.measure.uncertainty import proportion_interval, student
from segmetry.types import Estimate

if TYPE_CHECKING:
    import pandas as pd

Bounds = tuple[float, float]
"""Least and largest value a score can have; an end is never outside."""

FEWEST, FEW = 5, 20
"""Images or groups below which there is no interval, and below which a note says that it may be too narrow."""

_LEAST_ERROR = 0.3
"""Least standard error of a draw over that of the sample: without it, a draw of equal images has none, and one such
image in twenty would stretch the interval to the bounds."""
_MEMORY = 4_000_000
"""Weights held at once."""


class Groups(NamedTuple):
    """What is drawn: ``code[i]`` is the number, 0..n-1, of the group of row i."""

    code: np.ndarray
    n: int
    named: bool

    def sums(self, rows: np.ndarray) -> np.ndarray:
        """Return the sums (n, ...) over each group of rows (N, ...)."""
        if not self.named:
            return rows
        out = np.zeros((self.n, *rows.shape[1:]))
        np.add.at(out, self.code, rows)
        return out

    def drawn(self, n_resamples: int) -> str:
        """Return what was drawn, in words."""
        return f"{self.n} {'groups of images' if self.named else 'images'} drawn {n_resamples} times"


def groups_of(groups: Sequence[Any] | np.ndarray | None, n: int) -> Groups:
    """Return the groups of `n` rows; without any, each row is one.

    Raises
    ------
    ShapeMismatchError
        If there is not one group for each row.
    """
    if groups is None:
        return Groups(np.arange(n), n, False)
    names = np.asarray(groups)
    if names.shape != (n,):
        raise ShapeMismatchError(f"there are {n} images but groups has the shape {names.shape}; name one for each.")
    found, code = np.unique(names.astype(str) if names.dtype == object else names, return_inverse=True)
    return Groups(code, len(found), True)


def draws(n: int, n_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield blocks (B, n) of how often each of `n` groups is drawn, `n_resamples` rows in all, each of the sum n."""
    rng = np.random.default_rng(seed)
    block = max(min(n_resamples, _MEMORY // max(n, 1)), 1)
    for start in range(0, n_resamples, block):
        rows = min(block, n_resamples - start)
        taken = rng.integers(0, n, (rows, n)) + np.arange(rows)[:, None] * n
        yield np.bincount(taken.ravel(), minlength=rows * n).reshape(rows, n).astype(float)


@overload
def mean_over_images(
    values: Mapping[str, Any] | pd.DataFrame,
    *,
    groups: Sequence[Any] | np.ndarray | None = None,
    bounds: Bounds | Mapping[str, Bounds] | None = None,
    units: Mapping[str, str] | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]: ...


@overload
def mean_over_images(
    values: np.ndarray | Sequence[float],
    *,
    groups: Sequence[Any] | np.ndarray | None = None,
    bounds: Bounds | Mapping[str, Bounds] | None = None,
    units: Mapping[str, str] | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate: ...


def mean_over_images(
    values: Any,
    *,
    groups: Sequence[Any] | np.ndarray | None = None,
    bounds: Bounds | Mapping[str, Bounds] | None = None,
    units: Mapping[str, str] | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate | dict[str, Estimate]:
    """Return the mean of a score over images, or of many scores, with an interval for the population of images.

    Parameters
    ----------
    values : (n,) array, or DataFrame or mapping of score to (n,) array
        One value an image; nan where an image has none: it is left out of that score, and the note says so.
    groups : (n,) sequence, optional
        Publication, specimen: what is drawn as a whole. The mean stays that over images: a group of two images counts
        twice.
    bounds : (low, high), or mapping of score to that, optional
        What the score can be at most and at least: (0, 1) for an overlap. Ends outside are moved there.
    units : mapping of score to str, optional
        Units of scores that have one.
    n_resamples : int
        How often the images are drawn.
    level : float
        Coverage of the interval.
    seed : int
        Of the draws. All scores are taken from the same draws.

    Returns
    -------
    estimate : Estimate, or dict of str to Estimate
        One for an array (its name is ``"mean"``), a dict for several scores. ``n`` is the number of images that have
        the score; ends are nan with fewer than 5 images (groups).

    Raises
    ------
    OptionError
        If the level or the number of draws is out of range.
    ShapeMismatchError
        If there is not one value, or one group, for each image.

    Notes
    -----
    Bootstrap-t: of each draw, the deviation from the mean over its standard error (of a ratio of sums over groups) is
    kept; the quantiles of these, times the standard error of the sample, are the two arms. The standard error of a draw
    is at least 0.3 times that of the sample; and where few groups carry the error (a few images with most of the
    objects), the arms are longer by Student's quantile for as many groups as that. Where all images are at a bound, the
    interval is that of Jeffreys for a share; where they are equal elsewhere, it has no width, and a note says so.

    References
    ----------
    Bootstrap-t: Efron 1982, doi:10.1137/1.9781611970319. Drawing groups: Davison & Hinkley 1997,
    doi:10.1017/CBO9780511802843, section 3.8. The least standard error and the longer
    arms are ours, chosen by simulation.

    Examples
    --------
    >>> found = mean_over_images([0.9, 0.8, 0.7, 0.95, 0.85, 0.6, float("nan")], bounds=(0, 1))
    >>> round(found.value, 3), found.n, found.low < 0.8 < found.high
    (0.8, 6, True)
    """
    _check(level, n_resamples)
    if hasattr(values, "items"):
        columns = {str(name): np.asarray(column, float) for name, column in values.items()}
    else:
        columns = {"mean": np.asarray(values, float)}
    shapes = {column.shape for column in columns.values()}
    if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
        raise ShapeMismatchError(f"scores need one value for each image, got arrays of shapes {sorted(shapes)}.")
    n = next(iter(shapes))[0] if shapes else 0
    drawn = groups_of(groups, n)
    table = np.stack(list(columns.values()), axis=1) if columns else np.zeros((n, 0))
    seen = np.isfinite(table)
    counts = drawn.sums(seen.astype(float))  # (G, D)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.where(seen, table, 0.0).sum(0) / seen.sum(0)
        rest = drawn.sums(np.where(seen, table - value, 0.0))  # sums of deviations: nothing cancels later
    total = counts.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        influence = rest / total
        deviations, errors = [], []
        for weights in draws(drawn.n, n_resamples, seed) if drawn.n else ():
            number = weights @ counts
            shift = weights @ rest / number
            square = weights @ rest**2 - 2 * shift * (weights @ (rest * counts)) + shift**2 * (weights @ counts**2)
            deviations.append(shift)
            errors.append(np.sqrt(np.maximum(square, 0)) / number)
    n_seen = seen.sum(0)
    found = {}
    empty = np.zeros((0, len(columns)))
    deviation, spread = (np.concatenate(parts) if parts else empty for parts in (deviations, errors))
    for k, name in enumerate(columns):
        limits = _bounds_of(bounds, name)
        n_groups = int(np.count_nonzero(counts[:, k]))
        low, high, note = _ends(
            float(value[k]), influence[:, k], deviation[:, k], spread[:, k], n_groups, drawn.named, limits, level
        )
        lost = n - int(n_seen[k])
        left_out = f"{lost} image{'s' * (lost != 1)} without this score left out" if lost else ""
        found[name] = Estimate(
            name,
            float(value[k]),
            low,
            high,
            (units or {}).get(name, ""),
            level,
            f"mean over images; bootstrap-t, {drawn.drawn(n_resamples)}",
            n=int(n_seen[k]),
            note="; ".join(part for part in (left_out, note) if part),
        )
    return found if hasattr(values, "items") else found["mean"]


Score = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


def pooled(
    counts: Mapping[str, np.ndarray],
    score: Score,
    *,
    over: str,
    groups: Sequence[Any] | np.ndarray | None = None,
    bounds: Bounds | Mapping[str, Bounds] | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Return scores of counts that are added up over all images first, with intervals for the population of images.

    Parameters
    ----------
    counts : mapping of str to (n, ...) array
        What adds up, for each image: true positives, misses, a confusion table.
    score : callable
        From a mapping of the same names to (B, ...) sums, to a mapping of score to (B,) values: all B at once.
    over : str
        What then counts the same, named in the result: ``"objects"``, ``"pixels"``.
    groups, bounds, n_resamples, level, seed
        As for `mean_over_images`.

    Returns
    -------
    estimates : dict of str to Estimate
        ``n`` is the number of images.

    Notes
    -----
    Bootstrap-t as for `mean_over_images`. The standard error of a draw is that of the score's linear part (the
    infinitesimal jackknife), with slopes from small steps of each count. Scores of very unequal images, where one or
    two hold most of the objects, rest on as few images as that, and no interval knows the images not seen.

    Examples
    --------
    >>> hits, misses = np.array([8, 5, 9, 3, 7, 6]), np.array([2, 0, 1, 4, 1, 2])
    >>> def recall(c):
    ...     return {"recall": c["hits"] / (c["hits"] + c["misses"])}
    >>> pooled({"hits": hits, "misses": misses}, recall, over="objects", bounds=(0, 1))["recall"].value
    0.79166...
    """
    _check(level, n_resamples)
    arrays = {name: np.asarray(array, float) for name, array in counts.items()}
    lengths = {len(array) if array.ndim else 0 for array in arrays.values()}
    if len(lengths) != 1:
        raise ShapeMismatchError(f"counts need one entry for each image, got lengths {sorted(lengths)}.")
    n = lengths.pop()
    drawn = groups_of(groups, n)
    flat = drawn.sums(np.concatenate([a.reshape(n, -1) for a in arrays.values()], axis=1) if n else np.zeros((0, 1)))
    if not n:
        raise OptionError("pooled: there are no images to add up.")

    def scored(sums: np.ndarray) -> dict[str, np.ndarray]:
        parts, at = {}, 0
        for name, array in arrays.items():
            width = math.prod(array.shape[1:])
            parts[name] = sums[:, at : at + width].reshape(len(sums), *array.shape[1:])
            at += width
        with np.errstate(invalid="ignore", divide="ignore"):
            return {name: np.asarray(value, float) for name, value in score(parts).items()}

    found = {}
    for name, (value, low, high, note) in ends_of_sums(
        flat, scored, drawn, bounds=bounds, n_resamples=n_resamples, level=level, seed=seed
    ).items():
        method = f"counts pooled over {over}; bootstrap-t, {drawn.drawn(n_resamples)}"
        found[name] = Estimate(name, value, low, high, "", level, method, n=n, note=note)
    return found


def ends_of_sums(
    sums: np.ndarray,
    function: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    drawn: Groups,
    *,
    bounds: Bounds | Mapping[str, Bounds] | None,
    n_resamples: int,
    level: float,
    seed: int,
) -> dict[str, tuple[float, float, float, str]]:
    """Return value, ends and note of functions of sums over groups.

    Parameters
    ----------
    sums : (G, K) array
        What each group adds.
    function : callable
        (B, K) totals to a mapping of name to (B,) values.
    drawn : Groups
        Of which `sums` are the sums.
    """
    used = np.flatnonzero(np.any(sums != 0, axis=0))
    step = 1e-5 * np.abs(sums).mean(0)
    value, influence = _linear(np.ones((1, len(sums))), sums, function, used, step)
    deviations: dict[str, list[np.ndarray]] = {name: [] for name in value}
    errors: dict[str, list[np.ndarray]] = {name: [] for name in value}
    for weights in draws(len(sums), n_resamples, seed):
        values, parts = _linear(weights, sums, function, used, step)
        for name in value:
            deviations[name].append(values[name] - value[name])
            errors[name].append(np.sqrt(np.sum(weights * parts[name] ** 2, axis=1)))
    n_groups = int(np.count_nonzero(np.any(sums != 0, axis=1)))
    found = {}
    for name in value:
        low, high, note = _ends(
            float(value[name][0]),
            influence[name][0],
            np.concatenate(deviations[name]),
            np.concatenate(errors[name]),
            n_groups,
            drawn.named,
            _bounds_of(bounds, name),
            level,
        )
        found[name] = (float(value[name][0]), low, high, note)
    return found


def _linear(
    weights: np.ndarray,
    sums: np.ndarray,
    function: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    used: np.ndarray,
    step: np.ndarray,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return values (B,) of the draws that `weights` (B, G) describe, and what each group does to them (B, G).

    To first order, and in all 0: the infinitesimal jackknife.
    """
    totals = weights @ sums
    values = {name: np.asarray(v, float) for name, v in function(totals).items()}
    slopes = {name: np.zeros((len(totals), len(used))) for name in values}
    for at, k in enumerate(used):
        moved = totals.copy()
        moved[:, k] += step[k]
        for name, v in function(moved).items():
            known = np.isfinite(values[name])
            np.subtract(v, values[name], out=slopes[name][:, at], where=known)
            slopes[name][~known, at] = np.nan
    effects = {}
    for name, slope in slopes.items():
        parts = (slope / step[used]) @ sums[:, used].T
        parts -= np.sum(weights * parts, axis=1, keepdims=True) / weights.sum(1, keepdims=True)
        effects[name] = parts
    return values, effects


def _ends(
    value: float,
    influence: np.ndarray,
    deviation: np.ndarray,
    errors: np.ndarray,
    n_groups: int,
    named: bool,
    bounds: Bounds | None,
    level: float,
) -> tuple[float, float, str]:
    """Return the ends of a bootstrap-t interval and what is to be said about it."""
    what = "group" if named else "image"
    least, most = bounds or (-math.inf, math.inf)
    if not math.isfinite(value):
        return math.nan, math.nan, "no image has this score" if n_groups == 0 else "the score is not defined"
    if n_groups < FEWEST:
        return math.nan, math.nan, f"{n_groups} {what}{'s' * (n_groups != 1)}: too few for an interval"
    few = f"{n_groups} {what}s are few: the interval may be too narrow" if n_groups < FEW else ""
    error = float(np.sqrt(np.sum(influence**2)))
    if not error > 1e-9 * max(abs(value), 1e-9):
        if bounds is not None and value in bounds:
            ends = proportion_interval(np.array([float(value == most)]), np.array([n_groups]), level)
            low, high = (least + (most - least) * float(end[0]) for end in ends)
            return low, high, f"all {what}s are at the bound: interval of Jeffreys for a share"
        return value, value, f"all {what}s are equal: the interval has no width"
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = deviation / np.maximum(errors, _LEAST_ERROR * error)
    ratio = ratio[np.isfinite(ratio)]
    if len(ratio) < 0.95 * len(deviation):
        return math.nan, math.nan, "the score is not defined in many draws: no interval"
    tail = (1 - level) / 2
    below, above = (float(q) for q in np.quantile(ratio, [1 - tail, tail], method="weibull"))
    error *= _widening(influence, n_groups, level)
    low, high = min(value - below * error, value), max(value - above * error, value)
    return max(low, least), min(high, most), few


def _widening(influence: np.ndarray, n_groups: int, level: float) -> float:
    """Return by how much an interval is widened where few groups carry the error.

    A standard error from values of kurtosis k is as sure as one from n times 3 / k normal ones: Student's quantile for
    these over that for n. 1 for light tails.
    """
    kurtosis = n_groups * float(np.sum(influence**4)) / float(np.sum(influence**2)) ** 2
    effective = max(n_groups * min(1.0, 3 / kurtosis), 3.0)
    return student(level, effective - 1) / student(level, n_groups - 1)


def decimals(low: float, high: float) -> int:
    """Return how many decimals show two digits of an interval's width."""
    width = high - low
    wide = 1e-9 * max(abs(low), abs(high)) < width < math.inf
    return max(1 - math.floor(math.log10(width)), 0) if wide else 3


def _bounds_of(bounds: Bounds | Mapping[str, Bounds] | None, name: str) -> Bounds | None:
    return bounds.get(name) if isinstance(bounds, Mapping) else bounds


def _check(level: float, n_resamples: int) -> None:
    if not 0 < level < 1:
        raise OptionError(f"level must lie between 0 and 1, got {level}; 0.95 is usual.")
    if n_resamples < 2 / (1 - level):
        raise OptionError(
            f"n_resamples must be at least {math.ceil(2 / (1 - level))} for a level of {level}, got {n_resamples}; "
            "1000 is usual."
        )
