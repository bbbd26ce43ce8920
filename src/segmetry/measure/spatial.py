"""Where particles lie: radial distribution function, nearest neighbours, number per area. Each with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from segmetry.errors import OptionError
from segmetry.measure.block_noise import excess_noise
from segmetry.measure.pairs import pair_counts, ring_areas, ring_measure
from segmetry.measure.uncertainty import Counting, combine, influence_variance, student
from segmetry.measure.weighted import SMALLEST
from segmetry.types import Calibration, Estimate

if TYPE_CHECKING:
    import pandas as pd

_MIN_POINTS = 20
"""Points below which the spread between blocks says nothing and pairs are taken as independent."""
_POINTS_PER_BLOCK, _MAX_BLOCKS = 8, 36


@dataclass(frozen=True, eq=False)
class RadialDistribution:
    """The radial distribution function (pair correlation) of points in a frame.

    Parameters
    ----------
    r : (K,) array
        Middles of the classes of distance.
    g : (K,) array
        Pairs found over pairs expected for points without any order: 1 is no order. nan with fewer than two points.
    low, high : (K,) arrays
        Pointwise interval for the population: each r by itself is covered at the level, not the whole curve at once.
    unit : str
        Unit of `r`.
    n : int
        Points inside the frame.
    density : Estimate
        Points per area.
    notes : tuple of str
        What was left out or doubted.
    this_image_low, this_image_high : (K,) arrays or None
        Narrower interval for the points of this image: segmentation and pixel size only. None without samples.
    """

    r: np.ndarray
    g: np.ndarray
    low: np.ndarray
    high: np.ndarray
    unit: str
    n: int
    density: Estimate
    notes: tuple[str, ...] = ()
    this_image_low: np.ndarray | None = None
    this_image_high: np.ndarray | None = None


def radial_distribution(
    points: np.ndarray,
    shape: tuple[float, float],
    *,
    unit: str = "px",
    bin_width: float | None = None,
    r_max: float | None = None,
    level: float = 0.95,
    rel_uncertainty: float = 0.0,
    samples: Sequence[np.ndarray] = (),
    seed: int = 0,
) -> RadialDistribution:
    """Return g(r) of points in a rectangular frame, with exact correction of its edges and a pointwise interval.

    Parameters
    ----------
    points : (L, 2) array
        Row and column measured from the corner of the frame: the centre of pixel (0, 0) is at half a pixel.
    shape : (height, width)
        Sides of the frame in the same unit.
    unit : str
        Unit of `points` and `shape`.
    bin_width : float, optional
        Width of a class of distance; by default ``r_max`` over ``4 L^(1/3)``, between 15 and 100 classes.
    r_max : float, optional
        Longest distance; by default a quarter of the shorter side. At most the shorter side.
    level : float
        Coverage of the interval.
    rel_uncertainty : float
        Relative standard uncertainty of the pixel size; it stretches r.
    samples : sequence of (L, 2) arrays
        The points of Monte Carlo segmentations of the same image, in the same frame (`sample_centres`), for the part of
        the segmentation.
    seed : int
        Not used: blocks are left out one at a time, which needs no random numbers. Kept so that all statistics are
        called alike.

    Raises
    ------
    OptionError
        If the frame, a width or a distance is not positive, or `r_max` is over the shorter side.

    Notes
    -----
    ``g = pairs * P / S^2 * N / (N - 1)``: `P` is the integral of ``2 pi r gamma(r)`` over the class, with gamma the
    mean set covariance of the frame in closed form; `S` is the area of the rings around the points that lies inside the
    frame. ``S / P`` estimates the density as seen at this distance, which takes out most of the noise of g at large r.

    The interval is that of a Poisson number of pairs, wider for clusters and narrower for order by what the pairs vary
    between up to 36 blocks of the frame (`excess_noise`). Points are never drawn with replacement: that would make
    pairs at distance 0. Clusters wider than a block are not seen; several images are then the only way. As every ratio
    of sums, g of strong clusters is biased while there are few of them (twenty clusters of five: +5 % near, -5 % far).

    References
    ----------
    Estimator: Stoyan & Stoyan 2000, doi:10.1111/1467-9469.00213 (we sum over classes, they smooth with a kernel).
    Blocks: after Loh 2008, doi:10.1086/588631 (we sum the squares of the blocks instead of drawing them, and take care
    of pairs across borders).
    """
    height, width = (float(s) for s in shape)
    if not (0 < height < math.inf and 0 < width < math.inf):
        raise OptionError(f"radial_distribution: the frame must have positive sides, got {height} x {width}.")
    points = np.asarray(points, float).reshape(-1, 2)
    inside = np.all((points >= 0) & (points <= (height, width)), axis=1)
    notes = [] if inside.all() else [f"{int((~inside).sum())} points outside the frame were left out"]
    points = points[inside]
    n = len(points)
    shorter = min(height, width)
    r_max = shorter / 4 if r_max is None else float(r_max)
    if not 0 < r_max <= shorter:
        raise OptionError(
            f"radial_distribution: r_max must lie between 0 and the frame's shorter side {shorter:g}, got {r_max:g}."
        )
    if bin_width is not None and not 0 < bin_width <= r_max:
        raise OptionError(f"radial_distribution: bin_width must lie between 0 and r_max {r_max:g}, got {bin_width:g}.")
    n_bins = int(np.clip(4 * n ** (1 / 3), 15, 100)) if bin_width is None else max(int(r_max / bin_width + 1e-9), 1)
    edges = np.arange(n_bins + 1) * (r_max / n_bins if bin_width is None else bin_width)
    r = (edges[:-1] + edges[1:]) / 2

    blocks = _blocks(n, (height, width))
    index = _block_index(points, (height, width), blocks)
    density = combine(
        "number_density",
        number_density(points, (height, width), level=level),
        unit=f"{unit}^-2",
        power=-2,
        rel_uncertainty=rel_uncertainty,
        sample_values=[len(p) / (height * width) for p in samples],
        level=level,
    )
    if n < 2:
        nothing = np.full(n_bins, np.nan)
        notes.append(f"{n} points make no pair: g(r) is unknown")
        return RadialDistribution(r, nothing, nothing, nothing, unit, n, density, tuple(notes))

    counts = pair_counts(points, (height, width), edges, blocks)
    rings = ring_areas(points, (height, width), edges, index, blocks[0] * blocks[1])
    frame = ring_measure((height, width), edges)
    pairs, seen = counts.sum((0, 1)), rings.sum(0)
    g = 2 * pairs * frame / seen**2 * n / (n - 1)

    noise = np.ones(n_bins)
    if n >= _MIN_POINTS:
        noise = excess_noise(points, (height, width), blocks, r, counts, rings)
        noise *= (student(level, blocks[0] * blocks[1] - 1) / student(level, math.inf)) ** 2
    else:
        notes.append(f"{n} points are few: the interval takes pairs as independent, clusters would widen it")
    others = np.array([_g_only(p, (height, width), edges, frame) for p in samples if len(p) > 1])
    share = _sample_share(others, g, level)
    if len(samples) and share is None:
        notes.append("fewer than two segmentation samples have a g(r)")
    low, high = _interval(pairs / noise, g, r, rel_uncertainty, level, share)
    none = pairs == 0
    high[none] = (special.gammaincinv(1.0, level) * frame / seen**2 * 2 * n / (n - 1))[none]
    own: tuple[np.ndarray, np.ndarray] | tuple[None, None] = (None, None)
    if share is not None:
        # Where no pair was found there is no relative spread: that of the samples stands as it is.
        z = student(level, math.inf)
        high[none] = np.hypot(high[none], z * np.sqrt(np.mean(others[:, none] ** 2, axis=0)))
        own = _interval(pairs / noise, g, r, rel_uncertainty, level, share, counting=False)
        own[1][none] = z * np.sqrt(np.mean(others[:, none] ** 2, axis=0))
    return RadialDistribution(r, g, low, high, unit, n, density, tuple(notes), *own)


def _g_only(points: np.ndarray, shape: tuple[float, float], edges: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Return g of points that all lie inside the frame."""
    n = len(points)
    pairs = pair_counts(points, shape, edges)[0, 0]
    seen = ring_areas(points, shape, edges, np.zeros(n, np.int64), 1)[0]
    return 2 * pairs * frame / seen**2 * n / (n - 1)


