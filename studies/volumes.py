"""How far measures of volumes are off on bodies whose truth is known, at random places and rotations.

Run: python studies/volumes.py [repeats] [seed]

Prints the mean and the worst relative error of each measure for cubic voxels and for voxels of 2:1:1, and
how often intervals of the integral range and of the fraction hold in four times as many Boolean models of balls.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np

import solids
from segmetry.measure import Regions
from segmetry.measure.lengths import lengths
from segmetry.measure.mesh import mesh_of
from segmetry.measure.orientation import fibres
from segmetry.measure.representative import representative
from segmetry.measure.runs import runs_of_labels
from segmetry.measure.thickness import thickness_table
from segmetry.measure.topology import solid_of
from segmetry.types import Calibration

Spacing = tuple[float, float, float]


def errors(body: np.ndarray, truth: dict[str, float], spacing: Spacing) -> dict[str, float]:
    """Return the relative error of each measure that has a truth."""
    calibration = Calibration(spacing, "mm")
    solid, mesh = solid_of(body, calibration=calibration), mesh_of(body, calibration=calibration)
    steps = mesh_of(body, smoothing=0, calibration=calibration)
    found = {"volume": solid.volume, "Crofton": solid.surface_area, "mesh": mesh.area, "mesh, not smoothed": steps.area}
    found["mesh volume, of the voxels'"] = mesh.volume / solid.volume
    if "length" in truth:
        found["length"] = lengths(Regions(runs_of_labels(body.astype(np.int32)), calibration))[0]
    if "thickness" in truth:
        found["thickness"] = thickness_table(body, calibration=calibration)["thickness_p50"][0]
    if "fibre length" in truth:
        line = fibres(body, calibration=calibration)
        found |= {"fibre length": line.length.sum(), "fibre diameter": line.mean_diameter}
    return {name: value / truth.get(name, truth["area"]) - 1 for name, value in found.items()}


def hold(fraction: float, radius: float, side: int, n: int, seed: int) -> None:
    """Print how often intervals hold in Boolean models."""
    truth = solids.integral_range(fraction, radius)
    found = [
        representative(solids.boolean_balls(np.random.default_rng([seed, k]), side, fraction, radius)) for k in range(n)
    ]
    ratios = np.array([one.integral_range for one in found]) / truth
    ranges = np.mean([one.range_interval.low <= truth <= one.range_interval.high for one in found])
    fractions = np.mean([one.interval().low <= fraction <= one.interval().high for one in found])
    print(
        f"balls of radius {radius} filling {fraction}, {side}^3, n = {n}: range over truth {np.nanmean(ratios):.2f} "
        f"(sd {np.nanstd(ratios):.2f}), held by {ranges:.2f}, the fraction by {fractions:.2f}"
    )


def bodies(spacing: Spacing, rng: np.random.Generator) -> dict[str, tuple[Callable[[], np.ndarray], dict[str, float]]]:
    """Return how each body is drawn, and its truth."""
    scenes: dict[str, tuple[Callable[[], np.ndarray], dict[str, float]]] = {}
    for r in (5, 10, 20):
        truth = {"volume": 4 / 3 * math.pi * r**3, "area": 4 * math.pi * r**2, "thickness": 2.0 * r}
        scenes[f"ball, radius {r}"] = (lambda r=r: solids.ball(r, spacing, rng)), truth
    eccentricity = math.sqrt(1 - 0.25)
    spheroid = 2 * math.pi * 100 * (1 + 2 / eccentricity * math.asin(eccentricity))
    scenes["ellipsoid, half axes 20, 10, 10"] = (
        lambda: solids.ellipsoid((20, 10, 10), spacing, rng, solids.rotation(rng)),
        {"volume": 4 / 3 * math.pi * 2000, "area": spheroid, "length": 40.0},
    )
    for r in (3, 6):
        scenes[f"cylinder, 40 long, radius {r}"] = (
            lambda r=r: solids.cylinder(40, r, spacing, rng, solids.rotation(rng)),
            {"volume": math.pi * r * r * 40, "area": 2 * math.pi * r * (r + 40), "length": 40.0,
             "thickness": 2.0 * r},
        )  # fmt: skip
    scenes["torus, radii 12 and 4"] = (
        lambda: solids.torus(12, 4, spacing, rng, solids.rotation(rng)),
        {"volume": 2 * math.pi**2 * 12 * 16, "area": 4 * math.pi**2 * 48, "thickness": 8.0},
    )
    wire = 3 * math.hypot(2 * math.pi * 14, 16)
    scenes["helix, wire of radius 2.5"] = (
        lambda: solids.helix(14, 2.5, 16, 3, spacing, rng, solids.rotation(rng))[0],
        {"volume": math.pi * 2.5**2 * wire + 4 / 3 * math.pi * 2.5**3,
         "area": 2 * math.pi * 2.5 * wire + 4 * math.pi * 2.5**2, "thickness": 5.0, "fibre length": wire,
         "fibre diameter": 5.0},
    )  # fmt: skip
    return scenes


def main() -> None:
    """Print the table."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    rng = np.random.default_rng(seed)
    one = {"mesh volume, of the voxels'": 1.0}
    for spacing in ((1.0, 1.0, 1.0), (2.0, 1.0, 1.0)):
        for name, (draw, truth) in bodies(spacing, rng).items():
            rows = [errors(draw(), one | truth, spacing) for _ in range(repeats)]
            print(f"{name}, voxels {spacing}, n = {repeats}")
            for measure in rows[0]:
                values = 100 * np.array([row[measure] for row in rows])
                print(f"  {measure:28s} mean {values.mean():+6.1f} %   worst {np.abs(values).max():5.1f} %")
    for fraction, radius, side in ((0.2, 4, 128), (0.5, 6, 128), (0.2, 8, 128), (0.2, 4, 64)):
        hold(fraction, radius, side, 4 * repeats, seed)


if __name__ == "__main__":
    main()
