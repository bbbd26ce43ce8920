"""Features of every pixel at several scales: what a classifier of pixels learns from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np

from segmetry.errors import ImageError
from segmetry.options import Options, option
from segmetry.prepare import feature_kernels as kernels
from segmetry.prepare.hessian import symmetric_eigenvalues

Place = tuple[slice, ...]
"""A block of an image: first index, and one after the last, along each axis."""

OUTER = 1.0
"""Standard deviation of the window of the structure tensor, in that of the Gaussian under it."""

COARSE = 2.0
"""Along an axis on which a smoothed image has at least this standard deviation, in samples, every other is left out."""

BLOCK = {2: (256, 512), 3: (48, 64, 64)}
"""Sides of a block in px, by the number of axes."""


@dataclass(frozen=True, kw_only=True)
class Features(Options):
    """Scales of the features of a pixel: the first, and as many doublings as are told."""

    name: ClassVar[str] = "features"

    first: float = option(1.0, "standard deviation of the finest Gaussian", unit="px", low=0.3, high=16)
    scales: int = option(5, "number of scales, each twice the one before", low=1, high=8)

    @property
    def sigmas(self) -> tuple[float, ...]:
        """Standard deviation of each scale, px of the finest axis."""
        return tuple(self.first * 2**k for k in range(self.scales))


class _Scale(NamedTuple):
    """A scale: its level, and along each axis px per sample and, in samples, what smooths the level and the result."""

    sigma: float
    level: int
    steps: tuple[int, ...]
    grow: tuple[float, ...]
    local: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Levels:
    """An image and its coarser copies, from which features of any block are made.

    Parameters
    ----------
    arrays : tuple of (C, *S) arrays
        The image, then copies that are smoothed and have half the samples along the axes where that loses nothing.
    scales : tuple
        Which level each scale comes from, and how.
    """

    arrays: tuple[Any, ...]
    scales: tuple[_Scale, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Sides of the image in px."""
        return tuple(self.arrays[0].shape[1:])

    @property
    def n_features(self) -> int:
        """Number of features of a pixel."""
        return len(self.arrays[0]) * len(self.scales) * _n_maps(len(self.shape))


def feature_names(features: Features, *, n_axes: int = 2, n_channels: int = 1) -> tuple[str, ...]:
    """Return the name of each feature, in their order.

    Examples
    --------
    >>> feature_names(Features(scales=1))[:4]
    ('gaussian 1', 'difference 1', 'gradient 1', 'laplacian 1')
    """
    order = ("small", "large") if n_axes == 2 else ("small", "middle", "large")
    maps = [
        "gaussian",
        "difference",
        "gradient",
        "laplacian",
        *(f"hessian {which}" for which in order),
        *(f"structure {which}" for which in order),
    ]
    channels = [""] if n_channels == 1 else [f"channel {c + 1}: " for c in range(n_channels)]
    return tuple(f"{c}{name} {sigma:g}" for c in channels for sigma in features.sigmas for name in maps)


def image_features(
    image: np.ndarray, features: Features | None = None, *, spacing: Sequence[float] | None = None
) -> np.ndarray:
    """Return the features of every pixel.

    Parameters
    ----------
    image : (M, N) or (P, M, N) array of real numbers
        All finite. For several channels, or blocks of a large volume, see `levels_of` and `block_features`.
    features : Features, optional
    spacing : tuple of float, optional
        Length of a pixel along each axis; only ratios count.

    Returns
    -------
    maps : (F, M, N) or (F, P, M, N) float32 array
        In the order of `feature_names`.

    Notes
    -----
    Of each scale: the Gaussian; its difference to the next finer scale (to the image itself at the first); length of
    the gradient; Laplacian; eigenvalues of the Hessian and of the structure tensor, rising. Derivatives are
    differences of the smoothed image, times the standard deviation for each order, so that scales compare.

    A standard deviation counts pixels of the finest axis: of a volume with planes three times as far apart as rows, it
    is a third as many planes. Where it reaches two samples every other is left out and the features of coarser scales
    are interpolated linearly. The image goes on as in a mirror, about the centre of its outermost pixels.

    References
    ----------
    Lindeberg, Int. J. Comput. Vis. 30, 79 (1998), doi:10.1023/A:1008045108935 (derivatives normalised by scale);
    Burt & Adelson, IEEE Trans. Commun. 31, 532 (1983), doi:10.1109/TCOM.1983.1095851 (pyramid); the choice of features
    is that of interactive programs: Arganda-Carreras et al., Bioinformatics 33, 2424 (2017),
    doi:10.1093/bioinformatics/btx180; Berg et al., Nat. Methods 16, 1226 (2019), doi:10.1038/s41592-019-0582-9.

    Examples
    --------
    >>> image_features(np.eye(32, dtype=np.float32), Features(scales=3)).shape
    (24, 32, 32)
    """
    levels = levels_of(np.asarray(image)[np.newaxis], features, spacing=spacing)
    out = np.empty((levels.n_features, *levels.shape), np.float32)
    for place in blocks(levels.shape):
        out[(slice(None), *place)] = block_features(levels, place)
    return out


