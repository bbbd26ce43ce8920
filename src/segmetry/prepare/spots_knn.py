"""Spots by the nearest neighbours of a pixel in the plane of its value and its distance from the median, as a table.

Two features make a decision that is a picture: it is worked out once for every cell of a table, then looked up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from segmetry.errors import ImageError, OptionError, ShapeMismatchError
from segmetry.prepare.medians import median3
from segmetry.prepare.spots import Cleaned, fill_inwards, usable_frame

SIDE = 512
"""Cells of the table along each axis."""

_FINE = 1 << 16  # steps between the least and the largest value; edges of cells lie on them


@dataclass(frozen=True, eq=False)
class Axis:
    """A feature's scale: every cell of the table holds as many of the training pixels as any other, where that can be.

    Parameters
    ----------
    low, step : float
        Where the scale begins, and the width of one of its fine steps.
    cell : (65536,) array of int32
        The cell of each step; values beyond the ends count as the ends.
    """

    low: float
    step: float
    cell: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Axis:
        """Return the scale of training values by their ranks; balanced ones, or most cells would know no spot."""
        low, high = float(values.min()), float(values.max())
        step = (high - low) / _FINE or 1.0
        at = np.clip((values - np.float32(low)) * np.float32(1 / step), 0, _FINE - 1).astype(np.int64)
        counts = np.bincount(at, minlength=_FINE)
        rank = (np.cumsum(counts) - counts / 2) / counts.sum()
        return cls(low, step, np.minimum((rank * SIDE).astype(np.int32), SIDE - 1))

    def cells(self, values: np.ndarray) -> np.ndarray:
        """Return the cell of each value."""
        at = (values.astype(np.float32) - np.float32(self.low)) * np.float32(1 / self.step)
        return self.cell[np.clip(at, 0, _FINE - 1).astype(np.int64)]

    @property
    def edges(self) -> np.ndarray:
        """Lower edge of each cell and the upper one of the last, (SIDE + 1,); an empty cell has the next one's."""
        starts = np.searchsorted(self.cell, np.arange(SIDE + 1))
        return self.low + self.step * starts


@dataclass(frozen=True, eq=False)
class SpotTable:
    """What nearest neighbours say of every cell of the plane of value f and distance d = |f - median of 3 x 3|.

    Parameters
    ----------
    chance : (SIDE, SIDE) array of float32
        Share of the nearest training pixels that are spots, by cell of f and cell of d.
    value, distance : Axis
    """

    chance: np.ndarray
    value: Axis
    distance: Axis

    def mask(self, frame: np.ndarray, *, level: float = 0.5) -> np.ndarray:
        """Return the pixels of a frame, like the one that was learned from, whose chance is above `level`."""
        return self._mask(*usable_frame(frame, 3), level)

    def clean(self, frame: np.ndarray, *, level: float = 0.5) -> Cleaned:
        """Return a frame whose spots, and what is not finite, are filled from their border inwards."""
        pixels, broken = usable_frame(frame, 3)
        replaced = self._mask(pixels, broken, level)
        return Cleaned(fill_inwards(pixels, replaced), replaced)

    def _mask(self, pixels: np.ndarray, broken: np.ndarray, level: float) -> np.ndarray:
        out = np.empty(pixels.shape, np.bool_)
        v, d = self.value, self.distance
        scales = np.array([v.low, 1 / v.step, d.low, 1 / d.step], np.float32)
        _look_up(pixels, median3(pixels), scales, v.cell, d.cell, self.chance > level, out)
        return out | broken if broken.any() else out


@numba.njit(cache=True, nogil=True)
def _look_up(pixels, median, scales, value_cell, distance_cell, table, out):
    low, per, low_d, per_d = scales
    last = np.float32(_FINE - 1)
    for i in range(pixels.shape[0]):
        for j in range(pixels.shape[1]):
            f = pixels[i, j]
            at = min(max((f - low) * per, np.float32(0)), last)
            at_d = min(max((abs(f - median[i, j]) - low_d) * per_d, np.float32(0)), last)
            out[i, j] = table[value_cell[np.int32(at)], distance_cell[np.int32(at_d)]]


