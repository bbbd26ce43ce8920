"""How often intervals of phases hold the truth of the material: docs/explanation/phases.md.

    python studies/phases.py 200 1907

prints, for frames of materials whose fraction (and boundary) are known, the share of intervals that hold them: those of
one frame, then those over groups of frames, of which none shares a frame with another.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy import special

from segmetry.measure.phases import Phase, Seen, measure_phases, pool_phase

SIDE = 256
GROUPS = (2, 3, 5, 10, 20)
"""Frames that are put together."""


class Material(NamedTuple):
    """A random set: how a frame of it is drawn, and what is true of it."""

    name: str
    draw: Callable[[np.random.Generator], np.ndarray]
    fraction: float
    boundary: float = math.nan


def gaussian_field(
    rng: np.random.Generator, reach: float, power: Callable[[np.ndarray], np.ndarray], stretch: float = 1.0
) -> np.ndarray:
    """Return a frame out of a periodic field of variance 1, twice as wide, with a spectrum of (wave * reach)^2."""
    n = 2 * SIDE
    wave = 2 * np.pi * np.fft.fftfreq(n)
    spectrum = power((wave[:, None] * reach) ** 2 + (wave * reach * stretch) ** 2)
    noise = np.fft.fft2(rng.standard_normal((n, n)))
    return np.fft.ifft2(noise * np.sqrt(spectrum * n * n / spectrum.sum())).real[:SIDE, :SIDE]


def disks(rng: np.random.Generator, side: int, density: float, radius: float) -> np.ndarray:
    """Return a frame of a Boolean model of disks."""
    reach = radius + 1
    mask = np.zeros((side, side), bool)
    for place in rng.uniform(-reach, side + reach, (rng.poisson(density * (side + 2 * reach) ** 2), 2)):
        low, high = (np.clip(place + s * reach, 0, side).astype(int) for s in (-1, 1))
        rows, cols = np.ogrid[low[0] : high[0], low[1] : high[1]]
        mask[low[0] : high[0], low[1] : high[1]] |= (rows - place[0]) ** 2 + (cols - place[1]) ** 2 <= radius**2
    return mask


SPECTRA = {
    "gauss": lambda k2: np.exp(-k2 / 4),
    "exponential": lambda k2: (1 + k2) ** -1.5,
    "matern": lambda k2: (1 + k2) ** -2.5,
}


def materials() -> Iterator[Material]:
    """Yield every material."""

    def field(kind: str, reach: float, fraction: float, stretch: float = 1.0) -> Material:
        level = special.ndtri(1 - fraction)
        # Rice: a field with covariance exp(-h^2 / reach^2) crosses its level this often per area.
        known = kind == "gauss" and stretch == 1
        boundary = math.exp(-(level**2) / 2) / (reach * math.sqrt(2)) if known else math.nan
        name = f"{kind} {reach} px" + (f" stretched {stretch:g}" if stretch != 1 else "")
        return Material(
            name, lambda rng: gaussian_field(rng, reach, SPECTRA[kind], stretch) > level, fraction, boundary
        )

    def boolean(density: float, radius: float, side: int = SIDE) -> Material:
        empty = math.exp(-density * math.pi * radius**2)
        name = f"disks {radius:g} px in {side}"
        return Material(
            name, lambda rng: disks(rng, side, density, radius), 1 - empty, 2 * math.pi * radius * density * empty
        )

    for reach in (5, 12, 30):
        yield from (field("gauss", reach, fraction) for fraction in (0.5, 0.1))
    yield from (field("exponential", 8, 0.2), field("matern", 8, 0.2), field("gauss", 6, 0.3, 4))
    yield from (boolean(1e-3, 8), boolean(5e-4, 8), boolean(2e-4, 8), boolean(3e-4, 25), boolean(2e-4, 8, 512))


def main(n: int, seed: int) -> None:
    """Print the coverage for each material over n frames."""
    for material in materials():
        rng = np.random.default_rng(seed)
        truth = {
            "area_fraction": material.fraction,
            "boundary_per_area": material.boundary,
            "mean_chord": math.pi * material.fraction / material.boundary,
        }
        print(f"{material.name}, fraction {material.fraction:.3f}")
        single = [measure_phases(material.draw(rng).astype(int), ("ground", "phase"))[1] for _ in range(n)]
        print(f"  one frame: {coverage(single, truth)}", flush=True)
        for size in GROUPS:
            groups = [over([phase.seen for phase in single[k : k + size]]) for k in range(0, n - size + 1, size)]
            print(f"  {size} frames, {len(groups)} times: {coverage(groups, truth)}", flush=True)


def over(frames: list[Seen]) -> Phase:
    """Return the phase over frames."""
    return pool_phase("phase", frames, ndim=2, unit="px")


def coverage(phases: list[Phase], truth: dict[str, float]) -> str:
    """Return the share of intervals that hold the truth, and the mean width of the fraction's over the fraction."""
    known = {name: right for name, right in truth.items() if math.isfinite(right)}
    shares = [
        f"{name} {np.mean([p.estimates[name].low <= right <= p.estimates[name].high for p in phases]):.3f}"
        for name, right in known.items()
    ]
    widths = [p.estimates["area_fraction"].high - p.estimates["area_fraction"].low for p in phases]
    return f"{', '.join(shares)}; width {np.nanmean(widths) / truth['area_fraction']:.2f}"


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
