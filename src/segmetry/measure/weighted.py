"""Statistics of weighted particles, each with an interval from counting.

A `Sample` holds one value and one weight per particle. Every statistic comes as a `Counting`: value, interval for the
population, and how the interval was made. With equal weights they are the textbook ones; unequal weights and images as
groups enter through an *effective number*: as many equal and independent particles as would vary as much.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import special

from segmetry.measure.uncertainty import Counting, influence_variance, student

SMALLEST = 3
"""Particles below which no interval is given."""

_MODE_SMALLEST, _MODE_BINS, _MODE_DRAWS = 10, 512, 400
_EQUAL = "all particles are equal: the interval has no width"


@dataclass(frozen=True, eq=False)
class Sample:
    """Values with weights, sorted by value.

    Parameters
    ----------
    x : (n,) array of float
        Values, finite.
    w : (n,) array of float
        Weights, positive and finite.
    groups : (n,) array of int 0..G-1, or None
        Image of each particle: where given, images are what is resampled.
    """

    x: np.ndarray
    w: np.ndarray
    groups: np.ndarray | None = None
    positive: bool = field(init=False)

    def __post_init__(self) -> None:
        order = np.argsort(self.x, kind="stable")
        object.__setattr__(self, "x", np.asarray(self.x, float)[order])
        object.__setattr__(self, "w", np.asarray(self.w, float)[order])
        if self.groups is not None:
            object.__setattr__(self, "groups", self.groups[order])
        object.__setattr__(self, "positive", bool(len(self.x) and self.x[0] > 0))

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def n_effective(self) -> float:
        """Kish's effective number: (sum w)^2 / sum w^2."""
        return float(self.w.sum() ** 2 / np.sum(self.w**2)) if len(self) else 0.0

    @cached_property
    def position(self) -> np.ndarray:
        """(n,) array: share of the weight below each particle, half of its own counted (mid-point, Hazen 1914)."""
        return (np.cumsum(self.w) - self.w / 2) / self.w.sum()

    def reweighted(self, power: float) -> Sample:
        """Return the sample with weights times ``x**power``."""
        return Sample(self.x, self.w * self.x**power, self.groups)


def quantile(sample: Sample, p: float) -> float:
    """Return the weighted quantile: the value whose mid-point position is `p`, linear between particles.

    With equal weights this is Hazen's definition (NumPy's ``method="hazen"``): symmetric, right for the median, and of
    small bias for D10 and D90. Doubling a weight moves it as doubling the particle does, up to O(1/n).
    """
    if not len(sample):
        return math.nan
    return float(np.interp(p, sample.position, sample.x))


def mean(sample: Sample) -> float:
    """Return the weighted mean."""
    return float(np.sum(sample.w * sample.x) / sample.w.sum()) if len(sample) else math.nan


def log_moments(sample: Sample) -> tuple[float, float]:
    """Return weighted mean and variance (divisor: sum of weights) of the natural logarithm."""
    if not sample.positive:
        return math.nan, math.nan
    y = np.log(sample.x)
    mu = float(np.sum(sample.w * y) / sample.w.sum())
    return mu, float(np.sum(sample.w * (y - mu) ** 2) / sample.w.sum())


def geometric_sd(sample: Sample) -> float:
    """Return exp of the standard deviation of ln x, with the divisor n - 1 (n: the effective number)."""
    n = sample.n_effective
    return math.exp(math.sqrt(log_moments(sample)[1] * n / (n - 1))) if sample.positive and n > 1 else math.nan


def _share_below(sample: Sample, p: float) -> np.ndarray:
    """Return which share of each particle's weight lies below the p-quantile; the weighted mean of it is p."""
    upper = np.cumsum(sample.w)
    return np.clip((p * upper[-1] - (upper - sample.w)) / sample.w, 0.0, 1.0)


def effective_number(sample: Sample, p: float) -> float:
    """Return of how many equal particles the share `p` would vary as much as in this sample.

    References
    ----------
    Korn & Graubard 1998, Survey Methodology 24:193 (also for the correction by Student's quantiles, and the cap).
    """
    share, total = _share_below(sample, p), sample.w.sum()
    kish = sample.n_effective
    if sample.groups is None:
        # A particle that the quantile cuts counts as two parts, so that equal weights give exactly n.
        square = share * (1 - p) ** 2 + (1 - share) * p**2
        return p * (1 - p) / float(np.sum(sample.w**2 * square) / total**2)
    variance, dof = influence_variance(sample.w * (share - p) / total, sample.groups)
    if not variance > 0:
        return kish
    shrink = (student(0.95, max(len(sample) - 1, 1)) / student(0.95, dof)) ** 2
    return min(p * (1 - p) / variance * shrink, kish)