def features(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return value and distance from the median of 3 x 3 px of every pixel, float32."""
    pixels, _ = usable_frame(frame, 3)
    return pixels, np.abs(pixels - median3(pixels))


def fit_spot_table(
    frames: list[np.ndarray], spots: list[np.ndarray], *, neighbours: int = 15, negatives: int = 3, seed: int = 0
) -> SpotTable:
    """Return the table that k nearest neighbours make of frames whose spots are known.

    Parameters
    ----------
    frames : list of (M, N) array
        Raw or flat-fielded, as those that the table is for.
    spots : list of (M, N) array of bool
        True where a pixel belongs to a spot.
    neighbours : int
        How many of the nearest training pixels are asked.
    negatives : int
        Training pixels without a spot for each one with: spots are about one pixel in a hundred.
    seed : int
        Of the choice of those.

    Raises
    ------
    ShapeMismatchError
        If frames and masks do not fit.
    ImageError
        If no pixel, or every one, is a spot.

    Notes
    -----
    Both features are brought to the scale of their ranks, so neither dominates the distance. Because of the balance
    0.5 is not a chance of one half: with a hundredth of spots it stands for 0.03 where three negatives are taken. A
    `level` is to be chosen on frames that are known.

    References
    ----------
    A. Kaestner, Segmenting neutron images using machine learning, lecture, Paul Scherrer Institute, 2021: one
    neighbour, features as they are, every training pixel.
    """
    if neighbours < 1 or negatives < 1:
        raise OptionError(f"neighbours and negatives are at least 1, got {neighbours} and {negatives}.")
    for frame, mask in zip(frames, spots):
        if np.shape(frame) != np.shape(mask):
            raise ShapeMismatchError(
                f"a frame is {np.shape(frame)}, its spots {np.shape(mask)}; give one mask a frame."
            )
    if not frames or len(frames) != len(spots):
        raise ShapeMismatchError(f"there are {len(frames)} frames and {len(spots)} masks; give one mask a frame.")
    parts = [features(frame) for frame in frames]
    value, distance = (np.concatenate([part[k].ravel() for part in parts]) for k in range(2))
    truth = np.concatenate([np.asarray(mask, bool).ravel() for mask in spots])
    chosen = balanced(truth, negatives, seed)
    axes = Axis.of(value[chosen]), Axis.of(distance[chosen])
    points = np.column_stack([a.cells(v[chosen]) for a, v in zip(axes, (value, distance))])
    return SpotTable(_chances(points, truth[chosen], neighbours), *axes)


def balanced(truth: np.ndarray, negatives: int, seed: int) -> np.ndarray:
    """Return the indices of all spots and of so many other pixels for each of them, drawn at random."""
    yes, no = np.flatnonzero(truth), np.flatnonzero(~truth)
    if not yes.size or not no.size:
        raise ImageError(
            f"{yes.size} of {truth.size} training pixels belong to spots; a detector learns from both kinds of pixels."
        )
    n = min(no.size, negatives * yes.size)
    return np.sort(np.concatenate([yes, np.random.default_rng(seed).choice(no, n, replace=False)]))


def _chances(points: np.ndarray, truth: np.ndarray, neighbours: int) -> np.ndarray:
    """Return the share of spots among the training pixels nearest to the middle of every cell."""
    from scipy.spatial import cKDTree

    k = min(neighbours, len(points))
    cells = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij"), axis=-1).reshape(-1, 2)
    _, nearest = cKDTree(points).query(cells, k=k)
    return truth[nearest.reshape(len(cells), k)].mean(axis=1, dtype=np.float32).reshape(SIDE, SIDE)


def bivariate_histogram(frame: np.ndarray, table: SpotTable, mask: np.ndarray | None = None) -> np.ndarray:
    """Return how many pixels of a frame fall into each cell of a table, (SIDE, SIDE); of those in `mask` if given.

    ``table.value.edges`` and ``table.distance.edges`` say what the cells are; `table.chance` is drawn on the same axes.
    """
    value, distance = features(frame)
    if mask is not None and mask.shape != value.shape:
        raise ShapeMismatchError(f"the frame is {value.shape}, the mask {mask.shape}; cut both to the same window.")
    keep = np.ones(value.shape, bool) if mask is None else np.asarray(mask, bool)
    cell = table.value.cells(value[keep]).astype(np.int64) * SIDE + table.distance.cells(distance[keep])
    return np.bincount(cell, minlength=SIDE * SIDE).reshape(SIDE, SIDE)
