"""`simulate_branching`: radiograph of a branching structure, roots in soil or a tree of vessels, with its graph.

The structure grows tip by tip, all tips at the same time, so that old branches are long (a stochastic L-system). Its
radii follow from the tips that a segment feeds, its image from Beer and Lambert. Growth works in any number of axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from segmetry.errors import unknown_name
from segmetry.synth import optics
from segmetry.synth.bodies import Tubes, fragment
from segmetry.synth.chance import log_normal, log_uniform, named_rng, short
from segmetry.synth.labelled import LabelledScene, table
from segmetry.synth.raster import LABEL_RULE
from segmetry.synth.record import LEAST_SIDE, LENGTH, Record
from segmetry.synth.texture import band_noise

if TYPE_CHECKING:
    import pandas as pd

CLASSES = ("background", "branch")
"""Classes of a branching structure, by label."""

HABITS: dict[str, str] = {
    "roots": "an axis that goes on and sends out laterals; branches may cross",
    "vessels": "a tip that parts into two; a tip that comes near another branch stops",
}
"""Every way to branch and its meaning."""

_STEP = 2.0  # px that the first axis grows in a turn
_SAMPLES = 5


@dataclass(frozen=True)
class BranchingScene(Record):
    """Everything that decides a radiograph of a branching structure.

    Parameters
    ----------
    seed : int
        Same record, same bytes.
    frame_shape : (rows, columns)
        Shape of the image.
    pixel_size, unit : float, str
        Length of a pixel, and the unit of all lengths below that do not end in ``_px``.
    habit : str
        One of `HABITS`.
    trees : int
        Number of structures.
    length : float
        Length that the first axis grows to (of vessels: each way from the first tip to a last one).
    generations : int
        Laterals of laterals: 0 is the axis alone.
    interval : float
        Mean distance between branchings.
    angle, angle_spread : float
        Angle between a lateral and its axis (of vessels: each of the two and their parent), and its standard
        deviation, degrees.
    rate : float
        Speed of growth of each generation relative to the one before.
    wiggle : float
        Standard deviation of the direction of a lateral after one unit of length, degrees; half of it for first axes.
    tropism : float
        Share by which a lateral's tip turns down in one unit of length, negative is up; three times it for first axes.
    tip_radius : float
        Radius of the last branches.
    radius_power : float
        p of the law ``r^p = sum of the branches' r^p``: 3 after Murray, 2 after Leonardo da Vinci.
    attenuation : float
        Attenuation of the structure, 1/unit.
    soil : float
        Optical depth of what lies around it.
    texture : float
        Relative standard deviation of the soil's optical depth.
    stones, stone_diameter : int, float
        Number and median diameter of stones.
    water, halo : float
        Optical depth of wet patches, and of the moisture around the structure.
    walls : float
        Thickness of the container's walls; 0 is no container, and the soil fills the frame.
    cracks : int
        Number of cracks: most hold air, some water, and those look like roots.
    barrier : bool
        Whether a porous layer lies across the container.
    blur_px : float
        Standard deviation of the point spread.
    counts : float, optional
        Quanta per pixel of the open beam; None for no noise.
    """

    seed: int = 0
    frame_shape: tuple[int, int] = (256, 256)
    pixel_size: float = 0.1
    unit: str = "mm"
    habit: str = "roots"
    trees: int = 1
    length: float = 21.0
    generations: int = 2
    interval: float = 1.6
    angle: float = 65.0
    angle_spread: float = 12.0
    rate: float = 0.5
    wiggle: float = 14.0
    tropism: float = 0.06
    tip_radius: float = 0.11
    radius_power: float = 3.0
    attenuation: float = 0.35
    soil: float = 0.5
    texture: float = 0.1
    stones: int = 25
    stone_diameter: float = 0.9
    water: float = 0.08
    halo: float = 0.04
    walls: float = 0.8
    cracks: int = 2
    barrier: bool = False
    blur_px: float = 0.8
    counts: float | None = 4000.0

    def __post_init__(self) -> None:
        self.tidy(("frame_shape",), _RANGES)
        if self.habit not in HABITS:
            raise unknown_name("habit", self.habit, HABITS)


_RANGES = (
    ("frame_shape", LEAST_SIDE, 65536),
    ("pixel_size", *LENGTH),
    ("trees", 0, 1000),
    ("length", 0, 1e12),
    ("generations", 0, 12),
    ("interval", *LENGTH),
    ("angle", 0, 180),
    ("angle_spread", 0, 90),
    ("rate", 0.01, 2),
    ("wiggle", 0, 180),
    ("tropism", -10, 10),
    ("tip_radius", *LENGTH),
    ("radius_power", 1, 20),
    ("attenuation", 0, 1e12),
    ("soil", 0, 20),
    ("texture", 0, 5),
    ("stones", 0, 100000),
    ("stone_diameter", *LENGTH),
    ("water", 0, 20),
    ("halo", 0, 20),
    ("walls", 0, 1e12),
    ("cracks", 0, 1000),
    ("blur_px", 0, 100),
    ("counts", 1e-6, 1e12),
)


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes of trees, each after its parent; the segment that ends at a node has the node's branch and radius.

    Parameters
    ----------
    points : (K, D) array
        Places, px.
    parent : (K,) array of int
        The node before; -1 where a tree begins.
    branch, generation : (K,) array of int
        Number of the branch from 1, and how many branchings lie before it.
    """

    points: np.ndarray
    parent: np.ndarray
    branch: np.ndarray
    generation: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Length of the segment that ends at each node, 0 at the first of a tree."""
        step = self.points - self.points[np.maximum(self.parent, 0)]
        return np.where(self.parent >= 0, np.sqrt((step**2).sum(axis=1)), 0.0)

    def tips(self) -> np.ndarray:
        """Return how many tips each node feeds; 1 at a tip."""
        n = np.zeros(len(self.parent), int)
        for node in range(len(n) - 1, -1, -1):
            n[node] = max(n[node], 1)
            if self.parent[node] >= 0:
                n[self.parent[node]] += n[node]
        return n

    def branches(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the number and the nodes of each branch that has a length; where a tree begins is left out."""
        for number in np.unique(self.branch):
            nodes = np.flatnonzero((self.branch == number) & (self.parent >= 0))
            if len(nodes):
                yield int(number), nodes

    def radii(self, tip_radius: float, power: float) -> np.ndarray:
        """Return the radius at each node, so that ``r^power`` is kept at every branching.

        With power 3 it is the law of C. D. Murray (PNAS 12, 207, 1926, doi:10.1073/pnas.12.3.207), with 2 Leonardo's
        rule, by which the sections add up.
        """
        return tip_radius * self.tips() ** (1 / power)


