"""Local thickness: how wide an object is at each of its places, by the largest ball that fits in and covers it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import edt
import numpy as np
from numba import njit

from segmetry.measure.labelling import as_labels
from segmetry.measure.runs import lowest_bit
from segmetry.measure.spacing import checked
from segmetry.types import Calibration

if TYPE_CHECKING:
    import pandas as pd

_TIGHT = 1 - 1e-6
"""Squared distances are float32: a pixel that lies on the surface of a ball shall not fall inside by rounding."""


def local_thickness(labels: np.ndarray, *, calibration: Calibration | None = None) -> np.ndarray:
    """Return the diameter of the largest ball (disk) inside the object that covers a pixel, for each pixel.

    Parameters
    ----------
    labels : (M, N) or (P, M, N) array of int or bool
        Objects, or a phase as a mask; 0 is background. Other objects end an object as the background does. For the
        separation of a phase's parts give its complement: the thickness of the pore space.
    calibration : Calibration, optional
        Length of a pixel along each axis; without it lengths come in px.

    Returns
    -------
    thickness : float32 array of that shape
        0 outside. nan everywhere if one object fills the frame: then nothing bounds it.

    Raises
    ------
    LabelError, ImageError, ShapeMismatchError
        If the labels are none, hold no pixel, or the calibration does not fit.

    Notes
    -----
    A ball around a pixel's centre reaches to the nearest centre of a pixel that is not of the object, and covers the
    centres nearer than that; thickness is twice its radius. Beyond the frame the object goes on, as far as balls know.

    Every ball counts, as by the definition; those are left out that lie, pixel by pixel, within that of a
    neighbour (a table says from which radius on, as in Rémy & Thiel's medial axis). The others are painted from the
    largest down, each pixel once. For unequal spacing the table is coarser and leaves out fewer balls.

    A plate of w pixels along an axis comes out as w where w is even and w + 1 where it is odd: half a pixel too much on
    average. At an angle the middle of a plate comes out .3 px too thick, that of a fibre .2 px too thin, and a ball,
    which has but one centre, .8 px too thin; see `docs/explanation/volumes.md`.

    References
    ----------
    Hildebrand, Rüegsegger, J. Microsc. 185, 67 (1997), doi:10.1046/j.1365-2818.1997.1340694.x: the definition.
    Rémy, Thiel, Image Vis. Comput. 23, 167 (2005), doi:10.1016/j.imavis.2004.06.007: which balls lie in which.

    Examples
    --------
    >>> bar = np.zeros((8, 12), bool)
    >>> bar[2:6] = True
    >>> local_thickness(bar)[:, 5]
    array([0., 0., 4., 4., 4., 4., 0., 0.], dtype=float32)
    """
    labels = np.asarray(labels)
    labels = labels.view(np.uint8) if labels.dtype == np.bool_ else as_labels(labels)
    spacing = np.array(checked(labels, calibration, "local_thickness").spacing)
    unit = spacing.min()
    labels = np.ascontiguousarray(labels)
    # In units of the shortest side, so that squared distances of cubic pixels are whole numbers.
    square = edt.edtsq(labels, anisotropy=tuple(spacing / unit), black_border=False, parallel=1)
    return np.asarray(_largest(square, spacing / unit) * np.float32(2 * unit))


def _largest(square: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Return the radius of the largest ball over each pixel, from squared distances to the outside."""
    top = float(square.max())
    if not np.isfinite(top):
        return np.full(square.shape, np.nan, np.float32)
    volume = square.reshape((1, *square.shape)[-3:])
    steps = np.append(1.0, sides)[-3:] ** 2  # an image is one plane, in which no ball looks up or down
    kept = _kept(volume, _needed(top, steps, volume.shape))
    out = np.zeros(volume.shape, np.float32)
    if kept.size:
        _paint(volume, kept[np.argsort(-volume.ravel()[kept], kind="stable")], steps, out)
    return out.reshape(square.shape)


def _needed(top: float, steps: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return how far a ball must reach to hold another one that lies a step off.

    ``needed[v, b]`` is the largest squared distance, seen from the neighbour, of the pixels whose squared distance from
    the ball's own centre is below b; v counts steps (0 or 1 along each axis) in binary, planes first.
    """
    n = [min(int(np.sqrt(top / s)) + 1, size - 1) for s, size in zip(steps, shape, strict=True)]
    z, y, x = (np.arange(k + 1, dtype=float) for k in n)
    own = steps[0] * z[:, None, None] ** 2 + steps[1] * y[:, None] ** 2 + steps[2] * x**2
    inside = own < top
    bins = own[inside].astype(np.int64) + 1
    needed = np.zeros((8, int(np.ceil(top)) + 2))
    for v in range(1, 8):
        a, b, c = v >> 2 & 1, v >> 1 & 1, v & 1
        away = steps[0] * (z[:, None, None] + a) ** 2 + steps[1] * (y[:, None] + b) ** 2 + steps[2] * (x + c) ** 2
        np.maximum.at(needed[v], bins, away[inside])
    return np.maximum.accumulate(needed, axis=1)


@njit(cache=True, nogil=True)
def _kept(square, needed):
    """Return the places whose ball lies in that of no neighbour."""
    planes, rows, cols = square.shape
    kept = np.empty(square.size, np.int64)
    n = 0
    for p in range(planes):
        for r in range(rows):
            for c in range(cols):
                own = square[p, r, c]
                if own == 0:
                    continue
                at = int(np.ceil(own * _TIGHT))
                free = True
                for i in range(max(p - 1, 0), min(p + 2, planes)):
                    for j in range(max(r - 1, 0), min(r + 2, rows)):
                        for k in range(max(c - 1, 0), min(c + 2, cols)):
                            # Larger than its own, so that no two leave each other out.
                            if square[i, j, k] > own:
                                step = 4 * (i != p) + 2 * (j != r) + (k != c)
                                if square[i, j, k] * _TIGHT > needed[step, at]:
                                    free = False
                    if not free:
                        break
                if free:
                    kept[n] = (p * rows + r) * cols + c
                    n += 1
    return kept[:n]


@njit(cache=True, nogil=True)
def _paint(square, order, steps, out):
    """Write the radius of each ball over the pixels of its that no larger one has, the largest ball first.

    Which pixels are free stands in words of 64 bits, so that a row of a ball that is taken is passed in one or two
    steps. Balls of one radius follow each other and share the widths of their rows.
    """
    planes, rows, cols = square.shape
    n_words = (cols + 63) // 64
    free = np.full((planes, rows, n_words), np.uint64(0xFFFFFFFFFFFFFFFF))
    top = square.flat[order[0]]
    half = np.empty((int(np.sqrt(top / steps[0])) + 2, int(np.sqrt(top / steps[1])) + 2), np.int64)
    last = np.float32(-1)
    up = 0
    for q in range(order.size):
        at = order[q]
        p, r, c = at // (rows * cols), at // cols % rows, at % cols
        own = square[p, r, c]
        if own != last:
            last = own
            reach = own * _TIGHT
            up = int(np.sqrt(reach / steps[0])) if planes > 1 else 0
            for i in range(up + 1):
                for j in range(half.shape[1]):
                    rest = reach - steps[0] * i * i - steps[1] * j * j
                    half[i, j] = int(np.sqrt(rest / steps[2])) if rest >= 0 else -1
        radius = np.float32(np.sqrt(own))
        for i in range(max(p - up, 0), min(p + up + 1, planes)):
            widths = half[abs(i - p)]
            side = 0
            while widths[side + 1] >= 0:
                side += 1
            for j in range(max(r - side, 0), min(r + side + 1, rows)):
                width = widths[abs(j - r)]
                a, b = max(c - width, 0), min(c + width, cols - 1)
                line = free[i, j]
                for w in range(a >> 6, (b >> 6) + 1):
                    word = line[w]
                    if word == 0:
                        continue
                    if w == a >> 6:
                        word &= np.uint64(0xFFFFFFFFFFFFFFFF) << np.uint64(a & 63)
                    if w == b >> 6:
                        word &= np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(63 - (b & 63))
                    line[w] &= ~word
                    while word:
                        out[i, j, 64 * w + np.int64(lowest_bit(word))] = radius
                        word &= word - np.uint64(1)


class Thickness(NamedTuple):
    """Local thickness over the pixels of each object; (L,) arrays, percentiles (L, K)."""

    mean: np.ndarray
    std: np.ndarray
    max: np.ndarray
    percentiles: np.ndarray


def thickness_of(
    thickness: np.ndarray, labels: np.ndarray, numbers: np.ndarray, percentiles: Sequence[float] = (10, 50, 90)
) -> Thickness:
    """Return statistics of a map of local thickness over each object.

    Parameters
    ----------
    thickness : float array
        From `local_thickness`.
    labels : int array of that shape
    numbers : (L,) array of int
        Labels asked for, rising. One that does not occur has nan.
    percentiles : sequence of float
        By volume: at most so much of the object (per cent) is thinner.
    """
    where = np.isin(labels, numbers)
    own, values = labels[where], thickness[where].astype(float)
    order = np.lexsort((values, own))
    own, values = own[order], values[order]
    first = np.searchsorted(own, numbers)
    n = np.searchsorted(own, numbers, side="right") - first
    averages, spreads, largest = (np.full(numbers.size, np.nan) for _ in range(3))
    shares = np.full((numbers.size, len(percentiles)), np.nan)
    some = n > 0
    first, n = first[some], n[some]
    if n.size:
        mean = np.add.reduceat(values, first) / n
        spread = np.add.reduceat((values - np.repeat(mean, n)) ** 2, first) / n
        at = first[:, None] + np.asarray(percentiles) / 100 * (n - 1)[:, None]
        low = at.astype(int)
        high = np.minimum(low + 1, (first + n - 1)[:, None])
        averages[some], spreads[some], largest[some] = mean, np.sqrt(spread), values[first + n - 1]
        shares[some] = values[low] + (at - low) * (values[high] - values[low])
    return Thickness(averages, spreads, largest, shares)


def thickness_table(
    labels: np.ndarray, *, calibration: Calibration | None = None, percentiles: Sequence[float] = (10, 50, 90)
) -> pd.DataFrame:
    """Return mean, spread, largest value and percentiles of the local thickness of every object, a row each.

    Parameters
    ----------
    labels : (M, N) or (P, M, N) array of int or bool
        Objects, or a mask, which is one object.
    calibration : Calibration, optional
    percentiles : sequence of float

    Returns
    -------
    table : pandas.DataFrame
        ``label``, ``thickness_mean``, ``thickness_std``, ``thickness_max``, ``thickness_p10``, ...;
        ``table.attrs["units"]`` maps columns to units. No object gives no row.

    Examples
    --------
    >>> bar = np.zeros((8, 12), bool)
    >>> bar[2:6] = True
    >>> thickness_table(bar)[["label", "thickness_mean", "thickness_p50"]].to_numpy().tolist()
    [[1.0, 4.0, 4.0]]
    """
    import pandas as pd

    labels = np.asarray(labels)
    labels = labels.astype(np.int32) if labels.dtype == np.bool_ else as_labels(labels)
    calibration = checked(labels, calibration, "thickness_table")
    numbers = np.unique(labels)
    numbers = numbers[numbers > 0]
    found = thickness_of(local_thickness(labels, calibration=calibration), labels, numbers, percentiles)
    columns = {"thickness_mean": found.mean, "thickness_std": found.std, "thickness_max": found.max}
    columns |= {f"thickness_p{p:g}": found.percentiles[:, k] for k, p in enumerate(percentiles)}
    table = pd.DataFrame({"label": numbers} | columns)
    table.attrs["units"] = {"label": ""} | dict.fromkeys(columns, calibration.unit)
    return table
