"""The particles drawn over each other, pixel by pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from segmetry.synth.options import ParticleScene
from segmetry.synth.populate import Particle
from segmetry.synth.raster import LABEL_RULE, pixel_means, sample_axis, supersampling_for
from segmetry.synth.shapes import SHAPES
from segmetry.synth.supports import Support
from segmetry.synth.truth import WholeMask, truth_row


class Maps:
    """What the particles do to each pixel of the specimen, filled one particle after the other, lowest first."""

    def __init__(self, frame: tuple[int, int], surface: bool, bands: float) -> None:
        self.depth = np.zeros(frame, np.float32)
        self.height = np.zeros(frame, np.float32)
        self.material = np.zeros(frame, np.float32)
        self.ids = np.zeros(frame, np.int32)
        self.surface = surface
        self.bands = bands

    def add(
        self, p: Particle, centre: np.ndarray, z: float, ident: int, core: tuple[float, float] | None
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


def draw(
    o: ParticleScene,
    particles: list[Particle],
    centres: np.ndarray,
    z: np.ndarray,
    cluster: np.ndarray,
    support: Support,
    frame: tuple[int, int],
) -> tuple[Maps, list[WholeMask], list[dict[str, Any]]]:
    """Return the maps, the masks of whole particles and their rows of truth, lowest particle first."""
    maps = Maps(frame, o.kind == "sem", o.bands)
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
        whole.append(mask)
        rows.append(truth_row(o, p, centre, cluster[i], core, mask, inside, frame))
    return maps, whole, rows
