"""`segmetry mesh`: a ball comes out with its area, volume and unit, in every format; what cannot be is said."""

import json
import math

import numpy as np
import pytest

from segmetry.io import read_labels, write_labels
from segmetry.types import Calibration


@pytest.fixture
def ball(tmp_path):
    z, y, x = np.mgrid[:30, :34, :38]
    labels = np.zeros(z.shape, np.int32)
    labels[(z - 15) ** 2 + (y - 16) ** 2 + (x - 18) ** 2 < 10**2] = 3
    labels[2:4, 2:4, 2:4] = 1
    write_labels(tmp_path / "ball.tif", labels, Calibration((0.5, 0.5, 0.5), "mm"))
    return tmp_path / "ball.tif"


@pytest.mark.parametrize("suffix", ["stl", "ply", "glb"])
def test_a_ball_has_its_area_and_volume(cli, ball, suffix):
    out = ball.with_name(f"out.{suffix}")
    done = cli("mesh", ball, "-o", out, "--labels", "3", "--json")
    assert done.code == 0
    (one,) = json.loads(done.out)["surfaces"]
    assert (one["label"], one["unit"]) == (3, "mm")
    assert one["area"] == pytest.approx(4 * math.pi * 5**2, rel=0.02)
    n_voxels = int((read_labels(ball).values == 3).sum())
    assert one["volume"] == pytest.approx(n_voxels * 0.5**3, rel=0.005)
    assert out.stat().st_size > 1000
    assert ball.with_name("out.png").read_bytes().startswith(b"\x89PNG")
    assert "label 1: " in cli("mesh", ball, "-o", out).out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "out.obj"), ".stl"),
        (("-o", "out.stl", "--labels", "7"), "7"),
        (("-o", "out.stl", "--labels", "a"), "such as 1,3"),
    ],
)
def test_what_cannot_be_is_one_line(cli, ball, arguments, words):
    arguments = [str(ball.with_name(a)) if a.startswith("out.") else a for a in arguments]
    done = cli("mesh", ball, *arguments)
    assert done.code == 2
    assert words in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_an_image_has_no_surface(cli, tmp_path):
    write_labels(tmp_path / "flat.tif", np.ones((5, 5), np.int32), Calibration.unknown())
    done = cli("mesh", tmp_path / "flat.tif", "-o", tmp_path / "a.stl")
    assert done.code == 2
    assert "is that of a volume" in done.err
