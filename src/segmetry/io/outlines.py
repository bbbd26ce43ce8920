"""Outlines of labelled objects along the edges of their pixels: exact, closed, with holes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segmetry.errors import LabelError
from segmetry.types import Segmentation

Ring = np.ndarray
"""(K, 2) int32 corners as (row, col), not repeated at the end; pixel (r, c) covers r..r+1 by c..c+1."""


@dataclass(frozen=True, eq=False)
class Outline:
    """The outline of one object.

    Parameters
    ----------
    label : int
        Its label.
    parts : tuple of (shell, holes)
        One for each 4-connected part; `shell` is a ring, `holes` a tuple of rings. The areas of the shells less those
        of the holes are the number of its pixels, exactly. Seen with rows going down, shells run clockwise and holes
        against the clock.
    """

    label: int
    parts: tuple[tuple[Ring, tuple[Ring, ...]], ...]


def outlines(labels: np.ndarray) -> list[Outline]:
    """Return the outline of every object of a label image, by increasing label.

    Parameters
    ----------
    labels : (M, N) array of int
        0 is background.

    Raises
    ------
    LabelError
        If the labels are no two-dimensional array of whole numbers.

    Notes
    -----
    A pixel corner is a corner of an object's outline where one or three of the four pixels around it belong to the
    object, and twice where two do that touch by the corner only. Of an object's corners, sorted along a row, each two
    in turn are the ends of a horizontal edge; along a column, of a vertical one. Edges linked by their ends are the
    rings. A ring that meets itself at a corner is cut there, so that every ring is simple.

    Examples
    --------
    >>> (one,) = outlines(np.array([[0, 0, 0], [0, 7, 7]]))
    >>> one.label, one.parts[0][0].tolist()
    (7, [[1, 1], [1, 3], [2, 3], [2, 1]])
    """
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise LabelError(f"outlines need a 2D array of whole numbers, got {labels.dtype} of shape {labels.shape}.")
    rings = _rings(labels)
    return [Outline(label, _nest(found)) for label, found in sorted(rings.items())]


def flat_labels(labels: Segmentation | np.ndarray, holder: str) -> np.ndarray:
    """Return the label array of a flat image, for a format that holds no others."""
    array = labels.labels if isinstance(labels, Segmentation) else np.asarray(labels)
    if array.ndim != 2:
        raise LabelError(f"{holder} holds flat images only, got labels of shape {array.shape}; write one plane.")
    return array


def ring_area(ring: Ring) -> float:
    """Return the area inside a ring: positive for a shell, negative for a hole.

    Examples
    --------
    >>> ring_area(np.array([[1, 1], [1, 3], [2, 3], [2, 1]]))
    2.0
    """
    row, col = ring[:, 0].astype(np.int64), ring[:, 1].astype(np.int64)
    twice = np.dot(col[:-1], row[1:]) - np.dot(col[1:], row[:-1]) + col[-1] * row[0] - col[0] * row[-1]
    return float(twice) / 2


def _corners(labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return label, row and column of every corner, and its rank among corners at the same place, by row and by column.

    Corners where two pixels of an object touch come twice. Their ranks join the edges of one pixel, so that the
    two do not count as connected: the first takes the edge to the left, and with it the edge above if the pixel above
    left is the object's, else the one below.
    """
    padded = np.pad(labels, 1)
    around = (padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:])
    rows, cols = np.nonzero((around[0] != around[1]) | (around[0] != around[2]) | (around[0] != around[3]))
    four = np.stack([a[rows, cols] for a in around])  # (4, K): above left, above right, below left, below right
    found: list[tuple[np.ndarray, ...]] = []
    for k in range(4):
        same = four == four[k]
        first = ~same[:k].any(axis=0) & (four[k] > 0)
        count = same.sum(axis=0)
        diagonal = (count == 2) & (same[0] == same[3])  # above left with below right, or the other two
        falling = diagonal & (k in (0, 3))
        for rank, chosen in enumerate((first & ((count == 1) | (count == 3) | diagonal), first & diagonal)):
            by_row = np.full(int(chosen.sum()), rank)
            by_col = np.where(falling[chosen], rank, 1 - rank)
            found.append((four[k][chosen], rows[chosen], cols[chosen], by_row, by_col))
    return tuple(np.concatenate(columns) for columns in zip(*found))


