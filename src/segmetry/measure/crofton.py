"""Perimeter and surface area from pair counts, by the Cauchy–Crofton formula."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from segmetry.measure.moments import DIRECTIONS, PAIRS, N


@lru_cache(maxsize=64)
def weights(spacing: tuple[float, ...]) -> np.ndarray:
    """Return what one crossing of the boundary adds to perimeter (surface area), per direction.

    Parameters
    ----------
    spacing : (row, col) or (plane, row, col)
        Length of a pixel along each axis.

    Returns
    -------
    weights : (4,) or (13,) array of float
        In the order of `moments.DIRECTIONS`.

    Notes
    -----
    Lines in direction v through all pixel centres lie ``area / |v|`` apart (in 3D one per ``volume / |v|`` of cross
    section). A direction stands for all that are nearer to it than to any other: its angle (solid angle on the sphere),
    which also makes the sum right for pixels that are not square.

    References
    ----------
    Legland, Kiêu, Devaux, *Computation of Minkowski measures on 2D and 3D binary images*, Image Anal. Stereol. 26
    (2007) 83, doi:10.5566/ias.v26.p83-92.
    """
    steps = DIRECTIONS[:4, 1:] if len(spacing) == 2 else DIRECTIONS
    vectors = steps * np.asarray(spacing, float)
    length = np.linalg.norm(vectors, axis=1)
    cell = math.prod(spacing)
    if len(spacing) == 2:
        slope = math.atan2(spacing[0], spacing[1])  # of the diagonal against the row
        share = np.array([slope, math.pi / 4, math.pi / 2 - slope, math.pi / 4])  # of the half circle; sums to pi
        return 0.5 * share * cell / length
    from scipy.spatial import SphericalVoronoi

    unit = vectors / length[:, None]
    areas = SphericalVoronoi(np.concatenate([unit, -unit])).calculate_areas()
    share = (areas[:13] + areas[13:]) / (4 * math.pi)
    return 2 * share * cell / length


def boundary(table: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Return the Crofton perimeter (3D: surface area) of every object of a table of sums.

    Notes
    -----
    Along a direction, a pixel whose neighbour is not of the object is where a line leaves it, and each line enters as
    often as it leaves: twice (pixels - pairs) crossings. Outside the frame is not the object.
    """
    per_crossing = weights(tuple(spacing))
    pairs = table[:, PAIRS][:, : per_crossing.size]
    return 2 * (table[:, N : N + 1] - pairs) @ per_crossing