def _sample_share(others: np.ndarray, g: np.ndarray, level: float) -> np.ndarray | None:
    """Return the relative variance of g between segmentation samples, as wide as Student's quantile makes it.

    The distance of their mean from g counts as in `segmetry.measure.uncertainty.sample_arms`, here on both sides.
    """
    if len(others) < 2:
        return None
    n, variance = len(others), np.var(others, axis=0, ddof=1)
    widen = (student(level, n - 1) / student(level, math.inf)) ** 2
    square = widen * variance * (1 + 1 / n) + np.maximum((np.mean(others, axis=0) - g) ** 2 - variance / n, 0)
    return np.divide(square, g**2, out=np.zeros(len(g)), where=g > 0)


def centres(
    table: pd.DataFrame,
    *,
    frame_shape: Sequence[int],
    calibration: Calibration,
    frame_origin: Sequence[int] = (0, 0),
) -> tuple[np.ndarray, tuple[float, float]]:
    """Return the centres of a table's particles in the part of the frame where none is cut, and the sides of that part.

    Parameters
    ----------
    table : DataFrame
        With the columns ``centroid-0`` and ``centroid-1`` (px), and ``feret_max`` or ``equivalent_diameter``.
    frame_shape, frame_origin : (rows, columns)
        Pixels of the frame, and its first pixel.
    calibration : Calibration
        Length of a pixel.

    Returns
    -------
    points : (L, 2) array
        Row and column from the corner of that part, in the calibration's unit.
    sides : (height, width)
        As `radial_distribution` takes them.

    Notes
    -----
    A particle that the frame cuts shows a centroid that is not its centre, and shows one although its centre is
    outside. Half the largest particle (Feret) away from the frame's edges no such centroid lies. At most a sixth of the
    shorter side is given up on each side.
    """
    spacing = np.asarray(calibration.spacing, float)
    sides = np.asarray(frame_shape) * spacing
    points = _places(table, frame_origin, spacing)
    size = next((c for c in ("feret_max", "equivalent_diameter") if c in table.columns), None)
    largest = float(np.nanmax(table[size].to_numpy(float), initial=0.0)) if size else 0.0
    margin = min(largest / 2, float(sides.min()) / 6)
    inside = np.all((points >= margin) & (points <= sides - margin), axis=1)
    height, width = (float(side) - 2 * margin for side in sides)
    return points[inside] - margin, (height, width)


