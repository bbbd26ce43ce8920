"""How well objects were found: matching by overlap, and the scores that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from segmetry.errors import OptionError
from segmetry.evaluate.instance_counts import LEVELS, InstanceCounts
from segmetry.evaluate.overlap import Contingency, contingency

InstanceScores: TypeAlias = dict[str, float]
"""A value for every name in `INSTANCE`."""


class Matches(NamedTuple):
    """Pairs of a true and a found object, and how many of each there are.

    ``truth[i]`` and ``prediction[i]`` are labels whose intersection over union is ``iou[i]``.
    """

    truth: np.ndarray
    prediction: np.ndarray
    iou: np.ndarray
    n_truth: int
    n_prediction: int


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of one image that have a judged pixel.

    Parameters
    ----------
    labels : (L,) array of int
        Rising.
    size : (L,) array of int
        Judged pixels.
    excused : (L,) array of bool
        More than half of the object is ignored: without a partner it is neither missed nor invented.
    """

    labels: np.ndarray
    size: np.ndarray
    excused: np.ndarray


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Every pair of objects that share a judged pixel.

    Parameters
    ----------
    truth, prediction : Objects
    row, column : (E,) int arrays
        Place of each pair's objects in `truth` and in `prediction`.
    shared : (E,) int array
        Pixels the two share.
    iou : (E,) float array
        Those, over the pixels of either.
    """

    truth: Objects
    prediction: Objects
    row: np.ndarray
    column: np.ndarray
    shared: np.ndarray
    iou: np.ndarray

    def matched(self, threshold: float, *, strict: bool = False) -> np.ndarray:
        """Return which pairs are a hit: no object in two of them, as many as can be, of largest total overlap."""
        keep = np.flatnonzero(self.iou > threshold if strict else self.iou >= threshold)
        if threshold > 0.5 or (threshold == 0.5 and strict):
            return keep  # two objects cannot both have more than half of a third
        return keep[_assign(self.row[keep], self.column[keep], self.iou[keep])]

    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Return how many predicted objects lie mostly in each true one, and true ones in each predicted one.

        Mostly: with more than half of their judged pixels. Excused objects are not counted.
        """
        mostly = (2 * self.shared > self.prediction.size[self.column]) & ~self.prediction.excused[self.column]
        inside = np.bincount(self.row[mostly], minlength=self.truth.labels.size)
        mostly = (2 * self.shared > self.truth.size[self.row]) & ~self.truth.excused[self.row]
        return inside, np.bincount(self.column[mostly], minlength=self.prediction.labels.size)


def object_overlaps(table: Contingency) -> Overlaps:
    """Return the objects of both images and their overlaps from the counts of label pairs (see `contingency`)."""
    sides = []
    for side, labels, apart in (
        (table.of_truth, table.truth, None if table.ignored is None else table.ignored.of_truth),
        (table.of_prediction, table.prediction, None if table.ignored is None else table.ignored.of_prediction),
    ):
        first = int(side.labels.size > 0 and side.labels[0] == 0)
        names, size = side.labels[first:], side.size[first:]
        excused = np.zeros(names.size, np.bool_)
        if apart is not None:
            _, here, there = np.intersect1d(names, apart.labels, assume_unique=True, return_indices=True)
            excused[here] = apart.size[there] > size[here]
        sides.append((Objects(names, size, excused), side.place - first, labels > 0))
    (truth, row, true), (prediction, column, found) = sides
    both = np.flatnonzero(true & found)
    row, column, shared = row[both], column[both], table.count[both]
    iou = shared / (truth.size[row] + prediction.size[column] - shared)
    return Overlaps(truth, prediction, row, column, shared, iou)


