"""The film under the particles: its thickness over the frame, and where a grid bar blocks the view."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from segmetry.synth.carbon import CARBONS
from segmetry.synth.texture import band_noise, ramp

SUPPORTS: dict[str, str] = {
    "flat": "nothing to see",
    "carbon": "grain of an amorphous film: band-limited noise of the film's thickness",
    "wedge": "film that grows thicker across the frame",
    "holey": "film with round holes; what would lie in a hole has fallen through",
    "grid": "carbon film and the bar of a grid at one edge, which hides what lies behind it",
    "wrinkled": "film with folds: thin darker lines",
    "graphene": "few layers, with steps where one ends, folds and patches of contamination",
    "nanotubes": "multi-walled carbon tubes that cross the frame; what would lie between them has fallen through",
    "carbon-powder": "aggregates of carbon black; what would lie between them has fallen through",
    "cathode": "slice of a fuel cell's cathode: carbon black in ionomer, with pores",
}
"""Every support and its meaning."""


@dataclass(frozen=True, eq=False)
class Support:
    """Film under the particles: thickness relative to its mean (0 in a hole) and where a grid bar blocks the view.

    Of supports with holes the mean is that of where there is something, but for ``"holey"``, whose film has 1.
    """

    film: np.ndarray
    bar: np.ndarray | None = None


def make_support(
    kind: str, shape: tuple[int, int], *, grain: float, grain_px: float, size_px: float = 80.0, rng: np.random.Generator
) -> Support:
    """Return the support of an image.

    `grain` is the relative standard deviation of its texture, `grain_px` the width of that; `size_px` is the diameter
    of nanotubes and of the grains of carbon black.
    """
    if kind in CARBONS:
        carbon = CARBONS[kind](shape, size_px, rng)
        carbon /= carbon[carbon > 0].mean()
        if grain > 0:
            carbon *= 1 + grain * band_noise(shape, grain_px, rng)
        return Support(np.maximum(carbon, 0))
    film = np.ones(shape, np.float32)
    if grain > 0 and kind != "flat":
        film += grain * band_noise(shape, grain_px, rng)
    diagonal = math.hypot(*shape)
    if kind == "carbon" and grain > 0:
        film += 0.5 * grain * band_noise(shape, 12 * grain_px, rng)
    elif kind == "wedge":
        film += 1.2 * ramp(shape, rng.uniform(0, 2 * math.pi)) + 0.4 * band_noise(shape, diagonal / 2, rng) * 0.2
    elif kind == "holey":
        row, col = np.ogrid[: shape[0], : shape[1]]
        for _ in range(int(rng.integers(2, 7))):
            r0, c0 = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
            radius = diagonal * rng.uniform(0.06, 0.2)
            stretch, turn = rng.uniform(0.8, 1.25), rng.uniform(0, math.pi)
            u = (row - r0) * math.cos(turn) + (col - c0) * math.sin(turn)
            v = (col - c0) * math.cos(turn) - (row - r0) * math.sin(turn)
            distance = np.sqrt((u * stretch) ** 2 + (v / stretch) ** 2).astype(np.float32) - np.float32(radius)
            film *= np.clip(distance / 2 + 0.5, 0, 1) * (1 + 0.35 * np.exp(-((distance / (0.012 * diagonal)) ** 2)))
    elif kind == "wrinkled":
        for _ in range(int(rng.integers(2, 5))):
            bend = ramp(shape, rng.uniform(0, 2 * math.pi)) + 0.03 * band_noise(shape, diagonal / 3, rng)
            width = rng.uniform(0.0015, 0.006)
            film += 0.8 * np.exp(-(((bend - np.float32(rng.uniform(-0.4, 0.4))) / np.float32(width)) ** 2))
    bar = None
    if kind == "grid":
        edge = ramp(shape, rng.choice(4) * math.pi / 2 + rng.uniform(-0.3, 0.3)) + 0.006 * band_noise(
            shape, diagonal / 12, rng
        )
        bar = np.clip((edge - np.float32(rng.uniform(0.3, 0.42))) * diagonal / 3, 0, 1)
    return Support(np.maximum(film, 0), bar)
