"""The numbers that a micrograph is taken for, each as an Estimate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from segmetry.errors import ShapeMismatchError
from segmetry.measure.distributions import MIN_GROUPS, Distribution, distribution, sample_of, sample_only
from segmetry.measure.segmentation_share import both_ways
from segmetry.measure.spatial import (
    LEAST_VARIANCE,
    between_parts,
    centres,
    nearest_neighbours,
    number_density,
    poisson_interval,
    sample_centres,
)
from segmetry.measure.uncertainty import Counting, combine, length_power
from segmetry.measure.weighted import mean, mean_counting
from segmetry.types import Calibration, Estimate

if TYPE_CHECKING:
    import pandas as pd

MEANS = ("aspect_ratio", "circularity", "roundness", "solidity", "feret_max", "feret_min")
"""Columns whose mean is part of a summary, where the table has them."""

NUMBERS = ("count", "number_density")
"""Estimates that a shift of all borders leaves as they are, and that what is missed or false alters."""


def summarise(
    table: pd.DataFrame,
    *,
    frame_shape: Sequence[int],
    calibration: Calibration,
    frame_origin: Sequence[int] | None = None,
    seen: float = 1.0,
    edge_correction: bool = True,
    level: float = 0.95,
    rel_uncertainty: float | None = None,
    samples: Sequence[pd.DataFrame] = (),
    border: float = 0.0,
    count_sd: float | None = None,
    sizes: Distribution | None = None,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Return the estimates of one image: size, shape, number and place of its particles.

    Parameters
    ----------
    table : DataFrame
        One row per particle, as `measure` gives it. What rests on a column that is not there is left out.
    frame_shape : sequence of int
        Pixels of the frame along each axis (without the footer).
    calibration : Calibration
        Length of a pixel, in the unit of the table.
    frame_origin : sequence of int, optional
        First pixel of the frame along each axis; zeros by default.
    seen : float
        Share of the frame's pixels that are specimen: the area fraction refers to these, not to what text covers.
    edge_correction : bool
        Drop particles that touch the frame and weight the others (Miles-Lantuéjoul). Number per area, too, is then
        the sum of these weights over the area of the frame, to which every particle adds the same, whatever its size.
    level : float
        Coverage of the intervals.
    rel_uncertainty : float, optional
        Relative standard uncertainty of the pixel size; by default that of `calibration`.
    samples : sequence of DataFrame
        Tables of Monte Carlo segmentations of the same image (`sample_tables`). Each gives every statistic anew, and
        their spread is the segmentation's share. Without them that share is unknown, and so is `Estimate.this_image`.
    border : float
        Standard uncertainty of a shift that all borders have in common, in the unit of lengths (`border_of`).
    count_sd : float, optional
        Standard uncertainty of the number of particles in the image, where the method states it; nan where it says that
        it does not know (`count_sd_of`). The number of particles, and their number per area, take it in place of the
        spread of samples.
    sizes : Distribution, optional
        `distribution` of this table by number with the same options, where it has been made already.
    seed : int
        Of the bootstrap.

    Returns
    -------
    estimates : dict of str to Estimate
        Those of `distribution` of the equivalent diameter; the means of the columns in `MEANS`; ``count`` of all
        particles in the frame, cut ones too; ``number_density`` per area (volume); ``area_fraction`` (in three
        dimensions ``volume_fraction``) of all particles, cut ones too; ``nearest_neighbour_distance`` and
        ``clark_evans`` (two dimensions), of the part of the frame where none is cut.

    Raises
    ------
    ShapeMismatchError
        If frame and calibration differ in their number of axes.
    """
    ndim = len(frame_shape)
    if len(calibration.spacing) != ndim:
        raise ShapeMismatchError(
            f"summarise: the frame has {ndim} axes, the calibration {len(calibration.spacing)}; give one length each."
        )
    rel = calibration.rel_uncertainty if rel_uncertainty is None else rel_uncertainty
    found: dict[str, Estimate] = {}
    if "equivalent_diameter" in table.columns:
        sizes = sizes or distribution(
            table,
            edge_correction=edge_correction,
            level=level,
            rel_uncertainty=rel,
            samples=samples,
            border=border,
            seed=seed,
        )
        found |= sizes.estimates
    moved = both_ways(table, border)
    units = table.attrs.get("units", {})
    for column in MEANS:
        if column in table.columns:
            unit = str(units.get(column, ""))
            found[column] = combine(
                column,
                mean_counting(sample_of(table, column, edge_correction=edge_correction)[0], level),
                unit=unit,
                power=length_power(unit),
                rel_uncertainty=rel,
                sample_values=_means(column, samples, edge_correction),
                border_values=_means(column, moved, edge_correction),
                level=level,
            )
    if all(f"centroid-{k}" in table.columns for k in range(ndim)):
        place = _Place(frame_shape, frame_origin or (0,) * ndim, calibration, edge_correction, seen)
        found |= place.estimates(table, samples, moved, level, rel, count_sd)
    return found


