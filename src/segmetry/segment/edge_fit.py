"""Where the edge of each particle lies, whatever its contrast: fitted to its own profile, others kept out of it.

The search for a model is that of `segmetry.segment.edges`; here dark and bright particles may lie in one image, what
lies near a second particle is left out, and small particles lean on the others of the image. Four kinds of edge are
tried: the three of there, the rim also narrower than a pixel, and the *shoulder*: a step with a ball's chord on it, as
of round particles that are bright at once in low-angle dark field.

Depth is measured from a smoothed outline. One that follows the grey from pixel to pixel has all bright pixels inside
and all dark ones outside, the noise as well, and the profile across it looks sharper than the image is.

Blur is round and edges are curved: of a particle of 10 px a good part of the light falls outwards. With the radius of
curvature r the blurred profile is that of a straight edge under a weight of sqrt(r), as the Bessel function in the blur
of a round thing goes as exp(z) / sqrt(z).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import cv2
import numba
import numpy as np

from segmetry.prepare.filters import gaussian
from segmetry.segment import edges
from segmetry.segment.objects import surroundings

_SIGMAS = tuple(round(0.75 * 1.07**k, 3) for k in range(26))  # px: blurs that are tried, this smoothing included
_MOST, _SHARE = 3.0, 0.35  # px, and share of the radius (plus 0.5 px): an edge further off is another one
_CLOSE = 3  # px: nearer to a second particle the grey is of both
_STRIP = 512  # rows that are looked at together
_MIN_RADIUS = 2.0  # px
_MAX_RESIDUAL = 0.1  # share of the profile's variance that a fit may leave
_PRECISE = 0.3  # px: largest standard error of the place of the edge
_MIXED = 0.3  # a core that differs from the ring by this share of the rim's contrast, the other way, is mixed
_RIMS = tuple((height, width) for height in (0.5, 1.0, 2.0, 4.0) for width in (0.75, 1.5, 3.0, 6.0))  # width: px
_SHOULDERS = tuple((share, ball) for share in (0.15, 0.3, 0.5, 0.75) for ball in (0, 2))  # of the step, and which chord
_KINDS = (1, 3, len(_RIMS), len(_SHOULDERS))  # templates: flat, ball, rim, shoulder
_FIRST = (0, *np.cumsum(_KINDS).tolist())
_PENALTY = np.array([1.0, 1.0, 3.0, 1.5])  # the more templates a kind has, the more of the misfit it has to take away
_PLAIN = np.ones(_FIRST[-1])
_TRUST = 3.0  # weight of a kind: misfit to the power of minus this
_CURVES = (4, 44)  # curvatures that are told apart, radius as a power of `edges.RATIO`; beyond, edges are straight
_OUTLINE = 1.0  # px: Gaussian over the depth
_LEAN = 2.0  # how much a particle of 8 px radius heeds what the others have; falls with the radius squared
_SAMPLE = 24  # particles that choose the blur
_MIDDLES = -edges.OUT + edges.WIDTH * (np.arange(edges.N_BINS) + 0.5)
_search_one = edges.search_templates  # a global that compiled code can call
_ZERO = round(-edges.DEPTHS[0] / edges.FINE)
_AROUND = (
    np.arange(edges.DEPTHS[0] - 8, edges.DEPTHS[-1] + 8, edges.FINE) + edges.FINE / 2
)  # px: where light comes from
_INSIDE = _AROUND[_AROUND > 0]


class Outlines(NamedTuple):
    """Depth below the smoothed outline (px), nearest label, where grey tells nothing.

    By label: radius (px), length towards background (px) and the share of that which is free of others.
    """

    depth: np.ndarray
    label: np.ndarray
    blocked: np.ndarray
    radius: np.ndarray
    length: np.ndarray
    free: np.ndarray


class Profiles(NamedTuple):
    """Mean grey and weight of each particle by bin of depth, and where the bins lie in a template."""

    means: np.ndarray
    weights: np.ndarray
    starts: np.ndarray


class FittedEdges(NamedTuple):
    """By label: was an edge fitted, its depth (px), grey there, slope there per px, grey of the surroundings.

    `doubt` is the standard deviation (px) of the depth between the kinds of edge, as likely as they fit.
    """

    fitted: np.ndarray
    shift: np.ndarray
    level: np.ndarray
    slope: np.ndarray
    base: np.ndarray
    doubt: np.ndarray


def outlines_of(labels: np.ndarray, valid: np.ndarray | None, n: int) -> Outlines:
    """Return where every pixel near one of the particles 1..n lies from its outline.

    Parameters
    ----------
    labels : (M, N) array of int32
        Some numbers may be missing.
    valid : (M, N) array of bool or None
        False where grey tells nothing.
    n : int
        Largest label.
    """
    distance, label = surroundings(labels, edges.OUT + 0.5)
    depth = cv2.distanceTransform((labels > 0).view(np.uint8), cv2.DIST_L2, 5)
    edges.sign_depth(distance, label, depth)
    del distance
    blocked = _near_two(label)
    if valid is not None:
        blocked |= ~valid
    radius, length, free = _extent(depth, label, blocked, n)
    depth[label == 0] = -edges.OUT - 0.5
    depth = gaussian(depth, _OUTLINE)
    _round_again(depth, label, length / (2 * math.pi))
    return Outlines(depth, label, blocked, radius, length, free / np.maximum(length, 1e-9))


@numba.njit(cache=True, nogil=True)
def _round_again(depth, label, radius):
    """Undo what smoothing does to a cone: a distance r from its tip becomes about (r^2 + sigma^2)^(1/2)."""
    for i in range(depth.shape[0]):
        for j in range(depth.shape[1]):
            away = radius[label[i, j]] - depth[i, j]
            if away > 0:
                depth[i, j] += away - math.sqrt(max(away * away - _OUTLINE * _OUTLINE, 0.0))


def _near_two(label: np.ndarray) -> np.ndarray:
    """Return where a second particle, or the surroundings of one, is within `_CLOSE` px along rows and columns."""
    window = np.ones((2 * _CLOSE + 1, 2 * _CLOSE + 1), np.uint8)
    blocked = np.empty(label.shape, np.bool_)
    for start in range(0, len(label), _STRIP):  # strips of a large image are little memory
        first, stop = max(start - _CLOSE, 0), min(start + _STRIP, len(label))
        value = label[first : stop + _CLOSE].astype(np.float32)
        inner = slice(start - first, stop - first)
        # A window in which the largest and the least label differ holds two.
        largest = cv2.dilate(value, window)[inner] != value[inner]
        value[value == 0] = np.inf
        blocked[start:stop] = largest | (cv2.erode(value, window)[inner] != value[inner])
    return blocked


@numba.njit(cache=True, nogil=True)
def _extent(depth, label, blocked, n):
    """Largest depth, length of the contour towards background, and how much of that is free, of each particle."""
    radius, length, free = np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1)
    for i in range(depth.shape[0]):
        for j in range(depth.shape[1]):
            k = label[i, j]
            if k == 0:
                continue
            d = depth[i, j]
            radius[k] = max(radius[k], d)
            # A band of 2 px on both sides, fading outwards: a sharp band counts slanting contours up to 1.4 times.
            share = max(1 - abs(d) / 2, 0.0) / 2
            length[k] += share
            if not blocked[i, j]:
                free[k] += share
    return radius, length, free


def profiles_of(smooth: np.ndarray, lines: Outlines, sign: np.ndarray | None, n: int) -> tuple[Profiles, np.ndarray]:
    """Return profiles with the particles bright, and the sign (1 bright, -1 dark, 0 mixed) of each.

    Parameters
    ----------
    smooth : (M, N) array of float32
        Greys.
    lines : Outlines
    sign : (n + 1,) array of float or None
        As returned, by label, where it is known.
    n : int
        Largest label.
    """
    label = np.where(lines.blocked, 0, lines.label)
    sums, counts, depths, _ = edges.depth_profiles(smooth, lines.depth, label, n)
    if sign is None:
        sign = _signs(sums, counts, lines.radius)
    total = counts.sum(0)
    # Distances on a grid are not spread evenly in a bin: take the mean depth that occurred.
    where = np.where(total > 0, depths.sum(0) / np.maximum(total, 1), _MIDDLES)
    starts = np.round((where - edges.DEPTHS[0]) / edges.FINE).astype(np.int64)
    weights = np.where((counts >= 3) & (0.7 * lines.radius[:, None] > _MIDDLES), counts, 0.0)
    return Profiles(sums * sign[:, None] / np.maximum(counts, 1), weights, starts), sign


def _signs(sums: np.ndarray, counts: np.ndarray, radius: np.ndarray) -> np.ndarray:
    def mean(where: np.ndarray) -> np.ndarray:
        return (sums * where).sum(1) / np.maximum((counts * where).sum(1), 1)

    # Contours may lie 2 px outside: what is deeper is particle; of a small one, its inner half.
    inner = np.minimum(2.0, 0.5 * radius)[:, None]
    ring = mean((_MIDDLES < -0.5)[None])
    rim = mean((inner < _MIDDLES) & (inner + 3 > _MIDDLES)) - ring
    core = mean((_MIDDLES > 5)[None]) - ring
    mixed = (radius > 7) & (core * rim < 0) & (np.abs(core) > _MIXED * np.abs(rim))
    return np.where(mixed, 0.0, np.sign(rim))


def fit_edges(
    profiles: Profiles, lines: Outlines, noise: float, some: np.ndarray, start: int | None
) -> tuple[FittedEdges, int | None]:
    """Return the edge of some particles, and which of the blurs fits them best together.

    Parameters
    ----------
    profiles, lines
        As from `profiles_of` and `outlines_of`.
    noise : float
        Standard deviation of the noise of a pixel of the image, before it was smoothed.
    some : (K,) array of int
        Labels. The blur is chosen by the largest of those that have a profile long enough.
    start : int or None
        A blur near the answer, as returned; None where nothing is known yet, and returned where nothing is found.
    """
    n = lines.radius.size
    out = FittedEdges(np.zeros(n, bool), np.zeros(n), np.zeros(n), np.ones(n), np.zeros(n), np.zeros(n))
    enough = (lines.radius >= _MIN_RADIUS) & (np.count_nonzero(profiles.weights, axis=1) >= 8)
    fit = some[enough[some]]
    if not fit.size:
        return out, start
    blur = _blur(profiles, lines, fit, start)
    sigma = _SIGMAS[blur]
    found = _search(profiles, lines, fit, sigma)
    cost = _cost(found, lines.radius[fit])
    weight = np.exp(_TRUST * (cost.min(1, keepdims=True) - cost))
    # Kinds that fit about equally well lie up to a pixel apart; the mean of them is never the worst.
    mean = (weight[:, :, None] * found).sum(1) / weight.sum(1)[:, None]
    _, _, shift, level, base, slope = mean.T
    _, misfit, likeliest, *_ = found[np.arange(fit.size), cost.argmin(1)].T
    doubt = np.sqrt((weight * (found[:, :, 2] - shift[:, None]) ** 2).sum(1) / weight.sum(1))
    error = noise / np.maximum(slope, 1e-30) / np.sqrt(2 * sigma * np.maximum(lines.length[fit], 1))
    out.fitted[fit] = (
        (misfit < _MAX_RESIDUAL)
        & (slope > 0)
        & (error < _PRECISE)
        & (np.maximum(np.abs(shift), np.abs(likeliest)) < np.minimum(_MOST, _SHARE * lines.radius[fit] + 0.5))
    )
    out.shift[fit], out.level[fit], out.base[fit], out.doubt[fit] = shift, level, base, doubt
    out.slope[fit] = np.where(slope > 0, slope, 1.0)
    return out, blur


_NO_FIT = 1e9
"""Misfit where no template fits a profile at all, as beside a border of one constant grey; it can be compared."""


@lru_cache(maxsize=len(_SIGMAS))
def _blurring(sigma: float) -> np.ndarray:
    """Return how much of the light of each depth of `_AROUND` comes to each second one of `edges.DEPTHS`."""
    away = (edges.DEPTHS[::2] - _AROUND[:, None]) / sigma
    return np.asarray(np.exp(-0.5 * away**2) * (edges.FINE / (sigma * math.sqrt(2 * math.pi))))


@lru_cache(maxsize=512)
def _templates(size: int, curve: int, sigma: float) -> np.ndarray:
    """Return the profiles of all edges on `edges.DEPTHS`, for two powers of `edges.RATIO`: radius, and of curvature."""
    step, balls = np.ones_like(_INSIDE), edges.chords(edges.RATIO**size, _INSIDE)
    rims = [1 + height * np.exp(-_INSIDE / width) for height, width in _RIMS]
    shoulders = [share + (1 - share) * balls[ball] for share, ball in _SHOULDERS]
    root = np.sqrt(np.maximum(edges.RATIO**curve - _AROUND, sigma))
    inside = np.array([step, *balls, *rims, *shoulders]) * root[-_INSIDE.size :]
    spread = _blurring(sigma)
    coarse = (inside @ spread[-_INSIDE.size :]) / (root @ spread)  # an even grey stays as it is
    fine = np.empty((len(coarse), edges.DEPTHS.size), np.float32)
    fine[:, ::2] = coarse
    fine[:, 1:-1:2] = (coarse[:, 1:] + coarse[:, :-1]) / 2
    fine[:, -1] = coarse[:, -1]
    return fine


def _search(profiles: Profiles, lines: Outlines, some: np.ndarray, sigma: float) -> np.ndarray:
    """Return template, misfit, depth, grey, grey of the surroundings, slope at the edge by particle and kind."""
    # The curvatures of a closed contour add up to 2 pi.
    curve = np.clip(_size(lines.length[some] / (2 * math.pi)) // 2 * 2, *_CURVES)
    classes, which = np.unique(np.stack([_size(lines.radius[some]), curve]), axis=1, return_inverse=True)
    which = which.ravel()
    table = np.stack([_templates(int(size), int(curve), sigma) for size, curve in classes.T])
    found = _search_each(profiles.means[some], profiles.weights[some], table, which, profiles.starts, _PLAIN)
    template = found[..., 0].astype(int)
    here = which[:, None]
    height = (found[..., 3] - found[..., 4]) / table[here, template, _ZERO]
    found[..., 1] = np.minimum(found[..., 1], _NO_FIT)
    found[..., 5] = height * (table[here, template, _ZERO + 4] - table[here, template, _ZERO - 4]) / (8 * edges.FINE)
    return found


def _size(radius: np.ndarray) -> np.ndarray:
    return np.round(np.log(np.maximum(radius, 1)) / math.log(edges.RATIO)).astype(int)


@numba.njit(cache=True, nogil=True)
def _search_each(means, weights, table, which, starts, handicaps):
    """Search each particle's profile for the best template of every kind, among the templates of its size."""
    found = np.zeros((means.shape[0], len(_FIRST) - 1, 6))
    for k in range(means.shape[0]):
        for kind in range(len(_FIRST) - 1):
            first, last = _FIRST[kind], _FIRST[kind + 1]
            best = _search_one(
                means[k : k + 1], weights[k : k + 1], table[which[k], first:last], starts, handicaps[first:last]
            )
            found[k, kind, :5] = best[0]
            found[k, kind, 0] += first
    return found


