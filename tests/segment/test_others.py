"""Methods that another library computes, against stand-ins with its signatures: its weights cannot be had here."""

from __future__ import annotations

import hashlib
import inspect
import json
import subprocess
import sys
import types

import cv2
import numpy as np
import pytest

from segmetry import Image
from segmetry.errors import ImageError, OptionError, ReadError
from segmetry.segment import segment
from segmetry.segment.others import TILE, Answer, Cellpose, Stardist, _cellpose, _stardist

CALLS: list[dict] = []
"""What the stand-ins were asked, in order."""


def blobs(image):
    """Return the parts of an image above the middle of its range, as labels."""
    bright = image > (float(image.min()) + float(image.max())) / 2
    return cv2.connectedComponents(bright.astype(np.uint8), connectivity=4)[1]


class CellposeStandIn:
    """Signatures of Cellpose 4.2, and a threshold for a network."""

    def __init__(self, gpu=False, pretrained_model="cpsam_v2", model_type=None, diam_mean=None, device=None):
        CALLS.append({"gpu": gpu, "pretrained_model": pretrained_model})
        if pretrained_model == "cpsam":
            raise OSError("<urlopen error [Errno -3] Temporary failure in name resolution>\nsecond line")
        self.pretrained_model = pretrained_model

    def eval(
        self, x, batch_size=8, diameter=None, flow_threshold=0.4, cellprob_threshold=0.0, min_size=15, normalize=True
    ):
        CALLS.append({"x": x.copy(), "diameter": diameter, "flow_threshold": flow_threshold, "min_size": min_size})
        CALLS[-1]["cellprob_threshold"] = cellprob_threshold
        print("noise of the library")
        labels = blobs(x)
        logit = np.where(labels == 1, np.log(3), np.where(labels > 1, np.log(9), -4)).astype(np.float32)
        x[:] = -1  # a library that writes to what it was given
        return labels.astype(np.uint16).squeeze(), [None, None, logit.squeeze()], np.zeros(256)


class StardistStandIn:
    """Signatures of StarDist 0.9, and a threshold for a network; its second polygon lies under the third."""

    channels = 1

    def __init__(self, config, name=None, basedir="."):
        CALLS.append({"config": config, "name": name, "basedir": basedir})
        self.config = types.SimpleNamespace(n_channel_in=self.channels)

    @classmethod
    def from_pretrained(cls, name_or_alias=None):
        print("Found model")
        if name_or_alias == "2D_demo":
            raise Exception("URL fetch failure on https://example.org: None -- unreachable")
        return cls(None, name_or_alias, None) if name_or_alias == "2D_versatile_fluo" else None

    def predict_instances(
        self, img, axes=None, prob_thresh=None, nms_thresh=None, n_tiles=None, show_tile_progress=True
    ):
        CALLS.append({"img": img, "axes": axes, "prob_thresh": prob_thresh, "nms_thresh": nms_thresh})
        CALLS[-1] |= {"n_tiles": n_tiles, "show_tile_progress": show_tile_progress}
        labels = blobs(img if axes == "YX" else img[..., 0])
        labels[labels > 1] += 1
        n = int(labels.max()) + 1  # one more polygon, hidden too, at the end
        return labels.astype(np.int32), {"prob": np.linspace(0.9, 0.5, n), "points": None, "coord": None}


def modules(monkeypatch, **parts):
    """Put modules where Python looks for them."""
    _cellpose.cache_clear()
    _stardist.cache_clear()
    CALLS.clear()
    for name, module in parts.items():
        monkeypatch.setitem(sys.modules, name.replace("__", "."), module)


@pytest.fixture
def cellpose(monkeypatch):
    top, models = types.ModuleType("cellpose"), types.ModuleType("cellpose.models")
    top.version, top.models = "4.2.1", models
    models.CellposeModel, models.MODEL_NAMES, models.get_user_models = CellposeStandIn, ["cpsam"], lambda: ["mine"]
    modules(monkeypatch, cellpose=top, cellpose__models=models)
    yield top
    _cellpose.cache_clear()


@pytest.fixture
def stardist(monkeypatch):
    top, models = types.ModuleType("stardist"), types.ModuleType("stardist.models")
    top.__version__, top.models, models.StarDist2D = "0.9.2", models, StardistStandIn
    modules(monkeypatch, stardist=top, stardist__models=models)
    yield top
    _stardist.cache_clear()