def _places(table: pd.DataFrame, origin: Sequence[int], spacing: np.ndarray) -> np.ndarray:
    """Return all centres from the corner of the frame."""
    found = np.column_stack([table[f"centroid-{k}"].to_numpy(float) for k in range(2)])
    return (found - np.asarray(origin) + 0.5) * spacing


def sample_centres(
    tables: Sequence[pd.DataFrame],
    sides: tuple[float, float],
    *,
    frame_shape: Sequence[int],
    calibration: Calibration,
    frame_origin: Sequence[int] = (0, 0),
) -> tuple[np.ndarray, ...]:
    """Return the centres of segmentation samples in the part of the frame that `centres` chose for the segmentation.

    Parameters
    ----------
    tables : sequence of DataFrame
        One for each sample (`sample_tables`).
    sides : (height, width)
        Of that part, as `centres` gives them; it lies in the middle of the frame.
    frame_shape, frame_origin, calibration
        As `centres` takes them.

    Returns
    -------
    points : tuple of (L, 2) arrays
        One for each table.
    """
    spacing = np.asarray(calibration.spacing, float)
    corner = (np.asarray(frame_shape) * spacing - np.asarray(sides)) / 2
    found = (_places(table, frame_origin, spacing) - corner for table in tables)
    return tuple(points[np.all((points >= 0) & (points <= sides), axis=1)] for points in found)


def _blocks(n: int, shape: tuple[float, float], most: int = _MAX_BLOCKS) -> tuple[int, int]:
    """Return into how many rows and columns of blocks to cut the frame: nearly square ones, enough points in each."""
    wished = float(np.clip(n / _POINTS_PER_BLOCK, 4, most))
    rows = int(np.clip(round(math.sqrt(wished * shape[0] / shape[1])), 1, wished))
    return rows, max(int(wished / rows), 1)


def _block_index(points: np.ndarray, shape: tuple[float, float], blocks: tuple[int, int]) -> np.ndarray:
    where = np.minimum((points / shape * blocks).astype(np.int64), np.asarray(blocks) - 1)
    return where[:, 0] * blocks[1] + where[:, 1]


