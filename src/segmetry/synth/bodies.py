"""Solid bodies, for any number of axes: plates, angular fragments, rough surfaces; and tubes along lines.

Lengths are in px. Bodies lie around the origin, tubes in the frame, whose first pixel's centre is the origin.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmetry.synth.raster import pixel_means, sample_axis


@dataclass(frozen=True, eq=False)
class Body:
    """A body around the origin: `level` takes offsets (one array per axis) and is at most 1 inside.

    It grows in proportion to the distance from the origin. `reach` is the half side of the body's box, `least` its
    smallest diameter.
    """

    level: Callable[..., np.ndarray]
    reach: float
    least: float

    def rough(self, amount: float, rng: np.random.Generator) -> Body:
        """Return the body with waves on its surface, of lengths from a third of its reach up."""
        turns, phases = rng.standard_normal((5, 3)), rng.uniform(0, 2 * math.pi, 5)
        turns /= np.linalg.norm(turns, axis=1)[:, None] * self.reach / rng.uniform(3, 10, (5, 1))

        def level(*x: np.ndarray) -> np.ndarray:
            waves: Any = 0.0
            for turn, phase in zip(turns, phases):
                waves = waves + np.sin(sum(np.float32(a) * v for a, v in zip(turn, x)) + np.float32(phase))
            return self.level(*x) * (1 + np.float32(amount * 0.63) * waves)

        return Body(level, self.reach * (1 + 2 * amount), self.least)


def plate(half: np.ndarray, axes: np.ndarray, power: float) -> Body:
    """Return a superellipsoid ``sum |x_k / half_k|^power <= 1`` along the rows of `axes`, for any number of axes.

    Its area in the plane is ``4 a b G(1 + 1/p)^2 / G(1 + 2/p)``.
    """

    def level(*x: np.ndarray) -> np.ndarray:
        total: Any = 0.0
        for h, axis in zip(half, axes):
            along = sum(np.float32(a / h) * v for a, v in zip(axis, x))
            total = total + np.abs(along) ** np.float32(power)
        return total ** np.float32(1 / power)

    return Body(level, float(np.linalg.norm(half)), float(2 * half.min()))


def fragment(diameter: float, rng: np.random.Generator, ndim: int, stretch: np.ndarray) -> Body:
    """Return an angular body, as of a brittle phase: what 7 to 12 planes leave, its corners rounded a little.

    The planes touch an ellipsoid of about this mean diameter with axes proportional to `stretch`.
    """
    normals = rng.standard_normal((int(rng.integers(7, 13)), ndim))
    # Opposite normals are added, so that the body is closed.
    normals = np.concatenate([normals, -normals[: ndim + 1] + 0.3 * rng.standard_normal((ndim + 1, ndim))])
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    half = 0.47 * diameter * stretch / np.prod(stretch) ** (1 / ndim)
    offsets = np.linalg.norm(normals * half, axis=1) * rng.uniform(0.8, 1.1, len(normals))
    normals /= offsets[:, None]

    def level(*x: np.ndarray) -> np.ndarray:
        total: Any = 0.0  # the 16-norm of the planes' levels rounds the corners
        for normal in normals:
            past = np.maximum(sum(np.float32(a) * v for a, v in zip(normal, x)), 0)
            for _ in range(4):
                past = past * past
            total = total + past
        return total ** np.float32(1 / 16)

    return Body(level, 1.5 * float(half.max()), diameter)


def frame_along(first: np.ndarray) -> np.ndarray:
    """Return an orthonormal frame, one axis a row, whose first lies along a vector."""
    return np.linalg.qr(np.column_stack([first, np.eye(len(first))]))[0].T


class Tubes:
    """Round tubes along lines: how far a place lies outside the nearest, and how thick they are on top of each other.

    Parameters
    ----------
    shape : tuple of int
        Shape of the frame.
    samples : int
        Samples per pixel and axis; odd, so that the label rule does not tie.
    """

    def __init__(self, shape: tuple[int, ...], samples: int) -> None:
        self.samples = samples
        self.axes = [sample_axis(0, n, samples).astype(np.float32) for n in shape]
        fine = [len(a) for a in self.axes]
        self.gap = np.full(fine, np.inf, np.float32)
        """Distance from the surface of the nearest tube near it (negative inside), inf far from all."""
        self.depth = np.zeros(fine, np.float32)
        """Length of the line of sight inside the tubes, which are round also across the frame."""

    def add(self, points: np.ndarray, radii: np.ndarray, margin: float = 0.0) -> None:
        """Draw one tube along (K, D) points; segment k from point k to the next has ``radii[k]``.

        `margin` says how far around it the distance is to be known.
        """
        reach = float(radii.max()) + margin + 1
        box = self._window(points.min(axis=0) - reach, points.max(axis=0) + reach)
        chord = np.zeros([w.stop - w.start for w in box], np.float32)
        for start, stop, radius in zip(points[:-1], points[1:], radii):
            reach = float(radius) + margin + 1
            window = self._window(np.minimum(start, stop) - reach, np.maximum(start, stop) + reach)
            if any(w.start >= w.stop for w in window):
                continue
            x = np.meshgrid(*(a[w] for a, w in zip(self.axes, window)), indexing="ij", sparse=True)
            along, length2 = stop - start, float(((stop - start) ** 2).sum())
            off = [v - np.float32(s) for v, s in zip(x, start)]
            if length2 > 0:
                t = np.clip(sum(v * np.float32(a / length2) for v, a in zip(off, along)), 0, 1)
                off = [v - t * np.float32(a) for v, a in zip(off, along)]
            square: Any = sum(v * v for v in off)
            np.minimum(self.gap[window], np.sqrt(square) - np.float32(radius), out=self.gap[window])
            own = tuple(slice(w.start - b.start, w.stop - b.start) for w, b in zip(window, box))
            half = np.sqrt(np.maximum(np.float32(radius) ** 2 - square, 0))
            np.maximum(chord[own], 2 * half, out=chord[own])
        self.depth[box] += chord

    def _window(self, low: np.ndarray, high: np.ndarray) -> tuple[slice, ...]:
        ends = [tuple(np.searchsorted(a, (lo, hi))) for a, lo, hi in zip(self.axes, low, high)]
        return tuple(slice(int(a), max(int(a), int(b))) for a, b in ends)

    def coverage(self) -> np.ndarray:
        """Return how much of each pixel lies in a tube."""
        return pixel_means(self.gap <= 0, self.samples)

    def thickness(self) -> np.ndarray:
        """Return the mean thickness over each pixel, px."""
        return pixel_means(self.depth, self.samples)
