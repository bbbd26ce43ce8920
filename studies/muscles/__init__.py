"""The upper arm: does place help where crops confuse? Biceps alone and three muscles, in slices of simulated arms."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from networks import Data, once

N_ARMS, N_SLICES, SHAPE, SEED = 24, 8, (384, 384), 30
MUSCLES = {"biceps": 1, "three": 3}
"""Muscles with a class of their own, by table: the biceps, or triceps and brachialis too. Bone is background."""


def data(table: str, out: Path) -> Data:
    """Return stacks of slices, an arm each, with the labels of a table."""
    arms = once(out / "arms", write_arms)
    return {"images": arms / "images", "labels": arms / table}


def write_arms(folder: Path) -> None:
    """Write every arm, with labels for each table."""
    from segmetry.io import write_image, write_labels
    from segmetry.synth import labelled_scenes

    for name in ("images", *MUSCLES):
        (folder / name).mkdir()
    arm, side = 284.0, 153.6  # mm: 71 slices 4 mm apart, and what 384 px show
    shape = {"n_slices": N_SLICES, "slice_spacing": arm / N_SLICES, "frame_shape": SHAPE, "pixel_size": side / SHAPE[0]}
    made = labelled_scenes("muscles", N_ARMS, seed=SEED, **shape)
    for i, scene in enumerate(made):
        write_image(folder / "images" / f"arm-{i:02d}.tif", scene.image)
        for table, most in MUSCLES.items():
            labels = np.where(scene.labels <= most, scene.labels, 0)
            write_labels(folder / table / f"arm-{i:02d}.tif", labels, scene.image.calibration)
