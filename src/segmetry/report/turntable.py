"""A surface seen from all sides: shaded views in a strip, drawn without a graphics card."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numba import njit

from segmetry.errors import LabelError, OptionError
from segmetry.measure.mesh import Mesh

_FINE = 2
"""Views are drawn so many times larger and shrunk, which smooths edges."""


def turntable(
    meshes: Sequence[Mesh],
    colours: Sequence[tuple[int, int, int]],
    *,
    n_views: int = 8,
    side: int = 220,
    tilt: float = 25.0,
    background: tuple[int, int, int] = (255, 255, 255),
) -> np.ndarray:
    """Return shaded views of surfaces from n sides, next to each other, as RGB (side, n_views * side, 3) uint8.

    Parameters
    ----------
    meshes : sequence of Mesh
    colours : sequence of (red, green, blue)
        One for each mesh.
    n_views : int
        Views, equally spaced around the axis of the planes, which points up.
    side : int
        Side of a view in px. All views have one scale, by which the scene fits from every side.
    tilt : float
        Degrees that the eye stands above the horizon, -90 to 90.
    background : (red, green, blue)

    Raises
    ------
    LabelError
        If there is nothing to draw.
    OptionError
        If a number is out of range, or colours are not as many as meshes.

    Notes
    -----
    Parallel projection, so that lengths compare; a depth for each pixel; light from the upper left in front of the
    eye, the shade of a triangle that of the normals at its corners.
    """
    if n_views < 1 or side < 8 or not -90 <= tilt <= 90:
        raise OptionError(f"turntable: n_views from 1, side from 8, tilt -90 to 90; got {n_views}, {side}, {tilt}.")
    if len(colours) != len(meshes):
        raise OptionError(f"turntable: {len(colours)} colours for {len(meshes)} surfaces; give one for each.")
    if not sum(len(mesh.faces) for mesh in meshes):
        raise LabelError("turntable: there is no surface to draw; choose a label that occurs.")
    corners = np.concatenate([mesh.vertices for mesh in meshes])
    low, high = corners.min(axis=0), corners.max(axis=0)
    reach = np.linalg.norm(corners - (low + high) / 2, axis=1).max() or 1.0
    size = _FINE * side
    light = np.array([-0.4, -0.6, -0.7]) / math.sqrt(0.4**2 + 0.6**2 + 0.7**2)
    views = []
    for k in range(n_views):
        turn = _towards_eye(2 * math.pi * k / n_views, math.radians(tilt))
        picture = np.empty((size, size, 3), np.uint8)
        picture[:] = background
        depth = np.full((size, size), np.inf)
        for mesh, colour in zip(meshes, colours, strict=True):
            seen = (mesh.vertices - (low + high) / 2) @ turn.T
            places = np.column_stack([seen[:, :2] * (0.48 * size / reach) + size / 2 - 0.5, seen[:, 2]])
            shade = 0.25 + 0.75 * np.clip((mesh.normals @ turn.T) @ light, 0, 1)
            _draw(places, mesh.faces, shade, np.array(colour, float), picture, depth)
        views.append(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA))
    return np.concatenate(views, axis=1)


def _towards_eye(around: float, tilt: float) -> np.ndarray:
    """Return the rotation from x, y, z to right, down and away from the eye; z points up in the picture."""
    c, s, ct, st = math.cos(around), math.sin(around), math.cos(tilt), math.sin(tilt)
    away = np.array([-s * ct, c * ct, -st])
    right = np.array([c, s, 0.0])
    return np.stack([right, np.cross(away, right), away])


@njit(cache=True, nogil=True)
def _draw(places, faces, shade, colour, picture, depth):
    """Draw triangles into a picture where they are nearer than what is there."""
    rows, cols = depth.shape
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, bx, by = places[i, 0], places[i, 1], places[j, 0], places[j, 1]
        cx, cy = places[k, 0], places[k, 1]
        twice = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if twice == 0:
            continue
        for y in range(max(int(np.ceil(min(ay, by, cy))), 0), min(int(np.floor(max(ay, by, cy))) + 1, rows)):
            for x in range(max(int(np.ceil(min(ax, bx, cx))), 0), min(int(np.floor(max(ax, bx, cx))) + 1, cols)):
                v = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / twice
                w = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / twice
                u = 1 - v - w
                if u < -1e-9 or v < -1e-9 or w < -1e-9:
                    continue
                z = u * places[i, 2] + v * places[j, 2] + w * places[k, 2]
                if z < depth[y, x]:
                    depth[y, x] = z
                    light = u * shade[i] + v * shade[j] + w * shade[k]
                    for channel in range(3):
                        picture[y, x, channel] = np.uint8(colour[channel] * light)
