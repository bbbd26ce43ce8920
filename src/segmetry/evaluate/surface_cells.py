"""Marching cubes: how much of a surface belongs to each side between two pixels, for each of 256 cells."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np


# A cell has pixel centres for corners. Corner (z, y, x) is number 4 z + 2 y + x; the edge along axis a at the places u
# and v of the other two axes is number 4 a + 2 u + v. A side between two pixels is the middle of an edge.
def _corner(place: Sequence[int]) -> int:
    return 4 * place[0] + 2 * place[1] + place[2]


def _edge(one: Sequence[int], other: Sequence[int]) -> int:
    axis = next(a for a in range(3) if one[a] != other[a])
    u, v = (one[a] for a in range(3) if a != axis)
    return 4 * axis + 2 * u + v


@functools.cache
def _loops() -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Return for each of the 256 cells the closed polygons that part inside from outside, as edges in turn.

    Every face of the cell is a marching square: a line joins the two edges where it is crossed. Where all four are
    crossed, the two corners inside are cut off one by one. The lines of the six faces close to polygons.
    """
    squares = []
    for axis, side in itertools.product(range(3), range(2)):
        ring = [list(pair) for pair in ((0, 0), (0, 1), (1, 1), (1, 0))]
        for place in ring:
            place.insert(axis, side)
        squares.append(ring)
    cells = []
    for code in range(256):
        joined: dict[int, list[int]] = {}
        for ring in squares:
            inside = [bool(code >> _corner(place) & 1) for place in ring]
            edges = [_edge(ring[i], ring[(i + 1) % 4]) for i in range(4)]
            crossed = [i for i in range(4) if inside[i] != inside[(i + 1) % 4]]
            if len(crossed) == 2:
                lines = [(edges[crossed[0]], edges[crossed[1]])]
            else:
                lines = [(edges[i - 1], edges[i]) for i in range(4) if inside[i]] if crossed else []
            for one, other in lines:
                joined.setdefault(one, []).append(other)
                joined.setdefault(other, []).append(one)
        polygons = []
        while joined:
            first = min(joined)
            polygon, here = [first], joined.pop(first)[0]
            while here != first:
                ends = joined.pop(here)
                polygon.append(here)
                here = ends[1] if ends[0] == polygon[-2] else ends[0]
            polygons.append(tuple(polygon))
        cells.append(tuple(polygons))
    return tuple(cells)


@functools.lru_cache(maxsize=32)
def area_shares(spacing: tuple[float, ...]) -> np.ndarray:
    """Return the area of the polygons of each of the 256 cells that belongs to each of its 12 edges."""
    middle = np.empty((12, 3))
    for axis, u, v in itertools.product(range(3), range(2), range(2)):
        place = [float(u), float(v)]
        place.insert(axis, 0.5)
        middle[4 * axis + 2 * u + v] = np.array(place) * spacing
    shares = np.zeros((256, 12))
    for code, polygons in enumerate(_loops()):
        for polygon in polygons:
            edges = list(polygon)
            spokes = middle[edges] - middle[edges].mean(axis=0)
            area = np.linalg.norm(np.cross(spokes, np.roll(spokes, -1, axis=0)), axis=1) / 2
            shares[code, edges] += (area + np.roll(area, 1)) / 2
    shares.setflags(write=False)
    return shares
