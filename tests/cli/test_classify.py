"""`segmetry classify`: a few strokes on one image, classes in all of them, and a model for every command."""

import json

import numpy as np
import pandas as pd
import pytest

from segmetry.io import read_labels, write_image, write_labels
from segmetry.types import Calibration, Image

UM = Calibration((2.0, 2.0), "µm")


def picture(seed, shape=(70, 90)):
    """Return stripes of fine and of coarse noise, which no threshold tells apart, and their classes."""
    rng = np.random.default_rng(seed)
    classes = (np.arange(shape[1]) // 30 % 2)[None].repeat(shape[0], 0).astype(np.int32)
    fine = rng.normal(0, 1, shape)
    coarse = np.repeat(np.repeat(rng.normal(0, 1, (shape[0] // 5, shape[1] // 5)), 5, 0), 5, 1)
    return (100 + 20 * np.where(classes == 1, coarse, fine)).astype(np.float32), classes


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "strokes").mkdir()
    for k in range(2):
        pixels, classes = picture(k)
        write_image(tmp_path / f"images/{k}.tif", Image(pixels, calibration=UM))
        np.save(tmp_path / f"truth-{k}.npy", classes)
    strokes = np.zeros(classes.shape, np.int32)
    for row in (10, 30, 50):
        strokes[row : row + 3, 5:25] = 3
        strokes[row : row + 3, 35:55] = 7
    write_labels(tmp_path / "strokes/0.tif", strokes, UM)
    return tmp_path


@pytest.mark.slow
def test_strokes_on_one_image_tell_the_classes_of_all(cli, folder):
    done = cli("classify", folder / "images", "--scribbles", folder / "strokes", "-o", folder / "out",
               "--classes", "3=fine,7=coarse")  # fmt: skip
    assert done.code == 0
    assert "learned from 360 painted pixels" in done.out
    assert "fine: 180 pixels in 3 strokes, " in done.out
    for k in range(2):
        found = read_labels(folder / f"out/{k}/labels.tif").values
        assert (found == np.load(folder / f"truth-{k}.npy")).mean() > 0.9
    phases = pd.read_csv(folder / "out/1/phases.csv", comment="#")
    assert phases["class"].tolist() == ["fine", "coarse"]
    again = cli("segment", folder / "images/1.tif", "-m", folder / "out/model", "-o", folder / "again")
    assert again.code == 0
    np.testing.assert_array_equal(
        read_labels(folder / "again/1.tif").values, read_labels(folder / "out/1/labels.tif").values
    )


@pytest.mark.slow
def test_another_model_in_the_same_folder_is_not_resumed(cli, folder):
    run = ("classify", folder / "images/0.tif", "--scribbles", folder / "strokes", "-o", folder / "out")
    measure = ("measure", folder / "images/0.tif", "-m", folder / "out/model", "-o", folder / "m", "--resume", "--json")
    assert cli(*run).code == 0
    assert cli(*measure).code == 0
    stamp = (folder / "m/0/summary.json").stat().st_mtime_ns
    assert cli(*measure).code == 0
    assert (folder / "m/0/summary.json").stat().st_mtime_ns == stamp, "done already"
    assert cli(*run, "--set", "seed=5", "--set", "trees=3").code == 0
    assert cli(*measure).code == 0
    assert (folder / "m/0/summary.json").stat().st_mtime_ns != stamp, "another model is another result"


def test_one_image_takes_scribbles_of_any_name(cli, folder):
    (folder / "strokes/0.tif").rename(folder / "my strokes.tif")
    done = cli(
        "classify", folder / "images/0.tif", "--scribbles", folder / "my strokes.tif", "-o", folder / "out", "--json"
    )
    assert done.code == 0
    assert json.loads(done.out)["images"]
    page = (folder / "out/0/report.html").read_text(encoding="utf-8")
    assert "Trained model forest 1." in page
    assert "the classifier was forest 1 (SHA-256" in page.replace("The classifier", "the classifier")
    assert "ONNX" not in page
    for command in ("info", "check"):
        told = cli("model", command, folder / "out/model")
        assert told.code == 0
        assert "forest for pixels of 2D images" in told.out
        assert "3: 180 pixels in 3 strokes" in told.out
    assert cli("model", "export", folder / "out/model", "-o", folder / "e.zip").code == 2
    assert json.loads(cli("model", "info", folder / "out/model", "--json").out)["kind"] == "forest"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--set", "treees=3"), "did you mean 'trees'"),
        (("--classes", "3=fine,9=odd"), "class 9 has a name but no pixel is painted with it"),
        (("--ignore", "3"), ""),
    ],
)
def test_bad_options_are_one_line(cli, folder, options, words):
    done = cli("classify", folder / "images/0.tif", "--scribbles", folder / "strokes", "-o", folder / "out", *options)
    if words:
        assert done.code == 2
        assert words in done.err
        assert len(done.err.strip().splitlines()) == 1
    else:  # 0 is then a class of its own
        assert "0: " in done.out


def test_scribbles_without_an_image_are_named(cli, folder):
    (folder / "strokes/0.tif").rename(folder / "strokes/other.tif")
    done = cli("classify", folder / "images", "--scribbles", folder / "strokes", "-o", folder / "out")
    assert done.code == 2
    assert "no image is called other" in done.err
