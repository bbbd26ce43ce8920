"""Size distributions: what a table of particles says about the population they came from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from segmetry.errors import OptionError, unknown_name
from segmetry.measure.segmentation_share import both_ways
from segmetry.measure.uncertainty import Counting, combine, length_power, proportion_interval
from segmetry.measure.weighted import STATISTICS, Sample, lognormal_distance, mean, mean_counting, quantile
from segmetry.types import Estimate

if TYPE_CHECKING:
    import pandas as pd

Weighting = Literal["number", "area", "volume"]

_POWER: Mapping[str, int] = {"number": 0, "area": 2, "volume": 3}
_SIZE = "equivalent_diameter"
_MOMENT_MEANS: Mapping[str, int] = {"d32": 2, "d43": 3}
MIN_GROUPS = 10
"""Images from which on images are resampled instead of particles."""
_MAX_BINS, _MAX_POINTS = 100, 500
_FEW_FOR_FIT = 30
"""Particles (effective number) below which a fit is not claimed."""
_HEAVY = 5.0
"""Edge weight from which on a note says that the frame is small for the sizes."""


@dataclass(frozen=True, eq=False)
class Distribution:
    """A size distribution (ISO 9276-1) with its statistics.

    Parameters
    ----------
    measure, weighting, unit : str
        What was measured, by what it is weighted (``"number"``: q0, ``"area"``: q2, ``"volume"``: q3), and its unit.
    n, n_dropped : int
        Particles that count, and rows that do not: not seen whole (no edge weight), or without a value.
    edges : (B+1,) array
        Edges of the histogram's classes.
    density, density_low, density_high : (B,) arrays
        Share of the weight per unit of the measure, and its pointwise band; the density's integral is 1.
    x, cumulative, cumulative_low, cumulative_high : (K,) arrays
        Share of the weight below x, and its pointwise band: each point by itself is covered at the level, not the
        whole curve at once.
    estimates : dict of str to Estimate
        ``d10 d50 d90 span mean mode gsd lognormal_median lognormal_gsd lognormal_distance``, and of a size also
        ``d32`` (Sauter) and ``d43`` (De Brouckere).
    notes : tuple of str
        What was dropped, corrected and doubted.
    """

    measure: str
    weighting: str
    unit: str
    n: int
    n_dropped: int
    edges: np.ndarray
    density: np.ndarray
    density_low: np.ndarray
    density_high: np.ndarray
    x: np.ndarray
    cumulative: np.ndarray
    cumulative_low: np.ndarray
    cumulative_high: np.ndarray
    estimates: dict[str, Estimate]
    notes: tuple[str, ...] = ()


def distribution(
    table: pd.DataFrame,
    *,
    measure: str = _SIZE,
    weighting: Weighting = "number",
    edge_correction: bool = True,
    level: float = 0.95,
    rel_uncertainty: float = 0.0,
    groups: str | None = None,
    samples: Sequence[pd.DataFrame] = (),
    border: float | np.ndarray = 0.0,
    seed: int = 0,
) -> Distribution:
    """Return the distribution of one measure over the particles of a table, every statistic with an interval.

    Parameters
    ----------
    table : DataFrame
        One row per particle, as `measure` gives it; ``table.attrs["units"]`` names the units.
    measure : str
        Column: a size, or any other number per particle (``"aspect_ratio"``).
    weighting : {"number", "area", "volume"}
        What a particle counts: 1, the square or the cube of its equivalent diameter.
    edge_correction : bool
        Drop particles that are not seen whole and weight the others by column ``edge_weight``, because a large particle
        lies inside a frame less often than a small one (Miles-Lantuéjoul). Else every row counts once, cut ones too.
    level : float
        Coverage of the intervals.
    rel_uncertainty : float
        Relative standard uncertainty of the pixel size.
    groups : str, optional
        Column that names the image of each particle. From ten images on, images are resampled, not particles.
    samples : sequence of DataFrame
        Tables of Monte Carlo segmentations of the same image (`sample_tables`), for the part of the segmentation. Of
        several images: the first samples of all in one table, then the second ones.
    border : float, or (L,) array
        Standard uncertainty of a shift that all borders have in common, in the unit of lengths (`border_of`); samples
        do not show it. Where images differ in it, that of each particle.
    seed : int
        Of the bootstrap that the mode uses.

    Raises
    ------
    OptionError
        If a column, a weighting or the level does not exist.

    Notes
    -----
    The intervals are for the population the particles were drawn from; `Estimate.this_image` is for the particles of
    this image alone. With fewer than three particles, values come without intervals.

    References
    ----------
    ISO 9276-1:1998, ISO 9276-2:2014, ISO 13322-1:2014. Edge weights: Miles 1974; Lantuéjoul 1980, J. Microsc. 124,
    L7; number of classes: Freedman & Diaconis 1981, doi:10.1007/BF01025868.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"equivalent_diameter": [8.0, 9.0, 10.0, 11.0, 12.0]})
    >>> d50 = distribution(table, edge_correction=False).estimates["d50"]
    >>> d50.value, d50.low < 10 < d50.high
    (10.0, True)
    """
    if weighting not in _POWER:
        raise unknown_name("weighting", weighting, get_args(Weighting))
    if not 0 < level < 1:
        raise OptionError(f"distribution: level must lie between 0 and 1, got {level}; 0.95 is usual.")
    if not 0 <= rel_uncertainty < math.inf:
        raise OptionError(f"distribution: rel_uncertainty must be 0 or more, got {rel_uncertainty}.")
    if not np.all((np.asarray(border) >= 0) & np.isfinite(border)):
        raise OptionError(f"distribution: border must be a length of 0 or more, got {border}.")
    unit, power = _unit(table, measure, rel_uncertainty)
    sample, n_dropped, notes = sample_of(table, measure, weighting, edge_correction=edge_correction, groups=groups)
    others = [sample_only(t, measure, weighting, edge_correction=edge_correction) for t in samples]
    moved = [sample_only(t, measure, weighting, edge_correction=edge_correction) for t in both_ways(table, border)]

    common: dict[str, Any] = {"rel_uncertainty": rel_uncertainty, "positive": sample.positive, "level": level}
    estimates = {}
    for i, (name, statistic) in enumerate(STATISTICS.items()):
        estimates[name] = combine(
            name,
            statistic.counting(sample, level, np.random.default_rng([seed, i])),
            unit="" if statistic.ratio else unit,
            power=0 if statistic.ratio else power,
            sample_values=[statistic.value(s) for s in others],
            border_values=[statistic.value(s) for s in moved],
            **common,
        )
    if measure == _SIZE and (sample.positive or not len(sample)):
        for name, moment in _MOMENT_MEANS.items():
            change = moment - _POWER[weighting]
            estimates[name] = combine(
                name,
                mean_counting(sample.reweighted(change), level),
                unit=unit,
                power=power,
                sample_values=[mean(s.reweighted(change)) for s in others],
                border_values=[mean(s.reweighted(change)) for s in moved],
                **common,
            )
    distance = lognormal_distance(sample) if len(sample) > 2 else math.nan
    note = _lognormal_note(distance, sample.n_effective) if math.isfinite(distance) else ""
    estimates["lognormal_distance"] = combine(
        "lognormal_distance", Counting(distance, math.nan, math.nan, len(sample), "Kolmogorov-Smirnov distance", note)
    )

    edges = _edges(sample)
    others = [s for s in others if len(s)]
    moved = [s for s in moved if len(s)]
    rel = rel_uncertainty * power
    density, density_low, density_high = _histogram(sample, edges, others, moved, rel, level)
    x = np.unique(sample.x)
    x = x[np.unique(np.linspace(0, max(len(x) - 1, 0), _MAX_POINTS).round().astype(int))] if len(x) else x
    cumulative, cumulative_low, cumulative_high = _curve(sample, x, others, moved, rel, level)
    return Distribution(
        measure,
        weighting,
        unit,
        len(sample),
        n_dropped,
        edges,
        density,
        density_low,
        density_high,
        x,
        cumulative,
        cumulative_low,
        cumulative_high,
        estimates,
        tuple(notes),
    )


def _lognormal_note(distance: float, n_effective: float) -> str:
    """Return whether a log-normal fits, in words; few particles cannot tell, and then they are not said to."""
    # Lilliefors 1967 (doi:10.1080/01621459.1967.10482916): 5 % point for a fitted normal and n > 30.
    limit = 0.886 / math.sqrt(n_effective)
    if distance > limit:
        return f"the log-normal does not fit: 5 % limit {limit:.3g}"
    if n_effective < _FEW_FOR_FIT:
        return f"nothing speaks against the log-normal (5 % limit {limit:.3g}), but so few would hardly show a misfit"
    return f"the log-normal fits: 5 % limit {limit:.3g}"


def _unit(table: pd.DataFrame, measure: str, rel_uncertainty: float) -> tuple[str, int]:
    """Return unit and power of length of a column."""
    if measure not in table.columns:
        raise unknown_name("measure", measure, (c for c in map(str, table.columns) if c != "label"))
    units = table.attrs.get("units", {})
    if measure not in units and rel_uncertainty:
        raise OptionError(
            f"distribution: the table names no unit for {measure!r}, so the pixel size's uncertainty cannot enter; "
            f"set table.attrs['units'] = {{{measure!r}: 'nm'}}."
        )
    unit = str(units.get(measure, ""))
    return unit, length_power(unit)


def sample_of(
    table: pd.DataFrame,
    measure: str,
    weighting: Weighting = "number",
    *,
    edge_correction: bool = True,
    groups: str | None = None,
) -> tuple[Sample, int, list[str]]:
    """Return the particles that count with their weights, how many rows do not count, and why."""
    notes = []
    if measure not in table.columns:
        raise unknown_name("measure", measure, (c for c in map(str, table.columns) if c != "label"))
    x = table[measure].to_numpy(float)
    w = np.ones(len(x))
    keep = np.isfinite(x)
    if (~keep).any():
        notes.append(f"{int((~keep).sum())} particles without a value of {measure} were dropped")
    if edge_correction and "edge_weight" in table.columns:
        w = table["edge_weight"].to_numpy(float)
        inside = np.isfinite(w) & (w > 0)
        cut = ~inside & keep
        hidden = cut & ~table["touches_edge"].to_numpy(bool) if "touches_edge" in table.columns else cut & False
        notes.append(
            f"size bias of the frame corrected (Miles-Lantuéjoul weights); {int((cut & ~hidden).sum())} particles that "
            "touch it dropped"
        )
        if hidden.any():
            notes.append(f"{int(hidden.sum())} particles that burned-in text may hide a part of were dropped")
        keep &= inside
        most = float(np.max(w[keep], initial=1.0))
        if most > _HEAVY:
            notes.append(f"the frame is small for these sizes: the largest particle counts {most:.3g} times")
    elif edge_correction:
        notes.append("size bias of the frame not corrected: the table has no column edge_weight")
    else:
        n_cut = int(table["touches_edge"].to_numpy(bool).sum()) if "touches_edge" in table.columns else 0
        notes.append(f"size bias of the frame not corrected, as asked; {n_cut} particles that touch the frame counted")
    if _POWER[weighting]:
        size = _size(table, measure)
        keep &= np.isfinite(size) & (size > 0)
        w = w * np.where(keep, size, 1.0) ** _POWER[weighting]
    codes = None
    if groups is not None:
        if groups not in table.columns:
            raise unknown_name("column of groups", groups, map(str, table.columns))
        names, codes = np.unique(table[groups].to_numpy()[keep], return_inverse=True)
        if len(names) < MIN_GROUPS:
            codes = None
            if len(names):
                notes.append(f"{len(names)} images are fewer than {MIN_GROUPS}: particles were resampled, not images")
        else:
            notes.append(f"{len(names)} images were resampled")
    scale = np.max(w[keep], initial=0.0) or 1.0  # cubes of metres would underflow
    return Sample(x[keep], w[keep] / scale, codes), int((~keep).sum()), notes


def sample_only(
    table: pd.DataFrame, measure: str, weighting: Weighting = "number", *, edge_correction: bool = True
) -> Sample:
    """Return the particles that count as `sample_of` does, with nothing said about the others: for many tables."""
    x = table[measure].to_numpy(float)
    w, keep = np.ones(len(x)), np.isfinite(x)
    if edge_correction and "edge_weight" in table.columns:
        w = table["edge_weight"].to_numpy(float)
        keep &= w > 0
        keep &= np.isfinite(w)
    if _POWER[weighting]:
        size = x if measure == _SIZE else _size(table, measure)
        keep &= size > 0
        w = w * np.where(keep, size, 1.0) ** _POWER[weighting]
    scale = np.max(w[keep], initial=0.0) or 1.0
    return Sample(x[keep], w[keep] / scale)


def _size(table: pd.DataFrame, measure: str) -> np.ndarray:
    """Return the size whose square or cube is a particle's weight."""
    if _SIZE in table.columns:
        return table[_SIZE].to_numpy(float)
    units = table.attrs.get("units", {})
    if length_power(str(units.get(measure, ""))) == 1:
        return table[measure].to_numpy(float)
    raise OptionError(
        f"distribution: weighting by area or volume needs the column {_SIZE!r}; measure it too, or weight by number."
    )


