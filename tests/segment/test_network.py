"""A network for classes: the most probable class, averaged over turns, with its doubt, and warnings of the unlike."""

import re
from dataclasses import replace

import numpy as np
import pytest
import tiny_onnx

from segmetry.batch import _same_model
from segmetry.errors import ImageError, OptionError, ReadError
from segmetry.io.model_folder import write_model_folder
from segmetry.recipe import Recipe
from segmetry.segment import engine, network, segment
from segmetry.segment.network import Network, entropy_of, probabilities
from segmetry.types import Calibration, Image

NAMES = ("air", "grain", "rim")
UNITS = {"kind": "measured", "mean": [100.0], "sd": [20.0]}


def card(kernel, **changes):
    return tiny_onnx.tiny_card(kernel, stride=1, normalisation=UNITS, **changes)


@pytest.fixture
def kernel():
    return tiny_onnx.weights(size=3, n_maps=3)


@pytest.fixture
def folder(tmp_path, kernel):
    write_model_folder(tmp_path / "net", card(kernel, classes=NAMES), tiny_onnx.tiny(kernel, stride=1))
    return tmp_path / "net"


def picture(*shape):
    return np.random.default_rng(1).normal(100, 20, shape).astype(np.float32)


def plain(pixels, kernel):
    return tiny_onnx.plain_maps((pixels - 100) / 20, kernel, stride=1)


def test_every_pixel_gets_its_most_probable_class(folder, kernel):
    pixels = picture(30, 41)
    found = segment(pixels, str(folder))
    maps = plain(pixels, kernel)
    raised = np.exp(maps)
    probability = raised / raised.sum(axis=0)
    np.testing.assert_array_equal(found.labels, maps.argmax(axis=0))
    assert found.kind == "semantic"
    assert found.classes == NAMES
    assert found.method["method"] == "network"
    np.testing.assert_allclose(found.probability, probability.max(axis=0), atol=1e-5)
    np.testing.assert_allclose(found.uncertainty, -(probability * np.log(probability)).sum(axis=0), atol=1e-4)
    assert not found.notes


def test_the_average_over_turns_turns_with_the_image(folder):
    pixels = picture(32, 32)
    options = {"turns": 8}
    found = segment(pixels, str(folder), options=options)
    for k in range(4):
        for mirrored in (False, True):
            other = np.rot90(pixels[:, ::-1] if mirrored else pixels, k)
            again = segment(np.ascontiguousarray(other), str(folder), options=options)
            back = np.rot90(again.probability, -k)
            np.testing.assert_allclose(back[:, ::-1] if mirrored else back, found.probability, atol=1e-5)
    one = segment(pixels, str(folder))
    assert np.abs(one.probability - found.probability).max() > 0.01


def test_turns_leave_a_symmetric_network_as_it_is(tmp_path):
    kernel = np.random.default_rng(0).normal(size=(3, 1, 1, 1)).astype(np.float32)
    write_model_folder(tmp_path / "net", card(kernel, classes=NAMES), tiny_onnx.tiny(kernel, stride=1))
    pixels = picture(17, 40)  # unequal sides: quarter turns come back to their places
    one, eight = (segment(pixels, str(tmp_path / "net"), options={"turns": n}) for n in (1, 8))
    np.testing.assert_allclose(one.probability, eight.probability, atol=1e-5)
    np.testing.assert_array_equal(one.labels, eight.labels)


def test_samples_part_the_doubt(folder):
    pixels = picture(24, 24)
    found = segment(pixels, str(folder), options={"samples": 16, "seed": 3})
    again = segment(pixels, str(folder), options={"samples": 16, "seed": 3})
    assert len(found.samples) == 16
    assert all(np.array_equal(a, b) for a, b in zip(found.samples, again.samples, strict=True))
    assert not np.array_equal(found.samples[0], found.samples[1])
    assert (found.epistemic >= 0).all()
    assert (found.aleatoric >= -1e-5).all()
    assert found.epistemic.max() > 0.05
    assert segment(pixels, str(folder), options={"samples": 1}).epistemic is None, "one cannot disagree"


def test_temperature_changes_chances_and_no_class(tmp_path, kernel):
    pixels = picture(20, 20)
    labels, tops = [], []
    for temperature in (1.0, 3.0):
        path = tmp_path / f"net-{temperature}"
        made = card(kernel, classes=NAMES, post={"temperature": temperature})
        write_model_folder(path, made, tiny_onnx.tiny(kernel, stride=1))
        found = segment(pixels, str(path))
        labels.append(found.labels)
        tops.append(found.probability)
    np.testing.assert_array_equal(*labels)
    assert (tops[1] <= tops[0] + 1e-6).all()
    maps = plain(pixels, kernel) / 3
    np.testing.assert_allclose(tops[1], (np.exp(maps) / np.exp(maps).sum(axis=0)).max(axis=0), atol=1e-5)


