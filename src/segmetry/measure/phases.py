"""Phases: how much of a material each class of pixels fills, how coarse it is, and how much boundary it has."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import fft

from segmetry.errors import LabelError, ShapeMismatchError
from segmetry.measure import crofton
from segmetry.measure.labelling import connected_pieces
from segmetry.measure.moments import DIRECTIONS
from segmetry.measure.uncertainty import Counting, combine, proportion_interval, student
from segmetry.types import Calibration, Estimate

if TYPE_CHECKING:
    import pandas as pd

MEANINGS = {
    "area_fraction": "share of the area that the phase covers",
    "volume_fraction": "share of the volume that the phase fills",
    "mean_chord": "mean length that a straight line runs through the phase (mean intercept length)",
    "boundary_per_area": "length of the phase's boundary in an area of the image, over that area",
    "surface_per_volume": "surface of the phase over volume; of a plane section 4/π of the boundary per area, right "
    "for a material without direction that is cut, not seen through",
}
"""Estimates of a phase, and what they mean."""

_CELLS = 1 << 16
"""The frame is taken in about so many cells at most: the variance needs nothing finer."""
_REACH = 16.0
"""Distances count, ever less, up to so many radii of the disk (ball) whose content is the integral range."""
_ALIKE = "no part differs from another: no variance to judge by"
_LEAST = 0.05
"""Of the variance of independent cells: less is not believed of one frame, however regular it looks."""


class Seen(NamedTuple):
    """What an image shows of a phase, as far as statistics over several images need it."""

    size: float
    """Area (volume) of the image that counts, phase or not."""
    fraction: float
    crossings: float
    """Of the phase's boundary, per length of line, the mean over directions."""
    n_regions: int
    samples: Sequence[Sequence[float]] = ()
    """Fraction and crossings in each Monte Carlo segmentation."""

    def scaled(self, factor: float, ndim: int) -> Seen:
        """Return the same with lengths in a unit of which one of the old has `factor`."""
        samples = [(fraction, crossings / factor) for fraction, crossings in self.samples]
        return Seen(self.size * factor**ndim, self.fraction, self.crossings / factor, self.n_regions, samples)


@dataclass(frozen=True, eq=False)
class Phase:
    """One class of pixels as a phase of a material.

    Parameters
    ----------
    name : str
        Of the class.
    seen : Seen
        What the estimates are made of. Regions are connected ones (8 neighbours, 26 in 3D), also those the frame cuts.
    estimates : mapping of str to Estimate
        ``area_fraction`` (3D: ``volume_fraction``), ``mean_chord``, ``boundary_per_area`` (2D), ``surface_per_volume``;
        see `MEANINGS`.
    """

    name: str
    seen: Seen
    estimates: Mapping[str, Estimate]

    @property
    def n_regions(self) -> int:
        """Number of connected regions."""
        return self.seen.n_regions

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "class": self.name,
            "n_regions": self.n_regions,
            **{name: estimate.as_dict() for name, estimate in self.estimates.items()},
            "seen": self.seen._asdict(),
        }


