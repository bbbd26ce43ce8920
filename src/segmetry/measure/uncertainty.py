"""From the spread of a sample to an interval, and from several causes to one interval.

A number that was measured on particles is uncertain for four reasons: only some of the particles were seen
(*counting*), what was found and where its outlines lie is not sure (*segmentation*), nor whether all outlines lie a
little too far out or in (*border*), nor the pixel size (*calibration*). Each cause gets its own interval; `combine`
joins them and says which share each one has.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from segmetry.types import Estimate, Interval
from segmetry.units import METRES, PIXEL

_LENGTH_POWER = re.compile(r"^(?P<base>[^\d^]+)(?:\^(?P<power>-?\d+))?$")


def length_power(unit: str) -> int:
    """Return the power of length in a unit: 1 for ``"nm"``, 2 for ``"px^2"``, -2 for ``"µm^-2"``, 0 for no length.

    Examples
    --------
    >>> [length_power(u) for u in ("nm", "px^2", "µm^-2", "", "°")]
    [1, 2, -2, 0, 0]
    """
    match = _LENGTH_POWER.match(unit.strip())
    if not match or match["base"] not in (*METRES, PIXEL):
        return 0
    return int(match["power"] or 1)


class Counting(NamedTuple):
    """A statistic and its interval from counting alone: which other particles might have been seen."""

    value: float
    low: float
    high: float
    n: int
    method: str
    note: str = ""


def student(level: float, dof: float) -> float:
    """Return the two-sided Student quantile; with ``dof=inf`` the normal one."""
    p = 0.5 + level / 2
    return float(special.ndtri(p) if not math.isfinite(dof) else special.stdtrit(dof, p))


def influence_variance(influence: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float]:
    """Return the variance of a statistic from its influence values, and the degrees of freedom.

    Parameters
    ----------
    influence : (n,) array
        What each particle adds to the error of the statistic, to first order; sums to 0.
    groups : (n,) array of int 0..G-1, optional
        Image of each particle. Particles of one image are then resampled together.

    Returns
    -------
    variance : float
        ``n / (n - 1)`` times the sum of squares (of the sums over each group).
    dof : float
        ``n - 1`` or ``G - 1``; nan if there are fewer than two.

    References
    ----------
    Infinitesimal jackknife: Jaeckel 1972; Efron 1982, doi:10.1137/1.9781611970319.
    """
    values = influence if groups is None else np.bincount(groups, influence)
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    return float(n / (n - 1) * np.sum(values**2)), float(n - 1)


def proportion_interval(p: np.ndarray, n: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of a share `p` that was seen in an effective number `n` of particles.

    Parameters
    ----------
    p : (K,) array
        Shares found, in [0, 1].
    n : (K,) array
        Effective numbers: a share from `n` equal and independent particles would vary as much.
    level : float
        Coverage.

    Returns
    -------
    low, high : (K,) arrays
        Equal-tailed Jeffreys interval; 0 where nothing was seen, 1 where everything was.

    References
    ----------
    Brown, Cai & DasGupta 2001, doi:10.1214/ss/1009213286. Effective numbers in its place: Korn & Graubard 1998,
    Survey Methodology 24:193 (they use Clopper-Pearson, which covers too much).
    """
    p, n = np.asarray(p, float), np.asarray(n, float)
    tail = (1 - level) / 2
    a, b = p * n + 0.5, (1 - p) * n + 0.5
    low = np.where(p <= 0, 0.0, special.betaincinv(a, b, tail))
    high = np.where(p >= 1, 1.0, special.betaincinv(a, b, 1 - tail))
    bad = ~(n > 0)
    return np.where(bad, np.nan, low), np.where(bad, np.nan, high)


class Arms(NamedTuple):
    """Half-widths of an interval below and above its value, on the scale where causes are joined."""

    below: float
    above: float

    @property
    def square(self) -> float:
        """Square of the mean half-width: what the shares of the causes are made of."""
        return ((self.below + self.above) / 2) ** 2


