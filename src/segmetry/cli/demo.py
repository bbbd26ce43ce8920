"""The main job on two images whose truth is known: a simulated micrograph, and a photograph of 24 coins."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from segmetry.batch import read_summary
from segmetry.cli.options import open_output

MICROGRAPH: dict[str, Any] = {
    "kind": "bf-tem",
    "seed": 4,
    "frame_shape": (1024, 1280),
    "pixel_size": 0.4,
    "unit": "nm",
    "calibrated": False,  # only the burned-in bar tells the scale, as in most micrographs that are passed on
    "coverage": 0.16,
    "median_diameter": 16.0,
    "gsd": 1.25,
    "arrangement": "isolated",
    "support": "carbon",
    "contrast_spread": 0.15,
    "bar": "line",
}
"""The simulated micrograph of the demonstration."""

N_COINS = 24


def run_demo(out: Path) -> int:
    """Write, measure and compare the two images; return the exit code."""
    from skimage import data

    from segmetry.cli.batches import measure_tasks
    from segmetry.cli.simulations import write_scene
    from segmetry.errors import SegmetryError
    from segmetry.inputs import name_folders
    from segmetry.io import write_image
    from segmetry.recipe import Recipe
    from segmetry.synth import simulate
    from segmetry.types import Image

    open_output(out)
    print("making a micrograph of known truth ...", file=sys.stderr)
    scene = simulate(**MICROGRAPH)
    micrograph = write_scene(scene, out / "input", "micrograph")
    coins = out / "input" / "images" / "coins.tif"
    write_image(coins, Image(data.coins(), name="coins"))
    print("measuring (the first run also compiles the kernels, which are kept) ...", file=sys.stderr)
    _, outcomes, _ = measure_tasks(name_folders([micrograph, coins]), out, Recipe(), jobs=1)
    for outcome in outcomes:
        if not outcome.ok:
            raise SegmetryError(outcome.error)
    found, photograph = read_summary(out / "micrograph"), read_summary(out / "coins")
    whole = scene.truth[~scene.truth["touches_frame"]]
    population = scene.population
    rows = [
        ("simulated micrograph", "found", "true"),
        ("  pixel size, nm", f"{found['pixel_size']['value']:.4f}", f"{scene.pixel_size:.4f}"),
        ("  whole particles in the frame", str(found["d50"]["n"]), str(len(whole))),
        (
            "  D50 of these particles, nm",
            f"{found['d50']['value']:.2f}",
            f"{whole['equivalent_diameter'].median():.2f}",
        ),
        *(
            (f"  {name.upper()} of the population, nm", _interval(found[name]), f"{population[name]:.2f}")
            for name in ("d10", "d50", "d90")
        ),
        ("photograph of coins", "", ""),
        ("  coins", str(photograph["n"]), str(N_COINS)),
    ]
    width = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        print("  ".join(f"{cell:<{w}}" for cell, w in zip(row, width, strict=True)).rstrip())
    (out / "demo.json").write_text(json.dumps([list(r) for r in rows], indent=1), encoding="utf-8")
    print(f"\nopen {out / 'report.html'}")
    return 0


def _interval(estimate: dict[str, Any]) -> str:
    return f"{estimate['value']:.2f} [{estimate['low']:.2f}, {estimate['high']:.2f}]"
