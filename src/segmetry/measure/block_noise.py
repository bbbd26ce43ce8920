"""How much a number of pairs varies from frame to frame, found inside one frame: from blocks of it."""

from __future__ import annotations

import numpy as np

_NODES = 25
"""Distances at which smooth functions of the distance are computed; between them they are interpolated."""
_ANGLES = 180
_FINE = 6
"""Cells per side of a block, for the density around it."""


def excess_noise(
    points: np.ndarray,
    shape: tuple[float, float],
    blocks: tuple[int, int],
    r: np.ndarray,
    counts: np.ndarray,
    rings: np.ndarray,
) -> np.ndarray:
    """Return the variance of the number of pairs over that of independent pairs, for each class of distance.

    Parameters
    ----------
    points : (N, 2) array
        Row and column from the corner of the frame.
    shape : (height, width)
        Sides of the frame.
    blocks : (rows, columns)
        The frame is cut into so many equal blocks, B in all.
    r : (K,) array
        Middles of the classes.
    counts : (B, B, K) array
        Pairs by the blocks of their ends, as `pair_counts` gives them.
    rings : (B, K) array
        Area of the rings around each block's points that lies inside the frame, as `ring_areas` gives it.

    Returns
    -------
    noise : (K,) array
        1 for points without order, more for clusters, less for order; at least 0.05. A mean over neighbouring classes.

    Notes
    -----
    The number of ordered pairs is a sum over pairs of blocks. From the number W(b, c) between two blocks its two
    projections are taken, that is, what the density of the points of b makes one expect in c, and the reverse
    (Hoeffding's decomposition). For points without order the rests are uncorrelated, so the variance of the whole is
    the sum of their squares. Here ``sum_b (rest(b, b) + 2 sum_c rest(b, c))^2`` is summed over the blocks, which keeps
    what clusters correlate between neighbouring blocks, but counts pairs across borders twice; so it is divided by what
    it would be for independent pairs, where they count twice as well. That is right for clusters much smaller than a
    block; of clusters that borders cut it sees too little. So half of what the division took from an excess over
    independent pairs is given back, a middle way between the two. Without the projections the noise of the density
    would swamp that of the pairs in large samples.
    """
    within = np.einsum("bbk->bk", counts)
    across = counts.sum(0) + counts.sum(1) - 2 * within  # pairs with one end in the block
    total, seen = counts.sum((0, 1)), rings.sum(0)
    nodes = np.linspace(r[0], r[-1], min(_NODES, len(r)))
    share, own_share = (np.array([np.interp(r, nodes, row) for row in part]) for part in _shares(shape, blocks, nodes))
    around = np.array([np.interp(r, nodes, row) for row in _density_around(points, shape, blocks, nodes)])
    ratio = 2 * total / seen  # g times the density
    expected, own = share * seen, own_share * seen  # area of rings, if the points had no order
    rest = (
        2 * within
        + 2 * across
        - 2 * ratio * rings
        - 2 * ratio * around * (expected - own)
        + ratio * (2 * expected - own)
    )
    window = np.ones(2 * min(max(len(total) // 20, 2), (len(total) - 1) // 2) + 1)
    smooth = np.convolve(np.sum(rest**2, 0), window, "same")
    plain = np.convolve(4.0 * within.sum(0) + 4.0 * across.sum(0), window, "same")
    noise = np.divide(smooth, plain, out=np.ones(len(total)), where=plain > 0)
    pairs = np.convolve(total, window, "same")
    crossing = np.divide(
        np.convolve(across.sum(0) / 2, window, "same"), pairs, out=np.zeros(len(pairs)), where=pairs > 0
    )
    return np.clip(noise + crossing / 2 * np.maximum(noise - 1, 0), 0.05, None)


def _shares(shape: tuple[float, float], blocks: tuple[int, int], r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share that each block has in pairs of points without order, and that of pairs within the block.

    Both (B, len(r)); the first sums to 1 over the blocks. Exact along the radius, a sum over 180 directions.
    """
    angle = (np.arange(_ANGLES) + 0.5) * 2 * np.pi / _ANGLES
    both, inner = [], []
    for side, n, part in zip(shape, blocks, (np.sin(angle), np.cos(angle))):
        shift = part[:, None] * r  # (angles, r)
        low = np.arange(n)[:, None, None] * side / n
        high = low + side / n
        both.append(np.maximum(np.minimum(high, side - shift) - np.maximum(low, -shift), 0))
        inner.append(np.maximum(side / n - np.abs(shift), 0))
    share = np.einsum("atk,btk->abk", both[0], both[1]).reshape(-1, len(r))
    own = np.broadcast_to(np.einsum("tk,tk->k", inner[0], inner[1]), share.shape)
    return share / share.sum(0), own / share.sum(0)


def _density_around(
    points: np.ndarray, shape: tuple[float, float], blocks: tuple[int, int], r: np.ndarray
) -> np.ndarray:
    """Return the density that each block sees at each distance outside itself, over the mean density: (B, len(r)).

    Points and blocks are taken to a fine grid; the same grid filled evenly is what the density refers to, so that only
    the deviation from 1 feels the cells.
    """
    cells = (blocks[0] * _FINE, blocks[1] * _FINE)
    size = (shape[0] / cells[0], shape[1] / cells[1])
    filled, even = _deposit(points, size, cells), np.outer(*(np.tile(_EVEN, n) for n in blocks))
    even *= len(points) / even.sum()
    down, across = (min(int(np.ceil(r[-1] / s)) + 1, n - 1) for s, n in zip(size, cells))
    reach = (down, across)
    rows, cols = (np.arange(-m, m + 1) * s for m, s in zip(reach, size))
    distance = np.hypot(rows[:, None], cols)
    step = r[1] - r[0] if len(r) > 1 else 1.0
    # Each offset belongs to the two nearest nodes, in proportion: a tent function of the distance.
    width = max(step, min(size))
    tent = np.maximum(1 - np.abs(distance - r[:, None, None]) / width, 0)  # (nodes, offsets)
    padded = tuple(n + 2 * m for n, m in zip(cells, reach))
    ring = np.fft.rfft2(tent, padded)
    own_kernel = _own(tent, reach)
    out = []
    for field in (filled, even):
        seen = np.fft.irfft2(ring * np.fft.rfft2(field, padded), padded)
        seen = seen[:, reach[0] : reach[0] + cells[0], reach[1] : reach[1] + cells[1]]
        folded = seen.reshape(len(r), blocks[0], _FINE, blocks[1], _FINE).sum((2, 4)).reshape(len(r), -1)
        mine = field.reshape(blocks[0], _FINE, blocks[1], _FINE).transpose(0, 2, 1, 3).reshape(-1, _FINE * _FINE)
        out.append(folded.T - mine @ own_kernel.T)
    return np.divide(out[0], out[1], out=np.ones_like(out[0]), where=out[1] > 1e-9)


_EVEN = np.array([1.125, 0.875, *[1.0] * (_FINE - 4), 0.875, 1.125])
"""What `_deposit` makes of an even density, along one side of a block."""


def _deposit(points: np.ndarray, size: tuple[float, float], cells: tuple[int, int]) -> np.ndarray:
    """Return the points on the grid of cells, each shared by two cells per axis so that its place is kept.

    Both cells lie in the point's own block: near its border the second weight is negative.
    """
    sides = []
    for k in range(2):
        u = points[:, k] / size[k] - 0.5
        block = np.minimum((points[:, k] / (size[k] * _FINE)).astype(np.int64), cells[k] // _FINE - 1) * _FINE
        first = np.clip(np.floor(u).astype(np.int64), block, block + _FINE - 2)
        sides.append(((first, 1 - (u - first)), (first + 1, u - first)))
    out = np.zeros(cells[0] * cells[1])
    for row, by_row in sides[0]:
        for col, by_col in sides[1]:
            out += np.bincount(row * cells[1] + col, by_row * by_col, len(out))
    return out.reshape(cells)


def _own(tent: np.ndarray, reach: tuple[int, int]) -> np.ndarray:
    """Return what each cell of a block sees of its own block, (nodes, cells)."""
    cell = np.arange(_FINE)
    gap = cell[:, None] - cell  # from one cell to another, along one axis
    rows, cols = (np.clip(gap, -m, m) + m for m in reach)
    inside_rows, inside_cols = (np.abs(gap) <= m for m in reach)
    each = tent[:, rows[:, None, :, None], cols[None, :, None, :]]
    each = each * (inside_rows[:, None, :, None] & inside_cols[None, :, None, :])
    return each.sum((3, 4)).reshape(len(tent), -1)
