"""Particles found at several scales of one image, put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numba
import numpy as np

from segmetry.errors import ShapeMismatchError
from segmetry.measure.labelling import keep_labels, largest_pieces
from segmetry.segment.grouping import Grouped
from segmetry.segment.objects import label_areas

Box = tuple[slice, slice]
"""Rows and columns of a part of an image."""

PER_PARTICLE = ("score", "peak", "centre", "sigma", "seed")
"""The fields of `Grouped` that have an entry per particle, in order."""


@numba.njit(cache=True, nogil=True)
def _boxes(labels, n):
    """Return first row, first column, row after the last and column after the last of every label from 1 on."""
    box = np.zeros((n, 4), np.int64)
    box[:, 0], box[:, 1] = labels.shape[0], labels.shape[1]
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            k = labels[i, j] - 1
            if k >= 0:
                box[k, 0], box[k, 1] = min(box[k, 0], i), min(box[k, 1], j)
                box[k, 2], box[k, 3] = max(box[k, 2], i + 1), max(box[k, 3], j + 1)
    return box


@numba.njit(cache=True, nogil=True)
def _place(labels, number, box, out, new, free, min_area):
    """Give `new` to the free pixels of one particle if they are enough; return 0 no, 1 all of them, 2 a part."""
    n_all, n_free = 0, 0
    for i in range(box[0], box[2]):
        for j in range(box[1], box[3]):
            if labels[i, j] == number:
                n_all += 1
                n_free += out[i, j] == 0
    if n_free < max(min_area, 1) or n_free <= free * n_all:
        return 0
    for i in range(box[0], box[2]):
        for j in range(box[1], box[3]):
            if labels[i, j] == number and out[i, j] == 0:
                out[i, j] = new
    return 1 if n_free == n_all else 2


@numba.njit(cache=True, nogil=True)
def _merge(first, second, which, number, box, n_before, free, min_area, out):
    """Place particles in the order given and number them on; return which stayed, and whether one lost a part."""
    kept, partly = np.zeros(which.size, np.bool_), False
    n = n_before
    for k in range(which.size):
        labels = first if which[k] == 0 else second
        fate = _place(labels, number[k], box[k], out, n + 1, free, min_area)
        if fate:
            n += 1
            kept[k] = True
            partly |= fate == 2
    return kept, partly


def select(found: Grouped, keep: np.ndarray) -> Grouped:
    """Return only the particles for which `keep` (L,) is True."""
    if keep.all():
        return found
    labels = keep_labels(found.labels, np.append(False, keep))
    return Grouped(labels, *(getattr(found, name)[keep] for name in PER_PARTICLE))


def areas(found: Grouped) -> np.ndarray:
    """Return the area (L,) of every particle in px."""
    return label_areas(found.labels, found.n)[1:]


def merge(first: Grouped, second: Grouped, *, free: float = 0.7, min_area: int = 9) -> Grouped:
    """Return the particles of two groupings of one image, without those that find their place taken.

    The particle with the higher score takes its pixels first, of equals that of `first`.

    Parameters
    ----------
    first, second : Grouped
        With labels of one shape.
    free : float
        A particle stays if more than this share of its pixels is not taken yet; it keeps those, in one piece.
    min_area : int
        Least area (px) of what it keeps.

    Raises
    ------
    ShapeMismatchError
        If the labels differ in shape.
    """
    if first.labels.shape != second.labels.shape:
        raise ShapeMismatchError(
            f"merge: labels are {first.labels.shape} and {second.labels.shape}; paint both on the same image."
        )
    if not second.n:
        return first
    which = np.repeat([0, 1], [first.n, second.n])
    number = np.append(np.arange(1, first.n + 1), np.arange(1, second.n + 1))
    order = np.lexsort((which, -np.append(first.score, second.score)))
    box = np.concatenate([_boxes(first.labels, first.n), _boxes(second.labels, second.n)])
    out = np.zeros(first.labels.shape, np.int32)
    kept, partly = _merge(
        first.labels, second.labels, which[order], number[order], box[order], 0, float(free), int(min_area), out
    )
    both = _joined(out, [first, second], order[kept])
    if not partly:
        return both
    both = replace(both, labels=largest_pieces(out))
    return select(both, areas(both) >= min_area)


def fill(found: Grouped, parts: Iterable[tuple[Box, Grouped]], *, free: float = 0.7, min_area: int = 9) -> Grouped:
    """Return particles with those of parts of the image that lie in their gaps.

    Parameters
    ----------
    found : Grouped
        All of these stay as they are.
    parts : iterable of ((slice, slice), Grouped)
        Rows and columns of a box, and what was found there, in px of the box. What an earlier part brought stays too.
    free, min_area
        As in `merge`; within a part the particle with the highest score comes first.
    """
    labels, groups, keep = found.labels.copy(), [found], [np.arange(found.n)]
    n, n_before = found.n, found.n
    for box, part in parts:
        order = np.argsort(-part.score, kind="stable")
        out = np.ascontiguousarray(labels[box])
        boxes = _boxes(part.labels, part.n)[order]
        which, number = np.zeros(part.n, np.int64), order + 1
        kept, partly = _merge(part.labels, part.labels, which, number, boxes, n, float(free), int(min_area), out)
        order = order[kept]
        if partly:
            new = largest_pieces(np.where(out > n, out - n, 0))
            enough = np.append(False, np.bincount(new.ravel(), minlength=order.size + 1)[1:] >= min_area)
            new, order = keep_labels(new, enough), order[enough[1:]]
            out = np.where((out > 0) & (out <= n), out, np.where(new > 0, new + n, 0))
        labels[box] = out
        corner = np.array([side.start for side in box])
        groups.append(replace(part, centre=part.centre + corner, seed=part.seed + corner))
        keep.append(order + n_before)
        n, n_before = n + order.size, n_before + part.n
    return _joined(labels, groups, np.concatenate(keep))


def _joined(labels: np.ndarray, groups: list[Grouped], order: np.ndarray) -> Grouped:
    """Return the labels with what is known of their particles, which are those of all groups in this order."""
    return Grouped(labels, *(np.concatenate([getattr(g, name) for g in groups])[order] for name in PER_PARTICLE))
