"""`simulate_somas`: cell bodies in grainy tissue with vessels, as X-ray tomography of a stained spinal cord shows them.

Grey values are relative: tissue has 1. Lengths of the defaults are those of motor neurons and capillaries; at 0.65 µm
a pixel, cell bodies are about 20 to 100 px across. The share of 5 % follows from a study on a cat's spinal cord that
reports an accuracy of 98.1 % at a soma IoU of 68.6 %: true positives then cover 4 % of the pixels, errors 2 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmetry.errors import OptionError
from segmetry.synth import optics
from segmetry.synth.bodies import Tubes, frame_along, plate
from segmetry.synth.chance import log_normal, log_uniform, named_rng, short
from segmetry.synth.labelled import TRIES, LabelledScene, body_row, body_table, fill
from segmetry.synth.raster import LABEL_RULE, pixel_means, sample_axis, touches
from segmetry.synth.record import LEAST_SIDE, LENGTH, Record
from segmetry.synth.texture import band_noise
from segmetry.units import METRES

CLASSES = ("background", "soma", "vessel")
"""Classes of the tissue, by label; vessels are background unless asked for."""

_SAMPLES = 3  # somas are large
_DRAWS = 1000  # diameters drawn before a law is refused of which next to nothing lies between the two cuts


@dataclass(frozen=True)
class SomaScene(Record):
    """Everything that decides a slice of tissue with cell bodies.

    Parameters
    ----------
    seed : int
        Same record, same bytes.
    frame_shape : (rows, columns)
        Shape of the image.
    pixel_size, unit : float, str
        Length of a pixel, and the unit of all lengths below that do not end in ``_px``.
    soma_share : float
        Share of the frame that somas cover.
    soma_diameter, soma_gsd : float
        Median and geometric standard deviation of the log-normal law of the body's diameter without its processes.
    smallest, largest : float
        Where that law is cut off.
    processes : (int, int)
        Least and largest number of dendrites at a soma; their first piece belongs to it.
    vessels : float
        Vessels per square millimetre.
    vessel_radius, vessel_gsd : float
        Median and geometric standard deviation of the log-normal law of their inner radius.
    bright_share : float
        Share of the vessels that are filled, so bright; the others are dark.
    vessels_as_class : bool
        Whether vessels, walls included, have a class of their own instead of being background.
    glia : float
        Small bright nuclei per square millimetre; background.
    soma_contrast, nucleus_contrast, vessel_contrast : float
        Grey value over that of the tissue; nuclei over that of their soma; of filled vessels the opposite sign.
    grain : float
        Standard deviation of the tissue's texture.
    shading : float
        Relative range of uneven brightness.
    blur_px : float
        Standard deviation of the point spread.
    noise : float
        Standard deviation of the white noise.
    """

    seed: int = 0
    frame_shape: tuple[int, int] = (2300, 1920)
    pixel_size: float = 0.65
    unit: str = "µm"
    soma_share: float = 0.05
    soma_diameter: float = 32.0
    soma_gsd: float = 1.35
    smallest: float = 13.0
    largest: float = 58.0
    processes: tuple[int, int] = (2, 6)
    vessels: float = 20.0
    vessel_radius: float = 5.0
    vessel_gsd: float = 1.8
    bright_share: float = 0.3
    vessels_as_class: bool = False
    glia: float = 350.0
    soma_contrast: float = 0.16
    nucleus_contrast: float = -0.10
    vessel_contrast: float = -0.35
    grain: float = 0.09
    shading: float = 0.15
    blur_px: float = 1.0
    noise: float = 0.06

    def __post_init__(self) -> None:
        self.tidy(("frame_shape", "processes"), _RANGES)
        if self.processes[0] > self.processes[1]:
            raise OptionError(f"simulate somas: processes go from least to largest, got {self.processes}.")
        if not self.smallest < self.largest:
            raise OptionError(
                f"simulate somas: smallest must be below largest, got {self.smallest:g} and {self.largest:g}."
            )


_RANGES = (
    ("frame_shape", LEAST_SIDE, 65536),
    ("pixel_size", *LENGTH),
    ("soma_share", 0, 0.35),
    ("soma_diameter", *LENGTH),
    ("soma_gsd", 1, 5),
    ("smallest", 0, 1e12),
    ("largest", *LENGTH),
    ("processes", 0, 20),
    ("vessels", 0, 1e6),
    ("vessel_radius", *LENGTH),
    ("vessel_gsd", 1, 5),
    ("bright_share", 0, 1),
    ("glia", 0, 1e6),
    ("soma_contrast", -1, 10),
    ("nucleus_contrast", -1, 10),
    ("vessel_contrast", -1, 1),
    ("grain", 0, 5),
    ("shading", 0, 2),
    ("blur_px", 0, 100),
    ("noise", 0, 10),
)


class _Soma:
    """A cell body around the origin: an ellipsoid that runs out into its processes."""

    def __init__(self, diameter: float, n_processes: int, rng: np.random.Generator, ndim: int = 2) -> None:
        radius = diameter / 2
        half = radius * np.exp(rng.normal(0, 0.15, ndim))
        half *= radius / np.prod(half) ** (1 / ndim)
        self.radius, self.body = radius, plate(half, frame_along(rng.standard_normal(ndim)), 2.0)
        self.body = self.body.rough(0.05, rng)
        self.ways = rng.standard_normal((n_processes, ndim))
        if ndim == 2:  # spread over the circle, else some lie on each other
            turns = 2 * math.pi * (np.arange(n_processes) + rng.uniform(-0.3, 0.3, n_processes)) / max(n_processes, 1)
            self.ways = np.column_stack([np.sin(turns), np.cos(turns)])
        self.ways /= np.linalg.norm(self.ways, axis=1)[:, None]
        self.starts = radius * rng.uniform(0.28, 0.5, n_processes)
        self.reaches = radius * rng.uniform(1.25, 1.7, n_processes)
        self.reach = max(1.1 * self.body.reach, float(self.reaches.max(initial=0)) + 0.2 * radius)

    def gap(self, *x: np.ndarray) -> np.ndarray:
        """Return about the distance from the surface, negative inside; what meets is joined without an edge.

        The union with radius of blending k is the polynomial one of I. Quilez.
        """
        gap: Any = (self.body.level(*x) - 1) * np.float32(self.radius)
        blend = np.float32(0.3 * self.radius)
        for way, start, reach in zip(self.ways, self.starts, self.reaches):
            along = np.clip(sum(np.float32(a) * v for a, v in zip(way, x)), 0, np.float32(reach))
            off = np.sqrt(sum((v - along * np.float32(a)) ** 2 for a, v in zip(way, x)))
            cone = off - np.float32(start) * (1 - 0.75 * along / np.float32(reach))
            near = np.maximum(blend - np.abs(gap - cone), 0) / blend
            gap = np.minimum(gap, cone) - near * near * blend / 4
        return gap


def _window(centre: np.ndarray, reach: float, shape: tuple[int, ...]) -> tuple[slice, ...]:
    ends = [(max(0, math.floor(c - reach)), min(n, math.ceil(c + reach) + 1)) for c, n in zip(centre, shape)]
    return tuple(slice(a, max(a, b)) for a, b in ends)


def _grid(window: tuple[slice, ...], centre: np.ndarray, samples: int) -> list[np.ndarray]:
    """Return the offsets of a window's samples from a centre, one array per axis."""
    axes = [(sample_axis(w.start, w.stop, samples) - c).astype(np.float32) for w, c in zip(window, centre)]
    return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def _vessels(o: SomaScene, mm2: float) -> tuple[list[Tubes], list[dict[str, Any]]]:
    """Return dark and bright vessels, some cut across and some along, and their rows of truth."""
    rng, shape = named_rng(o.seed, "somas vessels"), o.frame_shape
    kinds = [Tubes(shape, 1), Tubes(shape, 1)]
    rows = []
    for _ in range(int(rng.poisson(o.vessels * mm2))):
        radius = log_normal(rng, o.vessel_radius, o.vessel_gsd) / o.pixel_size
        along = rng.uniform() < 0.35
        length = rng.uniform(0.2, 1.2) * max(shape) if along else radius * rng.exponential(1.2)
        n = max(1, math.ceil(length / max(2 * radius, 8.0)))
        heading = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, 0.16 if along else 0.05, n))
        steps = np.column_stack([np.sin(heading), np.cos(heading)]) * length / n
        points = rng.uniform([0, 0], shape) + np.vstack([np.zeros(2), np.cumsum(steps, axis=0)])
        filled = rng.uniform() < o.bright_share
        ends = np.minimum(np.arange(n), np.arange(n)[::-1]) + 1.0
        radii = radius * np.exp(np.cumsum(rng.normal(0, 0.03, n))) * (np.minimum(0.4 + 0.1 * ends, 1) if along else 1)
        kinds[filled].add(points, radii, margin=12.0)
        middle = points.mean(axis=0)
        kind = f"{'bright' if filled else 'dark'}, {'along' if along else 'across'}"
        at_edge = bool(((points < radius) | (points > np.array(shape) - 1 - radius)).any())
        inner = 2 * radius * o.pixel_size
        rows.append(body_row("vessel", kind, middle, math.nan, at_edge, equivalent_diameter=inner))
    return kinds, rows


