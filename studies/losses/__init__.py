"""Which loss keeps thin branches? Radiographs of roots and of vessels, simulated."""

from __future__ import annotations

from pathlib import Path

from networks import Data, once

N_EACH, SHAPE, SEED = 30, (256, 256), 40


def data(table: str, out: Path) -> Data:
    """Return as many radiographs of roots as of vessels."""
    made = once(out / "branching", write_both)
    return {"images": made / "images", "labels": made / "labels"}


def write_both(folder: Path) -> None:
    """Write the radiographs of both habits."""
    from segmetry.cli.simulations import write_labelled
    from segmetry.synth import labelled_scenes

    for habit in ("roots", "vessels"):
        for i, scene in enumerate(labelled_scenes("branching", N_EACH, seed=SEED, habit=habit, frame_shape=SHAPE)):
            write_labelled(scene, folder, f"{habit}-{i:02d}")
