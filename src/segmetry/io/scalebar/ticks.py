"""Rows of separate ticks: the scale of some instruments' footers, from the first tick to the last."""

from __future__ import annotations

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
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        x, y, w, h, _ = stats[1:].T if count > 1 else np.zeros((5, 0), int)
        fine = (w <= 6) & (h <= 24)
        if fine.sum() < 8:
            continue
        x, y, w, h = x[fine], y[fine], w[fine], h[fine]
        rows: set[tuple[int, ...]] = set()
        for row in range(crop.shape[0]):
            on = np.flatnonzero((y <= row) & (row < y + h))
            if 8 <= len(on) <= 80:
                rows.add(tuple(on))
        for on in rows:
            members = np.array(on)
            centres = np.array(
                [
                    np.average(np.arange(a, a + b), weights=hat[c : c + d, a : a + b].sum(axis=0, dtype=float) + 1e-9)
                    for a, b, c, d in zip(x[members], w[members], y[members], h[members])
                ]
            )
            order = np.argsort(centres)
            chain = _longest_even_chain(centres[order])
            if len(chain) < 8:
                continue
            c = centres[order][chain]
            index = np.arange(len(c))
            step, start = np.polyfit(index, c, 1)
            residual = float(np.std(c - (start + step * index)))
            if residual > 0.7:
                continue
            who = members[order][chain]
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


def _longest_even_chain(centres: np.ndarray) -> list[int]:
    """Return indices of the longest run of equally spaced positions; other things may lie between them."""
    best: list[int] = []
    n = len(centres)
    for i in range(n - 7):
        for j in range(i + 1, min(i + 6, n)):
            step = centres[j] - centres[i]
            if step < 3:
                continue
            chain = [i, j]
            while True:
                expected = centres[chain[0]] + (centres[chain[-1]] - centres[chain[0]]) / (len(chain) - 1) * len(chain)
                k = int(np.argmin(np.abs(centres - expected)))
                if k <= chain[-1] or abs(centres[k] - expected) > max(0.8, 0.05 * step):
                    break
                chain.append(k)
            if len(chain) > len(best):
                best = chain
    return best
