"""Images whose labels are classes: phases instead of particles, from the pixels to the pages."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import tifffile

from segmetry.cli import main
from segmetry.io import read_labels
from segmetry.pipeline import analyse
from segmetry.recipe import Recipe
from segmetry.report import report
from segmetry.report.several import as_batch
from segmetry.types import Calibration, Image

HALVES = Recipe.build("threshold", options={"value": (50.0, 150.0), "smoothing": 0.0}, scale="metadata")


def scene(shape=(120, 160)) -> Image:
    """Return a dark ground with three squares of 10 px in grey, and in bright a band of 20 columns and one square."""
    pixels = np.zeros(shape, np.uint8)
    for col in (20, 50, 80):
        pixels[30:40, col : col + 10] = 100
    pixels[:, 110:130] = 200
    pixels[70:80, 40:50] = 200
    return Image(pixels, calibration=Calibration((2.0, 2.0), "nm", 0.0, "user"))


def test_phases_and_the_sizes_of_their_regions_by_hand():
    result = analyse(scene(), HALVES)
    ground, grey, bright = result.phases
    shares = [p.estimates["area_fraction"].value for p in result.phases]
    assert shares == pytest.approx([1 - 2800 / 19200, 300 / 19200, 2500 / 19200], rel=1e-12)
    assert [p.n_regions for p in result.phases] == [2, 3, 2], "the band parts the ground"
    side = 2 * 2 * np.sqrt(100 / np.pi)  # nm, of the disk of 100 px
    assert grey.estimates["d50"].value == pytest.approx(side, rel=1e-9)
    assert "d50" not in ground.estimates
    assert bright.estimates["d50"].n == 1, "the frame cuts the band"
    assert list(result.table["class"]) == ["class 2", "class 1", "class 1", "class 1", "class 2"]
    assert result.table["area"].tolist() == [9600, 400, 400, 400, 400]
    assert (result.objects.labels > 0).sum() == 2800
    assert not result.estimates
    assert not [note for note in result.notes if "WARNING" in note]


def test_a_footer_is_no_phase():
    image = scene((140, 160))
    footer = np.zeros(image.shape, bool)
    footer[120:] = True
    image.pixels[120:] = 255
    whole, alone = analyse(image.replace(ignore=footer), HALVES), analyse(scene(), HALVES)
    for a, b in zip(whole.phases, alone.phases, strict=True):
        assert a.n_regions == b.n_regions
        for name, e in a.estimates.items():
            assert e.value == pytest.approx(b.estimates[name].value, rel=1e-12, nan_ok=True)


def test_a_volume_has_volume_fractions():
    pixels = np.zeros((20, 24, 28), np.uint8)
    pixels[5:15, 5:15, 5:15] = 100
    result = analyse(Image(pixels), HALVES)
    assert result.phases[1].estimates["volume_fraction"].value == pytest.approx(1000 / (20 * 24 * 28), rel=1e-12)
    assert result.phases[2].estimates["volume_fraction"].value == 0
    assert len(result.table) == 1


def test_a_run_leaves_phases_for_each_image_and_for_all(tmp_path, capsys):
    second = scene()
    second.pixels[95:115, 20:40] = 100  # one more grey square, of 20 px
    tifffile.imwrite(tmp_path / "a.tif", scene().pixels)
    tifffile.imwrite(tmp_path / "b.tif", second.pixels)
    options = ("-m", "threshold", "--set", "value=50,150", "--set", "smoothing=0", "--scale", "none", "-j", "1")
    run = ["measure", str(tmp_path / "a.tif"), str(tmp_path / "b.tif"), "-o", str(tmp_path / "out"), *options]
    assert main(run) == 0
    said = capsys.readouterr().out
    assert said.startswith("a: 3 phases: class 0 85 % [")
    assert "particle" not in said
    assert "WARNING" not in said
    whole = pd.read_csv(tmp_path / "out" / "phases.csv")
    assert list(whole["image"]) == ["a"] * 3 + ["b"] * 3
    assert list(whole["class"][:3]) == ["class 0", "class 1", "class 2"]
    assert whole["area_fraction"][1] == pytest.approx(300 / 19200, rel=1e-12)
    summary = json.loads((tmp_path / "out" / "a" / "summary.json").read_text())
    assert summary["phases"][1]["class"] == "class 1"
    assert summary["phases"][1]["mean_chord"]["unit"] == "px"
    assert np.unique(read_labels(tmp_path / "out" / "a" / "labels.tif").values).tolist() == [0, 1, 2]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Phases of 2 images." in page
    assert "phases_over_all.csv" in page
    assert "the differences between 2 images" in page
    assert "all 2 images: 3 phases: class 0 84 % [" in said
    over = pd.read_csv(tmp_path / "out" / "phases_over_all.csv")
    assert over["area_fraction"][1] == pytest.approx((300 + 700) / (2 * 19200), rel=1e-12)
    assert over["n_regions"].tolist() == [4, 7, 4]
    assert over["d50"][1] == pytest.approx(2 * np.sqrt(100 / np.pi), rel=1e-9), "six of seven are as large"
    both = as_batch([analyse(Image(tifffile.imread(tmp_path / f"{name}.tif")), HALVES) for name in "ab"])
    stored = json.loads((tmp_path / "out" / "summary.json").read_text())["phases"]
    assert [p.estimates["mean_chord"].value for p in both.phases] == [p["mean_chord"]["value"] for p in stored]
    (tmp_path / "out" / "a" / "phases.csv").unlink()
    assert main([*run, "--resume"]) == 0
    assert (tmp_path / "out" / "a" / "phases.csv").is_file(), "a result without it is not whole"


def test_the_page_speaks_of_phases(tmp_path):
    text = report(analyse(scene(), HALVES), tmp_path).read_text(encoding="utf-8")
    assert "3 phases" in text
    assert "surface per volume" in text
    assert "particle" not in text[text.index("<main>") : text.index('id="methods"')].lower()


def result(name, calibration, extra=0, shape=(120, 160)):
    """Return the result of a scene with `extra` more grey pixels."""
    image = scene(shape)
    image.pixels[100, :extra] = 100
    return analyse(image.replace(name=name, calibration=calibration), HALVES)


def test_phases_over_all_leave_out_what_cannot_be_compared():
    known = [
        result("a", Calibration((2.0, 2.0), "nm", 0.01, "user")),
        result("b", Calibration((0.004, 0.004), "µm", 0.03, "user"), extra=60),
    ]
    batch = as_batch([*known, result("c", Calibration.unknown(2), extra=100)])
    assert batch.notes == ("1 image without a pixel size is left out of the statistics over all.",)
    grey = batch.phases[1]
    share, chord = grey.estimates["area_fraction"], grey.estimates["mean_chord"]
    # The pixels of b have four times the area, and its scale, which is the less sure, as much weight.
    assert share.value == pytest.approx((300 + 4 * 360) / (5 * 19200), rel=1e-12)
    assert (share.n, chord.unit) == (2, "nm")
    assert chord.contributions["calibration"] > 0
    alone = as_batch(known[:1])
    assert (alone.phases, alone.summary()["phases"]) == ((), [])
