"""Contours that measure right: labels drawn by a network or by hand, moved to the edge of the grey.

Hands draw round a particle, 1 to 1.5 px outside its edge, and a network learns it; a diameter is then too large by
twice that. Here the contour of each particle moves to where a blurred edge fits the particle's own profile, with the
models and the search of `segmetry.segment.edges`. What is different:

- dark and bright particles may lie in one image: inside and ring of each tell which it is;
- what lies near a second particle is left out of the profile, and a contour between two particles stays as it is;
- small contours are corrected for what blur does to a curve: it pulls any closed contour in by an area of pi sigma^2;
- particles too small to tell one kind of edge from another lean on what the others of the image have;
- a particle whose edge is not clear keeps the contour that it had, and the answer says so.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numba
import numpy as np

from segmetry.errors import ShapeMismatchError
from segmetry.measure.labelling import as_labels, largest_pieces
from segmetry.prepare.filters import gaussian
from segmetry.prepare.noise import noise_sigma, smoothed_noise
from segmetry.segment import edges
from segmetry.segment.objects import surroundings

_SMOOTHING = 0.7  # px: Gaussian before grey decides where a pixel belongs
_SIGMAS = tuple(round(0.75 * 1.07**k, 3) for k in range(26))  # px: blurs that are tried, this smoothing included
_PASSES = 2  # the second starts from contours that are no longer ragged and not far off
_MOST, _SHARE = 3.0, 0.35  # px, and share of the radius (plus 0.5 px): an edge further off is another one
_CLOSE = 3  # px: nearer to a second particle the grey is of both
_FREE = 0.25  # least share of the contour that no other particle is near to
_MIN_RADIUS = 2.0  # px
_MAX_RESIDUAL = 0.1  # share of the profile's variance that a fit may leave
_PRECISE = 0.3  # px: largest standard error of the place of the edge
_AGREE = 0.75  # least share of the pixels 1 to 3 px off the contour that have the grey of their side
_MIXED = 0.3  # a core that differs from the ring by this share of the rim's contrast, the other way, is mixed
_FIRST = tuple(int(np.argmax(kind == edges._KIND)) for kind in range(len(edges.KINDS)))  # template of each kind
_PENALTY = np.array([1.0, 1.0, 3.0])  # a rim must leave a third of the misfit of the others
_LEAN = 2.0  # how much a particle of 8 px radius heeds what the others have; falls with the radius squared
_SAMPLE = 24  # particles that choose the blur
_MIDDLES = -edges._OUT + edges._WIDTH * (np.arange(edges._N_BINS) + 0.5)
_search_one = edges._search  # a global that compiled code can call
_ZERO = round(-edges._X[0] / edges._FINE)


class Refined(NamedTuple):
    """Labels with their contours on the grey edge where it is clear; the arrays are by label, 1 first.

    Parameters
    ----------
    labels : (M, N) array of int32
        Numbered as before.
    moved : (L,) array of bool
        Whether the contour was placed on the edge; else it is the one that was given.
    shift : (L,) array of float
        Mean move of the contour that borders on background, px, outwards positive; 0 where not moved.
    area : (L,) array of float
        Area at sub-pixel precision, px²; nan where not moved.
    notes : tuple of str
        What a reader should know.
    """

    labels: np.ndarray
    moved: np.ndarray
    shift: np.ndarray
    area: np.ndarray
    notes: tuple[str, ...]


class _Outlines(NamedTuple):
    """Depth below the outline (px), nearest label, where grey tells nothing; by label radius, length and free share."""

    depth: np.ndarray
    label: np.ndarray
    blocked: np.ndarray
    radius: np.ndarray
    length: np.ndarray
    free: np.ndarray


class _Profiles(NamedTuple):
    """Mean grey and weight of each particle by bin of depth, and where the bins lie in a template."""

    means: np.ndarray
    weights: np.ndarray
    starts: np.ndarray


class _Edges(NamedTuple):
    """By label: was an edge fitted, its depth (px), grey there, slope there per px, grey of the surroundings."""

    fitted: np.ndarray
    shift: np.ndarray
    level: np.ndarray
    slope: np.ndarray
    base: np.ndarray


def refine_contours(pixels: np.ndarray, labels: np.ndarray, *, valid: np.ndarray | None = None) -> Refined:
    """Return labels whose contours lie on the edge of the grey, where there is a clear one.

    Parameters
    ----------
    pixels : (M, N) array of float32
        Finite greys. Particles may be dark, bright, or some of both.
    labels : (M, N) array of int
        Particles 1..L, contours within about 3 px of the edges.
    valid : (M, N) array of bool, optional
        False where pixels are not specimen; nothing is learnt from them.

    Returns
    -------
    refined : Refined

    Raises
    ------
    ShapeMismatchError
        If the shapes differ.

    Notes
    -----
    A contour keeps its place where the particle is less than 4 px across; where less than a quarter of it is clear of
    other particles; where rim and core differ from the surroundings in opposite directions; where no model of an edge
    leaves less than a tenth of the profile's variance; where the place is not known to 0.3 px; where a quarter of
    the pixels beside it do not have the grey of their side; and where it would move by more than 3 px or a third of
    the radius. How far that measures right is in `docs/studies/borders.md`.
    """
    labels = as_labels(labels)
    for name, other in (("labels", labels), ("valid", valid)):
        if other is not None and other.shape != pixels.shape:
            raise ShapeMismatchError(f"refine_contours: pixels are {pixels.shape} but {name} {other.shape}.")
    n = int(labels.max(initial=0))
    if n == 0:
        return Refined(labels.copy(), np.zeros(0, bool), np.zeros(0), np.zeros(0), ())
    smooth = gaussian(pixels, _SMOOTHING)
    noise = noise_sigma(pixels, valid=valid)
    before = np.bincount(labels.ravel(), minlength=n + 1)
    clear = before > 0
    clear[0] = False
    now, sign, first_length = labels, np.zeros(n + 1), np.zeros(n + 1)
    area, blur = np.zeros(n + 1), None
    for step in range(_PASSES):
        lines = _outlines(now, valid, n)
        profiles, contrast = _profiles(smooth, lines, sign if step else None, n)
        if step == 0:
            sign, first_length = contrast, lines.length
        clear &= (sign != 0) & (lines.free >= _FREE)
        found, blur = _fit(profiles, lines, noise, np.flatnonzero(clear), blur)
        clear &= found.fitted
        by_grey = found.level - found.base > edges._CLEAR * noise * smoothed_noise(_SMOOTHING)
        how = np.where(clear, 1 + by_grey, 0).astype(np.uint8)
        tilt = _tilt(smooth, lines.depth, lines.label, lines.blocked, sign, found.shift, found.level)
        area, agree = _move(
            smooth, lines.depth, lines.label, now, lines.blocked, how, sign, found.shift, found.slope, tilt
        )
        clear &= agree >= _AGREE
        now = lines.label
    # Where the grey decides, noise within reach of an edge may be taken for a particle.
    now = largest_pieces(now)
    clear &= np.bincount(now.ravel(), minlength=n + 1) > 0
    kept = (labels > 0) & ~clear[labels]
    new = now * clear[now] if valid is None else now * (clear[now] & (valid | (labels > 0)))
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.where(clear, 2 * (area - before) / (first_length + lines.length), 0.0)
    n_kept = int(np.count_nonzero(before[1:]) - np.count_nonzero(clear))
    notes = (f"{n_kept} of {np.count_nonzero(before[1:])} particles keep the contour drawn: no clear edge",)
    return Refined(
        np.where(kept, labels, new).astype(np.int32),
        clear[1:],
        shift[1:],
        np.where(clear, area, np.nan)[1:],
        notes if n_kept else (),
    )


def _outlines(labels: np.ndarray, valid: np.ndarray | None, n: int) -> _Outlines:
    near = surroundings(labels, edges._OUT + 0.5)
    depth = cv2.distanceTransform((labels > 0).view(np.uint8), cv2.DIST_L2, 5)
    edges._signed(near.distance, near.label, depth)
    # A window in which the largest and the least label differ holds two particles, or the surroundings of two.
    value = near.label.astype(np.float32)
    window = np.ones((2 * _CLOSE + 1, 2 * _CLOSE + 1), np.uint8)
    blocked = cv2.dilate(value, window) != value
    value[near.label == 0] = np.inf
    blocked |= cv2.erode(value, window) != value
    if valid is not None:
        blocked |= ~valid
    radius, length, free = _extent(depth, near.label, blocked, n)
    return _Outlines(depth, near.label, blocked, radius, length, free / np.maximum(length, 1e-9))


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


def _profiles(smooth: np.ndarray, lines: _Outlines, sign: np.ndarray | None, n: int) -> tuple[_Profiles, np.ndarray]:
    """Return profiles with the particles bright, and the sign (1 bright, -1 dark, 0 mixed) of each."""
    label = np.where(lines.blocked, 0, lines.label)
    sums, counts, depths, _ = edges._profiles(smooth, lines.depth, label, n)
    if sign is None:
        sign = _signs(sums, counts, lines.radius)
    total = counts.sum(0)
    # Distances on a grid are not spread evenly in a bin: take the mean depth that occurred.
    where = np.where(total > 0, depths.sum(0) / np.maximum(total, 1), _MIDDLES)
    starts = np.round((where - edges._X[0]) / edges._FINE).astype(np.int64)
    weights = np.where((counts >= 3) & (0.7 * lines.radius[:, None] > _MIDDLES), counts, 0.0)
    return _Profiles(sums * sign[:, None] / np.maximum(counts, 1), weights, starts), sign


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


def _fit(
    profiles: _Profiles, lines: _Outlines, noise: float, some: np.ndarray, start: int | None
) -> tuple[_Edges, int | None]:
    n = lines.radius.size
    out = _Edges(np.zeros(n, bool), np.zeros(n), np.zeros(n), np.ones(n), np.zeros(n))
    enough = (lines.radius >= _MIN_RADIUS) & (np.count_nonzero(profiles.weights, axis=1) >= 8)
    fit = some[enough[some]]
    if not fit.size:
        return out, start
    blur = _blur(profiles, lines, fit, start)
    sigma = _SIGMAS[blur]
    found = _search(profiles, lines, fit, sigma)
    best = found[np.arange(fit.size), _kind(found, lines.radius[fit])]
    _, misfit, shift, level, base, slope = best.T
    error = noise / np.maximum(slope, 1e-30) / np.sqrt(2 * sigma * np.maximum(lines.length[fit], 1))
    out.fitted[fit] = (
        (misfit < _MAX_RESIDUAL)
        & (slope > 0)
        & (error < _PRECISE)
        & (np.abs(shift) < np.minimum(_MOST, _SHARE * lines.radius[fit] + 0.5))
    )
    out.shift[fit], out.level[fit], out.base[fit] = shift, level, base
    out.slope[fit] = np.where(slope > 0, slope, 1.0)
    return out, blur


def _search(profiles: _Profiles, lines: _Outlines, some: np.ndarray, sigma: float) -> np.ndarray:
    """Return template, misfit, depth, grey, grey of the surroundings, slope at the edge by particle and kind."""
    sizes, which = np.unique(_size(lines.radius[some]), return_inverse=True)
    table = np.stack([edges._templates(int(size), sigma) for size in sizes])
    found = _search_each(profiles.means[some], profiles.weights[some], table, which, profiles.starts, edges._HANDICAP)
    # Blur moves a contour of curvature c inwards by c sigma^2 / 2, and the curvatures of a closed one add up to 2 pi.
    pulled = np.minimum(math.pi * sigma**2 / np.maximum(lines.length[some], 1), 1.0)[:, None]
    at = _ZERO - np.round(pulled / edges._FINE).astype(int)
    template = found[..., 0].astype(int)
    here = which[:, None]
    height = (found[..., 3] - found[..., 4]) / table[here, template, _ZERO]
    found[..., 3] = found[..., 4] + height * table[here, template, at]
    found[..., 2] -= pulled
    found[..., 5] = height * (table[here, template, at + 4] - table[here, template, at - 4]) / (8 * edges._FINE)
    return found


def _size(radius: np.ndarray) -> np.ndarray:
    return np.round(np.log(np.maximum(radius, 1)) / math.log(edges._RATIO)).astype(int)


@numba.njit(cache=True, nogil=True)
def _search_each(means, weights, table, which, starts, handicaps):
    """Search each particle's profile for the best template of every kind, among the templates of its size."""
    found = np.zeros((means.shape[0], len(_FIRST), 6))
    for k in range(means.shape[0]):
        for kind in range(len(_FIRST)):
            first, last = _FIRST[kind], _FIRST[kind + 1] if kind + 1 < len(_FIRST) else handicaps.size
            best = _search_one(
                means[k : k + 1], weights[k : k + 1], table[which[k], first:last], starts, handicaps[first:last]
            )
            found[k, kind, :5] = best[0]
            found[k, kind, 0] += first
    return found


