"""Bodies of particles: outline, exact projected area, and the surfaces that a vertical ray meets.

A body has no unit: the scene scales it so that its projected outline has the wished area. Coordinates are
``(row, col, z)`` from the body's centre, z towards the viewer.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import cv2
import numpy as np

from segmetry.errors import unknown_name

_N_OUTLINE = 96


class Body(Protocol):
    """What every body can say about itself."""

    @property
    def area(self) -> float:
        """Area of the projected outline, exact."""

    @property
    def outline(self) -> np.ndarray:
        """(K, 2) corners (row, col) of the projected outline."""

    @property
    def height(self) -> float:
        """Extent along z."""

    def surfaces(self, row: np.ndarray, col: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return z of the lower and the upper surface over points; equal (0) outside the outline."""


def _shut(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    outside = ~(high > low)
    low[outside] = 0
    high[outside] = 0
    return low, high


def rotation(angle: float, tilt: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Return the 3 x 3 matrix that rolls a body about its first axis, tilts that axis up, and turns it in plane.

    Angles in radians; rows of the result are row, col, z.
    """
    ca, sa, ct, st, cr, sr = (f(x) for x in (angle, tilt, roll) for f in (math.cos, math.sin))
    turn = np.array([[ca, -sa, 0], [sa, ca, 0], [0, 0, 1]])
    lean = np.array([[ct, 0, -st], [0, 1, 0], [st, 0, ct]])
    spin = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    return turn @ lean @ spin


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """Ellipsoid with semi-axes ``axes`` turned by ``turn``; its projection is an ellipse."""

    axes: tuple[float, float, float]
    turn: np.ndarray

    # Cached, since all balls of a scene share one body.
    @cached_property
    def _form(self) -> tuple[np.ndarray, np.ndarray, float]:
        form = self.turn @ np.diag([1 / a**2 for a in self.axes]) @ self.turn.T
        return form[:2, :2], form[:2, 2], float(form[2, 2])

    @cached_property
    def _shadow(self) -> np.ndarray:
        plane, cross, w = self._form
        return plane - np.outer(cross, cross) / w

    @cached_property
    def area(self) -> float:
        """Area of the projected outline, exact."""
        return math.pi / math.sqrt(np.linalg.det(self._shadow))

    @cached_property
    def outline(self) -> np.ndarray:
        """(K, 2) corners (row, col) of the projected outline."""
        values, vectors = np.linalg.eigh(self._shadow)
        phi = 2 * np.pi * np.arange(_N_OUTLINE) / _N_OUTLINE
        return np.column_stack([np.cos(phi), np.sin(phi)]) / np.sqrt(values) @ vectors.T

    @property
    def height(self) -> float:
        """Extent along z."""
        return 2 * float(np.linalg.norm(self.turn[2] * np.array(self.axes)))

    def surfaces(self, row: np.ndarray, col: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return z of the lower and the upper surface over points; equal (0) outside the outline."""
        _, cross, w = self._form
        f = np.float32
        s = self._shadow
        rest = f(1) - (f(s[0, 0]) * row**2 + f(2 * s[0, 1]) * row * col + f(s[1, 1]) * col**2)
        half = np.sqrt(np.maximum(rest, 0) / f(w))
        if not cross.any():
            return -half, half
        middle = -(f(cross[0]) * row + f(cross[1]) * col) / f(w) * (rest > 0)
        return middle - half, middle + half


@dataclass(frozen=True)
class Capsule:
    """Spherocylinder of radius 1 whose axis is ``2 * half`` long, turned by ``angle`` and tilted by ``tilt`` (rad)."""

    half: float
    angle: float
    tilt: float = 0.0

    @property
    def area(self) -> float:
        """Area of the projected outline, exact."""
        return math.pi + 4 * self.half * math.cos(self.tilt)

    @property
    def outline(self) -> np.ndarray:
        """(K, 2) corners (row, col) of the projected outline."""
        phi = np.pi * (np.arange(_N_OUTLINE // 2) / (_N_OUTLINE // 2 - 1) - 0.5)
        along = self.half * math.cos(self.tilt) + np.cos(phi)
        uv = np.concatenate([np.column_stack([along, np.sin(phi)]), np.column_stack([-along, -np.sin(phi)])])
        c, s = math.cos(self.angle), math.sin(self.angle)
        return uv @ np.array([[c, s], [-s, c]])

    @property
    def height(self) -> float:
        """Extent along z."""
        return 2 + 2 * self.half * abs(math.sin(self.tilt))

    def surfaces(self, row: np.ndarray, col: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return z of the lower and the upper surface over points; equal (0) outside the outline.

        The upper surface is that of the ball that slides along the axis to where it is highest above the point.
        """
        f = np.float32
        c, s = f(math.cos(self.angle)), f(math.sin(self.angle))
        u, v = row * c + col * s, col * c - row * s
        lean, flat, half = f(math.sin(self.tilt)), f(max(math.cos(self.tilt), 1e-6)), f(self.half)
        rho2 = np.maximum(1 - v * v, 0)
        rho = np.sqrt(rho2)

        def top(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            t = np.clip((u + lean * rho) / flat, -half, half)
            rest = rho2 - (u - t * flat) ** 2
            return t * lean + np.sqrt(np.maximum(rest, 0)), rest

        inside = np.abs(u) <= half * flat + rho
        high = top(u)[0]
        low = -high.copy() if lean == 0 else -top(-u)[0]
        inside &= np.abs(v) < 1
        return np.where(inside, low, 0), np.where(inside, high, 0)


@dataclass(frozen=True, eq=False)
class Prism:
    """Regular prism lying on its base: circumscribed radius 1, rounded by a ball of radius ``rounding``."""

    n_corners: int
    thickness: float
    angle: float
    rounding: float = 0.0

    @property
    def _inner_radius(self) -> float:
        # Rounding moves each corner in along its bisector by r / sin(half the corner's angle); a point has no edges.
        return max(1 - self.rounding / math.cos(math.pi / self.n_corners), 1e-3)

    def _inner(self) -> np.ndarray:
        inner = self._inner_radius
        phi = self.angle + 2 * np.pi * (np.arange(self.n_corners) + 0.5) / self.n_corners
        return inner * np.column_stack([np.cos(phi), np.sin(phi)])

    @property
    def area(self) -> float:
        """Area of the projected outline, exact."""
        inner = self._inner_radius
        flat = 0.5 * self.n_corners * inner**2 * math.sin(2 * math.pi / self.n_corners)
        around = 2 * self.n_corners * inner * math.sin(math.pi / self.n_corners)
        return flat + around * self.rounding + math.pi * self.rounding**2

    @property
    def outline(self) -> np.ndarray:
        """(K, 2) corners (row, col) of the projected outline."""
        inner = self._inner()
        if self.rounding == 0:
            return inner
        n, k = self.n_corners, 9
        arcs = []
        for i, corner in enumerate(inner):
            middle = self.angle + 2 * np.pi * (i + 0.5) / n
            phi = middle + np.linspace(-math.pi / n, math.pi / n, k)
            arcs.append(corner + self.rounding * np.column_stack([np.cos(phi), np.sin(phi)]))
        return np.concatenate(arcs)

    @property
    def height(self) -> float:
        """Extent along z."""
        return self.thickness

    def surfaces(self, row: np.ndarray, col: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return z of the lower and the upper surface over points; equal (0) outside the outline."""
        corners, radius, f = self._inner(), self.rounding, np.float32
        nearest = np.full(np.broadcast_shapes(row.shape, col.shape), np.inf, np.float32)
        depth = np.full_like(nearest, -np.inf)
        for (r1, c1), (r2, c2) in zip(corners, np.roll(corners, -1, axis=0)):
            length = math.hypot(r2 - r1, c2 - c1)
            tr, tc = f((r2 - r1) / length), f((c2 - c1) / length)
            out = (row - f(r1)) * tc - (col - f(c1)) * tr
            np.maximum(depth, out, out=depth)
            if radius > 0:
                along = np.clip((row - f(r1)) * tr + (col - f(c1)) * tc, 0, f(length))
                distance2 = (row - f(r1) - along * tr) ** 2 + (col - f(c1) - along * tc) ** 2
                np.minimum(nearest, distance2, out=nearest)
        half = np.where(depth <= 0, f(self.thickness / 2), f(0))
        if radius > 0:
            edge = (depth > 0) & (nearest < radius**2)
            flat = self.thickness / 2 - radius
            half = np.where(edge, f(flat) + np.sqrt(np.maximum(f(radius**2) - nearest, 0)), half)
        return -half, half


@dataclass(frozen=True, eq=False)
class Polyhedron:
    """Convex polyhedron: the part of space where ``normals @ x <= offsets``, with its corners."""

    corners: np.ndarray
    normals: np.ndarray
    offsets: np.ndarray

    @classmethod
    def prism(cls, n_corners: int, thickness: float, turn: np.ndarray) -> Polyhedron:
        """Return a regular prism of circumscribed radius 1, turned by a rotation matrix."""
        phi = 2 * np.pi * (np.arange(n_corners) + 0.5) / n_corners
        ring = np.column_stack([np.cos(phi), np.sin(phi)])
        levels = [np.column_stack([ring, np.full(n_corners, z)]) for z in (-thickness / 2, thickness / 2)]
        side = 2 * np.pi * (np.arange(n_corners) + 1) / n_corners
        sides = np.column_stack([np.cos(side), np.sin(side), np.zeros(n_corners)])
        normals = np.concatenate([sides, [[0, 0, 1.0], [0, 0, -1.0]]])
        offsets = np.array([math.cos(math.pi / n_corners)] * n_corners + [thickness / 2] * 2)
        return cls(np.concatenate(levels) @ turn.T, normals @ turn.T, offsets)

    @property
    def area(self) -> float:
        """Area of the projected outline, exact."""
        r, c = self.outline.T
        return 0.5 * abs(float(r @ np.roll(c, -1) - c @ np.roll(r, -1)))

    @property
    def outline(self) -> np.ndarray:
        """(K, 2) corners (row, col) of the projected outline."""
        return convex_hull(self.corners[:, :2])

    @property
    def height(self) -> float:
        """Extent along z."""
        return float(np.ptp(self.corners[:, 2]))

    def surfaces(self, row: np.ndarray, col: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return z of the lower and the upper surface over points; equal (0) outside the outline."""
        f = np.float32
        high = np.full(np.broadcast_shapes(row.shape, col.shape), np.inf, np.float32)
        low = -high
        for (nr, nc, nz), offset in zip(self.normals, self.offsets):
            room = f(offset) - f(nr) * row - f(nc) * col
            if abs(nz) < 1e-9:
                high = np.where(room < 0, f(-np.inf), high)
            elif nz > 0:
                high = np.minimum(high, room / f(nz))
            else:
                low = np.maximum(low, room / f(nz))
        return _shut(low, high)


@dataclass(frozen=True, eq=False)
class Irregular:
    """Body whose outline has radius ``1 + sum_k a_k cos(k phi + psi_k)``, k = 2, 3, ..., with round surfaces."""

    amplitudes: np.ndarray
    phases: np.ndarray
    flatness: float = 1.0

    def _radius(self, phi: np.ndarray) -> np.ndarray:
        # cos(k phi + psi) is the real part of (turn ** k) exp(i psi): products are far quicker than cosines.
        dtype = np.complex64 if phi.dtype == np.float32 else np.complex128
        turn: np.ndarray = np.exp(1j * phi).astype(dtype)
        power, total = turn, np.zeros(turn.shape, dtype)
        for a, psi in zip(self.amplitudes, self.phases):
            power = power * turn
            total += power * dtype(a * cmath.exp(1j * psi))
        return 1 + total.real

    @property
    def area(self) -> float:
        """Area of the projected outline, exact."""
        return math.pi * (1 + 0.5 * float(np.sum(self.amplitudes**2)))

    @property
    def outline(self) -> np.ndarray:
        """(K, 2) corners (row, col) of the projected outline."""
        phi = 2 * np.pi * np.arange(_N_OUTLINE) / _N_OUTLINE
        return self._radius(phi)[:, None] * np.column_stack([np.cos(phi), np.sin(phi)])

    @property
    def height(self) -> float:
        """Extent along z."""
        return 2 * self.flatness

    def surfaces(self, row: np.ndarray, col: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return z of the lower and the upper surface over points; equal (0) outside the outline."""
        share = (row * row + col * col) / self._radius(np.arctan2(col, row) + np.float32(0)) ** 2
        half = np.float32(self.flatness) * np.sqrt(np.maximum(1 - share, 0))
        return -half, half


@dataclass(frozen=True)
class ShapeOptions:
    """What the shapes of a scene share; see the fields of the same names of `ParticleScene`."""

    aspect_ratio: float = 2.5
    aspect_spread: float = 0.1
    plate_thickness: float = 0.3
    rounding: float = 0.1
    roughness: float = 0.06
    orientation: float | None = None
    tilt: float = 0.0


@dataclass(frozen=True)
class Shape:
    """A kind of particle.

    Parameters
    ----------
    name : str
        Name in options and truth tables.
    make : callable
        From a random generator and the shape options to a body.
    meaning : str
        One line for help texts.
    has_core : bool
        Whether a concentric inner part of the same form has its own contrast.
    """

    name: str
    make: Callable[[np.random.Generator, ShapeOptions], Body]
    meaning: str
    has_core: bool = False


def _angles(rng: np.random.Generator, o: ShapeOptions) -> tuple[float, float, float, float]:
    """Return angle in plane, tilt and roll (rad) and an aspect ratio; always four draws, whatever the options."""
    turn, lean, roll = rng.uniform(0, 2 * math.pi), rng.uniform(-1, 1), rng.uniform(0, 2 * math.pi)
    aspect = max(1.0, o.aspect_ratio * math.exp(o.aspect_spread * rng.standard_normal()))
    angle = turn if o.orientation is None else math.radians(o.orientation)
    return angle, lean * math.radians(o.tilt), roll if o.tilt else 0.0, aspect


def _sphere(rng: np.random.Generator, o: ShapeOptions) -> Body:
    return Ellipsoid((1.0, 1.0, 1.0), np.eye(3))


def _ellipsoid(rng: np.random.Generator, o: ShapeOptions) -> Body:
    angle, tilt, roll, aspect = _angles(rng, o)
    return Ellipsoid((aspect, 1.0, 1.0), rotation(angle, tilt, roll))


def _rod(rng: np.random.Generator, o: ShapeOptions) -> Body:
    angle, tilt, _, aspect = _angles(rng, o)
    return Capsule(aspect - 1, angle, tilt)


def _prism(n_corners: int) -> Callable[[np.random.Generator, ShapeOptions], Body]:
    def make(rng: np.random.Generator, o: ShapeOptions) -> Body:
        angle, tilt, roll, _ = _angles(rng, o)
        thickness = math.sqrt(2) if n_corners == 4 else 2 * o.plate_thickness
        if o.tilt:
            spun = rotation(angle) @ rotation(roll, tilt) @ rotation(-roll)
            return Polyhedron.prism(n_corners, thickness, spun)
        rounding = min(o.rounding * math.cos(math.pi / n_corners), 0.5 * thickness)
        return Prism(n_corners, thickness, angle, rounding)

    return make


def _irregular(rng: np.random.Generator, o: ShapeOptions) -> Body:
    k = np.arange(2, 8)
    amplitudes = o.roughness * rng.standard_normal(k.size) * (2 / k) ** 1.5
    amplitudes *= min(1.0, 0.6 / max(float(np.abs(amplitudes).sum()), 1e-9))  # the radius stays positive
    return Irregular(amplitudes, rng.uniform(0, 2 * math.pi, k.size), 0.9)


SHAPES: dict[str, Shape] = {
    s.name: s
    for s in (
        Shape("sphere", _sphere, "sphere"),
        Shape("ellipsoid", _ellipsoid, "prolate ellipsoid; its length over its width is the aspect ratio"),
        Shape("rod", _rod, "spherocylinder; its whole length over its width is the aspect ratio"),
        Shape("cube", _prism(4), "cube on one face, edges rounded"),
        Shape("triangle", _prism(3), "flat triangular prism, edges rounded"),
        Shape("hexagon", _prism(6), "flat hexagonal plate, edges rounded"),
        Shape("core-shell", _sphere, "sphere with a concentric core of another contrast", has_core=True),
        Shape("hollow", _sphere, "spherical shell around a void", has_core=True),
        Shape("irregular", _irregular, "rounded body with a wavy outline"),
    )
}
"""Every shape by its name."""


def make_body(shape: str, rng: np.random.Generator, options: ShapeOptions) -> Body:
    """Return a body of a named shape with random orientation and proportions."""
    if shape not in SHAPES:
        raise unknown_name("shape", shape, SHAPES)
    return SHAPES[shape].make(rng, options)


def convex_hull(points: np.ndarray) -> np.ndarray:
    """Return the corners of the convex hull of (K, 2) points, in order."""
    # OpenCV finds them ten times as quickly as Qhull; it picks by float32 values, the corners stay float64.
    picked = cv2.convexHull(points.astype(np.float32), returnPoints=False)
    return points[picked[:, 0]]


def minkowski_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the polygon of all ``p - q`` with p in convex `a`, q in convex `b`: all their edges in order of angle."""
    edges, start = [], np.zeros(2)
    for polygon in (a, -b):
        r, c = polygon.T
        if r @ np.roll(c, -1) < c @ np.roll(r, -1):
            polygon = polygon[::-1]
        edges.append(np.roll(polygon, -1, axis=0) - polygon)
        start = start + polygon[np.lexsort((polygon[:, 0], polygon[:, 1]))[0]]
    both = np.concatenate(edges)
    both = both[np.argsort(np.arctan2(both[:, 1], both[:, 0]) % (2 * math.pi), kind="stable")]
    return start + np.concatenate([np.zeros((1, 2)), np.cumsum(both, axis=0)[:-1]])


def covering_disks(outline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return centres (K, 2) and radii (K,) of disks that together cover a polygon: one where it is about round.

    The hull is cut across its long axis into pieces about as long as it is wide; each lies in the disk around its box.
    """
    hull = convex_hull(outline)
    reach = float(np.hypot(hull[:, 0], hull[:, 1]).max())
    values, vectors = np.linalg.eigh(np.cov(hull.T))
    if values[1] < 2.5 * values[0]:
        return np.zeros((1, 2)), np.array([reach])
    u, v = hull @ vectors[:, 1], hull @ vectors[:, 0]
    width = max(float(np.ptp(v)), 1e-6 * reach)
    cuts = np.linspace(u.min(), u.max(), 1 + max(1, math.ceil((u.max() - u.min()) / width)))
    half = math.hypot((cuts[1] - cuts[0]) / 2, width / 2)
    middles = (cuts[1:] + cuts[:-1]) / 2
    across = np.full(len(middles), (v.min() + v.max()) / 2)
    return np.column_stack([across, middles]) @ vectors.T, np.full(len(middles), half)


def outline_moments(outline: np.ndarray) -> Mapping[str, float]:
    """Return area, aspect ratio, orientation (degrees) and largest and smallest Feret diameter of a polygon.

    The aspect ratio is that of the ellipse with the polygon's second moments; the orientation is the angle of its
    long axis from the row axis towards the columns in (-90, 90] degrees, nan where no axis is longer.
    """
    r, c = outline.T
    rn, cn = np.roll(r, -1), np.roll(c, -1)
    cross = r * cn - rn * c
    area = 0.5 * cross.sum()
    mr, mc = ((r + rn) * cross).sum() / (6 * area), ((c + cn) * cross).sum() / (6 * area)
    rr = ((r * r + r * rn + rn * rn) * cross).sum() / (12 * area) - mr * mr
    cc = ((c * c + c * cn + cn * cn) * cross).sum() / (12 * area) - mc * mc
    rc = ((r * cn + 2 * r * c + 2 * rn * cn + rn * c) * cross).sum() / (24 * area) - mr * mc
    spread = math.hypot((rr - cc) / 2, rc)
    middle = (rr + cc) / 2
    aspect = math.sqrt((middle + spread) / (middle - spread))
    orientation = math.degrees(0.5 * math.atan2(2 * rc, rr - cc)) if spread > 1e-3 * middle else math.nan
    hull = convex_hull(outline)
    feret_max = math.sqrt(float(((hull[:, None, :] - hull[None, :, :]) ** 2).sum(axis=2).max()))
    edges = np.roll(hull, -1, axis=0) - hull
    normals = np.column_stack([-edges[:, 1], edges[:, 0]]) / np.linalg.norm(edges, axis=1)[:, None]
    widths = np.ptp(hull @ normals.T, axis=0)
    return {
        "area": abs(float(area)),
        "aspect_ratio": aspect,
        "orientation": orientation,
        "feret_max": feret_max,
        "feret_min": float(widths.min()),
    }
