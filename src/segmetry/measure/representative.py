"""Representative volume: how far a phase fraction differs from one piece of a material to the next, by their size."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from segmetry.errors import OptionError
from segmetry.measure.spacing import checked
from segmetry.measure.uncertainty import proportion_interval, student
from segmetry.types import Calibration, Interval

_PARTS = (256, 192, 128, 96, 64, 48, 32, 28, 24, 20, 16, 14, 12, 10, 9, 8, 7, 6, 5, 4, 3, 2)
"""Into so many parts the shortest side of the frame is cut."""
_FAR = 4.0
"""Blocks that are fitted hold at least so many integral ranges."""
_APART = 16.0
"""The frame holds one independent variance for each so many ranges."""


@dataclass(frozen=True, eq=False)
class Representative:
    """What blocks of a sample say of the material's phase fraction.

    Parameters
    ----------
    fraction : float
        Of the whole sample.
    integral_range : float
        Volume (in an image area) A such that a large volume V has the variance fraction (1 - fraction) A / V; nan where
        the sample is too small to tell, or has one phase only.
    range_interval : Interval
        Of A, at `level`: from the scatter of the variances.
    sizes : (K,) array
        Volume of the blocks, rising.
    variances : (K,) array
        Variance of the fraction between blocks of each size.
    n_blocks : (K,) array of int
        How many there are.
    size : float
        Volume of the whole sample.
    unit : str
        Of lengths.
    ndim : int
        2 or 3.
    level : float
        Coverage of all intervals.
    note : str
        Why the integral range is nan.
    """

    fraction: float
    integral_range: float
    range_interval: Interval
    sizes: np.ndarray
    variances: np.ndarray
    n_blocks: np.ndarray
    size: float
    unit: str
    ndim: int
    level: float
    note: str = ""

    def interval(self, size: float | None = None) -> Interval:
        """Return the interval of the material's fraction as seen in a piece of that volume (by default the sample).

        It takes the sample's fraction as that of the piece, which holds as many independent points as its volume has
        integral ranges. The upper end of the range stands for it, since a range too small makes intervals too narrow.
        """
        high = self.range_interval.high
        if not math.isfinite(high):
            return Interval(math.nan, math.nan)
        n = np.array([(self.size if size is None else _positive("size", size)) / high])
        low, top = proportion_interval(np.array([self.fraction]), n, self.level)
        return Interval(float(low[0]), float(top[0]))

    def size_for(self, error: float, *, relative: bool = True, n: int = 1) -> float:
        """Return the volume of each of n pieces whose mean fraction errs by at most `error` (at `level`).

        Parameters
        ----------
        error : float
            Half width of the interval, as a share of the fraction or, if not `relative`, as a fraction itself.
        relative : bool
        n : int
            Pieces taken far from each other.

        Examples
        --------
        >>> seen = Representative(
        ...     0.2, 50.0, Interval(40, 60), np.zeros(0), np.zeros(0), np.zeros(0, int), 1e6, "px", 3, 0.95
        ... )
        >>> round(seen.size_for(0.05) ** (1 / 3), 1)
        67.5
        """
        wanted = _positive("error", error) * (self.fraction if relative else 1)
        if n < 1:
            raise OptionError(f"size_for: n counts pieces, from 1 on; got {n!r}.")
        if wanted == 0:
            return math.nan
        variance = self.fraction * (1 - self.fraction) * self.integral_range
        return student(self.level, math.inf) ** 2 * variance / (wanted**2 * n)


def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise OptionError(f"representative volume: {name} must be positive and finite, got {value!r}.")
    return value


def representative(mask: np.ndarray, *, calibration: Calibration | None = None, level: float = 0.95) -> Representative:
    """Return the variance of a phase's fraction between blocks of rising size, and the integral range behind it.

    Parameters
    ----------
    mask : (M, N) or (P, M, N) array of bool
        The phase, in a frame that holds nothing but the material.
    calibration : Calibration, optional
    level : float
        Coverage of intervals.

    Raises
    ------
    ImageError, ShapeMismatchError
        If the mask holds no pixel, or the calibration does not fit.
    OptionError
        If the level is not between 0 and 1.

    Notes
    -----
    The frame is cut into equal blocks, cubes as far as whole pixels allow, from a pixel to an eighth of the frame (a
    quarter in 2D). With n - 1 in the divisor their variance is that between n independent blocks. Of a large block of
    volume V it is ``fraction (1 - fraction) A / V``, of smaller ones less, since the neighbourhood of points near their
    faces is cut off. How much less is taken from a structure whose covariance falls like the overlap of two balls
    (disks), which fits single grains well; A is fitted with that to the blocks that hold four ranges or more, each
    variance by its number of blocks. For a covariance with a long tail, as of large and small grains together, A comes
    out too small.

    The interval of A is Student's on the logarithm, as if the frame held one independent variance for each 16 ranges:
    twice to four times as many blocks as there are lie next to each other and are alike. That figure was chosen on
    simulated structures; how often intervals hold: `docs/explanation/volumes.md`. A structure with reaches as long as
    the frame is not seen.

    Kanit et al. leave the exponent of V free; A has a meaning as a volume only for exponent 1, which holds wherever the
    covariance has a finite sum.

    References
    ----------
    Lantuejoul, J. Microsc. 161, 387 (1991), doi:10.1111/j.1365-2818.1991.tb03138.x.
    Kanit et al., Int. J. Solids Struct. 40, 3647 (2003), doi:10.1016/S0020-7683(03)00143-4.
    """
    mask = np.asarray(mask, bool)
    calibration = checked(mask, calibration, "representative")
    if not 0 < level < 1:
        raise OptionError(f"representative: the level is between 0 and 1, got {level!r}.")
    pixel = math.prod(calibration.spacing)
    fraction, size = float(mask.mean()), mask.size * pixel
    sums = mask.astype(np.float64)
    for axis in range(mask.ndim):
        sums = np.cumsum(sums, axis=axis)
    sums = np.pad(sums, [(1, 0)] * mask.ndim)
    blocks = _blocks(mask.shape, calibration.spacing)
    found = [_variance(sums, block) for block in blocks]
    sizes = np.array([math.prod(block) * pixel for block in blocks])
    variances, n_blocks = np.array([v for v, _ in found]), np.array([n for _, n in found], np.int64)
    value, interval, note = _fit(sizes, variances, n_blocks, fraction, size, mask.ndim, level)
    return Representative(
        fraction, value, interval, sizes, variances, n_blocks, size, calibration.unit, mask.ndim, level, note
    )


def _blocks(shape: tuple[int, ...], spacing: tuple[float, ...]) -> list[tuple[int, ...]]:
    """Return the shapes of blocks, cubes as far as whole pixels allow, the smallest first."""
    shortest = min(n * s for n, s in zip(shape, spacing, strict=True))
    found = []
    for parts in _PARTS:
        block = tuple(max(int(shortest / parts / s + 1e-9), 1) for s in spacing)
        if block not in found and math.prod(n // b for n, b in zip(shape, block, strict=True)) >= 2 ** len(shape):
            found.append(block)
    return found


def _variance(sums: np.ndarray, block: tuple[int, ...]) -> tuple[float, int]:
    """Return the variance of the fraction between blocks laid side by side, from sums over all corners, and how many.

    What is left over at the far ends of the frame is shared out to both ends.
    """
    for axis, side in enumerate(block):
        n = sums.shape[axis] - 1
        corners = np.arange(n % side // 2, n + 1, side)
        sums = np.diff(sums.take(corners, axis), axis=axis)
    fractions = sums / math.prod(block)
    return float(fractions.var(ddof=1)), fractions.size


def _fit(
    sizes: np.ndarray,
    variances: np.ndarray,
    n_blocks: np.ndarray,
    fraction: float,
    whole: float,
    ndim: int,
    level: float,
) -> tuple[float, Interval, str]:
    """Return the integral range, its interval, and why it is nan."""
    nothing = Interval(math.nan, math.nan)
    if not 0 < fraction < 1:
        return math.nan, nothing, "one phase fills the frame: no variance to judge by"
    if sizes.size == 0:
        return math.nan, nothing, "the frame is too small to be cut into blocks"
    seen = variances * sizes / (fraction * (1 - fraction))
    ranges, shares = _seen_share(ndim)
    value = float(seen.max())
    for _ in range(100):  # which blocks are large enough depends on the range itself
        far = sizes >= _FAR * value
        dof = whole / (_APART * value) if value else 0.0
        if not far.any() or dof < 1:
            return math.nan, nothing, "the structure is as coarse as the frame: take a larger sample"
        share = np.interp(sizes[far] / value, ranges, shares)
        before, value = value, float(np.average(seen[far] / share, weights=n_blocks[far] - 1))
        if abs(value - before) <= 1e-6 * value:
            break
    factor = math.exp(student(level, dof) * math.sqrt(2 / dof))
    return value, Interval(value / factor, value * factor), ""


@functools.cache
def _seen_share(ndim: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what share of the integral range blocks see, by their volume in ranges (rising), in the model structure.

    Its covariance at a distance u (in diameters) is the overlap of two balls (disks) of diameter 1, over their content.
    """
    u = (np.arange(40) + 0.5) / 40
    axes = np.meshgrid(*[u] * ndim, indexing="ij")
    h = np.minimum(np.sqrt(sum(a * a for a in axes)), 1)
    covariance = 2 / math.pi * (np.arccos(h) - h * np.sqrt(1 - h * h)) if ndim == 2 else 1 - 1.5 * h + 0.5 * h**3
    whole = covariance.mean() * 2**ndim
    sides = np.geomspace(0.3, 100, 60)
    seen = [(covariance * math.prod(np.maximum(1 - a / side, 0) for a in axes)).mean() * 2**ndim for side in sides]
    return sides**ndim / whole, np.array(seen) / whole
