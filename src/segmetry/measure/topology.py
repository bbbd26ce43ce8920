"""How a phase or object hangs together: Euler number, pieces, tunnels, cavities, and whether it crosses the frame."""

from __future__ import annotations

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
from numba import njit

from segmetry.errors import OptionError
from segmetry.measure import crofton
from segmetry.measure.labelling import as_labels, label, relabel
from segmetry.measure.moments import DIRECTIONS
from segmetry.measure.spacing import checked
from segmetry.types import Calibration


def euler_number(mask: np.ndarray, *, connectivity: int | None = None) -> int:
    """Return the Euler number of a mask: pieces minus tunnels plus cavities; in 2D pieces minus holes.

    Parameters
    ----------
    mask : (M, N) or (P, M, N) array of bool
        Continued by background beyond the frame.
    connectivity : {4, 8} in 2D, {6, 26} in 3D, optional
        Neighbours that hang together; the background hangs together by the other number. All of them by default: pixels
        are then closed squares (cubes).

    Raises
    ------
    ImageError
        If the mask is neither 2D nor 3D, or holds no pixel.
    OptionError
        If the connectivity is none of these.

    Notes
    -----
    Counted over all 2 x 2 x 2 neighbourhoods, of which each adds its share of the corners, edges, squares and cubes.

    References
    ----------
    Ohser, Nagel, Schladitz, in *Morphology of Condensed Matter* (2002), doi:10.1007/3-540-45782-8_12.

    Examples
    --------
    >>> diagonal = np.array([[1, 0], [0, 1]], bool)
    >>> euler_number(diagonal), euler_number(diagonal, connectivity=4)
    (1, 2)
    """
    checked(mask, None, "euler_number")
    return int(_configurations(_framed(mask)) @ _euler_shares(_joined(mask.ndim, connectivity))) // 8


def euler_numbers(labels: np.ndarray, numbers: np.ndarray, *, connectivity: int | None = None) -> np.ndarray:
    """Return the Euler number of each object of a label image, as if it were alone.

    Parameters
    ----------
    labels : (M, N) or (P, M, N) array of int
    numbers : (L,) array of int
        Labels asked for, rising.
    connectivity : {4, 8} in 2D, {6, 26} in 3D, optional

    Returns
    -------
    euler : (L,) array of int
        0 for a label that does not occur.
    """
    labels = as_labels(labels)
    checked(labels, None, "euler_numbers")
    shares = _euler_shares(_joined(labels.ndim, connectivity))
    numbers = np.asarray(numbers)
    if labels.max() > labels.size:  # the table of labels would be larger than the image
        present = np.unique(labels[labels > 0])
        at = np.minimum(np.searchsorted(present, numbers), present.size - 1)
        labels, numbers = relabel(labels), np.where(present[at] == numbers, at + 1, present.size + 1)
    eighths = np.zeros(int(labels.max()) + 1, np.int64)
    _by_label(np.pad(labels.reshape((1, *labels.shape)[-3:]), 1), shares, eighths)
    there = numbers < eighths.size
    return np.where(there, eighths[np.where(there, numbers, 0)], 0) // 8


class Betti(NamedTuple):
    """Numbers of pieces, of holes (2D) or tunnels (3D), and of cavities (0 in 2D)."""

    pieces: int
    tunnels: int
    cavities: int


def betti_numbers(mask: np.ndarray, *, connectivity: int | None = None) -> Betti:
    """Return the numbers of pieces, of holes (2D) or tunnels (3D), and of cavities of a mask.

    Parameters
    ----------
    mask : (M, N) or (P, M, N) array of bool
        Continued by background, so that a ring that the frame cuts has no hole.
    connectivity : {4, 8} in 2D, {6, 26} in 3D, optional
        As for `euler_number`.

    Notes
    -----
    Pieces and cavities come from connected components, the tunnels from the Euler number.

    Examples
    --------
    >>> ring = np.ones((3, 3), bool)
    >>> ring[1, 1] = False
    >>> betti_numbers(ring)
    Betti(pieces=1, tunnels=1, cavities=0)
    """
    checked(mask, None, "betti_numbers")
    joined = _joined(mask.ndim, connectivity)
    own, other = {(2, 26): (8, 4), (2, 6): (4, 8), (3, 26): (26, 6), (3, 6): (6, 26)}[mask.ndim, joined]
    pieces = int(label(mask, connectivity=own).max())
    closed = int(label(~np.pad(mask, 1), connectivity=other).max()) - 1
    if mask.ndim == 2:
        return Betti(pieces, closed, 0)
    return Betti(pieces, pieces + closed - euler_number(mask, connectivity=connectivity), closed)


