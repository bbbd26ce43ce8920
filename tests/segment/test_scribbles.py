"""From scribbles to classes: scenes with known truth, volumes in blocks, and what people do wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from segmetry.errors import ImageError, LabelError, OptionError, ShapeMismatchError
from segmetry.prepare import features as features_of
from segmetry.segment.forest_file import write_pixel_model
from segmetry.segment.methods import Scene
from segmetry.segment.pixel_model import predict_blocks
from segmetry.segment.pixels import Pixels, classify
from segmetry.segment.scribbles import Training, train_on_scribbles
from segmetry.types import Calibration, Image

QUICK = Training(trees=8, scales=3)


def textures(shape=(96, 128), seed=0):
    """Return an image of two textures of one mean grey, and where the rough one is (1) in the smooth one (0)."""
    rng = np.random.default_rng(seed)
    truth = (ndimage.gaussian_filter(rng.normal(size=shape), 12) > 0).astype(int)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 2)
    image = np.where(truth == 1, rng.normal(size=shape), smooth / smooth.std())
    return (100 + 10 * image).astype(np.float32), truth


def strokes(truth, n=6, ignore=0):
    """Return every class painted along parts of a few rows, its value one more than its class."""
    painted = np.full(truth.shape, ignore)
    rows = np.linspace(4, truth.shape[0] - 5, n).astype(int)
    for row in rows:
        painted[row] = truth[row] + 1
    return painted


def scene(pixels, valid=None, channels=None):
    return Scene(pixels, valid, (1.0,) * pixels.ndim, "px", channels)


@pytest.mark.parametrize("kind", ["forest", "neighbours"])
def test_textures_of_one_grey_are_told_apart(kind):
    image, truth = textures()
    model = train_on_scribbles([image], [strokes(truth)], settings=Training(kind=kind, trees=12, scales=4))
    other, other_truth = textures(seed=1)
    found = classify(model, scene(other))
    assert (found.labels == other_truth).mean() > 0.9
    assert found.kind == "semantic"
    assert found.classes == model.classes == ("1", "2")
    # Where it is sure it is right more often than where it is not; the entropy of two classes is at most log 2.
    right = found.labels == other_truth
    assert right[found.uncertainty < 0.2].mean() > right[found.uncertainty > 0.5].mean() + 0.1
    assert 0 <= found.uncertainty.min() <= found.uncertainty.max() <= math.log(2) + 1e-6
    np.testing.assert_array_equal(found.labels, found.probability > 0.5)


def test_the_same_seed_gives_the_same_model_and_inputs_stay():
    image, truth = textures()
    painted = strokes(truth)
    copies = image.copy(), painted.copy()
    models = [train_on_scribbles([image], [painted], settings=QUICK) for _ in range(2)]
    a, b = (next(predict_blocks(m, image[np.newaxis]))[1] for m in models)
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(image, copies[0])
    np.testing.assert_array_equal(painted, copies[1])


def test_scores_of_other_strokes_come_near_the_truth_and_out_of_bag_flatters():
    image, truth = textures()
    painted = strokes(truth)
    model = train_on_scribbles([image], [painted], settings=QUICK)
    found = classify(model, scene(image)).labels
    unpainted = painted == 0
    real = np.mean([(found[unpainted & (truth == k)] == k).mean() for k in (0, 1)])
    told = np.mean(list(model.scores["other_strokes"].values()))
    assert told == pytest.approx(real, abs=0.06)
    assert set(model.scores["out_of_bag"]) == {"1", "2"}
    assert sum(model.scores["importance"].values()) == pytest.approx(1)
    assert next(iter(model.scores["importance"])).split()[0] in ("gradient", "structure", "hessian")  # not the grey


@pytest.mark.slow
def test_probabilities_come_true():
    # Two greys that overlap: of the pixels that are told 70 to 80 %, about as many are right.
    rng = np.random.default_rng(0)
    truth = np.repeat(np.indices((160, 8))[1] % 2, 20, axis=1)
    image = (truth + rng.normal(0, 0.8, truth.shape)).astype(np.float32)
    model = train_on_scribbles([image], [strokes(truth, 24)], settings=Training(first=0.3, scales=1))
    fresh = (truth + rng.normal(0, 0.8, truth.shape)).astype(np.float32)
    found = classify(model, scene(fresh))
    chance = np.where(found.labels == 1, found.probability, 1 - found.probability)
    right = found.labels == truth
    for low in (0.5, 0.6, 0.7, 0.8, 0.9):
        told = (chance >= low) & (chance < low + 0.1)
        if told.sum() > 500:
            assert right[told].mean() == pytest.approx(chance[told].mean(), abs=0.08)


def test_values_and_names_of_classes():
    image, truth = textures()
    painted = np.full(truth.shape, 255)
    painted[10:14] = np.where(truth[10:14] == 1, 7, 0)  # 0 is a class where 255 is not painted
    model = train_on_scribbles([image], [painted], settings=QUICK, ignore=255, classes={7: "rough"})
    assert model.values == (0, 7)
    assert model.classes == ("0", "rough")
    with pytest.raises(OptionError, match="no pixel is painted"):
        train_on_scribbles([image], [painted], ignore=255, classes={3: "clay"})


def test_several_images_and_channels():
    (a, truth_a), (b, truth_b) = textures(), textures(seed=2)
    noise = np.random.default_rng(3).normal(size=a.shape).astype(np.float32)
    pairs = [Image(noise, channels=np.stack([noise, one])) for one in (a, b)]
    painted = [strokes(truth_a, 2), strokes(truth_b, 2)]
    model = train_on_scribbles(pairs, painted, settings=QUICK)
    assert model.channels == 2
    assert next(iter(model.scores["importance"])).startswith("channel 2: ")
    found = classify(model, scene(noise, channels=np.stack([noise, a])))
    assert (found.labels == truth_a).mean() > 0.8
    with pytest.raises(ImageError, match="learned from 2 channels, the image has 1"):
        classify(model, scene(a))
    with pytest.raises(ImageError, match="learned from 2D images, this one is 3D"):
        classify(model, scene(np.zeros((3, 9, 9), np.float32)))
    with pytest.raises(ImageError, match="have to be alike"):
        train_on_scribbles([pairs[0], a], painted)


def test_a_volume_in_blocks_is_the_whole(monkeypatch):
    rng = np.random.default_rng(0)
    truth = (ndimage.gaussian_filter(rng.normal(size=(14, 32, 32)), (2, 5, 5)) > 0).astype(int)
    volume = Image(
        (truth + rng.normal(0, 0.4, truth.shape)).astype(np.float32), calibration=Calibration((3, 1, 1), "nm")
    )
    painted = np.zeros(truth.shape, int)
    painted[7, ::6] = truth[7, ::6] + 1  # one plane is painted
    model = train_on_scribbles([volume], [painted], settings=QUICK)
    whole = dict(enumerate(predict_blocks(model, volume.pixels[np.newaxis], spacing=(3, 1, 1))))
    assert len(whole) == 1
    chance = whole[0][1]
    assert (chance.argmax(0) == truth).mean() > 0.9
    monkeypatch.setitem(features_of.BLOCK, 3, (5, 16, 24))
    for place, part in predict_blocks(model, volume.pixels[np.newaxis], spacing=(3, 1, 1)):
        np.testing.assert_allclose(part, chance[(slice(None), *place)], atol=1e-6)


def test_pixels_that_are_no_number_teach_nothing_and_stay_unknown():
    image, truth = textures()
    painted = strokes(truth)
    holed = image.copy()
    holed[36:50, 40:60] = np.nan
    model = train_on_scribbles([holed], [painted], settings=QUICK)
    lost = int((painted[36:50, 40:60] > 0).sum())
    assert lost
    assert sum(model.training["pixels"].values()) == (painted > 0).sum() - lost
    found = classify(model, scene(np.nan_to_num(holed), np.isfinite(holed)))
    hole = found.labels[36:50, 40:60]
    assert (hole == 0).all()
    np.testing.assert_allclose(found.probability[36:50, 40:60], 0.5)
    np.testing.assert_allclose(found.uncertainty[36:50, 40:60], math.log(2), rtol=1e-6)


def test_a_class_of_one_pixel_is_a_warning():
    image, truth = textures()
    painted = strokes(truth)
    painted[0, 0] = 3
    model = train_on_scribbles([image], [painted], settings=QUICK)
    assert model.classes == ("1", "2", "3")
    assert any("class 3 has 1 painted pixel;" in note for note in model.notes)
    assert math.isnan(model.scores["other_strokes"]["3"])  # its only stroke cannot be held out


def test_one_stroke_of_each_class_falls_back_on_the_bag():
    image, truth = textures()
    painted = np.zeros(truth.shape, int)
    for k in (0, 1):
        row, col = np.argwhere(ndimage.binary_erosion(truth == k, iterations=6))[0]
        painted[row, col - 5 : col + 5] = k + 1
    model = train_on_scribbles([image], [painted], settings=QUICK)
    assert all(math.isnan(v) for v in model.scores["other_strokes"].values())
    assert model.temperature > 0


def test_many_painted_pixels_are_drawn_from():
    image, truth = textures()
    model = train_on_scribbles([image], [truth + 1], settings=Training(trees=4, scales=2, most=500))
    assert 500 <= sum(model.training["pixels"].values()) <= 502
    assert (classify(model, scene(image)).labels == truth).mean() > 0.75


@pytest.mark.parametrize("shape", [(1, 8), (3, 3), (2, 2, 2)])
def test_tiny_images(shape):
    image = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    painted = np.where(image < image.size / 2, 1, 2)
    model = train_on_scribbles([image], [painted], settings=Training(trees=4, leaf=1))
    assert classify(model, scene(image)).labels.shape == shape


@pytest.mark.parametrize(
    ("painted", "error", "says"),
    [
        (np.ones((4, 5), int), ShapeMismatchError, "paint on the image itself"),
        (np.zeros((96, 128), int), LabelError, "show 0 classes"),
        (np.ones((96, 128), int), LabelError, "show 1 classes"),
        (np.full((96, 128), 1.5), LabelError, "no whole numbers"),
        (np.full((96, 128), np.nan), LabelError, "no whole numbers"),
        (np.full((96, 128), -3), LabelError, "negative"),
        (np.arange(96 * 128).reshape(96, 128), LabelError, "paint 2 to 64"),
        (np.full((96, 128), "a"), LabelError, "whole numbers"),
    ],
)
def test_scribbles_that_are_none(painted, error, says):
    with pytest.raises(error, match=says) as caught:
        train_on_scribbles([textures()[0]], [painted])
    assert "\n" not in str(caught.value)


def test_pixels_that_are_too_large_and_too_many_features():
    image, _ = textures((12, 12))
    painted = np.where(np.arange(12) < 6, 1, 2) * np.ones((12, 1), int)
    with pytest.raises(ImageError, match="divide the images"):
        train_on_scribbles([image * np.float32(1e30)], [painted])
    many = Image(image, channels=np.stack([image] * 26))
    with pytest.raises(OptionError, match="1040 features are too many"):
        train_on_scribbles([many], [painted])


def test_as_many_scribbles_as_images():
    with pytest.raises(ShapeMismatchError, match="one for each image"):
        train_on_scribbles([textures()[0]], [])


def test_the_method_runs_a_saved_model(tmp_path):
    image, truth = textures()
    model = train_on_scribbles([image], [strokes(truth)], settings=QUICK)
    folder = write_pixel_model(tmp_path / "m", model)
    method = Pixels(model=str(folder))
    method.check()
    assert method.n_channels == 1
    np.testing.assert_array_equal(method.run(scene(image)).labels, classify(model, scene(image)).labels)
    with pytest.raises(OptionError, match="name the folder"):
        Pixels().check()
