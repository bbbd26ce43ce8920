"""The table of parameters, the balanced draw of 150 micrographs from it, and how each of them is simulated.

Contrast is not chosen: it follows from the elements. A particle of thickness t scatters the share ``n sigma t`` of the
electrons out of the bright-field cone, or onto the annular detector, with n atoms per volume and the elastic cross
section of the screened Coulomb potential (Wentzel) beyond a half angle a,

    sigma(a) = Z^(4/3) (gamma lambda)^2 / pi / (1 + (a / a_0)^2),    a_0 = lambda Z^(1/3) / (2 pi a_H),

from L. Reimer & H. Kohl, Transmission Electron Microscopy, 2008, doi:10.1007/978-0-387-40093-8, chapter 5. For large
angles it goes as Z^2, for small ones as Z^(4/3). Inelastic and multiple scattering are left out; what crystals do
beyond that (diffraction contrast) is a random factor of each particle.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass

import numpy as np

from segmetry.synth import Scene, simulate

N_IMAGES = 150
SIDE = 1024
"""Side of the images, px."""
COVERAGE, MOST = 0.12, 250
"""Share of the carbon that particles cover, unless that were more than so many particles."""
GSD = 1.25
"""Geometric standard deviation of the log-normal diameters."""
SHAPES = {"sphere": 0.6, "irregular": 0.25, "ellipsoid": 0.15}


@dataclass(frozen=True)
class Material:
    """Atoms per nm^3 and the share of each atomic number."""

    name: str
    density: float
    elements: dict[int, float]


@dataclass(frozen=True)
class Carbon:
    """A support: its name in `segmetry.synth`, mean thickness and width of tubes or grains in nm, and its cover."""

    name: str
    support: str
    thickness: float
    width: float
    cover: float


@dataclass(frozen=True)
class Modality:
    """A detector: half angles (mrad) from which and to which scattered electrons count, and the spread of contrast."""

    name: str
    kind: str
    inner: float
    outer: float
    contrast_spread: float
    fringe: float = 0.0


@dataclass(frozen=True)
class Instrument:
    """A microscope: voltage, pixel and blur (standard deviation) in nm, electrons per pixel, and its detector."""

    name: str
    kilovolts: float
    pixel_size: float
    blur: float
    dose: float
    read_noise: float
    bits: int
    shading: float


SIZES = (2.0, 3.0, 5.0, 12.0)
"""Mean diameters, nm."""
MATERIALS = (
    Material("Pt", 66.2, {78: 1.0}),
    Material("Pt3Co", 69.9, {78: 0.75, 27: 0.25}),
    Material("FeP", 85.9, {26: 0.5, 15: 0.5}),
    Material("SnCu", 56.3, {50: 5 / 11, 29: 6 / 11}),  # taken as the bronze Cu6Sn5
)
CARBONS = (
    Carbon("graphene", "graphene", 1.2, 15.0, 1.0),
    Carbon("nanotubes", "nanotubes", 13.5, 15.0, 0.48),
    Carbon("powder", "carbon-powder", 65.0, 35.0, 0.6),
    Carbon("cathode", "cathode", 60.0, 35.0, 1.0),
)
MODALITIES = (
    Modality("BF TEM", "bf-tem", 10.0, math.inf, 0.35, fringe=0.3),
    Modality("BF STEM", "bf-stem", 15.0, math.inf, 0.25),
    Modality("HAADF", "haadf-stem", 75.0, 200.0, 0.05),
    Modality("LAADF", "laadf-stem", 25.0, 60.0, 0.2),
)
INSTRUMENTS = (
    Instrument("A", 300.0, 0.10, 0.08, 4000.0, 1.0, 16, 0.04),
    Instrument("B", 200.0, 0.14, 0.14, 2500.0, 2.0, 16, 0.06),
    Instrument("C", 200.0, 0.18, 0.22, 1500.0, 3.0, 8, 0.10),
    Instrument("D", 120.0, 0.25, 0.40, 900.0, 4.0, 8, 0.15),
)
_CARBON = Material("C", 95.0, {6: 1.0})  # 1.9 g/cm^3


@dataclass(frozen=True)
class Setting:
    """One micrograph of the study: a level of each factor, and the seed of its chance."""

    number: int
    size: float
    material: Material
    carbon: Carbon
    modality: Modality
    instrument: Instrument
    seed: int

    @property
    def name(self) -> str:
        """The image's name, by its number."""
        return f"np-{self.number:03d}"

    def factors(self) -> dict[str, str | float]:
        """Return the levels by factor."""
        return {
            "size": self.size,
            "material": self.material.name,
            "support": self.carbon.name,
            "modality": self.modality.name,
            "instrument": self.instrument.name,
        }


def wavelength(kilovolts: float) -> float:
    """Return the wavelength of an electron in nm.

    >>> round(1000 * wavelength(200.0), 3)  # pm
    2.508
    """
    energy = 1000 * kilovolts
    return 1.226426 / math.sqrt(energy * (1 + 0.978476e-6 * energy))


def cross_section(z: int, milliradians: float, kilovolts: float) -> float:
    """Return the elastic cross section (nm^2) of an atom for scattering beyond a half angle."""
    if math.isinf(milliradians):
        return 0.0
    gamma, length = 1 + kilovolts / 510.999, wavelength(kilovolts)
    screening = length * z ** (1 / 3) / (2 * math.pi * 0.0529177)
    return z ** (4 / 3) * (gamma * length) ** 2 / math.pi / (1 + (milliradians / 1000 / screening) ** 2)