class Solid(NamedTuple):
    """What the 2 x 2 x 2 neighbourhoods of a volume tell of a mask."""

    volume: float
    surface_area: float
    euler_number: int


def solid_of(mask: np.ndarray, *, calibration: Calibration | None = None, connectivity: int | None = None) -> Solid:
    """Return volume, surface area and Euler number of a mask in one pass, as if nothing lay beyond the frame.

    Parameters
    ----------
    mask : (P, M, N) array of bool
    calibration : Calibration, optional
        Length of a voxel along each axis.
    connectivity : {6, 26}, optional
        For the Euler number.

    Notes
    -----
    The surface is Crofton's in 13 directions, the same as `surface_area` of the table: neighbours that differ along
    each direction are counted from the 256 possible neighbourhoods, as in Legland et al. 2007,
    doi:10.5566/ias.v26.p83-92.

    Examples
    --------
    >>> solid_of(np.ones((2, 2, 2), bool)).volume
    8.0
    """
    spacing = checked(mask, calibration, "solid_of", ndims=(3,)).spacing
    counts = _configurations(_framed(mask))
    eighths = int(counts @ _euler_shares(_joined(3, connectivity)))
    return Solid(
        math.prod(spacing) * int(counts @ _bits().sum(axis=1)) / 8,
        float(counts @ _crossings() @ crofton.weights(spacing)),
        eighths // 8,
    )


def euler_density(
    mask: np.ndarray, *, calibration: Calibration | None = None, connectivity: int | None = None
) -> float:
    """Return the Euler number per volume of a phase whose sample the frame cuts out of more of the same.

    Its negative is the connectivity density of bone and foams, tunnels per volume where there is one piece without
    cavities. Only the neighbourhoods inside the frame count, so that the cut itself joins and parts nothing and the
    answer has no bias.

    Parameters
    ----------
    mask : (P, M, N) array of bool
        At least two voxels along each axis; else nan.
    calibration : Calibration, optional
    connectivity : {6, 26}, optional

    References
    ----------
    Odgaard, Gundersen, Bone 14, 173 (1993), doi:10.1016/8756-3282(93)90245-6: connectivity density, whose correction at
    the frame is another. Ohser et al. as for `euler_number`.
    """
    spacing = checked(mask, calibration, "euler_density", ndims=(3,)).spacing
    n = math.prod(side - 1 for side in mask.shape)
    if n == 0:
        return math.nan
    counts = _configurations(np.ascontiguousarray(mask).view(np.uint8))
    return float(counts @ _euler_shares(_joined(3, connectivity))) / 8 / (n * math.prod(spacing))


class Percolation(NamedTuple):
    """Whether a phase leads through the frame; (ndim,) arrays have an entry for each axis."""

    spans: np.ndarray
    """Whether some piece touches both opposite faces."""
    spanning_share: np.ndarray
    """Share of the phase that lies in such pieces; nan where there is no phase."""
    largest_share: float
    """Share of the phase in its largest piece."""
    n_pieces: int


def percolation(mask: np.ndarray, *, connectivity: int | None = None) -> Percolation:
    """Return along which axes a phase connects opposite faces of the frame, and how much of it does.

    Parameters
    ----------
    mask : (M, N) or (P, M, N) array of bool
    connectivity : {4, 8} in 2D, {6, 18, 26} in 3D, optional
        All neighbours by default. What flows passes faces: give 6 for a fluid in pores.

    Examples
    --------
    >>> pipes = np.zeros((4, 5), bool)
    >>> pipes[1] = pipes[3, :2] = True
    >>> percolation(pipes).spans.tolist(), percolation(pipes).spanning_share[1].round(3).item()
    ([False, True], 0.714)
    """
    checked(mask, None, "percolation")
    pieces = label(mask, connectivity=connectivity)
    size = np.bincount(pieces.ravel())[1:]
    total = int(size.sum())
    if not total:
        return Percolation(np.zeros(mask.ndim, bool), np.full(mask.ndim, np.nan), math.nan, 0)
    share = np.zeros(mask.ndim)
    for axis in range(mask.ndim):
        ends = np.intersect1d(pieces.take(0, axis), pieces.take(-1, axis))
        share[axis] = size[ends[ends > 0] - 1].sum() / total
    return Percolation(share > 0, share, float(size.max() / total), size.size)


