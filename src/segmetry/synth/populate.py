"""Which particles a scene has, in which groups, and where each of them lies."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from segmetry.errors import OptionError
from segmetry.synth import arrange
from segmetry.synth.chance import pilot_seed, stage_rng
from segmetry.synth.options import ParticleScene
from segmetry.synth.shapes import SHAPES, Body, ShapeOptions, covering_disks, make_body

_GROUP_SIZES = {
    "isolated": (1, 1),
    "random": (1, 1),
    "touching": (2, 4),
    "chains": (4, 20),
    "overlapping": (2, 4),
    "agglomerates": (15, 60),
    "compact-agglomerates": (15, 60),
}


@dataclass(frozen=True, eq=False)
class Particle:
    """A particle with its size (px), not yet placed."""

    shape: str
    diameter: float
    body: Body
    scale: float
    outline: np.ndarray
    reach: float
    contrast: float
    bands: tuple[float, float, float]  # waves per px along row and column, phase

    @property
    def is_round(self) -> bool:
        """Whether it is a ball."""
        return SHAPES[self.shape].make is SHAPES["sphere"].make


def _diameters(o: ParticleScene, n: int) -> np.ndarray:
    """Return the diameters of `n` particles, in `unit`."""
    rng = stage_rng(o.seed, "sizes")
    if o.diameters is None:
        return o.median_diameter * np.exp(math.log(o.gsd) * rng.standard_normal(n))
    if callable(o.diameters):
        drawn = np.asarray(o.diameters(rng, n), float)
        if drawn.shape != (n,) or not (np.isfinite(drawn).all() and (drawn > 0).all()):
            raise OptionError(f"simulate: diameters(rng, {n}) must give {n} positive values, got shape {drawn.shape}.")
        return drawn
    return np.array(o.diameters, float)


def _particles(o: ParticleScene, diameters: np.ndarray) -> list[Particle]:
    """Return particles of these diameters (unit), each with its shape, outline and contrast."""
    rng, contrast_rng = stage_rng(o.seed, "bodies"), stage_rng(o.seed, "contrast")
    names = list(o.weights)
    shares = np.cumsum(np.array(list(o.weights.values())) / sum(o.weights.values()))
    options = ShapeOptions(
        o.aspect_ratio, o.aspect_spread, o.plate_thickness, o.rounding, o.roughness, o.orientation, o.tilt
    )
    made: list[Particle] = []
    same: dict[str, Body] = {}
    for diameter in diameters / o.pixel_size:
        name = names[min(int(np.searchsorted(shares, rng.uniform(), side="right")), len(names) - 1)]
        body = same.get(name) or make_body(name, rng, options)
        if SHAPES[name].make is SHAPES["sphere"].make:
            same[name] = body
        scale = diameter / (2 * math.sqrt(body.area / math.pi))
        outline = body.outline * scale
        reach = diameter / 2 if name in same else float(np.hypot(outline[:, 0], outline[:, 1]).max())
        contrast = math.exp(o.contrast_spread * contrast_rng.standard_normal())
        turn, phase, waves = contrast_rng.uniform(0, 2 * math.pi, 3)
        per_px = (0.4 + 0.25 * waves) / diameter  # 0.4 to 2 waves across
        bands = (per_px * math.cos(turn), per_px * math.sin(turn), phase)
        made.append(Particle(name, float(diameter), body, scale, outline, reach, contrast, bands))
    return made


def _grouped(o: ParticleScene, particles: list[Particle]) -> list[arrange.Group]:
    """Return the particles in groups; within a group they have their places."""
    covers = [(np.zeros((1, 2)), np.array([p.reach])) if p.is_round else covering_disks(p.outline) for p in particles]
    if o.arrangement in ("isolated", "random"):
        return [arrange.make_group(np.array([i]), np.zeros((1, 3)), covers) for i in range(len(particles))]
    rng = stage_rng(o.seed, "groups")
    parts = arrange.split_into_groups(len(particles), o.group_size or _GROUP_SIZES[o.arrangement], rng)
    if o.arrangement in ("touching", "chains", "overlapping"):
        outlines = [p.reach if p.is_round else p.outline for p in particles]
        reaches = np.array([p.reach for p in particles])
        push = o.overlap if o.arrangement == "overlapping" else 0.0
        chain = o.arrangement == "chains"
        offsets = [arrange.contact_group(m, outlines, push, rng, reaches, chain=chain) for m in parts]
        return [arrange.make_group(m, at, covers) for m, at in zip(parts, offsets, strict=True)]
    radii, groups = np.array([p.diameter / 2 for p in particles]), []
    for members in parts:
        centres = arrange.aggregate(radii[members], rng, by_cluster=o.arrangement == "agglomerates")
        # Drawn together, every pair in contact overlaps by the same share.
        groups.append(arrange.make_group(members, centres * (1 - o.sintering), covers))
    return groups


def populate(o: ParticleScene, frame: tuple[int, int]) -> tuple[list[Particle], list[arrange.Group], float, np.ndarray]:
    """Return particles, groups, margin (px) and diameters (unit) for the frame and the region around it."""
    rows, cols = frame
    if o.coverage is not None:
        spread = math.log(o.gsd)
        mean_square = o.median_diameter**2 * math.exp(2 * spread**2)
        if o.diameters is not None:
            mean_square = float(np.mean(_diameters(o, 4096) ** 2))
        n = o.coverage * rows * cols * o.pixel_size**2 / (math.pi / 4 * mean_square)
    else:
        n = 40.0 if o.n is None else float(o.n)
    given = o.diameters is not None and not callable(o.diameters)
    margin = 0.0
    if o.edges == "cut" and not given and n > 0:
        margin = _margin(o) if o.margin_px is None else o.margin_px
    ratio = (rows + 2 * margin) * (cols + 2 * margin) / (rows * cols)
    if ratio > 200 and n > 0 and o.margin_px is None:
        raise OptionError(
            f"simulate: particles or groups reach {margin:.0f} px, too far for a frame of {rows} x {cols} px; "
            "use a larger frame, or smaller median_diameter, gsd or group_size."
        )
    expected = n * ratio
    number = stage_rng(o.seed, "number")
    if given:
        count = len(o.diameters)  # type: ignore[arg-type]
    elif o.edges == "inside":
        count = round(expected)
    elif o.arrangement == "random":
        count = int(number.poisson(expected))
    else:
        count = math.floor(expected + number.uniform())  # on average what is expected
    diameters = _diameters(o, count)
    particles = _particles(o, diameters)
    groups = _grouped(o, particles)
    if given and o.edges == "cut":
        margin = max((g.reach for g in groups), default=0.0) if o.margin_px is None else o.margin_px
    return particles, groups, margin, diameters


def _margin(o: ParticleScene) -> float:
    """Return how far (px) beyond the frame centres have to lie, so that nothing that could reach into it is missed.

    It must not depend on the particles that are then drawn: a margin that grows until the largest fits prefers scenes
    without large ones. So it comes from the law of the sizes (one particle in a million is larger), and for groups from
    other groups of the same kind with a quarter added.
    """
    single = o.arrangement in ("isolated", "random")
    pilot = dataclasses.replace(o, seed=pilot_seed(o.seed))
    if single:
        if callable(o.diameters):
            largest = 1.3 * float(_diameters(pilot, 2000).max())
        else:
            largest = o.median_diameter * math.exp(4.75 * math.log(o.gsd))
        shapes = _particles(pilot, np.full(64, o.pixel_size))
        return 1.0 + 1.15 * max(2 * p.reach for p in shapes) * largest / 2 / o.pixel_size
    _, most = o.group_size or _GROUP_SIZES[o.arrangement]
    pilot = dataclasses.replace(pilot, group_size=(most, most))
    groups = _grouped(pilot, _particles(pilot, _diameters(pilot, 6 * most)))
    return 1.0 + 1.25 * max(g.reach for g in groups)


def lay_out(
    o: ParticleScene, particles: list[Particle], groups: list[arrange.Group], margin: float, frame: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centre (row, col), height z of the centre and number of the group of each particle."""
    middles = arrange.place(
        groups,
        frame,
        margin=margin,
        gap=o.min_gap_px,
        apart=o.arrangement != "random",
        inside=o.edges == "inside",
        rng=stage_rng(o.seed, "places"),
    )
    n = len(particles)
    centres, z, cluster = np.zeros((n, 2)), np.zeros(n), np.zeros(n, int)
    for g, (group, middle) in enumerate(zip(groups, middles), start=1):
        centres[group.members] = group.offsets[:, :2] + middle
        z[group.members] = group.offsets[:, 2]
        cluster[group.members] = g
    heights = np.array([p.body.height * p.scale for p in particles])
    if o.arrangement.endswith("agglomerates"):
        for group in groups:  # an agglomerate comes to rest on the support as it is
            z[group.members] -= (z[group.members] - heights[group.members] / 2).min()
    elif n and o.arrangement in ("random", "overlapping"):
        z = arrange.pile_heights(centres, np.array([p.reach for p in particles]), heights)
    else:
        z = heights / 2
    return centres, z, cluster
