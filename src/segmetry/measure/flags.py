"""Doubts about an object that are found on the raster."""

from __future__ import annotations

import numpy as np
from numba import njit

from segmetry.measure.runs import Runs


def touches_mask(runs: Runs, mask: np.ndarray) -> np.ndarray:
    """Return for every object whether a pixel of it, or a neighbour of one (corners count), is True in the mask."""
    import cv2

    # Per plane with OpenCV, across planes by hand: fast, and the same answer as a 3 x 3 x 3 dilation.
    planes = np.ascontiguousarray(mask.reshape(runs.shape3)).view(np.uint8)
    flat = np.stack([cv2.dilate(plane, np.ones((3, 3), np.uint8)) for plane in planes])
    near = flat.copy()
    near[1:] |= flat[:-1]
    near[:-1] |= flat[1:]
    found = np.zeros(runs.n_regions, np.bool_)
    _touches(runs.start, runs.stop, runs.region, runs.first, near.reshape(-1, runs.shape[-1]), found)
    return found


@njit(cache=True, nogil=True)
def _touches(start, stop, region, first, near, found):
    for i in range(first.size - 1):
        for k in range(first[i], first[i + 1]):
            if not found[region[k]]:
                for c in range(start[k], stop[k]):
                    if near[i, c] != 0:
                        found[region[k]] = True
                        break
