"""A recipe is data: which method it stands for, what options change, and what a result keeps of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny_onnx

from segmetry import Image
from segmetry.batch import is_done
from segmetry.errors import ImageError, OptionError, RecipeError
from segmetry.inputs import find_inputs, name_folders
from segmetry.io import write_image
from segmetry.io.model_folder import write_model_folder
from segmetry.pipeline import analyse
from segmetry.preparing import hash_file
from segmetry.recipe import Recipe


def picture() -> Image:
    """Return a dark disk."""
    rows, cols = np.mgrid[:100, :120]
    return Image(np.where(np.hypot(rows - 50, cols - 60) < 20, 60, 180).astype(np.uint8))


def stack() -> Image:
    """Return a dark ball."""
    z, y, x = np.mgrid[:30, :40, :40]
    return Image(np.where((z - 15) ** 2 + (y - 20) ** 2 + (x - 20) ** 2 < 81, 60, 180).astype(np.uint8))


class TestDefault:
    def test_it_leaves_the_method_open(self):
        assert Recipe().as_dict()["segment"] == {"method": "auto"}
        assert Recipe.from_yaml("{}") == Recipe() == Recipe.from_yaml(Recipe().to_yaml())

    @pytest.mark.parametrize(("image", "name", "kind"), [(picture, "particles", "images"), (stack, "otsu", "volumes")])
    def test_a_result_names_the_method_whole_and_why(self, image, name, kind):
        result = analyse(image())
        assert result.recipe == Recipe.build(name)
        summary = json.loads(json.dumps(result.summary(), default=str))
        assert summary["method"] == {"name": name, "why": f"the default for {kind}"}
        assert summary["n"] == 1
        again = analyse(image(), Recipe.from_dict(summary["recipe"]))
        assert again.summary()["recipe_sha256"] == summary["recipe_sha256"]
        assert again.summary()["method"] == {"name": name, "why": "asked for"}
        np.testing.assert_array_equal(again.segmentation.labels, result.segmentation.labels)

    def test_options_alone_do_not_name_it(self):
        recipe = Recipe.build(options={"samples": 2})
        assert recipe.as_dict()["segment"]["method"] == "auto"
        assert Recipe.from_yaml(recipe.to_yaml()) == recipe
        result = analyse(picture(), recipe)
        assert result.summary()["method"] == {"name": "particles", "why": "the default for images, with options"}
        assert result.recipe == Recipe.build("particles", options={"samples": 2}), "the exact recipe names it"
        named = recipe.with_options("particles")
        assert (named.method, named.as_dict()["segment"]["method"]) == (recipe.method, "particles")
        assert analyse(picture(), named).why_method == "asked for"
        assert named.with_options(options={"samples": 3}).named


class TestOptions:
    def test_without_a_method_they_are_those_of_particles(self):
        recipe = Recipe.build(options={"samples": 8, "level": 0.9})
        assert (recipe.method.name, recipe.method.samples, recipe.statistics.level) == ("particles", 8, 0.9)
        assert Recipe.from_yaml("segment: {samples: 8}").method == recipe.method

    def test_statistics_alone_leave_the_method_open(self):
        assert Recipe.build(options={"level": 0.9, "seed": 3}).method.name == "auto"

    def test_the_seed_is_for_both(self):
        recipe = Recipe.build("particles", options={"seed": 7})
        assert (recipe.method.seed, recipe.statistics.seed) == (7, 7)
        assert Recipe.build("otsu", options={"seed": 7}).statistics.seed == 7, "otsu has none"

    def test_the_seed_is_for_the_method_of_a_folder_too(self, tmp_path):
        kernel = tiny_onnx.weights(size=3, n_maps=3)
        card = tiny_onnx.tiny_card(kernel, stride=1, classes=("a", "b", "c"))
        write_model_folder(tmp_path / "net", card, tiny_onnx.tiny(kernel, stride=1))
        recipe = Recipe.build(str(tmp_path / "net"), options={"seed": 7, "samples": 2})
        assert (recipe.method.name, recipe.method.seed, recipe.statistics.seed) == ("network", 7, 7)
        assert recipe.method.model == str(tmp_path / "net")
        with pytest.raises(OptionError, match=r"option of network 'sample'.*samples"):
            Recipe.build(str(tmp_path / "net"), options={"sample": 2})

    def test_those_of_a_recipe_hold_unless_they_are_changed(self):
        text = "segment: {method: particles, samples: 4, seed: 5}\nstatistics: {seed: 6, level: 0.8}\n"
        recipe = Recipe.from_yaml(text).with_options(options={"refine": False})
        assert (recipe.method.samples, recipe.method.refine, recipe.method.seed) == (4, False, 5)
        assert (recipe.statistics.seed, recipe.statistics.level) == (6, 0.8)
        other = recipe.with_options("otsu", {"min_size": 9})
        assert (other.method.name, other.method.min_size, other.statistics.level) == ("otsu", 9, 0.8)

    def test_one_that_another_method_has_names_the_others(self):
        with pytest.raises(OptionError, match=r"particles, .* has no option 'polarity'; hybrid.*otsu.* -m"):
            Recipe.build(options={"polarity": "dark"})
        with pytest.raises(OptionError, match="option of particles 'polarity'"):
            Recipe.build("particles", options={"polarity": "dark"})

    def test_one_threshold_at_most(self):
        with pytest.raises(OptionError, match="one of threshold, false_share, miss_rate"):
            Recipe.build(options={"threshold": 0.5, "false_share": 0.1})


@pytest.fixture
def done(tmp_path):
    """Folder of a result of the default recipe, its input, and its summary."""
    from segmetry.io import write_image
    from segmetry.pipeline import write_numbers
    from segmetry.report import write_result

    path = tmp_path / "a.tif"
    write_image(path, picture())
    result = analyse(path)
    write_result(result, tmp_path / "a")
    write_numbers(result, tmp_path / "a")
    return tmp_path / "a", (path,)


class TestIsDone:
    def test_the_default_is_done_by_the_method_that_it_stands_for(self, done):
        assert is_done(*done, Recipe())
        assert is_done(*done, Recipe.build("particles"))
        assert not is_done(*done, Recipe.build("otsu"))
        assert not is_done(*done, Recipe.build(options={"samples": 2}))

    def test_another_model_is_another_result(self, done):
        folder, files = done
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        assert summary["input_sha256"] == hash_file(files[0])
        summary["segmentation"]["model"]["sha256"] = "0" * 64
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
        assert not is_done(folder, files, Recipe())


class TestAxes:
    def test_they_are_kept_and_told_to_the_reader(self, tmp_path):
        np.save(tmp_path / "a.npy", stack().pixels)
        recipe = Recipe.from_yaml("read: {axes: TYX}\nsegment: {method: otsu}")
        assert Recipe.from_yaml(recipe.to_yaml()) == recipe
        with pytest.raises(ImageError, match="TYX"):
            analyse(tmp_path / "a.npy", recipe)
        assert (
            len(analyse(tmp_path / "a.npy", Recipe.from_yaml("read: {axes: ZYX}\nsegment: {method: otsu}")).table) == 1
        )
        assert "axes" not in Recipe().as_dict()["read"]

    def test_unknown_ones_are_refused(self):
        with pytest.raises((RecipeError, OptionError), match="ZYX"):
            Recipe.from_yaml("read: {axes: ZXY}")


def test_a_folder_that_is_one_stack_is_one_image(tmp_path):
    (tmp_path / "slices").mkdir()
    for k, plane in enumerate(stack().pixels):
        write_image(tmp_path / f"slices/{k:03d}.tif", Image(plane))
    (path,) = find_inputs([f"{tmp_path}/slices::ZYX"])
    (task,) = name_folders([path])
    assert task.folder == "slices"
    result = analyse(task.files, Recipe.build("otsu"))
    assert result.image.axes == "ZYX"
    assert len(result.table) == 1
    assert result.provenance.input_sha256 == hash_file(path)