@pytest.fixture
def weights(tmp_path):
    file = tmp_path / "own weights"
    file.write_bytes(b"weights")
    return file


def scene():
    """Return three bright squares of 25, 36 and 16 px on a dark ground, and their labels."""
    image = np.full((30, 40), 10, np.uint8)
    labels = np.zeros(image.shape, np.int32)
    for k, (row, col, side) in enumerate(((2, 3, 5), (8, 20, 6), (14, 30, 4)), start=1):
        image[row : row + side, col : col + side] = 200
        labels[row : row + side, col : col + side] = k
    return image, labels


class TestCellpose:
    def test_labels_scores_probability_and_record(self, cellpose, weights):
        image, truth = scene()
        found = segment(image, Cellpose(model=str(weights)))
        np.testing.assert_array_equal(found.labels, truth)
        assert found.labels.dtype == np.int32
        # A logit of log 3 is a probability of 3/4, log 9 of 9/10.
        np.testing.assert_allclose(found.scores, [0.75, 0.9, 0.9], rtol=1e-6)
        assert found.probability[truth == 1] == pytest.approx(0.75, rel=1e-6)
        assert found.probability[truth == 0] == pytest.approx(1 / (1 + np.exp(4)), rel=1e-5)
        assert found.info["library"] == "cellpose 4.2.1"
        assert found.info["model"] == {"name": str(weights), "sha256": hashlib.sha256(b"weights").hexdigest()}
        assert "BSD" in found.info["licence"]
        assert found.info["n_before"] == 3
        json.dumps(dict(found.info))
        assert any("not calibrated" in note for note in found.notes)

    def test_the_options_arrive(self, cellpose, weights):
        chosen = {"diameter": "25", "flow_threshold": 0.7, "cellprob_threshold": -2, "min_size": 9}
        segment(scene()[0], Cellpose.from_options({"model": str(weights)} | chosen))
        assert CALLS[0] == {"gpu": True, "pretrained_model": str(weights)}
        asked = {k: v for k, v in CALLS[1].items() if k != "x"}
        assert asked == {"diameter": 25.0, "flow_threshold": 0.7, "cellprob_threshold": -2.0, "min_size": 9}
        assert CALLS[1]["x"].dtype == np.float32
        np.testing.assert_array_equal(CALLS[1]["x"], scene()[0])

    def test_the_image_stays_and_the_network_is_kept(self, cellpose, weights):
        image, truth = scene()
        before = image.astype(np.float32)
        given = before.copy()
        for _ in range(2):
            np.testing.assert_array_equal(segment(given, Cellpose(model=str(weights))).labels, truth)
        np.testing.assert_array_equal(given, before)
        assert sum("gpu" in call for call in CALLS) == 1

    def test_a_name_that_cellpose_knows(self, cellpose):
        assert segment(scene()[0], Cellpose(model="mine")).info["model"] == {"name": "mine", "sha256": ""}

    def test_an_unknown_name_is_no_silent_default(self, cellpose):
        with pytest.raises(OptionError, match=r"did you mean 'mine'.*Known: cpsam, mine"):
            segment(scene()[0], Cellpose(model="mined"))
        assert not CALLS

    def test_weights_that_cannot_be_fetched_are_one_line(self, cellpose):
        with pytest.raises(ReadError, match=r"cpsam cannot be loaded .*name resolution.*model=PATH") as error:
            segment(scene()[0], Cellpose())
        assert "\n" not in str(error.value)
        assert "second line" not in str(error.value)

    def test_an_old_cellpose_is_refused(self, cellpose):
        cellpose.version = "3.1.1.2"
        with pytest.raises(OptionError, match=r"3\.1\.1\.2 is too old.*pip install"):
            segment(scene()[0], Cellpose())

    @pytest.mark.parametrize("shape", [(1, 50), (50, 1), (2, 2)])
    def test_sides_that_the_library_squeezes_away(self, cellpose, weights, shape):
        image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
        assert segment(image, Cellpose(model=str(weights), min_size=1)).labels.shape == shape

    def test_what_the_library_raises_is_one_line(self, cellpose, weights, monkeypatch):
        def fail(self, x, **_):
            raise RuntimeError("out of memory\ntraceback")

        monkeypatch.setattr(CellposeStandIn, "eval", fail)
        with pytest.raises(ImageError, match=r"cellpose failed on this image .out of memory.") as error:
            segment(scene()[0], Cellpose(model=str(weights)))
        assert "\n" not in str(error.value)

    def test_labels_of_another_shape_are_refused(self, cellpose, weights, monkeypatch):
        monkeypatch.setattr(Cellpose, "predict", lambda self, network, pixels, valid: Answer(np.zeros((3, 3), int)))
        with pytest.raises(ImageError, match=r"gave labels \(3, 3\) for an image \(30, 40\)"):
            segment(scene()[0], Cellpose(model=str(weights)))


