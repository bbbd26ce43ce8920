"""`simulate`: one micrograph with everything known about it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segmetry.errors import OptionError, unknown_name
from segmetry.synth import annotate, arrange, optics
from segmetry.synth.raster import LABEL_RULE, pixel_means, sample_axis, supersampling_for
from segmetry.synth.shapes import SHAPES, Body, ShapeOptions, covering_disks, make_body, outline_moments
from segmetry.types import Calibration, Image
from segmetry.units import METRES, best_unit, convert, normalise_unit, parse_length

if TYPE_CHECKING:
    import pandas as pd

_STREAMS = ("sizes", "bodies", "number", "groups", "places", "contrast", "support", "surface", "noise", "annotations")
_GROUP_SIZES = {
    "isolated": (1, 1),
    "random": (1, 1),
    "touching": (2, 4),
    "overlapping": (2, 4),
    "agglomerates": (15, 60),
    "compact-agglomerates": (15, 60),
}
Diameters = Sequence[float] | Callable[[np.random.Generator, int], Any]


@dataclass(frozen=True)
class ParticleScene:
    """Everything that decides a simulated micrograph; the same record is the options of `simulate` and its recipe.

    Parameters
    ----------
    kind : str
        Microscope: ``"bf-tem"``, ``"haadf-stem"``, ``"laadf-stem"`` or ``"sem"``.
    seed : int
        Same record, same bytes.
    frame_shape : (rows, columns)
        Shape of the image, footer included.
    pixel_size : float
        Length of a pixel in `unit`.
    unit : str
        Unit of all lengths below that do not end in ``_px``.
    calibrated : bool
        Whether the image carries its calibration; False leaves only the burned-in bar to tell it.
    shapes : str or mapping
        One of `SHAPES`, or weights: ``{"sphere": 3, "rod": 1}``.
    n : float, optional
        Expected number of particles whose centre lies in the frame (exact with ``edges="inside"``); 40 unless told.
        Holes and grid bars of the support take theirs away.
    coverage : float, optional
        Instead of `n`: expected share of the frame that the outlines cover, overlaps counted twice.
    median_diameter, gsd : float
        Number median and geometric standard deviation of the log-normal law of the diameter. A particle's diameter is
        that of the disk with the area of its projected outline, for every shape.
    diameters : sequence of float or callable, optional
        Instead of the log-normal: these diameters, in any order of places; or ``f(rng, n)`` that draws them.
    aspect_ratio, aspect_spread : float
        Median length over width of rods and ellipsoids, and the standard deviation of its logarithm.
    plate_thickness : float
        Thickness of triangles and hexagons over their circumscribed diameter.
    rounding : float
        Radius of rounded edges of cubes, triangles, hexagons over the radius of the inscribed circle, 0 to 1.
    roughness : float
        Waviness of irregular outlines, relative to their radius.
    orientation : float, optional
        Degrees from the row axis to the particles' first axis, the same for all; random unless told.
    tilt : float
        Largest tilt out of the plane in degrees; tilted prisms have sharp edges.
    core_ratio, core_contrast : float
        Diameter of the core of core–shells and of the void of hollow particles over the whole; attenuation of the
        core over that of the shell.
    arrangement : str
        One of `ARRANGEMENTS`.
    min_gap_px : float
        Least gap between isolated particles or between groups, measured between the disks that cover them (one for a
        round particle, several along a long one), so the outlines lie at least as far apart.
    group_size : (int, int), optional
        Least and largest number of particles in a group.
    overlap : float
        How far overlapping particles lie over each other, as a share of the smaller one's reach.
    sintering : float
        Overlap ``(r1 + r2 - d) / (r1 + r2)`` of touching particles of agglomerates.
    edges : {"cut", "inside"}
        Whether the frame cuts particles, as real frames do, or all lie whole inside.
    margin_px : float, optional
        How far beyond the frame centres lie with ``edges="cut"``; as far as the largest particle reaches unless told.
    attenuation : float, optional
        Optical depth per `unit` of thickness; unless told, a median particle's diameter has depth 1.1 (BF) or 1.
    contrast_spread : float
        Standard deviation of the logarithm of the contrast from particle to particle (diffraction contrast).
    bands : float
        Strength of light and dark bands across each particle (bent or twinned crystals): its depth is multiplied by
        ``1 + bands * sin(...)`` of a random direction, phase and width. TEM and STEM only.
    background : float
        Signal of the bare support in dark field and SEM, where a median particle has 1.
    support : str
        One of `SUPPORTS`.
    film_depth : float
        Optical depth of the support in bright field.
    support_grain, support_grain_px : float
        Relative standard deviation and width of the support's grain.
    surface_grain : float
        Relief of particle surfaces in SEM, px.
    blur_px : float
        Standard deviation of the Gaussian point spread.
    fringe : float
        Strength of the bright rim of defocus.
    shading : float
        Relative range of uneven illumination.
    drift_px : (row, col)
        Straight drift during the exposure.
    streaks : float
        Strength of charging streaks, in standard deviations of the signal.
    dose : float, optional
        Electrons per pixel where the signal is 1; None for no noise.
    read_noise : float
        Standard deviation of the detector, in electrons; only with a dose.
    bits : {0, 8, 16}
        Depth of the image; 0 leaves the signal as float32.
    levels : (black, white), optional
        Signals that become the darkest and brightest grey; chosen from the image unless told.
    jpeg_quality : int, optional
        1 to 100: the finished image went through a JPEG file of this quality, as published figures do; 8 bit only.
    bar, bar_value, bar_place, bar_colour : str
        Style of the scale bar (`BARS`), its value such as ``"100 nm"`` (a round one unless told), its corner
        (`PLACES`) and ``"auto"``, ``"light"`` or ``"dark"``.
    bar_thickness_px : float
        Thickness of the bar.
    footer : str
        Style of the footer (`FOOTERS`); it takes the scale bar with it.
    letter : str
        Panel letter, such as ``"(a)"``.
    font : str
        One of `FONTS`.
    text_px : float, optional
        Height of capitals of bar and letter; 4 % of the shorter side unless told.
    text_space : bool
        Whether a space stands between value and unit.
    """

    kind: str = "bf-tem"
    seed: int = 0
    frame_shape: tuple[int, int] = (512, 512)
    pixel_size: float = 0.5
    unit: str = "nm"
    calibrated: bool = True
    shapes: str | Mapping[str, float] = "sphere"
    n: float | None = None
    coverage: float | None = None
    median_diameter: float = 20.0
    gsd: float = 1.2
    diameters: Diameters | None = None
    aspect_ratio: float = 2.5
    aspect_spread: float = 0.1
    plate_thickness: float = 0.3
    rounding: float = 0.1
    roughness: float = 0.06
    orientation: float | None = None
    tilt: float = 0.0
    core_ratio: float = 0.6
    core_contrast: float = 2.5
    arrangement: str = "isolated"
    min_gap_px: float = 3.0
    group_size: tuple[int, int] | None = None
    overlap: float = 0.4
    sintering: float = 0.05
    edges: str = "cut"
    margin_px: float | None = None
    attenuation: float | None = None
    contrast_spread: float = 0.0
    bands: float = 0.0
    background: float = 0.15
    support: str = "flat"
    film_depth: float = 0.1
    support_grain: float = 0.15
    support_grain_px: float = 4.0
    surface_grain: float = 0.0
    blur_px: float = 0.8
    fringe: float = 0.0
    shading: float = 0.0
    drift_px: tuple[float, float] = (0.0, 0.0)
    streaks: float = 0.0
    dose: float | None = 400.0
    read_noise: float = 2.0
    bits: int = 8
    levels: tuple[float, float] | None = None
    jpeg_quality: int | None = None
    bar: str = "none"
    bar_value: str = ""
    bar_place: str = "bottom right"
    bar_colour: str = "auto"
    bar_thickness_px: float = 4.0
    footer: str = "none"
    letter: str = ""
    font: str = "sans"
    text_px: float | None = None
    text_space: bool = True

    def __post_init__(self) -> None:
        for name, known in (
            ("kind", optics.KINDS),
            ("arrangement", arrange.ARRANGEMENTS),
            ("support", optics.SUPPORTS),
            ("bar", annotate.BARS),
            ("footer", annotate.FOOTERS),
            ("bar_place", annotate.PLACES),
            ("bar_colour", ("auto", "light", "dark")),
            ("edges", ("cut", "inside")),
            ("font", annotate.FONTS),
        ):
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known)
        object.__setattr__(self, "unit", normalise_unit(self.unit))
        if isinstance(self.shapes, Mapping):
            object.__setattr__(self, "shapes", {str(k): float(v) for k, v in self.shapes.items()})
        for shape in self.weights:
            if shape not in SHAPES:
                raise unknown_name("shape", shape, SHAPES)
        for name in ("frame_shape", "group_size", "drift_px", "levels"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(value))
                if len(value) != 2:
                    raise OptionError(f"simulate: {name} needs two values, got {value}.")
        if self.diameters is not None and not callable(self.diameters):
            given = tuple(float(d) for d in self.diameters)
            object.__setattr__(self, "diameters", given)
            if not all(0 < d < math.inf for d in given):
                raise OptionError("simulate: diameters must be positive and finite.")
        self._check_numbers()

    def _check_numbers(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is None:
                continue
            for v in value if isinstance(value, tuple) else (value,):
                if not (low <= v <= high):
                    raise OptionError(f"simulate: {name} must be from {low:g} to {high:g}, got {value}.")
        if self.bits not in (0, 8, 16):
            raise OptionError(f"simulate: bits must be 0 (float), 8 or 16, got {self.bits}.")
        if self.jpeg_quality is not None and self.bits != 8:
            raise OptionError(f"simulate: jpeg_quality is for bits=8, got bits={self.bits}.")
        if self.group_size and self.group_size[0] > self.group_size[1]:
            raise OptionError(f"simulate: group_size goes from least to largest, got {self.group_size}.")
        if self.levels and not self.levels[0] < self.levels[1]:
            raise OptionError(f"simulate: levels go from black to white, got {self.levels}.")
        if self.n is not None and self.coverage is not None:
            raise OptionError("simulate: give n or coverage, not both.")
        if not sum(self.weights.values()) > 0 or min(self.weights.values()) < 0:
            raise OptionError(f"simulate: weights of shapes must be positive, got {self.shapes}.")

    @property
    def weights(self) -> dict[str, float]:
        """Shapes with their weights."""
        return {self.shapes: 1.0} if isinstance(self.shapes, str) else dict(self.shapes)

    @classmethod
    def from_dict(cls, options: Mapping[str, Any]) -> ParticleScene:
        """Return the record of a mapping of options; a misspelled name is an error that offers the near one."""
        known = [f.name for f in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                raise unknown_name("option of simulate", name, known)
        return cls(**options)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; `from_dict` takes it back."""
        out: dict[str, Any] = {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            out[f.name] = (
                list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value
            )
        return out


_LEAST_SIDE = 4  # px; slopes need neighbours
_RANGES = (
    ("frame_shape", _LEAST_SIDE, 65536),
    ("pixel_size", 1e-12, 1e12),
    ("n", 0, 1e7),
    ("coverage", 0, 10),
    ("median_diameter", 1e-12, 1e12),
    ("gsd", 1, 10),
    ("aspect_ratio", 1, 1000),
    ("aspect_spread", 0, 2),
    ("plate_thickness", 1e-3, 10),
    ("rounding", 0, 1),
    ("roughness", 0, 1),
    ("tilt", 0, 90),
    ("core_ratio", 0, 1),
    ("core_contrast", 0, 1e6),
    ("min_gap_px", 0, 1e6),
    ("margin_px", 0, 1e6),
    ("group_size", 1, 100000),
    ("overlap", 0, 1),
    ("sintering", 0, 0.9),
    ("attenuation", 0, 1e12),
    ("contrast_spread", 0, 3),
    ("bands", 0, 1),
    ("background", 0, 100),
    ("film_depth", 0, 10),
    ("support_grain", 0, 10),
    ("support_grain_px", 0.5, 1e4),
    ("surface_grain", 0, 100),
    ("blur_px", 0, 1000),
    ("fringe", 0, 10),
    ("shading", 0, 2),
    ("drift_px", -200, 200),
    ("streaks", 0, 10),
    ("dose", 1e-9, 1e9),
    ("read_noise", 0, 1e6),
    ("jpeg_quality", 1, 100),
    ("bar_thickness_px", 1, 200),
    ("text_px", 5, 1000),
)


class WholeMask(NamedTuple):
    """Pixels of one whole particle, hidden ones too, inside the frame: `mask` begins at pixel (row, col)."""

    label: int
    row: int
    col: int
    mask: np.ndarray


@dataclass(frozen=True, eq=False)
class Scene:
    """A simulated micrograph and its truth.

    Parameters
    ----------
    image : Image
        What a user would get. Its calibration is unknown where ``calibrated=False``; nothing of the truth is in it.
    labels : (M, N) int32 array
        What is visible: the topmost particle that covers at least half of a pixel, before blur. Particles that show are
        1..L without gaps; L + 1 and on are hidden ones, in `truth` and `labels_whole` only.
    labels_whole : tuple of WholeMask
        Every particle's own pixels by the same rule, though another lies over it.
    truth : pandas.DataFrame
        One row per particle with a pixel in the frame, see `simulate`.
    pixel_size, unit : float, str
        True size of a pixel.
    parameters : dict
        Plain data; ``simulate(**scene.parameters)`` makes the same bytes.
    population : mapping
        The law that the diameters come from: ``law``, ``median``, ``gsd``, ``mean``, ``d10``, ``d50``, ``d90``,
        ``unit``.
    scale_bar : BarTruth or None
        The bar that was drawn.
    annotation_mask : (M, N) bool array
        Pixels of burned-in bars, text, boxes and footers.
    derived : mapping
        What was chosen where an option was left open: attenuation, levels, specimen_rows, n_region.
    """

    image: Image
    labels: np.ndarray
    labels_whole: tuple[WholeMask, ...]
    truth: pd.DataFrame
    pixel_size: float
    unit: str
    parameters: dict[str, Any]
    population: Mapping[str, Any]
    scale_bar: annotate.BarTruth | None
    annotation_mask: np.ndarray
    derived: Mapping[str, Any] = field(default_factory=dict)

    def whole(self, label: int) -> np.ndarray:
        """Return the bool mask (M, N) of one whole particle."""
        mask = np.zeros(self.labels.shape, bool)
        for w in self.labels_whole:
            if w.label == label:
                mask[w.row : w.row + w.mask.shape[0], w.col : w.col + w.mask.shape[1]] |= w.mask
                return mask
        raise OptionError(f"there is no particle {label} in the scene; it has 1 to {len(self.labels_whole)}.")


@dataclass(frozen=True, eq=False)
class _Particle:
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


def _rng(seed: int, stream: str) -> np.random.Generator:
    """Return the generator of one stage, so that a change in one stage leaves the others' chance as it was."""
    return np.random.default_rng([abs(int(seed)), _STREAMS.index(stream), int(seed < 0)])


def _pilot(o: ParticleScene) -> ParticleScene:
    """Return the same scene with another seed: for looking at sizes without looking at those of the scene itself."""
    return dataclasses.replace(o, seed=int(np.random.default_rng([abs(o.seed), len(_STREAMS)]).integers(2**62)))


def _diameters(o: ParticleScene, n: int) -> np.ndarray:
    """Return the diameters of `n` particles, in `unit`."""
    rng = _rng(o.seed, "sizes")
    if o.diameters is None:
        return o.median_diameter * np.exp(math.log(o.gsd) * rng.standard_normal(n))
    if callable(o.diameters):
        drawn = np.asarray(o.diameters(rng, n), float)
        if drawn.shape != (n,) or not (np.isfinite(drawn).all() and (drawn > 0).all()):
            raise OptionError(f"simulate: diameters(rng, {n}) must give {n} positive values, got shape {drawn.shape}.")
        return drawn
    return np.array(o.diameters, float)


def _particles(o: ParticleScene, diameters: np.ndarray) -> list[_Particle]:
    rng, contrast_rng = _rng(o.seed, "bodies"), _rng(o.seed, "contrast")
    names = list(o.weights)
    shares = np.cumsum(np.array(list(o.weights.values())) / sum(o.weights.values()))
    options = ShapeOptions(
        o.aspect_ratio, o.aspect_spread, o.plate_thickness, o.rounding, o.roughness, o.orientation, o.tilt
    )
    made: list[_Particle] = []
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
        made.append(_Particle(name, float(diameter), body, scale, outline, reach, contrast, bands))
    return made


def _grouped(o: ParticleScene, particles: list[_Particle]) -> list[arrange.Group]:
    """Return the particles in groups; within a group they have their places."""
    covers = [(np.zeros((1, 2)), np.array([p.reach])) if p.is_round else covering_disks(p.outline) for p in particles]
    if o.arrangement in ("isolated", "random"):
        return [arrange.make_group(np.array([i]), np.zeros((1, 3)), covers) for i in range(len(particles))]
    rng = _rng(o.seed, "groups")
    parts = arrange.split_into_groups(len(particles), o.group_size or _GROUP_SIZES[o.arrangement], rng)
    if o.arrangement in ("touching", "overlapping"):
        outlines = [p.reach if p.is_round else p.outline for p in particles]
        reaches = np.array([p.reach for p in particles])
        push = o.overlap if o.arrangement == "overlapping" else 0.0
        return [arrange.make_group(m, arrange.contact_group(m, outlines, push, rng, reaches), covers) for m in parts]
    radii, groups = np.array([p.diameter / 2 for p in particles]), []
    for members in parts:
        centres = arrange.aggregate(radii[members], rng, by_cluster=o.arrangement == "agglomerates")
        # Drawn together, every pair in contact overlaps by the same share.
        groups.append(arrange.make_group(members, centres * (1 - o.sintering), covers))
    return groups


def _populate(
    o: ParticleScene, frame: tuple[int, int]
) -> tuple[list[_Particle], list[arrange.Group], float, np.ndarray]:
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
    number = _rng(o.seed, "number")
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
    pilot = _pilot(o)
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


class _Maps:
    """What the particles do to each pixel of the specimen, filled one particle after the other, lowest first."""

    def __init__(self, frame: tuple[int, int], surface: bool, bands: float) -> None:
        self.depth = np.zeros(frame, np.float32)
        self.height = np.zeros(frame, np.float32)
        self.material = np.zeros(frame, np.float32)
        self.ids = np.zeros(frame, np.int32)
        self.surface = surface
        self.bands = bands

    def add(
        self, p: _Particle, centre: np.ndarray, z: float, ident: int, core: tuple[float, float] | None
    ) -> tuple[WholeMask, float] | None:
        """Draw one particle; return its mask and its area in the frame (px), or None when no pixel is its own."""
        low, high = p.outline.min(axis=0) + centre, p.outline.max(axis=0) + centre
        r0, c0 = (max(0, math.floor(v + 0.5)) for v in low)
        r1, c1 = (min(n, math.floor(v + 0.5) + 1) for v, n in zip(high, self.ids.shape))
        if r0 >= r1 or c0 >= c1:
            return None
        samples = supersampling_for(p.diameter)
        rows = ((sample_axis(r0, r1, samples) - centre[0]) / p.scale).astype(np.float32)[:, None]
        cols = ((sample_axis(c0, c1, samples) - centre[1]) / p.scale).astype(np.float32)[None, :]
        bottom, top = p.body.surfaces(rows, cols)
        thick = top - bottom
        cover = pixel_means(thick > 0, samples)
        mask = cover >= LABEL_RULE
        window = np.s_[r0:r1, c0:c1]
        weight = p.contrast * p.scale
        depth = pixel_means(thick, samples) * np.float32(weight)
        if core is not None and core[0] > 0:
            inner_low, inner_high = p.body.surfaces(rows / np.float32(core[0]), cols / np.float32(core[0]))
            depth += pixel_means(inner_high - inner_low, samples) * np.float32(weight * core[0] * (core[1] - 1))
        if self.bands > 0:
            along_row, along_col, phase = p.bands
            wave = (np.arange(r0, r1) - centre[0])[:, None] * along_row + (np.arange(c0, c1) - centre[1]) * along_col
            depth *= (1 + self.bands * np.sin(2 * math.pi * wave + phase)).astype(np.float32)
        self.depth[window] += depth
        if self.surface:
            above = pixel_means(top, samples) / np.maximum(cover, 1e-6) * np.float32(p.scale) + np.float32(z)
            here, beneath = self.height[window], self.material[window]
            edge = cover > 0
            here[edge] = (here + cover * (np.maximum(above, here) - here))[edge]
            beneath[edge] = np.where(mask, np.float32(p.contrast), beneath)[edge]
        if not mask.any():
            return None
        self.ids[window][mask] = ident
        return WholeMask(ident, r0, c0, mask), float(cover.sum())


def simulate(kind: str = "bf-tem", *, seed: int = 0, **options: Any) -> Scene:
    """Return a simulated micrograph of particles with its truth.

    Parameters
    ----------
    kind : str
        Microscope: ``"bf-tem"``, ``"haadf-stem"``, ``"laadf-stem"`` or ``"sem"``.
    seed : int
        Same options and seed, same bytes.
    **options
        The fields of `ParticleScene`, such as ``n=60, shapes="rod", bar="line"``; ``simulate(**scene.parameters)``
        repeats a scene.

    Returns
    -------
    scene : Scene
        The image; labels of visible and of whole particles; the table of truth with the columns label, shape,
        centroid-0 and centroid-1 (px, of the centre), equivalent_diameter and area (of the projected outline, in the
        scene's unit, analytic), aspect_ratio, orientation (degrees from the row axis, nan for round ones), feret_max,
        feret_min, core_diameter, contrast (its factor), cluster, touches_frame (a pixel of it lies in the specimen's
        outermost rows or columns), fraction_in_frame, visible_fraction (share of the whole outline that can be seen);
        ``truth.attrs["units"]`` has units.

    Raises
    ------
    OptionError
        For an option that does not exist or is out of range, and for particles that do not fit.

    Examples
    --------
    >>> scene = simulate("bf-tem", seed=1, n=5, edges="inside", pixel_size=0.5)
    >>> len(scene.truth), scene.image.pixels.dtype.name, int(scene.labels.max())
    (5, 'uint8', 5)
    """
    o = ParticleScene.from_dict({"kind": kind, "seed": seed, **options})
    frame = (o.frame_shape[0] - annotate.footer_rows(o.footer, o.frame_shape[0]), o.frame_shape[1])
    if frame[0] < _LEAST_SIDE:
        raise OptionError(f"simulate: a frame of {o.frame_shape} has no room for the footer {o.footer!r}.")
    particles, groups, margin, diameters = _populate(o, frame)
    if callable(o.diameters):
        o = dataclasses.replace(o, diameters=tuple(float(d) for d in diameters), margin_px=margin)
    middles = arrange.place(
        groups,
        frame,
        margin=margin,
        gap=o.min_gap_px,
        apart=o.arrangement != "random",
        inside=o.edges == "inside",
        rng=_rng(o.seed, "places"),
    )
    support = optics.make_support(
        o.support, frame, grain=o.support_grain, grain_px=o.support_grain_px, rng=_rng(o.seed, "support")
    )
    centres, z, cluster = _spread(o, particles, groups, middles)
    maps, whole, rows = _draw(o, particles, centres, z, cluster, support, frame)
    attenuation = _attenuation(o, diameters)
    signal = _signal(o, maps, support, attenuation, diameters)
    levels = o.levels or _levels(o, signal)
    noise = _rng(o.seed, "noise")
    signal = optics.shade(signal, o.shading, noise)
    signal = optics.fringe(signal, o.fringe, 2 * max(o.blur_px, 0.5))
    signal = optics.motion_blur(optics.blur(signal, o.blur_px), o.drift_px)
    signal = optics.charging(signal, o.streaks, noise)
    signal = optics.expose(signal, o.dose, o.read_noise, noise)
    return _finish(
        o, signal, levels, maps, whole, rows, {"attenuation": attenuation, "n_region": len(particles)}, diameters
    )


def _spread(
    o: ParticleScene, particles: list[_Particle], groups: list[arrange.Group], middles: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centre (row, col), height z of the centre and number of the group of each particle."""
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


def _draw(
    o: ParticleScene,
    particles: list[_Particle],
    centres: np.ndarray,
    z: np.ndarray,
    cluster: np.ndarray,
    support: optics.Support,
    frame: tuple[int, int],
) -> tuple[_Maps, list[WholeMask], list[dict[str, Any]]]:
    """Return the maps, the masks of whole particles and their rows of truth, lowest particle first."""
    maps = _Maps(frame, o.kind == "sem", o.bands)
    whole: list[WholeMask] = []
    rows: list[dict[str, Any]] = []
    tops = z + np.array([p.body.height * p.scale for p in particles]) / 2
    for i in np.argsort(tops, kind="stable"):
        p, centre = particles[i], centres[i]
        at = np.clip(np.rint(centre).astype(int), 0, np.array(frame) - 1)
        if support.film[at[0], at[1]] < 0.02 or (support.bar is not None and support.bar[at[0], at[1]] > 0.5):
            continue  # fallen through a hole, or behind the bar of the grid
        core = None
        if SHAPES[p.shape].has_core:
            core = (o.core_ratio, 0.0 if p.shape == "hollow" else o.core_contrast)
        drawn = maps.add(p, centre, z[i], len(whole) + 1, core)
        if drawn is None:
            continue
        mask, inside = drawn
        low, high = p.outline.min(axis=0) + centre, p.outline.max(axis=0) + centre
        cut = (low < -0.5).any() or (high > np.array(frame) - 0.5).any()
        area = math.pi / 4 * p.diameter**2
        moments = (
            outline_moments(p.outline)
            if SHAPES[p.shape].make is not SHAPES["sphere"].make
            else {
                "aspect_ratio": 1.0,
                "orientation": math.nan,
                "feret_max": p.diameter,
                "feret_min": p.diameter,
            }
        )
        size = o.pixel_size
        whole.append(mask)
        rows.append(
            {
                "shape": p.shape,
                "centroid-0": float(centre[0]),
                "centroid-1": float(centre[1]),
                "equivalent_diameter": p.diameter * size,
                "area": area * size**2,
                "aspect_ratio": moments["aspect_ratio"],
                "orientation": moments["orientation"],
                "feret_max": moments["feret_max"] * size,
                "feret_min": moments["feret_min"] * size,
                "core_diameter": p.diameter * size * core[0] if core else math.nan,
                "contrast": p.contrast,
                "cluster": int(cluster[i]),
                "touches_frame": _touches(mask, frame),
                "fraction_in_frame": min(1.0, inside / area) if cut else 1.0,
            }
        )
    return maps, whole, rows


def _touches(w: WholeMask, frame: tuple[int, int]) -> bool:
    top, left = w.row == 0 and w.mask[0].any(), w.col == 0 and w.mask[:, 0].any()
    bottom = w.row + w.mask.shape[0] == frame[0] and w.mask[-1].any()
    right = w.col + w.mask.shape[1] == frame[1] and w.mask[:, -1].any()
    return bool(top or left or bottom or right)


def _attenuation(o: ParticleScene, diameters: np.ndarray) -> float:
    if o.attenuation is not None:
        return o.attenuation
    median = o.median_diameter if o.diameters is None or not len(diameters) else float(np.median(diameters))
    return (1.1 if o.kind == "bf-tem" else 1.0) / median


def _signal(
    o: ParticleScene, maps: _Maps, support: optics.Support, attenuation: float, diameters: np.ndarray
) -> np.ndarray:
    """Return the noise-free, sharp signal."""
    per_px = attenuation * o.pixel_size
    depth = maps.depth * np.float32(per_px)
    if o.kind == "bf-tem":
        return optics.bf_tem(depth, support, film_depth=o.film_depth)
    if o.kind == "haadf-stem":
        return optics.haadf(depth, support, background=o.background)
    if o.kind == "laadf-stem":
        return optics.laadf(depth, support, background=o.background, pixel_depth=per_px)
    rng = _rng(o.seed, "surface")
    light = rng.uniform(0, 2 * math.pi)
    grain = o.surface_grain * optics.band_noise(maps.height.shape, 3.0, rng) if o.surface_grain > 0 else None
    scale = (float(np.median(diameters)) if len(diameters) else o.median_diameter) / o.pixel_size
    return optics.sem(
        maps.height, maps.material, support, scale=scale, background=o.background, light=light, grain=grain
    )


def _levels(o: ParticleScene, signal: np.ndarray) -> tuple[float, float]:
    """Return black and white as an operator sets them: nothing of interest saturates, most of the range is used."""
    low, high = (float(q) for q in np.quantile(signal[::3, ::3], (0.002, 0.998)))
    noise = 3 * math.sqrt(max(high, 1e-3) / o.dose + (o.read_noise / o.dose) ** 2) if o.dose else 0.02 * high
    black = 0.0 if o.kind == "bf-tem" else max(0.0, low - 0.6 * noise - 0.08 * (high - low))
    return black, max(high + 0.8 * noise + 0.05 * (high - low), black + 1e-3)


def _finish(
    o: ParticleScene,
    signal: np.ndarray,
    levels: tuple[float, float],
    maps: _Maps,
    whole: list[WholeMask],
    rows: list[dict[str, Any]],
    derived: dict[str, Any],
    diameters: np.ndarray,
) -> Scene:
    import pandas as pd

    pixels = optics.digitise(signal, levels, o.bits) if o.bits else signal.astype(np.float32)
    extra = o.frame_shape[0] - pixels.shape[0]
    specimen_rows = pixels.shape[0]
    pixels = np.pad(pixels, ((0, extra), (0, 0)))
    black, white = (0.0, float(2**o.bits - 1)) if o.bits else (float(levels[0]), float(levels[1]))
    canvas = annotate.Canvas(pixels, black, white)
    bar = _annotate(o, canvas, specimen_rows)
    if o.bits:
        pixels = np.rint(canvas.pixels).astype(pixels.dtype)
        if o.jpeg_quality is not None:
            pixels = optics.jpeg(pixels, int(o.jpeg_quality))
    else:
        pixels = canvas.pixels
    ids = np.pad(maps.ids, ((0, extra), (0, 0)))
    ids[canvas.opaque] = 0
    shown = np.bincount(ids.ravel(), minlength=len(whole) + 1)[1:]
    # Those that show come first, so that the label image has no gaps.
    order = np.concatenate([np.flatnonzero(shown > 0), np.flatnonzero(shown == 0)]).astype(int)
    label_of = np.zeros(len(whole) + 1, np.int32)
    label_of[order + 1] = np.arange(1, len(whole) + 1)
    masks = tuple(w._replace(label=int(label_of[w.label])) for w in (whole[i] for i in order))
    units = {
        "centroid-0": "px",
        "centroid-1": "px",
        "equivalent_diameter": o.unit,
        "area": f"{o.unit}^2",
        "orientation": "°",
        "feret_max": o.unit,
        "feret_min": o.unit,
        "core_diameter": o.unit,
    }
    for i, row in enumerate(rows):
        row["visible_fraction"] = row["fraction_in_frame"] * float(shown[i]) / float(whole[i].mask.sum())
    truth = pd.DataFrame([rows[i] for i in order], columns=_COLUMNS[1:])
    truth.insert(0, "label", np.arange(1, len(order) + 1))
    truth.attrs["units"] = {name: units.get(name, "") for name in _COLUMNS}
    calibration = Calibration.unknown()
    if o.calibrated and o.unit != "px":
        calibration = Calibration((o.pixel_size, o.pixel_size), o.unit, source="metadata", detail="simulated")
    return Scene(
        image=Image(pixels, "YX", calibration, name=f"{o.kind}-{o.seed}"),
        labels=label_of[ids],
        labels_whole=masks,
        truth=truth,
        pixel_size=o.pixel_size,
        unit=o.unit,
        parameters=o.as_dict(),
        population=_population(o),
        scale_bar=bar,
        annotation_mask=canvas.mask,
        derived={**derived, "levels": list(levels), "specimen_rows": specimen_rows},
    )


_COLUMNS = [
    "label",
    "shape",
    "centroid-0",
    "centroid-1",
    "equivalent_diameter",
    "area",
    "aspect_ratio",
    "orientation",
    "feret_max",
    "feret_min",
    "core_diameter",
    "contrast",
    "cluster",
    "touches_frame",
    "fraction_in_frame",
    "visible_fraction",
]


def _population(o: ParticleScene) -> dict[str, Any]:
    """Return the law of the diameters and its quantiles."""
    if o.diameters is not None:
        d = np.asarray(o.diameters, float)
        if not len(d):
            return {"law": "given", "unit": o.unit}
        q = np.quantile(d, (0.1, 0.5, 0.9))
        return {
            "law": "given",
            "median": float(q[1]),
            "gsd": float(np.exp(np.log(d).std())),
            "mean": float(d.mean()),
            "d10": float(q[0]),
            "d50": float(q[1]),
            "d90": float(q[2]),
            "unit": o.unit,
        }
    s = math.log(o.gsd)
    m, z = o.median_diameter, 1.2815515655446004  # the normal law's 90 % point
    return {
        "law": "log-normal",
        "median": m,
        "gsd": o.gsd,
        "mean": m * math.exp(s * s / 2),
        "d10": m * math.exp(-z * s),
        "d50": m,
        "d90": m * math.exp(z * s),
        "unit": o.unit,
    }


def _annotate(o: ParticleScene, canvas: annotate.Canvas, specimen_rows: int) -> annotate.BarTruth | None:
    text_px = o.text_px or max(9.0, 0.035 * min(o.frame_shape))
    bar = None
    if o.letter:
        annotate.draw_letter(canvas, o.letter, font=o.font, text_px=1.3 * text_px, bottom=specimen_rows)
    if o.bar == "none" and o.footer == "none":
        return None
    if o.unit == "px":
        raise OptionError("simulate: a scale bar needs a unit of length, not px.")
    value, unit = (
        parse_length(o.bar_value) if o.bar_value else annotate.nice_bar(o.frame_shape[1], o.pixel_size, o.unit)
    )
    length = convert(value, unit, o.unit) / o.pixel_size
    if o.footer != "none":
        fields = _footer_fields(o)
        bar = annotate.draw_footer(
            canvas,
            style=o.footer,
            value=value,
            unit=unit,
            length=length,
            font=o.font,
            fields=fields,
            bottom=specimen_rows,
        )
    else:
        bar = annotate.draw_bar(
            canvas,
            style=o.bar,
            value=value,
            unit=unit,
            length=length,
            place=o.bar_place,
            colour=o.bar_colour,
            font=o.font,
            text_px=text_px,
            thick=o.bar_thickness_px,
            space=o.text_space,
            bottom=specimen_rows,
        )
    return bar


def _footer_fields(o: ParticleScene) -> tuple[str, ...]:
    """Return plausible fields of an instrument's footer."""
    rng = _rng(o.seed, "annotations")
    volts = {"sem": (5, 10, 15, 20), "bf-tem": (80, 120, 200)}.get(o.kind, (80, 200, 300))
    metres = o.pixel_size * o.frame_shape[1] * METRES[o.unit]
    unit = best_unit(metres)
    magnification = float(f"{0.127 / metres:.1g}")  # a print 127 mm wide
    working = f"{rng.uniform(4, 20):.1f} mm"
    detector = {"sem": "SE", "bf-tem": "BF"}.get(o.kind, "ADF")
    day = f"{rng.integers(1, 13)}/{rng.integers(1, 29)}/{rng.integers(2008, 2025)}"
    mag = f"{magnification / 1000:,.4g}k" if magnification < 1e6 else f"{magnification / 1000:,.0f}k"
    return (
        f"HV {rng.choice(volts):.1f} kV",
        f"mag {mag}x",
        f"WD {working}",
        f"det {detector}",
        f"HFW {metres / METRES[unit]:.3g} {unit}",
        day,
    )