class _Tip:
    """End of a branch that still grows."""

    def __init__(
        self,
        node: int,
        heading: np.ndarray,
        branch: int,
        generation: int,
        speed: float,
        to_next: float,
        kin: tuple[int, ...],
    ) -> None:
        self.node, self.heading, self.branch, self.generation = node, heading, branch, generation
        self.speed, self.to_next, self.grown = speed, to_next, 0.0
        self.kin = kin


def _turned(heading: np.ndarray, angle: float, side: np.ndarray) -> np.ndarray:
    """Return a heading turned by an angle (rad) towards a side, of which only what is across the heading counts."""
    across = side - (side @ heading) * heading
    return math.cos(angle) * heading + math.sin(angle) * across / max(float(np.linalg.norm(across)), 1e-12)


def grow(o: BranchingScene, starts: np.ndarray, headings: np.ndarray, low: np.ndarray, high: np.ndarray) -> Graph:
    """Return the graph of trees that grow from starts (N, D) along headings inside a box.

    Roots slide along the box's sides; vessels end there.
    """
    rng, px = named_rng(o.seed, "branching growth"), o.pixel_size
    ndim, parting = starts.shape[1], o.habit == "vessels"
    down = np.eye(ndim)[ndim - 2]
    wiggle, tropism, interval = math.radians(o.wiggle) * math.sqrt(px), o.tropism * px, o.interval / px
    points, parent, branch, generation = list(starts), [-1] * len(starts), [], []
    tips = []
    for k, heading in enumerate(headings):
        branch.append(k + 1)
        generation.append(0)
        unit = heading / np.linalg.norm(heading)
        tips.append(_Tip(k, unit, k + 1, 0, 1.0, interval * rng.uniform(0.5, 1.5), tuple(range(1, len(starts) + 1))))
    n_branches, n_turns, keep = len(starts), math.ceil(o.length / px / _STEP - 1e-9), max(0.6 * interval, 3.0)
    step0 = o.length / px / max(n_turns, 1)
    for _ in range(n_turns):
        for tip in list(tips):
            step = step0 * tip.speed
            noise, pull = (wiggle, tropism) if tip.generation else (wiggle / 2, 3 * tropism)
            tip.heading = tip.heading + noise * math.sqrt(step) * rng.standard_normal(ndim) + pull * step * down
            tip.heading /= np.linalg.norm(tip.heading)
            at = points[tip.node] + step * tip.heading
            outside = (at < low) | (at > high)
            if outside.any():
                if parting:
                    tips.remove(tip)
                    continue
                at = np.clip(at, low, high)
                tip.heading = np.where(outside, 0.1 * down, tip.heading)
                tip.heading = tip.heading / max(float(np.linalg.norm(tip.heading)), 1e-12)
                if np.linalg.norm(at - points[tip.node]) < 0.05 * step:
                    tips.remove(tip)
                    continue
            if parting and tip.grown > keep and _is_near(at, tip, points, branch, keep):
                tips.remove(tip)
                continue
            points.append(at)
            parent.append(tip.node)
            branch.append(tip.branch)
            generation.append(tip.generation)
            tip.node, tip.grown, tip.to_next = len(points) - 1, tip.grown + step, tip.to_next - step
            if tip.to_next > 0 or tip.generation >= o.generations:
                continue
            side = rng.standard_normal((ndim,))
            angles = np.radians(rng.normal(o.angle, o.angle_spread, 2))
            kin = (tip.branch, n_branches + 1, n_branches + 2)
            ways = [side, -side] if parting else [side]
            for angle, way in zip(angles.tolist(), ways):
                n_branches += 1
                new = tip.generation + 1
                speed = tip.speed * o.rate * log_normal(rng, 1.0, 1.0 if parting else 1.4)
                to_next = interval * rng.uniform(0.5, 1.5) * (1.0 if parting else 0.8)
                tips.append(_Tip(tip.node, _turned(tip.heading, angle, way), n_branches, new, speed, to_next, kin))
            tip.to_next = interval * rng.uniform(0.5, 1.5)
            if parting:
                tips.remove(tip)
    return Graph(
        np.array(points).reshape(-1, ndim), np.array(parent, int), np.array(branch, int), np.array(generation, int)
    )


