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
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", scene().pixels)
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
    (tmp_path / "out" / "a" / "phases.csv").unlink()
    assert main([*run, "--resume"]) == 0
    assert (tmp_path / "out" / "a" / "phases.csv").is_file(), "a result without it is not whole"


def test_the_page_speaks_of_phases(tmp_path):
    text = report(analyse(scene(), HALVES), tmp_path).read_text(encoding="utf-8")
    assert "3 phases" in text
    assert "surface per volume" in text
    assert "particle" not in text[text.index("<main>") : text.index('id="methods"')].lower()
