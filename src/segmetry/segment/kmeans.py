"""k-means: ten starts drawn apart, each moved until it stands, the tightest kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from segmetry.errors import ImageError, OptionError

_LARGEST_SAMPLE = 200_000
"""Points that centres are fitted to."""
_STANDS = 1e-4
"""A start stands when its centres move by less than this share of a feature's variance in one step, squared; only the
best is moved on until no point changes its cluster."""
_MOST_STEPS = 300
_BLOCK = 256


@dataclass(frozen=True, eq=False)
class Clusters:
    """What k-means found; clusters are in the order of their centres' first feature.

    Parameters
    ----------
    labels : (n,) array of int32
        Cluster of each point, 0 to K - 1.
    centres : (K, d) array
    inertia : float
        Sum of squared distances of points to their centres.
    inertias : (n_starts,) array
        The same of each start, over the points that centres were fitted to.
    """

    labels: np.ndarray
    centres: np.ndarray
    inertia: float
    inertias: np.ndarray


def kmeans(points: np.ndarray, k: int, *, n_starts: int = 10, seed: int = 0) -> Clusters:
    """Return the tightest of several k-means clusterings.

    Parameters
    ----------
    points : (n, d) array of float
        Features in comparable units.
    k : int
        Clusters; from 1 to n. Fewer come out where there are fewer distinct points.
    n_starts : int
        Random starts.
    seed : int

    Raises
    ------
    ImageError
        If points are no (n, d) array of finite numbers.
    OptionError
        If `k` is below 1 or above the number of points, or there is no start.

    Notes
    -----
    Starts are drawn by greedy k-means++: each new centre is the best of 2 + log k points drawn with their squared
    distance to the nearest centre. Of more than 200,000 points so many are drawn for the fit; all are then given to
    their nearest centre. Distances are float32, of features that were centred and scaled by one common factor.

    References
    ----------
    Lloyd, IEEE Trans. Inf. Theory 28, 129 (1982), doi:10.1109/TIT.1982.1056489; Arthur & Vassilvitskii, SODA 2007,
    1027.

    Examples
    --------
    >>> found = kmeans(np.array([[9.0], [1.0], [1.2], [9.2]]), 2)
    >>> found.labels, found.centres.ravel().round(3), round(found.inertia, 3)
    (array([1, 0, 0, 1], dtype=int32), array([1.1, 9.1]), 0.04)
    """
    points = np.asarray(points)
    if points.ndim != 2 or not points.size or not np.isfinite(points).all():
        raise ImageError(f"points are a finite (n, d) array that is not empty, got shape {points.shape}.")
    n = len(points)
    if not 1 <= k <= n:
        raise OptionError(f"kmeans: clusters must be from 1 to the {n} pixels that there are, got {k}.")
    if n_starts < 1:
        raise OptionError(f"kmeans: at least one start is needed, got {n_starts}.")
    centre = points.mean(0, dtype=np.float64)
    scale = float(np.sqrt(np.mean((points - centre) ** 2))) or 1.0
    rows = np.ascontiguousarray((points - centre) / scale, np.float32)
    rng = np.random.default_rng(seed)
    sample = rows
    if n > _LARGEST_SAMPLE:
        sample = rows[np.sort(rng.choice(n, _LARGEST_SAMPLE, replace=False))]
    columns = np.ascontiguousarray(sample.T)
    trials = 2 + int(np.log(k))
    runs = []
    for _ in range(n_starts):
        start = _apart(columns, rng.random((k, trials)))
        runs.append(_lloyd(sample, columns, start, _STANDS, _MOST_STEPS))
    best = min(runs, key=lambda run: run[2])
    labels, centres, inertia = _lloyd(sample, columns, best[1], 0.0, _MOST_STEPS)
    if sample is not rows:
        labels, inertia = nearest(rows, centres)
    used = np.unique(labels)
    order = used[np.lexsort(centres[used].T[::-1])]
    place = np.zeros(len(centres), np.int32)
    place[order] = np.arange(order.size)
    inertias = np.array([run[2] for run in runs]) * scale**2
    return Clusters(place[labels], centres[order] * scale + centre, inertia * scale**2, inertias)


def nearest(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the nearest of (K, d) centres for each of (n, d) points, and the sum of the squared distances."""
    columns = np.ascontiguousarray(np.asarray(points, np.float32).T)
    labels = np.zeros(columns.shape[1], np.int32)
    square = np.empty(labels.size, np.float32)
    _assign(columns, np.asarray(centres, np.float32), labels, square)
    return labels, float(square.sum(dtype=np.float64))


