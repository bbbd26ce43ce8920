"""The Python names do what the commands do."""

import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from cli_images import PIXEL_NM, THREE, column, disks, isolated_circles, read_json, read_rows, three_disks, write_tiff

import segmetry
from segmetry.errors import OptionError, ReadError


@pytest.fixture
def path(tmp_path):
    """A micrograph of 30 disks, 0.5 nm per pixel."""
    circles = isolated_circles((300, 400), 30, median=22, gsd=1.2, seed=4)
    return write_tiff(tmp_path / "micrograph.tif", disks((300, 400), *circles))


def test_the_example_of_the_readme(path, monkeypatch, capsys):
    """The code in the README runs as it stands."""
    from pathlib import Path

    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    blocks = [b for b in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "segmetry." in b]
    assert blocks, "the README shows the Python way"
    monkeypatch.chdir(path.parent)
    for block in blocks:
        exec(block, {})
    assert "d50" in capsys.readouterr().out


def test_step_by_step_is_what_the_command_does(path, cli, tmp_path):
    image = segmetry.read(path)
    assert image.calibration.unit == "nm"
    assert image.calibration.pixel_size == pytest.approx(PIXEL_NM, rel=1e-6)
    segmentation = segmetry.segment(image, "otsu", options={"min_size": 50})
    table = segmetry.measure(segmentation, image)
    d50 = segmetry.distribution(table).estimates["d50"]
    assert (
        cli("measure", path, "-o", tmp_path / "out", "-m", "otsu", "--set", "min_size=50", "--scale", "metadata").code
        == 0
    )
    rows = read_rows(tmp_path / "out/micrograph/regions.csv")
    assert len(rows) == len(table) == 30
    for name in ("area", "equivalent_diameter", "perimeter", "feret_max", "intensity_mean"):
        assert column(rows, name) == pytest.approx(table[name].to_numpy(), rel=1e-12), name
    summary = read_json(tmp_path / "out/micrograph/summary.json")
    for end in ("value", "low", "high"):
        assert summary["d50"][end] == pytest.approx(getattr(d50, end), rel=1e-9)


def test_analyse_is_the_command(path, cli, tmp_path):
    result = segmetry.analyse(path, segmetry.Recipe.build("otsu", options={"level": 0.9}))
    assert cli("measure", path, "-o", tmp_path / "out", "-m", "otsu", "--set", "level=0.9").code == 0
    assert json.loads(json.dumps(result.summary())) == read_json(tmp_path / "out/micrograph/summary.json")


def test_weightings_are_in_their_order(path):
    image = segmetry.read(path)
    table = segmetry.measure(segmetry.segment(image, "otsu"), image)
    number, area, volume = (
        segmetry.distribution(table, weighting=w).estimates["d50"].value for w in ("number", "area", "volume")
    )
    assert number < area < volume
    sizes = table["equivalent_diameter"].to_numpy()
    order = np.argsort(sizes)
    share = np.cumsum(sizes[order] ** 3) / np.sum(sizes**3)
    plain = segmetry.distribution(table, weighting="volume", edge_correction=False).estimates["d50"].value
    gap = np.searchsorted(share, 0.5)
    assert sizes[order][gap - 1] <= plain <= sizes[order][min(gap + 1, 29)]


def test_g_of_r_of_points_thrown_at_random_is_one():
    points = np.random.default_rng(0).uniform(0, 1000, (3000, 2))
    found = segmetry.radial_distribution(points, (1000, 1000), unit="nm", r_max=100, bin_width=10)
    assert found.unit == "nm"
    pairs = 3000 * 3000 / 2 * 2 * math.pi * found.r * 10 / 1e6
    assert np.all(np.abs(found.g - 1) < 5 / np.sqrt(pairs)), "five standard deviations of a count of pairs"
    assert np.all(found.low <= found.g)
    assert np.all(found.g <= found.high)
    assert found.density.value == pytest.approx(3e-3, rel=1e-9)


def test_simulate_has_its_truth():
    scene = segmetry.simulate("haadf-stem", seed=2, n=9, frame_shape=(200, 220), edges="inside")
    again = segmetry.simulate("haadf-stem", seed=2, n=9, frame_shape=(200, 220), edges="inside")
    assert np.array_equal(scene.image.pixels, again.image.pixels)
    assert len(scene.truth) == 9
    table = segmetry.measure(scene.labels, calibration=scene.image.calibration)
    assert sorted(table["area"]) == pytest.approx(sorted(scene.truth["area"]), rel=0.03)


@pytest.mark.slow
def test_report_of_one_and_of_several(path, tmp_path):
    other = write_tiff(tmp_path / "other.tif", three_disks())
    recipe = segmetry.Recipe.build("otsu", scale="metadata")
    one, two = segmetry.analyse(path, recipe), segmetry.analyse(other, recipe)
    page = segmetry.report(one, tmp_path / "one.html")
    assert "micrograph" in page.read_text(encoding="utf-8")
    page = segmetry.report([one, two], tmp_path / "both")
    text = page.read_text(encoding="utf-8")
    assert page.name == "report.html"
    assert "micrograph" in text
    assert "other" in text


def test_an_array_is_enough():
    labels = segmetry.segment(three_disks(), "otsu")
    table = segmetry.measure(labels)
    assert isinstance(table, pd.DataFrame)
    assert sorted(table["equivalent_diameter"]) == pytest.approx(sorted(2 * r for _, _, r in THREE), rel=0.02)
    assert table.attrs["units"]["equivalent_diameter"] == "px"


def test_errors_are_what_python_people_expect(tmp_path):
    with pytest.raises(
        FileNotFoundError if issubclass(ReadError, FileNotFoundError) else OSError, match="no such file"
    ):
        segmetry.read(tmp_path / "none.tif")
    with pytest.raises(ValueError, match="'otsu'"):
        segmetry.segment(three_disks(), "otzu")
    with pytest.raises(OptionError, match="min_size"):
        segmetry.segment(three_disks(), "otsu", options={"min_sise": 3})
    with pytest.raises(TypeError):
        segmetry.segment(three_disks(), "otsu", polarity="dark")
    with pytest.raises(OptionError, match="shapes"):
        segmetry.simulate(shape="sphere")
    with pytest.raises(OptionError, match="number"):
        segmetry.distribution(segmetry.measure(np.eye(3, dtype=int)), weighting="nmber")


def test_nothing_is_written_to_what_comes_in(path):
    image = segmetry.read(path)
    before = image.pixels.copy()
    image.pixels.flags.writeable = False
    segmentation = segmetry.segment(image)
    labels = segmentation.labels.copy()
    segmentation.labels.flags.writeable = False
    table = segmetry.measure(segmentation, image)
    columns = table.copy()
    segmetry.distribution(table)
    assert np.array_equal(image.pixels, before)
    assert np.array_equal(segmentation.labels, labels)
    pd.testing.assert_frame_equal(table, columns)