def scattered_per_nm(material: Material, modality: Modality, kilovolts: float) -> float:
    """Return the share of the electrons that 1 nm of a material scatters between the angles of a detector."""
    each = {
        z: cross_section(z, modality.inner, kilovolts) - cross_section(z, modality.outer, kilovolts)
        for z in material.elements
    }
    return material.density * sum(share * each[z] for z, share in material.elements.items())


def orthogonal_runs() -> np.ndarray:
    """Return 16 runs of 5 factors with 4 levels, in which every pair of levels of two factors occurs once, (16, 5).

    The columns are a, b, a + b, a + wb, a + w²b over the field of four elements (C. R. Rao, 1947): addition is the
    exclusive or of two bits, and w times 0, 1, 2, 3 is 0, 2, 3, 1.
    """
    times_w = np.array([0, 2, 3, 1])
    a, b = np.divmod(np.arange(16), 4)
    return np.stack([a, b, a ^ b, a ^ times_w[b], a ^ times_w[times_w[b]]], axis=1)


def balanced_levels(n: int, seed: int) -> np.ndarray:
    """Return the level of 5 factors in `n` runs, (n, 5), in random order.

    Whole sets of 16 are orthogonal: different cosets of `orthogonal_runs`, so that no run is repeated before all 1024
    were drawn. In what is left over each factor by itself is even. So the counts of the levels differ by one at most.
    """
    rng = np.random.default_rng([seed, 0])
    base = orthogonal_runs()
    cosets = [np.array([0, 0, *shift]) for shift in itertools.product(range(4), repeat=3)]
    order = rng.permutation(len(cosets))
    whole, rest = divmod(n, len(base))
    runs = [base ^ cosets[order[i % len(order)]] for i in range(whole)]
    for start in range(0, rest, 4):
        runs.append(np.stack([rng.permutation(4) for _ in range(5)], axis=1)[: rest - start])
    levels = np.concatenate(runs) if runs else np.zeros((0, 5), int)
    return levels[rng.permutation(len(levels))]


def settings(n: int = N_IMAGES, *, seed: int = 0) -> list[Setting]:
    """Return the settings of the study's micrographs."""
    tables = (SIZES, MATERIALS, CARBONS, MODALITIES, INSTRUMENTS)
    seeds = np.random.default_rng([seed, 1]).integers(2**31, size=n)
    return [
        Setting(i, *(table[level] for table, level in zip(tables, levels)), seed=int(s))  # type: ignore[arg-type]
        for i, (levels, s) in enumerate(zip(balanced_levels(n, seed), seeds))
    ]


def scene_options(setting: Setting, side: int = SIDE) -> dict[str, object]:
    """Return the options of `segmetry.simulate` for a setting."""
    carbon, modality, instrument = setting.carbon, setting.modality, setting.instrument
    spread = math.log(GSD)
    median = setting.size * math.exp(-(spread**2) / 2)  # of the log-normal with this mean
    pixel = instrument.pixel_size
    mean_area = math.pi / 4 * median**2 * math.exp(2 * spread**2)
    fit = COVERAGE * (side * pixel) ** 2 / mean_area
    n = min(fit, MOST * (side / SIDE) ** 2 / carbon.cover)
    if carbon.cover < 1:
        n = min(fit / carbon.cover, n)
    particle = scattered_per_nm(setting.material, modality, instrument.kilovolts)
    film = scattered_per_nm(_CARBON, modality, instrument.kilovolts) * carbon.thickness
    contrast: dict[str, object] = {"attenuation": particle, "film_depth": film, "dose": instrument.dose}
    if modality.kind in ("haadf-stem", "laadf-stem"):
        # The simulation's signal 1 is the middle of a median particle; low angles get 2.5 times the film.
        share = particle * median
        boost = 2.5 if modality.kind == "laadf-stem" else 1.0
        contrast = {"background": film / share / boost, "dose": instrument.dose * share}
    return {
        "kind": modality.kind,
        "seed": setting.seed,
        "frame_shape": (side, side),
        "pixel_size": pixel,
        "shapes": dict(SHAPES),
        "n": n,
        "median_diameter": median,
        "gsd": GSD,
        "aspect_ratio": 1.3,
        "arrangement": "random",
        "contrast_spread": modality.contrast_spread,
        "support": carbon.support,
        "support_size_px": carbon.width / pixel,
        # Layers of a random solid add in quadrature: a tenth at 10 nm, less where the carbon is thick.
        "support_grain": 0.1 * math.sqrt(10 / carbon.thickness),
        "support_grain_px": max(2.0, 0.6 / pixel),
        "blur_px": instrument.blur / pixel,
        "fringe": modality.fringe,
        "shading": instrument.shading,
        "read_noise": instrument.read_noise,
        "bits": instrument.bits,
        **contrast,
    }


def scene_of(setting: Setting, side: int = SIDE) -> Scene:
    """Return the simulated micrograph of a setting, with its truth."""
    return simulate(**scene_options(setting, side))  # type: ignore[arg-type]


def table_of_parameters() -> dict[str, list[dict[str, object]]]:
    """Return the levels of every factor as plain data."""
    return {
        "size": [{"mean_nm": s} for s in SIZES],
        **{
            name: [asdict(level) for level in table]
            for name, table in (
                ("material", MATERIALS),
                ("support", CARBONS),
                ("modality", MODALITIES),
                ("instrument", INSTRUMENTS),
            )
        },
    }
