"""Boundary F1: how much of two boundaries lies within a tolerance of each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from segmetry.errors import CalibrationError, OptionError
from segmetry.evaluate.pair import Pair, check_pair
from segmetry.evaluate.ratios import harmonic, mean_over, over
from segmetry.evaluate.scores import Score, table_of

BOUNDARY = table_of(
    Score("precision", "high", "share of the predicted boundary that lies within the tolerance of the true one"),
    Score("recall", "high", "share of the true boundary that lies within the tolerance of the predicted one"),
    Score("f1", "high", "boundary F1 (BF score): harmonic mean of both shares"),
)

# Two lengths that differ by less than this share are one: a tolerance of 0.3 nm reaches three pixels of 0.1 nm.
SLACK = 1e-9


@dataclass(frozen=True, eq=False)
class BoundaryCounts:
    """How many boundary pixels there are, and how many of them are near the other boundary.

    Counts add up over images: ``a + b``. Fields are whole numbers or arrays of any one shape; `boundary_counts` gives
    one entry per class, so resampled sums of shape (B, K) can be scored at once.

    Parameters
    ----------
    n_truth, n_prediction : int or array of int
        Boundary pixels of the truth and of the prediction.
    n_truth_near, n_prediction_near : int or array of int
        Those of them within the tolerance of the other boundary.
    """

    n_truth: Any
    n_truth_near: Any
    n_prediction: Any
    n_prediction_near: Any

    def __add__(self, other: BoundaryCounts) -> BoundaryCounts:
        return BoundaryCounts(
            self.n_truth + other.n_truth,
            self.n_truth_near + other.n_truth_near,
            self.n_prediction + other.n_prediction,
            self.n_prediction_near + other.n_prediction_near,
        )

    def scores(self) -> dict[str, np.ndarray]:
        """Return precision, recall and F1 of every entry (every class), in the shape of the fields.

        A share of no pixels is nan. F1 is 0 where only one of the two has a boundary, nan where neither has.
        """
        n_truth, n_prediction = np.asarray(self.n_truth, float), np.asarray(self.n_prediction, float)
        precision = over(self.n_prediction_near, n_prediction)
        recall = over(self.n_truth_near, n_truth)
        f1 = np.where(n_truth + n_prediction > 0, harmonic(precision, recall), np.nan)
        return {"precision": precision, "recall": recall, "f1": f1}

    def class_means(self) -> dict[str, np.ndarray]:
        """Return the means over the classes, the last axis, that have a boundary in the truth.

        Where no class has one, the classes with a predicted boundary stand in (F1 is 0 then); where there are none
        either, the means are nan. A nan precision, of a class without predicted boundary, is left out of the mean.
        """
        return class_means(self.scores(), np.asarray(self.n_truth) > 0, np.asarray(self.n_prediction) > 0)


def boundary_f1(
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    tolerance: float = 2.0,
    spacing: Sequence[float] | None = None,
    classes: Sequence[int] | None = None,
    ignore: int | np.ndarray | None = None,
) -> dict[str, float]:
    """Return boundary precision, recall and F1 of two masks or class images: the mean over classes of the truth.

    Parameters
    ----------
    truth, prediction : (M, N) or (P, M, N) arrays of int or bool, one shape
        Masks, or class images; 0 is background.
    tolerance : float
        Largest distance of the centres of two boundary pixels that counts as a hit, in the unit of `spacing`.
    spacing : sequence of float, optional
        Length of a pixel along each axis, array order. Pixels by default.
    classes : sequence of int, optional
        Classes to judge, 0 among them if the background counts. By default all of the truth except 0.
    ignore : int or bool array, optional
        A value of the truth, or a mask, that is not to be judged.

    Returns
    -------
    scores : dict
        ``precision``, ``recall``, ``f1``: `BoundaryCounts.class_means` of this image.

    Raises
    ------
    ShapeMismatchError, LabelError
        If the two are no pair of label images, see `check_pair`.
    OptionError, CalibrationError
        If the tolerance is negative, or a spacing is not positive and finite.

    Notes
    -----
    A boundary pixel is a pixel of the class that shares a side (in 3D a face) with a pixel of another value. The frame
    of the image is no boundary: what lies beyond is not known, and it is the same line in both. An ignored pixel is no
    boundary pixel, nor is a pixel whose only other neighbours are ignored.

    For objects that touch each other see `object_boundary_f1`. A number pooled over many images comes from
    `boundary_counts`.

    References
    ----------
    Csurka, Larlus, Perronnin, BMVC 2013, doi:10.5244/C.27.32. They take the share of the image diagonal as tolerance;
    ours is a length that the user names.

    Examples
    --------
    >>> truth = np.zeros((9, 9), bool)
    >>> truth[3:6, 3:6] = True
    >>> boundary_f1(truth, np.roll(truth, 1, axis=1), tolerance=1.0)
    {'precision': 1.0, 'recall': 1.0, 'f1': 1.0}
    >>> round(boundary_f1(truth, np.roll(truth, 1, axis=1), tolerance=0.0)["f1"], 3)
    0.5
    """
    counts = boundary_counts(truth, prediction, tolerance=tolerance, spacing=spacing, classes=classes, ignore=ignore)
    return {name: float(value) for name, value in counts.class_means().items()}


def boundary_counts(
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    tolerance: float = 2.0,
    spacing: Sequence[float] | None = None,
    classes: Sequence[int] | None = None,
    ignore: int | np.ndarray | None = None,
) -> BoundaryCounts:
    """Return the counts behind `boundary_f1`, one entry per class, in the order of `classes`.

    Name the classes where counts of several images are to be added: by default they are those of this truth.
    """
    pair = _door(truth, prediction, ignore)
    reach = _reach(check_tolerance(tolerance), check_spacing(spacing, pair.truth.ndim), pair.truth.shape)
    counts = [_count(pair, value, False, reach) for value in chosen_classes(pair, classes)]
    return BoundaryCounts(*np.array(counts, np.int64).reshape(-1, 4).T)


def object_boundary_f1(
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    tolerance: float = 2.0,
    spacing: Sequence[float] | None = None,
    ignore: int | np.ndarray | None = None,
) -> dict[str, float]:
    """Return boundary precision, recall and F1 of two label images of objects, all objects together.

    The boundary is every pixel of an object that shares a side with the background or with another object, so the
    seam between touching objects counts. Which object a boundary belongs to is not looked at. Parameters and rules
    are those of `boundary_f1`; of two masks both give the same.

    Examples
    --------
    >>> truth = np.array([[1, 1, 1, 2, 2, 2]])
    >>> object_boundary_f1(truth, np.ones_like(truth))
    {'precision': nan, 'recall': 0.0, 'f1': 0.0}
    """
    counts = object_boundary_counts(truth, prediction, tolerance=tolerance, spacing=spacing, ignore=ignore)
    return {name: float(value) for name, value in counts.scores().items()}


def object_boundary_counts(
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    tolerance: float = 2.0,
    spacing: Sequence[float] | None = None,
    ignore: int | np.ndarray | None = None,
) -> BoundaryCounts:
    """Return the counts behind `object_boundary_f1`: four whole numbers."""
    pair = _door(truth, prediction, ignore)
    reach = _reach(check_tolerance(tolerance), check_spacing(spacing, pair.truth.ndim), pair.truth.shape)
    return BoundaryCounts(*_count(pair, 0, True, reach))


def boundary_pixels(labels: np.ndarray, ignored: np.ndarray | None = None) -> np.ndarray:
    """Return the mask of the pixels that `object_boundary_f1` takes for the boundary of a label image.

    Examples
    --------
    >>> boundary_pixels(np.array([[0, 1, 1, 1, 1], [0, 1, 1, 1, 1]])).astype(int)
    array([[0, 1, 0, 0, 0],
           [0, 1, 0, 0, 0]])
    """
    pair = check_pair(labels, labels, ignore=ignored)
    words = _pack(_as_planes(pair.truth, pair.ignored), np.int32(0), True, pair.ignored is not None)
    bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")
    return bits[:, : labels.shape[-1]].reshape(labels.shape).astype(bool)


def check_tolerance(tolerance: float) -> float:
    """Return a tolerance that is a length, or raise OptionError."""
    if not 0 <= tolerance < math.inf:
        raise OptionError(f"tolerance must be a length >= 0, got {tolerance}.")
    return float(tolerance)


def check_spacing(spacing: Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    """Return the lengths of a pixel along each axis, 1 by default, or raise CalibrationError."""
    if spacing is None:
        return (1.0,) * ndim
    lengths = tuple(float(length) for length in spacing)
    if len(lengths) != ndim or not all(0 < length < math.inf for length in lengths):
        raise CalibrationError(
            f"spacing needs one positive, finite length for each of the {ndim} axes, got {lengths}; "
            "leave it out to measure in pixels."
        )
    return lengths


def chosen_classes(pair: Pair, classes: Sequence[int] | None) -> tuple[int, ...]:
    """Return the classes to judge: those named, else all of the truth except 0, else of the prediction, else 1."""
    if classes is not None:
        named = tuple(int(value) for value in classes)
        if not named or min(named) < 0 or len(set(named)) < len(named):
            raise OptionError(f"classes are different labels >= 0, at least one, got {list(classes)}.")
        return named
    for labels in (pair.truth, pair.prediction):
        seen = (labels if pair.ignored is None else labels[~pair.ignored]).ravel()
        high = int(seen.max(initial=0))
        if high > 1:
            found = np.flatnonzero(_present(seen, high)) if high < 2**24 else np.unique(seen)
            return tuple(int(value) for value in found if value > 0)
        if high:
            return (1,)
    return (1,)


def class_means(
    scores: dict[str, np.ndarray], in_truth: np.ndarray, in_prediction: np.ndarray
) -> dict[str, np.ndarray]:
    """Return means over the last axis: over classes of the truth, or of the prediction where the truth has none."""
    counted = np.where(in_truth.any(-1, keepdims=True), in_truth, in_prediction)
    return {name: mean_over(np.where(counted, value, np.nan)) for name, value in scores.items()}


def _door(truth: Any, prediction: Any, ignore: int | np.ndarray | None) -> Pair:
    """Return `check_pair` of the two; masks and small labels that need no check stay one byte a pixel."""
    t, p = np.asarray(truth), np.asarray(prediction)
    small = all(labels.dtype in (np.bool_, np.uint8) for labels in (t, p))
    if small and ignore is None and t.shape == p.shape and t.ndim in (2, 3) and t.size:
        return Pair(np.ascontiguousarray(t).view(np.uint8), np.ascontiguousarray(p).view(np.uint8), None)
    return check_pair(truth, prediction, ignore=ignore)


def _as_planes(labels: np.ndarray, ignored: np.ndarray | None) -> np.ndarray:
    """Return labels as (P, M, N), -1 where ignored."""
    if ignored is not None:
        labels = np.where(ignored, np.int32(-1), labels)
    return labels if labels.ndim == 3 else labels[None]


def _count(pair: Pair, value: int, objects: bool, reach: tuple[np.ndarray, ...]) -> tuple[int, int, int, int]:
    """Return the four counts of one class, or of all objects."""
    planes = [_as_planes(labels, pair.ignored) for labels in (pair.truth, pair.prediction)]
    if value > np.iinfo(planes[0].dtype).max:
        return 0, 0, 0, 0
    t, p = (_pack(array, array.dtype.type(value), objects, pair.ignored is not None) for array in planes)
    n_planes, n_rows, _ = planes[0].shape
    return _near(t, p, n_planes, n_rows, *reach)


def _reach(tolerance: float, spacing: tuple[float, ...], shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Return the disc or ball of the tolerance as rows: plane and row offset and half width, by rising half width."""
    shape, spacing = ((1,) * (3 - len(shape)) + shape), ((1.0,) * (3 - len(spacing)) + spacing)
    diagonal = math.hypot(*(n * length for n, length in zip(shape, spacing)))
    limit = (min(tolerance, diagonal) * (1 + SLACK)) ** 2
    steps = [min(n - 1, int(math.sqrt(limit) / length) + 1) for n, length in zip(shape, spacing)]
    plane, row = (a.ravel() for a in np.mgrid[-steps[0] : steps[0] + 1, -steps[1] : steps[1] + 1])
    rest = (plane * spacing[0]) ** 2 + (row * spacing[1]) ** 2
    # How many of the columns 0, 1, 2, ... are near enough: the sum that a distance is made of, not its inverse.
    columns = (np.arange(steps[2] + 1) * spacing[2]) ** 2
    width = np.array([np.count_nonzero(r + columns <= limit) for r in rest]) - 1
    order = np.argsort(width, kind="stable")
    order = order[width[order] >= 0]
    return plane[order], row[order], width[order]


