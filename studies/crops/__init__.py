"""How large, and how many? Crops of simulated somas."""

from __future__ import annotations

from pathlib import Path

from networks import Data, write_scenes

N_IMAGES, SHAPE, SEED = 24, (1150, 960), 50


def data(table: str, out: Path) -> Data:
    """Return quarters of slices as large as those of the cat's spinal cord."""
    return write_scenes(out / table, "somas", N_IMAGES, seed=SEED, frame_shape=SHAPE)
