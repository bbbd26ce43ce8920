"""Every pair of labels that share a pixel, counted in one pass: what all overlap scores are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from segmetry.errors import LabelError
from segmetry.evaluate.label_pairs import count_pairs
from segmetry.evaluate.pair import check_pair

_NEGATIVE = np.int64(-(1 << 63) | 1 << 31)  # bits of a key that a negative label sets


class Side(NamedTuple):
    """The labels of one of the two images, 0 included where it occurs, rising.

    ``size[i]`` is the number of judged pixels of ``labels[i]``; ``place`` gives, for every pair of the contingency,
    where its label stands here.
    """

    labels: np.ndarray
    size: np.ndarray
    place: np.ndarray


@dataclass(frozen=True, eq=False)
class Contingency:
    """How many pixels every pair of labels shares. Label 0, the background, is a label like the others here.

    Parameters
    ----------
    truth, prediction : (E,) arrays of int
        Labels of every pair that occurs, in rising order of (truth, prediction).
    count : (E,) int64 array
        Pixels they share, all > 0.
    ignored : Contingency or None
        The same of the pixels that are not judged; they are in none of the counts above.
    """

    truth: np.ndarray
    prediction: np.ndarray
    count: np.ndarray
    ignored: Contingency | None = None

    @property
    def n_pixels(self) -> int:
        """Number of judged pixels."""
        return int(self.count.sum())

    @cached_property
    def of_truth(self) -> Side:
        """The labels of the truth."""
        return _side(self.truth, self.count)

    @cached_property
    def of_prediction(self) -> Side:
        """The labels of the prediction."""
        return _side(self.prediction, self.count)

    @property
    def truth_labels(self) -> np.ndarray:
        """Labels of the truth that have a judged pixel, rising; 0 included where it occurs."""
        return self.of_truth.labels

    @property
    def truth_sizes(self) -> np.ndarray:
        """Judged pixels of each of them."""
        return self.of_truth.size

    @property
    def prediction_labels(self) -> np.ndarray:
        """Labels of the prediction that have a judged pixel, rising; 0 included where it occurs."""
        return self.of_prediction.labels

    @property
    def prediction_sizes(self) -> np.ndarray:
        """Judged pixels of each of them."""
        return self.of_prediction.size

    def dense(self, n_classes: int) -> np.ndarray:
        """Return the table of a semantic comparison, ``table[truth, prediction]``, int64.

        Parameters
        ----------
        n_classes : int
            Classes are 0 to ``n_classes - 1``; one that does not occur has a row and a column of zeros.

        Raises
        ------
        LabelError
            If a label is not one of the classes.
        """
        for name, labels in (("truth", self.truth), ("prediction", self.prediction)):
            if labels.size and (high := int(labels.max())) >= n_classes:
                raise LabelError(
                    f"{name} holds the class {high}; with {n_classes} classes they are 0 to {n_classes - 1}."
                )
        table = np.zeros((n_classes, n_classes), np.int64)
        table[self.truth, self.prediction] = self.count
        return table


def contingency(truth: Any, prediction: Any, *, ignore: int | np.ndarray | None = None) -> Contingency:
    """Return how many pixels every pair of a true and a predicted label shares.

    The cost is one reading of both images: it does not grow with the number of labels, nor with their values.

    Parameters
    ----------
    truth, prediction : arrays of int or bool, one shape, 2D or 3D
        Label images (objects or classes); 0 is background. Gaps in the numbers do not matter.
    ignore : int or bool array, optional
        What is not to be judged: a value of the truth, or a mask that is True there. Such pixels are in no count; they
        are counted apart, as `Contingency.ignored`.

    Raises
    ------
    ShapeMismatchError
        If the shapes differ.
    LabelError
        If a label is negative or not a whole number, or there are no pixels.

    Notes
    -----
    64 neighbours at a time are compared with the pixel before them, in both images; where neither changes the pair does
    not either, so only the ends of runs are looked at. Run lengths are added into an open hash table of the pairs.

    Examples
    --------
    >>> table = contingency(np.array([[1, 1, 0, 2]]), np.array([[7, 7, 7, 0]]))
    >>> np.stack([table.truth, table.prediction, table.count], axis=1)
    array([[0, 7, 1],
           [1, 7, 2],
           [2, 0, 1]])
    """
    if ignore is None and _is_ready(truth) and _is_ready(prediction) and truth.shape == prediction.shape:
        key, count = count_pairs(truth.ravel(), prediction.ravel(), None)
        if not np.any(key & _NEGATIVE):
            return _tables(key, count)  # what the door asks was seen on the way: two readings saved
    pair = check_pair(truth, prediction, ignore=ignore)
    mask = None if pair.ignored is None else pair.ignored.view(np.uint8).ravel()
    return _tables(*count_pairs(pair.truth.ravel(), pair.prediction.ravel(), mask))


def _is_ready(labels: Any) -> bool:
    return (
        isinstance(labels, np.ndarray)
        and labels.dtype == np.int32
        and labels.flags.c_contiguous
        and labels.flags.aligned
        and labels.ndim in (2, 3)
        and labels.size > 0
    )


def _tables(key: np.ndarray, count: np.ndarray) -> Contingency:
    """Return the pairs of judged pixels, and with them those of ignored pixels, from keys in rising order."""
    n_ignored = int(np.searchsorted(key, 0))  # their keys are negative: they come first
    truth = (key >> 32 & 0x7FFFFFFF).astype(np.int32)
    prediction = (key & 0xFFFFFFFF).astype(np.int32)
    judged, apart = slice(n_ignored, None), slice(0, n_ignored)
    ignored = Contingency(truth[apart], prediction[apart], count[apart]) if n_ignored else None
    return Contingency(truth[judged], prediction[judged], count[judged], ignored)


def _side(labels: np.ndarray, count: np.ndarray) -> Side:
    if not labels.size:
        return Side(np.zeros(0, labels.dtype), np.zeros(0, np.int64), np.zeros(0, np.int64))
    high = int(labels.max())
    if high > 4 * labels.size + 65_536:  # numbers far apart: sorting is cheaper than a table of all of them
        names, place = np.unique(labels, return_inverse=True)
    else:
        present = np.zeros(high + 1, np.bool_)
        present[labels] = True
        names = np.flatnonzero(present).astype(labels.dtype)
        number = np.zeros(high + 1, np.int64)
        number[names] = np.arange(names.size)
        place = number[labels]
    size = np.bincount(place, count, names.size).astype(np.int64)  # exact: sums of pixels stay far below 2**53
    return Side(names, size, place)