def _cost(found: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return the logarithm of each kind's misfit, small particles leaning on what all of them have."""
    cost = np.log(found[:, :, 1] * _PENALTY + 1e-4)
    worse = np.minimum(cost - cost.min(1, keepdims=True), 2).mean(0)
    return np.asarray(cost + _LEAN * (8 / np.maximum(radius, 4))[:, None] ** 2 * worse)


def _blur(profiles: Profiles, lines: Outlines, fit: np.ndarray, start: int | None) -> int:
    """Return which of the blurs fits the particles with the best profiles, the largest, best together.

    `start` is near the answer.
    """
    some = fit[np.argsort(-profiles.weights[fit].sum(1), kind="stable")][:_SAMPLE]
    misfit: dict[int, float] = {}

    def try_out(indices: range) -> int:
        for i in indices:
            if i not in misfit and 0 <= i < len(_SIGMAS):
                found = _search(profiles, lines, some, _SIGMAS[i])
                best = found[np.arange(some.size), _cost(found, lines.radius[some]).argmin(1), 1]
                misfit[i] = float(np.log(best + 1e-4).sum())
        return min(misfit, key=misfit.__getitem__)

    near = try_out(range(0, len(_SIGMAS), 4) if start is None else range(start - 2, start + 3, 2))
    near = try_out(range(near - 2, near + 3, 2))
    return try_out(range(near - 1, near + 2))
