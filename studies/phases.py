"""How often intervals of phases hold the truth of the material: docs/explanation/phases.md.

    python studies/phases.py 200 1907

prints, for frames of materials whose fraction (and boundary) are known, the share of intervals that hold them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy import special

from segmetry.measure.phases import measure_phases

SIDE = 256


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
        held, widths = dict.fromkeys(truth, 0), []
        for _ in range(n):
            found = measure_phases(material.draw(rng).astype(int), ("ground", "phase"))[1].estimates
            widths.append((found["area_fraction"].high - found["area_fraction"].low) / material.fraction)
            for name, right in truth.items():
                held[name] += found[name].low <= right <= found[name].high
        shares = ", ".join(f"{name} {held[name] / n:.3f}" for name, right in truth.items() if math.isfinite(right))
        print(
            f"{material.name}, fraction {material.fraction:.3f}: {shares}; width {np.nanmean(widths):.2f}", flush=True
        )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
