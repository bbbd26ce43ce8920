"""`segmetry simulate` of scenes whose pixels have classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

import segmetry
from segmetry.cli.simulations import write_labelled
from segmetry.synth import LABELLED, simulate_branching, simulate_muscles


@pytest.mark.parametrize("kind", LABELLED)
def test_every_kind_has_its_command(kind, cli):
    ran = cli("simulate", kind, "--help")
    assert ran.code == 0
    assert "--seed" in ran.out


def test_branching_writes_images_labels_truth_and_graph(cli, tmp_path):
    ran = cli("simulate", "branching", "-n", 2, "-o", tmp_path / "a", "--seed", 4, "--habit", "vessels")
    assert ran.code == 0
    for i in range(2):
        name = f"branching-000{i}"
        image = segmetry.read(tmp_path / f"a/images/{name}.tif")
        assert (image.calibration.spacing, image.calibration.unit) == ((0.1, 0.1), "mm")
        labels = tifffile.imread(tmp_path / f"a/labels/{name}.tif")
        assert labels.shape == image.shape
        facts = json.loads((tmp_path / f"a/truth/{name}.json").read_text())
        assert facts["classes"] == ["background", "branch"]
        assert facts["parameters"]["habit"] == "vessels"
        again = simulate_branching(**facts["parameters"])
        assert np.array_equal(again.image.pixels, image.pixels)
        assert np.array_equal(again.labels, labels)
        assert (tmp_path / f"a/truth/{name}.csv").is_file()
        assert (tmp_path / f"a/skeletons/{name}.csv").is_file()
    assert cli("simulate", "branching", "-n", 1, "-o", tmp_path / "b", "--seed", 4, "--habit", "vessels").code == 0
    for path in (tmp_path / "b").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "a" / path.relative_to(tmp_path / "b")).read_bytes()


def test_a_stack_keeps_its_slice_spacing(tmp_path):
    arm = simulate_muscles(n_slices=3, frame_shape=(64, 64), pixel_size=2.2)
    image = segmetry.read(write_labelled(arm, tmp_path, "arm"))
    assert image.axes == "ZYX"
    assert image.calibration.spacing == (4.0, 2.2, 2.2)
    assert tifffile.imread(tmp_path / "labels/arm.tif").shape == (3, 64, 64)


@pytest.mark.parametrize(
    "words", [("branching", "--habit", "rots"), ("muscles", "--only", "bicep"), ("alloy", "-n", 0)]
)
def test_what_cannot_be(words, cli, tmp_path):
    ran = cli("simulate", *words, "-o", tmp_path / "x")
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1
    assert not (tmp_path / "x").exists()
