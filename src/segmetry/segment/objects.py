"""Steps between a mask and its objects: holes, specks, and the half-height edge of every object."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numba
import numpy as np


class Components(NamedTuple):
    """Labels of a 2D mask and, per label from 0 (background), area in px and box (column, row, width, height)."""

    labels: np.ndarray
    area: np.ndarray
    box: np.ndarray


def components(mask: np.ndarray, *, connectivity: int = 4) -> Components:
    """Return the connected components of a 2D mask with their areas and boxes.

    Parameters
    ----------
    mask : (M, N) array of uint8 or bool
    connectivity : {4, 8}
        4 for objects, so that a shared corner does not join two of them; 8 for what lies between.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.view(np.uint8), None, None, None, connectivity, cv2.CV_32S
    )
    return Components(labels, stats[:, cv2.CC_STAT_AREA], stats[:, :4])


@numba.njit(cache=True, nogil=True)
def label_areas(labels, n):
    """Area in px of each label 0..n, as (n + 1,) array of int; `numpy.bincount` would copy all labels to int64."""
    area = np.zeros(n + 1, np.int64)
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            area[labels[i, j]] += 1
    return area


def typical_area(areas: np.ndarray) -> float:
    """Return the area-weighted median of areas: half of all that is covered belongs to larger particles. 0 for none."""
    if areas.size == 0 or areas.sum() == 0:
        return 0.0
    rising = np.sort(areas)
    covered = np.cumsum(rising)
    return float(rising[np.searchsorted(covered, covered[-1] / 2)])


def large_components(mask: np.ndarray, min_size: int) -> np.ndarray:
    """Return labels of the 4-connected components of a 2D mask of at least `min_size` pixels; 0 for the others."""
    found = components(mask)
    keep = found.area >= min_size
    keep[0] = False
    return found.labels if keep[1:].all() else np.where(keep, np.arange(keep.size), 0).astype(np.int32)[found.labels]


def remove_small(mask: np.ndarray, min_size: int) -> np.ndarray:
    """Return the 2D mask without its 4-connected objects of fewer than `min_size` pixels."""
    if min_size <= 1:
        return mask
    found = components(mask)
    keep = (found.area >= min_size).astype(np.uint8)
    keep[0] = 0
    return keep[found.labels]


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """Return the 2D mask with its holes filled: background that no 8-connected way joins to the frame."""
    # Flooded from a margin of background: five times as fast as labelling the background.
    outside = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(outside, None, (0, 0), 2, flags=8)
    return (outside[1:-1, 1:-1] != 2).view(np.uint8)


class Surroundings(NamedTuple):
    """How far the nearest object is (px; 0 inside, infinite beyond the reach), and its label (0 beyond the reach)."""

    distance: np.ndarray
    label: np.ndarray


@numba.njit(cache=True, nogil=True)
def _spread(labels, distance, label, length, reach):
    """Write the distance to each object, and its label, round its outline; `length` is that of an offset."""
    height, width = labels.shape
    n = length.shape[0] // 2
    for i in range(height):
        for j in range(width):
            k = labels[i, j]
            if k == 0:
                continue
            label[i, j] = k
            distance[i, j] = 0
            # What lies beyond a neighbour that is an object too is nearer to the neighbour.
            up = n if i > 0 and labels[i - 1, j] == 0 else 0
            down = n if i < height - 1 and labels[i + 1, j] == 0 else 0
            left = n if j > 0 and labels[i, j - 1] == 0 else 0
            right = n if j < width - 1 and labels[i, j + 1] == 0 else 0
            if up + down + left + right == 0:
                continue
            for r in range(max(i - up, 0), min(i + down, height - 1) + 1):
                for c in range(max(j - left, 0), min(j + right, width - 1) + 1):
                    d = length[r - i + n, c - j + n]
                    if d <= reach and d < distance[r, c]:
                        distance[r, c] = d
                        label[r, c] = k


def surroundings(labels: np.ndarray, reach: float) -> Surroundings:
    """Return how far every pixel up to `reach` px from an object is from the nearest one, and that object's label.

    The cost grows with the length of the outlines. Distances are exact, between pixel centres; of two objects equally
    near, the one whose pixel comes first in reading order counts.
    """
    n = int(reach)
    length = np.hypot(*np.mgrid[-n : n + 1, -n : n + 1]).astype(np.float32)
    distance, label = np.full(labels.shape, np.inf, np.float32), np.zeros(labels.shape, np.int32)
    _spread(labels, distance, label, length, reach)
    return Surroundings(distance, label)


