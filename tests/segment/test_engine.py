"""A model folder runs without torch: maps right by hand, tiled equal to whole, masks, memory, bad models."""

import contextlib
import importlib.util
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tiny_onnx
from hypothesis import given
from hypothesis import strategies as st

from segmetry.errors import ImageError, OptionError, ReadError, SegmetryError, ShapeMismatchError
from segmetry.io.model_folder import Card, write_model_folder
from segmetry.io.onnx_bytes import cut_before, refuse_outside_files
from segmetry.segment.dropout import draw_keep
from segmetry.segment.engine import by_window, load_model, normalise, tile_within


@pytest.fixture
def kernel():
    return tiny_onnx.weights()


@pytest.fixture
def model(tmp_path, kernel):
    write_model_folder(tmp_path / "tiny", tiny_onnx.tiny_card(kernel), tiny_onnx.tiny(kernel))
    return load_model(tmp_path / "tiny")


def noise(*shape):
    return np.random.default_rng(5).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (5, 7), (31, 18)])
def test_maps_are_those_of_a_plain_sum(model, kernel, shape):
    pixels = noise(*shape)
    before = pixels.copy()
    assert np.allclose(model.maps(pixels), tiny_onnx.plain_maps(pixels, kernel), atol=1e-5)
    assert np.array_equal(pixels, before)


def test_channels_and_no_masks(tmp_path):
    kernel = tiny_onnx.weights(size=3, n_maps=3, channels=2)
    write_model_folder(tmp_path / "m", tiny_onnx.tiny_card(kernel, stride=1), tiny_onnx.tiny(kernel, stride=1))
    pixels = noise(2, 9, 6)
    maps = load_model(tmp_path / "m").maps(pixels)
    assert np.allclose(maps, tiny_onnx.plain_maps(pixels, kernel, stride=1), atol=1e-5)


@pytest.mark.parametrize("tile", [8, 12, (16, 200), (8, 12)])
def test_tiles_give_what_the_whole_image_gives(model, tile):
    pixels, keep = noise(41, 67), draw_keep(model.card.dropout, 3, 0)
    # One convolution sums the same products in the same order wherever the window lies.
    assert np.abs(model.maps(pixels, keep, tile=tile) - model.maps(pixels, keep, tile=1000)).max() <= 1e-6


def test_a_halo_that_is_too_small_would_show(model):
    short = replace(model, card=replace(model.card, receptive_radius=0))
    pixels = noise(41, 67)
    assert np.abs(short.maps(pixels, tile=8) - model.maps(pixels, tile=8)).max() > 0.1


def test_an_image_in_units_is_that_of_its_windows(kernel):
    how = {"kind": "measured", "mean": [3.0, 7.0], "sd": [2.0, 5.0], "coordinates": True}
    card = tiny_onnx.tiny_card(tiny_onnx.weights(channels=4), normalisation=how)
    raw = np.random.default_rng(0).integers(0, 20, (2, 23, 31)).astype(np.uint16)
    raw_copy, image = raw.copy(), by_window(card, raw)
    whole = normalise(card, raw)
    wanted = [
        (raw[0] - 3.0) / 2,
        (raw[1] - 7.0) / 5,
        *np.meshgrid(*(np.linspace(-1, 1, n) for n in (23, 31)), indexing="ij"),
    ]
    np.testing.assert_allclose(whole, wanted, atol=1e-6)
    assert image.shape == whole.shape
    for place in np.ndindex(3, 3):
        window = tuple(slice(9 * p, min(9 * p + 11, n)) for p, n in zip(place, (23, 31), strict=True))
        np.testing.assert_array_equal(image[(slice(None), *window)], whole[(slice(None), *window)])
    np.testing.assert_array_equal(raw, raw_copy)


def test_masks_multiply_and_stay_apart(model):
    pixels = noise(20, 20)
    keep = draw_keep(model.card.dropout, 11, 3)
    plain, samples = model.maps(pixels), model.maps(pixels, keep)
    assert samples.shape == (11, *plain.shape)
    assert np.allclose(samples, plain * keep[:, :, None, None], atol=1e-5)
    assert np.array_equal(samples[7], model.maps(pixels, keep[7]))
    assert model.maps(pixels, keep[:0]).shape == (0, *plain.shape)


