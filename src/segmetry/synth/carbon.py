"""Carbons that catalysts lie on: few-layer graphene, nanotubes, carbon black as powder and in a fuel cell's cathode.

Each painter takes the frame's shape, the diameter of tubes or grains (px) and a source of chance, and returns the
thickness over the frame as float32, in a unit of its own; 0 where there is nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from segmetry.synth.texture import band_noise, ramp

LEAST_COVER = {"nanotubes": 0.45, "carbon-powder": 0.55, "cathode": 0.7}
"""Share of the frame that tubes or grains cover at least."""
MOST = 2000
"""Tubes or grains drawn at most, so that tiny ones in a large frame come to an end."""


def graphene(shape: tuple[int, int], size_px: float, rng: np.random.Generator) -> np.ndarray:
    """Return layers that end at straight edges, narrow folds, and patches of contamination."""
    film = np.full(shape, 2.0, np.float32)
    diagonal = math.hypot(*shape)
    for _ in range(int(rng.integers(1, 4))):
        edge = ramp(shape, rng.uniform(0, 2 * math.pi)) + 0.004 * band_noise(shape, diagonal / 15, rng)
        film += np.clip((edge - np.float32(rng.uniform(-0.3, 0.3))) * diagonal + 0.5, 0, 1)
    for _ in range(int(rng.integers(0, 3))):
        bend = ramp(shape, rng.uniform(0, 2 * math.pi)) + 0.01 * band_noise(shape, diagonal / 3, rng)
        width = rng.uniform(2, 6) / diagonal
        film += 4 * (np.abs(bend - np.float32(rng.uniform(-0.4, 0.4))) < width)
    patches = band_noise(shape, max(diagonal / 12, 4.0), rng)
    return film + 2 * np.clip(patches - 0.4, 0, 1.5)


def nanotubes(shape: tuple[int, int], size_px: float, rng: np.random.Generator) -> np.ndarray:
    """Return gently waving hollow tubes that cross the frame."""
    film = np.zeros(shape, np.float32)
    row, col = (np.arange(n, dtype=np.float32) - n / 2 for n in shape)
    diagonal = math.hypot(*shape)
    for _ in range(MOST):
        turn, radius = rng.uniform(0, 2 * math.pi), size_px / 2 * math.exp(0.2 * rng.standard_normal())
        hollow = radius * rng.uniform(0.25, 0.5)
        across = np.float32(math.cos(turn)) * row[:, None] + np.float32(math.sin(turn)) * col[None, :]
        along = np.float32(math.cos(turn)) * col[None, :] - np.float32(math.sin(turn)) * row[:, None]
        wave, length = diagonal * rng.uniform(0, 0.06), diagonal * rng.uniform(0.6, 1.5)
        phase = along * np.float32(2 * math.pi / length) + np.float32(rng.uniform(0, 2 * math.pi))
        slope = np.float32(2 * math.pi * wave / length) * np.cos(phase)
        offset = np.float32(diagonal * rng.uniform(-0.4, 0.4))
        distance = (across - offset - np.float32(wave) * np.sin(phase)) / np.sqrt(1 + slope**2)
        film += 2 * (_half_chord(radius, distance**2) - _half_chord(hollow, distance**2))
        if (film > 0).mean() >= LEAST_COVER["nanotubes"]:
            break
    return film


def carbon_powder(shape: tuple[int, int], size_px: float, rng: np.random.Generator) -> np.ndarray:
    """Return aggregates of fused balls, with nothing between them."""
    return _carbon_black(shape, size_px, rng, LEAST_COVER["carbon-powder"])


def cathode(shape: tuple[int, int], size_px: float, rng: np.random.Generator) -> np.ndarray:
    """Return balls of carbon black in an ionomer that fills the slice, with lighter pores."""
    pores = np.clip(band_noise(shape, 1.5 * size_px, rng) - 1, 0, 1)
    filling = np.maximum(0.5 + 0.12 * band_noise(shape, size_px, rng) - 0.25 * pores, 0.1) * np.float32(size_px)
    balls = _carbon_black(shape, size_px, rng, LEAST_COVER["cathode"])
    slice_ = np.float32(2.5 * size_px)  # no more carbon lies above a point than the slice is thick
    return filling + slice_ * (1 - np.exp(-balls / slice_))


def _half_chord(radius: float, distance_squared: np.ndarray) -> np.ndarray:
    """Return half the length of a line through a ball or tube, at a distance from its middle."""
    return np.sqrt(np.maximum(np.float32(radius * radius) - distance_squared, 0))


def _carbon_black(shape: tuple[int, int], size_px: float, rng: np.random.Generator, cover: float) -> np.ndarray:
    """Return the thickness of aggregates: chains and branches of balls that are fused where they meet."""
    film = np.zeros(shape, np.float32)
    reach = size_px
    drawn, covered = 0, 0.0
    while drawn < MOST and covered < cover:
        at = [rng.uniform(-reach, n + reach) for n in shape]
        balls: list[tuple[float, float, float]] = []
        for _ in range(int(rng.integers(6, 20))):
            radius = size_px / 2 * math.exp(0.15 * rng.standard_normal())
            if balls:
                # A newcomer hangs on one of those that were there, at a random direction in space.
                r, c, other = balls[int(rng.integers(len(balls)))]
                turn, height = rng.uniform(0, 2 * math.pi), rng.uniform(-1, 1)
                apart = 0.8 * (radius + other) * math.sqrt(1 - height * height)
                at = [r + apart * math.cos(turn), c + apart * math.sin(turn)]
            balls.append((at[0], at[1], radius))
            _add_ball(film, at[0], at[1], radius)
        drawn += len(balls)
        covered = float((film > 0).mean())
    return film


def _add_ball(film: np.ndarray, row: float, col: float, radius: float) -> None:
    """Add the thickness of a ball, in place; it may lie outside the frame."""
    r0, c0 = (max(0, math.floor(v - radius)) for v in (row, col))
    r1, c1 = (min(n, math.ceil(v + radius) + 1) for v, n in zip((row, col), film.shape))
    if r0 < r1 and c0 < c1:
        r, c = np.ogrid[r0:r1, c0:c1]
        film[r0:r1, c0:c1] += 2 * _half_chord(radius, ((r - row) ** 2 + (c - col) ** 2).astype(np.float32))


Painter = Callable[[tuple[int, int], float, np.random.Generator], np.ndarray]
CARBONS: dict[str, Painter] = {
    "graphene": graphene,
    "nanotubes": nanotubes,
    "carbon-powder": carbon_powder,
    "cathode": cathode,
}
"""Support -> painter."""