def _is_near(at: np.ndarray, tip: _Tip, points: list[np.ndarray], branch: list[int], keep: float) -> bool:
    """Return whether a place comes nearer than `keep` to another branch."""
    others = ~np.isin(branch, tip.kin)
    close = ((np.array(points) - at) ** 2).sum(axis=1) < keep**2
    return bool((others & close).any())


def _draw(graph: Graph, radii: np.ndarray, shape: tuple[int, ...]) -> Tubes:
    """Return the tubes of a graph."""
    tubes = Tubes(shape, _SAMPLES)
    for number, nodes in graph.branches():
        first = graph.parent[nodes[0]]
        points = np.concatenate([graph.points[first][None], graph.points[nodes]])
        if graph.branch[first] != number:
            # A lateral begins at its axis' surface, or its thickness would add to the axis'.
            far = np.sqrt(((points - points[0]) ** 2).sum(axis=1)) > radii[first]
            if not far.any():
                continue
            at = max(int(np.argmax(far)), 1)
            points, nodes = points[at - 1 :], nodes[at - 1 :]
        tubes.add(points, radii[nodes])
    return tubes


class _Container:
    """Where soil, walls and air are: a box without a lid, a little inside the frame."""

    def __init__(self, o: BranchingScene, rng: np.random.Generator) -> None:
        rows, cols = o.frame_shape
        self.wall = o.walls / o.pixel_size
        edge = rng.uniform(0.005, 0.05, 3) * min(rows, cols) if o.walls > 0 else np.full(3, -3.0)
        surface = rng.uniform(0.04, 0.12) * rows if o.walls > 0 else -3.0
        inner = edge + self.wall
        self.low, self.high = np.array([surface, inner[0]]), np.array([rows - 1 - inner[2], cols - 1 - inner[1]])
        self.tilt = rng.normal(0, 0.004)

    def maps(self, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return how much of each pixel is soil, and how much is wall."""
        row, col = (np.arange(n, dtype=np.float32) for n in shape)
        slope = np.float32(self.tilt) * (row[:, None] - shape[0] / 2)
        left, right = col[None, :] - np.float32(self.low[1]) + slope, np.float32(self.high[1]) - col[None, :] - slope
        side = np.minimum(left, right)
        box = np.minimum(side, (np.float32(self.high[0]) - row)[:, None])
        soil = np.minimum(box, (row - np.float32(self.low[0]))[:, None])
        inside, outside = np.clip(box + 0.5, 0, 1), np.clip(box + np.float32(self.wall) + 0.5, 0, 1)
        return np.clip(soil + 0.5, 0, 1), outside - inside


def _crack(start: np.ndarray, length: float, width: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a jagged line that thins out, as points and radii."""
    n = max(3, round(length / 6))
    heading = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, 0.45, n))
    steps = np.column_stack([np.sin(heading), np.cos(heading)]) * length / n
    return start + np.vstack([np.zeros(2), np.cumsum(steps, axis=0)]), width / 2 * np.linspace(1, 0.3, n)


