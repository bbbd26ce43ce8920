"""Maps as a perfect network would give them, made from known labels: the ceiling of what grouping can reach."""

from __future__ import annotations

import numba
import numpy as np
from scipy.spatial import cKDTree

SAMPLES = 4
"""A map pixel's share of a particle is counted on so many places along each axis."""


@numba.njit(cache=True, nogil=True)
def _largest_share(labels, rows, cols, owner, share):
    """Write which particle covers most of every map pixel, and its share of it; of equals the first met."""
    seen, count = np.zeros(SAMPLES * SAMPLES, np.int64), np.zeros(SAMPLES * SAMPLES, np.int64)
    for i in range(owner.shape[0]):
        for j in range(owner.shape[1]):
            n = 0
            for r in rows[i * SAMPLES : (i + 1) * SAMPLES]:
                for c in cols[j * SAMPLES : (j + 1) * SAMPLES]:
                    k = labels[r, c]
                    if k <= 0:
                        continue
                    at = 0
                    while at < n and seen[at] != k:
                        at += 1
                    if at == n:
                        seen[n], count[n] = k, 0
                        n += 1
                    count[at] += 1
            for at in range(n):
                if count[at] > share[i, j]:
                    share[i, j], owner[i, j] = count[at], seen[at]


def ideal_maps(labels: np.ndarray, *, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Return maps whose every pixel points to its particle's centre as far as the particle covers it.

    Parameters
    ----------
    labels : (M, N) array of int
        0 background, 1..L particles, which may have gaps in their numbers.
    shape : (m, n), optional
        Resolution of the maps; that of the labels by default.

    Returns
    -------
    maps : (4, m, n) array of float32
        Offset (row, column) and log radius in map px, seed logit. The centre is the particle's pixel nearest to its
        centroid, so that a ring and what lies in it have two; the radius grows with the area and stays below a
        quarter of the way to the next centre. A pixel of which a particle covers the share ``phi`` points so far past
        the centre that its membership is ``phi``, which is also its seed probability (at least 0.001, at most 0.999).
    """
    m, n = labels.shape if shape is None else shape
    rows, cols = (
        (np.arange(k * SAMPLES) * 2 + 1) * size // (2 * k * SAMPLES)
        for k, size in zip((m, n), labels.shape, strict=True)
    )
    owner, share = np.zeros((m, n), np.int64), np.zeros((m, n))
    _largest_share(labels, rows, cols, owner, share)
    share /= SAMPLES**2
    maps = np.zeros((4, m, n), np.float32)
    seed = np.clip(share, 0.001, 0.999)
    maps[3] = np.log(seed / (1 - seed))
    row, col = np.nonzero(share)
    if not row.size:
        return maps
    ids, which = np.unique(owner[row, col], return_inverse=True)
    phi = share[row, col]
    area = np.bincount(which, phi)
    place = np.column_stack([row, col]).astype(float)
    centroid = np.column_stack([np.bincount(which, place[:, a] * phi) for a in range(2)]) / area[:, None]
    order = np.lexsort((np.square(place - centroid[which]).sum(axis=1), -np.round(phi, 1), which))
    centre = place[order[np.append(0, np.cumsum(np.bincount(which))[:-1])]]
    gap = cKDTree(centre).query(centre, k=2)[0][:, 1] if ids.size > 1 else np.array([np.inf])
    radius = np.minimum(0.5 * np.sqrt(area), 0.25 * gap)
    past = radius[which] * np.sqrt(-2 * np.log(phi))
    away = place - centre[which]
    length = np.hypot(*away.T)
    direction = np.where(length[:, None] > 0, away / np.maximum(length, 1e-9)[:, None], [1.0, 0.0])
    maps[:2, row, col] = (centre[which] + past[:, None] * direction - place).T
    maps[2, row, col] = np.log(radius)[which]
    return maps
