"""Rows of separate ticks: the scale of some instruments' footers, from the first tick to the last."""

from __future__ import annotations

from bisect import bisect_left

import cv2
import numpy as np

from segmetry.io.scalebar.bars import Bar
from segmetry.io.scalebar.ocr import Box

USUAL_COUNTS = (11,)
"""Ten equal parts: what instruments draw. Another number means that ticks were missed or that these are no ticks."""


def find_ticks(image: np.ndarray, region: Box) -> list[Bar]:
    """Return rows of at least eight equally spaced upright ticks or dots inside a region, as bars of style ``"ticks"``.

    The length runs from the centre of the first tick to the centre of the last, from a straight line through all of
    them. Rows with another number than eleven ticks come back with a quality of 0.3.

    Parameters
    ----------
    image : (M, N) array of uint8
    region : Box
    """
    crop = image[region.y0 : region.y1, region.x0 : region.x1]
    if min(crop.shape) < 5:
        return []
    found: list[Bar] = []
    for bright in (True, False):
        plane = crop if bright else 255 - crop
        padded = cv2.copyMakeBorder(plane, 0, 0, 9, 9, cv2.BORDER_REPLICATE)
        hat = cv2.morphologyEx(padded, cv2.MORPH_TOPHAT, np.ones((1, 7), np.uint8))[:, 9:-9]
        threshold = max(40, int(0.35 * np.percentile(hat, 99.5)))
        mask = (hat >= threshold).astype(np.uint8)
        _, _, stats, centroids = cv2.connectedComponentsWithStats(mask, connectivity=8)
        x, y, w, h, _ = stats[1:].T
        fine = (w <= 6) & (h <= 24)
        if not 8 <= fine.sum() <= 600:  # more is noise
            continue
        x, y, w, h, middle = x[fine], y[fine], w[fine], h[fine], centroids[1:][fine, 0]
        rows: set[tuple[int, ...]] = set()
        for edge in (y, y + h, y + h // 2):  # ticks of any length share their upper ends, lower ends or middles
            for row in np.unique(edge):
                on = np.flatnonzero(np.abs(edge - row) <= 1)
                if 8 <= len(on) <= 60:
                    rows.add(tuple(on))
        for indices in rows:
            members = np.array(indices)
            members = members[np.argsort(middle[members])]
            chain = _longest_even_chain(middle[members])
            if len(chain) < 8:
                continue
            who = members[chain]
            c = np.array([_centre(hat[y[k] : y[k] + h[k]], x[k] - 1, x[k] + w[k] + 1) for k in who])
            index = np.arange(len(c))
            step, start = np.polyfit(index, c, 1)
            residual = float(np.std(c - (start + step * index)))
            if residual > 0.7:
                continue
            top, bottom = int(np.median(y[who])), int(np.median(y[who] + h[who]))
            right_number = len(c) in USUAL_COUNTS
            found.append(
                Bar(
                    x0=region.x0 + float(start),
                    x1=region.x0 + float(start + step * index[-1]),
                    top=region.y0 + top,
                    bottom=region.y0 + max(bottom, top + 1),
                    level=255.0 if bright else 0.0,
                    contrast=float(threshold if bright else -threshold),
                    quality=1.0 if right_number else 0.3,
                    u_length=float(np.hypot(0.3, residual)),
                    style="ticks",
                )
            )
    found.sort(key=lambda b: (-b.quality, -b.length))
    return found[:2]


def _centre(rows: np.ndarray, start: int, stop: int) -> float:
    """Return the centre of what lies between two columns, the faint pixels at its edges included."""
    columns = np.arange(max(start, 0), min(stop, rows.shape[1]))
    weight = rows[:, columns].sum(axis=0, dtype=np.float64)
    return float(np.dot(weight, columns) / weight.sum())


def _longest_even_chain(centres: np.ndarray) -> list[int]:
    """Return indices of the longest run of equally spaced positions; other things may lie between them."""
    places = [float(c) for c in centres]
    best: list[int] = []
    n = len(places)
    for i in range(n - 7):
        for j in range(i + 1, min(i + 6, n)):
            step = places[j] - places[i]
            if step < 3 or places[i] + 7 * 0.95 * step > places[-1]:
                continue
            chain = [i, j]
            while True:
                expected = places[i] + (places[chain[-1]] - places[i]) / (len(chain) - 1) * len(chain)
                k = bisect_left(places, expected)
                if k == n or (k > 0 and expected - places[k - 1] < places[k] - expected):
                    k -= 1
                if k <= chain[-1] or abs(places[k] - expected) > min(1.3, 0.2 * step):
                    break
                chain.append(k)
            if len(chain) > len(best):
                best = chain
    return best