def levels_of(channels: Any, features: Features | None = None, *, spacing: Sequence[float] | None = None) -> Levels:
    """Return the coarser copies of an image, made block by block.

    Parameters
    ----------
    channels : (C, M, N) or (C, P, M, N) array of real numbers
        In memory or not: only blocks of it are read.
    features, spacing
        See `image_features`.

    Raises
    ------
    ImageError
        If it is no image or volume, or is empty.

    Notes
    -----
    The copies take about a third of the memory of an image of float32, a seventh of that of a volume.
    """
    shape = tuple(channels.shape)
    if len(shape) not in (3, 4) or 0 in shape:
        raise ImageError(f"features are of (C, M, N) images or (C, P, M, N) volumes that are not empty, got {shape}.")
    scales = _plan(features or Features(), spacing or (1.0,) * (len(shape) - 1))
    arrays = [channels]
    for before, after in itertools.pairwise(scales):
        if after.level > before.level:
            halved = tuple(b // a for a, b in zip(before.steps, after.steps))
            arrays.append(_halved(arrays[-1], before, halved))
    return Levels(tuple(arrays), scales)


def blocks(shape: Sequence[int], sides: Sequence[int] | None = None) -> Iterator[Place]:
    """Yield blocks that cover an image, in order.

    Examples
    --------
    >>> len(list(blocks((300, 600))))
    4
    """
    sides = sides or BLOCK[len(shape)]
    starts = (range(0, n, side) for n, side in zip(shape, sides, strict=True))
    for corner in itertools.product(*starts):
        yield tuple(slice(a, min(a + side, n)) for a, side, n in zip(corner, sides, shape))


def block_features(levels: Levels, place: Place) -> np.ndarray:
    """Return the features of one block, (F, *sides) float32: those of the whole image, cut out.

    Parameters
    ----------
    levels : Levels
    place : tuple of slices
        With first and last index within the image.
    """
    sides = tuple(p.stop - p.start for p in place)
    n = _n_maps(len(sides))
    out = np.empty((levels.n_features, *sides), np.float32)
    parts = iter(out.reshape(-1, n, *sides))
    for c in range(len(levels.arrays[0])):
        for k, scale in enumerate(levels.scales):
            finer = levels.scales[k - 1] if k and levels.scales[k - 1].level == scale.level else None
            _scale_features(levels.arrays[scale.level], c, scale, finer, place, next(parts))
    return out


def _plan(features: Features, spacing: Sequence[float]) -> tuple[_Scale, ...]:
    """Return the scales; a level begins where the one before is smooth enough to be halved."""
    ratios = [min(spacing) / s for s in spacing]
    steps, base, level = [1] * len(ratios), [0.0] * len(ratios), 0
    scales = []
    for sigma in features.sigmas:
        local = [sigma * r / d for r, d in zip(ratios, steps)]
        grow = [math.sqrt(max(t * t - b * b, 0)) for t, b in zip(local, base)]
        scales.append(_Scale(sigma, level, tuple(steps), tuple(grow), tuple(local)))
        halve = [t > COARSE - 1e-6 for t in local]
        if any(halve):
            level += 1
            steps = [2 * d if h else d for d, h in zip(steps, halve)]
            base = [t / 2 if h else t for t, h in zip(local, halve)]
    return tuple(scales)


def _halved(source: Any, scale: _Scale, halved: tuple[int, ...]) -> np.ndarray:
    """Return a level (C, *S) smoothed to a scale, with every other sample along some axes."""
    shape = tuple(n // 2 + 1 if h == 2 else n for n, h in zip(source.shape[1:], halved))
    out = np.empty((len(source), *shape), np.float32)
    reach = _reaches(scale.grow)
    for c in range(len(source)):
        for place in blocks(shape):
            spans = [(h * p.start - r, h * (p.stop - 1) + 1 + r) for p, h, r in zip(place, halved, reach, strict=True)]
            smooth = _smoothed(_taken(source, c, spans), scale.grow)
            out[c][place] = smooth[tuple(slice(None, None, h) for h in halved)]
    return out


def _scale_features(
    source: Any, channel: int, scale: _Scale, finer: _Scale | None, place: Place, out: np.ndarray
) -> None:
    """Write the features of one channel, scale and block, (n, *sides)."""
    full = all(d == 1 for d in scale.steps)
    spans = [(p.start // d, (p.stop - 1) // d + (1 if full else 2)) for p, d in zip(place, scale.steps)]
    outer = [OUTER * t for t in scale.local]
    m = max(_reaches(outer)) + 1
    grow, n = _reaches(scale.grow), len(spans)
    base = _taken(source, channel, [(a - m - r, b + m + r) for (a, b), r in zip(spans, grow)])
    smooth = _smoothed(base, scale.grow)
    if finer is None:
        before = np.ascontiguousarray(base[tuple(slice(r, s - r) for r, s in zip(grow, base.shape))])
    else:
        extra = [r - q for r, q in zip(grow, _reaches(finer.grow))]
        before = _smoothed(base[tuple(slice(e, s - e) for e, s in zip(extra, base.shape))], finer.grow)

    low = out if full else np.empty((len(out), *(b - a for a, b in spans)), np.float32)
    weights = tuple(np.float32(t) for t in scale.local)
    differences, products = (
        (kernels.differences_2d, kernels.products_2d) if n == 2 else (kernels.differences_3d, kernels.products_3d)
    )
    n_parts = n * (n + 1) // 2
    bent = np.empty((n_parts, *low.shape[1:]), np.float32)
    differences(smooth, before, m, *weights, low[:4], bent)
    low[4 : 4 + n] = symmetric_eigenvalues(bent)
    pairs = np.empty((n_parts, *(s - 2 for s in smooth.shape)), np.float32)
    products(smooth, *weights, pairs)
    cut = tuple(slice(m - 1 - r, 1 - m + r or None) for r in _reaches(outer))
    low[4 + n :] = symmetric_eigenvalues(np.stack([_smoothed(p[cut], outer) for p in pairs]))
    if full:
        return
    expand = kernels.expand_2d if n == 2 else kernels.expand_3d
    between = [_between(p, d, a) for p, d, (a, _) in zip(place, scale.steps, spans)]
    for coarse, fine in zip(low, out):
        expand(coarse, *itertools.chain(*between), fine)


def _between(place: slice, step: int, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the sample before each pixel, counted from `first`, and how far the pixel is from it."""
    pixels = np.arange(place.start, place.stop)
    return pixels // step - first, ((pixels % step) / step).astype(np.float32)


def _taken(source: Any, channel: int, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return a window of a channel as float32; beyond its ends it goes on as in a mirror."""
    sides = source.shape[1:]
    indices = [_mirrored(a, b, n) for (a, b), n in zip(spans, sides)]
    lows = [int(index.min()) for index in indices]
    read = tuple(slice(low, int(index.max()) + 1) for low, index in zip(lows, indices))
    window = np.asarray(source[(channel, *read)]).astype(np.float32)
    for axis, ((a, b), low, index) in enumerate(zip(spans, lows, indices)):
        if a < 0 or b > sides[axis]:
            window = np.take(window, index - low, axis=axis)
    return np.ascontiguousarray(window)


def _mirrored(start: int, stop: int, n: int) -> np.ndarray:
    """Return indices within n for those from start to stop, turned back at the centres of the first and the last."""
    if n == 1:
        return np.zeros(stop - start, np.intp)
    index = np.abs(np.arange(start, stop)) % (2 * n - 2)
    return np.minimum(index, 2 * n - 2 - index)


def _smoothed(window: np.ndarray, sigmas: Sequence[float]) -> np.ndarray:
    """Return the smoothed inside of a window: shorter by the reach of the Gaussian on every side."""
    window = np.ascontiguousarray(window)
    bells = [_bell(s) for s in sigmas]
    reach = [len(bell) // 2 for bell in bells]
    inside = tuple(slice(r, n - r) for r, n in zip(reach, window.shape))
    if window.ndim == 2:
        return np.ascontiguousarray(_filtered(window, bells[1], bells[0])[inside])
    one = np.ones(1)
    deep = _filtered(window.reshape(len(window), -1), one, bells[0])[inside[0]].reshape(-1, *window.shape[1:])
    out = np.empty([s.stop - s.start for s in inside], np.float32)
    for plane, target in zip(deep, out):
        target[:] = _filtered(plane, bells[2], bells[1])[inside[1:]]
    return out


def _filtered(window: np.ndarray, along: np.ndarray, across: np.ndarray) -> np.ndarray:
    return cv2.sepFilter2D(window, cv2.CV_32F, along, across, borderType=cv2.BORDER_REPLICATE)


def _bell(sigma: float) -> np.ndarray:
    """Return the samples of a Gaussian out to four standard deviations; they sum to 1."""
    reach = int(4 * sigma + 0.5)
    if reach == 0:
        return np.ones(1)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return bell / bell.sum()


def _reaches(sigmas: Sequence[float]) -> list[int]:
    return [len(_bell(s)) // 2 for s in sigmas]


def _n_maps(n_axes: int) -> int:
    """Return the number of features of a scale."""
    return 4 + 2 * n_axes
