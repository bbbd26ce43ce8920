"""A bone in an arm: the shell is dark, the marrow bright; bounds, classes, and the share by a labelled slice."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from segmetry import Image
from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.segment.florin import Florin, tuned_share
from segmetry.segment.groups import keeps, largest, read_groups
from segmetry.segment.methods import Scene
from segmetry.types import Calibration

SPACING = (2.0, 0.8, 0.8)
OUTER, INNER = 10.0, 6.5  # mm


def bone(shape=(16, 80, 80), noise=6.0, seed=0):
    """Return a scene of an arm in mm (bone with dark shell and bright marrow, a dark vein), and where bone is."""
    z, y, x = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, SPACING)], indexing="ij")
    from_axis = np.hypot(y - 0.1 * z, x)
    pixels = np.where(np.hypot(y, x) < 29, 100.0, 8.0)
    pixels[np.hypot(y - 20, x + 6) < 2.5] = 30
    pixels[from_axis < OUTER] = 20
    pixels[from_axis < INNER] = 180
    pixels += np.random.default_rng(seed).normal(0, noise, shape)
    return Scene(pixels.astype(np.float32), None, SPACING, "mm"), from_axis < OUTER


RECIPE = Florin(
    share=0.3,
    window=32,
    window_unit="calibrated",
    closing=1.2,
    groups="bone: volume > 2000, volume < 30000; vein: volume < 2000, aspect_ratio > 1",
    keep=1,
    inner=True,
)


def dice(found, truth):
    return 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth))


def test_shell_and_marrow_become_one_bone():
    scene, truth = bone()
    found = RECIPE.run(scene)
    assert found.classes == ("background", "bone", "vein")
    assert dice(found.labels == 1, truth) > 0.98
    volume = np.count_nonzero(found.labels == 1) * math.prod(SPACING)
    assert volume == pytest.approx(math.pi * OUTER**2 * 32, rel=0.02)
    assert (found.labels == 2).any()
    assert found.info["n_inner"] == 1
    shell = Florin(**(RECIPE.values() | {"inner": False})).run(scene)
    assert np.count_nonzero(shell.labels == 1) < 0.7 * np.count_nonzero(found.labels == 1)


def test_an_inverted_volume_with_the_other_side_and_the_recipe_as_data():
    scene, _ = bone()
    turned = Scene(np.float32(300) - scene.pixels, None, SPACING, "mm")
    record = Florin(side="bright", share=0.2, window=41, keep=2)
    dark = Scene(turned.pixels.max() - turned.pixels, None, SPACING, "mm")
    expected = Florin(side="dark", share=0.2, window=41, keep=2).run(dark)
    np.testing.assert_array_equal(record.run(turned).labels, expected.labels)
    assert expected.kind == "instance"
    again = Florin.from_options(json.loads(json.dumps(RECIPE.values())))
    assert again == RECIPE
    np.testing.assert_array_equal(again.run(scene).labels, RECIPE.run(scene).labels)


@pytest.mark.slow
def test_a_labelled_slice_chooses_the_share():
    scene, truth = bone(noise=14)
    poor = Florin(**(RECIPE.values() | {"share": 0.02, "groups": "bone: volume > 2000, volume < 30000"}))
    tuned = tuned_share(poor, scene, truth[8].astype(int), plane=8)
    before, after = dice(poor.run(scene).labels == 1, truth), dice(tuned.method.run(scene).labels == 1, truth)
    assert tuned.score == max(s for _, s in tuned.tried) > 0.97
    assert after > 0.95
    assert after > before
    assert round(tuned.method.share, 3) == tuned.method.share


def test_a_slice_that_cannot_tell_is_refused():
    scene, truth = bone(shape=(3, 40, 40))
    with pytest.raises(ShapeMismatchError, match="labelled slice"):
        tuned_share(RECIPE, scene, truth, plane=1)
    with pytest.raises(OptionError, match="holds no object"):
        tuned_share(RECIPE, scene, np.zeros((40, 40), int), plane=1)


def three():
    """Return a label image of three bars of 4, 10 and 10 pixels, and an image with the intensities 1, 2, 3."""
    labels = np.zeros((8, 12), np.int32)
    labels[1, 1:5], labels[3, 1:11], labels[5:7, 1:6] = 1, 2, 3
    return labels, Image(labels.astype(np.float32), calibration=Calibration((2, 2), "mm"))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("area > 16", [2, 3]),
        ("area >= 16, area < 40", [1]),
        ("aspect_ratio > 5", [2]),
        ("intensity_mean <= 2", [1, 2]),
        ("", [1, 2, 3]),
    ],
)
def test_bounds_in_units_of_the_image(text, kept):
    labels, image = three()
    bounds = read_groups(text)[0].bounds if text else ()
    assert np.flatnonzero(keeps(labels, image, bounds)).tolist() == kept


def test_the_largest_stay():
    labels, _ = three()
    every = np.array([False, True, True, True])
    assert np.flatnonzero(largest(labels, every, 1)).tolist() == [2], "of two alike the first"
    assert np.flatnonzero(largest(labels, every, 2)).tolist() == [2, 3]
    assert np.flatnonzero(largest(labels, every, 9)).tolist() == [1, 2, 3], "more than there are"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bone: volum > 3", "did you mean 'volume'"),
        ("bone: volume ~ 3", "no bound"),
        ("bone: volume > much", "no bound"),
        ("a: area > 3; a: area < 3", "different names"),
        ("bone: shape > 3", "no measure 'shape'"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(text, says):
    with pytest.raises(OptionError, match=says):
        Florin(groups=text)


def test_measures_of_the_wrong_dimension_or_many_columns():
    labels, image = three()
    with pytest.raises(OptionError, match="not defined in 2D"):
        keeps(labels, image, read_groups("volume > 1")[0].bounds)
    with pytest.raises(OptionError, match="several values"):
        keeps(labels, image, read_groups("centroid > 1")[0].bounds)


def test_bad_volumes():
    scene, _ = bone(shape=(4, 40, 40))
    low = Scene(scene.pixels - 500, None, SPACING, "mm")
    assert any("shifted" in n for n in RECIPE.run(low).notes)
    plain = Florin(keep=5).run(
        Scene(np.random.default_rng(0).random((1, 30, 1)).astype(np.float32), None, SPACING, "mm")
    )
    assert plain.labels.shape == (1, 30, 1)
    with pytest.raises(OptionError, match="pixel size is unknown"):
        RECIPE.run(Scene(scene.pixels, None, (1.0,) * 3, "px"))
    with pytest.raises(OptionError, match="radii are lengths"):
        Florin(window_unit="calibrated", opening=2).run(Scene(scene.pixels, None, (1.0,) * 3, "px"))
