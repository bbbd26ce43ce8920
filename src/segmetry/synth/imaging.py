"""From the drawn particles to what the detector counts, as a scene's options say."""

from __future__ import annotations

import math

import numpy as np

from segmetry.synth import optics
from segmetry.synth.chance import stage_rng
from segmetry.synth.drawing import Maps
from segmetry.synth.options import ParticleScene
from segmetry.synth.supports import Support
from segmetry.synth.texture import band_noise


def attenuation_of(o: ParticleScene, diameters: np.ndarray) -> float:
    """Return the optical depth per `unit` of thickness."""
    if o.attenuation is not None:
        return o.attenuation
    median = o.median_diameter if o.diameters is None or not len(diameters) else float(np.median(diameters))
    return (1.1 if o.kind in optics.BRIGHT_FIELD else 1.0) / median


def expose(
    o: ParticleScene, maps: Maps, support: Support, attenuation: float, diameters: np.ndarray
) -> tuple[np.ndarray, tuple[float, float]]:
    """Return the recorded signal, light, blur, drift and noise in it, and its black and white levels."""
    signal = _signal(o, maps, support, attenuation, diameters)
    levels = o.levels or _levels(o, signal)
    noise = stage_rng(o.seed, "noise")
    signal = optics.shade(signal, o.shading, noise)
    signal = optics.fringe(signal, o.fringe, 2 * max(o.blur_px, 0.5))
    signal = optics.motion_blur(optics.blur(signal, o.blur_px), o.drift_px)
    signal = optics.charging(signal, o.streaks, noise)
    return optics.expose(signal, o.dose, o.read_noise, noise), levels


def _signal(o: ParticleScene, maps: Maps, support: Support, attenuation: float, diameters: np.ndarray) -> np.ndarray:
    """Return the noise-free, sharp signal."""
    per_px = attenuation * o.pixel_size
    depth = maps.depth * np.float32(per_px)
    if o.kind in optics.BRIGHT_FIELD:
        return optics.bright_field(depth, support, film_depth=o.film_depth)
    if o.kind == "haadf-stem":
        return optics.haadf(depth, support, background=o.background)
    if o.kind == "laadf-stem":
        return optics.laadf(depth, maps.ids > 0, support, background=o.background, pixel_depth=per_px)
    rng = stage_rng(o.seed, "surface")
    light = rng.uniform(0, 2 * math.pi)
    grain = o.surface_grain * band_noise(maps.height.shape, 3.0, rng) if o.surface_grain > 0 else None
    scale = (float(np.median(diameters)) if len(diameters) else o.median_diameter) / o.pixel_size
    return optics.sem(
        maps.height, maps.material, support, scale=scale, background=o.background, light=light, grain=grain
    )


def _levels(o: ParticleScene, signal: np.ndarray) -> tuple[float, float]:
    """Return black and white as an operator sets them: nothing of interest saturates, most of the range is used."""
    low, high = (float(q) for q in np.quantile(signal[::3, ::3], (0.002, 0.998)))
    noise = 3 * math.sqrt(max(high, 1e-3) / o.dose + (o.read_noise / o.dose) ** 2) if o.dose else 0.02 * high
    black = 0.0 if o.kind in optics.BRIGHT_FIELD else max(0.0, low - 0.6 * noise - 0.08 * (high - low))
    return black, max(high + 0.8 * noise + 0.05 * (high - low), black + 1e-3)