def quantile_counting(sample: Sample, p: float, level: float) -> Counting:
    """Return the p-quantile with its interval from order statistics.

    Notes
    -----
    The k-th of n particles has Beta(k, n + 1 - k) of the population below it. The ends are the (fractional) k for
    which the p-quantile lies outside with half of ``1 - level`` each (Hutson 1999, doi:10.1080/02664769922458), with
    the effective number for n. No distribution is assumed, except where the wished k lies beyond the smallest or the
    largest particle (D10 and D90 of fewer than 36): there the end comes from the exact limit for a log-normal
    (non-central t), and a note says so.
    """
    value, n = quantile(sample, p), len(sample)
    if n < SMALLEST:
        return Counting(value, math.nan, math.nan, n, "none", _too_few(n))
    m, x, position = effective_number(sample, p), sample.x, sample.position
    ends, notes = [], ""
    for tail, last in ((0.5 + level / 2, 0), (0.5 - level / 2, -1)):
        k = _order(p, m, tail)
        u = (k - 0.5) / m
        inside = position[0] <= u <= position[-1]
        if inside:
            ends.append(float(np.interp(u, position, x)))
        else:
            reach = _lognormal_limit(sample, p, m, 1 - tail)
            ends.append(min(reach, float(x[0])) if last == 0 else max(reach, float(x[-1])))
            what = f"{n} particles are" if sample.groups is None else f"{len(np.unique(sample.groups))} images are"
            notes = f"{what} few for this quantile: an end rests on a log-normal tail"
    return Counting(value, ends[0], ends[1], n, _by(sample, "order statistics"), notes)


def _order(p: float, n: float, tail: float) -> float:
    """Return the fractional k for which Beta(k, n + 1 - k) has probability `tail` below p; it may fall outside 1..n."""
    tiny = 1e-9
    k_max = n + 1 - tiny
    if special.betainc(tiny, k_max, p) < tail:
        return 0.0
    if special.betainc(k_max, tiny, p) > tail:
        return n + 1
    low, high = tiny, k_max  # the probability falls with k
    while high - low > 1e-7 * n:
        k = (low + high) / 2
        low, high = (k, high) if special.betainc(k, n + 1 - k, p) > tail else (low, k)
    return (low + high) / 2


def _lognormal_limit(sample: Sample, p: float, n: float, tail: float) -> float:
    """Return the confidence limit of the p-quantile for a log-normal (for a normal where values are not positive)."""
    y = np.log(sample.x) if sample.positive else sample.x
    n = max(n, 2.0)
    centre = float(np.sum(sample.w * y) / sample.w.sum())
    spread = math.sqrt(float(np.sum(sample.w * (y - centre) ** 2) / sample.w.sum()) * n / (n - 1))
    if spread == 0:
        return float(sample.x[0])
    shift = special.nctdtrit(n - 1, special.ndtri(p) * math.sqrt(n), tail) / math.sqrt(n)
    reach = centre + spread * float(shift)
    return _exp(reach) if sample.positive else reach


def mean_counting(sample: Sample, level: float) -> Counting:
    """Return the weighted mean with its interval: Student's t, with Hall's correction for skewness.

    References
    ----------
    Hall 1992, doi:10.1111/j.2517-6161.1992.tb01872.x (the cubic transformation).
    """
    n, value = len(sample), mean(sample)
    if n < SMALLEST:
        return Counting(value, math.nan, math.nan, n, "none", _too_few(n))
    influence = sample.w * (sample.x - value) / sample.w.sum()
    variance, dof = influence_variance(influence, sample.groups)
    if not variance > 0:
        return Counting(value, value, value, n, "no spread", _EQUAL)
    parts = influence if sample.groups is None else np.bincount(sample.groups, influence)
    skewness = float(np.sum(parts * parts * parts)) / variance**1.5
    t = student(level, max(min(dof, sample.n_effective - 1), 1.0))
    error = math.sqrt(variance)
    low, high = (value - error * _hall(sign * t, skewness) for sign in (1, -1))
    if sample.positive and low <= 0:
        low = value * math.exp(-t * error / value)
    return Counting(value, low, high, n, _by(sample, "Student's t corrected for skewness"), _few_carry(sample))


