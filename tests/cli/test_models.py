"""`segmetry model`: what a model is, whether it works here, and the same for other programs."""

import json

import numpy as np
import pytest
import tiny_onnx

from segmetry.io.model_folder import read_card, write_model_folder

CALIBRATED = {
    "classes": ("rock", "crack"),
    "maps": ("crack",),
    "normalisation": {"kind": "measured", "mean": [90.0], "sd": [30.0]},
    "post": {"temperature": 1.6, "calibrated_on": {"images": 4, "groups": 2}},
    "pixel_size_range": (0.5, 80),
    "training": {
        "images": 16,
        "groups": 8,
        "held_out": 4,
        "data_sha256": "ab" * 32,
        "seconds": 600,
        "machine": "2 cores",
    },
    "scores": {"on": "4 images", "semantic_pooled.mean_iou": [0.71, 0.62, 0.78], "ece": 0.02, "pq": [0.5, None, None]},
    "citations": ("Somebody (2020), 10.1000/xyz.123",),
}


@pytest.fixture
def model(tmp_path):
    kernel = tiny_onnx.weights(3, 1)
    card = tiny_onnx.tiny_card(kernel, stride=1, **CALIBRATED)
    write_model_folder(tmp_path / "m", card, tiny_onnx.tiny(kernel, stride=1))
    return tmp_path / "m"


def test_info_says_what_a_scientist_asks(cli, model):
    ran = cli("model", "info", model)
    assert ran.code == 0
    said = " ".join(ran.out.split())
    for text in (
        "classes: one score per class and pixel",
        "rock, crack",
        "1 channel, 2D; sides are padded to multiples of 4 px",
        "over the standard deviation of the training images: 90 and 30",
        "1 px around each value",
        "1 place, rate 0.5",
        "0.5 to 80 nm",
        "maps are divided by 1.6, fitted on 4 images, 2 groups",
        "16 images, 8 groups; 4 images held out; data abababababab",
        "10 min, 2 cores",
        "semantic_pooled.mean_iou 0.710 [0.620, 0.780]",
        "pq 0.500, without an interval: too few groups",
        "MIT",
        "10.1000/xyz.123",
        "0.0 MB",
    ):
        assert text in said
    data = json.loads(cli("model", "info", model, "--json").out)
    assert data["bytes"] == (model / "model.onnx").stat().st_size
    assert data["receptive_radius"] == 1
    assert data["scores"]["ece"] == 0.02


def test_info_of_the_model_that_comes_along(cli):
    ran = cli("model", "info", "particles")
    assert ran.code == 0
    assert "particles" in ran.out
    assert "promises at most" in ran.out


def test_check_and_export(cli, model, tmp_path):
    ran = cli("model", "check", model)
    assert ran.code == 0
    assert "tiny 1.0: whole, SHA-256" in ran.out
    assert "ONNX Runtime" in ran.out
    assert "s per megapixel" in ran.out
    data = json.loads(cli("model", "check", model, "--json").out)
    assert data["sha256"] == read_card(model).sha256
    assert data["engines"][0]["engine_difference"] == 0
    ran = cli("model", "export", model, "-o", tmp_path / "out")
    assert ran.code == 0
    assert (tmp_path / "out/rdf.yaml").is_file()
    assert cli("model", "check", tmp_path / "out").code == 0


@pytest.mark.parametrize("command", ["info", "check", "export"])
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda m: (m / "model.onnx").write_bytes(b"no"), "is damaged"),
        (lambda m: (m / "card.json").write_text("{"), "is damaged, no JSON"),
        (lambda m: (m / "model.onnx").unlink(), "is missing"),
        (lambda m: (m / "model.onnx").rename(m.parent / "m2"), "is missing"),
    ],
)
def test_a_damaged_model_is_one_line(cli, model, tmp_path, command, damage, says):
    damage(model)
    ran = cli("model", command, model, *(["-o", tmp_path / "out"] if command == "export" else []))
    assert ran.code == 2
    assert len(ran.err.strip().splitlines()) == 1
    assert says in ran.err
    assert not (tmp_path / "out").exists()


def test_a_model_that_does_not_work_is_one_line(cli, tmp_path):
    kernel = np.full((2, 1, 3, 3), np.inf, np.float32)
    write_model_folder(tmp_path / "m", tiny_onnx.tiny_card(kernel), tiny_onnx.tiny(kernel))
    ran = cli("model", "check", tmp_path / "m")
    assert ran.code == 2
    assert ran.out == ""
    assert len(ran.err.strip().splitlines()) == 1
    assert "not finite" in ran.err


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"training": {"images": 3, "seconds": "long"}}, "entries that segmetry did not write"),
        ({"scores": {"iou": []}}, "entries that segmetry did not write"),
        ({"post": {"temperature": "hot"}}, "post temperature must be a positive number, got 'hot'"),
        ({"stride": 2}, "stride must be 1 for classes, got 2"),
    ],
)
def test_a_card_with_strange_entries_is_one_line(cli, model, entry, says):
    data = json.loads((model / "card.json").read_text(encoding="utf-8")) | entry
    (model / "card.json").write_text(json.dumps(data), encoding="utf-8")
    ran = cli("model", "info", model)
    assert ran.code == 2
    assert len(ran.err.strip().splitlines()) == 1
    assert says in ran.err


def test_a_misspelled_name(cli):
    ran = cli("model", "info", "particels")
    assert ran.code == 2
    assert "did you mean 'particles'" in ran.err
