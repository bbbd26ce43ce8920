"""The clustering of BPartIS: from raw maps to numbered particles, one Gaussian for each."""

from __future__ import annotations

import numba
import numpy as np

from segmetry.segment.foreground import number_regions

LEAST = 128
"""A particle has more pixels than this, of 512 x 512; where no more are left, nothing is sought."""

SHARPNESS = 10.0
"""``exp(SHARPNESS sigma)`` multiplies squared distances."""

CELLS = 64
"""Cells per side of the image into which embeddings are sorted: a proposal looks only into those that it reaches."""


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return the probability of a logit, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def cluster(maps: np.ndarray) -> np.ndarray:
    """Return the particles in raw maps.

    Parameters
    ----------
    maps : (5, M, N) array of float
        Offset (x, y), sigma (x, y), seed logit; see `segmetry.nets.bpartis`.

    Returns
    -------
    labels : (M, N) array of int32
        0 background, 1..L in the order in which the particles were found.

    Notes
    -----
    Candidates are the pixels with a seed probability above 1/2. The surest that is free proposes all candidates, free
    or not, that its own centre and sigma take with ``phi > 1/2``. A proposal of more than 128 pixels, of which more
    than half are free (the proposing one counts as taken), becomes a particle and takes its pixels from earlier ones.
    Its pixels are not free any more, whether it was accepted or not. It ends when 128 or fewer are free.

    References
    ----------
    Yildirim and Cole, J. Chem. Inf. Model. 2021, 10.1021/acs.jcim.0c01455, and the code published with it. Here
    embeddings are sorted into cells, so that a proposal looks at those near its centre only; the answer is the same.
    """
    height, width = maps.shape[1:]
    seed = sigmoid(maps[4].astype(np.float32)).ravel()
    where = np.flatnonzero((seed > 0.5) & np.isfinite(maps).all(axis=0).ravel())
    labels = np.zeros(height * width, np.int32)
    if where.size > LEAST:
        rows, cols = np.divmod(where, width)
        flat = maps.reshape(5, -1)[:, where].astype(np.float64)
        x = np.tanh(flat[0]) + np.linspace(0, 1, width)[cols]
        y = np.tanh(flat[1]) + np.linspace(0, 1, height)[rows]
        weight_x, weight_y = np.exp(np.clip(SHARPNESS * flat[2:4], -80, 80))
        order = np.argsort(-seed[where], kind="stable")
        found = _group(x, y, weight_x, weight_y, order, LEAST, CELLS)
        labels[where] = number_regions(found, np.bincount(found) > 0)
    return labels.reshape(height, width)


@numba.njit(cache=True, nogil=True)
def _cell(value, per_side):
    """Return the cell of an embedding along one axis: embeddings lie in [-1, 2], and there are 3 `per_side`."""
    return min(max(int((value + 1.0) * per_side), 0), 3 * per_side - 1)


@numba.njit(cache=True, nogil=True)
def _reach(value, weight, per_side):
    """Return the first and the last cell that a proposal reaches along one axis."""
    radius = min(np.sqrt(np.log(2.0) / weight) * (1 + 1e-9), 4.0)
    return _cell(max(value - radius, -1.0), per_side), _cell(min(value + radius, 2.0), per_side)


@numba.njit(cache=True, nogil=True)
def _group(x, y, weight_x, weight_y, order, least, per_side):
    """Return the particle (P,) of each candidate; numbers of particles that were wholly overwritten are missing."""
    n, side = x.size, 3 * per_side
    start = np.zeros(side * side + 1, np.int64)
    cell = np.empty(n, np.int32)
    for i in range(n):
        cell[i] = _cell(y[i], per_side) * side + _cell(x[i], per_side)
        start[cell[i] + 1] += 1
    start = np.cumsum(start)
    member = np.empty(n, np.int32)
    place = start.copy()
    for i in range(n):
        member[place[cell[i]]] = i
        place[cell[i]] += 1
    label = np.zeros(n, np.int32)
    free = np.ones(n, np.bool_)
    proposal = np.empty(n, np.int32)
    n_free, n_found, bound = n, 0, np.log(2.0)
    for seed in order:
        if n_free <= least:
            break
        if not free[seed]:
            continue
        free[seed] = False
        n_free -= 1
        first_x, last_x = _reach(x[seed], weight_x[seed], per_side)
        first_y, last_y = _reach(y[seed], weight_y[seed], per_side)
        size, n_own = 0, 0
        for row in range(first_y, last_y + 1):
            for k in range(start[row * side + first_x], start[row * side + last_x + 1]):
                i = member[k]
                dx, dy = x[i] - x[seed], y[i] - y[seed]
                if dx * dx * weight_x[seed] + dy * dy * weight_y[seed] < bound:
                    proposal[size] = i
                    size += 1
                    n_own += free[i]
        accepted = size > least and 2 * n_own > size
        n_found += accepted
        for k in range(size):
            if accepted:
                label[proposal[k]] = n_found
            free[proposal[k]] = False
        n_free -= n_own
    return label