def _edges(sample: Sample) -> np.ndarray:
    """Return round edges of equal classes about as wide as Freedman and Diaconis ask for, at most 100 of them."""
    if not len(sample):
        return np.array([0.0, 1.0])
    low, high = float(sample.x[0]), float(sample.x[-1])
    if high <= low:
        half = abs(low) * 0.05 or 0.5
        return np.array([low - half, low + half])
    wide = 2 * (quantile(sample, 0.75) - quantile(sample, 0.25)) * sample.n_effective ** (-1 / 3)
    wide = max(wide, (high - low) / _MAX_BINS) if wide > 0 else (high - low) / 10
    digit = 10.0 ** math.floor(math.log10(wide))
    wide = next(m * digit for m in (1, 2, 2.5, 5, 10) if m * digit >= wide * (1 - 1e-9))
    first, last = math.floor(low / wide), math.floor(high / wide) + 1
    return np.arange(first, last + 1) * wide


def _shares(sample: Sample, edges: np.ndarray, stretch: float = 1.0) -> np.ndarray:
    """Return the share of the weight in each class, with all values multiplied by `stretch`."""
    return np.histogram(sample.x * stretch, edges, weights=sample.w)[0] / sample.w.sum()


def _below(sample: Sample, x: np.ndarray, stretch: float = 1.0) -> np.ndarray:
    """Return the share of the weight below each x, half of that at x counted, linear between the particles."""
    values, first = np.unique(sample.x, return_index=True)
    below = np.concatenate([[0.0], np.cumsum(sample.w)])[np.append(first, len(sample))]
    return np.interp(x, values * stretch, (below[:-1] + below[1:]) / 2 / below[-1], left=0.0, right=1.0)