def _kind(found: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return which kind of edge each particle has, small ones leaning on what all of them have."""
    cost = np.log(found[:, :, 1] * _PENALTY + 1e-4)
    worse = np.minimum(cost - cost.min(1, keepdims=True), 2).mean(0)
    return (cost + _LEAN * (8 / np.maximum(radius, 4))[:, None] ** 2 * worse).argmin(1)


def _blur(profiles: _Profiles, lines: _Outlines, fit: np.ndarray, start: int | None) -> int:
    """Return which of the blurs fits the particles with the best profiles, the largest, best together.

    `start` is near the answer.
    """
    some = fit[np.argsort(-profiles.weights[fit].sum(1), kind="stable")][:_SAMPLE]
    misfit: dict[int, float] = {}

    def try_out(indices: range) -> int:
        for i in indices:
            if i not in misfit and 0 <= i < len(_SIGMAS):
                found = _search(profiles, lines, some, _SIGMAS[i])
                best = found[np.arange(some.size), _kind(found, lines.radius[some]), 1]
                misfit[i] = float(np.log(best + 1e-4).sum())
        return min(misfit, key=misfit.__getitem__)

    near = try_out(range(0, len(_SIGMAS), 4) if start is None else range(start - 2, start + 3, 2))
    near = try_out(range(near - 2, near + 3, 2))
    return try_out(range(near - 1, near + 2))


@numba.njit(cache=True, nogil=True)
def _tilt(image, depth, label, blocked, sign, shift, level):
    """Return the grey of each edge as a plane, ``(grey at (0, 0), per row, per column)``: one side may lie in shade.

    Planes are fitted to the greys of the bands 1 to 3 px inside and outside; that of the edge lies between, by its
    level.
    """
    n = shift.size
    sums = np.zeros((n, 2, 9))
    for i in range(depth.shape[0]):
        for j in range(depth.shape[1]):
            k = label[i, j]
            if k == 0 or blocked[i, j]:
                continue
            below = depth[i, j] - shift[k]
            if abs(below) < 1 or abs(below) > 3:
                continue
            v, s = image[i, j] * sign[k], sums[k, 0 if below > 0 else 1]
            s[0] += 1
            s[1] += i
            s[2] += j
            s[3] += i * i
            s[4] += i * j
            s[5] += j * j
            s[6] += v
            s[7] += v * i
            s[8] += v * j
    plane = np.zeros((n, 3))
    for k in range(n):
        plane[k, 0] = level[k]
        if min(sums[k, 0, 0], sums[k, 1, 0]) < 150:  # px; fewer know no plane
            continue
        slopes, mean = np.zeros((2, 2)), np.zeros(2)
        row = (sums[k, 0, 1] / sums[k, 0, 0] + sums[k, 1, 1] / sums[k, 1, 0]) / 2
        col = (sums[k, 0, 2] / sums[k, 0, 0] + sums[k, 1, 2] / sums[k, 1, 0]) / 2
        flat = True
        for side in range(2):
            s = sums[k, side]
            r, c, v = s[1] / s[0], s[2] / s[0], s[6] / s[0]
            rr, rc, cc = s[3] / s[0] - r * r, s[4] / s[0] - r * c, s[5] / s[0] - c * c
            rv, cv = s[7] / s[0] - r * v, s[8] / s[0] - c * v
            determinant = rr * cc - rc * rc
            if determinant > 1e-3 * (rr + cc) ** 2:
                flat = False
                slopes[side, 0] = (rv * cc - cv * rc) / determinant
                slopes[side, 1] = (cv * rr - rv * rc) / determinant
            mean[side] = v
        if flat or mean[0] <= mean[1]:
            continue
        share = min(max((level[k] - mean[1]) / (mean[0] - mean[1]), 0.0), 1.0)
        plane[k, 1:] = share * slopes[0] + (1 - share) * slopes[1]
        plane[k, 0] -= plane[k, 1] * row + plane[k, 2] * col
    return plane


@numba.njit(cache=True, nogil=True)
def _move(image, depth, label, labels, blocked, how, sign, shift, slope, tilt):
    """Leave a label only inside the new contours; return their areas, and the share of pixels on their side.

    `how` is 0 for a contour that stays, 1 for one that moves by a distance, 2 for one that follows the grey.
    """
    area, agree, beside = np.zeros(shift.size), np.zeros(shift.size), np.zeros(shift.size)
    for i in range(label.shape[0]):
        for j in range(label.shape[1]):
            k = label[i, j]
            if k == 0:
                continue
            if how[k] == 0:
                label[i, j] = labels[i, j]
                continue
            below = depth[i, j] - shift[k]
            if how[k] == 2 and not blocked[i, j] and abs(below) <= 3:
                above = image[i, j] * sign[k] - (tilt[k, 0] + tilt[k, 1] * i + tilt[k, 2] * j)
                if abs(below) >= 1:
                    beside[k] += 1
                    agree[k] += (above > 0) == (below > 0)
                # Grey decides near the edge only, so that a dark spot inside or a bright one outside changes nothing.
                if abs(below) <= 1.5:
                    below = above / slope[k]
            area[k] += min(max(below + 0.5, 0.0), 1.0)
            if below <= 0:
                label[i, j] = 0
    for k in range(shift.size):
        agree[k] = agree[k] / beside[k] if beside[k] else 1.0
    return area, agree
