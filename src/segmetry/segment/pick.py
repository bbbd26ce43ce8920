"""Picking particles: which to keep, and how much that favours some sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from scipy.ndimage import find_objects

SOLIDITY = 0.90
FORM_FACTOR = 0.75
ELLIPSE_RESIDUAL = 0.10
GAP = 2.0
SMALL = 50
"""Limits of an isolated particle: smallest area / convex area, smallest 4 pi A / P^2, largest share of the area that
differs from the ellipse of equal moments, smallest gap to a neighbour (px). Below `SMALL` px of area solidity and form
factor are noise, and only the ellipse and the gap are asked."""


@dataclass(frozen=True)
class Picking:
    """How many particles were dropped, in classes of size with about equal counts.

    ``edges`` (K + 1,) are equivalent diameters in px of what is seen of a particle; ``n`` and ``n_dropped`` (K,) count
    per class.
    """

    rule: str
    n_before: int
    n_kept: int
    edges: tuple[float, ...]
    n: tuple[int, ...]
    n_dropped: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data: ``share_dropped`` is the picking bias as a function of size."""
        return {
            "rule": self.rule,
            "n_before": self.n_before,
            "n_kept": self.n_kept,
            "share_dropped_total": 1 - self.n_kept / self.n_before if self.n_before else 0.0,
            "diameter_edges_px": list(self.edges),
            "n": list(self.n),
            "n_dropped": list(self.n_dropped),
            "share_dropped": [d / n if n else 0.0 for n, d in zip(self.n, self.n_dropped, strict=True)],
        }


class Picked(NamedTuple):
    """Kept particles, numbered 1..L, and the account of what was dropped."""

    labels: np.ndarray
    picking: Picking


def touching_frame(labels: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Return, for labels 0..L, whether the region touches the frame.

    The frame is the bounding box of the valid pixels: a footer is cut off, a hole of ignored text is not a frame.
    """
    touches = np.zeros(int(labels.max(initial=0)) + 1, bool)
    box = [slice(0, n) for n in labels.shape]
    if valid is not None:
        for axis in range(labels.ndim):
            where = np.flatnonzero(valid.any(axis=tuple(a for a in range(labels.ndim) if a != axis)))
            box[axis] = slice(where[0], where[-1] + 1) if where.size else slice(0, 0)
    inside = labels[tuple(box)]
    if inside.size:
        for axis in range(labels.ndim):
            for end in (0, -1):
                touches[np.unique(np.take(inside, end, axis=axis))] = True
    touches[0] = False
    return touches


def isolated(labels: np.ndarray) -> np.ndarray:
    """Return, for labels 0..L of a 2D image, whether the region looks like one particle that stands alone."""
    area = np.bincount(labels.ravel(), minlength=1)
    good = ~_close_to_another(labels) & (area > 0)
    good[0] = False
    boxes = find_objects(labels)
    for label in np.flatnonzero(good):
        mask = np.pad(labels[boxes[label - 1]] == label, 1).view(np.uint8)
        if _ellipse_residual(mask, int(area[label])) > ELLIPSE_RESIDUAL:
            good[label] = False
        elif area[label] >= SMALL:
            good[label] = _is_compact(mask)
    return good


def _close_to_another(labels: np.ndarray) -> np.ndarray:
    """Whether a gap of less than `GAP` px lies between a region and another one."""
    reach = int(np.ceil(GAP))
    close = np.zeros(int(labels.max(initial=0)) + 1, bool)
    for di in range(reach + 1):
        for dj in range(-reach, reach + 1):
            # Pixels k steps apart leave a gap of k - 1.
            if (di, dj) <= (0, 0) or np.hypot(di, dj) - 1 >= GAP:
                continue
            h, w = labels.shape
            a = labels[: h - di, max(0, -dj) : w - max(0, dj)]
            b = labels[di:, max(0, dj) : w - max(0, -dj)]
            meet = (a != b) & (a > 0) & (b > 0)
            close[a[meet]] = True
            close[b[meet]] = True
    return close


def _ellipse_residual(mask: np.ndarray, area: int) -> float:
    """Share of the area that differs from the ellipse of equal second moments."""
    rows, columns = np.nonzero(mask)
    row, column = rows.mean(), columns.mean()
    # A pixel is a square: it adds 1/12 to each variance.
    rr = ((rows - row) ** 2).mean() + 1 / 12
    cc = ((columns - column) ** 2).mean() + 1 / 12
    rc = ((rows - row) * (columns - column)).mean()
    i, j = np.mgrid[: mask.shape[0], : mask.shape[1]]
    i, j = i - row, j - column
    ellipse = (cc * i * i - 2 * rc * i * j + rr * j * j) <= 4 * (rr * cc - rc * rc)
    return float(np.count_nonzero(ellipse != mask.astype(bool)) / area)


def _is_compact(mask: np.ndarray) -> bool:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=len)
    area = cv2.contourArea(outline)
    # The polygon runs through pixel centres; half a pixel all round is missing from its area and its hull's alike.
    length = cv2.arcLength(outline, closed=True)
    hull = cv2.convexHull(outline)
    hull_length = cv2.arcLength(hull, closed=True)
    whole, whole_hull = area + length / 2 + 1, cv2.contourArea(hull) + hull_length / 2 + 1
    if whole / whole_hull < SOLIDITY:
        return False
    return 4 * np.pi * area / max(length * 0.95, 1e-9) ** 2 >= FORM_FACTOR


def pick_particles(
    labels: np.ndarray, rule: str, valid: np.ndarray | None = None, *, dropped_areas: Sequence[int] = ()
) -> Picked:
    """Return the particles that a rule keeps, and how much of each size it dropped.

    Parameters
    ----------
    labels : array of int32
        Particles 1..L.
    rule : {"all", "inside", "isolated"}
        ``"inside"`` drops what touches the frame; ``"isolated"`` drops that too, and keeps only particles that
        stand alone and look like one.
    valid : bool array, optional
        Where the specimen is.
    dropped_areas : sequence of int, optional
        Areas (px) of objects that were dropped before, for their size; they count as dropped.
    """
    area = np.bincount(labels.ravel(), minlength=1)
    n = area.size - 1
    keep = np.ones(n + 1, bool)
    if rule != "all":
        keep = ~touching_frame(labels, valid)
    if rule == "isolated":
        keep &= isolated(labels)
    keep[0] = False
    all_areas = np.concatenate([area[1:], np.asarray(dropped_areas, area.dtype)])
    gone = np.concatenate([~keep[1:], np.ones(len(dropped_areas), bool)])
    size = 2 * np.sqrt(all_areas / np.pi) if labels.ndim == 2 else np.cbrt(6 * all_areas / np.pi)
    n_classes = int(min(8, max(1, size.size // 5)))
    edges = np.unique(np.quantile(size, np.linspace(0, 1, n_classes + 1))) if size.size else np.zeros(0)
    if edges.size == 1:
        edges = np.array([edges[0], edges[0]])
    counts = np.zeros(max(edges.size - 1, 0), int)
    dropped = counts.copy()
    if size.size:
        which = np.clip(np.searchsorted(edges, size, side="right") - 1, 0, counts.size - 1)
        counts = np.bincount(which, minlength=counts.size)
        dropped = np.bincount(which[gone], minlength=counts.size)
    number = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    account = Picking(
        rule,
        size.size,
        int(keep.sum()),
        tuple(float(e) for e in edges),
        tuple(int(c) for c in counts),
        tuple(int(c) for c in dropped),
    )
    return Picked(labels if keep[1:].all() else number[labels], account)