def _assign(row: np.ndarray, column: np.ndarray, iou: np.ndarray) -> np.ndarray:
    """Return the indices of a largest set of pairs without a common object; of those, one of largest total IoU."""
    alone = (np.bincount(row)[row] == 1) & (np.bincount(column)[column] == 1) if row.size else np.ones(0, np.bool_)
    if alone.all():
        return np.arange(row.size)
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    chosen = [np.flatnonzero(alone)]
    crowd = np.flatnonzero(~alone)
    _, r = np.unique(row[crowd], return_inverse=True)
    _, c = np.unique(column[crowd], return_inverse=True)
    n = int(r.max()) + 1
    size = n + int(c.max()) + 1
    _, group = connected_components(coo_matrix((np.ones(crowd.size), (r, n + c)), shape=(size, size)), directed=False)
    order = np.argsort(group[r], kind="stable")
    for index in np.split(order, np.flatnonzero(np.diff(group[r][order])) + 1):
        _, at_r = np.unique(r[index], return_inverse=True)
        _, at_c = np.unique(c[index], return_inverse=True)
        gain = np.zeros((at_r.max() + 1, at_c.max() + 1))
        which = np.full(gain.shape, -1)
        # One more pair outweighs all the overlap that other pairs can win.
        gain[at_r, at_c] = 1 + iou[crowd[index]] / (min(gain.shape) + 1)
        which[at_r, at_c] = crowd[index]
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
    >>> found = match(np.array([[1, 1, 0, 2]]), np.array([[0, 7, 7, 0]]), threshold=0.3)
    >>> found.truth, found.prediction, found.n_truth
    (array([1], dtype=int32), array([7], dtype=int32), 2)
    """
    if not (0 < threshold <= 1):
        raise OptionError(f"threshold must be in (0, 1], got {threshold}.")
    pairs = object_overlaps(contingency(truth, prediction))
    hit = pairs.matched(threshold)
    t, p = pairs.truth.labels[pairs.row[hit]], pairs.prediction.labels[pairs.column[hit]]
    return Matches(t, p, pairs.iou[hit], pairs.truth.labels.size, pairs.prediction.labels.size)


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
    pairs = object_overlaps(contingency(truth, prediction))
    n_all = pairs.truth.labels.size + pairs.prediction.labels.size
    hits = np.array([pairs.matched(level).size for level in levels], float)
    return hits / (n_all - hits) if n_all else np.ones(levels.size)


def count_instances(truth: Any, prediction: Any, *, ignore: int | np.ndarray | None = None) -> InstanceCounts:
    """Return what every instance score of one image is made of; see `score_instances`."""
    return counts_of(contingency(truth, prediction, ignore=ignore))


def counts_of(table: Contingency) -> InstanceCounts:
    """Return the instance counts that follow from the counts of label pairs."""
    pairs = object_overlaps(table)
    hits = [pairs.matched(level) for level in LEVELS] + [pairs.matched(0.5, strict=True)]
    tp = np.array([hit.size for hit in hits], float)
    fp, fn = (
        np.count_nonzero(~objects.excused)
        - np.array([np.count_nonzero(~objects.excused[at[hit]]) for hit in hits], float)
        for objects, at in ((pairs.prediction, pairs.column), (pairs.truth, pairs.row))
    )
    inside_truth, inside_prediction = pairs.parts()
    splits = np.count_nonzero((inside_truth >= 2) & ~pairs.truth.excused)
    merges = np.count_nonzero((inside_prediction >= 2) & ~pairs.prediction.excused)
    iou = pairs.iou[hits[-1]].sum()
    return InstanceCounts(tp, fp, fn, *(np.array(x, float) for x in (iou, splits, merges, *_clusters(table))))


def _clusters(table: Contingency) -> tuple[float, float, float, float, float]:
    """Return n_foreground, rand_gain, rand_room, bits_split and bits_merge over the pixels of true objects."""
    inside = table.truth > 0
    if not inside.any():
        return 0.0, 0.0, 0.0, 0.0, 0.0
    shared, row = table.count[inside].astype(float), table.of_truth.place[inside]
    of_truth = np.bincount(row, shared)
    claimed = table.prediction[inside] > 0
    bits_split = float((shared * np.log2(of_truth[row] / np.where(claimed, shared, 1.0))).sum())
    shared, column = shared[claimed], table.of_prediction.place[inside][claimed]
    of_prediction = np.bincount(column, shared)
    bits_merge = float((shared * np.log2(of_prediction[column] / shared)).sum())
    n = float(of_truth.sum())
    together, in_truth, in_prediction, possible = (
        float((x * (x - 1)).sum() / 2) for x in (shared, of_truth, of_prediction, np.array(n))
    )
    chance = in_truth * (in_prediction / possible) if possible else 0.0
    return n, together - chance, (in_truth + in_prediction) / 2 - chance, bits_split, bits_merge


def score_instances(truth: Any, prediction: Any, *, ignore: int | np.ndarray | None = None) -> InstanceScores:
    """Return every instance score of one image, by the names in `INSTANCE`.

    Parameters
    ----------
    truth, prediction : arrays of int, one shape, 2D or 3D
        Label images; 0 is background. Gaps in the numbers do not matter.
    ignore : int or bool array, optional
        What is not to be judged: a value of the truth, or a mask that is True there.

    Raises
    ------
    ShapeMismatchError, LabelError
        As `check_pair` says.

    Notes
    -----
    A hit is a pair of a true and a predicted object with IoU >= threshold, each object in one pair at most, as many
    pairs as possible. Only at exactly .5 is there a choice.

    A true object is split when two or more predicted objects lie with more than half of their own pixels in it, and a
    predicted one merges when two or more true ones lie so in it: our own definition, after the over- and
    under-segmentation of Hoover et al., IEEE Trans. Pattern Anal. 18, 673 (1996), doi:10.1109/34.506791, without their
    demand that the parts fill the whole. It is apart from hits: an object that is hit may be split.

    Ignored pixels are in no count. An object all of whose pixels are ignored does not exist. One of which more than
    half is ignored, true or predicted, is a hit where it matches with what is left, and else neither missed nor
    invented: what is seen of it is too little to hold against anyone. (COCO treats predictions in crowds so; doing it
    for both sides keeps the scores symmetric.)

    For empty images and averaging see `InstanceCounts.scores`.

    Examples
    --------
    >>> scores = score_instances(np.array([[1, 1, 0, 2]]), np.array([[5, 5, 0, 0]]))
    >>> scores["ap50"], scores["recall"], scores["count_error"]
    (0.5, 0.5, -1.0)
    """
    return {name: float(value) for name, value in count_instances(truth, prediction, ignore=ignore).scores().items()}
