"""A recipe prepares an image before it is segmented; the files that steps need belong to the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from segmetry.batch import is_done
from segmetry.errors import OptionError, ReadError, RecipeError, ShapeMismatchError
from segmetry.io import read, write_image
from segmetry.options import option
from segmetry.pipeline import analyse
from segmetry.prepare.step import Step
from segmetry.preparing import prepare_image, reference_hashes
from segmetry.recipe import Recipe
from segmetry.types import Calibration, Image


@dataclass(frozen=True, kw_only=True)
class Minus(Step):
    """Take the mean frame of a file away."""

    name: ClassVar[str] = "minus"
    summary: ClassVar[str] = "take away"
    references: ClassVar[tuple[str, ...]] = ("dark",)
    dark: str | None = option(None, "file or folder", kind="text")

    def run(self, image: Image, given: Mapping[str, np.ndarray]) -> Image:
        dark = given["dark"].astype(np.float32) if "dark" in given else np.zeros((), np.float32)
        return image.replace(pixels=image.pixels - (dark.mean(axis=0) if dark.ndim == 3 else dark))


def disk(centre=(50, 60)):
    rows, cols = np.mgrid[:100, :120]
    return np.where(np.hypot(rows - centre[0], cols - centre[1]) < 20, 60, 180).astype(np.uint8)


def test_a_recipe_keeps_its_steps():
    recipe = Recipe.from_yaml("prepare: [invert, {step: smooth, sigma: 2}]\nsegment: {method: otsu}")
    assert [step.name for step in recipe.prepare] == ["invert", "smooth"]
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    assert recipe.sha256 != Recipe.build("otsu").sha256
    assert "prepare" not in Recipe.build("otsu").as_dict()
    assert recipe.with_options("hybrid").prepare == recipe.prepare


@pytest.mark.parametrize(
    ("text", "words"),
    [("prepare: smooth", "prepare is a list"), ("prepare: [smoth]", "smooth"), ("prepair: []", "did you mean")],
)
def test_a_recipe_that_names_no_steps_is_refused(text, words):
    with pytest.raises((RecipeError, OptionError), match=words):
        Recipe.from_yaml(text)


def test_steps_come_before_the_method_and_in_order():
    image = Image(disk(), calibration=Calibration((0.5, 0.5), "nm"))
    cut = Recipe.from_dict({"prepare": [{"step": "crop", "columns": [0, 60]}], "segment": {"method": "otsu"}})
    result = analyse(image, cut)
    assert result.segmentation.labels.shape == (100, 60)
    assert len(result.table) == 1
    whole = analyse(image, Recipe.build("otsu")).table["area"].sum()
    assert result.table["area"].sum() == pytest.approx(whole / 2, rel=0.05)
    dark = Recipe.from_dict({"prepare": ["invert"], "segment": {"method": "otsu", "polarity": "bright"}})
    assert analyse(image, dark).table["area"].sum() == whole


def test_references_are_read_once_and_count_as_input(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("segmetry.prepare.table", fromlist=["STEPS"]).STEPS, "minus", Minus)
    write_image(tmp_path / "image.tif", Image(disk()))
    (tmp_path / "dark").mkdir()
    for k, level in enumerate((10, 30)):
        write_image(tmp_path / "dark" / f"{k}.tif", Image(np.full((100, 120), level, np.uint8)))
    recipe = Recipe.from_dict(
        {"prepare": [{"step": "minus", "dark": str(tmp_path / "dark")}], "segment": {"method": "otsu"}}
    )
    image = read(tmp_path / "image.tif")
    np.testing.assert_array_equal(prepare_image(image, recipe.prepare).pixels, disk() - 20.0)
    result = analyse(tmp_path / "image.tif", recipe)
    plain = analyse(tmp_path / "image.tif", Recipe.build("otsu"))
    assert result.provenance.input_sha256 != plain.provenance.input_sha256 == image.source.sha256
    assert len(reference_hashes(recipe.prepare)) == 2
    summary = result.summary()
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("labels.tif", "regions.csv", "overlay.png", "report.html"):
        (folder / name).write_text("")
    (folder / "summary.json").write_text(json.dumps(summary, default=str))
    assert is_done(folder, [tmp_path / "image.tif"], recipe)
    write_image(tmp_path / "dark" / "1.tif", Image(np.full((100, 120), 50, np.uint8)))
    assert not is_done(folder, [tmp_path / "image.tif"], recipe), "another dark frame is another result"
    np.testing.assert_array_equal(prepare_image(image, recipe.prepare).pixels, disk() - 30.0)


def test_references_that_cannot_be_used_are_named(tmp_path):
    image = Image(disk())
    with pytest.raises(ReadError, match="nowhere"):
        prepare_image(image, [Minus(dark=str(tmp_path / "nowhere.tif"))])
    (tmp_path / "dark").mkdir()
    for k in range(2):
        write_image(tmp_path / "dark" / f"{k}.tif", Image(np.zeros((10, 12 + k), np.uint8)))
    with pytest.raises(ShapeMismatchError, match=r"1\.tif"):
        prepare_image(image, [Minus(dark=str(tmp_path / "dark"))])
    several = image.replace(channels=np.stack([image.pixels] * 2))
    with pytest.raises(OptionError, match="one channel, but it has 2"):
        prepare_image(several, [Minus()])
