"""Simulated images as files: images, labels and truth in folders with matching names."""

from __future__ import annotations

import sys
from pathlib import Path

from segmetry.cli.options import open_output
from segmetry.synth import Scene


def write_scene(scene: Scene, folder: Path, name: str) -> Path:
    """Write one scene into ``images/``, ``labels/`` and ``truth/`` of a folder; return the image's path."""
    from segmetry.io import write_image, write_labels, write_table
    from segmetry.pipeline import write_json
    from segmetry.types import Calibration

    for part in ("images", "labels", "truth"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    true = Calibration((scene.pixel_size,) * 2, scene.unit, 0.0, "user", "of the simulation")
    write_labels(folder / "labels" / f"{name}.tif", scene.labels, true)
    write_table(folder / "truth" / f"{name}.csv", scene.truth)
    facts = {
        "pixel_size": {"value": scene.pixel_size, "unit": scene.unit},
        "population": dict(scene.population),
        "scale_bar": scene.scale_bar.as_dict() if scene.scale_bar else None,
        "parameters": scene.parameters,
    }
    write_json(folder / "truth" / f"{name}.json", facts)
    path = folder / "images" / f"{name}.tif"
    write_image(path, scene.image)
    return path


def simulate_particles(out: Path, n: int, seed: int) -> int:
    """Write `n` varied scenes; return the exit code."""
    from segmetry.synth import scenes

    open_output(out)
    for i, scene in enumerate(scenes(n, seed=seed)):
        write_scene(scene, out, f"particles-{i:04d}")
        if n > 1 and sys.stderr.isatty():
            print(f"\r{i + 1} of {n} images", end="\n" if i + 1 == n else "", file=sys.stderr)
    print(f"{out}: {n} images, with labels/ and truth/ of the same names beside images/.")
    return 0