def _interval(
    effective: np.ndarray,
    g: np.ndarray,
    r: np.ndarray,
    rel_uncertainty: float,
    level: float,
    share: np.ndarray | None = None,
    counting: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of g from an effective number of independent pairs, the stretch of r, and samples' share.

    The share is a relative variance; the part of counting can be left out.
    """
    k = np.maximum(effective, 1e-9)
    variance = 1 / k if counting else np.zeros(len(g))
    if rel_uncertainty:
        variance = variance + (r * rel_uncertainty) ** 2 * _slope_square(g, k, r)
    if share is not None:
        variance = variance + share
    k = 1 / np.maximum(variance, 1e-12)
    tail = 0.5 - level / 2
    low, high = (g * special.gammaincinv(k + 0.5, p) / k for p in (tail, 1 - tail))
    return np.minimum(low, g), np.maximum(high, g)


def _slope_square(g: np.ndarray, k: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return the square of d ln g / dr, with the part that is noise of g taken off."""
    out = np.zeros(len(g))
    if len(g) > 2:
        step = r[2:] - r[:-2]
        noise = g[2:] ** 2 / k[2:] + g[:-2] ** 2 / k[:-2]
        square = np.maximum((g[2:] - g[:-2]) ** 2 - noise, 0) / step**2
        out[1:-1] = np.divide(square, g[1:-1] ** 2, out=np.zeros(len(square)), where=g[1:-1] > 0)
    return out


def number_density(
    points: np.ndarray, shape: Sequence[float], *, weights: np.ndarray | None = None, level: float = 0.95
) -> Counting:
    """Return how many points there are per area (or volume), with the interval from counting.

    Parameters
    ----------
    points : (L, 2) or (L, 3) array
        Place from the corner of the frame.
    shape : (height, width) or (depth, height, width)
        Sides of the frame in the same unit.
    weights : (L,) array, optional
        What each point counts: 1 by default; Miles-Lantuéjoul weights of particles that lie inside; their areas, which
        gives the area fraction.
    level : float
        Coverage.

    Notes
    -----
    The interval is that of a Poisson number with the variance found between blocks of the frame, so that clusters
    widen it and order narrows it. Fewer than twenty points are taken as independent, and so they are in a volume.
    """
    area, n = math.prod(shape), len(points)
    w = np.ones(n) if weights is None else np.asarray(weights, float)
    total = float(w.sum())
    if n == 0:
        # No point in n trials: the exact upper end of a Poisson number.
        high = -math.log((1 - level) / 2) / area if weights is None else math.nan
        return Counting(0.0, 0.0, high, 0, "Poisson number", "no point was found")
    variance, how, note = float(np.sum(w**2)), "Poisson number", ""
    if n >= _MIN_POINTS and len(shape) == 2:
        frame = (float(shape[0]), float(shape[1]))
        blocks = _blocks(n, frame, _MAX_BLOCKS // 2)
        n_blocks = blocks[0] * blocks[1]
        sums = np.bincount(_block_index(np.clip(points, 0, frame), frame, blocks), w, n_blocks)
        variance = max(between_parts(sums, level), LEAST_VARIANCE * variance)
        how = f"Poisson number with the variance between {n_blocks} blocks"
    elif n < _MIN_POINTS:
        note = f"{n} points are few: they are taken as independent"
    low, high = (end / area for end in poisson_interval(total, variance, level))
    return Counting(total / area, low, high, n, how, note)


LEAST_VARIANCE = 0.05
"""Of a Poisson number's variance: less is not believed of a few parts, however alike they are."""


def between_parts(sums: np.ndarray, level: float) -> float:
    """Return the variance of a sum that its parts (blocks, images) show, as wide as Student's quantile asks."""
    n = len(sums)
    widen = (student(level, n - 1) / student(level, math.inf)) ** 2
    return float(n * np.var(sums, ddof=1)) * widen


def poisson_interval(total: float, variance: float, level: float) -> tuple[float, float]:
    """Return the interval for the mean of a number that was found, which varies `variance` over it as a Poisson number.

    Parameters
    ----------
    total : float
        What was found, above 0; a sum of weights too.
    variance : float
        Its variance; that of a Poisson number is its mean.
    level : float
        Coverage.
    """
    k = total**2 / variance
    tail = 0.5 - level / 2
    low, high = (float(special.gammaincinv(k + 0.5, p)) / k * total for p in (tail, 1 - tail))
    return min(low, total), max(high, total)


@dataclass(frozen=True, eq=False)
class NearestNeighbours:
    """Distances from each point to its nearest one.

    Parameters
    ----------
    distance : (L,) array
        Distance to the nearest other point in the frame, of points inside it; nan for a single point.
    weight : (L,) array
        Hanisch's weight: 0 where the frame's edge is nearer than the neighbour.
    mean : Estimate
        Mean distance, free of the frame's edges.
    clark_evans : Estimate
        Mean over that of points without order at the same density: below 1 clustered, above 1 spread out.
    """

    distance: np.ndarray
    weight: np.ndarray
    mean: Estimate
    clark_evans: Estimate


def nearest_neighbours(
    points: np.ndarray,
    shape: tuple[float, float],
    *,
    unit: str = "px",
    level: float = 0.95,
    rel_uncertainty: float = 0.0,
    samples: Sequence[np.ndarray] = (),
) -> NearestNeighbours:
    """Return nearest-neighbour distances and their mean, free of the bias of the frame's edges.

    Parameters
    ----------
    points : (L, 2) array
        Row and column from the corner of the frame.
    shape : (height, width)
        Sides of the frame in the same unit.
    samples : sequence of (L, 2) arrays
        The points of Monte Carlo segmentations of the same image, in the same frame.

    Notes
    -----
    A point whose neighbour is nearer than the edge has its true neighbour; it counts with one over the area in which
    a point with such a distance could lie (Hanisch 1984, doi:10.1080/02331888408801778). The interval of the mean
    includes that another frame would hold another number of points; that of the Clark-Evans ratio does not, as the
    ratio refers to the density found. From one hundred points on, blocks of the frame count as independent, below it
    points.
    """
    distance, weight, counting, ratio = _neighbours(points, shape, level)
    others = [_neighbours(p, shape, level)[2:] for p in samples]
    mean = combine(
        "nearest_neighbour_distance",
        counting,
        unit=unit,
        power=1,
        level=level,
        rel_uncertainty=rel_uncertainty,
        sample_values=[c.value for c, _ in others],
    )
    order = combine("clark_evans", ratio, level=level, sample_values=[r.value for _, r in others])
    return NearestNeighbours(distance, weight, mean, order)


def _neighbours(
    points: np.ndarray, shape: tuple[float, float], level: float
) -> tuple[np.ndarray, np.ndarray, Counting, Counting]:
    """Return distances, Hanisch's weights, mean distance and Clark-Evans ratio of the points inside the frame."""
    from scipy.spatial import cKDTree

    points, (height, width) = np.asarray(points, float).reshape(-1, 2), shape
    points = points[np.all((points >= 0) & (points <= (height, width)), axis=1)]
    n = len(points)
    distance = cKDTree(points).query(points, k=2)[0][:, 1] if n > 1 else np.full(n, np.nan)
    border = np.min([points[:, 0], height - points[:, 0], points[:, 1], width - points[:, 1]], axis=0)
    kept = np.isfinite(distance) & (distance <= border) & (2 * distance < min(height, width))
    weight = np.zeros(n)
    weight[kept] = 1 / ((height - 2 * distance[kept]) * (width - 2 * distance[kept]))
    return distance, weight, *_mean_distance(distance[kept], weight[kept], points, kept, (height, width), level)


def _mean_distance(
    distance: np.ndarray,
    weight: np.ndarray,
    points: np.ndarray,
    kept: np.ndarray,
    shape: tuple[float, float],
    level: float,
) -> tuple[Counting, Counting]:
    """Return the mean distance and the Clark-Evans ratio with their intervals from counting."""
    n, m = len(points), len(distance)
    if m == 0:
        nothing = Counting(math.nan, math.nan, math.nan, n, "none", f"{n} points: no neighbour nearer than the edge")
        return nothing, nothing
    w = weight / weight.sum()
    mean = float(np.sum(w * distance))
    ratio = mean * 2 * math.sqrt(n / (shape[0] * shape[1]))
    if m < SMALLEST or mean == 0:
        note = f"{m} points with a neighbour nearer than the edge: too few for an interval"
        note = note if mean else "the points lie on each other"
        nothing = Counting(mean, math.nan, math.nan, n, "none", note)
        return nothing, nothing._replace(value=ratio)
    influence = np.zeros(n)
    influence[kept] = w * (distance / mean - 1)
    half_density = np.full(n, 0.5 / n)  # the ratio has the root of the number of points
    if n >= 100:
        blocks = _blocks(n, shape)
        index, n_parts = _block_index(points, shape, blocks), blocks[0] * blocks[1]
        of_mean = np.bincount(index, influence, n_parts)
        of_ratio = of_mean + np.bincount(index, half_density, n_parts) - 0.5 / n_parts
        variance_mean, dof = influence_variance(of_mean)
        variance_ratio, _ = influence_variance(of_ratio)
        how = f"Student's t on the logarithm, {n_parts} blocks independent"
    else:
        variance_ratio, dof = influence_variance(influence[kept])
        variance_mean = variance_ratio + 0.25 / n
        how = "Student's t on the logarithm, points independent"
    ends = []
    for value, variance in ((mean, variance_mean), (ratio, variance_ratio)):
        factor = math.exp(student(level, dof) * math.sqrt(variance))
        ends.append(Counting(value, value / factor, value * factor, n, how))
    return ends[0], ends[1]