def _tissue(o: SomaScene) -> tuple[np.ndarray, np.ndarray]:
    """Return the bare tissue's grey values, and the density of somas (0 to 1): most lie in grey matter, in groups."""
    rng, shape = named_rng(o.seed, "somas tissue"), o.frame_shape
    size = max(600.0 / o.pixel_size * METRES["µm"] / METRES[o.unit], 8.0)
    region = band_noise(shape, size, rng) + 0.15 * band_noise(shape, size / 6, rng)
    grey = np.clip(2.5 * region + 1, 0, 1)
    fine = band_noise(shape, 2.6, rng)
    coarse = band_noise(shape, 9.0, rng)
    # White matter: myelin around axons, dense small dots; grey matter: felt.
    dots = np.clip(band_noise(shape, 5.0, rng) - 0.2, 0, 2)
    texture = grey * (0.9 * fine + 0.45 * coarse) + (1 - grey) * (1.6 * dots + 0.4 * fine + 0.4)
    return 1 + np.float32(o.grain) * texture, grey * np.clip(0.35 + 0.6 * band_noise(shape, size / 2, rng), 0.1, 1)


def simulate_somas(*, seed: int = 0, **options: Any) -> LabelledScene:
    """Return a slice of tissue with its classes: 0 background, 1 soma, and where asked 2 vessel.

    Parameters
    ----------
    seed : int
        Same options and seed, same bytes.
    **options
        The fields of `SomaScene`.

    Returns
    -------
    scene : LabelledScene
        ``truth`` has one row per soma and per vessel: object, class, kind, centroid-0 and centroid-1 (px, the middle
        of the body or of the vessel's axis), area (of what lies in the frame, from the coverage of pixels; nan for
        vessels), equivalent_diameter (of that area; of a vessel its inner diameter), touches_frame. Pixels of vessels
        are those whose centre lies within the outer wall.

    Raises
    ------
    OptionError
        For an option that does not exist or is out of range, and for somas that do not fit.

    Examples
    --------
    >>> scene = simulate_somas(seed=1, frame_shape=(300, 320), vessels_as_class=True)
    >>> scene.classes, abs(scene.facts["share"]["soma"] - 0.05) < 0.01
    (('background', 'soma', 'vessel'), True)
    """
    o = SomaScene.from_dict({"seed": seed, **options})
    shape, size = o.frame_shape, o.pixel_size
    mm2 = shape[0] * shape[1] * (size * METRES[o.unit] / METRES["mm"]) ** 2
    image, density = _tissue(o)
    kinds, rows = _vessels(o, mm2)
    wall = 1.5 / size * METRES["µm"] / METRES[o.unit]
    outer = np.minimum(kinds[0].gap, kinds[1].gap) - np.float32(wall)
    vessel = outer <= 0
    _glia(o, image, mm2)
    taken = outer < 4
    labels, somas = _somas(o, image, taken, density)
    if o.vessels_as_class:
        labels[vessel] = 2
    for tubes, sign in zip(kinds, (1, -1)):
        gap = np.minimum(tubes.gap, np.float32(1e3))
        around = np.clip(wall + 2.5 - gap, 0, 1) * (gap > wall)  # the space around a vessel is a little darker
        image *= 1 - np.float32(0.05) * around
        walls, lumen = np.clip(wall + 0.5 - gap, 0, 1), np.clip(0.5 - gap, 0, 1)
        image += walls * (np.float32(1.22) - image)
        image += lumen * (np.float32(1 + sign * o.vessel_contrast) - image)
    rng = named_rng(o.seed, "somas noise")
    image = optics.blur(optics.shade(image, o.shading, rng), o.blur_px)
    image += np.float32(o.noise) * rng.standard_normal(shape, dtype=np.float32)
    classes = CLASSES if o.vessels_as_class else CLASSES[:2]
    return LabelledScene.of(o, "somas", image, (size, size), labels, classes, body_table([*somas, *rows], o.unit))