class TestStardist:
    def test_scores_follow_their_particles_past_hidden_polygons(self, stardist):
        image, truth = scene()
        found = segment(image, Stardist())
        np.testing.assert_array_equal(found.labels, truth)
        # Five polygons, from .9 down by .1: the second and the fifth show no pixel.
        np.testing.assert_allclose(found.scores, [0.9, 0.7, 0.6])
        assert found.info["library"] == "stardist 0.9.2"
        assert found.info["n_before"] == 3

    def test_the_options_arrive(self, stardist):
        segment(scene()[0], Stardist.from_options({"prob_thresh": "0.3", "nms_thresh": 0.2}))
        asked = {k: v for k, v in CALLS[1].items() if k != "img"}
        wanted = {"axes": "YX", "prob_thresh": 0.3, "nms_thresh": 0.2, "n_tiles": (1, 1), "show_tile_progress": False}
        assert asked == wanted
        segment(scene()[0], Stardist())
        assert CALLS[-1]["prob_thresh"] is CALLS[-1]["nms_thresh"] is None

    def test_greys_are_scaled_between_two_percentiles_of_the_specimen(self, stardist):
        ramp = np.arange(1001, dtype=np.float32).reshape(7, 143)
        ignore = np.zeros((9, 143), bool)
        ignore[7:] = True
        segment(Image(np.vstack([ramp, np.full((2, 143), 1e5, np.float32)]), ignore=ignore), Stardist())
        np.testing.assert_allclose(CALLS[1]["img"], (ramp - 10) / 988, atol=1e-6)
        segment(ramp, Stardist(invert=True))
        np.testing.assert_allclose(CALLS[-1]["img"], 1 - (ramp - 10) / 988, atol=1e-6)

    def test_a_folder_of_ones_own(self, stardist, tmp_path):
        folder = tmp_path / "models" / "mine"
        folder.mkdir(parents=True)
        with pytest.raises(ReadError, match="holds no weights"):
            segment(scene()[0], Stardist(model=str(folder)))
        (folder / "weights_best.h5").write_bytes(b"w")
        (folder / "config.json").write_bytes(b"c")
        found = segment(scene()[0], Stardist(model=str(folder)))
        assert CALLS[0] == {"config": None, "name": "mine", "basedir": str(tmp_path / "models")}
        assert found.info["model"]["sha256"] == hashlib.sha256(b"cw").hexdigest()

    def test_a_network_for_colour_gets_the_grey_three_times(self, stardist, monkeypatch):
        monkeypatch.setattr(StardistStandIn, "channels", 3)
        found = segment(scene()[0], Stardist())
        assert found.n_regions == 3
        assert CALLS[1]["axes"] == "YXC"
        assert CALLS[1]["n_tiles"] == (1, 1, 1)
        assert (CALLS[1]["img"] == CALLS[1]["img"][..., :1]).all()
        assert CALLS[1]["img"].shape == (30, 40, 3)

    def test_a_network_for_two_channels_is_refused(self, stardist, monkeypatch):
        monkeypatch.setattr(StardistStandIn, "channels", 2)
        with pytest.raises(OptionError, match="wants 2 channels"):
            segment(scene()[0], Stardist())

    def test_large_images_go_in_tiles(self, stardist):
        image = np.zeros((20, 2 * TILE + 1), np.uint8)
        image[5:10, 5:10] = 1
        segment(image, Stardist())
        assert CALLS[1]["n_tiles"] == (1, 3)

    def test_unknown_and_unreachable_weights(self, stardist):
        with pytest.raises(OptionError, match="did you mean '2D_versatile_fluo'"):
            segment(scene()[0], Stardist(model="2D_versatil_fluo"))
        with pytest.raises(ReadError, match=r"2D_demo cannot be loaded .URL fetch failure"):
            segment(scene()[0], Stardist(model="2D_demo"))