def _hall(t: float, skewness: float) -> float:
    """Return the quantile of a studentised mean of the given skewness (already over the root of n)."""
    a = skewness / 3
    if abs(a) < 1e-6:
        return t
    return (float(np.cbrt(1 + 3 * a * (t - skewness / 6))) - 1) / a


def geometric_sd_counting(sample: Sample, level: float) -> Counting:
    """Return the geometric standard deviation with an interval that allows for kurtosis.

    References
    ----------
    Bonett 2006, doi:10.1016/j.csda.2004.10.003, on ln x, with the effective number for n.
    """
    n, value = len(sample), geometric_sd(sample)
    if not sample.positive:
        return Counting(math.nan, math.nan, math.nan, n, "none", _not_positive(n))
    if n < SMALLEST:
        return Counting(value, math.nan, math.nan, n, "none", _too_few(n))
    y, total = np.log(sample.x), sample.w.sum()
    mu, square = log_moments(sample)
    if square <= 0:
        return Counting(value, 1.0, 1.0, n, "no spread", _EQUAL)
    variance, _ = influence_variance(sample.w * ((y - mu) ** 2 / square - 1) / total, sample.groups)
    kurtosis = float(np.sum(sample.w * ((y - mu) ** 2) ** 2) / total) / square**2
    m = min((kurtosis - 1) / variance, sample.n_effective) if variance > 0 else sample.n_effective
    z = student(level, math.inf)
    m = max(m, z + 1)
    cut = int(n * min(1 / (2 * math.sqrt(max(n - 4, 1))), 0.49))
    trimmed = np.average(y[cut : n - cut], weights=sample.w[cut : n - cut])
    fourth = max(float(np.sum(sample.w * ((y - trimmed) ** 2) ** 2) / total) / square**2, kurtosis)
    c = m / (m - z)
    half = z * c * math.sqrt(max(fourth - (m - 3) / m, 0.0) / (m - 1))
    log_square = math.log(c * math.log(value) ** 2)
    low, high = (_exp(_exp((log_square + sign * half) / 2)) for sign in (-1, 1))
    return Counting(value, low, high, n, _by(sample, "Bonett's interval on ln x"), _few_carry(sample))


def span(sample: Sample) -> float:
    """Return (D90 - D10) / D50."""
    d10, d50, d90 = (quantile(sample, p) for p in (0.1, 0.5, 0.9))
    return (d90 - d10) / d50 if d50 > 0 else math.nan


def span_counting(sample: Sample, level: float) -> Counting:
    """Return (D90 - D10) / D50 with an interval by the delta method on its logarithm.

    The errors of the three quantiles are those of their own intervals; their correlation comes from the particles.
    """
    n, value = len(sample), span(sample)
    if n < SMALLEST:
        return Counting(value, math.nan, math.nan, n, "none", _too_few(n))
    if math.isnan(value):
        return Counting(math.nan, math.nan, math.nan, n, "none", "needs a median above 0")
    quantiles = [quantile_counting(sample, p, level) for p in (0.1, 0.5, 0.9)]
    d10, d50, d90 = (q.value for q in quantiles)
    if not d90 > d10:
        return Counting(value, value, value, n, "no spread", _EQUAL)
    slopes = (-1 / (d90 - d10), -1 / d50, 1 / (d90 - d10))
    z, total = student(level, math.inf), sample.w.sum()
    influence = np.zeros(n)
    for p, q, slope in zip((0.1, 0.5, 0.9), quantiles, slopes):
        plain = (p - _share_below(sample, p)) * sample.w / total
        norm = math.sqrt(p * (1 - p) / effective_number(sample, p))
        influence += slope * plain * (q.high - q.low) / (2 * z) / norm
    variance, dof = influence_variance(influence, sample.groups)
    half = student(level, max(min(dof, sample.n_effective - 1), 1.0)) * math.sqrt(variance)
    factor = _exp(half)
    note = "; ".join(dict.fromkeys(q.note for q in quantiles if q.note))
    return Counting(value, value / factor, value * factor, n, _by(sample, "delta method on ln span"), note)


def lognormal_median_counting(sample: Sample, level: float) -> Counting:
    """Return the median of the log-normal fit, exp of the mean of ln x, with Student's interval."""
    n = len(sample)
    if not sample.positive:
        return Counting(math.nan, math.nan, math.nan, n, "none", _not_positive(n))
    logs = mean_counting(Sample(np.log(sample.x), sample.w, sample.groups), level)
    return logs._replace(value=_exp(logs.value), low=_exp(logs.low), high=_exp(logs.high))


