"""Tubes with round ends, of known axis and radius."""

from __future__ import annotations

import numpy as np


def tubes(shape, lines, spacing=None):
    """Return the mask of all pixels within a radius of lines (start, stop, radius), in units of the spacing."""
    spacing = np.ones(len(shape)) if spacing is None else np.asarray(spacing)
    grid = np.stack(np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, spacing)], indexing="ij"), axis=-1)
    mask = np.zeros(shape, bool)
    for start, stop, radius in lines:
        start, along = np.asarray(start, float), np.subtract(stop, start, dtype=float)
        t = np.clip((grid - start) @ along / (along @ along), 0, 1)
        mask |= ((grid - start - t[..., None] * along) ** 2).sum(-1) <= radius**2
    return mask


def curve(points, radius, spacing=(1.0, 1.0, 1.0)):
    """Return the mask within a radius of a finely sampled curve, moved clear of the frame."""
    from scipy.spatial import cKDTree

    spacing = np.asarray(spacing)
    points = points - points.min(0) + radius + 3 * spacing.max()
    shape = np.ceil((points.max(0) + radius + 3 * spacing.max()) / spacing).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, spacing)], indexing="ij"), axis=-1)
    near = cKDTree(points).query(grid.reshape(-1, len(shape)), distance_upper_bound=radius)[0]
    return np.isfinite(near).reshape(shape)


def helix(radius, pitch, turns):
    """Return the points (z, y, x) of a helix and its length."""
    t = np.linspace(0, 2 * np.pi * turns, 3000)
    points = np.stack([pitch * t / (2 * np.pi), radius * np.sin(t), radius * np.cos(t)], axis=1)
    return points, turns * np.hypot(2 * np.pi * radius, pitch)