def test_two_classes_have_one_map(tmp_path):
    kernel = tiny_onnx.weights(size=3, n_maps=1)
    made = card(kernel, classes=("air", "grain"))
    write_model_folder(tmp_path / "net", made, tiny_onnx.tiny(kernel, stride=1))
    pixels = picture(20, 24)
    found = segment(pixels, str(tmp_path / "net"))
    logit = plain(pixels, kernel)[0]
    np.testing.assert_array_equal(found.labels, logit > 0)
    np.testing.assert_allclose(found.probability, 1 / (1 + np.exp(-logit)), atol=1e-5)


def test_coordinates_are_given_to_a_network_that_wants_them(tmp_path):
    kernel = np.zeros((2, 3, 1, 1), np.float32)
    kernel[0, 1], kernel[1, 2] = 1, 1  # one map is the row, the other the column
    units = UNITS | {"coordinates": True}
    made = tiny_onnx.tiny_card(kernel, stride=1, classes=("row", "column", "none"), normalisation=units)
    write_model_folder(tmp_path / "bad", made, tiny_onnx.tiny(kernel, stride=1))
    with pytest.raises(ReadError, match="3 classes and 2 maps"):
        segment(picture(8, 8), str(tmp_path / "bad"))
    kernel = np.concatenate([kernel, np.zeros((1, 3, 1, 1), np.float32)])
    made = tiny_onnx.tiny_card(kernel, stride=1, classes=("row", "column", "none"), normalisation=units)
    write_model_folder(tmp_path / "net", made, tiny_onnx.tiny(kernel, stride=1))
    found = segment(picture(21, 31), str(tmp_path / "net"))
    rows, columns = np.linspace(-1, 1, 21)[:, None], np.linspace(-1, 1, 31)
    best = np.stack(np.broadcast_arrays(rows, columns, 0 * rows)).argmax(axis=0)
    away = (np.abs(rows - columns) > 0.02) & (np.abs(rows) > 0.02) & (np.abs(columns) > 0.02)
    np.testing.assert_array_equal(found.labels[away], best[away])


COLOURS = {"kind": "measured", "mean": [100.0, 10.0, -5.0], "sd": [20.0, 2.0, 1.0]}


@pytest.fixture
def colours(tmp_path):
    """A network of three channels, its weights, and an image of the kind that it learned from."""
    kernel = tiny_onnx.weights(size=3, n_maps=3, channels=3)
    made = tiny_onnx.tiny_card(kernel, stride=1, normalisation=COLOURS, classes=NAMES)
    write_model_folder(tmp_path / "colours", made, tiny_onnx.tiny(kernel, stride=1))
    mean, sd = (np.array(COLOURS[key]).reshape(3, 1, 1) for key in ("mean", "sd"))
    channels = np.random.default_rng(4).normal(mean, sd, (3, 22, 31)).astype(np.float32)
    return tmp_path / "colours", tiny_onnx.plain_maps((channels - mean) / sd, kernel, stride=1).argmax(0), channels


def test_a_network_of_several_channels_gets_them_all(colours):
    folder, labels, channels = colours
    found = segment(Image(channels[0], channels=channels), str(folder))
    np.testing.assert_array_equal(found.labels, labels)
    assert not found.notes
    strange = segment(Image(channels[0], channels=channels * [[[1]], [[1]], [[50]]]), str(folder)).notes
    assert ["of channel 3" in note for note in strange] == [True]
    channels[1, 4, 5] = np.nan
    found = segment(Image(channels[0], channels=channels), str(folder))
    assert found.labels[4, 5] == 0, "a pixel that one channel lacks is not known"
    assert found.notes[0].startswith("1 pixels are not finite")


def test_other_channels_are_refused_in_one_line(colours, folder):
    of_three, _, channels = colours
    with pytest.raises(ImageError, match="was trained on 3 channels, the image has 1; give them all in their order"):
        segment(channels[0], str(of_three))
    with pytest.raises(ImageError, match="was trained on 3 channels, the image has 2"):
        segment(Image(channels[0], channels=channels[:2]), str(of_three))
    with pytest.raises(ImageError, match="was trained on 1 channel, the image has 3; pick one of them with page"):
        segment(Image(channels[0], channels=channels), str(folder))


