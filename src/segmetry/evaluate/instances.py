"""How well instances were found: matching by overlap, and average precision that counts what was missed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from segmetry.errors import LabelError, OptionError, ShapeMismatchError


class Matches(NamedTuple):
    """Pairs of a true and a found object, and how many of each there are.

    ``truth[i]`` and ``prediction[i]`` are labels whose intersection over union is ``iou[i]``.
    """

    truth: np.ndarray
    prediction: np.ndarray
    iou: np.ndarray
    n_truth: int
    n_prediction: int


class Overlaps(NamedTuple):
    """Every pair of labels that share a pixel, with their intersection over union."""

    truth: np.ndarray
    prediction: np.ndarray
    iou: np.ndarray
    n_truth: int
    n_prediction: int


def overlaps(truth: np.ndarray, prediction: np.ndarray) -> Overlaps:
    """Return the intersection over union of every pair of objects that share a pixel.

    One joint histogram of label pairs: the cost does not grow with the number of objects.

    Parameters
    ----------
    truth, prediction : arrays of int, one shape
        Label images; 0 is background. Gaps in the numbers do not matter.

    Raises
    ------
    ShapeMismatchError
        If the shapes differ.
    LabelError
        If a label is negative or not a whole number.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
        raise ShapeMismatchError(
            f"truth is {truth.shape} but prediction is {prediction.shape}; "
            "undo the resizing of the prediction, or crop both to the same window."
        )
    for name, labels in (("truth", truth), ("prediction", prediction)):
        if labels.dtype.kind not in "iub":
            raise LabelError(f"{name} holds {labels.dtype}; labels are whole numbers, use labels.astype(np.int32).")
        if labels.dtype.kind == "i" and labels.size and labels.min() < 0:
            raise LabelError(f"{name} holds the label {labels.min()}; labels must be >= 0, and 0 is background.")
    t, p = truth.ravel().astype(np.int64), prediction.ravel().astype(np.int64)
    width = int(p.max(initial=0)) + 1
    area_t, area_p = np.bincount(t, minlength=1), np.bincount(p, minlength=1)
    both = (t > 0) & (p > 0)
    pairs, shared = np.unique(t[both] * width + p[both], return_counts=True)
    label_t, label_p = pairs // width, pairs % width
    iou = shared / (area_t[label_t] + area_p[label_p] - shared)
    return Overlaps(label_t, label_p, iou, int(np.count_nonzero(area_t[1:])), int(np.count_nonzero(area_p[1:])))


def _assign(t: np.ndarray, p: np.ndarray, iou: np.ndarray) -> np.ndarray:
    """Return the indices of a largest set of pairs without a common label; of those, one of largest total IoU."""
    if t.size == 0:
        return np.zeros(0, np.int64)
    _, row = np.unique(t, return_inverse=True)
    _, column = np.unique(p, return_inverse=True)
    n = int(row.max()) + 1
    size = n + int(column.max()) + 1
    _, group = connected_components(
        coo_matrix((np.ones(t.size), (row, n + column)), shape=(size, size)), directed=False
    )
    group = group[row]
    order = np.argsort(group, kind="stable")
    chosen = []
    for index in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if index.size == 1:
            chosen.append(index)
            continue
        _, r = np.unique(row[index], return_inverse=True)
        _, c = np.unique(column[index], return_inverse=True)
        gain = np.zeros((r.max() + 1, c.max() + 1))
        which = np.full(gain.shape, -1)
        # One more pair outweighs all the overlap that other pairs can win.
        gain[r, c] = 1 + iou[index] / (min(gain.shape) + 1)
        which[r, c] = index
        at = which[linear_sum_assignment(gain, maximize=True)]
        chosen.append(at[at >= 0])
    return np.sort(np.concatenate(chosen))


def match(truth: np.ndarray, prediction: np.ndarray, *, threshold: float = 0.5) -> Matches:
    """Return the pairs of true and found objects whose intersection over union reaches a threshold.

    Each object is in one pair at most. The number of pairs is the largest possible, and among such matchings the
    total overlap is the largest. Above 0.5 there is only one.

    Parameters
    ----------
    truth, prediction : arrays of int, one shape
        Label images; 0 is background.
    threshold : float
        Smallest intersection over union of a pair, in (0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> found = match(np.array([[1, 1, 0, 2]]), np.array([[0, 7, 7, 0]]), threshold=0.3)
    >>> found.truth, found.prediction, found.n_truth
    (array([1]), array([7]), 2)
    """
    if not (0 < threshold <= 1):
        raise OptionError(f"threshold must be in (0, 1], got {threshold}.")
    return _match(overlaps(truth, prediction), threshold)


def _match(pairs: Overlaps, threshold: float) -> Matches:
    keep = pairs.iou >= threshold
    t, p, iou = pairs.truth[keep], pairs.prediction[keep], pairs.iou[keep]
    if threshold <= 0.5:
        chosen = _assign(t, p, iou)
        t, p, iou = t[chosen], p[chosen], iou[chosen]
    return Matches(t, p, iou, pairs.n_truth, pairs.n_prediction)


def average_precision(
    truth: np.ndarray, prediction: np.ndarray, thresholds: float | Sequence[float] = (0.5, 0.75)
) -> np.ndarray:
    """Return TP / (TP + FP + FN) of one image at each threshold of intersection over union.

    Both an invented and a missed object cost. Two empty images agree: 1.

    Parameters
    ----------
    truth, prediction : arrays of int, one shape
        Label images; 0 is background.
    thresholds : float or (T,) sequence
        Smallest intersection over union of a hit.

    Returns
    -------
    ap : (T,) array of float

    References
    ----------
    Caicedo et al., Nat. Methods 16, 1247 (2019), doi:10.1038/s41592-019-0612-7, use this quotient. The figure of the
    same name of detection contests is an area under a curve and needs confidences.

    Examples
    --------
    >>> average_precision(np.array([[1, 1, 0, 2]]), np.array([[5, 5, 0, 0]]), 0.5)
    array([0.5])
    """
    levels = np.atleast_1d(np.asarray(thresholds, float))
    if levels.size and not (levels.min() > 0 and levels.max() <= 1):
        raise OptionError(f"thresholds must be in (0, 1], got {thresholds}.")
    pairs = overlaps(truth, prediction)
    n_all = pairs.n_truth + pairs.n_prediction
    hits = np.array([_match(pairs, level).iou.size for level in levels], float)
    return hits / (n_all - hits) if n_all else np.ones(levels.size)
