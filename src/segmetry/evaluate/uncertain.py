"""Every score as an `Estimate`: means over images and pooled scores, with intervals that draw images or groups again.

Images of one publication or specimen resemble each other, so the group is what is drawn; without groups every image is
its own. The interval is a studentised bootstrap: how often it holds the truth is in ``docs/studies/score-coverage.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.evaluate.bootstrap import Bounds, bounds_of, check, draws, ends, ends_of_sums, groups_of
from segmetry.types import Estimate

if TYPE_CHECKING:
    import pandas as pd


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
        the score; ends are nan with fewer than 5 images (groups), or groups so unequal that they are worth fewer than
        3 equal ones (Kish's effective number).

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
    objects), the arms are longer by Student's quantile for as many groups as that. Where all images are at one of two
    finite bounds, the interval is that of Jeffreys for a share; where they are equal otherwise, it has no width, and a
    note says so.

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
    check(level, n_resamples)
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
        limits = bounds_of(bounds, name)
        n_groups = int(np.count_nonzero(counts[:, k]))
        equal = float(total[k] ** 2 / np.sum(counts[:, k] ** 2)) if n_groups else math.inf  # groups of one size (Kish)
        low, high, note = ends(
            float(value[k]), influence[:, k], deviation[:, k], spread[:, k], n_groups, drawn.named, limits, level, equal
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
    check(level, n_resamples)
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