def test_bad_input(model):
    with pytest.raises(ImageError, match="1 channel"):
        model.maps(noise(3, 8, 8))
    with pytest.raises(ImageError, match="got an array of shape"):
        model.maps(np.zeros((0, 8), np.float32))
    with pytest.raises(ImageError, match="not finite"):
        model.maps(np.full((8, 8), np.nan, np.float32))
    with pytest.raises(ShapeMismatchError, match="takes 2 channels"):
        model.maps(noise(8, 8), np.ones(3, np.float32))
    with pytest.raises(OptionError, match="too small"):
        model.maps(noise(80, 80), tile=4)
    with pytest.raises(OptionError, match="2 sides"):
        model.maps(noise(80, 80), tile=(8, 8, 8))


def test_a_model_is_loaded_once_until_it_changes(tmp_path, kernel):
    card, path = tiny_onnx.tiny_card(kernel), tmp_path / "m"
    write_model_folder(path, card, tiny_onnx.tiny(kernel))
    first = load_model(path)
    assert load_model(str(path)) is first
    assert load_model(path, n_threads=2) is not first
    assert np.array_equal(load_model(path, n_threads=2).maps(noise(70, 70)), first.maps(noise(70, 70)))
    write_model_folder(path, card, tiny_onnx.tiny(2 * kernel))
    assert np.allclose(load_model(path).maps(noise(8, 8)), 2 * first.maps(noise(8, 8)), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"maps": ("a", "b", "c")}, "maps should have 4 axes with 3 channels"),
        ({"channels": 3}, "image should have 4 axes with 3 channels"),
        ({"dropout": ((5, 0.5),)}, "keep should have 2 axes with 5 channels"),
        ({"axes": "ZYX"}, "image should have 5 axes"),
    ],
)
def test_a_network_that_is_not_what_its_card_says(tmp_path, kernel, changes, says):
    write_model_folder(tmp_path / "m", tiny_onnx.tiny_card(kernel, **changes), tiny_onnx.tiny(kernel))
    with pytest.raises(ReadError, match=says):
        load_model(tmp_path / "m")