def _joined(ndim: int, connectivity: int | None) -> int:
    """Return 6 where pixels hang together over sides only, 26 where over corners too."""
    known = {2: {4: 6, 8: 26}, 3: {6: 6, 26: 26}}[ndim]
    if connectivity is not None and connectivity not in known:
        raise OptionError(f"the Euler number in {ndim}D takes a connectivity of {tuple(known)}, got {connectivity!r}.")
    return known.get(connectivity or 0, 26)


def _framed(mask: np.ndarray) -> np.ndarray:
    """Return a mask as a volume of 0 and 1 with a margin of one."""
    return np.pad(np.asarray(mask, bool).reshape((1, *mask.shape)[-3:]), 1).view(np.uint8)


@functools.cache
def _bits() -> np.ndarray:
    """Return the eight voxels of each of the 256 neighbourhoods; bit ``4 plane + 2 row + column``."""
    return np.arange(256)[:, None] >> np.arange(8) & 1


@functools.cache
def _euler_shares(joined: int) -> np.ndarray:
    """Return what each neighbourhood adds to the Euler number, times eight: whole numbers.

    Joined over corners, a corner, edge or square is there if one of its voxels is; over sides only, voxels are the
    corners of the dual grid, and an edge, square or cube of that is there if all its voxels are.
    """
    cubes = _bits().reshape(256, 2, 2, 2)
    shares = np.zeros(256, np.int64)
    # A cell reaches over both voxels along some axes: it is then one of the neighbourhood's own; along the others it
    # lies at either of two places, and the neighbourhood next to it counts it as well.
    for wide in itertools.product((False, True), repeat=3):
        axes = tuple(axis + 1 for axis in range(3) if wide[axis])
        cells = (cubes.max(axis=axes) if joined == 26 else cubes.min(axis=axes)).reshape(256, -1)
        n_wide = sum(wide)
        sign = (-1) ** (3 - n_wide) if joined == 26 else (-1) ** n_wide
        shares += sign * (8 >> (3 - n_wide)) * cells.sum(axis=1)
    return shares


@functools.cache
def _crossings() -> np.ndarray:
    """Return how many neighbours differ along each of the 13 directions, times what a neighbourhood has of the pair."""
    cubes = _bits().reshape(256, 2, 2, 2)
    out = np.zeros((256, 13))
    for d, step in enumerate(DIRECTIONS):
        here = tuple(slice(None) if s == 0 else slice(0, 1) if s > 0 else slice(1, 2) for s in step)
        there = tuple(slice(None) if s == 0 else slice(1, 2) if s > 0 else slice(0, 1) for s in step)
        differ = (cubes[:, *here] != cubes[:, *there]).reshape(256, -1)
        out[:, d] = differ.sum(axis=1) / differ.shape[1]  # so many neighbourhoods share one pair
    return out


@njit(cache=True, nogil=True)
def _configurations(volume):
    """Return how often each of the 256 neighbourhoods of 2 x 2 x 2 voxels occurs."""
    planes, rows, cols = volume.shape
    counts = np.zeros((2, 256), np.int64)  # two, so that equal neighbours in a row need not wait for each other
    code = np.empty(cols, np.uint8)
    for p in range(planes - 1):
        for r in range(rows - 1):
            a, b, c, d = volume[p, r], volume[p, r + 1], volume[p + 1, r], volume[p + 1, r + 1]
            for k in range(cols):
                code[k] = a[k] | b[k] << 2 | c[k] << 4 | d[k] << 6
            for k in range(cols - 1):
                counts[k & 1, code[k] | code[k + 1] << 1] += 1
    return counts[0] + counts[1]


@njit(cache=True, nogil=True)
def _by_label(labels, shares, eighths):
    """Add up the shares of the neighbourhoods of each label; labels have a margin of zeros."""
    planes, rows, cols = labels.shape
    for p in range(planes - 1):
        for r in range(rows - 1):
            for c in range(cols - 1):
                cube = labels[p : p + 2, r : r + 2, c : c + 2]
                done = 0
                for k in range(8):
                    own = cube[k >> 2, k >> 1 & 1, k & 1]
                    if own == 0 or done >> k & 1:
                        continue
                    code = 0
                    for m in range(k, 8):
                        if cube[m >> 2, m >> 1 & 1, m & 1] == own:
                            code |= 1 << m
                    done |= code
                    eighths[own] += shares[code]
