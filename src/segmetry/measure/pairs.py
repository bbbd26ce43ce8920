"""Pairs of points by distance, and how much of a ring lies inside a rectangle. The exact geometry under g(r)."""

from __future__ import annotations

import math

import numba
import numpy as np

_CHUNK = 256
_CELLS_PER_REACH = 5
"""Cells along `r_max`: small cells follow the circle closely, large ones keep the loops long."""


def pair_counts(
    points: np.ndarray, shape: tuple[float, float], edges: np.ndarray, blocks: tuple[int, int] = (1, 1)
) -> np.ndarray:
    """Return how many pairs of points lie at each distance, split by the blocks of the frame they lie in.

    Parameters
    ----------
    points : (N, 2) array
        Row and column from the corner of the frame, inside it.
    shape : (height, width)
        Sides of the frame, in the unit of `points`.
    edges : (K+1,) array
        Equal classes of distance, from 0.
    blocks : (rows, columns)
        The frame is cut into so many equal blocks.

    Returns
    -------
    counts : (B, B, K) int64 array
        ``counts[b, c]`` for b < c: pairs with an end in each; ``counts[b, b]``: pairs inside. Each pair counts once.
    """
    n_bins, r_max = len(edges) - 1, float(edges[-1])
    n_blocks = blocks[0] * blocks[1]
    if len(points) < 2:
        return np.zeros((n_blocks, n_blocks, n_bins), np.int64)
    side = np.array([s / b for s, b in zip(shape, blocks)])
    # No more cells than points: an empty cell costs as much as a full one.
    smallest = max(r_max / _CELLS_PER_REACH, math.sqrt(shape[0] * shape[1] / len(points)))
    per_block = np.maximum(np.floor(side / smallest), 1).astype(np.int64)
    cell = side / per_block
    n_cells = per_block * np.asarray(blocks)
    where = np.clip((points / cell).astype(np.int64), 0, n_cells - 1)
    code = where[:, 0] * n_cells[1] + where[:, 1]
    order = np.argsort(code, kind="stable")
    start = np.zeros(n_cells[0] * n_cells[1] + 1, np.int64)
    np.cumsum(np.bincount(code, minlength=len(start) - 1), out=start[1:])
    rows = np.ascontiguousarray(points[order, 0], np.float64)
    cols = np.ascontiguousarray(points[order, 1], np.float64)
    counts = np.zeros((n_blocks * n_blocks, n_bins + 1), np.int64)
    _count(
        rows, cols, start, n_cells[0], n_cells[1], cell[0], cell[1], per_block[0], per_block[1], r_max, n_bins, counts
    )
    square = counts[:, :-1].reshape(n_blocks, n_blocks, n_bins)
    upper = np.triu(np.ones((n_blocks, n_blocks), bool))[:, :, None]
    return (
        np.where(upper, square, 0)
        + np.where(upper, square.transpose(1, 0, 2), 0) * ~np.eye(n_blocks, dtype=bool)[:, :, None]
    )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _count(rows, cols, start, n_down, n_across, high, wide, per_row, per_col, r_max, n_bins, counts):
    """Count pairs into ``counts[block of first * B + block of second]``; the last class takes what is too far."""
    buffer = np.empty(_CHUNK, np.int32)
    scale, far = n_bins / r_max, np.float64(n_bins)
    blocks_across = n_across // per_col
    n_blocks = (n_down // per_row) * blocks_across
    reach = int(r_max / high) + 1
    for down in range(n_down):
        for across in range(n_across):
            here = down * n_across + across
            block = (down // per_row) * blocks_across + across // per_col
            for i in range(start[here], start[here + 1]):
                row, col = rows[i], cols[i]
                for other in range(down, min(down + reach + 1, n_down)):
                    gap = other * high - row if other > down else 0.0
                    if gap > r_max:
                        break
                    half = math.sqrt(r_max * r_max - gap * gap) if gap > 0 else r_max
                    left = max(int((col - half) / wide), 0) if col > half else 0
                    right = min(int((col + half) / wide), n_across - 1)
                    first_block = (other // per_row) * blocks_across
                    if other == down:
                        left = across
                    while left <= right:
                        # One run of cells in one block, so that all its pairs go to one histogram.
                        block_col = left // per_col
                        last = min(right, (block_col + 1) * per_col - 1)
                        begin, end = start[other * n_across + left], start[other * n_across + last + 1]
                        if other == down and left == across:
                            begin = i + 1
                        target = counts[block * n_blocks + first_block + block_col]
                        while begin < end:
                            size = min(_CHUNK, end - begin)
                            for j in range(size):
                                y = rows[begin + j] - row
                                x = cols[begin + j] - col
                                buffer[j] = np.int32(min(math.sqrt(x * x + y * y) * scale, far))
                            for j in range(size):
                                target[buffer[j]] += 1
                            begin += size
                        left = last + 1


def ring_areas(
    points: np.ndarray, shape: tuple[float, float], edges: np.ndarray, index: np.ndarray, n: int
) -> np.ndarray:
    """Return the area inside the frame of the rings around points, summed over the points of each block.

    Parameters
    ----------
    points : (N, 2) array
        Row and column from the corner of the frame, inside it.
    shape : (height, width)
        Sides of the frame.
    edges : (K+1,) array
        Radii of the rings, at most the shorter side.
    index : (N,) array of int 0..n-1
        Block of each point.
    n : int
        Number of blocks.

    Returns
    -------
    areas : (n, K) array
    """
    disks = np.zeros((n, len(edges)))
    _disks(
        np.ascontiguousarray(points, np.float64),
        float(shape[0]),
        float(shape[1]),
        np.ascontiguousarray(edges, np.float64),
        np.ascontiguousarray(index, np.int64),
        disks,
    )
    return np.diff(disks, axis=1)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _disks(points, height, width, radii, index, disks):
    """Add the area of each disk inside the rectangle to ``disks[block]``.

    Disk minus one cap per side, plus what two caps at a corner share.
    """
    n_radii = len(radii)
    whole = np.zeros(disks.shape[0])
    near = np.empty(4)
    for i in range(len(points)):
        b = index[i]
        whole[b] += 1.0
        near[0], near[1] = points[i, 0], height - points[i, 0]
        near[2], near[3] = points[i, 1], width - points[i, 1]
        for s in range(4):
            e = near[s]
            if e >= radii[-1]:
                continue
            for k in range(n_radii - 1, -1, -1):
                r = radii[k]
                if r <= e:
                    break
                disks[b, k] -= r * r * math.acos(e / r) - e * math.sqrt(r * r - e * e)
        for s in range(2):
            for t in range(2, 4):
                e, f = near[s], near[t]
                corner = e * e + f * f
                if corner >= radii[-1] ** 2:
                    continue
                for k in range(n_radii - 1, -1, -1):
                    r = radii[k]
                    if r * r <= corner:
                        break
                    angle = math.acos(e / r) + math.acos(f / r) - math.pi / 2
                    chords = e * math.sqrt(r * r - e * e) + f * math.sqrt(r * r - f * f)
                    disks[b, k] += (r * r * angle - chords) / 2 + e * f
    for b in range(disks.shape[0]):
        for k in range(n_radii):
            disks[b, k] += whole[b] * math.pi * radii[k] ** 2


def ring_measure(shape: tuple[float, float], edges: np.ndarray) -> np.ndarray:
    """Return the integral of ``2 pi r gamma(r)`` over each class of distance; gamma: the frame's mean set covariance.

    Over the frame's area squared it is the chance that two points dropped at random lie at that distance.

    Notes
    -----
    For a rectangle a × b and r up to its shorter side, ``gamma(r) = ab - 2r(a + b)/pi + r^2/pi``
    (Chiu, Stoyan, Kendall & Mecke 2013, doi:10.1002/9781118658222, section 1.7).

    Examples
    --------
    >>> float(ring_measure((10.0, 10.0), np.array([0.0, 1e-3]))[0] / (100 * np.pi * 1e-6)).__round__(3)
    1.0
    """
    a, b = shape
    r = np.asarray(edges, float)
    return np.diff(math.pi * a * b * r**2 - 4 * (a + b) * r**3 / 3 + r**4 / 2)