def total_count(
    counts: Sequence[int], samples: Sequence[int] = (), *, count_sd: float | None = None, level: float = 0.95
) -> Estimate:
    """Return how many particles several images show together.

    Parameters
    ----------
    counts : sequence of int
        Particles of each image.
    samples : sequence of int
        Particles of all images together in each Monte Carlo sample.
    count_sd : float, optional
        Standard uncertainty of the number in all images together, as in `summarise`.
    level : float
        Coverage of the interval, which is for the mean over as many such images: that of a Poisson number, from
        `MIN_GROUPS` images on with the variance that is found between images.

    Examples
    --------
    >>> n = total_count([40, 60])
    >>> n.value, round(n.low, 1), round(n.high, 1)
    (100.0, 81.8, 121.1)
    """
    n, total = len(counts), float(np.sum(counts))
    variance, how = total, "Poisson number"
    if n >= MIN_GROUPS:
        variance = max(between_parts(np.asarray(counts, float), level), LEAST_VARIANCE * total)
        how += f" with the variance between {n} images"
    low, high = poisson_interval(total, variance, level) if total else (0.0, -math.log((1 - level) / 2))
    counting = Counting(total, low, high, int(total), how)
    return combine("count", counting, sample_values=samples, segmentation_sd=count_sd, level=level)


def _means(column: str, tables: Sequence[pd.DataFrame], edge_correction: bool) -> list[float]:
    return [mean(sample_only(t, column, edge_correction=edge_correction)) for t in tables if column in t.columns]


class _Place:
    """What rests on where the particles lie in one frame."""

    def __init__(
        self,
        shape: Sequence[int],
        origin: Sequence[int],
        calibration: Calibration,
        edge_correction: bool,
        seen: float,
    ) -> None:
        self.shape, self.origin, self.calibration = shape, origin, calibration
        self.spacing, self.unit = np.asarray(calibration.spacing), calibration.unit
        self.sides = tuple(float(s) for s in np.asarray(shape) * self.spacing)
        self.edge_correction, self.ndim, self.seen = edge_correction, len(shape), seen
        self.content = "area" if self.ndim == 2 else "volume"

    def points(self, table: pd.DataFrame) -> np.ndarray:
        """Return centres from the corner of the frame; pixel centres are half a pixel away from it."""
        found = np.column_stack([table[f"centroid-{k}"].to_numpy(float) for k in range(self.ndim)])
        return (found - np.asarray(self.origin) + 0.5) * self.spacing

    def count(self, table: pd.DataFrame, level: float) -> Counting:
        """Return how many particles the frame shows, with the interval for the mean over such frames."""
        found = number_density(self.points(table), self.sides, level=level)
        frame = math.prod(self.sides)
        return found._replace(value=float(len(table)), low=found.low * frame, high=found.high * frame)

    def number(self, table: pd.DataFrame, level: float) -> Counting:
        weights = np.ones(len(table))
        if self.edge_correction and "edge_weight" in table.columns:
            weights = table["edge_weight"].to_numpy(float)
        kept = np.isfinite(weights) & (weights > 0)
        if len(table) and not kept.any():
            return self._all_cut(table, level)
        return number_density(
            self.points(table)[kept], self.sides, weights=weights[kept] if kept.any() else None, level=level
        )

    def number_sd(self, name: str, table: pd.DataFrame, level: float, count_sd: float | None) -> float | None:
        """Return the standard uncertainty of a number that `count_sd` particles more or less give it."""
        if count_sd is None or name == "count":
            return count_sd
        value = self.number(table, level).value
        return count_sd * (value / len(table) if value > 0 else 1 / math.prod(self.sides))

    def _all_cut(self, table: pd.DataFrame, level: float) -> Counting:
        """Return the density where the frame cuts every particle: 0, with room for those of the largest size seen."""
        none = number_density(self.points(table)[:0], self.sides, level=level)
        size = next((c for c in ("feret_max", "equivalent_diameter") if c in table.columns), None)
        largest = float(np.nanmax(table[size].to_numpy(float), initial=0.0)) if size else 0.0
        room = 1 - (largest + self.spacing) / np.asarray(self.sides)
        note = f"the frame cuts all {len(table)} particles"
        if (room <= 0).any():
            return Counting(math.nan, math.nan, math.nan, 0, "none", f"{note}: it is too small to count them")
        return none._replace(high=none.high / float(np.prod(room)), note=note)

    def fraction(self, table: pd.DataFrame, level: float) -> Counting:
        """Return the share that all particles cover."""
        weights = table[self.content].to_numpy(float) / self.seen
        return number_density(self.points(table), self.sides, weights=weights, level=level)

    def estimates(
        self,
        table: pd.DataFrame,
        samples: Sequence[pd.DataFrame],
        moved: Sequence[pd.DataFrame],
        level: float,
        rel: float,
        count_sd: float | None,
    ) -> dict[str, Estimate]:
        wanted: list[tuple[str, str, int, Callable[[pd.DataFrame, float], Counting]]] = [
            ("count", "", 0, self.count),
            ("number_density", f"{self.unit}^{-self.ndim}", -self.ndim, self.number),
        ]
        if self.content in table.columns:
            wanted.append((f"{self.content}_fraction", "", 0, self.fraction))
        found = {
            name: combine(
                name,
                counting(table, level),
                unit=unit,
                power=power,
                rel_uncertainty=rel,
                sample_values=[counting(t, level).value for t in samples],
                border_values=[counting(t, level).value for t in moved if name not in NUMBERS],
                segmentation_sd=self.number_sd(name, table, level, count_sd) if name in NUMBERS else None,
                most=1.0 if counting == self.fraction else math.inf,
                level=level,
            )
            for name, unit, power, counting in wanted
        }
        if self.ndim == 2:
            place: dict[str, Any] = {
                "frame_shape": self.shape,
                "calibration": self.calibration,
                "frame_origin": self.origin,
            }
            points, sides = centres(table, **place)
            others = sample_centres(samples, sides, **place)
            near = nearest_neighbours(points, sides, unit=self.unit, level=level, rel_uncertainty=rel, samples=others)
            found |= {"nearest_neighbour_distance": near.mean, "clark_evans": near.clark_evans}
        return found