@pytest.fixture(params=["cellpose", "stardist"])
def method(request, weights):
    request.getfixturevalue(request.param)
    return Cellpose(model=str(weights)) if request.param == "cellpose" else Stardist()


class TestBoth:
    def test_nothing_is_printed(self, method, capsys):
        segment(scene()[0], method)
        assert capsys.readouterr().out == ""

    def test_the_footer_is_cut_and_text_is_filled_before_the_library_sees_it(self, method):
        image, truth = scene()
        ignore = np.zeros(image.shape, bool)
        ignore[20:] = True  # a footer
        ignore[15:17, 5:12] = True  # text
        image[ignore] = 255
        ignore[8:10, 20:26] = True  # a bar across the second square: two rows of six of its pixels
        found = segment(Image(image, ignore=ignore), method)
        seen = CALLS[-1].get("x", CALLS[-1].get("img"))
        assert seen.shape == (20, 40)
        outside = seen[15:17, 5:12]
        assert np.ptp(outside) <= 0.2 * np.ptp(seen)
        assert (outside < seen.min() + 0.2 * np.ptp(seen)).all()
        np.testing.assert_array_equal(found.labels, np.where(ignore, 0, truth))
        if found.probability is not None:
            assert not found.probability[ignore].any()

    def test_what_is_left_of_a_particle_has_to_be_large_enough(self, method):
        image, truth = scene()
        ignore = np.zeros(image.shape, bool)
        ignore[:5, :10] = True  # all but two rows of the first square: 10 px stay, fewer than 15
        found = segment(Image(image, ignore=ignore), method)
        assert found.n_regions == 2
        np.testing.assert_array_equal(found.labels > 0, truth > 1)
        whole = segment(image, method)
        np.testing.assert_allclose(found.scores, whole.scores[1:])

    def test_the_record_goes_to_json_and_back(self, method):
        data = json.loads(json.dumps(method.as_dict()))
        name = data.pop("method")
        assert name == method.name
        assert type(method).from_options(data) == method

    def test_volumes_are_refused(self, method):
        with pytest.raises(ImageError, match="takes 2D"):
            segment(np.random.default_rng(0).random((4, 5, 6)), method)


@pytest.mark.parametrize("method", [Cellpose, Stardist])
def test_a_missing_library_is_one_line_that_says_how_to_install_it(monkeypatch, method):
    modules(monkeypatch, **{method.library: None})
    with pytest.raises(OptionError, match=f"needs the library {method.library}.*pip install") as error:
        segment(scene()[0], method())
    assert "\n" not in str(error.value)


def test_a_library_without_its_own_needs_says_so(monkeypatch, stardist):
    class Finder:
        """Raise, on import of its models, what StarDist raises without TensorFlow."""

        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "stardist.models":
                raise RuntimeError("Please install TensorFlow: https://example.org")

    monkeypatch.delitem(sys.modules, "stardist.models")
    monkeypatch.setattr(stardist, "__path__", [], raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    with pytest.raises(OptionError, match=r"Please install TensorFlow.*pip install stardist tensorflow"):
        segment(scene()[0], Stardist())


@pytest.mark.slow
def test_the_libraries_are_not_imported_before_they_run():
    code = (
        "import sys, segmetry.segment.others; print([m for m in ('torch', 'cellpose', 'stardist') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_stand_in_takes_what_cellpose_takes():
    models = pytest.importorskip("cellpose.models", reason="cellpose is not installed")
    for name in ("__init__", "eval"):
        ours, theirs = (
            set(inspect.signature(getattr(c, name)).parameters) for c in (CellposeStandIn, models.CellposeModel)
        )
        assert ours <= theirs


def test_the_stand_in_takes_what_stardist_takes():
    models = pytest.importorskip("stardist.models", reason="stardist is not installed")
    for name in ("__init__", "from_pretrained", "predict_instances"):
        ours, theirs = (
            set(inspect.signature(getattr(c, name)).parameters) for c in (StardistStandIn, models.StarDist2D)
        )
        assert ours <= theirs
