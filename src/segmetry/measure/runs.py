"""Runs: stretches of one label along a line. Every measure is made from them, so the pixels are read once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

from segmetry.errors import LabelError


@dataclass(frozen=True, eq=False)
class Runs:
    """A label image as runs along its last axis, in raster order.

    Parameters
    ----------
    start, stop : (R,) int32 arrays
        Column of the first pixel of a run, and the column after its last.
    region : (R,) int32 array
        Index 0..L-1 of the object that the run belongs to.
    first : (lines + 1,) int64 array
        ``first[i]:first[i + 1]`` are the runs of line i; lines are counted through all planes.
    shape : tuple of int
        Shape of the label image, 2D or 3D.
    labels : (L,) int32 array
        Label of every object, rising.
    """

    start: np.ndarray
    stop: np.ndarray
    region: np.ndarray
    first: np.ndarray
    shape: tuple[int, ...]
    labels: np.ndarray

    @property
    def n_regions(self) -> int:
        """Number of objects."""
        return self.labels.size

    @property
    def shape3(self) -> tuple[int, int, int]:
        """Shape with a plane axis in front, of length 1 for an image."""
        return (1, *self.shape) if len(self.shape) == 2 else self.shape  # type: ignore[return-value]

    def paint(self) -> np.ndarray:
        """Return the label image, int32."""
        image = np.zeros((math.prod(self.shape[:-1]), self.shape[-1]), np.int32)
        _paint(self.start, self.stop, self.region, self.first, self.labels, image)
        return image.reshape(self.shape)


def runs_of_labels(labels: np.ndarray) -> Runs:
    """Return the runs of a label image (contiguous int32; gaps in the numbering are fine).

    Raises
    ------
    LabelError
        If a label is negative.
    """
    lines = labels.reshape(-1, labels.shape[-1]) if labels.size else np.zeros((0, 1), np.int32)
    start, stop, value, first = _runs_of_labels(lines)
    if value.size and (low := int(value.min())) < 0:
        raise LabelError(f"labels must be >= 0, found {low}; set what is no object to 0.")
    names, region = _number(value)
    return Runs(start, stop, region, first, labels.shape, names)


def _number(value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels that occur, rising, and for every run the index of its own."""
    high = int(value.max(initial=0))
    if high > 4 * value.size + 1_000_000:  # numbers far apart: sorting is cheaper than a table of all of them
        names, region = np.unique(value, return_inverse=True)
        return names.astype(np.int32), region.astype(np.int32)
    present = np.zeros(high + 1, np.bool_)
    present[value] = True
    names = np.flatnonzero(present).astype(np.int32)
    if names.size == high:  # 1..L without gaps
        return names, value - np.int32(1)
    index = np.zeros(high + 1, np.int32)
    index[names] = np.arange(names.size, dtype=np.int32)
    return names, index[value]


@njit(cache=True, nogil=True)
def _grow(array, size):
    larger = np.empty(size, array.dtype)
    larger[: array.size] = array
    return larger


@intrinsic
def lowest_bit(typingctx, word):
    """Return the position of the lowest set bit of a uint64 that is not 0: one instruction of the processor."""

    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@njit(cache=True, nogil=True)
def _runs_of_labels(lines):
    n_lines, n = lines.shape
    size = max(1024, n, lines.size // 32)
    start, stop, value = np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.int32)
    first = np.empty(n_lines + 1, np.int64)
    # Byte c says whether pixel c differs from the one before: a loop without branches, then eight pixels at a glance.
    n_words = (n + 7) // 8
    change = np.zeros(8 * n_words, np.uint8)
    words = change.view(np.uint64)
    later, none, one = change[1:], np.uint64(0), np.uint64(1)
    k = 0
    for i in range(n_lines):
        first[i] = k
        if size < k + n + 1:  # a line has at most n runs
            size = max(2 * size, k + n + 1)
            start, stop, value = _grow(start, size), _grow(stop, size), _grow(value, size)
        line = lines[i]
        right, left = line[1:], line[:-1]
        for c in range(n - 1):
            later[c] = right[c] != left[c]
        v = line[0]
        start[k] = 0
        for w in range(n_words):
            word = words[w]
            while word != none:
                at = 8 * w + np.int64(lowest_bit(word) >> np.uint64(3))
                word &= word - one
                if v != 0:
                    stop[k] = at
                    value[k] = v
                    k += 1
                v = line[at]
                start[k] = at
        if v != 0:
            stop[k] = n
            value[k] = v
            k += 1
    first[n_lines] = k
    return start[:k].copy(), stop[:k].copy(), value[:k].copy(), first


@njit(cache=True, nogil=True)
def _paint(start, stop, region, first, labels, image):
    for i in range(first.size - 1):
        line = image[i]
        for k in range(first[i], first[i + 1]):
            line[start[k] : stop[k]] = labels[region[k]]


@njit(cache=True, nogil=True)
def by_region(region, n_regions):
    """Return the order that groups runs by object, and where each object begins in it."""
    begin = np.zeros(n_regions + 1, np.int64)
    for k in range(region.size):
        begin[region[k] + 1] += 1
    for i in range(n_regions):
        begin[i + 1] += begin[i]
    order = np.empty(region.size, np.int64)
    at = begin[:-1].copy()
    for k in range(region.size):
        order[at[region[k]]] = k
        at[region[k]] += 1
    return order, begin


@njit(cache=True, nogil=True)
def lines_of(first):
    """Return the line that every run lies in."""
    lines = np.empty(first[-1], np.int64)
    for i in range(first.size - 1):
        lines[first[i] : first[i + 1]] = i
    return lines
