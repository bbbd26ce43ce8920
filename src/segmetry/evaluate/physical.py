"""What the user really wants to know: how far count, sizes, phase fraction and order come out from their true values.

Both label images are measured as a user would (`segmetry.measure`): particles that touch the frame are dropped from
sizes and the others weighted (Miles-Lantuéjoul), whatever the image shows is counted, and g(r) is that of the part of
the frame where no particle is cut.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from segmetry.evaluate.pair import Pair, check_pair
from segmetry.evaluate.scores import Score, table_of
from segmetry.measure.distributions import sample_of
from segmetry.measure.spatial import centres, radial_distribution
from segmetry.measure.table import measure
from segmetry.measure.weighted import Sample, mean, mean_counting, quantile, quantile_counting
from segmetry.types import Calibration, Estimate, frame_of

if TYPE_CHECKING:
    import pandas as pd

FEWEST_FOR_ORDER = 20
"""Centres, of truth and of prediction, below which g(r) is not compared."""

_RELATIVE = {
    "count": "number of particles, cut ones too",
    "d10": "D10, by number",
    "d50": "D50, by number",
    "d90": "D90, by number",
    "mean": "mean equivalent diameter",
    "fraction": "share of the pixels (voxels) that are labelled: phase fraction, or porosity where pores are labelled",
}

PHYSICAL = table_of(
    *(Score(f"{name}_error", "zero", f"found / true - 1: {what}", least=-1.0) for name, what in _RELATIVE.items()),
    *(Score(f"{name}_deviation", "low", f"|found / true - 1|: {what}") for name, what in _RELATIVE.items()),
    Score("size_wasserstein", "low", "area between the cumulative distributions of size, in units of length", 1),
    Score("size_wasserstein_relative", "low", "the same, over the true mean size"),
    Score("size_ks", "low", "largest distance of the cumulative distributions of size (Kolmogorov-Smirnov)"),
    Score("size_cosine", "low", "1 - cosine of the angle of the size histograms, ceil(2 n^(1/3)) shared classes"),
    Score("aspect_wasserstein", "low", "area between the cumulative distributions of aspect ratio"),
    Score("aspect_ks", "low", "largest distance of the cumulative distributions of aspect ratio"),
    Score("aspect_cosine", "low", "1 - cosine of the angle of the histograms of aspect ratio"),
    Score("rdf_rmse", "low", "root mean square difference of g(r), on the truth's radii"),
    Score("d50_covered", "high", "whether the interval stated for D50 holds the true D50 of this image (1 or 0)"),
    Score(
        "mean_covered", "high", "whether the interval stated for the mean holds the true mean of this image (1 or 0)"
    ),
)
"""Every physical score of one image."""


def physical_scores(
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    calibration: Calibration | None = None,
    ignore: int | np.ndarray | None = None,
    estimates: Mapping[str, Estimate] | None = None,
) -> dict[str, float]:
    """Return how far the physical quantities of one image come out from those of the true labels.

    Parameters
    ----------
    truth, prediction : (M, N) or (P, M, N) arrays of int
        Label images; 0 is background.
    calibration : Calibration, optional
        Length of a pixel along each axis; without it, lengths are in px. Its uncertainty has no part here: both label
        images have the same pixels.
    ignore : int or array of bool, optional
        As for `check_pair`: these pixels are background in both, and outside the frame, or text inside it.
    estimates : mapping of str to Estimate, optional
        What was stated about the prediction (`segmetry.measure.summarise`), with ``d50`` and ``mean`` in the unit of
        `calibration`. Where an estimate has an interval `this_image`, that one is asked. By default the population
        interval that `summarise` gives for the prediction's particles.

    Returns
    -------
    scores : dict of str to float
        One for each row of `PHYSICAL`, in its order.

    Raises
    ------
    ShapeMismatchError, LabelError
        As `check_pair`.

    Notes
    -----
    What is not defined is nan: relative errors to a true value of 0 (both 0 is no error); anything about sizes where
    truth or prediction has no particle whole in the frame; g(r) in volumes, and with fewer than 20 centres in the
    uncut part of the frame in either. So a method that finds nothing has the count error -1 and no size error: read
    how many images a mean rests on.

    Histograms have ceil(2 n^(1/3)) equal classes over the range of both, n true particles; like the distributions they
    are weighted. Distances between histograms depend on their classes: compare them only with those made alike.

    *Covered* asks whether the true value of *this image's* particles lies in the interval. The interval for the
    population allows for other particles having been in the frame, which here are the same ones; so a good
    segmentation is covered nearly always, not in 95 %, and a 0 says that its outlines are off by more than the whole
    stated uncertainty.

    References
    ----------
    Number of classes (Rice's rule, as "2 n^(1/3)"): Lane 2003, Online Statistics Education. Wasserstein's distance of
    distributions on a line: Vallender 1974, doi:10.1137/1118101.
    """
    pair = _without_ignored(check_pair(truth, prediction, ignore=ignore))
    if calibration is None:
        calibration = Calibration.unknown(pair.truth.ndim)
    columns = ["equivalent_diameter", "aspect_ratio", "centroid", "edge_weight", "touches_edge"]
    if pair.truth.ndim == 2:
        columns.append("feret_max")
    tables = [measure(x, calibration=calibration, measures=columns, ignore=pair.ignored) for x in pair[:2]]
    true, found = (sample_of(table, "equivalent_diameter")[0] for table in tables)
    scores = dict.fromkeys(PHYSICAL, math.nan)

    values = {
        "count": tuple(float(len(table)) for table in tables),
        "d10": (quantile(true, 0.1), quantile(found, 0.1)),
        "d50": (quantile(true, 0.5), quantile(found, 0.5)),
        "d90": (quantile(true, 0.9), quantile(found, 0.9)),
        "mean": (mean(true), mean(found)),
        "fraction": (float(np.count_nonzero(pair.truth)), float(np.count_nonzero(pair.prediction))),
    }
    for name, (expected, got) in values.items():
        error = _relative(expected, got)
        scores[f"{name}_error"], scores[f"{name}_deviation"] = error, abs(error)

    if len(true) and len(found):
        area, scores["size_ks"] = distances(true, found)
        scores["size_wasserstein"], scores["size_wasserstein_relative"] = area, area / values["mean"][0]
        scores["size_cosine"] = cosine_distance(true, found)
    aspects = [sample_of(table, "aspect_ratio")[0] for table in tables]
    if all(len(sample) for sample in aspects):
        scores["aspect_wasserstein"], scores["aspect_ks"] = distances(*aspects)
        scores["aspect_cosine"] = cosine_distance(*aspects)
    if pair.truth.ndim == 2:
        scores["rdf_rmse"] = _rdf_rmse(tables[0], tables[1], pair, calibration)
    for name in ("d50", "mean"):
        scores[f"{name}_covered"] = _covered(values[name][0], name, found, estimates)
    return scores


def _without_ignored(pair: Pair) -> Pair:
    if pair.ignored is None:
        return pair
    truth, prediction = (np.where(pair.ignored, np.int32(0), labels) for labels in (pair.truth, pair.prediction))
    return Pair(truth, prediction, pair.ignored)


def _relative(expected: float, got: float) -> float:
    if expected == 0:
        return 0.0 if got == 0 else math.nan
    return got / expected - 1


def distances(true: Sample, found: Sample) -> tuple[float, float]:
    """Return Wasserstein's and Kolmogorov and Smirnov's distance of two weighted distributions.

    The area between their cumulative curves, in the unit of the values, and the largest height between them.
    """
    x = np.sort(np.concatenate([true.x, found.x]))
    gap = np.abs(_cumulative(true, x) - _cumulative(found, x))
    return float(np.sum(gap[:-1] * np.diff(x))), float(gap.max())


def _cumulative(sample: Sample, x: np.ndarray) -> np.ndarray:
    """Return the share of the weight at or below each x."""
    share = np.concatenate([[0.0], np.cumsum(sample.w)])
    return (share / share[-1])[np.searchsorted(sample.x, x, side="right")]


def cosine_distance(true: Sample, found: Sample) -> float:
    """Return 1 - cos of the angle between two histograms, in ceil(2 n^(1/3)) equal classes over the range of both."""
    low, high = min(true.x[0], found.x[0]), max(true.x[-1], found.x[-1])
    edges = np.linspace(low, high, math.ceil(2 * len(true) ** (1 / 3) - 1e-9) + 1)
    if not np.all(np.diff(edges) > 0):
        return 0.0
    a, b = (np.histogram(sample.x, edges, weights=sample.w)[0] for sample in (true, found))
    return max(1 - float(a @ b / math.sqrt((a @ a) * (b @ b))), 0.0)


def _rdf_rmse(true: pd.DataFrame, found: pd.DataFrame, pair: Pair, calibration: Calibration) -> float:
    """Return the root mean square difference of g(r) on the radii of the truth."""
    if min(len(true), len(found)) < FEWEST_FOR_ORDER:
        return math.nan
    frame = frame_of(pair.ignored, pair.truth.shape)
    origin, shape = [low for low, _ in frame], [high - low for low, high in frame]
    places = [
        centres(table, frame_shape=shape, calibration=calibration, frame_origin=origin) for table in (true, found)
    ]
    if min(len(points) for points, _ in places) < FEWEST_FOR_ORDER:
        return math.nan
    expected = radial_distribution(*places[0])
    width = expected.r[0] * 2
    got = radial_distribution(*places[1], bin_width=width, r_max=width * len(expected.r))
    return float(np.sqrt(np.mean((got.g[: len(expected.g)] - expected.g) ** 2)))


def _covered(value: float, name: str, found: Sample, estimates: Mapping[str, Estimate] | None) -> float:
    if estimates is None:
        stated = quantile_counting(found, 0.5, 0.95) if name == "d50" else mean_counting(found, 0.95)
        low, high = stated.low, stated.high
    elif name in estimates:
        low, high = estimates[name].this_image or (estimates[name].low, estimates[name].high)
    else:
        return math.nan
    if not (math.isfinite(value) and math.isfinite(low) and math.isfinite(high)):
        return math.nan
    slack = 1e-9 * abs(value)  # equal particles have an interval without width
    return float(low - slack <= value <= high + slack)