def measure_phases(
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    calibration: Calibration | None = None,
    ignore: np.ndarray | None = None,
    samples: Sequence[np.ndarray] = (),
    level: float = 0.95,
) -> tuple[Phase, ...]:
    """Return every class of a label image as a phase.

    Parameters
    ----------
    labels : (M, N) or (P, M, N) array of int
        Class 0..K-1 of every pixel.
    classes : sequence of str
        Names of the K classes.
    calibration : Calibration, optional
        Length of a pixel; without it lengths come in px.
    ignore : array of bool, optional
        True where pixels are not specimen: they count neither as phase nor as frame, and nothing borders on them.
    samples : sequence of arrays of int
        Monte Carlo segmentations of the same image: their spread is the segmentation's share, and gives `this_image`.
    level : float
        Coverage of the intervals.

    Raises
    ------
    LabelError
        If a label is none of the classes.
    ShapeMismatchError
        If ignored pixels, a sample or the calibration do not fit the labels.

    Notes
    -----
    Boundary is counted where a line through pixel centres leaves a phase for another, along 4 directions of an image
    (13 of a volume), each standing for the directions nearest to it (`crofton.weights`). With P such crossings per
    length of line, averaged over directions, a phase of fraction f has the mean chord ``2 f / P``, the surface per
    volume ``2 P`` and, in an image, the boundary per area ``pi P / 2``. The frame itself is no boundary, so chords that
    it cuts bias nothing. Boundaries that all run along rows or columns come out 5 % too short.

    The interval asks what another frame of the same material would show. The variance of a mean over the frame is the
    sum of the covariance over all distances. Far pairs of places are noise and count less, none from a reach on that
    rests on the sum itself, and what the frame's own mean takes off is given back. The weights end softly, since behind
    a hard end the errors of a chord, whose inside and boundary all but cancel in each piece of a phase, would drown in
    noise. Boundary and chord are summed at least as far as the fraction. A fraction gets the interval of a share among
    as many independent points as would vary as much, the area over the integral range; the others are joined on the
    logarithm. Student's quantile allows for how badly a frame of few ranges shows its own variance. How often the
    intervals hold: `docs/explanation/phases.md`.

    References
    ----------
    Integral range: Lantuejoul 1991, doi:10.1111/j.1365-2818.1991.tb03138.x. A reach that rests on the sum: Sokal 1997,
    doi:10.1007/978-1-4899-0319-8_6 (for more than one dimension). Weights under which a variance is never negative:
    Wendland 1995, doi:10.1007/BF02123482. Chords and surface: Underwood 1970, Quantitative Stereology.

    Examples
    --------
    >>> stripes = np.tile([0, 0, 1, 1], (8, 4))
    >>> ground, lines = measure_phases(stripes, ("ground", "lines"))
    >>> lines.estimates["area_fraction"].value, lines.n_regions
    (0.5, 4)
    """
    labels = np.asarray(labels)
    calibration = calibration or Calibration.unknown(labels.ndim)
    if len(calibration.spacing) != labels.ndim:
        raise ShapeMismatchError(
            f"measure_phases: labels have {labels.ndim} axes, the calibration {len(calibration.spacing)}; "
            "give one length each."
        )
    for what, array in (("ignored pixels are", ignore), *((f"sample {k + 1} is", s) for k, s in enumerate(samples))):
        if array is not None and array.shape != labels.shape:
            raise ShapeMismatchError(f"measure_phases: labels are {labels.shape} but the {what} {array.shape}.")
    if labels.size and not 0 <= labels.min() <= labels.max() < len(classes):
        raise LabelError(
            f"measure_phases: labels run from {labels.min()} to {labels.max()}, but there are {len(classes)} classes "
            f"(0 to {len(classes) - 1}); name every class."
        )
    frame = _Frame(labels.shape, calibration, ignore)
    _, owner = connected_pieces(np.where(frame.valid, labels + 1, 0))
    n_regions = np.bincount(owner[1:], minlength=len(classes) + 1)[1:]
    found = []
    for k, name in enumerate(classes):
        others = [frame.values(sample == k) for sample in samples]
        found.append(frame.phase(name, labels == k, int(n_regions[k]), others, level))
    return tuple(found)


def pool_phase(
    name: str,
    images: Sequence[Seen],
    *,
    ndim: int,
    unit: str,
    rel_uncertainty: float = 0.0,
    level: float = 0.95,
) -> Phase:
    """Return a phase over several images of one material.

    Parameters
    ----------
    name : str
        Of the phase.
    images : sequence of Seen
        What each image shows of it, two or more; lengths in `unit`.
    ndim : {2, 3}
        Axes of the images.
    unit : str
        Of lengths.
    rel_uncertainty : float
        Relative standard uncertainty of the pixel size, which all images have in common.
    level : float
        Coverage of the intervals.

    Notes
    -----
    Images are weighed by their area (volume). The interval rests on the differences between images alone, whatever a
    single one says of itself: images are the sample, taken at random places of the material. With w the share that an
    image has in the area and r what it adds to the error of the sum, the variance is the sum of ``r^2 / (1 - w)``,
    without bias where the variance of an image goes with one over its area, and Student's quantile has
    ``1 / sum(w^2) - 1`` degrees of freedom. For equal images that is the variance and the quantile of ASTM E562.
    Fractions and lengths get their intervals as within one image, see `measure_phases`, and the i-th samples
    of all images are one of the whole.

    References
    ----------
    ASTM E562-19, ISO 9042:1988 (the fields are the sample; theirs ends at mean +- t s / sqrt(n), also below 0). The
    divisor 1 - w: HC2 of MacKinnon & White 1985, doi:10.1016/0304-4076(85)90158-7.

    Examples
    --------
    >>> phase = pool_phase("pore", [Seen(100.0, f, 0.1, 3) for f in (0.1, 0.2, 0.3)], ndim=2, unit="px")
    >>> round(phase.estimates["area_fraction"].value, 12), phase.n_regions
    (0.2, 9)
    """
    size = np.array([image.size for image in images])
    parts = _Images(size, ndim, unit, rel_uncertainty)
    sampled = zip(*(image.samples for image in images), strict=False)  # none where an image has none
    samples = [tuple(map(float, parts.weight @ np.array(one))) for one in sampled]
    inside, lines = (parts.weight * [getattr(image, what) for image in images] for what in ("fraction", "crossings"))
    n_regions = sum(image.n_regions for image in images)
    return parts.phase_of(name, inside, lines, float(size.sum()), n_regions, samples, level)


