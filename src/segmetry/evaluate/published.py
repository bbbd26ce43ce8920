"""Protocols of published benchmarks, defects included, so that a figure can be laid beside a printed one."""

from __future__ import annotations

from typing import Any

import numpy as np

from segmetry.errors import LabelError
from segmetry.evaluate.overlap import contingency
from segmetry.evaluate.pair import check_pair
from segmetry.evaluate.scores import Score, table_of

PUBLISHED_EMPS = table_of(
    Score("ap", "high", "area under a precision-recall curve over IoU thresholds; can be gamed, see the docs"),
    Score("ap50", "high", "precision at IoU > .5; what was missed does not count"),
    Score("ap75", "high", "precision at IoU > .75; what was missed does not count"),
    Score("mean_iou", "high", "mean best IoU of the predicted objects, 0 below .5; what was missed does not count"),
)
"""The figures of the EMPS paper, by name."""

SIDE = 512
THRESHOLDS = np.arange(20) / 20
_TINY = 1e-12


def published_emps(truth: Any, prediction: Any) -> dict[str, float]:
    """Return the four figures of the EMPS benchmark for one image, as its authors' code computed them.

    They are offered to be laid beside the published table, and not to judge by: one object that covers the whole image
    has an `ap` of 1. The docs page "Published protocols" measures what they cannot see; `score_instances` is the judge.

    Parameters
    ----------
    truth, prediction : (M, N) arrays of int
        Label images; 0 is background. Both are first resized to 512 x 512 (nearest pixel centre, proportions not kept),
        as the benchmark does.

    Returns
    -------
    scores : dict
        A value for every name in `PUBLISHED_EMPS`. Over a data set their plain mean over images is meant.

    Raises
    ------
    ShapeMismatchError, LabelError
        If the shapes differ, the images are not 2D, or hold no labels.

    Notes
    -----
    Thresholds t are 0, .05, ... .95. A pair overlaps at t when its IoU, in single precision, is larger than t; an
    object may be in several pairs. TP is the number of true objects in a pair, FN that of the others, FP that of
    predicted objects in no pair and of every further pair of a true object. `ap` takes precision and recall from
    t = .95 to t = 0, replaces precision by its running maximum from the side of t = 0, and sums trapezoids from the
    recall at .95 to the recall at 0: the strip before is left out. Where, in half precision, all precisions and recalls
    are 1, it is 1; where all precisions equal their mean and all recalls theirs, it is the mean precision. The mean is
    rounded to half precision for that, as NumPy 1 did when the paper was written (NumPy 2 compares in double precision,
    and 0 comes out instead).

    An empty prediction scores 0 (the authors' code stops there; their sweep over a filter reports zeros). Two empty
    images score 1.

    References
    ----------
    Yildirim and Cole, J. Chem. Inf. Model. (2021), doi:10.1021/acs.jcim.0c01455; details that the paper
    does not give are those of the authors' public code.

    Examples
    --------
    >>> truth = np.eye(4, dtype=int) * [1, 2, 3, 4]
    >>> blob = published_emps(truth, np.ones((4, 4), int))
    >>> round(blob["ap"], 9), blob["mean_iou"]
    (1.0, 0.0)
    """
    pair = check_pair(truth, prediction)
    if pair.truth.ndim != 2:
        raise LabelError(f"published_emps is defined for 2D images, got arrays of shape {pair.truth.shape}.")
    table = contingency(resized(pair.truth, SIDE), resized(pair.prediction, SIDE))
    sides = table.of_truth, table.of_prediction
    n_truth, n_prediction = (int(np.count_nonzero(side.labels)) for side in sides)
    if not n_prediction:
        return dict.fromkeys(PUBLISHED_EMPS, 0.0 if n_truth else 1.0)
    both = (table.truth > 0) & (table.prediction > 0)
    row, column = (side.place[both] for side in sides)
    shared = table.count[both]
    union = sides[0].size[row] + sides[1].size[column] - shared
    iou = (shared.astype(np.float32) / union.astype(np.float32)).astype(float)

    precision, recall = np.zeros(THRESHOLDS.size), np.zeros(THRESHOLDS.size)
    for i, threshold in enumerate(THRESHOLDS):
        above = iou > threshold
        tp = np.unique(row[above]).size
        fp = n_prediction - np.unique(column[above]).size + np.count_nonzero(above) - tp
        precision[i], recall[i] = tp / (tp + fp + _TINY), tp / (n_truth + _TINY)
    best = np.zeros(sides[1].labels.size)
    np.maximum.at(best, column, iou)
    return {
        "ap": _area(recall[::-1], np.maximum.accumulate(precision)[::-1]),
        "ap50": float(precision[10]),
        "ap75": float(precision[15]),
        "mean_iou": float(best[best > 0.5].sum() / n_prediction),
    }


def _area(recall: np.ndarray, precision: np.ndarray) -> float:
    """Return the area under precision over rising recall, with the two special cases of the benchmark."""
    if _all_equal(recall, 1.0) and _all_equal(precision, 1.0):
        return 1.0
    if _all_equal(recall, recall.mean()) and _all_equal(precision, precision.mean()):
        return float(precision.mean())
    return float((np.diff(recall) * (precision[1:] + precision[:-1]) / 2).sum())


def _all_equal(values: np.ndarray, value: float) -> bool:
    return bool((values.astype(np.float16) == np.float16(value)).all())


def resized(labels: np.ndarray, side: int) -> np.ndarray:
    """Return labels at side x side: those of the pixels whose centres are nearest."""
    rows, columns = ((2 * np.arange(side) + 1) * n // (2 * side) for n in labels.shape)
    return np.ascontiguousarray(labels[rows[:, None], columns])
