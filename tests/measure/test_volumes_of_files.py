"""Volumes of segmented organs: those from the reader's spacing are those from the file's affine."""

from __future__ import annotations

import numpy as np
import pytest

import realdata
from segmetry.io import read
from segmetry.measure import measure, relabel


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "pattern", "unit"),
    [("hippocampus-mri", "labels/*.nii.gz", "mm"), ("spine-mri", "*seg*.nii.gz", "px")],
)  # the header of spine-mri names no unit, so that its voxels of 1 x 1 x 1 stay px
def test_reader_and_affine_agree(folder, pattern, unit):
    nibabel = pytest.importorskip("nibabel")
    path = realdata.folder(folder)
    if path is None:
        pytest.skip(f"{folder} is not here; set SEGMETRY_DATA to the folder that holds it")
    files = sorted(path.glob(pattern))[:5]
    assert files
    for file in files:
        image = read(file)
        assert image.calibration.unit == unit
        labels = np.rint(image.pixels).astype(np.int32)
        found = measure(labels, calibration=image.calibration, measures=["volume"])
        stored = nibabel.load(file)
        voxel = abs(np.linalg.det(stored.affine[:3, :3]))
        values, counts = np.unique(np.asarray(stored.dataobj), return_counts=True)
        assert found["label"].tolist() == values[values > 0].tolist()
        assert found["volume"].to_numpy() == pytest.approx(counts[values > 0] * voxel, rel=1e-3)
        assert relabel(labels).max() == len(found)
