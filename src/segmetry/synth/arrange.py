"""Where particles lie: one by one, in contact, overlapping, or as agglomerates; all lengths in px.

Sizes are drawn before places, and every particle finds a place, so that crowding never changes the size distribution.
Groups are placed on a torus larger than the frame: no place is special, and particles reach over the frame's edge as
they do in a micrograph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segmetry.errors import OptionError
from segmetry.synth.shapes import convex_hull, minkowski_difference

ARRANGEMENTS: dict[str, str] = {
    "isolated": "one by one, with a minimum gap",
    "random": "independent of each other (Poisson), so some overlap",
    "touching": "small groups in contact, groups apart",
    "chains": "one after the other in contact, along lines that bend",
    "overlapping": "small groups whose members overlap in projection",
    "agglomerates": "clusters grown by cluster-cluster aggregation (open, fractal dimension about 1.9)",
    "compact-agglomerates": "clusters grown by particle-cluster aggregation (dense)",
}
"""Every arrangement and its meaning."""

_TRIES = 1500

_BEND = 0.45
"""Standard deviation of the change of direction from one member of a chain to the next, in rad."""


@dataclass(frozen=True, eq=False)
class Group:
    """Particles that move together.

    Parameters
    ----------
    members : (L,) array of int
        Indices of the particles.
    offsets : (L, 3) array
        Their centres (row, col, z) from the group's middle.
    reach : float
        Radius of the circle around the middle that holds the group in the plane.
    disks, radii : (C, 2) and (C,) array
        Disks, seen from the middle, that together cover the group: what the gap to other groups is measured between.
    """

    members: np.ndarray
    offsets: np.ndarray
    reach: float
    disks: np.ndarray
    radii: np.ndarray


def make_group(members: np.ndarray, offsets: np.ndarray, covers: Sequence[tuple[np.ndarray, np.ndarray]]) -> Group:
    """Return a group around the middle of its bounding box; `covers` are the disks of every particle of the scene."""
    disks = np.concatenate([covers[i][0] + offset[:2] for i, offset in zip(members, offsets)])
    radii = np.concatenate([covers[i][1] for i in members])
    middle = np.zeros(3)
    if len(members) > 1:
        middle[:2] = ((disks - radii[:, None]).min(axis=0) + (disks + radii[:, None]).max(axis=0)) / 2
    disks = disks - middle[:2]
    reach = float((np.hypot(disks[:, 0], disks[:, 1]) + radii).max())
    return Group(members, offsets - middle, reach, disks, radii)


def contact_along(
    direction: np.ndarray, start: np.ndarray, sums: Sequence[np.ndarray | float], at: np.ndarray
) -> float:
    """Return how far from `start` along `direction` a body comes to rest against a group when it arrives from outside.

    Parameters
    ----------
    direction : (2,) array
        Unit vector.
    start : (2,) array
        Point on the path.
    sums : sequence of (K, 2) array or float
        Minkowski sum of each member with the mirrored body: a hull around the origin, or the sum of two radii.
    at : (L, 2) array
        Centres of the members.
    """
    farthest = -math.inf
    for hull, centre in zip(sums, at):
        rel = start - centre
        if isinstance(hull, float):
            b = float(rel @ direction)
            disc = b * b - float(rel @ rel) + hull * hull
            if disc > 0:
                farthest = max(farthest, -b + math.sqrt(disc))
            continue
        edge = np.roll(hull, -1, axis=0) - hull
        normal = np.column_stack([edge[:, 1], -edge[:, 0]])
        if float((normal * hull).sum()) < 0:
            normal = -normal
        speed, room = normal @ direction, ((hull - rel) * normal).sum(axis=1)
        leaving, entering = speed > 1e-12, speed < -1e-12
        if not leaving.any() or (room[~leaving & ~entering] < 0).any():
            continue
        last = float((room[leaving] / speed[leaving]).min())
        first = float((room[entering] / speed[entering]).max()) if entering.any() else -math.inf
        if last > first:
            farthest = max(farthest, last)
    return farthest


def contact_group(
    members: np.ndarray,
    outlines: Sequence[np.ndarray | float],
    overlap: float,
    rng: np.random.Generator,
    reaches: np.ndarray,
    *,
    chain: bool = False,
) -> np.ndarray:
    """Return centres (L, 3), z = 0, of particles that came to rest one by one against those that were there.

    `outlines` holds each particle's outline around its centre, or a radius for a disk. After contact a particle is
    pushed on by `overlap` times the smaller of the two reaches. In a chain each comes to rest against the one before,
    in a direction that changes little from one to the next.
    """
    hulls = [o if isinstance(o, float) else convex_hull(o) for o in (outlines[i] for i in members)]
    at = np.zeros((1, 2))
    phi = rng.uniform(0, 2 * math.pi) if chain else 0.0
    for i in range(1, len(members)):
        mine = hulls[i]
        sums: list[np.ndarray | float] = []
        for hull in hulls[:i]:
            if isinstance(hull, float) and isinstance(mine, float):
                sums.append(hull + mine)
            else:
                a, b = (_as_points(x) for x in (hull, mine))
                sums.append(minkowski_difference(a, b))
        phi = phi + rng.normal(0, _BEND) if chain else rng.uniform(0, 2 * math.pi)
        direction = np.array([math.cos(phi), math.sin(phi)])
        start = at[-1] if chain else at[rng.integers(i)]
        push = overlap * min(reaches[members[i]], reaches[members[:i]].min())
        at = np.vstack([at, start + (contact_along(direction, start, sums, at) - push) * direction])
    return np.column_stack([at, np.zeros(len(at))])


def _as_points(outline: np.ndarray | float) -> np.ndarray:
    if not isinstance(outline, float):
        return outline
    phi = 2 * np.pi * np.arange(96) / 96
    return outline * np.column_stack([np.cos(phi), np.sin(phi)])


def _random_turn(rng: np.random.Generator) -> np.ndarray:
    """Return a rotation matrix, uniform over all rotations: that of a quaternion of four normal deviates."""
    w, x, y, z = rng.standard_normal(4).tolist()
    k = 2 / (w * w + x * x + y * y + z * z)
    return np.array(
        [
            [1 - k * (y * y + z * z), k * (x * y - z * w), k * (x * z + y * w)],
            [k * (x * y + z * w), 1 - k * (x * x + z * z), k * (y * z - x * w)],
            [k * (x * z - y * w), k * (y * z + x * w), 1 - k * (x * x + y * y)],
        ]
    )


def _collide(
    fixed: np.ndarray, fixed_r: np.ndarray, moving: np.ndarray, moving_r: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return `moving` at its first contact with `fixed` on a straight random path; both centred on the origin."""
    size = float((np.linalg.norm(fixed, axis=1) + fixed_r).max() + (np.linalg.norm(moving, axis=1) + moving_r).max())
    reach2 = (fixed_r[:, None] + moving_r[None, :]) ** 2
    while True:
        turn = _random_turn(rng)
        along, radius, phi = turn[0], size * math.sqrt(rng.uniform()), rng.uniform(0, 2 * math.pi)
        shift = radius * (math.cos(phi) * turn[1] + math.sin(phi) * turn[2])
        gap = moving[None, :, :] + shift - fixed[:, None, :]
        b = gap @ along
        disc = b * b - (gap * gap).sum(axis=2) + reach2
        if (disc > 0).any():
            # Arriving from +infinity along the path, the first contact is the largest root.
            distance = float((-b + np.sqrt(np.where(disc > 0, disc, np.nan)))[disc > 0].max())
            return moving + shift + distance * along


