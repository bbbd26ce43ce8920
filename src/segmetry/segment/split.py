"""Splitting particles that touch: a watershed of the distance map whose every cut must prove itself."""

from __future__ import annotations

import cv2
import numba
import numpy as np

_BINS = 8  # levels of the distance map per px


@numba.njit(cache=True, nogil=True)
def _root(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@numba.njit(cache=True, nogil=True)
def _half_width(mask, row, column, step_row, step_column, longest):
    """Way from a point to the edge of the mask along a direction; -1 where the frame comes first."""
    t = 0.0
    while t < longest:
        t += 0.5
        i, j = int(np.floor(row + t * step_row + 0.5)), int(np.floor(column + t * step_column + 0.5))
        if i < 1 or j < 1 or i >= mask.shape[0] - 1 or j >= mask.shape[1] - 1:
            return -1.0
        if mask[i, j] == 0:
            return t - 0.25
    return t


@numba.njit(cache=True, nogil=True)
def _is_neck(mask, at, a, b, height_a, height_b, width, depth):
    """Whether the contour is concave at both ends of the cut through `at` between the peaks `a` and `b`."""
    row_a, column_a, row_b, column_b = a // width, a % width, b // width, b % width
    row_s, column_s = float(at // width), float(at % width)
    d_row, d_column = float(row_b - row_a), float(column_b - column_a)
    length = np.sqrt(d_row * d_row + d_column * d_column)
    if length < 1:
        return False
    d_row /= length
    d_column /= length
    # Where the neck lies on the line between the peaks. Pixels shift it a little: the narrowest place near it counts.
    neck = min(max((row_s - row_a) * d_row + (column_s - column_a) * d_column, 0.0), length)
    smaller = min(height_a, height_b)
    wanted = max(1.0, depth * smaller)
    margin = min(0.4 * smaller, 0.4 * length)
    for side in (-1.0, 1.0):
        deepest = -1.0
        along = max(neck - margin, 0.0)
        while along <= min(neck + margin, length):
            row, column = row_a + along * d_row, column_a + along * d_column
            if mask[int(np.floor(row + 0.5)), int(np.floor(column + 0.5))] == 0:
                return True  # the line between the centres leaves the object: deeper than any neck
            # How wide the pair would be here if its outline were straight, and how wide it is.
            straight = height_a + (height_b - height_a) * along / length
            reach = _half_width(mask, row, column, -side * d_column, side * d_row, 2 * straight + 2)
            # Nobody knows how wide it is beyond the frame: that end counts as concave.
            deepest = max(deepest, wanted if reach < 0 else straight - reach)
            along += 1.0
        if deepest < wanted:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _flood(order, flat, mask, basin, parent, peak, kept_apart, neighbours, neck, depth):
    """Give each pixel of one object, in that order, to a basin; basins meet where no neck keeps them apart."""
    width = mask.shape[1]
    n = mask.size
    for p in order:
        best, best_height, several = np.int32(0), np.float32(-1), False
        for step in neighbours:
            k = basin[p + step]
            if k > 0:
                k = _root(parent, k)
                several = several or (best != 0 and k != best)
                if flat[p + step] > best_height:
                    best, best_height = k, flat[p + step]
        if best == 0:
            parent.append(np.int32(len(parent)))
            peak.append(np.int32(p))
            basin[p] = len(parent) - 1
            continue
        basin[p] = best
        if not several:
            continue
        for step in neighbours:
            if basin[p + step] <= 0:
                continue
            a, b = _root(parent, basin[p]), _root(parent, basin[p + step])
            if a == b:
                continue
            high_a, high_b = flat[peak[a]], flat[peak[b]]
            if high_b > high_a or (high_b == high_a and b < a):
                a, b = b, a
                high_a, high_b = high_b, high_a
            pair = np.int64(a) * n + b
            if pair in kept_apart:
                continue
            if flat[p] <= min(neck * high_b, high_b - 0.75) and _is_neck(
                mask, p, peak[a], peak[b], high_a, high_b, width, depth
            ):
                kept_apart.add(pair)
                continue
            parent[b] = a


@numba.njit(cache=True, nogil=True)
def _watershed(distance, mask, neck, depth):
    """Basin of every pixel of a mask with a margin, numbered from 1 and without the margin, flooded from the highest
    distance down.
    """
    height, width = distance.shape
    n = height * width
    flat, inside = distance.ravel(), mask.ravel()
    basin = np.zeros(n, np.int32)  # -1 where a pixel waits for its turn
    parent, peak = [np.int32(0)], [np.int32(0)]
    kept_apart = {np.int64(0)}  # pairs whose first meeting, the neck, has been judged
    # The mask has a margin of background, so no neighbour lies outside the arrays.
    neighbours = (-1, 1, -width, width, -width - 1, -width + 1, width - 1, width + 1)
    members, order = np.empty(n, np.int32), np.empty(n, np.int32)
    for first in range(n):
        if inside[first] == 0 or basin[first] != 0:
            continue
        # One object after the other: what belongs together lies close in memory.
        members[0], basin[first], size, done = first, -1, 1, 0
        top = np.float32(0)
        while done < size:
            p = members[done]
            done += 1
            top = max(top, flat[p])
            for step in neighbours:
                if inside[p + step] and basin[p + step] == 0:
                    basin[p + step] = -1
                    members[size] = p + step
                    size += 1
        highest = int(top * _BINS)
        start = np.zeros(highest + 2, np.int64)
        for m in range(size):
            start[highest - int(flat[members[m]] * _BINS) + 1] += 1
        for k in range(1, highest + 2):
            start[k] += start[k - 1]
        for m in range(size):
            k = highest - int(flat[members[m]] * _BINS)
            order[start[k]] = members[m]
            start[k] += 1
        _flood(order[:size], flat, mask, basin, parent, peak, kept_apart, neighbours, neck, depth)

    number = np.zeros(len(parent), np.int32)
    count = 0
    out = np.zeros((height - 2, width - 2), np.int32)
    for i in range(height - 2):
        row = basin[(i + 1) * width + 1 :]
        for j in range(width - 2):
            if row[j]:
                r = _root(parent, row[j])
                if number[r] == 0:
                    count += 1
                    number[r] = count
                out[i, j] = number[r]
    return out


def split_touching(mask: np.ndarray, *, neck: float = 0.75, depth: float = 0.15) -> np.ndarray:
    """Return the labels of a 2D mask whose objects are cut where they are narrow and concave on both sides.

    Two peaks of the distance map stay two objects only if the neck between them is narrower than `neck` times the
    smaller one, and if at both ends of the cut the contour lies inside the straight outline of the pair by `depth`
    times the smaller radius.

    Parameters
    ----------
    mask : (M, N) array of uint8
    neck : float
        Widest neck that is cut, as a share of the smaller object's width.
    depth : float
        Smallest depth of the notch at each end of a cut, as a share of the smaller object's half width.

    Returns
    -------
    labels : (M, N) array of int32
        Numbered 1..L from the top.
    """
    # Beyond the frame an object goes on, for its distances; for the flooding there is a margin of background.
    inside = mask.view(np.uint8)
    distance = cv2.distanceTransform(cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_REPLICATE), cv2.DIST_L2, 5)
    # Without any background OpenCV's distances have no bound.
    distance = np.minimum(distance, np.float32(max(mask.shape)))
    framed = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return _watershed(distance, framed, neck, depth)
