"""ROIs, COCO and GeoJSON hold the very pixels of the objects."""

from __future__ import annotations

import json
import uuid
import zipfile

import numpy as np
import pandas as pd
import pytest
import roifile
from shapely.geometry import shape
from skimage.draw import polygon2mask

from segmetry.errors import LabelError
from segmetry.io import write_coco, write_geojson, write_rois
from segmetry.io.coco import run_lengths
from segmetry.types import Segmentation


@pytest.fixture
def labels():
    """A disk (1), a ring with an island (2), two separate bars (3), one pixel (7)."""
    array = np.zeros((60, 80), np.int32)
    row, col = np.mgrid[:60, :80]
    array[(row - 15) ** 2 + (col - 15) ** 2 <= 100] = 1
    distance = np.hypot(row - 30, col - 55)
    array[(distance <= 18) & (distance >= 10) | (distance <= 3)] = 2
    array[50:53, 5:15] = array[55:58, 5:15] = 3
    array[59, 79] = 7
    return array


def ellipse_free_mask(rings, like):
    """Even-odd filling of (x, y) rings along pixel edges; pixel centres lie half a pixel in."""
    mask = np.zeros(like.shape, bool)
    for ring in rings:
        mask ^= polygon2mask(like.shape, np.asarray(ring)[:, ::-1] - 0.5)
    return mask


def test_rois_cover_the_very_pixels(labels, tmp_path):
    path = tmp_path / "a.zip"
    write_rois(path, labels)
    rois = {int(roi.name): roi for roi in roifile.ImagejRoi.fromfile(path)}
    assert sorted(rois) == [1, 2, 3, 7]
    for label, roi in rois.items():
        rings = roi.coordinates(multi=True) if roi.composite else [roi.coordinates()]
        np.testing.assert_array_equal(ellipse_free_mask(rings, labels), labels == label)
        rows, cols = np.nonzero(labels == label)
        assert (roi.top, roi.left) == (rows.min(), cols.min())
        assert (roi.bottom, roi.right) == (rows.max() + 1, cols.max() + 1)
    assert not rois[1].composite
    assert rois[2].composite
    assert rois[3].composite


def test_rois_beyond_sixteen_bits(tmp_path):
    """ImageJ's whole-number corners end at 32767; the others are floats."""
    labels = np.zeros((4, 70000), np.uint8)
    labels[1:3, 69990:69995] = 1
    labels[0, 32766:32767] = 2
    write_rois(tmp_path / "a.zip", labels)
    far, near = roifile.ImagejRoi.fromfile(tmp_path / "a.zip")
    corners = np.concatenate(far.coordinates(multi=True))
    assert (corners.min(axis=0).tolist(), corners.max(axis=0).tolist()) == ([69990, 1], [69995, 3])
    assert near.coordinates().max(axis=0).tolist() == [32767, 1]


def test_rois_of_a_volume_know_their_plane(labels, tmp_path):
    write_rois(tmp_path / "a.zip", np.stack([labels, labels * 0, labels]))
    rois = roifile.ImagejRoi.fromfile(tmp_path / "a.zip")
    assert sorted(r.position for r in rois) == [1] * 4 + [3] * 4
    assert len({r.name for r in rois}) == 8


def test_coco_by_its_own_rules(labels, tmp_path):
    path = tmp_path / "a.json"
    scores = np.linspace(0.1, 0.7, 7)
    write_coco(path, Segmentation(labels, scores=scores), image_name="x.tif", category="gold")
    data = json.loads(path.read_text())
    assert data["images"] == [{"id": 1, "file_name": "x.tif", "width": 80, "height": 60}]
    assert data["categories"][0]["name"] == "gold"
    assert [a["id"] for a in data["annotations"]] == [1, 2, 3, 7]
    for one in data["annotations"]:
        mask = labels == one["id"]
        rows, cols = np.nonzero(mask)
        x, y, width, height = one["bbox"]
        assert (x, y, x + width, y + height) == (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1)
        assert (one["area"], one["iscrowd"], one["image_id"]) == (mask.sum(), 0, 1)
        assert one["score"] == pytest.approx(scores[one["id"] - 1])
        shape_ = one["segmentation"]
        if isinstance(shape_, dict):
            values = np.arange(len(shape_["counts"])) % 2
            assert sum(shape_["counts"]) == 60 * 80
            decoded = np.repeat(values, shape_["counts"]).reshape(shape_["size"], order="F").astype(bool)
        else:
            decoded = ellipse_free_mask([np.reshape(ring, (-1, 2)) for ring in shape_], labels)
        np.testing.assert_array_equal(decoded, mask)
    kinds = {a["id"]: type(a["segmentation"]) for a in data["annotations"]}
    assert kinds == {1: list, 2: dict, 3: list, 7: list}


@pytest.mark.parametrize("position", [0, 3, 5])
def test_run_lengths_of_holes_at_the_border(position, tmp_path):
    labels = np.zeros((6, 8), np.int32)
    labels[:3, position : position + 3] = 1
    labels[1, position + 1] = 0
    labels[5, 0] = 0
    write_coco(tmp_path / "a.json", labels)
    (one,) = json.loads((tmp_path / "a.json").read_text())["annotations"]
    assert one["segmentation"]["counts"] == run_lengths(labels == 1)


def test_geojson_is_valid_and_exact(labels, tmp_path):
    path = tmp_path / "a.geojson"
    table = pd.DataFrame({"label": [1, 2, 3, 7], "area": [3.5, np.nan, 1, 2], "shape": list("abcd")})
    table.attrs["units"] = {"area": "nm^2"}
    write_geojson(path, labels, table=table, category="gold")
    data = json.loads(path.read_text())
    assert data["type"] == "FeatureCollection"
    assert [f["properties"]["name"] for f in data["features"]] == ["1", "2", "3", "7"]
    for feature in data["features"]:
        label = int(feature["properties"]["name"])
        geometry = shape(feature["geometry"])
        assert geometry.is_valid
        assert geometry.area == (labels == label).sum()
        rows, cols = np.nonzero(labels == label)
        assert geometry.bounds == (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1)
        uuid.UUID(feature["id"])
        assert feature["properties"]["classification"]["name"] == "gold"
    measured = [f["properties"]["measurements"] for f in data["features"]]
    assert measured == [{"area [nm^2]": 3.5}, {}, {"area [nm^2]": 1.0}, {"area [nm^2]": 2.0}]


@pytest.mark.parametrize(
    ("write", "name"), [(write_rois, "a.zip"), (write_coco, "a.json"), (write_geojson, "a.geojson")]
)
def test_no_objects_and_the_same_bytes(write, name, labels, tmp_path):
    write(tmp_path / name, np.zeros((4, 4), np.int32))
    if name == "a.zip":
        assert zipfile.ZipFile(tmp_path / name).namelist() == []
    else:
        assert json.loads((tmp_path / name).read_text())
    write(tmp_path / name, labels)
    first = (tmp_path / name).read_bytes()
    write(tmp_path / name, labels)
    assert (tmp_path / name).read_bytes() == first
    with pytest.raises(LabelError):
        write(tmp_path / name, labels.astype(float))


def test_flat_formats_refuse_volumes(labels, tmp_path):
    for write in (write_coco, write_geojson):
        with pytest.raises(LabelError, match="flat images only"):
            write(tmp_path / "a", np.stack([labels, labels]))