@njit(cache=True, nogil=True)
def _present(values, high):
    present = np.zeros(high + 1, np.bool_)
    for value in values:
        present[value] = True
    return present


@intrinsic
def _ones(typingctx, word):
    """Return the number of set bits of a uint64: one instruction of the processor."""

    def generate(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), generate


@njit(cache=True, nogil=True)
def _pack(labels, value, objects, some_ignored):
    """Return the boundary of one class, or of all objects, as one bit per pixel: (rows, words) array of uint64."""
    n_planes, n_rows, n = labels.shape
    n_words = (n + 63) // 64
    words = np.empty((n_planes * n_rows, n_words), np.uint64)
    flags = np.zeros(n_words * 64, np.uint8)
    eights = flags.view(np.uint64)
    gather = np.uint64(0x0102040810204080)  # brings the lowest bits of eight bytes together in the top byte
    ignored = np.int32(-1)
    for z in range(n_planes):
        for y in range(n_rows):
            row = labels[z, y]
            above, below = labels[z, max(y - 1, 0)], labels[z, min(y + 1, n_rows - 1)]
            front, back = labels[max(z - 1, 0), y], labels[min(z + 1, n_planes - 1), y]
            if some_ignored:
                for j in range(n):
                    x, other = row[j], False
                    for near in (above[j], below[j], front[j], back[j], row[max(j - 1, 0)], row[min(j + 1, n - 1)]):
                        other |= (near != x) & (near != ignored)
                    flags[j] = ((x == value) ^ objects) & (x != ignored) & other
            else:
                for j in range(n):
                    flags[j] = (above[j] != row[j]) | (below[j] != row[j])
                if n_planes > 1:
                    for j in range(n):
                        flags[j] |= (front[j] != row[j]) | (back[j] != row[j])
                earlier, later = row[:-1], row[1:]
                first, second = flags[: n - 1], flags[1:n]
                for j in range(n - 1):
                    first[j] |= earlier[j] != later[j]
                for j in range(n - 1):
                    second[j] |= earlier[j] != later[j]
                for j in range(n):
                    flags[j] &= (row[j] == value) ^ objects
            line = words[z * n_rows + y]
            for k in range(n_words):
                word = np.uint64(0)
                for q in range(8):
                    word |= ((eights[8 * k + q] * gather) >> np.uint64(56)) << np.uint64(8 * q)
                line[k] = word
    return words