def sample_arms(value: float, samples: np.ndarray, level: float) -> Arms:
    """Return how far the truth may lie from a segmentation's value, judged by Monte Carlo segmentations of the image.

    Parameters
    ----------
    value : float
        What the segmentation itself gives.
    samples : (S,) array
        What the samples give, two or more, on the same scale.
    level : float
        Coverage.

    Notes
    -----
    The spread between samples enters as in Rubin's rule, with variance ``1 + 1/S`` times that of the samples and
    Student's quantile for S samples; so 8 samples give an interval 15 % wider than 30 with the same spread.

    Samples can lie to one side of the value: dropout makes a network miss more. Either the samples are right and the
    value is off, or the value is right and the samples are worse than it. Nothing in the image tells which, so the
    value stays and the arm towards the samples gets their distance, as a standard uncertainty of its own, in
    quadrature; its square is lowered by what the mean of S samples varies anyway. Of the ways to do this it is the
    narrowest that covers in both cases (`docs/studies/segmentation-share.md`).

    References
    ----------
    Rubin 1987, doi:10.1002/9780470316696. A bias that is known to be there but not corrected for, as a part of the
    uncertainty on its own side: Phillips, Eberhardt & Parry 1997, doi:10.6028/jres.102.039 (they add, we join in
    quadrature).

    Examples
    --------
    >>> arms = sample_arms(10.0, np.array([8.9, 9.0, 9.1]), 0.95)
    >>> arms.below > 1.96 > 1 > arms.above
    True
    """
    n = len(samples)
    variance = float(np.var(samples, ddof=1))
    spread = student(level, n - 1) * math.sqrt(variance * (1 + 1 / n))
    distance = float(np.mean(samples)) - value
    lean = student(level, math.inf) * math.sqrt(max(distance**2 - variance / n, 0.0))
    wide = math.hypot(spread, lean)
    return Arms(wide, spread) if distance < 0 else Arms(spread, wide)


def combine(
    name: str,
    counting: Counting,
    *,
    unit: str = "",
    power: float = 0,
    rel_uncertainty: float = 0.0,
    sample_values: Sequence[float] = (),
    border_values: Sequence[float] = (),
    segmentation_sd: float | None = None,
    positive: bool = True,
    most: float = math.inf,
    level: float = 0.95,
) -> Estimate:
    """Return the estimate whose interval joins counting, segmentation, border and pixel size.

    Parameters
    ----------
    name, unit : str
        Of the estimate.
    counting : Counting
        The value with its interval from counting.
    power : float
        Power of length of the value: the pixel size enters with ``power * rel_uncertainty``.
    rel_uncertainty : float
        Relative standard uncertainty of the pixel size (Gaussian).
    sample_values : sequence of float
        The same statistic from each Monte Carlo segmentation; two or more give the share of the segmentation.
    border_values : sequence of two floats
        The same statistic with all borders one standard uncertainty further in, and further out (Gaussian).
    segmentation_sd : float, optional
        Standard uncertainty of the value from the segmentation (Gaussian), where a method states it: it then takes the
        place of `sample_values`, and causes are joined on the linear scale. nan: the method says that it is unknown.
    positive : bool
        Join on the logarithmic scale, where causes multiply; else on the linear one.
    most : float
        Largest value that there can be: 1 for a share. Intervals end there.
    level : float
        Coverage of the interval.

    Returns
    -------
    estimate : Estimate
        ``this_image`` holds segmentation, border and pixel size only. It is None without `sample_values` or
        `segmentation_sd`: then the segmentation's share is unknown, and the others alone would make the value look
        surer than it is.

    Notes
    -----
    Half-widths are joined in quadrature, each side by itself, so that a lopsided interval stays lopsided (method of
    variance estimates recovery: Zou & Donner 2008, doi:10.1002/sim.3095). That is the analytic form of drawing a sample
    and then drawing particles from it. For the segmentation see `sample_arms`; the value is that of the segmentation
    itself, not the mean of the samples.
    """
    value, low, high = counting.value, counting.low, counting.high
    if segmentation_sd is not None:
        sample_values = ()
    finite = np.asarray([v for v in sample_values if math.isfinite(v)])
    moved = [v for v in border_values if math.isfinite(v)]
    log = positive and value > 0 and not low <= 0 and bool(np.all(finite > 0)) and all(v > 0 for v in moved)
    log = log and segmentation_sd is None
    to = math.log if log else float
    notes = [counting.note] if counting.note else []

    calibration = student(level, math.inf) * abs(power) * rel_uncertainty
    if not log and math.isfinite(value):
        calibration *= abs(value)
    parts = {"calibration": Arms(calibration, calibration)}
    if len(finite) >= 2 and math.isfinite(value):
        samples = np.log(finite) if log else finite
        parts["segmentation"] = sample_arms(to(value), samples, level)
        spread = float(np.std(samples, ddof=1))
        if abs(float(np.mean(samples)) - to(value)) > 3 * spread and spread > 0:
            notes.append("the value lies outside the spread of the segmentation samples")
        if len(finite) < len(sample_values):
            notes.append(
                f"{len(sample_values) - len(finite)} of {len(sample_values)} segmentation samples have no value"
            )
    elif segmentation_sd is not None and math.isfinite(segmentation_sd) and math.isfinite(value):
        half = student(level, math.inf) * segmentation_sd
        parts["segmentation"] = Arms(half, half)
    elif len(sample_values):
        notes.append("fewer than two segmentation samples have this statistic")
    if len(moved) == 2:
        border = student(level, math.inf) * abs(to(moved[1]) - to(moved[0])) / 2
        parts["border"] = Arms(border, border)
    elif len(border_values):
        notes.append("the border's share is unknown")
    common = Arms(*(math.hypot(*(getattr(p, side) for p in parts.values())) for side in Arms._fields))

    def within(low: float, high: float) -> Interval:
        return Interval(low, min(high, max(most, value)))

    def around(arms: Arms) -> Interval:
        if log:
            return within(value * math.exp(-arms.below), value * _exp(arms.above))
        return within(
            max(value - arms.below, 0.0) if positive and value >= 0 else value - arms.below, value + arms.above
        )

    known = "segmentation" in parts and (not border_values or "border" in parts)
    this_image = around(common) if known else None
    method, contributions, ends = counting.method, {}, Interval(math.nan, math.nan)
    if math.isfinite(value) and math.isfinite(low) and math.isfinite(high):
        own = Arms(max(to(value) - to(low), 0.0), max(to(high) - to(value), 0.0))
        ends = within(low, high)
        if max(common) > 0:
            ends = around(Arms(math.hypot(own.below, common.below), math.hypot(own.above, common.above)))
        parts = {"counting": own} | parts
        total = sum(part.square for part in parts.values())
        if total > 0:
            contributions = {cause: part.square / total for cause, part in parts.items()}
        others = [cause for cause, part in parts.items() if part.square > 0 and cause != "counting"]
        if others:
            joined = others[0] if len(others) == 1 else f"{', '.join(others[:-1])} and {others[-1]}"
            method += f"; joined in quadrature with {joined}"
    return Estimate(
        name,
        value,
        ends.low,
        ends.high,
        unit,
        level,
        method,
        contributions,
        this_image,
        counting.n,
        "; ".join(notes),
    )


