"""The classes of the nearest painted pixels: a small table instead of a forest."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from segmetry.errors import ReadError

_AT_ONCE = 4096
"""Pixels whose distances to the table are held at once."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Painted pixels with their class; a new pixel gets the classes of the k nearest ones.

    Features are standardised: each counts in its standard deviation over the painted pixels.

    Parameters
    ----------
    table : (T, F) float32 array
        Standardised features of painted pixels.
    owner : (T,) int32 array
        Class of each.
    mean, sd : (F,) float32 arrays
    k : int
        1 to T.
    n_classes : int

    References
    ----------
    Cover & Hart, IEEE Trans. Inf. Theory 13, 21 (1967), doi:10.1109/TIT.1967.1053964.
    """

    table: np.ndarray
    owner: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    k: int
    n_classes: int

    @property
    def n_features(self) -> int:
        """Features of a pixel."""
        return self.table.shape[1]

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the share of each class among the nearest k, (K, n) float32, for features (F, n)."""
        out = np.empty((self.n_classes, features.shape[1]), np.float32)
        squares = (self.table.astype(np.float64) ** 2).sum(1).astype(np.float32)
        for first in range(0, features.shape[1], _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            units = ((features[:, part] - self.mean[:, None]) / self.sd[:, None]).astype(np.float32)
            # The square of the pixel itself is the same for all of the table: it is left out.
            _vote(squares - 2 * (units.T @ self.table.T), self.owner, self.k, out[:, part])
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name: what a file holds."""
        return {name: getattr(self, name) for name in ("table", "owner", "mean", "sd")}


def neighbours_of(features: np.ndarray, owner: np.ndarray, *, k: int, n_classes: int) -> Neighbours:
    """Return the table of painted pixels: features (n, F) and class of each."""
    mean = features.mean(0, dtype=np.float64)
    sd = features.std(0, dtype=np.float64)
    sd[sd == 0] = 1.0
    return Neighbours(
        ((features - mean) / sd).astype(np.float32),
        owner.astype(np.int32),
        mean.astype(np.float32),
        sd.astype(np.float32),
        min(k, len(owner)),
        n_classes,
    )


def check_neighbours(found: Neighbours, *, where: str) -> Neighbours:
    """Return a table that can be used.

    Raises
    ------
    ReadError
        If it cannot; the line begins with `where`.
    """
    kinds = [(a.dtype.str, a.ndim) for a in found.arrays().values()]
    if kinds != [("<f4", 2), ("<i4", 1), ("<f4", 1), ("<f4", 1)]:
        raise ReadError(f"{where}: is damaged, its arrays are of other types; get the model anew.")
    n, n_features = found.table.shape
    fits = len(found.owner) == n and len(found.mean) == len(found.sd) == n_features and 1 <= found.k <= n
    sound = fits and all(np.isfinite(a).all() for a in found.arrays().values()) and bool((found.sd > 0).all())
    if not sound or found.owner.min() < 0 or found.owner.max() >= found.n_classes:
        raise ReadError(f"{where}: is damaged, its arrays do not fit each other; get the model anew.")
    return found


@numba.njit(cache=True, nogil=True)
def _vote(distances, owner, k, out):
    """Write the share of each class among the k least distances of each row."""
    least, whose = np.empty(k, np.float32), np.empty(k, np.int32)
    for i in range(distances.shape[0]):
        least[:] = np.inf
        row = distances[i]
        for j in range(row.size):
            d = row[j]
            if d < least[k - 1]:
                at = k - 1
                while at > 0 and least[at - 1] > d:
                    least[at], whose[at] = least[at - 1], whose[at - 1]
                    at -= 1
                least[at], whose[at] = d, owner[j]
        out[:, i] = 0
        for m in range(k):
            out[whose[m], i] += np.float32(1) / np.float32(k)
