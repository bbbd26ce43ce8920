"""`simulate_alloy`: slice of an aluminium alloy in transmission X-ray microscopy: substrate, precipitates, inclusions.

The frame is a reconstructed slice: every pixel is a linear attenuation coefficient in 1/µm, so noise can make it
negative. At 10 keV, from the mass attenuation coefficients of J. H. Hubbell and S. M. Seltzer (NIST, 1995,
doi:10.18434/T4D01F) and handbook densities: Al 0.007, MgZn2 0.10, Al7Cu2Fe 0.05 per µm. (Mg2Si has 0.005: too near to
aluminium to be seen by absorption, so there is none.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmetry.errors import OptionError
from segmetry.synth import optics
from segmetry.synth.bodies import Body, fragment, frame_along, plate
from segmetry.synth.chance import log_normal, log_uniform, named_rng, short
from segmetry.synth.labelled import TRIES, LabelledScene, body_row, body_table, fill
from segmetry.synth.raster import LABEL_RULE, cover, supersampling_for, touches
from segmetry.synth.record import LEAST_SIDE, LENGTH, Record
from segmetry.synth.texture import band_noise, ramp
from segmetry.units import METRES

CLASSES = ("substrate", "precipitate", "inclusion")
"""Classes of an alloy, by label."""


@dataclass(frozen=True)
class AlloyScene(Record):
    """Everything that decides a slice of an alloy.

    Parameters
    ----------
    seed : int
        Same record, same bytes.
    frame_shape : (rows, columns)
        Shape of the image.
    pixel_size, unit : float, str
        Length of a pixel, and the unit of all lengths below that do not end in ``_px``.
    precipitate_share, inclusion_share : float
        Share of the frame that each class covers.
    precipitate_length, precipitate_gsd : float
        Median and geometric standard deviation of the log-normal law of a precipitate's length.
    precipitate_aspect : float
        Median of length over thickness; plates cut by the slice look like needles.
    habits : int
        Directions that plates may lie along inside a grain.
    grain_size : float
        Mean distance between grains' middles across the rolling direction; along it grains are twice as long.
    boundary_share : float
        Share of the precipitates that lie on grain boundaries, along them, as long as there is room on these.
    inclusion_diameter, inclusion_gsd : float
        Median and geometric standard deviation of the log-normal law of an inclusion's equivalent diameter.
    roughness : float
        Waviness of outlines, relative to the distance from the body's middle.
    voids : int
        Pores: dark, round, class substrate.
    disturbances : int
        Smudges and arcs that look like particles and are none; class substrate.
    substrate, precipitate, inclusion : float
        Attenuation of each, 1/µm.
    texture : float
        Relative standard deviation of the substrate (what is too fine to be resolved).
    shading : float
        Cupping and slope, relative to the substrate's contrast with precipitates.
    blur_px : float
        Standard deviation of the point spread.
    fringe : float
        Strength of the halo of phase contrast.
    counts : float, optional
        Photons per pixel and projection behind the specimen; None for no noise.
    projections : int
        Number of projections.
    rings : float
        Standard deviation of ring artefacts, relative to the precipitates' contrast.
    streaks : float
        Strength of streaks from inclusions, relative to the precipitates' contrast.
    """

    seed: int = 0
    frame_shape: tuple[int, int] = (792, 774)
    pixel_size: float = 18.0
    unit: str = "nm"
    precipitate_share: float = 0.035
    inclusion_share: float = 0.02
    precipitate_length: float = 320.0
    precipitate_gsd: float = 1.6
    precipitate_aspect: float = 2.6
    habits: int = 3
    grain_size: float = 4500.0
    boundary_share: float = 0.35
    inclusion_diameter: float = 1500.0
    inclusion_gsd: float = 1.5
    roughness: float = 0.07
    voids: int = 2
    disturbances: int = 4
    substrate: float = 0.007
    precipitate: float = 0.10
    inclusion: float = 0.05
    texture: float = 0.25
    shading: float = 0.1
    blur_px: float = 1.3
    fringe: float = 0.4
    counts: float | None = 4000.0
    projections: int = 1200
    rings: float = 0.03
    streaks: float = 0.05

    def __post_init__(self) -> None:
        self.tidy(("frame_shape",), _RANGES)
        if self.precipitate_share + self.inclusion_share > 0.6:
            raise OptionError(
                "simulate alloy: precipitate_share and inclusion_share together must be at most 0.6, got "
                f"{self.precipitate_share + self.inclusion_share:g}."
            )

    @property
    def contrast(self) -> float:
        """Attenuation of precipitates over the substrate's, 1/µm."""
        return abs(self.precipitate - self.substrate)