def aggregate(radii: np.ndarray, rng: np.random.Generator, *, by_cluster: bool = True) -> np.ndarray:
    """Return the centres (L, 3) of balls that aggregated on straight random paths, centred on their mean.

    Parameters
    ----------
    radii : (L,) array
        Radius of each ball.
    rng : numpy.random.Generator
        Source of chance.
    by_cluster : bool
        True: clusters meet clusters of like size (ballistic cluster-cluster aggregation, fractal dimension about 1.9,
        close to the 1.8 of diffusion-limited aggregates). False: balls join one cluster one by one, which gives a
        dense one.

    Notes
    -----
    Pairs are formed generation by generation, the least first, as in the hierarchical model of cluster aggregation
    (R. Botet, R. Jullien, M. Kolb, J. Phys. A 17, L75, 1984, doi:10.1088/0305-4470/17/2/009), off the lattice and
    with straight paths in place of random walks.
    """
    clusters = [(np.array([i]), np.zeros((1, 3))) for i in range(len(radii))]
    while len(clusters) > 1:
        if by_cluster:
            clusters.sort(key=lambda c: len(c[0]))
            a = clusters.pop(0)
            b = clusters.pop(int(rng.integers(min(len(clusters), 1 + len(clusters) // 2))))
        else:
            a, b = clusters.pop(), clusters.pop()
            a, b = (a, b) if len(a[0]) >= len(b[0]) else (b, a)
        moved = _collide(a[1], radii[a[0]], b[1] @ _random_turn(rng).T, radii[b[0]], rng)
        points = np.vstack([a[1], moved])
        clusters.append((np.concatenate([a[0], b[0]]), points - points.mean(axis=0)))
    members, points = clusters[0]
    out = np.empty((len(radii), 3))
    out[members] = points
    return out


def split_into_groups(n: int, size: tuple[int, int], rng: np.random.Generator) -> list[np.ndarray]:
    """Return the indices 0..n-1 in groups of a uniform random number of members (the last may be smaller)."""
    groups, start = [], 0
    while start < n:
        k = int(rng.integers(size[0], size[1] + 1))
        groups.append(np.arange(start, min(n, start + k)))
        start += k
    return groups


def place(
    groups: Sequence[Group],
    frame: tuple[int, int],
    *,
    margin: float,
    gap: float,
    apart: bool,
    inside: bool,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the middle (row, col) of each group.

    Parameters
    ----------
    groups : sequence of Group
        What to place.
    frame : (rows, cols)
        Frame in px; its first pixel's centre is (0, 0).
    margin : float
        How far the torus reaches over each side of the frame; not used with `inside`.
    gap : float
        Least distance between the disks that cover two groups.
    apart : bool
        False lets groups fall anywhere, independent of each other.
    inside : bool
        True keeps every group whole inside the frame; False uses the torus around it.
    rng : numpy.random.Generator
        Source of chance.

    Raises
    ------
    OptionError
        If they do not fit.
    """
    reach = np.array([g.reach for g in groups])
    low, high = region(frame, 0.0 if inside else margin)
    span, centres = high - low, np.full((len(groups), 2), np.nan)
    if inside and len(groups) and (span < 2 * reach.max()).any():
        raise OptionError(
            f"a group of {2 * reach.max():.0f} px does not fit into the frame {frame}; "
            "use edges='cut' or smaller particles."
        )
    wrap = None if inside else span
    cells = _Cells(span, 2 * float(reach.max(initial=1.0)) + gap)
    # Largest first: a late large one would find no place.
    for count, i in enumerate(np.argsort(-reach, kind="stable")):
        room = reach[i] if inside else 0.0
        for _ in range(_TRIES):
            point = room + rng.uniform(size=2) * (span - 2 * room)
            if not apart or not any(
                _collides(groups[i], groups[k], centres[k] - point, wrap, gap) for k in cells.near(point)
            ):
                break
        else:
            raise OptionError(
                f"only {count} of {len(groups)} groups fit with a gap of {gap:g} px; "
                "lower n, coverage or min_gap_px, or use arrangement='random'."
            )
        centres[i] = point
        cells.add(point, int(i))
    return centres + low


class _Cells:
    """Squares of a grid, so that a group is compared with those near it only; the grid closes on itself."""

    def __init__(self, span: np.ndarray, least: float) -> None:
        self.n = np.maximum((span // least).astype(int), 1).tolist()
        self.size = (span / self.n).tolist()
        self.held: dict[tuple[int, int], list[int]] = {}

    def _cell(self, point: np.ndarray) -> tuple[int, int]:
        r, c = (min(int(p // s), n - 1) for p, s, n in zip(point.tolist(), self.size, self.n))
        return r, c

    def add(self, point: np.ndarray, index: int) -> None:
        """Put a group into the square of its middle."""
        self.held.setdefault(self._cell(point), []).append(index)

    def near(self, point: np.ndarray) -> list[int]:
        """Return the groups in the square of a point and in the eight around it."""
        r, c = self._cell(point)
        squares = {((r + i) % self.n[0], (c + j) % self.n[1]) for i in (-1, 0, 1) for j in (-1, 0, 1)}
        return [k for square in sorted(squares) for k in self.held.get(square, ())]


def _collides(a: Group, b: Group, shift: np.ndarray, wrap: np.ndarray | None, gap: float) -> bool:
    """Return whether a disk of `b`, moved by `shift`, comes nearer than `gap` to a disk of `a`."""
    dr, dc = abs(float(shift[0])), abs(float(shift[1]))
    if wrap is not None:
        dr, dc = min(dr, wrap[0] - dr), min(dc, wrap[1] - dc)
    if dr * dr + dc * dc >= (a.reach + b.reach + gap) ** 2:
        return False
    if len(a.radii) == len(b.radii) == 1:
        return True
    delta = np.abs(b.disks[None, :, :] + shift - a.disks[:, None, :])
    if wrap is not None:
        delta = np.minimum(delta, np.abs(wrap - delta))
    return bool(((delta**2).sum(axis=2) < (a.radii[:, None] + b.radii[None, :] + gap) ** 2).any())


def region(frame: tuple[int, int], margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the region in which centres lie: the frame and a margin on each side."""
    return np.array([-0.5 - margin] * 2), np.array(frame) - 0.5 + margin


def pile_heights(centres: np.ndarray, reaches: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Return z of each particle's middle when they land one after another, over what lies beneath."""
    z = np.zeros(len(centres))
    for i in range(len(centres)):
        under = ((centres[:i] - centres[i]) ** 2).sum(axis=1) < (reaches[:i] + reaches[i]) ** 2
        base = float((z[:i] + 0.3 * heights[:i])[under].max(initial=0.0))
        z[i] = base + heights[i] / 2
    return z
