"""Maps of doubt: the file beside the labels, the pictures on the page; and outlines of particles that may be false."""

from __future__ import annotations

import base64
import dataclasses
import io
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from segmetry.errors import ShapeMismatchError
from segmetry.io import write_maps
from segmetry.pipeline import write_numbers
from segmetry.report import report
from segmetry.report.doubt_panel import MOST, doubt_panels
from segmetry.report.overlay import DOUBTFUL, DROPPED, layers
from segmetry.types import Calibration


def opened(uri: str) -> np.ndarray:
    return np.asarray(Picture.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))).astype(int)


@pytest.fixture
def doubted(make_result):
    """A result whose doubt rises from left to right; a quarter of it is about the model."""
    result = make_result(20)
    shape = result.segmentation.labels.shape
    total = np.broadcast_to(np.linspace(0, MOST, shape[1], dtype=np.float32), shape).copy()
    scores = np.linspace(0.4, 1, len(result.table))
    segmentation = dataclasses.replace(result.segmentation, uncertainty=total, epistemic=total / 4, scores=scores)
    return dataclasses.replace(result, segmentation=segmentation, table=result.table.assign(score=scores))


def test_maps_come_back_with_names_and_pixel_size(doubted, tmp_path):
    write_numbers(doubted, tmp_path)
    assert doubted.summary()["maps"] == "uncertainty.tif"
    with tifffile.TiffFile(tmp_path / "uncertainty.tif") as tif:
        maps = tif.asarray()
        assert (tif.series[0].axes, maps.dtype) == ("CYX", np.float32)
        pixels = ElementTree.fromstring(tif.ome_metadata).find(".//{*}Pixels")
        assert [c.get("Name") for c in pixels.findall("{*}Channel")] == ["total", "epistemic", "aleatoric"]
        assert (pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit")) == ("0.52", "nm")
    np.testing.assert_array_equal(maps[0], doubted.segmentation.uncertainty)
    np.testing.assert_array_equal(maps[1], doubted.segmentation.epistemic)
    np.testing.assert_allclose(maps[1] + maps[2], maps[0], atol=1e-7)


def test_no_parts_no_file(make_result, tmp_path):
    result = make_result(5)
    write_numbers(result, tmp_path)
    assert result.summary()["maps"] is None
    assert not (tmp_path / "uncertainty.tif").exists()
    assert doubt_panels(result.maps) == []
    assert "Where it is unsure" not in report(result, tmp_path / "page.html").read_text(encoding="utf-8")


def test_maps_of_other_shapes_are_refused(tmp_path):
    with pytest.raises(ShapeMismatchError, match="one shape"):
        write_maps(tmp_path / "a.tif", {"a": np.zeros((3, 4)), "b": np.zeros((4, 3))}, Calibration.unknown())


def test_pictures_grow_lighter_with_the_doubt(doubted):
    for panel, top in zip(doubt_panels(doubted.maps), (0.69, 0.17, 0.69), strict=True):
        light = opened(panel.picture).sum(2).mean(0)
        assert (np.diff(light[::20]) > 0).all(), panel.name
        assert (light[-1] > 600) == (panel.name != "aleatoric"), "its largest is three quarters of a coin's toss"
        assert float(panel.top) == pytest.approx(top, abs=0.005)
        assert (np.diff(opened(panel.bar)[0].sum(1)) >= 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (2000, 3)])
def test_maps_of_any_shape_and_without_doubt(shape):
    for panel in doubt_panels({"total": np.zeros(shape, np.float32), "epistemic": np.zeros(shape, np.float32)}):
        assert opened(panel.picture).max() < 16


def test_the_page_shows_the_maps(doubted, tmp_path):
    text = report(doubted, tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count('class="ramp"') == 3
    assert 'href="#doubt"' in text
    assert f"score below {DOUBTFUL:g}" in text
    assert "Particle or not, from" in text


def test_the_doubt_of_classes_is_about_the_class(doubted, tmp_path):
    classes = dataclasses.replace(doubted.segmentation, kind="semantic", classes=("a", "b", "c"))
    result = dataclasses.replace(doubted, segmentation=classes)
    text = report(result, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Which class, from" in text
    assert "Particle or not" not in text


def test_doubtful_particles_are_dotted():
    labels = np.zeros((1000, 1000), np.int32)
    for k, at in enumerate((100, 400, 700), start=1):
        labels[at : at + 200, 100:300] = k
    made = layers(np.zeros(labels.shape), labels, doubtful=np.array([2, 3]), dropped=np.array([3]), numbers=False)
    share = [(made.drawing[labels == k, 3] > 0).mean() for k in (1, 2, 3)]
    assert share[1] == pytest.approx(share[0] / 3, rel=0.1)
    assert share[2] == pytest.approx(share[0] / 2, rel=0.1), "dashes win"
    colours = {tuple(c) for c in made.drawing[(labels == 2) & (made.drawing[..., 3] > 0)][:, :3]}
    assert len(colours) == 1
    assert colours != {DROPPED}
