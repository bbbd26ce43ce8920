"""`segmetry prepare` and `steps`: prepared images as files, and a recipe that makes `measure` prepare them itself."""

import json

import numpy as np
import pandas as pd
import pytest

from segmetry.io import read, write_image
from segmetry.prepare.table import STEPS
from segmetry.recipe import Recipe
from segmetry.types import Calibration, Image

STEPS_TEXT = "prepare: [{step: crop, columns: [20, 120]}, {step: smooth, sigma: 1}]\nsegment: {method: otsu}\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    rows, cols = np.mgrid[:100, :120]
    for k in range(2):
        pixels = np.where(np.hypot(rows - 50, cols - 60 - k) < 20, 60, 180).astype(np.uint8)
        write_image(tmp_path / f"images/{k}.tif", Image(pixels, calibration=Calibration((0.5, 0.5), "nm")))
    (tmp_path / "steps.yaml").write_text(STEPS_TEXT)
    return tmp_path


def test_prepared_images_keep_their_scale_and_measure_as_the_recipe_does(cli, folder):
    done = cli("prepare", folder / "steps.yaml", folder / "images", "-o", folder / "out")
    assert (done.code, done.out.split()) == (0, [str(folder / f"out/{k}.tif") for k in range(2)])
    image = read(folder / "out/0.tif")
    assert (image.shape, image.pixels.dtype, image.calibration.spacing) == ((100, 100), np.float32, (0.5, 0.5))
    assert Recipe.load(folder / "out/recipe.yaml").prepare == Recipe.from_yaml(STEPS_TEXT).prepare
    assert cli("measure", folder / "out/0.tif", "-o", folder / "one", "-m", "otsu").code == 0
    assert cli("measure", folder / "images/0.tif", "-o", folder / "two", "--recipe", folder / "steps.yaml").code == 0
    one, two = (pd.read_csv(folder / name / "regions.csv", comment="#") for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, two)
    assert cli("segment", folder / "images/0.tif", "-o", folder / "labels", "--recipe", folder / "steps.yaml").code == 0
    assert read(folder / "labels/0.tif").shape == (100, 100)


def test_json_names_what_was_written_and_what_failed(cli, folder):
    (folder / "images/3.tif").write_bytes(b"II*\0 no image")
    done = cli("prepare", folder / "steps.yaml", folder / "images", "-o", folder / "out", "--json")
    told = json.loads(done.out)
    assert done.code == 1
    assert len(told["images"]) == 2
    assert "3.tif" in told["failures"][0]["path"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("segment: {method: otsu}", "names no steps"),
        ("prepare: [smoth]", "did you mean 'smooth'"),
        ("prepare: [{step: crop, rows: [0, 1000]}]", "have no part [0, 1000]"),
    ],
)
def test_bad_recipes_are_one_line_and_2(cli, folder, text, words):
    (folder / "bad.yaml").write_text(text)
    done = cli("prepare", folder / "bad.yaml", folder / "images/0.tif", "-o", folder / "out")
    assert done.code == 2
    assert words in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_images_are_not_written_over(cli, folder):
    done = cli("prepare", folder / "steps.yaml", folder / "images", "-o", folder / "images")
    assert done.code == 2
    assert "would overwrite this image" in done.err


def test_steps_are_listed_with_their_options(cli):
    assert all(name in cli("steps").out for name in STEPS)
    assert "standard deviation of the Gaussian" in cli("steps", "smooth").out
    assert json.loads(cli("steps", "--json").out)["crop"]["options"][0]["name"] == "rows"
    assert cli("steps", "smoth").code == 2