def _exp(x: float) -> float:
    """Return exp of x, held below overflow."""
    return math.exp(min(x, 700.0))


class ParticlesNeeded(NamedTuple):
    """How many particles a wished precision takes."""

    total: float
    """Particles in all; inf where counting more does not help."""
    more: float
    """Particles to add to those already measured."""
    note: str


def particles_needed(estimate: Estimate, relative: float = 0.05) -> ParticlesNeeded:
    """Return how many particles bring an interval's half-width down to a share of the value.

    Parameters
    ----------
    estimate : Estimate
        What was found so far, such as ``distribution(table).estimates["d50"]``.
    relative : float
        Wished half-width of the interval over the value (0.05: plus or minus 5 %), at the estimate's level.

    Notes
    -----
    The part from counting shrinks with one over the root of the number; the others are taken not to (in truth a part of
    the segmentation's does), so there is a floor that no counting gets under, and then the answer is inf.

    Examples
    --------
    >>> d50 = Estimate("d50", 10.0, 9.0, 11.0, contributions={"counting": 1.0}, n=100)
    >>> particles_needed(d50, 0.05)
    ParticlesNeeded(total=400, more=300, note='')
    """
    half = (estimate.high - estimate.low) / 2 / abs(estimate.value) if estimate.value else math.nan
    if not (math.isfinite(half) and relative > 0):
        return ParticlesNeeded(math.nan, math.nan, "no interval to start from: measure a few more particles first")
    counting = half**2 * estimate.contributions.get("counting", 0.0)
    room = relative**2 - (half**2 - counting)
    if room <= 0:
        floor = math.sqrt(half**2 - counting)
        return ParticlesNeeded(
            math.inf,
            math.inf,
            f"segmentation and pixel size alone give ±{100 * floor:.1f} %: counting more does not help",
        )
    total = math.ceil(round(estimate.n * counting / room, 6))
    return ParticlesNeeded(total, max(total - estimate.n, 0), "")