def lognormal_gsd(sample: Sample) -> float:
    """Return the geometric standard deviation of the log-normal fit (maximum likelihood, no correction of divisor)."""
    return math.exp(math.sqrt(log_moments(sample)[1])) if sample.positive else math.nan


def lognormal_gsd_counting(sample: Sample, level: float) -> Counting:
    """Return the spread of the log-normal fit with the chi-square interval that holds if the sizes *are* log-normal.

    With weights, the effective number is that of the variance of ln x.
    """
    n, value, m = len(sample), lognormal_gsd(sample), sample.n_effective
    if not sample.positive:
        return Counting(math.nan, math.nan, math.nan, n, "none", _not_positive(n))
    y = np.log(sample.x)
    mu, square = log_moments(sample)
    if square > 0:
        error = (y - mu) ** 2 / square - 1
        even = float(np.sum(sample.w * error**2) / sample.w.sum())
        variance, _ = influence_variance(sample.w * error / sample.w.sum(), sample.groups)
        m = min(even / variance, m) if variance > 0 else m
    if n < SMALLEST or m < 2:
        note = _too_few(n) if n < SMALLEST else "fewer than two particles carry the weight: no interval"
        return Counting(value, math.nan, math.nan, n, "none", note)
    tail, square = 0.5 - level / 2, m * math.log(value) ** 2
    low, high = (_exp(math.sqrt(square / special.chdtri(m - 1, p))) for p in (tail, 1 - tail))
    return Counting(value, low, high, n, "chi-square, if the sizes are log-normal", _few_carry(sample))


def lognormal_distance(sample: Sample) -> float:
    """Return the Kolmogorov-Smirnov distance between the sample and its log-normal fit."""
    mu, square = log_moments(sample)
    if not (sample.positive and square > 0):
        return math.nan
    fitted = special.ndtr((np.log(sample.x) - mu) / math.sqrt(square))
    upper = np.cumsum(sample.w) / sample.w.sum()
    lower = np.concatenate([[0.0], upper[:-1]])
    return float(max(np.max(upper - fitted), np.max(fitted - lower)))


class _Kernel:
    """Weights of a sample on a fine grid of ln x (or x), and the kernel that smooths them."""

    def __init__(self, sample: Sample) -> None:
        y = np.log(sample.x) if sample.positive else sample.x
        self.sample, self.positive = sample, sample.positive
        self.centre = float(np.sum(sample.w * y) / sample.w.sum())
        self.spread = math.sqrt(float(np.sum(sample.w * (y - self.centre) ** 2) / sample.w.sum()))
        if self.spread <= 1e-9 * max(1.0, abs(self.centre)):  # equal values, but for rounding
            self.spread = 0.0
            return
        quartiles = np.interp([0.25, 0.75], sample.position, y)
        scale = min(self.spread, float(np.diff(quartiles)[0]) / 1.349) or self.spread
        width = 0.9 * scale * sample.n_effective**-0.2
        y = self.centre + (y - self.centre) / math.sqrt(1 + (width / self.spread) ** 2)
        low = y[0] - 4 * width
        step = (y[-1] + 4 * width - low) / _MODE_BINS
        self.width = width / step
        self.index = np.minimum(((y - low) / step).astype(np.int64), _MODE_BINS - 1)
        self.grid = low + (np.arange(_MODE_BINS) + 0.5) * step
        self.weights = np.bincount(self.index, sample.w, _MODE_BINS)

    def mode(self, weights: np.ndarray) -> np.ndarray:
        # A circular convolution: the grid reaches four widths beyond the sample on both sides.
        frequency = np.fft.rfftfreq(_MODE_BINS)
        gauss = np.exp(-2 * (math.pi * self.width * frequency) ** 2)
        density = np.fft.irfft(np.fft.rfft(weights) * gauss, _MODE_BINS)
        if self.positive:
            density = density * np.exp(-(self.grid - self.centre))
        top = self.grid[np.argmax(density, axis=-1)]
        return np.exp(top) if self.positive else top

    def draws(self, n: int, rng: np.random.Generator) -> np.ndarray:
        groups, w = self.sample.groups, self.sample.w
        if groups is None:
            # Each particle is drawn a Poisson number of times; a bin of unequal weights has the same mean and variance.
            squares = np.bincount(self.index, w**2, _MODE_BINS)
            unit = np.divide(squares, self.weights, out=np.ones(_MODE_BINS), where=self.weights > 0)
            return rng.poisson(self.weights / unit, (n, _MODE_BINS)) * unit
        n_groups = int(groups.max()) + 1
        each = np.bincount(groups * _MODE_BINS + self.index, w, n_groups * _MODE_BINS).reshape(n_groups, -1)
        return rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), n) @ each


