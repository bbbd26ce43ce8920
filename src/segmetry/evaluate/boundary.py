"""Boundary F1: how much of two boundaries lies within a tolerance of each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmetry.evaluate.boundary_bits import count_near, pack
from segmetry.evaluate.by_class import SLACK, check_spacing, check_tolerance, chosen_classes, class_means
from segmetry.evaluate.pair import Pair, check_pair
from segmetry.evaluate.ratios import harmonic, over
from segmetry.evaluate.scores import Score, table_of

BOUNDARY = table_of(
    Score("precision", "high", "share of the predicted boundary that lies within the tolerance of the true one"),
    Score("recall", "high", "share of the true boundary that lies within the tolerance of the predicted one"),
    Score("f1", "high", "boundary F1 (BF score): harmonic mean of both shares"),
)


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
    words = pack(_as_planes(pair.truth, pair.ignored), np.int32(0), True, pair.ignored is not None)
    bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")
    return bits[:, : labels.shape[-1]].reshape(labels.shape).astype(bool)


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
    t, p = (pack(array, array.dtype.type(value), objects, pair.ignored is not None) for array in planes)
    n_planes, n_rows, _ = planes[0].shape
    return count_near(t, p, n_planes, n_rows, *reach)


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
