"""Bodies whose measures are known exactly, drawn at random sub-pixel centres and rotations."""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import quad


def rotation(rng):
    """A random rotation: rows are the body's axes."""
    turn, upper = np.linalg.qr(rng.normal(size=(3, 3)))
    return turn * np.sign(np.diag(upper))


def grid(half, spacing, rng, turn=None):
    """Coordinates (P, M, N) along the body's own axes, in a frame that holds `half` on each side of its centre."""
    axes = []
    for h, s in zip(np.broadcast_to(half, 3), spacing, strict=True):
        n = math.ceil(h / s) + 3
        axes.append((np.arange(-n, n + 1) + rng.uniform(-0.5, 0.5)) * s)
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"))
    return offsets if turn is None else np.tensordot(turn, offsets, 1)


def ball(radius, spacing, rng):
    """A ball."""
    return (grid(radius, spacing, rng) ** 2).sum(axis=0) <= radius**2


def ellipsoid(half_axes, spacing, rng, turn):
    """An ellipsoid, its half axes along the rows of `turn`."""
    x = grid(max(half_axes), spacing, rng, turn)
    return sum((v / a) ** 2 for v, a in zip(x, half_axes, strict=True)) <= 1


def cylinder(length, radius, spacing, rng, turn):
    """A cylinder with flat ends along the first row of `turn`."""
    along, y, x = grid(math.hypot(length / 2, radius), spacing, rng, turn)
    return (np.abs(along) <= length / 2) & (y**2 + x**2 <= radius**2)


def slab(thickness, half, spacing, rng, turn):
    """A plate that fills the frame, at right angles to the first row of `turn`."""
    return np.abs(grid(half, spacing, rng, turn)[0]) <= thickness / 2


def torus(large, small, spacing, rng, turn):
    """A ring of radius `large` and thickness `2 small` around the first row of `turn`."""
    along, y, x = grid(large + small, spacing, rng, turn)
    return along**2 + (np.hypot(y, x) - large) ** 2 <= small**2


def hollow_ball(outer, inner, spacing, rng):
    """A ball with a cavity around its centre."""
    square = (grid(outer, spacing, rng) ** 2).sum(axis=0)
    return (square <= outer**2) & (square > inner**2)


def helix(large, small, pitch, turns, spacing, rng, turn):
    """A wire of radius `small` wound on a cylinder of radius `large`, and the length of its centre line."""
    x = grid(np.hypot(large, pitch * turns / 2) + small, spacing, rng, turn)
    angle = np.linspace(-math.pi * turns, math.pi * turns, int(400 * turns))
    line = np.stack([pitch * angle / (2 * math.pi), large * np.cos(angle), large * np.sin(angle)], axis=1)
    from scipy.spatial import cKDTree

    points = x.reshape(3, -1).T
    distance, _ = cKDTree(line).query(points, distance_upper_bound=small * 1.01)
    return (distance <= small).reshape(x.shape[1:]), turns * math.hypot(2 * math.pi * large, pitch)


def boolean_balls(rng, side, fraction, radius):
    """Balls (disks) whose centres are a Poisson process, in a cube (square), filling `fraction` on average."""
    shape = np.array(side if np.ndim(side) else (side,) * 3)
    content = math.pi * radius**2 if len(shape) == 2 else 4 / 3 * math.pi * radius**3
    n = rng.poisson(-math.log(1 - fraction) / content * np.prod(shape + 2.0 * radius))
    mask = np.zeros(shape, bool)
    for centre in rng.uniform(-radius, shape + radius, (n, len(shape))):
        low = np.maximum(np.ceil(centre - radius).astype(int), 0)
        high = np.minimum(np.floor(centre + radius).astype(int) + 1, shape)
        if (high > low).all():
            offsets = np.ix_(*(np.arange(a, b) - c for a, b, c in zip(low, high, centre, strict=True)))
            mask[tuple(map(slice, low, high))] |= sum(v**2 for v in offsets) <= radius**2
    return mask


def integral_range(fraction, radius, ndim=3):
    """From the covariance (1 - p)² (exp(density K(h)) - 1), K the overlap of two balls (disks) at distance h."""
    density = -math.log(1 - fraction)

    def joint(h):
        u = h / (2 * radius)
        overlap = 1 - 1.5 * u + 0.5 * u**3 if ndim == 3 else 2 / math.pi * (math.acos(u) - u * math.sqrt(1 - u * u))
        return (math.exp(density * overlap) - 1) * (4 * math.pi * h * h if ndim == 3 else 2 * math.pi * h)

    total = quad(joint, 0, 2 * radius)[0]
    return (1 - fraction) / fraction * total
