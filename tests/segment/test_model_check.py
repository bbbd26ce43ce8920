"""What is wrong with a model is found, on every engine; what is right passes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import tiny_onnx

from segmetry.errors import ReadError
from segmetry.io.card import Card
from segmetry.io.model_folder import write_model_folder
from segmetry.io.onnx_bytes import opset_of, with_constant
from segmetry.segment import model_check
from segmetry.segment.engine import load_model, normalise
from segmetry.segment.model_check import check_model, example_image


def write(folder, kernel=None, network=None, **changes):
    kernel = tiny_onnx.weights() if kernel is None else kernel
    write_model_folder(folder, tiny_onnx.tiny_card(kernel, **changes), network or tiny_onnx.tiny(kernel))
    return folder


def test_a_right_model_passes_on_every_engine(tmp_path):
    found = check_model(write(tmp_path / "m"))
    assert found[0].engine.startswith("ONNX Runtime")
    assert found[0].engine_difference == 0
    for one in found:
        assert one.tiled_difference < 1e-5  # round-off of sums of 25 products of numbers near 1
        assert one.seconds_per_megapixel > 0
        assert one.sides == (512, 512)
        assert one.samples
        assert math.isnan(one.peak_memory) or one.peak_memory >= 0


def test_the_model_that_comes_along_passes():
    assert check_model("particles")[0].tiled_difference < 1e-4


def test_a_network_of_the_whole_image_takes_no_tiles(tmp_path):
    (one, *_) = check_model(write(tmp_path / "m", receptive_radius=None))
    assert one.tiled_difference is None


def test_no_dropout_is_no_fault(tmp_path):
    kernel = tiny_onnx.weights()
    network = with_constant(tiny_onnx.tiny(kernel), "keep", np.ones((1, 2), np.float32))
    (one, *_) = check_model(write(tmp_path / "m", network=network, dropout=()))
    assert not one.samples


@pytest.mark.parametrize(
    ("kernel", "changes", "says"),
    [
        (np.full((2, 1, 5, 5), np.nan, np.float32), {}, "gives maps that are not finite"),
        (tiny_onnx.weights(), {"receptive_radius": 0}, "something else in tiles than for the whole image"),
        (np.zeros((2, 1, 5, 5), np.float32), {}, "the same maps whatever the dropout mask"),
    ],
)
def test_what_is_wrong_is_found(tmp_path, kernel, changes, says):
    with pytest.raises(ReadError, match=f"m: with ONNX Runtime .* {says}") as caught:
        check_model(write(tmp_path / "m", kernel, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("scale", "says"),
    [(1.01, r"other 1 the network differs from ONNX Runtime"), (None, "another sample for the same mask")],
)
def test_an_engine_that_gives_something_else(tmp_path, monkeypatch, scale, says):
    rng = np.random.default_rng(0)

    def load(path, engine):
        model = load_model(path)
        if engine == "cpu":
            return model

        def run(image, keep):
            noisy = (keep != 1).any() and scale is None
            for maps in model.run(image, keep):
                yield maps * (rng.uniform(0.5, 2) if noisy else scale or 1)

        return replace(model, engine="other 1", run=run)

    monkeypatch.setattr(model_check, "installed_engines", lambda: ("cpu", "other"))
    monkeypatch.setattr(model_check, "load_model", load)
    with pytest.raises(ReadError, match=says):
        check_model(write(tmp_path / "m"))


@pytest.mark.parametrize(
    "how",
    [
        {"kind": "standardise", "clip": 5.0},
        {"kind": "measured", "mean": [90.0, 2e4], "sd": [30.0, 4e3]},
        {"kind": "measured", "mean": [1e-3], "sd": [1e-4], "coordinates": True},
        {"kind": "unit"},
    ],
)
def test_example_images_have_the_greys_that_a_network_knows(how):
    n = len(how.get("mean", "a"))
    channels = n + 2 * how.get("coordinates", False)
    card = Card("m", "1", "classes", ("a",), 1, 1, 1, normalisation=how, channels=channels)
    raw = example_image(card, (40, 60))
    image = normalise(card, raw)
    assert raw.shape == (n, 40, 60)
    assert image.shape == (channels, 40, 60)
    if how["kind"] == "unit":
        assert 0 <= image.min() < image.max() <= 1
    else:
        assert abs(image[:n].mean()) < 0.05
        assert image[:n].std() == pytest.approx(1, rel=0.1)


def test_a_constant_input_by_hand():
    kernel = tiny_onnx.weights()
    onnx = tiny_onnx.tiny(kernel)
    assert opset_of(onnx) == 17
    assert with_constant(onnx, "nothing", np.ones(1, np.float32)) == onnx
    import onnxruntime

    values = np.array([[0.5, -3.0]], np.float32)
    session = onnxruntime.InferenceSession(with_constant(onnx, "keep", values))
    pixels = np.random.default_rng(1).normal(size=(1, 1, 8, 12)).astype(np.float32)
    (maps,) = session.run(None, {"image": pixels})
    assert maps[0] == pytest.approx(tiny_onnx.plain_maps(pixels[0], kernel) * values[0][:, None, None], abs=1e-5)
    assert opset_of(with_constant(onnx, "keep", values)) == 17