@pytest.mark.parametrize("content", [b"", b"no network", bytes(range(256)) * 40])
def test_a_network_that_is_none(tmp_path, kernel, content):
    write_model_folder(tmp_path / "m", tiny_onnx.tiny_card(kernel), content)
    with pytest.raises(ReadError, match="m: the network cannot be loaded") as caught:
        load_model(tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_other_files_are_seen_wherever_they_hide(kernel):
    outside = tiny_onnx.message((2, 1), (13, tiny_onnx.message((1, "location"), (2, "secret"))))
    constant = tiny_onnx.message((2, "c"), (4, "Constant"), (5, tiny_onnx.message((1, "value"), (5, outside), (20, 4))))
    branch = tiny_onnx.message((1, constant), (2, "then"))
    choice = tiny_onnx.message((2, "d"), (4, "If"), (5, tiny_onnx.message((1, "then_branch"), (6, branch), (20, 5))))
    for hidden in (constant, choice):
        network = tiny_onnx.model([hidden], [], [], [])
        with pytest.raises(ReadError, match="wants to read other files"):
            refuse_outside_files(network, "m")
    refuse_outside_files(tiny_onnx.tiny(kernel), "m")


@given(st.binary(max_size=60))
def test_any_bytes_are_looked_through_or_refused(data):
    with contextlib.suppress(ReadError):
        refuse_outside_files(data, "m")
    nested = b""
    for _ in range(100):
        nested = tiny_onnx.message((1, tiny_onnx.message((5, tiny_onnx.message((6, nested))))))
    with pytest.raises(ReadError, match="no ONNX"):
        refuse_outside_files(tiny_onnx.message((7, nested)), "m")


@pytest.mark.parametrize("place", ["{folder}/secret", "secret", "../secret"])
def test_a_network_cannot_reach_other_files(tmp_path, kernel, monkeypatch, place):
    """Weights may lie in files of their own in ONNX; from a stranger's folder that is a way to read anything."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(kernel.tobytes())
    entry = tiny_onnx.message((1, "location"), (2, place.format(folder=tmp_path)))
    outside = tiny_onnx.message(*((1, n) for n in kernel.shape), (2, 1), (8, "w"), (13, entry), (14, 1))
    path = tmp_path / "m"
    write_model_folder(path, tiny_onnx.tiny_card(kernel), tiny_onnx.tiny(kernel, weights=outside))
    with pytest.raises(ReadError, match="wants to read other files"):
        load_model(path)


def test_engines_that_are_not_there(tmp_path, kernel):
    write_model_folder(tmp_path / "m", tiny_onnx.tiny_card(kernel), tiny_onnx.tiny(kernel))
    with pytest.raises(OptionError, match="did you mean 'cuda'"):
        load_model(tmp_path / "m", engine="cudo")
    assert load_model(tmp_path / "m").engine.startswith("ONNX Runtime")


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed")
def test_openvino_gives_the_same(tmp_path, kernel, model):
    pixels, keep = noise(41, 67), draw_keep(model.card.dropout, 3, 0)
    other = load_model(model.path, engine="openvino")
    assert np.abs(other.maps(pixels, keep, tile=16) - model.maps(pixels, keep)).max() < 1e-4


@pytest.mark.parametrize("memory", [2e8, 1e9])
def test_the_window_of_a_large_image_stays_within(memory):
    card = Card("m", "1", "particles", ("a", "b", "c", "d"), 2, 32, 306, 52.0, ((10, 0.5),))
    assert math.prod(tile_within(card, (8192, 8192), memory)) * 52 * 2 <= memory


class TestNormalise:
    CARD = tiny_onnx.tiny_card(tiny_onnx.weights())

    def test_standardised_over_the_valid_pixels(self):
        pixels = np.array([[0, 2, 4], [6, 250, 250]], np.uint8)
        valid = np.array([[1, 1, 1], [1, 0, 0]], bool)
        sd = math.sqrt(5)  # of 0, 2, 4, 6 about 3
        # What is not valid is far from the others and cut off.
        expected = np.array([[-3, -1, 1], [3, 5 * sd, 5 * sd]]) / sd
        assert np.allclose(normalise(self.CARD, pixels, valid), expected, atol=1e-6)

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
    def test_gain_and_offset_do_not_matter(self, dtype):
        pixels = np.random.default_rng(0).integers(0, 60, (30, 40))
        one, two = (normalise(self.CARD, (a * pixels + b).astype(dtype)) for a, b in ((1, 0), (3, 20)))
        assert np.allclose(one, two, atol=1e-5)
        assert one.dtype == np.float32

    def test_blank_masked_and_outliers(self):
        assert not normalise(self.CARD, np.full((5, 5), 7e4, np.float32)).any()
        assert not normalise(self.CARD, np.ones((5, 5)), np.zeros((5, 5), bool)).any()
        spike = np.zeros((100, 100))
        spike[3, 4] = 1e6
        assert normalise(self.CARD, spike).max() == 5

    def test_unit(self):
        card = tiny_onnx.tiny_card(tiny_onnx.weights(), normalisation={"kind": "unit"})
        assert np.allclose(normalise(card, np.array([[0, 51, 255]], np.uint8)), [[0, 0.2, 1]])
        assert np.allclose(normalise(card, np.array([[0, 65535]], np.uint16)), [[0, 1]])


class TestMasksOfDropout:
    def test_the_same_on_every_machine(self):
        # The first numbers of NumPy's generator of seed 0, as widely printed: .637 .270 .041 .017 .813 .913 .607 .729
        assert draw_keep([(8, 0.5)], 1, 0).tolist() == [[2, 0, 0, 0, 2, 2, 2, 2]]
        assert draw_keep([(1, 0.02), (7, 0.3)], 1, 0)[0].astype(bool).tolist() == [1, 0, 0, 0, 1, 1, 1, 1]

    def test_prefix(self):
        places = [(7, 0.15), (3, 0.5)]
        assert np.array_equal(draw_keep(places, 30, 4)[:11], draw_keep(places, 11, 4))
        assert not np.array_equal(draw_keep(places, 5, 4), draw_keep(places, 5, 5))

    def test_rates_and_values(self):
        keep = draw_keep([(200, 0.15), (100, 0.5), (50, 0.0)], 400, 1)
        assert np.array_equal(np.unique(keep[:, :200]), np.float32([0, 1 / 0.85]))
        assert (keep[:, 300:] == 1).all()
        for part, rate in ((keep[:, :200], 0.15), (keep[:, 200:300], 0.5)):
            n = part.size
            assert abs((part == 0).mean() - rate) < 4 * math.sqrt(rate * (1 - rate) / n)
        # Channels and masks are independent: correlations of +-1/sqrt(n).
        flat = keep[:, :200] - keep[:, :200].mean()
        assert abs(np.corrcoef(flat[:, :-1].ravel(), flat[:, 1:].ravel())[0, 1]) < 4 / math.sqrt(flat.size)
        assert abs(np.corrcoef(flat[:-1].ravel(), flat[1:].ravel())[0, 1]) < 4 / math.sqrt(flat.size)

    def test_none_and_bad(self):
        assert draw_keep([], 3, 0).shape == (3, 0)
        with pytest.raises(OptionError, match="from 0"):
            draw_keep([(3, 0.5)], -1, 0)
        with pytest.raises(OptionError, match="from 0"):
            draw_keep([(3, 0.5)], 1, -7)


@pytest.mark.slow
def test_running_a_model_loads_no_torch(model):
    code = (
        "import sys, numpy as np; from segmetry.segment.engine import load_model; "
        f"load_model({str(model.path)!r}).maps(np.zeros((9, 9), np.float32)); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"


def test_every_error_is_one_of_ours(tmp_path):
    with pytest.raises(SegmetryError):
        load_model(tmp_path / "nowhere")


class TestCut:
    """What no mask touches is computed once."""

    def test_halves_give_what_the_whole_gives(self, model, kernel):
        halves = cut_before(tiny_onnx.tiny(kernel), "keep")
        assert halves is not None
        assert halves.between == ("c",)
        assert kernel.tobytes() in halves.first
        assert kernel.tobytes() not in halves.second
        pixels, keep = noise(20, 20), draw_keep(model.card.dropout, 3, 0)
        by_hand = tiny_onnx.plain_maps(pixels, kernel)
        assert np.allclose(model.maps(pixels, keep), by_hand * keep[:, :, None, None], atol=1e-5)

    def test_a_network_that_masks_at_once_is_not_cut(self):
        nodes = [
            tiny_onnx.node("Unsqueeze", ["keep", "axes"], "k"),
            tiny_onnx.node("Mul", ["image", "k"], "maps"),
        ]
        axes = tiny_onnx.tensor("axes", np.array([2, 3]))
        inputs = [tiny_onnx.value("image", ["b", 1, "h", "w"]), tiny_onnx.value("keep", ["n", 1])]
        assert (
            cut_before(tiny_onnx.model(nodes, [axes], inputs, [tiny_onnx.value("maps", ["b", 1, "h", "w"])]), "keep")
            is None
        )

    def test_a_network_that_cannot_be_cut_runs_whole(self, tmp_path):
        # What goes from one half to the other is a shape, so whole numbers, not what the halves declare.
        nodes = [
            tiny_onnx.node("Shape", ["image"], "sides"),
            tiny_onnx.node("Unsqueeze", ["keep", "axes"], "k"),
            tiny_onnx.node("Expand", ["k", "sides"], "wide"),
            tiny_onnx.node("Mul", ["image", "wide"], "maps"),
        ]
        axes = tiny_onnx.tensor("axes", np.array([2, 3]))
        inputs = [tiny_onnx.value("image", ["b", 1, "h", "w"]), tiny_onnx.value("keep", ["n", 1])]
        onnx = tiny_onnx.model(nodes, [axes], inputs, [tiny_onnx.value("maps", ["b", 1, "h", "w"])])
        card = tiny_onnx.tiny_card(tiny_onnx.weights(n_maps=1), stride=1, multiple=1)
        write_model_folder(tmp_path / "m", card, onnx)
        pixels, keep = noise(6, 7), np.array([[0.5], [2.0]], np.float32)
        samples = load_model(tmp_path / "m").maps(pixels, keep)
        assert np.array_equal(samples[:, 0], pixels * keep[:, :, None])

    def test_the_number_of_masks_changes_no_bit(self, model):
        pixels, keep = noise(20, 20), draw_keep(model.card.dropout, 5, 1)
        for i in range(5):
            assert np.array_equal(model.maps(pixels, keep[i : i + 1]), model.maps(pixels, keep)[i : i + 1])
