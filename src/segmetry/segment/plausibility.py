"""How much a label image looks like one of particles: the judge between candidate segmentations of one image."""

from __future__ import annotations

import cv2
import numba
import numpy as np

CUES = ("edge", "solidity", "share", "frame", "number", "spread", "separation", "size", "largest")
WEIGHTS = np.array(
    [
        [0.01293, -0.2218, 0.5508, -0.4742, 0.1575, -0.04321, 0.07979, 0.03289, 0.1101],
        [-0.0004163, 0.6498, -0.1796, 0.08866, -0.009294, -0.05391, -0.002597, -0.007655, -0.597],
    ]
)
"""Weights of the cues and of their squares: ridge regression of the average precision at IoU 0.5 on the 366 EMPS
training images (`studies/emps_hybrid.py`). Only differences between candidates of one image have a meaning."""


@numba.njit(cache=True, nogil=True)
def _sums(labels, image, slope, n):
    """Per label: area and sum of grey and its square; slope and length of all outlines; foreground on the frame."""
    height, width = labels.shape
    area = np.zeros(n + 1)
    grey, square = np.zeros(2), np.zeros(2)
    edge, length, frame = 0.0, 0.0, 0.0
    for i in range(height):
        for j in range(width):
            k = labels[i, j]
            area[k] += 1
            side = 1 if k else 0
            value = np.float64(image[i, j])
            grey[side] += value
            square[side] += value * value
            if (i > 0 and labels[i - 1, j] != k) or (j > 0 and labels[i, j - 1] != k):
                edge += slope[i, j]
                length += 1
            if k and (i == 0 or j == 0 or i == height - 1 or j == width - 1):
                frame += 1
    return area, grey, square, edge, length, frame


def slope_of(image: np.ndarray) -> np.ndarray:
    """Return the steepness of a 2D float32 image, in units of its 95 % quantile."""
    gx, gy = cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1)
    slope = cv2.magnitude(gx, gy)
    top = float(np.quantile(slope[::3, ::3], 0.95))
    return slope / np.float32(top if top > 0 else 1)


def cues(labels: np.ndarray, image: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Return what the plausibility is judged by, in the order of `CUES`.

    Parameters
    ----------
    labels : (M, N) array of int32
        Particles 1..L.
    image : (M, N) array of float32
        Particles are bright.
    slope : (M, N) array of float32
        Its steepness, from `slope_of`.

    Returns
    -------
    cues : (9,) array of float
        Mean slope on the outlines; area-weighted solidity; share of the area; share of the frame that is covered;
        logarithm of the number; spread of the logarithm of the areas; difference of the means of particles and rest
        over their pooled standard deviation; logarithm of the mean area as a share of the image; the largest
        particle's share of the image. Zeros where there is no particle.
    """
    n = int(labels.max(initial=0))
    if n == 0:
        return np.zeros(len(CUES))
    area, grey, square, edge, length, frame = _sums(labels, image, slope, n)
    total, inside = float(labels.size), float(area[1:].sum())
    outside = total - inside
    mean = grey / np.maximum([outside, inside], 1)
    variance = np.maximum(square / np.maximum([outside, inside], 1) - mean**2, 0)
    pooled = np.sqrt((outside * variance[0] + inside * variance[1]) / total)
    rim = 2 * sum(labels.shape) - 4
    return np.array(
        [
            edge / max(length, 1),
            mean_solidity(labels),
            inside / total,
            frame / max(rim, 1),
            np.log(n),
            np.log(area[1:]).std(),
            (mean[1] - mean[0]) / (pooled + 1e-6) if outside else 0.0,
            np.log(inside / n / total),
            area[1:].max() / total,
        ]
    )


def mean_solidity(labels: np.ndarray, *, most: int = 60) -> float:
    """Return the area over convex area of the largest particles, weighted by area."""
    # Outlines of neighbours must not join: only pixels whose right and lower neighbours are alike are kept.
    apart = labels > 0
    apart[:-1] &= (labels[:-1] == labels[1:]) | (labels[1:] == 0)
    apart[:, :-1] &= (labels[:, :-1] == labels[:, 1:]) | (labels[:, 1:] == 0)
    outlines, _ = cv2.findContours(apart.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    weighted = whole = 0.0
    for outline in sorted(outlines, key=len, reverse=True)[:most]:
        hull = cv2.convexHull(outline)
        # The polygons run through pixel centres: half a pixel all round is missing from both.
        area = cv2.contourArea(outline) + len(outline) / 2 + 1
        convex = cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1
        weighted += area * min(area / convex, 1.0)
        whole += area
    return weighted / whole if whole else 0.0


def score(found: np.ndarray) -> float:
    """Return the plausibility of a candidate from its cues: differences estimate those in average precision."""
    return float((np.stack([found, found**2]) * WEIGHTS).sum())
