"""Every pair of labels that share a pixel, counted in one pass: what all overlap scores are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from segmetry.errors import LabelError
from segmetry.evaluate.pair import check_pair
from segmetry.measure.runs import lowest_bit

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
        key, count = _count(truth.ravel(), prediction.ravel(), None)
        if not np.any(key & _NEGATIVE):
            return _tables(key, count)  # what the door asks was seen on the way: two readings saved
    pair = check_pair(truth, prediction, ignore=ignore)
    mask = None if pair.ignored is None else pair.ignored.view(np.uint8).ravel()
    return _tables(*_count(pair.truth.ravel(), pair.prediction.ravel(), mask))


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
    """Return the pairs of judged pixels in order, and with them those of ignored pixels."""
    order = np.argsort(key)  # the keys of ignored pixels are negative: they come first
    key, count = key[order], count[order]
    n_ignored = int(np.searchsorted(key, 0))
    truth = (key >> 32 & 0x7FFFFFFF).astype(np.int32)
    prediction = (key & 0xFFFFFFFF).astype(np.int32)
    judged, apart = slice(n_ignored, None), slice(0, n_ignored)
    ignored = Contingency(truth[apart], prediction[apart], count[apart]) if n_ignored else None
    return Contingency(truth[judged], prediction[judged], count[judged], ignored)


def _side(labels: np.ndarray, count: np.ndarray) -> Side:
    if not labels.size:
        return Side(np.zeros(0, labels.dtype), np.zeros(0, np.int64), np.zeros(0, np.int64))
    high = int(labels.max())
    if high > 4 * labels.size + 1_000_000:  # numbers far apart: sorting is cheaper than a table of all of them
        names, place = np.unique(labels, return_inverse=True)
    else:
        present = np.zeros(high + 1, np.bool_)
        present[labels] = True
        names = np.flatnonzero(present).astype(labels.dtype)
        number = np.zeros(high + 1, np.int64)
        number[names] = np.arange(names.size)
        place = number[labels]
    size = np.zeros(names.size, np.int64)
    np.add.at(size, place, count)
    return Side(names, size, place)


def _pixels(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """Load 64 neighbours of a flat array as one vector."""
    item = context.get_value_type(kind.dtype)
    data = make_array(kind)(context, builder, array).data
    vector = ir.VectorType(item, 64)
    loaded = builder.load(builder.bitcast(cgutils.gep(builder, data, at), vector.as_pointer()))
    loaded.align = kind.dtype.bitwidth // 8
    return loaded


@intrinsic
def changes(typingctx, array, at):
    """Return 64 bits: bit b says whether pixel at + b of a flat array differs from the one before it."""

    def generate(context, builder, signature, args):
        before = builder.sub(args[1], ir.Constant(args[1].type, 1))
        here, there = (_pixels(context, builder, signature.args[0], args[0], i) for i in (args[1], before))
        return builder.bitcast(builder.icmp_unsigned("!=", here, there), ir.IntType(64))

    return types.uint64(array, types.int64), generate


_FREE = np.int64(1 << 31)  # key of a free slot: no pair has it, for labels are not negative
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: neighbouring keys go to far slots


def _empty(bits: int) -> np.ndarray:
    """Return a hash table with 2**bits slots: key, count, key, count, ..."""
    table = np.zeros(2 << bits, np.int64)
    table[::2] = _FREE
    return table


def _count(truth: np.ndarray, prediction: np.ndarray, ignored: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys of all pairs and their pixels; bit 63: ignored, bits 32-62: truth, bits 0-31: prediction."""
    bits = 12
    table = _empty(bits)
    base, start = 1, 0
    while True:
        base, start = _fill(truth, prediction, ignored, base, start, table, np.uint64(64 - bits))
        if base > truth.size:
            used = np.flatnonzero(table[1::2])
            return table[2 * used], table[2 * used + 1]
        bits += 2
        larger = _empty(bits)
        _move(table, larger, np.uint64(64 - bits))
        table = larger


@njit(cache=True, nogil=True)
def _move(table, larger, shift):
    last, one, two = np.uint64(larger.size - 1), np.uint64(1), np.uint64(2)
    for i in range(0, table.size, 2):
        if table[i + 1] != 0:
            s = ((np.uint64(table[i]) * _SPREAD) >> shift) << one
            while larger[s + one] != 0:
                s = (s + two) & last
            larger[s], larger[s + one] = table[i], table[i + 1]


@njit(cache=True, nogil=True)
def _fill(truth, prediction, ignored, base, start, table, shift):
    """Add runs to the table, from pixel `base` on, the first of them begun at `start`, until the end or half full."""
    n = truth.size
    none, one, two, low = np.uint64(0), np.uint64(1), np.uint64(2), np.int64(0xFFFFFFFF)
    last = np.uint64(table.size - 1)
    room = table.size // 4 - 64  # a word ends 64 runs at most
    for i in range(0, table.size, 2):
        room -= table[i + 1] != 0
    while base <= n and room > 0:
        if base + 64 <= n:
            word = changes(truth, base) | changes(prediction, base)
            if ignored is not None:
                word |= changes(ignored, base)
        else:  # the last pixels, one by one; the end of the image is a change
            word = one << np.uint64(n - base)
            for i in range(base, n):
                differs = truth[i] != truth[i - 1] or prediction[i] != prediction[i - 1]
                if ignored is not None:
                    differs = differs or ignored[i] != ignored[i - 1]
                if differs:
                    word |= one << np.uint64(i - base)
        while word != none:
            at = base + np.int64(lowest_bit(word))
            word &= word - one
            pair = np.int64(truth[start]) << 32 | (np.int64(prediction[start]) & low)
            if ignored is not None:
                pair |= np.int64(ignored[start]) << 63
            s = ((np.uint64(pair) * _SPREAD) >> shift) << one
            while table[s] != pair:
                if table[s + one] == 0:
                    table[s] = pair
                    room -= 1
                    break
                s = (s + two) & last
            table[s + one] += at - start
            start = at
        base += 64
    return base, start
