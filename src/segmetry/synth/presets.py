"""Varied random scenes: microscope, sizes, shapes, arrangement, support, optics and annotations drawn together.

The ranges are wider than what a user is likely to have (domain randomisation), with hard negatives among them:
bars, text, holes, folds, grids, streaks, uneven light.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from segmetry.errors import OptionError, unknown_name
from segmetry.synth.annotate import PLACES, nice_bar
from segmetry.synth.chance import log_uniform, short
from segmetry.synth.optics import BRIGHT_FIELD
from segmetry.synth.options import ParticleScene
from segmetry.synth.scene import Scene, simulate
from segmetry.units import convert

_KINDS = {"bf-tem": 0.4, "haadf-stem": 0.2, "laadf-stem": 0.1, "sem": 0.3}
_ARRANGEMENTS = {
    "isolated": 0.3,
    "random": 0.2,
    "touching": 0.15,
    "overlapping": 0.15,
    "agglomerates": 0.12,
    "compact-agglomerates": 0.08,
}
_SHAPES = {
    "sphere": 0.3,
    "irregular": 0.2,
    "ellipsoid": 0.08,
    "rod": 0.12,
    "cube": 0.08,
    "triangle": 0.04,
    "hexagon": 0.06,
    "core-shell": 0.06,
    "hollow": 0.06,
}
_SUPPORTS = {"flat": 0.15, "carbon": 0.45, "wedge": 0.12, "holey": 0.08, "grid": 0.06, "wrinkled": 0.14}
_FONTS = {"sans": 0.3, "sans-bold": 0.2, "serif": 0.15, "serif-bold": 0.2, "mono": 0.05, "hershey": 0.1}


def _pick(rng: np.random.Generator, table: dict[str, float]) -> str:
    return str(rng.choice(list(table), p=np.array(list(table.values())) / sum(table.values())))


def random_scene(rng: np.random.Generator, *, kind: str | None = None) -> ParticleScene:
    """Return the record of a random scene.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance; the record holds a seed of its own.
    kind : str, optional
        Microscope; random unless told.
    """
    chosen = kind or _pick(rng, _KINDS)
    transmission, is_sem = chosen in BRIGHT_FIELD, chosen == "sem"
    arrangement = _pick(rng, _ARRANGEMENTS)
    clustered = arrangement.endswith("agglomerates")
    rows, cols = int(rng.integers(384, 721)), int(rng.integers(384, 901))
    diameter_px = log_uniform(rng, 8, 32 if clustered else 96)
    median = short(log_uniform(rng, 40, 4000) if is_sem else log_uniform(rng, 3, 150))
    top = {"isolated": 0.22, "random": 0.35, "touching": 0.2, "overlapping": 0.2}.get(arrangement, 0.3)
    coverage = max(log_uniform(rng, 0.02, top), 3 * math.pi / 4 * diameter_px**2 / (rows * cols))
    names = {_pick(rng, _SHAPES) for _ in range(1 + int(rng.uniform() < 0.25))}
    options: dict[str, Any] = {
        "kind": chosen,
        "seed": int(rng.integers(2**31)),
        "frame_shape": (rows, cols),
        "pixel_size": short(median / diameter_px),
        "calibrated": bool(rng.uniform() < 0.5),
        "shapes": {name: short(rng.uniform(0.3, 1)) for name in sorted(names)},
        "coverage": short(min(coverage, 0.4)),
        "median_diameter": median,
        "gsd": short(1 + log_uniform(rng, 0.03, 0.4 if not clustered else 0.25)),
        "aspect_ratio": short(log_uniform(rng, 1.2, 6)),
        "plate_thickness": short(rng.uniform(0.1, 0.4)),
        "rounding": short(rng.uniform(0, 0.4)),
        "roughness": short(log_uniform(rng, 0.02, 0.12)),
        "tilt": short(rng.uniform(5, 40)) if rng.uniform() < 0.25 else 0.0,
        "core_ratio": short(rng.uniform(0.4, 0.85)),
        "core_contrast": short(log_uniform(rng, 1.5, 5)),
        "arrangement": arrangement,
        "min_gap_px": 2.0,
        "overlap": short(rng.uniform(0.15, 0.7)),
        "sintering": short(rng.uniform(0, 0.15)),
        "support": _pick(rng, _SUPPORTS),
        "support_grain": short(log_uniform(rng, 0.03, 0.4) * (0.4 if is_sem else 1.0)),
        "support_grain_px": short(log_uniform(rng, 2, 12)),
        "attenuation": short(log_uniform(rng, 0.25, 4.0) / median) if transmission else None,
        "contrast_spread": short(rng.uniform(0, 0.35 if transmission else 0.2)),
        "bands": short(rng.uniform(0.1, 0.6)) if not is_sem and rng.uniform() < 0.3 else 0.0,
        "background": short(log_uniform(rng, 0.05, 0.35)),
        "film_depth": short(rng.uniform(0.03, 0.25)),
        "surface_grain": short(rng.uniform(0, 0.5)) if is_sem else 0.0,
        "blur_px": short(log_uniform(rng, 0.5, 2.2)),
        "fringe": short(rng.uniform(0.1, 0.8)) if transmission and rng.uniform() < 0.5 else 0.0,
        "shading": short(rng.uniform(0, 0.4)),
        "dose": short(log_uniform(rng, 20, 3000)),
        "read_noise": short(rng.uniform(0, 3)),
        "bits": 16 if rng.uniform() < 0.15 else 8,
    }
    if options["bits"] == 8 and rng.uniform() < 0.4:
        options["jpeg_quality"] = int(rng.integers(40, 96))
    if rng.uniform() < 0.15:
        options["drift_px"] = tuple(short(d) for d in rng.uniform(-4, 4, 2))
    if rng.uniform() < (0.3 if is_sem else 0.03):
        options["streaks"] = short(rng.uniform(0.05, 0.5))
    options.update(_annotations(rng, is_sem, calibrated=options["calibrated"]))
    if options.pop("bar_micro", False):  # 0.5 µm is as common as 500 nm
        value, unit = nice_bar(cols, options["pixel_size"], "nm", share=short(rng.uniform(0.15, 0.3)))
        micro = convert(value, unit, "µm")
        options["bar_value"] = f"{micro:g} µm" if micro >= 0.1 else f"{value:g} {unit}"
    return ParticleScene.from_dict(options)


def wires_scene(rng: np.random.Generator, *, kind: str | None = None) -> ParticleScene:
    """Return the record of a random scene of long rods, which cross each other and run out of the frame."""
    record = random_scene(rng, kind=kind)
    width_px, aspect = log_uniform(rng, 5, 40), log_uniform(rng, 5, 25)
    diameter_px = width_px * math.sqrt(1 + 4 / math.pi * (aspect - 1))  # of the disk of the same area
    changes: dict[str, Any] = {
        "shapes": {"rod": 1.0},
        "aspect_ratio": short(aspect),
        "aspect_spread": short(rng.uniform(0, 0.4)),
        "arrangement": "random" if rng.uniform() < 0.7 else "isolated",
        "coverage": short(log_uniform(rng, 0.05, 0.4)),
    }
    return _resized(record, diameter_px, changes)


def chains_scene(rng: np.random.Generator, *, kind: str | None = None) -> ParticleScene:
    """Return the record of a random scene of particles in contact one after the other."""
    record = random_scene(rng, kind=kind)
    changes: dict[str, Any] = {
        "shapes": {_pick(rng, {"sphere": 0.6, "irregular": 0.2, "cube": 0.1, "ellipsoid": 0.1}): 1.0},
        "aspect_ratio": min(record.aspect_ratio, 2.0),
        "arrangement": "chains",
        "coverage": short(log_uniform(rng, 0.03, 0.25)),
    }
    return _resized(record, log_uniform(rng, 8, 64), changes)


def _resized(record: ParticleScene, diameter_px: float, changes: Mapping[str, Any]) -> ParticleScene:
    """Return a record with other options and particles of so many px in the median; a bar of a set length goes."""
    pixel_size = short(record.median_diameter / diameter_px)
    return dataclasses.replace(record, pixel_size=pixel_size, bar_value="", **changes)


PRESETS = {"varied": random_scene, "wires": wires_scene, "chains": chains_scene}
"""Every kind of random scene by its name."""


def _annotations(rng: np.random.Generator, is_sem: bool, *, calibrated: bool) -> dict[str, Any]:
    """Return random options for bar, footer and letter. An image without calibration always has a bar."""
    options: dict[str, Any] = {"font": _pick(rng, _FONTS), "text_space": bool(rng.uniform() < 0.8)}
    if rng.uniform() < (0.4 if is_sem else 0.12):
        options["footer"] = str(rng.choice(["columns", "dots", "light"]))
        options["font"] = "sans" if options["font"] == "hershey" else options["font"]
    elif not calibrated or rng.uniform() < 0.4:
        options["bar"] = str(rng.choice(["line", "line-below", "ticks", "box"]))
        options["bar_micro"] = bool(rng.uniform() < 0.25)
        options["bar_place"] = PLACES[int(rng.choice(4, p=[0.55, 0.3, 0.08, 0.07]))]
        options["bar_thickness_px"] = short(log_uniform(rng, 2, 10))
        options["text_px"] = short(rng.uniform(10, 24))
    if rng.uniform() < 0.35:
        letter = "abcdefgh"[int(rng.integers(8))]
        style = str(rng.choice(["({})", "{}", "{})"]))
        options["letter"] = style.format(letter.upper() if rng.uniform() < 0.3 else letter)
    if options.get("bar_place") == "top left":
        options.pop("letter", None)
    return options


def scenes(n: int, *, seed: int = 0, kind: str | None = None, preset: str = "varied") -> Iterator[Scene]:
    """Yield `n` varied random scenes; the i-th is the same whatever `n` is.

    `preset` is a name of `PRESETS`. Where a drawn coverage does not fit, it is lowered by a third until it does, and
    the record says what was used.

    Examples
    --------
    >>> first = next(scenes(3, seed=3))
    >>> again = next(scenes(1, seed=3))
    >>> first.image.pixels.tobytes() == again.image.pixels.tobytes()
    True
    """
    if preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    for i in range(n):
        record = PRESETS[preset](np.random.default_rng([abs(int(seed)), i]), kind=kind)
        while True:
            try:
                scene = simulate(**record.as_dict())
            except OptionError:
                if (record.coverage or 0) < 1e-3:
                    raise
                record = dataclasses.replace(record, coverage=short(record.coverage / 1.5))  # type: ignore[operator]
                continue
            yield scene
            break