_RANGES = (
    ("frame_shape", LEAST_SIDE, 65536),
    ("pixel_size", *LENGTH),
    ("precipitate_share", 0, 0.4),
    ("inclusion_share", 0, 0.4),
    ("precipitate_length", *LENGTH),
    ("precipitate_gsd", 1, 5),
    ("precipitate_aspect", 1, 100),
    ("habits", 1, 100),
    ("grain_size", *LENGTH),
    ("boundary_share", 0, 1),
    ("inclusion_diameter", *LENGTH),
    ("inclusion_gsd", 1, 5),
    ("roughness", 0, 0.5),
    ("voids", 0, 10000),
    ("disturbances", 0, 10000),
    ("substrate", 0, 100),
    ("precipitate", 0, 100),
    ("inclusion", 0, 100),
    ("texture", 0, 10),
    ("shading", 0, 10),
    ("blur_px", 0, 100),
    ("fringe", 0, 5),
    ("counts", 1e-6, 1e12),
    ("projections", 1, 1e6),
    ("rings", 0, 10),
    ("streaks", 0, 10),
)


class _Specimen:
    """Attenuation, classes and table of what has been put into the frame; nothing is put over something else."""

    def __init__(self, o: AlloyScene) -> None:
        self.o, self.shape = o, o.frame_shape
        self.ndim = len(self.shape)
        self.um = o.pixel_size * METRES[o.unit] / METRES["µm"]  # µm per px
        self.labels = np.zeros(self.shape, np.int32)
        self.taken = np.zeros(self.shape, bool)
        self.mu = np.full(self.shape, o.substrate, np.float32)
        if o.texture > 0:
            self.mu *= 1 + np.float32(o.texture) * band_noise(self.shape, 5.0, named_rng(o.seed, "alloy texture"))
        self.grain = band_noise(self.shape, 14.0, named_rng(o.seed, "alloy grain"))
        self.rows: list[dict[str, Any]] = []

    def put(self, body: Body, centre: np.ndarray, label: int, mu: float, kind: str) -> int:
        """Put a body in, unless something is there, and return how many pixels are its own; 0 where it is not in."""

        def inside(*x: np.ndarray) -> np.ndarray:
            return body.level(*((v - c).astype(np.float32) for v, c in zip(x, centre))) <= 1

        box = (centre - body.reach, centre + body.reach)
        window, middles = cover(inside, *box, self.shape, 1)
        if self.taken[window][middles > 0].any():  # cheap, and finds nearly all that collide
            return 0
        window, coverage = cover(inside, *box, self.shape, supersampling_for(body.least))
        edge = coverage > 0
        mask = coverage >= LABEL_RULE
        if not mask.any() or self.taken[window][edge].any():
            return 0
        self.taken[window] |= edge
        self.labels[window][mask] = label
        own = np.float32(mu) * (1 + np.float32(0.08) * self.grain[window])
        self.mu[window] += coverage * (own - self.mu[window])
        size = float(coverage.sum()) * self.o.pixel_size**self.ndim
        at_edge = touches(window, mask, self.shape)
        self.rows.append(body_row(CLASSES[label], kind, centre, size, at_edge, attenuation=mu))
        return int(mask.sum())

    def place(self, rng: np.random.Generator, reach: float) -> np.ndarray:
        """Return a random place from which a body of this reach may show in the frame."""
        room = min(reach, 0.5 * min(self.shape))
        return rng.uniform([-0.5 - 0.8 * room] * self.ndim, np.array(self.shape) - 0.5 + 0.8 * room)


