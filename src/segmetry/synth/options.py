"""`ParticleScene`: the options of a scene, which are its recipe as well, and what each of them may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmetry.errors import OptionError, unknown_name
from segmetry.synth import annotate, arrange, optics
from segmetry.synth.record import LEAST_SIDE, LENGTH, Record
from segmetry.synth.shapes import SHAPES
from segmetry.synth.supports import SUPPORTS

Diameters = Sequence[float] | Callable[[np.random.Generator, int], Any]


@dataclass(frozen=True)
class ParticleScene(Record):
    """Everything that decides a simulated micrograph; the same record is the options of `simulate` and its recipe.

    Parameters
    ----------
    kind : str
        Microscope: ``"bf-tem"``, ``"bf-stem"``, ``"haadf-stem"``, ``"laadf-stem"`` or ``"sem"``.
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
    support_size_px : float
        Diameter of the nanotubes and of the grains of carbon black that the support is made of.
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
    support_size_px: float = 80.0
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
            ("support", SUPPORTS),
            ("bar", annotate.BARS),
            ("footer", annotate.FOOTERS),
            ("bar_place", annotate.PLACES),
            ("bar_colour", ("auto", "light", "dark")),
            ("edges", ("cut", "inside")),
            ("font", annotate.FONTS),
        ):
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known)
        if isinstance(self.shapes, Mapping):
            object.__setattr__(self, "shapes", {str(k): float(v) for k, v in self.shapes.items()})
        for shape in self.weights:
            if shape not in SHAPES:
                raise unknown_name("shape", shape, SHAPES)
        if self.diameters is not None and not callable(self.diameters):
            given = tuple(float(d) for d in self.diameters)
            object.__setattr__(self, "diameters", given)
            if not all(0 < d < math.inf for d in given):
                raise OptionError("simulate: diameters must be positive and finite.")
        self.tidy(("frame_shape", "group_size", "drift_px", "levels"), _RANGES)
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


_RANGES = (
    ("frame_shape", LEAST_SIDE, 65536),
    ("pixel_size", *LENGTH),
    ("n", 0, 1e7),
    ("coverage", 0, 10),
    ("median_diameter", *LENGTH),
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
    ("support_size_px", 4, 1e4),
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