@pytest.mark.parametrize("options", [{}, {"turns": 8}, {"samples": 3}])
def test_what_is_made_in_tiles_is_what_is_made_at_once(folder, monkeypatch, options):
    pixels = picture(61, 45)
    whole = segment(pixels, str(folder), options=options)
    monkeypatch.setattr(engine, "tile_within", lambda card, shape, memory: (16, 12))
    monkeypatch.setattr(network, "ROWS", 7)
    tiled = segment(pixels, str(folder), options=options)
    np.testing.assert_array_equal(tiled.labels, whole.labels)
    for one, other in zip(tiled.samples, whole.samples, strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("probability", "uncertainty", "epistemic"):
        if (wanted := getattr(whole, name)) is not None:  # one convolution: sums in the same order
            np.testing.assert_allclose(getattr(tiled, name), wanted, atol=1e-6)


def test_what_will_take_much_is_said(folder, tmp_path, kernel, monkeypatch):
    method = Network(model=str(folder))
    assert method.forecast((4096, 4096)) == ""
    # 20,000 squared at 4 bytes for the image and each of three results: 6.4 GB, and 1 GB for a tile at most.
    monkeypatch.setattr(network, "available_memory", lambda: 1e6)
    told = method.forecast((20000, 20000))
    told = re.fullmatch(r"20000 × 20000 px in (\d+) tiles of (\d+) × (\d+) px, about (.*) GB of memory", told)
    n, rows, columns, size = map(float, told.groups())
    assert n * (rows - 2) * (columns - 2) <= 1.01 * 20000**2 <= 1.02 * n * rows * columns
    assert 6.4 <= size <= 7.5
    blind = card(kernel, classes=NAMES)
    write_model_folder(tmp_path / "blind", replace(blind, receptive_radius=None), tiny_onnx.tiny(kernel, stride=1))
    monkeypatch.setattr(network, "available_memory", lambda: 1000.0)
    told = Network(model=str(tmp_path / "blind")).forecast((4096, 4096))
    assert told.startswith(
        "WARNING: 4096 × 4096 px in one piece, about 7 GB of memory, but 1 GB are free; this network"
    )


def test_what_is_no_specimen_is_background(folder):
    pixels = picture(20, 20)
    ignore = np.zeros((20, 20), bool)
    ignore[15:] = True
    assert not segment(Image(pixels, ignore=ignore), str(folder)).labels[15:].any()


def test_unlike_images_are_a_warning(folder, tmp_path, kernel):
    assert any("greys are" in note for note in segment(picture(20, 20) * 250, str(folder)).notes)
    made = card(kernel, classes=NAMES, pixel_size_range=(1.0, 2.0))
    write_model_folder(tmp_path / "sized", made, tiny_onnx.tiny(kernel, stride=1))
    for size, warned in ((1.5, False), (5.0, False), (20.0, True)):
        image = Image(picture(20, 20), calibration=Calibration((size, size), "nm", 0.01, "user"))
        notes = segment(image, str(tmp_path / "sized")).notes
        assert any("a pixel is" in note for note in notes) == warned


def test_a_batch_knows_its_model(folder, kernel):
    recipe = Recipe.build(str(folder))
    info = segment(picture(8, 8), recipe.method).info
    assert _same_model(info, recipe)
    write_model_folder(folder, card(kernel, classes=NAMES), tiny_onnx.tiny(2 * kernel, stride=1))
    assert not _same_model(info, recipe)


def test_bad_input_says_what_and_where(folder, tmp_path, kernel):
    with pytest.raises(ImageError, match="takes 2D images"):
        segment(picture(4, 20, 20), str(folder))
    with pytest.raises(OptionError, match="name the folder"):
        segment(picture(20, 20), "network")
    with pytest.raises(OptionError, match="is for classes"):
        segment(picture(20, 20), "particles", options={"model": str(folder)})
    with pytest.raises(ReadError, match="does not exist"):
        segment(picture(20, 20), "here/there")
    with pytest.raises(OptionError, match="there is no method"):
        segment(picture(20, 20), "here")
    with pytest.raises(OptionError, match="one for each channel"):
        replace(card(kernel), channels=2, normalisation={"kind": "measured", "mean": [], "sd": [], "coordinates": True})
    for wrong in ({"mean": [1.0, 2.0]}, {"sd": [0.0]}, {"sd": None}, {"coordinates": True}):
        with pytest.raises(OptionError, match="normalisation"):
            replace(card(kernel), normalisation=UNITS | wrong)


def test_probabilities_and_their_entropy():
    maps = np.random.default_rng(0).normal(0, 10, (4, 5, 6))
    np.testing.assert_allclose(probabilities(maps).sum(axis=0), 1)
    one = probabilities(maps[:1])
    np.testing.assert_allclose(one[1] / one[0], np.exp(maps[0]))
    assert np.isfinite(probabilities(np.array([[[1e4, -1e4]]]))).all()
    assert entropy_of(np.full((4, 1), 0.25))[0] == pytest.approx(np.log(4))