def _rings(labels: np.ndarray) -> dict[int, list[Ring]]:
    """Return the simple rings of every label."""
    label, row, col, by_row, by_col = _corners(labels)
    along_row = _pair(np.lexsort((by_row, col, row, label)))
    along_col = _pair(np.lexsort((by_col, row, col, label)))
    height, width = labels.shape
    # Right along a row where the pixel below the edge is the object's: it lies on the right hand.
    other = along_row[np.arange(len(label))]
    left = np.minimum(col, col[other])
    below = np.zeros(len(label), bool)
    inside = row < height
    below[inside] = labels[row[inside], np.minimum(left[inside], width - 1)] == label[inside]
    starts = np.nonzero((col < col[other]) == below)[0]
    starts = starts[np.lexsort((col[starts], row[starts]))]
    next_row, next_col = along_row.tolist(), along_col.tolist()
    names = label.tolist()
    points = np.stack([row, col], axis=1).astype(np.int32)
    keys = (row * (width + 1) + col).tolist()
    done = bytearray(len(names))
    rings: dict[int, list[Ring]] = {}
    for start in starts.tolist():
        if done[start]:
            continue
        found = rings.setdefault(names[start], [])
        path: list[int] = []
        seen: dict[int, int] = {}
        at, horizontal = start, True
        while True:
            done[at] = 1
            key = keys[at]
            if key in seen:
                cut = seen[key]
                found.append(points[path[cut:]])
                for k in path[cut:]:
                    del seen[keys[k]]
                del path[cut:]
            seen[key] = len(path)
            path.append(at)
            at = next_row[at] if horizontal else next_col[at]
            horizontal = not horizontal
            if at == start:
                break
        found.append(points[path])
    return rings


def _pair(order: np.ndarray) -> np.ndarray:
    """Return the partner of each corner, where each two in `order` belong together."""
    partner = np.empty(len(order), np.int64)
    partner[order[0::2]] = order[1::2]
    partner[order[1::2]] = order[0::2]
    return partner


def _nest(rings: list[Ring]) -> tuple[tuple[Ring, tuple[Ring, ...]], ...]:
    """Return shells with their holes."""
    areas = [ring_area(r) for r in rings]
    shells = [r for r, area in zip(rings, areas) if area > 0]
    holes: list[list[Ring]] = [[] for _ in shells]
    for ring in (r for r, area in zip(rings, areas) if area < 0):
        point = _object_pixel_beside(ring)
        around = [k for k, shell in enumerate(shells) if len(shells) == 1 or _contains(shell, point)]
        holes[min(around, key=lambda k: ring_area(shells[k]))].append(ring)
    return tuple((shell, tuple(h)) for shell, h in zip(shells, holes))


def _object_pixel_beside(hole: Ring) -> tuple[float, float]:
    """Return the centre of a pixel of the object that touches a hole: on the right hand of its first edge."""
    (row0, col0), (row1, col1) = hole[0].tolist(), hole[1].tolist()
    down, across = int(np.sign(row1 - row0)), int(np.sign(col1 - col0))
    return row0 + 0.5 * down + 0.5 * across, col0 + 0.5 * across - 0.5 * down


def _contains(ring: Ring, point: tuple[float, float]) -> bool:
    """Whether a point off the lattice lies inside a ring: count the vertical edges to its right."""
    row, col = point
    ends = np.roll(ring, -1, axis=0)
    low, high = np.minimum(ring[:, 0], ends[:, 0]), np.maximum(ring[:, 0], ends[:, 0])
    crossing = (ring[:, 1] == ends[:, 1]) & (low < row) & (row < high) & (ring[:, 1] > col)
    return bool(crossing.sum() % 2)
