"""Seven architectures at an equal time, on steel and on a simulated alloy."""

from __future__ import annotations

from pathlib import Path

from networks import Data, real, write_scenes

N_SLICES, SHAPE, SEED = 32, (792, 774), 20


def data(table: str, out: Path) -> Data:
    """Return micrographs of steel, or slices of an alloy of the size that the thesis on AA 7075 has."""
    if table == "uhcs":
        return real(table)
    return write_scenes(out / table, "alloy", N_SLICES, seed=SEED, frame_shape=SHAPE)