def _glia(o: SomaScene, image: np.ndarray, mm2: float) -> None:
    """Put small bright nuclei in."""
    rng, shape = named_rng(o.seed, "somas glia"), o.frame_shape
    for _ in range(int(rng.poisson(o.glia * mm2))):
        centre = rng.uniform([0, 0], shape)
        radius = log_normal(rng, 2.6, 1.25) / o.pixel_size * METRES["µm"] / METRES[o.unit]
        window = _window(centre, 2 * radius, shape)
        r, c = _grid(window, centre, 1)
        level = (r * r + c * c) / np.float32(radius * radius)
        image[window] += np.float32(abs(o.soma_contrast) * rng.uniform(0.5, 1.5)) * np.exp(-(level**2))


def _somas(
    o: SomaScene, image: np.ndarray, taken: np.ndarray, density: np.ndarray
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Draw somas into the image until they have their share; return labels and rows of truth."""
    rng, shape = named_rng(o.seed, "somas bodies"), o.frame_shape
    labels, rows = np.zeros(shape, np.int32), []
    smallest = o.smallest / o.pixel_size
    nissl = band_noise(shape, 7.0, rng)

    def attempt(left: float) -> int:
        # The last ones are as large as what is left.
        diameter = max(min(_diameter(o, rng) / o.pixel_size, math.sqrt(left)), smallest)
        soma = _Soma(diameter, int(rng.integers(o.processes[0], o.processes[1] + 1)), rng)
        for _ in range(TRIES):
            centre = rng.uniform([-0.3 * diameter] * 2, np.array(shape) + 0.3 * diameter)
            at = np.clip(np.rint(centre).astype(int), 0, np.array(shape) - 1)
            if rng.uniform() > density[at[0], at[1]] or taken[at[0], at[1]]:
                continue
            window = _window(centre, soma.reach, shape)
            gap = soma.gap(*_grid(window, centre, 1))
            if (taken[window] & (gap < 3)).any():
                continue
            coverage = pixel_means(soma.gap(*_grid(window, centre, _SAMPLES)) <= 0, _SAMPLES)
            mask = coverage >= LABEL_RULE
            if mask.any():
                break
        else:
            return 0
        _dendrites(o, image, soma, centre, rng)
        labels[window][mask] = 1
        taken[window] |= coverage > 0
        contrast = o.soma_contrast * log_normal(rng, 1.0, 1.25)
        own = 1 + contrast * (1 + np.float32(0.22) * nissl[window])
        halo = np.exp(-((gap - 1.5) ** 2) / 2) * (gap > 0)  # cells have shrunk a little away from the felt around them
        image[window] -= np.float32(0.35 * abs(contrast)) * halo
        image[window] += coverage * (own - image[window])
        if rng.uniform() < 0.65:  # the slice meets the nucleus
            _nucleus(o, image, centre, diameter, rng)
        area = float(coverage.sum()) * o.pixel_size**2
        rows.append(body_row("soma", "soma", centre, area, touches(window, mask, shape)))
        return int(mask.sum())

    fill("somas", "soma", o.soma_share, labels.size, smallest**2 / 2, attempt)
    return labels, rows


def _diameter(o: SomaScene, rng: np.random.Generator) -> float:
    """Return a diameter from the law that is cut off."""
    for _ in range(_DRAWS):
        diameter = log_normal(rng, o.soma_diameter, o.soma_gsd)
        if o.smallest <= diameter <= o.largest:
            return diameter
    raise OptionError(
        f"simulate somas: hardly any soma of the median {o.soma_diameter:g} and the geometric standard deviation "
        f"{o.soma_gsd:g} is from {o.smallest:g} to {o.largest:g} wide; move soma_diameter, smallest or largest."
    )


def _dendrites(o: SomaScene, image: np.ndarray, soma: _Soma, centre: np.ndarray, rng: np.random.Generator) -> None:
    """Draw the rest of the processes, which fade away and belong to no soma."""
    for way, start, reach in zip(soma.ways, soma.starts, soma.reaches):
        length = soma.radius * rng.uniform(1.0, 3.5)
        middle = centre + way * (reach + length / 2)
        window = _window(middle, length / 2 + start, image.shape)
        r, c = _grid(window, centre + way * reach, 1)
        along, across = r * np.float32(way[0]) + c * np.float32(way[1]), c * np.float32(way[0]) - r * np.float32(way[1])
        bend = np.float32(rng.normal(0, 0.15) / max(length, 1.0)) * along**2
        width = np.float32(0.25 * start) * np.clip(1 - 0.5 * along / np.float32(length), 0.2, 1)
        fade = np.clip(1 - along / np.float32(length), 0, 1) * (along > -1)
        image[window] += np.float32(0.7 * o.soma_contrast) * fade * np.exp(-(((across - bend) / width) ** 2))


def _nucleus(o: SomaScene, image: np.ndarray, centre: np.ndarray, diameter: float, rng: np.random.Generator) -> None:
    """Draw a nucleus, and mostly its nucleolus."""
    radius = diameter * rng.uniform(0.16, 0.26)
    middle = centre + rng.normal(0, 0.07 * diameter, 2)
    window = _window(middle, radius + 3, image.shape)
    r, c = _grid(window, middle, 1)
    off = np.sqrt(r * r + c * c)
    image[window] += np.float32(o.nucleus_contrast) * np.clip((radius - off) / 2 + 0.5, 0, 1)
    if rng.uniform() < 0.7:
        spot = max(0.22 * radius, 1.0)
        at = rng.normal(0, 0.25 * radius, 2).astype(np.float32)
        far = ((r - at[0]) ** 2 + (c - at[1]) ** 2) / np.float32(spot * spot)
        image[window] -= np.float32(2 * o.nucleus_contrast) * np.exp(-far)


def random_somas(rng: np.random.Generator, **options: Any) -> SomaScene:
    """Return the record of a random slice at full scale, its somas light or dark; `options` are kept as given."""
    sign = float(rng.choice([-1, 1]))
    return SomaScene.from_dict(
        {
            "seed": int(rng.integers(2**31)),
            "soma_share": short(log_uniform(rng, 0.02, 0.08)),
            "soma_diameter": short(log_uniform(rng, 24, 42)),
            "soma_gsd": short(rng.uniform(1.2, 1.45)),
            "vessels": short(log_uniform(rng, 8, 40)),
            "vessel_radius": short(log_uniform(rng, 3.5, 8)),
            "bright_share": short(rng.uniform(0, 0.6)),
            "glia": short(log_uniform(rng, 100, 700)),
            "soma_contrast": short(sign * log_uniform(rng, 0.08, 0.25)),
            "nucleus_contrast": short(-sign * rng.uniform(0.04, 0.15)),
            "vessel_contrast": short(-rng.uniform(0.2, 0.5)),
            "grain": short(log_uniform(rng, 0.05, 0.13)),
            "shading": short(rng.uniform(0, 0.4)),
            "blur_px": short(log_uniform(rng, 0.7, 1.8)),
            "noise": short(log_uniform(rng, 0.03, 0.12)),
            **options,
        }
    )
