"""A recipe for classes survives its file, and says what is wrong with one."""

import pytest

from segmetry.errors import OptionError, ReadError, RecipeError
from segmetry.train.augment import AugmentOptions
from segmetry.train.class_recipe import ClassRecipe
from segmetry.train.samples import SampleOptions


def test_a_recipe_comes_back_from_its_file(tmp_path):
    recipe = ClassRecipe(
        network="unet++",
        options={"width": 8},
        loss={"dice": 1, "focal": {"weight": 0.5, "gamma": 3}},
        class_weights="median",
        pixel_weights={"border": {"w0": 10.0}},
        samples=SampleOptions(side=128, number=500),
        augment=AugmentOptions(zoom=(0.5, 2), invert=0.1),
        classes={0: "matrix", 3: "network"},
        ignore=255,
        split="fold 2 of 5",
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml())
    assert ClassRecipe.load(path) == recipe
    path.write_text("network: segnet\nsamples: {side: 64}\n")
    assert ClassRecipe.load(path) == ClassRecipe(network="segnet", samples=SampleOptions(side=64))


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("netwrok: unet", OptionError, "did you mean 'network'"),
        ("samples: {sid: 64}", OptionError, "did you mean 'side'"),
        ("augment: {zoom: [2, 1]}", OptionError, "zoom"),
        ("class_weights: medain", OptionError, "did you mean 'median'"),
        ("pixel_weights: {boarder: {}}", OptionError, "did you mean 'border'"),
        ("classes: {0: a, 1: a}", OptionError, "names that differ"),
        ("- unet", RecipeError, "is a table"),
        ("network: [", ReadError, "cannot read"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, error, says):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(error, match=says):
        ClassRecipe.load(path)


@pytest.mark.torch
def test_a_network_that_is_none_is_said_before_any_image_is_read():
    pytest.importorskip("torch")
    with pytest.raises(OptionError, match="did you mean 'unet'"):
        ClassRecipe().changed({"network": "unett", "depth": 3})