class Grains:
    """Grains as the cells of random points, twice as long along the rolling direction, which is the last axis."""

    def __init__(self, shape: tuple[int, ...], size_px: float, habits: int, rng: np.random.Generator) -> None:
        from scipy.spatial import cKDTree

        ndim = len(shape)
        self.scale = np.array([1.0] * (ndim - 1) + [0.5]) / size_px
        low, high = -2.0 / self.scale, np.array(shape) + 2.0 / self.scale
        n = max(4, round(float(np.prod((high - low) * self.scale))))
        self.points = rng.uniform(low, high, (n, ndim)) * self.scale
        self.tree = cKDTree(self.points)
        self.normals = rng.standard_normal((n, habits, ndim))
        self.waves = rng.standard_normal((4, ndim)) * 3, rng.uniform(0, 2 * math.pi, 4), rng.normal(0, 0.06, (4, ndim))

    def habit(self, centre: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the normal of one of the habit planes of the grain at a place."""
        _, grain = self.tree.query(centre * self.scale)
        return self.normals[grain, int(rng.integers(self.normals.shape[1]))]

    def boundary(self, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the nearest place on the boundary that parts the two nearest grains, and its normal."""
        at = centre * self.scale
        _, (a, b) = self.tree.query(at, k=2)
        normal = self.points[b] - self.points[a]
        middle = (self.points[a] + self.points[b]) / 2
        at = at + ((middle - at) @ normal) / (normal @ normal) * normal
        turns, phases, shifts = self.waves  # boundaries are not quite flat
        return (at + np.sin(turns @ at + phases) @ shifts) / self.scale, normal * self.scale


def _inclusions(specimen: _Specimen) -> None:
    """Put inclusions in, often several along the rolling direction: pieces of one that broke."""
    o, rng = specimen.o, named_rng(specimen.o.seed, "alloy inclusions")
    stretch = np.array([1.0] * (specimen.ndim - 1) + [1.35])
    smallest = 0.4 * o.inclusion_diameter / o.pixel_size
    last: list[tuple[np.ndarray, float, float]] = []

    def attempt(left: float) -> int:
        # The last one is as large as what is left.
        most = max(1.1 * left ** (1 / specimen.ndim), smallest)
        diameter = min(log_normal(rng, o.inclusion_diameter, o.inclusion_gsd) / o.pixel_size, most)
        mu = o.inclusion * log_normal(rng, 1.0, 1.15)
        near = last[-1] if last and rng.uniform() < 0.5 else None
        if near:
            diameter, mu = min(diameter, near[1]), near[2]
        for _ in range(TRIES):
            body = fragment(diameter, rng, specimen.ndim, stretch).rough(o.roughness / 2, rng)
            centre = specimen.place(rng, diameter / 2)
            if near:
                apart = rng.normal(0, 0.25, specimen.ndim) * diameter
                apart[-1] = rng.choice([-1, 1]) * rng.uniform(0.55, 0.8) * (diameter + near[1])
                centre = near[0] + apart
            if covered := specimen.put(body, centre, 2, mu, "inclusion"):
                last.append((centre, diameter, mu))
                return covered
        return 0

    fill("alloy", "inclusion", o.inclusion_share, specimen.labels.size, smallest**specimen.ndim / 2, attempt)


def _voids(specimen: _Specimen) -> None:
    o, rng = specimen.o, named_rng(specimen.o.seed, "alloy voids")
    for _ in range(o.voids):
        half = log_normal(rng, 200.0 * METRES["nm"] / METRES[o.unit], 1.5) / o.pixel_size * rng.uniform(0.7, 1.3, 2)
        half = np.resize(half, specimen.ndim)
        body = plate(half, frame_along(rng.standard_normal(specimen.ndim)), 2.0).rough(o.roughness, rng)
        specimen.put(body, specimen.place(rng, body.reach), 0, 0.0, "void")


def _precipitates(specimen: _Specimen) -> None:
    """Put precipitates in: plates along habit planes inside the grains, and thicker ones along their boundaries."""
    o, rng = specimen.o, named_rng(specimen.o.seed, "alloy precipitates")
    grains = Grains(specimen.shape, o.grain_size / o.pixel_size, o.habits, named_rng(o.seed, "alloy grains"))

    def attempt(left: float) -> int:
        length = log_normal(rng, o.precipitate_length, o.precipitate_gsd) / o.pixel_size
        aspect = max(1.0, log_normal(rng, o.precipitate_aspect, 1.35))
        at_boundary = rng.uniform() < o.boundary_share
        power = rng.uniform(1.7, 2.2) if at_boundary else rng.uniform(2.0, 4.0)
        mu = o.substrate + (o.precipitate - o.substrate) * log_normal(rng, 1.0, 1.15)
        half = np.array([length / aspect, *[length] * (specimen.ndim - 1)]) / 2
        for n_tries in range(TRIES):
            centre = specimen.place(rng, length / 2)
            at_boundary = at_boundary and n_tries < TRIES // 2
            if at_boundary:
                centre, normal = grains.boundary(centre)
            else:
                normal = grains.habit(centre, rng)
            body = plate(half, frame_along(normal), power).rough(o.roughness, rng)
            if covered := specimen.put(body, centre, 1, mu, "boundary" if at_boundary else "grain"):
                return covered
        return 0

    fill("alloy", "precipitate", o.precipitate_share, specimen.labels.size, 0.0, attempt)


def _disturb(o: AlloyScene, mu: np.ndarray) -> np.ndarray:
    """Return the slice with smudges and pieces of rings that look like particles."""
    rng = named_rng(o.seed, "alloy disturbances")
    row, col = (np.arange(n, dtype=np.float32) for n in mu.shape)
    middle = np.array(mu.shape) / 2 + rng.normal(0, 3, 2)
    for _ in range(o.disturbances):
        strength = np.float32(o.contrast * rng.uniform(0.25, 0.6) * rng.choice([1, 1, 1, -1]))
        r0, c0 = rng.uniform(0, mu.shape[0]), rng.uniform(0, mu.shape[1])
        if rng.uniform() < 0.5:
            half, wide = log_normal(rng, 4.0, 1.6), rng.uniform(1, 2.5)
            turn = rng.uniform(0, math.pi)
            reach = math.ceil(4 * half * wide)
            window = tuple(slice(max(0, int(p) - reach), int(p) + reach) for p in (r0, c0))
            r, c = row[window[0]][:, None] - np.float32(r0), col[window[1]][None, :] - np.float32(c0)
            u, v = r * math.cos(turn) + c * math.sin(turn), c * math.cos(turn) - r * math.sin(turn)
            mu[window] += strength * np.exp(-((u / (half * wide)) ** 2 + (v / half) ** 2) / 2)
        else:
            radius, angle = math.hypot(r0 - middle[0], c0 - middle[1]), math.atan2(r0 - middle[0], c0 - middle[1])
            span, width = rng.uniform(15, 60) / max(radius, 10.0), rng.uniform(0.8, 2.0)
            r, c = row[:, None] - np.float32(middle[0]), col[None, :] - np.float32(middle[1])
            off = np.float32(radius) - np.hypot(r, c)
            near = np.abs(off) < 4 * width
            turn_off = (np.arctan2(*np.broadcast_arrays(r, c))[near] - angle + math.pi) % (2 * math.pi) - math.pi
            mu[near] += strength * np.exp(-((off[near] / width) ** 2) / 2 - (turn_off / span) ** 4)
    return mu


def _rings(o: AlloyScene, mu: np.ndarray) -> np.ndarray:
    """Return the slice with rings around the axis of rotation, from columns of the detector with a wrong gain."""
    rng = named_rng(o.seed, "alloy rings")
    if o.rings == 0:
        return mu
    middle = np.array(mu.shape) / 2 + rng.normal(0, 3, 2)
    row, col = (np.arange(n, dtype=np.float32) - np.float32(m) for n, m in zip(mu.shape, middle))
    radius = np.hypot(row[:, None], col[None, :])
    n = math.ceil(float(radius.max())) + 2
    profile = 0.6 * rng.standard_normal(n) + 3 * rng.standard_normal(n) * (rng.uniform(size=n) < 0.02)
    # The nearer to the axis, the fewer pixels share a column's error.
    profile = (o.rings * o.contrast * profile * 2 / np.sqrt(1 + np.arange(n) / 40)).astype(np.float32)
    low = radius.astype(np.int32)
    part = radius - low
    strength = 1 + 0.35 * band_noise(mu.shape, max(mu.shape) / 3, rng)
    return mu + strength * (profile[low] * (1 - part) + profile[low + 1] * part)


def _streaks(o: AlloyScene, mu: np.ndarray, specimen: _Specimen) -> np.ndarray:
    """Return the slice with bright and dark streaks that run out from the largest inclusions."""
    rng = named_rng(o.seed, "alloy streaks")
    sources = sorted((r for r in specimen.rows if r["class"] == "inclusion"), key=lambda r: -r["area"])[:4]
    if o.streaks == 0:
        return mu
    row, col = (np.arange(n, dtype=np.float32) for n in mu.shape)
    for source in sources:
        r = row[:, None] - np.float32(source["centroid-0"])
        c = col[None, :] - np.float32(source["centroid-1"])
        size = source["equivalent_diameter"] / o.pixel_size
        for turn in rng.uniform(0, math.pi, 2):
            across = (r * np.float32(math.cos(turn)) + c * np.float32(math.sin(turn))) / np.float32(0.25 * size)
            far = np.sqrt(r * r + c * c) / np.float32(size)
            sign = np.float32(o.streaks * o.contrast * rng.choice([-1, 1]) * min(1.0, size / 40))
            mu = mu + sign * 2 * (1 - across**2) * np.exp(-(across**2)) / (1 + far)
    return mu


def _noise(o: AlloyScene, shape: tuple[int, ...], um: float) -> np.ndarray:
    """Return the noise of filtered back-projection.

    The Ram-Lak kernel h of a detector with pixels a has ``sum h^2 = 1 / (12 a^4)``; with N projections whose line
    integrals have the variance 1 / counts (Poisson), a pixel has the variance ``pi^2 / (12 N counts a^2)``. Its power
    grows with the frequency as the ramp does, and a smooth window takes the highest away.
    """
    from scipy import fft

    assert o.counts is not None
    sigma = math.pi / math.sqrt(12 * o.projections * o.counts) / um
    white = named_rng(o.seed, "alloy noise").standard_normal(shape, dtype=np.float32)
    axes = [fft.fftfreq(n) for n in shape[:-1]] + [fft.rfftfreq(shape[-1])]
    square = sum(f.astype(np.float32) ** 2 for f in np.meshgrid(*axes, indexing="ij", sparse=True))
    power = square**0.5  # the ramp: the spectrum's amplitude goes with the square root of the frequency
    amplitude = np.sqrt(power / power.mean()) * np.exp(-square / np.float32(2 * 0.3**2))
    return np.float32(sigma) * fft.irfftn(fft.rfftn(white) * amplitude, shape)


def simulate_alloy(*, seed: int = 0, **options: Any) -> LabelledScene:
    """Return a slice of an alloy with its classes: 0 substrate, 1 precipitate, 2 inclusion.

    Parameters
    ----------
    seed : int
        Same options and seed, same bytes.
    **options
        The fields of `AlloyScene`.

    Returns
    -------
    scene : LabelledScene
        ``truth`` has one row per body in the frame: object, class, kind (inclusion, precipitate of a boundary or
        of a grain, void), centroid-0 and centroid-1 (px, of the whole body), area and equivalent_diameter of
        what lies in the frame (from the coverage of pixels, to about 0.1 %), attenuation, touches_frame.

    Raises
    ------
    OptionError
        For an option that does not exist or is out of range, and for bodies that do not fit.

    Examples
    --------
    >>> scene = simulate_alloy(seed=1, frame_shape=(200, 220), precipitate_share=0.05)
    >>> scene.classes, scene.image.calibration.spacing, 0.04 < scene.facts["share"]["precipitate"] < 0.06
    (('substrate', 'precipitate', 'inclusion'), (18.0, 18.0), True)
    """
    o = AlloyScene.from_dict({"seed": seed, **options})
    specimen = _Specimen(o)
    _inclusions(specimen)
    _voids(specimen)
    _precipitates(specimen)
    mu = specimen.mu + np.float32(o.fringe) * (specimen.mu - optics.blur(specimen.mu, 3.0))
    mu = optics.blur(mu, o.blur_px)
    mu = _streaks(o, _rings(o, _disturb(o, mu)), specimen)
    rng = named_rng(o.seed, "alloy shading")
    bowl: Any = sum(x**2 for x in np.meshgrid(*(np.linspace(-1, 1, n) for n in mu.shape), indexing="ij", sparse=True))
    mu = mu + np.float32(o.shading * o.contrast) * (
        0.5 * ramp(specimen.shape, rng.uniform(0, 2 * math.pi)) + 0.3 * rng.uniform(-0.2, 1) * bowl.astype(np.float32)
    )
    if o.counts is not None:
        mu = mu + _noise(o, mu.shape, specimen.um)
    truth = body_table(specimen.rows, o.unit, mu.ndim, attenuation="µm^-1")
    return LabelledScene.of(o, "alloy", mu, (o.pixel_size,) * mu.ndim, specimen.labels, CLASSES, truth)


def random_alloy(rng: np.random.Generator, **options: Any) -> AlloyScene:
    """Return the record of a random slice; `options` are kept as given.

    One in six has next to no particles, and disturbances instead.
    """
    empty = rng.uniform() < 1 / 6
    return AlloyScene.from_dict(
        {
            "seed": int(rng.integers(2**31)),
            "precipitate_share": short(rng.uniform(0, 0.002) if empty else log_uniform(rng, 0.01, 0.1)),
            "inclusion_share": 0.0 if rng.uniform() < (0.8 if empty else 0.1) else short(log_uniform(rng, 0.005, 0.06)),
            "precipitate_length": short(log_uniform(rng, 180, 600)),
            "precipitate_gsd": short(rng.uniform(1.3, 1.9)),
            "precipitate_aspect": short(log_uniform(rng, 1.3, 5)),
            "habits": int(rng.integers(2, 5)),
            "grain_size": short(log_uniform(rng, 2000, 9000)),
            "boundary_share": short(rng.uniform(0.1, 0.7)),
            "inclusion_diameter": short(log_uniform(rng, 800, 2600)),
            "roughness": short(rng.uniform(0.02, 0.12)),
            "voids": int(rng.integers(0, 6)),
            "disturbances": int(rng.integers(3, 14) if empty else rng.integers(0, 8)),
            "precipitate": short(log_uniform(rng, 0.05, 0.11)),
            "inclusion": short(log_uniform(rng, 0.035, 0.09)),
            "texture": short(rng.uniform(0.1, 0.5)),
            "shading": short(rng.uniform(0, 0.3)),
            "blur_px": short(log_uniform(rng, 0.8, 2.2)),
            "fringe": short(rng.uniform(0, 0.8)),
            "counts": short(log_uniform(rng, 400, 20000)),
            "rings": short(log_uniform(rng, 0.01, 0.08)),
            "streaks": short(log_uniform(rng, 0.02, 0.12)),
            **options,
        }
    )