def _histogram(
    sample: Sample, edges: np.ndarray, others: Sequence[Sample], moved: Sequence[Sample], rel: float, level: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n_bins = len(edges) - 1
    if not len(sample):
        return np.zeros(n_bins), np.full(n_bins, np.nan), np.full(n_bins, np.nan)
    share = _shares(sample, edges)
    index = np.clip(np.searchsorted(edges, sample.x, "right") - 1, 0, n_bins - 1)
    total = sample.w.sum()
    if sample.groups is None:
        squares = np.bincount(index, sample.w**2, n_bins) / total**2
        variance = squares * (1 - 2 * share) + share**2 * np.sum(sample.w**2) / total**2
    else:
        n_groups = int(sample.groups.max()) + 1
        parts = np.bincount(sample.groups * n_bins + index, sample.w, n_groups * n_bins).reshape(n_groups, n_bins)
        residual = (parts - share * parts.sum(1, keepdims=True)) / total
        variance = n_groups / (n_groups - 1) * np.sum(residual**2, 0)
    variance = variance + _other_variance(lambda s, stretch: _shares(s, edges, stretch), sample, others, moved, rel)
    low, high = proportion_interval(share, _number(share, variance, sample), level)
    width = np.diff(edges)
    if len(sample) < 3:
        low, high = np.full(n_bins, np.nan), np.full(n_bins, np.nan)
    return share / width, low / width, high / width


def _curve(
    sample: Sample, x: np.ndarray, others: Sequence[Sample], moved: Sequence[Sample], rel: float, level: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if not len(sample):
        return np.zeros(0), np.zeros(0), np.zeros(0)
    share = _below(sample, x)
    total = sample.w.sum()
    if sample.groups is None:
        squares = np.interp(x, sample.x, np.cumsum(sample.w**2)) / total**2
        variance = squares * (1 - 2 * share) + share**2 * np.sum(sample.w**2) / total**2
    else:
        n_groups = int(sample.groups.max()) + 1
        index = np.clip(np.searchsorted(x, sample.x), 0, len(x) - 1)
        parts = np.bincount(sample.groups * len(x) + index, sample.w, n_groups * len(x)).reshape(n_groups, len(x))
        residual = (np.cumsum(parts, 1) - share * parts.sum(1, keepdims=True)) / total
        variance = n_groups / (n_groups - 1) * np.sum(residual**2, 0)
    variance = variance + _other_variance(lambda s, stretch: _below(s, x, stretch), sample, others, moved, rel)
    low, high = proportion_interval(share, _number(share, variance, sample), level)
    if len(sample) < 3:
        low, high = np.full(len(x), np.nan), np.full(len(x), np.nan)
    return share, low, high


def _number(share: np.ndarray, variance: np.ndarray, sample: Sample) -> np.ndarray:
    """Return the effective number behind each share."""
    kish = sample.n_effective
    number = np.divide(share * (1 - share), variance, out=np.full(len(share), kish), where=variance > 0)
    return np.clip(number, 1.0, kish)


def _other_variance(
    shares: Callable[[Sample, float], np.ndarray],
    sample: Sample,
    others: Sequence[Sample],
    moved: Sequence[Sample],
    rel: float,
) -> np.ndarray:
    """Return the variance of shares that comes from pixel size, segmentation samples, and borders."""
    variance = np.zeros(())
    if rel and rel < 1:
        variance = ((shares(sample, 1 + rel) - shares(sample, 1 - rel)) / 2) ** 2
    if len(others) >= 2:
        variance = variance + np.var([shares(s, 1.0) for s in others], axis=0, ddof=1) * (1 + 1 / len(others))
    if len(moved) == 2:
        variance = variance + ((shares(moved[1], 1.0) - shares(moved[0], 1.0)) / 2) ** 2
    return variance