def phase_table(phases: Sequence[Phase]) -> pd.DataFrame:
    """Return phases as a table, a row each: ``class``, ``n_regions``, and each estimate with its ends.

    ``table.attrs["units"]`` maps columns to units. An estimate takes the columns ``NAME``, ``NAME_low``, ``NAME_high``.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    units: dict[str, str] = {}
    for phase in phases:
        row: dict[str, Any] = {"class": phase.name, "n_regions": phase.n_regions}
        for name, e in phase.estimates.items():
            row |= {name: e.value, f"{name}_low": e.low, f"{name}_high": e.high}
            units |= dict.fromkeys((name, f"{name}_low", f"{name}_high"), e.unit)
        rows.append(row)
    table = pd.DataFrame(rows)
    table.attrs["units"] = {"class": "", "n_regions": ""} | units
    return table


class _Parts:
    """A material that is seen in parts: from what each shows of a phase to estimates with intervals."""

    how: str  # the variance is found
    where: str  # a phase can be or not
    n: int  # what the estimates rest on

    def __init__(self, ndim: int, unit: str, rel_uncertainty: float) -> None:
        self.ndim, self.unit, self.rel_uncertainty = ndim, unit, rel_uncertainty

    @property
    def boundary(self) -> float:
        """Boundary per area (surface per volume) over crossings per length of line."""
        return math.pi / 2 if self.ndim == 2 else 2.0

    @property
    def weight(self) -> np.ndarray:
        """Share that each part has in the whole."""
        raise NotImplementedError

    def variance(self, rest: np.ndarray, least: int = 0) -> tuple[float, float, int]:
        """Return the variance of the sum of errors over the parts, its degrees of freedom, and how far parts go along.

        `least` is how far they do so at least.
        """
        raise NotImplementedError

    def phase_of(
        self,
        name: str,
        inside: np.ndarray,
        lines: np.ndarray,
        size: float,
        n_regions: int,
        samples: Sequence[tuple[float, ...]],
        level: float,
    ) -> Phase:
        """Return a phase.

        Parameters
        ----------
        inside, lines : arrays
            What each part adds to the fraction, and to the crossings per length of line.
        size : float
            Area (volume) of all parts.
        samples : sequence of two floats
            Fraction and crossings in each Monte Carlo segmentation.
        """
        fraction, crossings = float(inside.sum()), float(lines.sum())
        share, reach = self.share(fraction, inside, level)
        key = "area_fraction" if self.ndim == 2 else "volume_fraction"
        found = {key: combine(key, share, sample_values=[f for f, _ in samples], most=1.0, level=level)}
        # Error of each over its value, by parts.
        chord = inside / fraction - lines / crossings if crossings else None
        boundary = lines / crossings - self.weight if crossings else None
        lengths = [
            ("mean_chord", 1, 2 * fraction / crossings if crossings else math.nan, chord,
             [2 * f / p if p else math.nan for f, p in samples]),
            ("surface_per_volume", -1, 2 * crossings, boundary, [2 * p for _, p in samples]),
        ]  # fmt: skip
        if self.ndim == 2:
            scale = self.boundary
            lengths.insert(
                1, ("boundary_per_area", -1, scale * crossings, boundary, [scale * p for _, p in samples])
            )  # fmt: skip
        for key, power, value, rest, others in lengths:
            found[key] = combine(
                key,
                self.length(value, rest, reach, level),
                unit=self.unit if power == 1 else f"{self.unit}^{power}",
                power=power,
                rel_uncertainty=self.rel_uncertainty,
                sample_values=others,
                level=level,
            )
        return Phase(name, Seen(size, fraction, crossings, n_regions, samples), found)

    def share(self, fraction: float, inside: np.ndarray, level: float) -> tuple[Counting, int]:
        """Return a phase's fraction with the interval for the material, and how far its structure reaches."""
        if not 0 < fraction < 1:
            note = f"the phase {'fills' if fraction else 'is not in'} {self.where}: no variance to judge by"
            return Counting(fraction, math.nan, math.nan, self.n, "none", note), 0
        variance, dof, reach = self.variance(inside - fraction * self.weight)
        if not variance > 0:
            return Counting(fraction, math.nan, math.nan, self.n, "none", _ALIKE), reach
        widen = (student(level, dof) / student(level, math.inf)) ** 2
        n = fraction * (1 - fraction) / (variance * widen)
        low, high = (float(end) for end in proportion_interval(np.array(fraction), np.array(n), level))
        how = f"{self.how}: as sure as a share of {n:.3g} independent points"
        return Counting(fraction, min(low, fraction), max(high, fraction), self.n, how), reach

    def length(self, value: float, rest: np.ndarray | None, reach: int, level: float) -> Counting:
        """Return a length, or one over a length, whose error over its value is the sum of `rest` over the parts."""
        if rest is None:
            return Counting(value, math.nan, math.nan, self.n, "none", f"the phase has no boundary in {self.where}")
        variance, dof, _ = self.variance(rest, reach)
        if not variance > 0:
            return Counting(value, math.nan, math.nan, self.n, "none", _ALIKE)
        factor = math.exp(min(student(level, dof) * math.sqrt(variance), 700.0))
        return Counting(value, value / factor, value * factor, self.n, f"{self.how}, on the logarithm")