@njit(cache=True, nogil=True)
def _grown(words, n_planes, n_rows, plane, row, width):
    """Return all pixels within the disc or ball of a set one: each row, widened step by step, is laid on its rows."""
    n_lines, n = words.shape
    grown = np.zeros_like(words)
    pad = width[-1] // 64 + 1  # rising, so the last is the widest
    padded = np.zeros(n + 2 * pad, np.uint64)
    wide = np.empty(n, np.uint64)
    for line in range(n_lines):
        source = words[line]
        some = np.uint64(0)
        for k in range(n):
            some |= source[k]
        if some == 0:
            continue
        for k in range(n):
            padded[pad + k] = source[k]
            wide[k] = source[k]
        z, y = line // n_rows, line % n_rows
        done = 0
        for i in range(width.size):
            for step in range(done + 1, width[i] + 1):
                whole, bits = step // 64, np.uint64(step % 64)
                up, down = padded[pad - whole : pad - whole + n], padded[pad + whole : pad + whole + n]
                if bits == 0:
                    for k in range(n):
                        wide[k] |= up[k] | down[k]
                else:
                    carry = np.uint64(64) - bits
                    up1, down1 = padded[pad - whole - 1 :], padded[pad + whole + 1 :]
                    for k in range(n):
                        wide[k] |= (up[k] << bits) | (up1[k] >> carry) | (down[k] >> bits) | (down1[k] << carry)
            done = width[i]
            to_z, to_y = z + plane[i], y + row[i]
            if 0 <= to_z < n_planes and 0 <= to_y < n_rows:
                target = grown[to_z * n_rows + to_y]
                for k in range(n):
                    target[k] |= wide[k]
    return grown


@njit(cache=True, nogil=True)
def _near(truth, prediction, n_planes, n_rows, plane, row, width):
    """Return how many bits are set in the truth, of them near the prediction, and the same the other way round."""
    near_truth = _grown(truth, n_planes, n_rows, plane, row, width).ravel()
    near_prediction = _grown(prediction, n_planes, n_rows, plane, row, width).ravel()
    t, p = truth.ravel(), prediction.ravel()
    n_t, n_t_near, n_p, n_p_near = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    for k in range(t.size):
        n_t += _ones(t[k])
        n_t_near += _ones(t[k] & near_prediction[k])
        n_p += _ones(p[k])
        n_p_near += _ones(p[k] & near_truth[k])
    return n_t, n_t_near, n_p, n_p_near
