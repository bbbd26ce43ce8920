"""The pixel size of every instrument's files, with its unit and the place it came from; unknown where it is unknown."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from io_files import FEI, GREY8, GREY16, HITACHI, JEOL, STACK16, TESCAN, ZEISS, raw_tiff, tiff, tiff_with_text
from PIL import Image as Pillow

from segmetry.io import read

X, Y, UNIT, DESCRIPTION, INCH, CM, NONE = 282, 283, 296, 270, 2, 3, 1


def imagej(path, text, across, down=None, unit=NONE, order="<"):
    """An ImageJ TIFF byte by byte: pixels per unit as rationals, the unit in the description."""
    tags = {DESCRIPTION: (2, f"ImageJ=1.54f\n{text}"), X: (5, across), Y: (5, down or across), UNIT: (3, unit)}
    return raw_tiff(path, tags, order=order)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("text", "across", "length", "unit"),
    [
        ("unit=nm\n", (20, 1), 0.05, "nm"),
        ("unit=nm\n", (20000000, 1000000), 0.05, "nm"),  # as ImageJ scales its rationals
        ("unit=micron\n", (4, 1), 0.25, "µm"),
        ("unit=um\n", (4, 1), 0.25, "µm"),
        ("unit=\\u00B5m\n", (4, 1), 0.25, "µm"),  # as ImageJ escapes the micro sign
        ("unit=\xb5m\n", (4, 1), 0.25, "µm"),
        ("unit=mm\nmin=0.0\n", (8, 1), 0.125, "mm"),
        ("unit=pm\n", (1, 5), 5.0, "pm"),
        ("unit=cm\n", (80000, 1), 1.25e-5, "cm"),
    ],
)
def test_imagej_units(text, across, length, unit, order, tmp_path):
    calibration = read(imagej(tmp_path / "a.tif", text, across, order=order)).calibration
    assert calibration.spacing == pytest.approx((length, length), rel=1e-12)
    assert (calibration.unit, calibration.source) == (unit, "metadata")
    assert calibration.detail == "ImageJ unit and XResolution"


@pytest.mark.parametrize("text", ["", "unit=pixel\n", "unit=pixels\n", "min=0\n"])
def test_imagej_in_pixels_is_unknown(text, tmp_path):
    image = read(imagej(tmp_path / "a.tif", text, (20, 1)))
    assert not image.calibration.known
    assert image.notes == ()


@pytest.mark.parametrize(("unit", "across"), [("inch", 72), ("inch", 300), ("cm", 118), ("inch", 1200)])
def test_imagej_with_the_resolution_of_a_screen_is_unknown(unit, across, tmp_path):
    """ImageJ takes over the 72 dpi of a file it opened, and saves them as a calibration."""
    image = read(imagej(tmp_path / "a.tif", f"unit={unit}\n", (across, 1)))
    assert not image.calibration.known
    assert f"{across} pixels per {unit}" in image.notes[0]


def test_imagej_with_a_unit_that_is_no_length(tmp_path):
    image = read(imagej(tmp_path / "a.tif", "unit=1/nm\n", (20, 1)))
    assert not image.calibration.known
    assert "'1/nm'" in image.notes[0]


def test_imagej_pixels_that_are_not_square(tmp_path):
    calibration = read(imagej(tmp_path / "a.tif", "unit=nm\n", (20, 1), (10, 1))).calibration
    assert calibration.spacing == pytest.approx((0.1, 0.05))
    calibration = read(imagej(tmp_path / "a.tif", "unit=nm\nyunit=um\n", (20, 1), (1000, 1))).calibration
    assert calibration.spacing == pytest.approx((1.0, 0.05))


@pytest.mark.parametrize("across", [(0, 1), (1, 0), (0, 0)])
def test_imagej_without_a_usable_resolution(across, tmp_path):
    assert not read(imagej(tmp_path / "a.tif", "unit=nm\n", across)).calibration.known


def test_imagej_volume_with_and_without_spacing(tmp_path):
    options = {"imagej": True, "resolution": (20, 20)}
    path = tiff(tmp_path / "a.tif", STACK16, metadata={"axes": "ZYX", "unit": "nm", "spacing": 0.3}, **options)
    assert read(path).calibration.spacing == pytest.approx((0.3, 0.05, 0.05))
    assert read(path, page=1).calibration.spacing == pytest.approx((0.05, 0.05))
    path = tiff(tmp_path / "b.tif", STACK16, metadata={"axes": "ZYX", "unit": "nm"}, **options)
    image = read(path)
    assert not image.calibration.known
    assert "0.05 nm in the plane" in image.notes[0]
    assert read(path, page=1).calibration.spacing == pytest.approx((0.05, 0.05))
    # ImageJ leaves a spacing of exactly 1 out.
    path = tiff(tmp_path / "c.tif", STACK16, imagej=True, resolution=(1, 1), metadata={"axes": "ZYX", "unit": "nm"})
    assert read(path).calibration.spacing == (1.0, 1.0, 1.0)


def ome(path, pixels=GREY16, **metadata):
    return tiff(path, pixels, ome=True, metadata=metadata)


@pytest.mark.parametrize(
    ("unit", "ours"),
    [("nm", "nm"), ("µm", "µm"), ("Å", "Å"), ("pm", "pm"), ("mm", "mm"), ("in", "inch"), (None, "µm")],
)
def test_ome_units(unit, ours, tmp_path):
    said = {} if unit is None else {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    path = ome(tmp_path / "a.tif", axes="YX", PhysicalSizeX=0.35, PhysicalSizeY=0.7, **said)
    calibration = read(path).calibration
    assert (calibration.spacing, calibration.unit) == ((0.7, 0.35), ours)
    assert calibration.detail == "OME PhysicalSizeX"


def test_ome_volume_with_units_that_differ(tmp_path):
    path = ome(
        tmp_path / "a.tif", STACK16, axes="ZYX", PhysicalSizeX=5, PhysicalSizeXUnit="nm", PhysicalSizeY=5,
        PhysicalSizeYUnit="nm", PhysicalSizeZ=0.02, PhysicalSizeZUnit="µm",
    )  # fmt: skip
    calibration = read(path).calibration
    assert calibration.spacing == pytest.approx((20.0, 5.0, 5.0))
    assert calibration.unit == "nm"


@pytest.mark.parametrize("unit", ["pixel", "reference frame"])
def test_ome_without_a_length_is_unknown(unit, tmp_path):
    path = ome(tmp_path / "a.tif", axes="YX", PhysicalSizeX=0.35, PhysicalSizeXUnit=unit)
    assert not read(path).calibration.known


@pytest.mark.parametrize("length", [0, -1])
def test_ome_with_an_impossible_length(length, tmp_path):
    image = read(ome(tmp_path / "a.tif", axes="YX", PhysicalSizeX=length, PhysicalSizeXUnit="nm"))
    assert not image.calibration.known
    assert "left unknown" in image.notes[0]


def test_ome_with_one_length_is_square(tmp_path):
    image = read(ome(tmp_path / "a.tif", axes="YX", PhysicalSizeX=2.0, PhysicalSizeXUnit="nm"))
    assert image.calibration.spacing == (2.0, 2.0)
    assert "square pixels assumed" in image.notes[0]


@pytest.mark.parametrize("dpi", [72, 96, 150, 300, 600, 1200])
def test_the_resolution_of_a_screen_or_printer_is_no_pixel_size(dpi, tmp_path):
    path = raw_tiff(tmp_path / "a.tif", {X: (5, (dpi, 1)), Y: (5, (dpi, 1)), UNIT: (3, INCH)})
    image = read(path)
    assert not image.calibration.known
    assert f"{dpi} pixels per inch" in image.notes[0]
    path = raw_tiff(tmp_path / "a.tif", {X: (5, (round(dpi / 2.54), 1)), Y: (5, (round(dpi / 2.54), 1)), UNIT: (3, CM)})
    assert not read(path).calibration.known
    for suffix in (".png", ".jpg", ".bmp"):
        path = tmp_path / f"a{suffix}"
        Pillow.fromarray(GREY8).save(path, dpi=(dpi, dpi))
        assert not read(path).calibration.known


def test_a_resolution_that_only_a_microscope_has(tmp_path):
    """0.5 nm is 2e7 pixels per centimetre."""
    path = raw_tiff(tmp_path / "a.tif", {X: (5, (20000000, 1)), Y: (5, (10000000, 1)), UNIT: (3, CM)})
    calibration = read(path).calibration
    assert calibration.spacing == pytest.approx((1.0, 0.5))
    assert (calibration.unit, calibration.detail) == ("nm", "TIFF XResolution")
    path = raw_tiff(tmp_path / "a.tif", {X: (5, (25400000, 1)), Y: (5, (25400000, 1)), UNIT: (3, INCH)})
    assert read(path).calibration.spacing == pytest.approx((1.0, 1.0))


@pytest.mark.parametrize("tag", [34682, 34680])
def test_fei(tag, tmp_path):
    image = read(tiff_with_text(tmp_path / "a.tif", tag, FEI.format(width=28)))
    assert image.calibration.spacing == (2.0345, 2.0345)
    assert image.calibration.unit == "nm"
    assert "PixelWidth" in image.calibration.detail
    assert image.metadata["voltage_V"] == 5000
    assert image.metadata["detector"] == "TLD"
    assert image.metadata["instrument"] == "Helios"


def test_fei_that_was_resized_is_not_believed(tmp_path):
    image = read(tiff_with_text(tmp_path / "a.tif", 34682, FEI.format(width=1536)))
    assert not image.calibration.known
    assert "1536 columns, this one has 28" in image.notes[0]


def test_fei_pixels_that_are_not_square(tmp_path):
    text = "[Scan]\r\nPixelWidth=1e-9\r\nPixelHeight=2e-9\r\n"
    assert read(tiff_with_text(tmp_path / "a.tif", 34682, text)).calibration.spacing == (2.0, 1.0)


@pytest.mark.parametrize("value", ["0", "-1e-9", "nan", "wide", "inf"])
def test_fei_with_an_impossible_length(value, tmp_path):
    image = read(tiff_with_text(tmp_path / "a.tif", 34682, f"[Scan]\r\nPixelWidth={value}\r\nPixelHeight={value}\r\n"))
    assert not image.calibration.known


def test_zeiss_takes_the_pixel_of_the_stored_image(tmp_path):
    """The file also has the pixel of the screen, twice as long."""
    image = read(tiff_with_text(tmp_path / "a.tif", 34118, ZEISS.format(width=28)))
    assert image.calibration.spacing == (0.5582, 0.5582)  # 558.2 pm
    assert image.calibration.unit == "nm"
    assert image.calibration.detail == "TIFF tag CZ_SEM AP_IMAGE_PIXEL_SIZE"
    assert image.metadata["detector"] == "InLens"
    assert image.metadata["voltage"] == "3.0 kV"


@pytest.mark.parametrize(
    ("text", "length", "unit"),
    [("2.791 nm", 2.791, "nm"), ("1.5 µm", 1.5, "µm"), ("1.5 um", 1.5, "µm"), ("930 pm", 0.93, "nm")],
)
def test_zeiss_units(text, length, unit, tmp_path):
    said = f"0\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = {text}\r\n"
    calibration = read(tiff_with_text(tmp_path / "a.tif", 34118, said)).calibration
    assert (calibration.spacing[0], calibration.unit) == (length, unit)


def test_zeiss_with_the_pixel_of_the_screen_only(tmp_path):
    said = "0\r\nAP_PIXEL_SIZE\r\nPixel Size = 1.116 nm\r\n"
    image = read(tiff_with_text(tmp_path / "a.tif", 34118, said))
    assert not image.calibration.known
    assert "1024 wide" in image.notes[0]
    wide = np.tile(GREY8, (1, 40))[:, :1024]
    image = read(tiff_with_text(tmp_path / "b.tif", 34118, said, wide))
    assert (image.calibration.spacing, image.calibration.unit) == ((1.116, 1.116), "nm")


def test_zeiss_that_was_resized_is_not_believed(tmp_path):
    image = read(tiff_with_text(tmp_path / "a.tif", 34118, ZEISS.format(width=1024)))
    assert not image.calibration.known
    assert "1024 columns, this one has 28" in image.notes[0]


def test_digitalmicrograph_tags(tmp_path):
    tags = [
        (65003, 2, None, "nm", True), (65004, 2, None, "nm", True), (65009, 12, 1, 0.25, True),
        (65010, 12, 1, 0.5, True),
    ]  # fmt: skip
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY16, extratags=tags, metadata=None, resolution=(72, 72), resolutionunit="INCH")
    calibration = read(path).calibration
    assert (calibration.spacing, calibration.unit) == ((0.25, 0.5), "nm")


@pytest.mark.parametrize("suffix", [".tif", ".bmp", ".jpg"])
@pytest.mark.parametrize(
    ("marker", "length", "unit"), [("100nm", 100 / 180, "nm"), ("5um", 5 / 180, "µm"), ("5.00\xb5m", 5 / 180, "µm")]
)
def test_jeol_text_beside_the_image(marker, length, unit, suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    Pillow.fromarray(GREY8).save(path)
    (tmp_path / "a.txt").write_bytes(JEOL.format(width=28, marker=marker).encode("latin-1"))
    image = read(path)
    assert image.calibration.spacing == pytest.approx((length, length))
    assert image.calibration.unit == unit
    assert image.calibration.rel_uncertainty == pytest.approx(0.5 / 180 / 3**0.5)  # half a pixel of the bar, uniform
    assert "SM_MICRON_BAR" in image.calibration.detail
    assert image.metadata["voltage_kV"] == "15.00"


def test_jeol_of_another_image_is_not_believed(tmp_path):
    path = tiff(tmp_path / "a.tif", GREY8)
    (tmp_path / "a.TXT").write_text(JEOL.format(width=1280, marker="5um"))
    image = read(path)
    assert not image.calibration.known
    assert "1280 columns" in image.notes[0]


@pytest.mark.parametrize(
    "broken", ["$$SM_MICRON_BAR 0\n$$SM_MICRON_MARKER 5um", "$$SM_MICRON_BAR x\n", "$SM_MICRON_BAR"]
)
def test_a_broken_text_beside_the_image(broken, tmp_path):
    path = tiff(tmp_path / "a.tif", GREY8)
    (tmp_path / "a.txt").write_text(broken)
    assert not read(path).calibration.known


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_hitachi_text_beside_the_image(encoding, tmp_path):
    path = tiff(tmp_path / "a.tif", GREY8)
    (tmp_path / "a.txt").write_bytes(HITACHI.format(width=28).encode(encoding))
    image = read(path)
    assert (image.calibration.spacing, image.calibration.unit) == ((9.921875, 9.921875), "nm")
    assert image.metadata["voltage"] == "15000 Volt"


@pytest.mark.parametrize("name", ["a.hdr", "a-tif.hdr"])
def test_tescan_header_beside_the_image(name, tmp_path):
    path = tiff(tmp_path / "a.tif", GREY8)
    (tmp_path / name).write_text(TESCAN)
    calibration = read(path).calibration
    assert calibration.spacing == pytest.approx((42.0, 41.0))
    assert calibration.unit == "nm"


def test_metadata_inside_goes_before_a_text_beside(tmp_path):
    path = imagej(tmp_path / "a.tif", "unit=nm\n", (20, 1))
    (tmp_path / "a.txt").write_text(JEOL.format(width=28, marker="5um"))
    assert read(path).calibration.spacing == pytest.approx((0.05, 0.05))


def test_other_texts_beside_the_image_do_not_matter(tmp_path):
    path = tiff(tmp_path / "a.tif", GREY8)
    (tmp_path / "a.txt").write_text("my notes: 5 nm per pixel")
    assert not read(path).calibration.known
