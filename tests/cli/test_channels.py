"""Networks of several channels in the commands: channels in one file or in one file each, and what does not fit."""

import shutil

import numpy as np
import pytest
import tifffile
import tiny_onnx
from cli_images import read_json, write_png

from segmetry.cli import main
from segmetry.io.model_folder import write_model_folder

NAMES = ("air", "grain", "rim")
MEAN, SD = np.array([100.0, 40.0]).reshape(2, 1, 1), 20.0
QUIET = ("--scale", "metadata", "--jobs", "1")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folder with a model of two channels, images both ways, and the labels that they have by hand."""
    folder = tmp_path_factory.mktemp("channels")
    kernel = tiny_onnx.weights(size=3, n_maps=3, channels=2)
    how = {"kind": "measured", "mean": MEAN.ravel().tolist(), "sd": [SD, SD]}
    card = tiny_onnx.tiny_card(kernel, stride=1, normalisation=how, classes=NAMES)
    write_model_folder(folder / "model", card, tiny_onnx.tiny(kernel, stride=1))
    channels = np.random.default_rng(2).normal(MEAN, SD, (2, 40, 52)).round().astype(np.int16)
    tifffile.imwrite(folder / "both.tif", channels, ome=True, metadata={"axes": "CYX"})
    for k, channel in enumerate(channels):
        np.save(folder / f"apart_000{k}.npy", channel)
    return folder, tiny_onnx.plain_maps((channels - MEAN) / SD, kernel, stride=1).argmax(axis=0)


def run(place, *words):
    return main([words[0], *map(str, words[1:]), "-m", str(place / "model"), *QUIET])


def test_both_ways_give_the_classes_by_hand(place, tmp_path, capsys):
    folder, labels = place
    files = [folder / name for name in ("both.tif", "apart_0000.npy", "apart_0001.npy")]
    assert run(folder, "segment", *files, "-o", tmp_path) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["apart.tif", "both.tif"]
    for name in ("apart", "both"):
        np.testing.assert_array_equal(tifffile.imread(tmp_path / f"{name}.tif"), labels)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_phases_of_several_channels(place, tmp_path, capsys):
    folder, labels = place
    shutil.copy(folder / "apart_0000.npy", tmp_path)
    shutil.copy(folder / "apart_0001.npy", tmp_path)
    words = ("measure", tmp_path, "-o", tmp_path / "out")
    assert run(folder, *words) == 0
    summary = read_json(tmp_path / "out" / "apart" / "summary.json")
    shares = [phase["area_fraction"]["value"] for phase in summary["phases"]]
    np.testing.assert_allclose(shares, np.bincount(labels.ravel(), minlength=3) / labels.size)
    assert "it has 2 channels: measured and shown is the first" in summary["notes"]
    assert summary["segmentation"]["model"]["name"] == "tiny"
    before = (tmp_path / "out" / "apart" / "summary.json").stat().st_mtime_ns
    assert run(folder, *words, "--resume") == 0
    assert (tmp_path / "out" / "apart" / "summary.json").stat().st_mtime_ns == before
    np.save(tmp_path / "apart_0001.npy", np.load(tmp_path / "apart_0000.npy"))
    assert run(folder, *words, "--resume") == 0
    assert (tmp_path / "out" / "apart" / "summary.json").stat().st_mtime_ns > before, "its second channel is another"


def test_channels_that_do_not_match_are_said_in_one_line(place, tmp_path, capsys):
    folder, labels = place
    write_png(tmp_path / "grey.png", labels.astype(np.uint8))
    assert run(folder, "segment", tmp_path / "grey.png", "-o", tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "grey.png" in line
    assert "was trained on 2 channels, the image has 1; give them all" in line
    assert run(folder, "segment", folder / "both.tif", "-o", tmp_path / "out", "--page", "0") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "page=0 is one channel, but network looks at 2; leave page out" in line
    np.save(tmp_path / "odd_0000.npy", np.zeros((4, 5)))
    np.save(tmp_path / "odd_0001.npy", np.zeros((5, 4)))
    odd = [tmp_path / f"odd_000{k}.npy" for k in (0, 1)]
    assert run(folder, "segment", *odd, "-o", tmp_path / "out") == 2
    assert "odd_0001.npy: this channel is 5 x 4, that of" in capsys.readouterr().err