class _Images(_Parts):
    """Images of a material, each with its size."""

    where = "the images"

    def __init__(self, size: np.ndarray, ndim: int, unit: str, rel_uncertainty: float) -> None:
        super().__init__(ndim, unit, rel_uncertainty)
        self.n, self.how = len(size), f"spread between {len(size)} images"
        self._weight = size / size.sum()

    @property
    def weight(self) -> np.ndarray:
        return self._weight

    def variance(self, rest: np.ndarray, least: int = 0) -> tuple[float, float, int]:
        """Return the variance of a sum over the images, and its degrees of freedom; none goes along with another."""
        return float(np.sum(rest**2 / (1 - self.weight))), 1 / float(np.sum(self.weight**2)) - 1, 0


class _Frame(_Parts):
    """The pixels that are specimen, and what lines through them see of a phase."""

    how, where = "integral range", "the frame"

    def __init__(self, shape: tuple[int, ...], calibration: Calibration, ignore: np.ndarray | None) -> None:
        super().__init__(len(shape), calibration.unit, calibration.rel_uncertainty)
        self.valid = np.ones(shape, bool) if ignore is None or ignore.all() else ~ignore
        self.calibration = calibration
        self.step = max(1, math.ceil((self.valid.size / _CELLS) ** (1 / self.ndim)))
        self.n = int(np.count_nonzero(self.valid))
        steps = DIRECTIONS[:4, 1:] if self.ndim == 2 else DIRECTIONS
        # Mean over directions of crossings per length: Crofton's weights give boundary, pi / 2 (or 2) of that.
        per_area = crofton.weights(calibration.spacing) / math.prod(calibration.spacing)
        self.directions = [
            (here, there, weight / pairs)
            for (here, there), weight in zip(map(_pair, steps), per_area / self.boundary, strict=True)
            if (pairs := np.count_nonzero(self.valid[here] & self.valid[there]))
        ]

    @cached_property
    def weight(self) -> np.ndarray:
        """Share of the specimen that each cell holds."""
        return self.cells(self.valid) / self.n

    def crossings(self, mask: np.ndarray) -> Iterator[tuple[np.ndarray, tuple[slice, ...], float]]:
        """Yield, for each direction, where lines cross the phase's boundary, and what each crossing adds."""
        for here, there, weight in self.directions:
            yield (mask[here] != mask[there]) & self.valid[here] & self.valid[there], here, weight

    def values(self, mask: np.ndarray) -> tuple[float, float]:
        """Return the fraction of a phase, and the crossings of its boundary per length of line."""
        fraction = np.count_nonzero(mask & self.valid) / self.n
        return fraction, math.fsum(np.count_nonzero(crossed) * weight for crossed, _, weight in self.crossings(mask))

    def cells(self, array: np.ndarray) -> np.ndarray:
        """Return the sums of an array over the cells of the frame."""
        out = array.astype(np.float64)
        for axis in range(self.ndim):
            out = np.add.reduceat(out, np.arange(0, out.shape[axis], self.step), axis=axis)
        return out

    def phase(
        self, name: str, mask: np.ndarray, n_regions: int, samples: Sequence[tuple[float, float]], level: float
    ) -> Phase:
        """Return the phase that covers a mask; `samples` are its `values` in Monte Carlo segmentations."""
        crossed = np.zeros(mask.shape, np.float64)
        for where, here, weight in self.crossings(mask):
            crossed[here] += where * weight
        inside, lines = self.cells(mask & self.valid) / self.n, self.cells(crossed)
        size = self.n * math.prod(self.calibration.spacing)
        return self.phase_of(name, inside, lines, size, n_regions, samples, level)

    @cached_property
    def ring(self) -> np.ndarray:
        """Whole cells of distance for each shift of the padded frame."""
        square = np.zeros(())
        for n, s in zip(self.weight.shape, self.calibration.spacing, strict=True):
            square = np.add.outer(square, (np.fft.fftfreq(2 * n, 0.5 / n) * s / self.calibration.pixel_size) ** 2)
        return np.sqrt(square).astype(np.int64).ravel()

    @cached_property
    def places(self) -> np.ndarray:
        """Share of all pairs of places in the frame at each whole distance."""
        return self.pairs(self.weight)

    @cached_property
    def most(self) -> int:
        """Reach that counts half of all pairs of places: the frame knows nothing beyond."""
        reaches = range(1, len(self.places) + 1)
        return bisect_left(reaches, 0.5, hi=len(reaches) - 1, key=lambda k: float(_taper(k) @ self.places[:k])) + 1

    def pairs(self, array: np.ndarray) -> np.ndarray:
        """Return the autocorrelation summed over each whole distance."""
        size = tuple(2 * n for n in array.shape)
        product = fft.irfftn(np.abs(fft.rfftn(array, size)) ** 2, size)
        return np.bincount(self.ring, product.ravel())

    def variance(self, rest: np.ndarray, least: int = 0) -> tuple[float, float, int]:
        """Return the variance of a sum over the cells from frame to frame, its degrees of freedom, and its reach.

        Distances count up to the reach, in cells, which is `least` or more: lines alone, being thin, show a structure's
        own reach badly.
        """
        single = float(np.sum(rest**2))
        if single == 0:
            return 0.0, math.inf, 0
        own, k = self.pairs(rest), min(max(least, 1), self.most)
        ball = math.pi if self.ndim == 2 else 4 * math.pi / 3
        while True:
            taper, places = _taper(k), self.places[:k]
            variance = max(float(taper @ own[:k]) / (1 - float(taper @ places)), _LEAST * single)
            if k == self.most or k >= _REACH * (variance / single / ball) ** (1 / self.ndim):
                break
            k = min(k + max(1, k // 16), self.most)
        # The variance itself varies by twice its square times this share of pairs.
        return variance, max(1 / float(taper**2 @ places) - 1, 1.0), k


def _taper(reach: int) -> np.ndarray:
    """Return what pairs at the distances 0, 1, 2, ... below a reach count: Wendland's function phi 3,1.

    Examples
    --------
    >>> _taper(4).round(2).tolist()
    [1.0, 0.63, 0.19, 0.02]
    """
    u = np.arange(reach) / reach
    return (1 - u) ** 4 * (4 * u + 1)


def _pair(step: np.ndarray) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the slices that put every pixel beside its neighbour one step on."""
    ends = [(slice(max(-d, 0), -d if d > 0 else None), slice(max(d, 0), d if d < 0 else None)) for d in map(int, step)]
    return tuple(here for here, _ in ends), tuple(there for _, there in ends)
