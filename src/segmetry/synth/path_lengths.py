"""Specimens in a parallel beam: how much attenuation a ray meets, pixel by pixel, and what a slice of them holds.

Lengths are in pixels here, attenuation is per pixel. A point is (row, column, depth); rays run along the depth. A scan
turns the specimen round the axis of the rows through column ``N // 2`` and depth 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from segmetry.synth.chance import log_normal
from segmetry.synth.raster import cover, pixel_means, sample_axis

OBJECTS = ("none", "wedge", "steps", "cylinders", "rods", "balls")
"""Specimens of a single radiograph."""

_SAMPLES = 3


class Solid(NamedTuple):
    """A ball, or a cylinder with a round section whose axis is that of the scan (``kind="upright"``).

    Parameters
    ----------
    kind : {"ball", "upright"}
    centre : (row, column, depth)
        Column and depth from the axis of rotation.
    radius : float
    attenuation : float
        What it adds per pixel of path; negative for a pore.
    """

    kind: str
    centre: tuple[float, float, float]
    radius: float
    attenuation: float


def wedge(shape: tuple[int, int], thickness: float, n_steps: int = 0) -> np.ndarray:
    """Return the thickness of a wedge that rises over the middle 80 % of the columns; in steps if there are any."""
    rows, cols = shape
    along = (sample_axis(0, cols, _SAMPLES) + 0.5) / cols
    part = np.clip((along - 0.1) / 0.8, 0, None) * (along < 0.9)
    if n_steps:
        part = np.ceil(part * n_steps) / n_steps
    down = (sample_axis(0, rows, _SAMPLES) + 0.5) / rows
    return pixel_means((abs(down - 0.5) < 0.4)[:, None] * (thickness * part)[None, :], _SAMPLES)


def cylinders(shape: tuple[int, int], diameter: float, gsd: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return the path through upright cylinders in a row, over the whole height."""
    across = sample_axis(0, shape[1], _SAMPLES)
    path = np.zeros(across.size)
    for k in range(n):
        middle = (k + 0.5 + rng.uniform(-0.15, 0.15)) * shape[1] / n - 0.5
        path += _chord(across - middle, log_normal(rng, diameter, gsd) / 2)
    return np.tile(path.reshape(-1, _SAMPLES).mean(axis=1).astype(np.float32), (shape[0], 1))


def rods(shape: tuple[int, int], diameter: float, gsd: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return the path through straight round rods in random directions that cross the frame."""
    row, col = (sample_axis(0, size, _SAMPLES) for size in shape)
    path = np.zeros((row.size, col.size), np.float32)
    for _ in range(n):
        at, turn = rng.uniform(0, shape), rng.uniform(0, math.pi)
        steep = math.sqrt(rng.uniform(0.25, 1))  # cosine to the plane of the frame
        off = (row[:, None] - at[0]) * math.cos(turn) - (col[None, :] - at[1]) * math.sin(turn)
        path += _chord(off, log_normal(rng, diameter, gsd) / 2) / np.float32(steep)
    return pixel_means(path, _SAMPLES)


def balls(shape: tuple[int, int], diameter: float, gsd: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return the path through balls at random places."""
    path = np.zeros(shape, np.float32)
    for _ in range(n):
        radius, centre = log_normal(rng, diameter, gsd) / 2, rng.uniform(0, shape)

        def chord(row: np.ndarray, col: np.ndarray, c: np.ndarray = centre, r: float = radius) -> np.ndarray:
            return _chord(np.hypot(row - c[0], col - c[1]), r)

        window, part = cover(chord, centre - radius, centre + radius, shape, _SAMPLES)
        path[window] += part
    return path


def projection(shape: tuple[int, int], solids: list[Solid], angle: float) -> np.ndarray:
    """Return the attenuation along the rays of a scan at an angle in degrees.

    A point at column x and depth z from the axis is seen at ``N // 2 + x cos(angle) - z sin(angle)``: the convention of
    scikit-image's `radon`, whose rows are the depth.
    """
    row, col = (sample_axis(0, size, _SAMPLES) for size in shape)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    total = np.zeros((row.size, col.size), np.float32)
    for solid in solids:
        down, x, z = solid.centre
        off = col - shape[1] // 2 - (x * cos - z * sin)
        square = off[None, :] ** 2
        if solid.kind == "ball":
            square = square + (row[:, None] - down) ** 2
        total += np.float32(solid.attenuation) * _chord(np.sqrt(square), solid.radius)
    return pixel_means(total, _SAMPLES)


def section(side: int, solids: list[Solid], row: float) -> np.ndarray:
    """Return the attenuation of every pixel of the slice at a row of the frame, (depth, column), side x side."""
    image = np.zeros((side, side), np.float32)
    for solid in solids:
        down, x, z = solid.centre
        square = solid.radius**2 - ((row - down) ** 2 if solid.kind == "ball" else 0)
        if square <= 0:
            continue
        centre = np.array([side // 2 + z, side // 2 + x])

        def inside(r: np.ndarray, c: np.ndarray, at: np.ndarray = centre, most: float = square) -> np.ndarray:
            return ((r - at[0]) ** 2 + (c - at[1]) ** 2 <= most).astype(np.float32)

        window, part = cover(inside, centre - math.sqrt(square), centre + math.sqrt(square), image.shape, 5)
        image[window] += np.float32(solid.attenuation) * part
    return image


def phantom(shape: tuple[int, int], attenuation: float, diameter: float, gsd: float, n: int, seed: int) -> list[Solid]:
    """Return a container with balls, pores and upright rods in it, which do not overlap.

    The container has a third of the attenuation; balls and rods have all of it, pores none.
    """
    rng = np.random.default_rng(seed)
    outer = 0.42 * shape[1]
    solids = [Solid("upright", (0.0, 0.0, 0.0), outer, attenuation / 3)]
    kinds = (("ball", 2 / 3), ("upright", 2 / 3), ("ball", -1 / 3))
    for k in range(n):
        kind, more = kinds[k % len(kinds)]
        radius = min(log_normal(rng, diameter, gsd) / 2, outer / 3)
        for _ in range(100):
            far, turn = (outer - radius) * math.sqrt(rng.uniform()), rng.uniform(0, 2 * math.pi)
            centre = (float(rng.uniform(0, shape[0])), far * math.cos(turn), far * math.sin(turn))
            if all(math.dist(centre[1:], s.centre[1:]) > radius + s.radius for s in solids[1:]):
                solids.append(Solid(kind, centre, radius, attenuation * more))
                break
    return solids


def _chord(off: np.ndarray, radius: float) -> np.ndarray:
    """Return the length of a ray inside a circle, by its distance from the middle."""
    return (2 * np.sqrt(np.maximum(radius**2 - off * off, 0))).astype(np.float32)