def _surroundings(o: BranchingScene, box: _Container, labels: np.ndarray) -> np.ndarray:
    """Return the optical depth of all that is no branch: soil, stones, water, cracks, barrier, walls."""
    rng, shape = named_rng(o.seed, "branching soil"), o.frame_shape
    soil, wall = box.maps(shape)
    grains = 0.6 * band_noise(shape, 3.0, rng) + 0.5 * band_noise(shape, 7.0, rng) + 0.6 * band_noise(shape, 40.0, rng)
    depth = np.float32(o.soil) * np.maximum(1 + np.float32(o.texture) * grains, 0)
    wet = np.clip(band_noise(shape, max(shape) / 4, rng) + 0.4 * band_noise(shape, 18.0, rng), 0, 2)
    depth += np.float32(o.water) * wet
    if labels.any():
        far = cv2.distanceTransform((labels == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        depth += np.float32(o.halo) * np.exp(-far / np.float32(6.0)) * (1 + 0.3 * grains)
    for _ in range(o.stones):
        size = log_normal(rng, o.stone_diameter, 1.5) / o.pixel_size
        stone = fragment(size, rng, 2, rng.uniform(0.75, 1.3, 2)).rough(0.05, rng)
        centre = rng.uniform([0, 0], shape)
        window = tuple(slice(max(0, math.floor(c - stone.reach)), max(0, math.ceil(c + stone.reach))) for c in centre)
        x = [np.arange(n, dtype=np.float32)[w] - np.float32(c) for n, w, c in zip(shape, window, centre)]
        level = stone.level(*np.meshgrid(*x, indexing="ij", sparse=True))
        chord = np.sqrt(np.maximum(1 - level * level, 0)) * np.float32(size * o.pixel_size)
        depth[window] += chord * np.float32(o.attenuation * rng.choice([-0.35, 0.25, 0.45]))
    for _ in range(o.cracks):
        tubes = Tubes(shape, 3)
        start = rng.uniform(box.low, box.high)
        for _ in range(int(rng.integers(1, 4))):
            points, radii = _crack(start, rng.uniform(0.15, 0.5) * min(shape), rng.uniform(1.2, 3.0), rng)
            tubes.add(points, radii)
            start = points[int(rng.integers(1, len(points)))]
        filled = rng.uniform() < 0.3
        depth += tubes.coverage() * np.float32(rng.uniform(0.08, 0.16) if filled else -0.35 * o.soil)
    if o.barrier:
        middle, thick = rng.uniform(box.low[0] + 0.3 * shape[0], box.high[0]), rng.uniform(5, 12)
        bend = np.float32(rng.uniform(0, 4)) * np.sin(np.linspace(0, rng.uniform(2, 6), shape[1], dtype=np.float32))
        off = np.abs(np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(middle) - bend[None, :])
        band = np.clip(np.float32(thick / 2) - off + 0.5, 0, 1)
        pores = np.clip(1.5 * band_noise(shape, rng.uniform(3, 6), rng), 0, 1)
        depth += band * (np.float32(rng.uniform(0.1, 0.35)) - np.float32(0.3) * pores)
    return np.maximum(depth, 0) * soil + wall * np.float32(rng.uniform(0.3, 1.1))


def _starts(o: BranchingScene, box: _Container) -> tuple[np.ndarray, np.ndarray]:
    """Return where trees begin and where they head."""
    rng, n = named_rng(o.seed, "branching starts"), o.trees
    if o.habit == "vessels":
        disc = (np.array(o.frame_shape) - 1) * np.array([rng.uniform(0.35, 0.65), rng.choice([0.15, 0.85])])
        turns = rng.uniform(0, 2 * math.pi) + 2 * math.pi * (np.arange(n) + rng.uniform(-0.25, 0.25, n)) / max(n, 1)
        return np.tile(disc, (n, 1)), np.column_stack([np.sin(turns), np.cos(turns)])
    low, high = np.maximum(box.low, 0), box.high
    at = low[1] + (high[1] - low[1]) * (np.arange(n) + rng.uniform(0.35, 0.65, n)) / max(n, 1)
    heading = np.column_stack([np.ones(n), rng.normal(0, 0.15 if o.wiggle else 0.0, n)])
    return np.column_stack([np.full(n, low[0]), at]), heading


def simulate_branching(*, seed: int = 0, **options: Any) -> LabelledScene:
    """Return a radiograph of a branching structure with its classes, 0 background and 1 branch, and its graph.

    The image is the optical depth, minus the logarithm of the transmitted share.

    Parameters
    ----------
    seed : int
        Same options and seed, same bytes.
    **options
        The fields of `BranchingScene`.

    Returns
    -------
    scene : LabelledScene
        ``truth`` has one row per branch: branch, parent (0 for the first of a tree), generation, length,
        radius_first and radius_last. ``skeleton`` has one row per node: node, parent (0 where a tree begins), branch,
        generation, row, col (px), radius and length of the segment that ends there. ``facts`` has the length of all
        branches in the frame and the number of tips.

    Raises
    ------
    OptionError
        For an option that does not exist or is out of range.

    Examples
    --------
    >>> scene = simulate_branching(seed=1, generations=0, wiggle=0, tropism=0, length=15.0)
    >>> scene.truth["length"].round(6).tolist(), scene.classes
    ([15.0], ('background', 'branch'))
    """
    o = BranchingScene.from_dict({"seed": seed, **options})
    size, shape = o.pixel_size, o.frame_shape
    box = _Container(o, named_rng(o.seed, "branching container"))
    keep = o.tip_radius / size if o.walls > 0 else -3.0
    graph = grow(o, *_starts(o, box), box.low, box.high - keep)
    radii = graph.radii(o.tip_radius, o.radius_power)
    tubes = _draw(graph, radii / size, shape)
    labels = (tubes.coverage() >= LABEL_RULE).astype(np.int32)
    depth = _surroundings(o, box, labels) + tubes.thickness() * np.float32(o.attenuation * size)
    signal = optics.blur(np.exp(-depth), o.blur_px)
    if o.counts is not None:
        signal = optics.expose(signal, o.counts, 0.0, named_rng(o.seed, "branching noise"))
        signal = np.maximum(signal, np.float32(0.5 / o.counts))
    lengths = graph.lengths * size
    middles = (graph.points + graph.points[np.maximum(graph.parent, 0)]) / 2
    shown = ((middles > -0.5) & (middles < np.array(shape) - 0.5)).all(axis=1)
    n_tips = len(graph.parent) - len(np.unique(graph.parent[graph.parent >= 0]))
    facts = {"length": {"value": float(lengths[shown].sum()), "unit": o.unit}, "n_tips": n_tips}
    truth, skeleton = _tables(graph, lengths, radii, o.unit)
    return LabelledScene.of(
        o, "branching", -np.log(signal), (size, size), labels, CLASSES, truth, facts=facts, skeleton=skeleton
    )


def _tables(graph: Graph, lengths: np.ndarray, radii: np.ndarray, unit: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of branches and of nodes."""
    branches = (
        {
            "branch": number,
            "parent": 0 if graph.branch[before] == number else int(graph.branch[before]),
            "generation": int(graph.generation[nodes[0]]),
            "length": float(lengths[nodes].sum()),
            "radius_first": float(radii[nodes[0]]),
            "radius_last": float(radii[nodes[-1]]),
        }
        for number, nodes in graph.branches()
        for before in (graph.parent[nodes[0]],)
    )
    nodes = (
        {
            "node": k + 1,
            "parent": int(graph.parent[k]) + 1,
            "branch": int(graph.branch[k]),
            "generation": int(graph.generation[k]),
            "row": float(graph.points[k, 0]),
            "col": float(graph.points[k, 1]),
            "radius": float(radii[k]),
            "length": float(lengths[k]),
        }
        for k in range(len(graph.parent))
    )
    units = dict.fromkeys(("branch", "parent", "generation"), "")
    return (
        table(branches, units | {"length": unit, "radius_first": unit, "radius_last": unit}),
        table(nodes, {"node": "", **units} | {"row": "px", "col": "px", "radius": unit, "length": unit}),
    )


def random_branching(rng: np.random.Generator, **options: Any) -> BranchingScene:
    """Return the record of a random radiograph; `options` are kept as given.

    Roots mostly grow in a container, vessels (``habit="vessels"``) without one.
    """
    habit = options.get("habit", "roots")
    drawn: dict[str, Any] = {
        "seed": int(rng.integers(2**31)),
        "habit": habit,
        "wiggle": short(log_uniform(rng, 8, 30)),
        "tip_radius": short(log_uniform(rng, 0.08, 0.16)),
        "radius_power": short(rng.uniform(2.3, 3)),
        "attenuation": short(log_uniform(rng, 0.3, 0.9)),
        "soil": short(rng.uniform(0.2, 0.9)),
        "texture": short(log_uniform(rng, 0.03, 0.12)),
        "blur_px": short(log_uniform(rng, 0.5, 1.4)),
        "counts": short(log_uniform(rng, 800, 20000)),
    }
    if habit == "vessels":
        drawn |= {
            "trees": int(rng.integers(3, 7)),
            "length": short(rng.uniform(20, 30)),
            "generations": int(rng.integers(4, 8)),
            "interval": short(log_uniform(rng, 2.0, 4.5)),
            "angle": short(rng.uniform(20, 40)),
            "rate": short(rng.uniform(0.8, 1.0)),
            "tropism": 0.0,
            "walls": 0.0,
            "stones": int(rng.integers(0, 4)),
            "cracks": 0,
            "water": short(rng.uniform(0, 0.15)),
            "halo": 0.0,
        }
    else:
        drawn |= {
            "trees": int(rng.choice([1, 1, 1, 2, 3])),
            "length": short(rng.uniform(12, 24)),
            "generations": int(rng.choice([1, 1, 2])),
            "interval": short(log_uniform(rng, 1.0, 3.2)),
            "angle": short(rng.uniform(45, 80)),
            "rate": short(rng.uniform(0.3, 0.65)),
            "tropism": short(rng.uniform(0.0, 0.15)),
            "walls": short(rng.uniform(0.4, 1.3)) if rng.uniform() < 0.8 else 0.0,
            "stones": int(rng.integers(0, 60)),
            "stone_diameter": short(log_uniform(rng, 0.5, 1.4)),
            "cracks": int(rng.integers(0, 5)),
            "barrier": bool(rng.uniform() < 0.35),
            "water": short(rng.uniform(0, 0.2)),
            "halo": short(rng.uniform(0, 0.1)),
        }
    return BranchingScene.from_dict({**drawn, **options})
