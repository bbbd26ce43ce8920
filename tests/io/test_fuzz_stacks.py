"""Damaged stacks and volumes: an image or one clear line, no other exception, no word, no hang."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import pytest
from io_fuzz import alarm, mutate
from io_stacks import VOLUME, dicom, exchange, fits, mrc, nifti, video

from segmetry.errors import SegmetryError
from segmetry.io import read


@pytest.mark.slow
def test_damaged_stacks(tmp_path, capfd):
    frames = np.tile((VOLUME % 256).astype(np.uint8), (1, 4, 4))
    whole = [
        fits(tmp_path / "a.fits", VOLUME, CUNIT1="um", CDELT1=5.0, CTYPE3="TOF", CDELT3=1.0),
        exchange(tmp_path / "a.h5", VOLUME, chunks=(2, 5, 6), compression="gzip"),
        dicom(tmp_path / "a.dcm", VOLUME, FrameTime=3),
        mrc(tmp_path / "a.mrc", VOLUME),
        nifti(tmp_path / "a.nii", VOLUME, np.diag([1.0, 2.0, 3.0, 1.0])),
        video(tmp_path / "a.avi", frames),
        video(tmp_path / "a.mp4", frames, codec="mp4v"),
    ]
    data = [(path.suffix, path.read_bytes()) for path in whole]
    rng, outcomes, said = np.random.default_rng(7), Counter(), []
    for k in range(1400):
        suffix, content = data[k % len(data)]
        path = tmp_path / f"damaged{suffix}"
        path.write_bytes(mutate(content, rng))
        with alarm(30), warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                image = read(path)
            except SegmetryError as error:
                said.append(str(error))
                outcomes["refused"] += 1
            else:
                assert image.axes in ("YX", "ZYX", "TYX", "EYX")
                outcomes["read"] += 1
    assert not any("\n" in text for text in said)
    assert capfd.readouterr() == ("", "")
    assert min(outcomes.values()) > 140
