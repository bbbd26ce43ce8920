"""Contours that measure right: labels drawn by a network or by hand, moved to the edge of the grey.

Hands draw round a particle, 1 to 1.5 px outside its edge, and a network learns it; a diameter is then too large by
twice that. Here the contour of each particle moves to where a blurred edge fits the particle's own profile, with the
models and the search of `segmetry.segment.edges`. What is different:

- dark and bright particles may lie in one image: inside and ring of each tell which it is;
- what lies near a second particle is left out of the profile, and a contour between two particles stays as it is;
- blur is taken as round: over a curved edge more light falls outwards than inwards;
- particles too small to tell one kind of edge from another lean on what the others of the image have, and where kinds
  fit about equally well, the contour lies between them and the answer says how far apart they are;
- a particle whose edge is not clear keeps the contour that it had, and the answer says so.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from segmetry.errors import ShapeMismatchError
from segmetry.measure.labelling import as_labels, largest_pieces
from segmetry.prepare.filters import gaussian
from segmetry.prepare.noise import noise_sigma, smoothed_noise
from segmetry.segment.edge_fit import fit_edges, outlines_of, profiles_of
from segmetry.segment.edges import CLEAR
from segmetry.segment.objects import label_areas

_SMOOTHING = 0.7  # px: Gaussian before grey decides where a pixel belongs
_PASSES = 2  # the second starts from contours that are no longer ragged and not far off
_FREE = 0.25  # least share of the contour that no other particle is near to
_AGREE = 0.75  # least share of the pixels 1 to 3 px off the contour that have the grey of their side


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
    doubt : (L,) array of float
        Standard deviation of the contour's place between the kinds of edge that fit, px, the same way for alike
        particles; nan where not moved.
    notes : tuple of str
        What a reader should know.
    """

    labels: np.ndarray
    moved: np.ndarray
    shift: np.ndarray
    area: np.ndarray
    doubt: np.ndarray
    notes: tuple[str, ...]


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
        return Refined(labels.copy(), np.zeros(0, bool), np.zeros(0), np.zeros(0), np.zeros(0), ())
    noise = noise_sigma(pixels, valid=valid)
    smooth = gaussian(pixels, _SMOOTHING)
    before = label_areas(labels, n)
    clear = before > 0
    clear[0] = False
    now, sign, first_length = labels, np.zeros(n + 1), np.zeros(n + 1)
    area, doubt, blur = np.zeros(n + 1), np.zeros(n + 1), None
    for step in range(_PASSES):
        lines = outlines_of(now, valid, n)
        profiles, contrast = profiles_of(smooth, lines, sign if step else None, n)
        if step == 0:
            sign, first_length = contrast, lines.length
        clear &= (sign != 0) & (lines.free >= _FREE)
        found, blur = fit_edges(profiles, lines, noise, np.flatnonzero(clear), blur)
        clear &= found.fitted
        doubt = found.doubt
        by_grey = found.level - found.base > CLEAR * noise * smoothed_noise(_SMOOTHING)
        how = np.where(clear, 1 + by_grey, 0).astype(np.uint8)
        tilt = _tilt(smooth, lines.depth, lines.label, lines.blocked, sign, found.shift, found.level)
        area, agree = _move(
            smooth, lines.depth, lines.label, now, lines.blocked, how, sign, found.shift, found.slope, tilt
        )
        clear &= agree >= _AGREE
        now, length = lines.label, lines.length
        del lines  # of a large image, more memory than all else
    # Where the grey decides, noise within reach of an edge may be taken for a particle.
    now = largest_pieces(now)
    clear &= label_areas(now, n) > 0
    kept = (labels > 0) & ~clear[labels]
    new = now * clear[now] if valid is None else now * (clear[now] & (valid | (labels > 0)))
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.where(clear, 2 * (area - before) / (first_length + length), 0.0)
    n_kept = int(np.count_nonzero(before[1:]) - np.count_nonzero(clear))
    notes = (f"{n_kept} of {np.count_nonzero(before[1:])} particles keep the contour drawn: no clear edge",)
    return Refined(
        np.where(kept, labels, new).astype(np.int32),
        clear[1:],
        shift[1:],
        np.where(clear, area, np.nan)[1:],
        np.where(clear, doubt, np.nan)[1:],
        notes if n_kept else (),
    )


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