@njit(cache=True, nogil=True)
def _assign(columns, centres, labels, square):
    """Set the nearest centre of each point and its squared distance, in place; columns (d, n) let points go abreast."""
    d, n = columns.shape
    away = np.empty(_BLOCK, np.float32)
    for s in range(0, n, _BLOCK):
        m = min(_BLOCK, n - s)
        own, least = labels[s : s + m], square[s : s + m]
        for i in range(m):
            least[i] = np.inf
        for c in range(centres.shape[0]):
            for i in range(m):
                away[i] = 0
            for j in range(d):
                at, x = centres[c, j], columns[j, s : s + m]
                for i in range(m):
                    step = x[i] - at
                    away[i] += step * step
            for i in range(m):
                nearer = away[i] < least[i]
                least[i] = away[i] if nearer else least[i]
                own[i] = c if nearer else own[i]


@njit(cache=True, nogil=True)
def _apart(columns, chance):
    """Return k rows as first centres; chance (k, trials) are uniform numbers."""
    d, n = columns.shape
    k, trials = chance.shape
    centres = np.empty((k, d), np.float32)
    first = min(int(chance[0, 0] * n), n - 1)
    centres[0] = columns[:, first]
    square = np.full(n, np.inf, np.float32)
    tried = np.empty(n, np.float32)
    kept = np.empty(n, np.float32)
    _closer(columns, centres[0], square, kept)
    square[:] = kept
    for c in range(1, k):
        running = np.cumsum(square.astype(np.float64))
        least = np.inf
        for t in range(trials):
            i = min(np.searchsorted(running, chance[c, t] * running[-1], side="right"), n - 1)
            _closer(columns, columns[:, i].copy(), square, tried)
            total = tried.sum()
            if total < least:
                least = total
                centres[c] = columns[:, i]
                kept[:] = tried
        square[:] = kept
    return centres


@njit(cache=True, nogil=True)
def _closer(columns, centre, square, out):
    """Set the squared distance to the nearest centre when one more is there."""
    d, n = columns.shape
    for s in range(0, n, _BLOCK):
        m = min(_BLOCK, n - s)
        away = out[s : s + m]
        for i in range(m):
            away[i] = 0
        for j in range(d):
            at, x = centre[j], columns[j, s : s + m]
            for i in range(m):
                step = x[i] - at
                away[i] += step * step
        before = square[s : s + m]
        for i in range(m):
            away[i] = min(away[i], before[i])


@njit(cache=True, nogil=True)
def _lloyd(rows, columns, centres, stands, most):
    """Return labels, centres and inertia where the centres move by at most `stands`, or no point changes."""
    n, d = rows.shape
    k = centres.shape[0]
    centres = centres.copy()
    labels, before = np.zeros(n, np.int32), np.full(n, -1, np.int32)
    square = np.empty(n, np.float32)
    sums, mass = np.zeros((k, d)), np.zeros(k)
    for _ in range(most):
        _assign(columns, centres, labels, square)
        changed = 0
        for i in range(n):
            now, old = labels[i], before[i]
            if now != old:
                changed += 1
                mass[now] += 1
                for j in range(d):
                    sums[now, j] += rows[i, j]
                if old >= 0:
                    mass[old] -= 1
                    for j in range(d):
                        sums[old, j] -= rows[i, j]
                before[i] = now
        if changed == 0:
            break
        moved = 0.0
        for c in range(k):
            if mass[c] == 0:
                # An empty cluster starts again at the point that is worst off.
                worst = np.argmax(square)
                if square[worst] > 0:
                    centres[c] = rows[worst]
                    square[worst] = 0
                    moved = np.inf
                continue
            for j in range(d):
                at = np.float32(sums[c, j] / mass[c])
                moved += (at - centres[c, j]) ** 2
                centres[c, j] = at
        if moved <= stands:
            break
    _assign(columns, centres, labels, square)
    inertia = 0.0
    for i in range(n):
        inertia += square[i]
    return labels, centres, inertia