@numba.njit(cache=True, nogil=True)
def _inside_and_ring(image, distance, depth, label, n, near, far):
    """Sum and count of each object's pixels, of those within `far` of its edge, and of the ring round it."""
    total, count = np.zeros((3, n + 1)), np.zeros((3, n + 1))
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            k = label[i, j]
            if k == 0:
                continue
            d, value = distance[i, j], np.float64(image[i, j])
            if d == 0:
                total[0, k] += value
                count[0, k] += 1
                if depth[i, j] <= far:
                    total[1, k] += value
                    count[1, k] += 1
            elif d > near:
                total[2, k] += value
                count[2, k] += 1
    return total, count


@numba.njit(cache=True, nogil=True)
def _count_above(image, distance, label, level, reach):
    """Number of pixels that each object would have at its level."""
    n = np.zeros(level.size, np.int64)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            k = label[i, j]
            if k and distance[i, j] <= reach and image[i, j] > level[k]:
                n[k] += 1
    return n


@numba.njit(cache=True, nogil=True)
def _above(image, distance, label, level, fate, reach):
    """Labels of objects that vanish (fate 0), stay as they are (1), or end at their level (2)."""
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            k = label[i, j]
            if k == 0:
                continue
            d = distance[i, j]
            if fate[k] == 0 or d > (reach if fate[k] == 2 else 0) or (fate[k] == 2 and image[i, j] <= level[k]):
                label[i, j] = 0


def half_height(
    image: np.ndarray,
    labels: np.ndarray,
    *,
    near: float = 2,
    far: float = 6,
    reach: float = 5,
    fraction: float = 0.5,
    gate: float = 0,
    edge: float = 0.25,
    most: float = 1.6,
    move: bool = True,
) -> np.ndarray:
    """Return labels whose objects end half-way between their own grey and that of the ring round them.

    Parameters
    ----------
    image : (M, N) array of float32
        Objects are bright.
    labels : (M, N) array of int32
        A first guess of the objects.
    near, far : float
        The ring lies between these distances from the object, in px.
    reach : float
        How far an object may grow, in px.
    fraction : float
        Where the edge lies between the surroundings (0) and the object (1).
    gate : float
        Objects whose mean does not exceed that of the ring by more than ``gate * (1 + 5 / sqrt(area))`` vanish.
    edge : float
        Objects vanish whose outermost `far` px differ from the ring by less than this share of the whole contrast.
    most : float
        An object whose area would change by more than this factor keeps its outline: its ring or its inside is not
        of one grey, and their means say nothing about the edge.
    move : bool
        False only applies the gate.

    Returns
    -------
    labels : (M, N) array of int32
        With the numbers they had; what vanished is missing. An object without a ring stays as it is (others press it
        from all sides), unless it fills half of the image.
    """
    n = int(labels.max(initial=0))
    if n == 0:
        return labels
    about = surroundings(labels, far)
    depth = cv2.distanceTransform((labels > 0).view(np.uint8), cv2.DIST_L2, 3)
    total, count = _inside_and_ring(image, about.distance, depth, about.label, n, near, far)
    n_inside, _, n_ring = count
    inside, rim, ring = total / np.maximum(count, 1)
    contrast = inside - ring
    level = (ring + fraction * contrast).astype(np.float32)
    # Nothing to compare with: pressed in by others it stays, but what fills the image is no object.
    alone = (n_ring == 0) & (n_inside < 0.5 * labels.size)
    # Bumps of noise that a threshold cut out stand out by 0.4 sigma, the smallest of them by up to 0.8 (measured on
    # white noise smoothed by 1 px; areas of 30 to 3000 px): the less area, the more contrast is asked for.
    wanted = gate * (1 + 5 / np.sqrt(np.maximum(n_inside, 1)))
    # A slope of the background has the contrast, but no edge: close to its outline nothing changes.
    stands_out = (contrast > wanted) & (rim - ring > edge * contrast)
    fate = np.where(alone | (stands_out & (n_ring > 0)), 1, 0).astype(np.uint8)
    if move:
        area = np.maximum(_count_above(image, about.distance, about.label, level, reach), 1e-9)
        change = np.maximum(area / np.maximum(n_inside, 1), n_inside / area)
        fate[(fate == 1) & ~alone & (change <= most)] = 2
    _above(image, about.distance, about.label, level, fate, reach)
    return about.label