def mode(sample: Sample) -> float:
    """Return the most frequent value: the top of a kernel density.

    Notes
    -----
    The density is that per unit of x (not of ln x), from a Gaussian kernel on ln x (on x where values are not all
    positive) with Silverman's width, shrunk towards the mean so that the kernel does not widen the distribution
    (Jones 1991, doi:10.1016/0167-7152(91)90116-9): the mode of a log-normal comes out right.
    """
    if len(sample) < SMALLEST:
        return mean(sample)
    kernel = _Kernel(sample)
    return float(kernel.mode(kernel.weights)) if kernel.spread else float(sample.x[0])


def mode_counting(sample: Sample, level: float, rng: np.random.Generator) -> Counting:
    """Return the mode with a percentile interval of a bootstrap; it is the least certain of all positions."""
    n = len(sample)
    if n < SMALLEST:
        return Counting(mode(sample), math.nan, math.nan, n, "none", _too_few(n))
    kernel = _Kernel(sample)
    if kernel.spread == 0:
        x = float(sample.x[0])
        return Counting(x, x, x, n, "no spread", _EQUAL)
    value = float(kernel.mode(kernel.weights))
    if n < _MODE_SMALLEST:
        return Counting(value, math.nan, math.nan, n, "none", f"{n} particles are too few for an interval of the mode")
    tail = 0.5 - level / 2
    low, high = np.quantile(kernel.mode(kernel.draws(_MODE_DRAWS, rng)), [tail, 1 - tail])
    low, high = min(float(low), value), max(float(high), value)
    return Counting(value, low, high, n, f"percentile bootstrap of a kernel density, {_units(sample)} resampled")


@dataclass(frozen=True)
class Statistic:
    """One statistic of a size distribution; the table `STATISTICS` is the only list of them."""

    name: str
    ratio: bool
    """Whether it has no unit (else it has the unit of the measure)."""
    value: Callable[[Sample], float]
    counting: Callable[[Sample, float, np.random.Generator], Counting]
    meaning: str


def _quantile_statistic(name: str, p: float, meaning: str) -> Statistic:
    return Statistic(name, False, lambda s: quantile(s, p), lambda s, level, _: quantile_counting(s, p, level), meaning)


STATISTICS: dict[str, Statistic] = {
    s.name: s
    for s in (
        _quantile_statistic("d10", 0.1, "10 % of the weight lies below it"),
        _quantile_statistic("d50", 0.5, "median: half of the weight lies below it"),
        _quantile_statistic("d90", 0.9, "90 % of the weight lies below it"),
        Statistic("span", True, span, lambda s, level, _: span_counting(s, level), "(D90 - D10) / D50"),
        Statistic("mean", False, mean, lambda s, level, _: mean_counting(s, level), "weighted mean"),
        Statistic("mode", False, mode, mode_counting, "most frequent value, the top of a kernel density"),
        Statistic(
            "gsd",
            True,
            geometric_sd,
            lambda s, level, _: geometric_sd_counting(s, level),
            "geometric standard deviation, exp of the standard deviation of ln x",
        ),
        Statistic(
            "lognormal_median",
            False,
            lambda s: math.exp(log_moments(s)[0]),
            lambda s, level, _: lognormal_median_counting(s, level),
            "median of the log-normal fit",
        ),
        Statistic(
            "lognormal_gsd",
            True,
            lognormal_gsd,
            lambda s, level, _: lognormal_gsd_counting(s, level),
            "geometric standard deviation of the log-normal fit",
        ),
    )
}
"""What `distribution` gives for every measure."""


def _exp(x: float) -> float:
    """Return exp of x, held below overflow: such an end says that nothing is known on its side."""
    return math.exp(min(x, 700.0))


def _units(sample: Sample) -> str:
    return "particles" if sample.groups is None else "images"


def _by(sample: Sample, how: str) -> str:
    """Return how an interval was made, and what varies independently in it."""
    return f"{how}, {_units(sample)} independent"


def _too_few(n: int) -> str:
    return f"{n} particle{'' if n == 1 else 's'}: too few for an interval"


def _not_positive(n: int) -> str:
    return "needs values above 0" if n else _too_few(0)


def _few_carry(sample: Sample) -> str:
    m = sample.n_effective
    if m < 10 and m < 0.7 * len(sample):
        return f"the weight rests on few particles (as many as {m:.1f} equal ones): the interval may be too narrow"
    return ""
