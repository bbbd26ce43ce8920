"""Labels and tables come back as they were written, units and all."""

from __future__ import annotations

import json
import os
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import tifffile

from segmetry.errors import LabelError, ReadError, ShapeMismatchError, WriteError
from segmetry.io import read, read_table, write_coco, write_labels, write_table
from segmetry.types import Calibration, Segmentation
from segmetry.units import METRES

LABELS = np.random.default_rng(3).integers(0, 40, (30, 50)).astype(np.int32)


@pytest.mark.parametrize("unit", METRES)
@pytest.mark.parametrize("spacing", [(0.3, 0.5), (1 / 3, 1 / 3), (123.456, 1e-3)])
def test_labels_come_back_at_the_same_pixel_size(unit, spacing, tmp_path):
    path = tmp_path / "labels.tif"
    write_labels(path, LABELS, Calibration(spacing, unit))
    image = read(path)
    np.testing.assert_array_equal(image.pixels, LABELS)
    assert image.pixels.dtype == np.uint16
    assert (image.calibration.spacing, image.calibration.unit) == (spacing, unit)
    assert image.notes == ()


def test_programs_that_do_not_know_ome_see_the_same_size(tmp_path):
    """The resolution tags, in pixels per centimetre: 0.5 nm is 2e7, 0.25 nm is 4e7."""
    path = tmp_path / "labels.tif"
    write_labels(path, LABELS, Calibration((0.5, 0.25), "nm"))
    with tifffile.TiffFile(path) as tif:
        tags = tif.pages[0].tags
        across, down = tags["XResolution"].value, tags["YResolution"].value
        assert tags["ResolutionUnit"].value == 3
        assert across[0] / across[1] == pytest.approx(4e7, rel=1e-9)
        assert down[0] / down[1] == pytest.approx(2e7, rel=1e-9)
        root = ElementTree.fromstring(tif.ome_metadata)
        pixels = root.find(".//{*}Pixels")
        assert pixels.get("PhysicalSizeXUnit") == "nm"
        assert (pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeY")) == ("0.25", "0.5")
        assert (pixels.get("SizeX"), pixels.get("SizeY"), pixels.get("Type")) == ("50", "30", "uint16")
        assert tif.series[0].axes == "YX"


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\x01b", "µ & <gold> 金".encode()])
def test_names_of_every_kind(name, tmp_path):
    """File names may hold bytes that are no text, and characters that XML and JSON do not like."""
    path = tmp_path / os.fsdecode(name + b".tif")
    write_labels(path, LABELS, Calibration((2.0, 2.0), "nm"))
    image = read(path)
    assert image.calibration.spacing == (2.0, 2.0)
    table = pd.DataFrame({"label": [1], "image": [image.name]})
    table.attrs["units"] = {"label": ""}
    write_table(path.with_suffix(".csv"), table)
    assert read_table(path.with_suffix(".csv"))["label"].tolist() == [1]
    write_coco(path.with_suffix(".json"), LABELS, image_name=path.name)
    json.loads(path.with_suffix(".json").read_text())


def test_uncalibrated_labels_stay_uncalibrated(tmp_path):
    path = tmp_path / "labels.tif"
    write_labels(path, Segmentation(LABELS))
    image = read(path)
    assert not image.calibration.known
    assert image.notes == ()


@pytest.mark.parametrize(("spacing", "axes"), [((2.0, 0.3, 0.5), "ZYX"), ((0.3, 0.5), "TYX")])
def test_stacks_of_labels(spacing, axes, tmp_path):
    path = tmp_path / "labels.tif"
    stack = np.stack([LABELS, LABELS[::-1], LABELS[:, ::-1]])
    write_labels(path, stack, Calibration(spacing, "nm"))
    image = read(path)
    np.testing.assert_array_equal(image.pixels, stack)
    assert (image.axes, image.calibration.spacing) == (axes, spacing)


@pytest.mark.parametrize(("top", "dtype"), [(65535, np.uint16), (65536, np.int32), (2**31 - 1, np.int32)])
def test_labels_are_as_wide_as_they_need(top, dtype, tmp_path):
    path = tmp_path / "labels.tif"
    labels = LABELS.copy()
    labels[0, 0] = top
    write_labels(path, labels)
    assert read(path).pixels.dtype == dtype
    np.testing.assert_array_equal(read(path).pixels, labels)


def test_the_same_labels_are_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_labels(tmp_path / f"{name}.tif", LABELS, Calibration((1, 1), "µm"), name="labels")
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


@pytest.mark.parametrize(
    "bad", [LABELS - 1, LABELS.astype(float), LABELS[0], np.zeros((0, 3), int), LABELS.astype(np.int64) + 2**40]
)
def test_labels_that_are_none(bad, tmp_path):
    with pytest.raises(LabelError):
        write_labels(tmp_path / "a.tif", bad)
    assert list(tmp_path.iterdir()) == []


def test_labels_and_a_calibration_that_do_not_fit(tmp_path):
    with pytest.raises(ShapeMismatchError):
        write_labels(tmp_path / "a.tif", LABELS, Calibration((1, 1, 1), "nm"))


def example():
    table = pd.DataFrame(
        {
            "label": [1, 2, 3],
            "area": [1.5, np.nan, 1e-17],
            "centroid-0": [0.1, 1 / 3, np.inf],
            "touches_edge": [True, False, True],
            "shape": ["rod", "NA", ""],
        }
    )
    table.attrs["units"] = {"label": "", "area": "µm^2", "centroid-0": "px", "touches_edge": "", "shape": ""}
    return table


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("rows", [3, 0])
def test_tables_come_back(suffix, rows, tmp_path):
    table = example().iloc[:rows]
    table.attrs = example().attrs
    before = table.copy()
    path = tmp_path / f"regions{suffix}"
    write_table(path, table)
    pd.testing.assert_frame_equal(table, before)
    back = read_table(path)
    pd.testing.assert_frame_equal(back, table)
    assert back.attrs == table.attrs
    first = path.read_bytes()
    write_table(path, table)
    assert path.read_bytes() == first


def test_csv_has_plain_names_and_a_unit_column(tmp_path):
    path = tmp_path / "regions.csv"
    write_table(path, example())
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "label,area,centroid-0,touches_edge,shape,unit"
    assert lines[1] == "1,1.5,0.1,True,rod,µm"
    said = json.loads((tmp_path / "regions.csv-metadata.json").read_text(encoding="utf-8"))
    assert said["@context"] == "http://www.w3.org/ns/csvw"
    assert said["url"] == "regions.csv"
    columns = {c["titles"]: c for c in said["tableSchema"]["columns"]}
    assert list(columns) == lines[0].split(",")
    assert columns["area"]["schema:unitText"] == "µm^2"
    assert (columns["label"]["datatype"], columns["area"]["datatype"]) == ("integer", "number")
    assert len({c["name"] for c in columns.values()}) == len(columns)


def test_parquet_keeps_units_in_its_schema(tmp_path):
    from pyarrow import parquet

    write_table(tmp_path / "a.parquet", example())
    schema = parquet.read_schema(tmp_path / "a.parquet")
    assert schema.field("area").metadata[b"unit"].decode() == "µm^2"
    assert pd.read_parquet(tmp_path / "a.parquet")["unit"].tolist() == ["µm"] * 3


def test_an_uncalibrated_table_is_in_pixels(tmp_path):
    table = pd.DataFrame({"label": [1], "area": [5.0]})
    table.attrs["units"] = {"label": "", "area": "px^2"}
    write_table(tmp_path / "a.csv", table)
    assert (tmp_path / "a.csv").read_text().splitlines()[1] == "1,5.0,px"


def test_a_unit_column_of_the_table_is_kept(tmp_path):
    table = pd.DataFrame({"image": ["a", "b"], "area": [5.0, 6.0], "unit": ["nm", "px"]})
    write_table(tmp_path / "a.csv", table)
    assert read_table(tmp_path / "a.csv")["unit"].tolist() == ["nm", "px"]


def test_tables_that_cannot_be_written_or_read(tmp_path):
    with pytest.raises(WriteError, match=r"\.csv or \.parquet"):
        write_table(tmp_path / "a.xlsx", example())
    with pytest.raises(ReadError, match="no such file"):
        read_table(tmp_path / "a.csv")
    (tmp_path / "a.parquet").write_bytes(b"nonsense")
    with pytest.raises(ReadError, match="not a table"):
        read_table(tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text("x,y\n1,2\n")
    assert read_table(tmp_path / "b.csv").attrs == {}
