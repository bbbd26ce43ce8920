"""Every kind of file comes out of the door as it went in."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from io_files import BITS, COLOUR8, FILES, GREY8, GREY16, STACK16, make, tiff
from PIL import Image as Pillow

from segmetry.io import describe, read
from segmetry.io.read import read_channels
from segmetry.types import Calibration

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("name", FILES)
def test_pixels_come_as_they_were_stored(name, tmp_path):
    expected = FILES[name][2]
    path = make(name, tmp_path)
    image = read(path)
    assert image.source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert image.name == path.stem
    assert image.axes == ("YX" if image.pixels.ndim == 2 else "TYX" if name == "gif" else "ZYX")
    assert image.pixels.dtype.isnative
    if expected is not None:
        assert image.pixels.dtype == expected.dtype
        np.testing.assert_array_equal(image.pixels, expected)


@pytest.mark.parametrize("name", ["png rgb", "bmp rgb", "tiff rgb", "tiff rgb planar"])
def test_colour_becomes_luminance_and_says_so(name, tmp_path):
    image = read(make(name, tmp_path))
    np.testing.assert_allclose(image.pixels, COLOUR8 @ LUMA, atol=0.5 + 1e-4)  # rounded to 8 bits
    assert image.pixels.dtype == np.uint8
    assert any("luminance" in note for note in image.notes)


def test_sixteen_bit_colour_keeps_its_depth(tmp_path):
    colour = np.dstack([GREY16, GREY16[::-1], GREY16[:, ::-1]])
    path = tmp_path / "a.png"
    import cv2

    cv2.imwrite(str(path), colour[..., ::-1])  # OpenCV writes blue first
    np.testing.assert_allclose(read(path).pixels, colour @ LUMA, atol=0.51)


def test_grey_stored_as_rgb_is_grey_without_a_word(tmp_path):
    path = tmp_path / "a.png"
    Pillow.fromarray(np.dstack([GREY8] * 3)).save(path)
    image = read(path)
    np.testing.assert_array_equal(image.pixels, GREY8)
    assert image.notes == ()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_alpha_is_dropped_and_said(suffix, tmp_path):
    alpha = np.full_like(GREY8, 255)
    alpha[0] = 0  # one of twenty rows
    path = tmp_path / f"a{suffix}"
    Pillow.fromarray(np.dstack([GREY8, GREY8, GREY8, alpha])).save(path)
    image = read(path)
    np.testing.assert_array_equal(image.pixels, GREY8)
    assert image.notes == ("the alpha channel was dropped; 5.0% of the pixels were not opaque",)


def test_grey_with_alpha(tmp_path):
    path = tmp_path / "a.png"
    Pillow.fromarray(np.dstack([GREY8, np.full_like(GREY8, 255)])).save(path)
    image = read(path)
    np.testing.assert_array_equal(image.pixels, GREY8)
    assert "alpha" in image.notes[0]


def test_palette_is_resolved(tmp_path):
    picture = Pillow.fromarray(np.array([[0, 1], [2, 1]], np.uint8)).convert("P")
    picture.putpalette([10, 10, 10, 200, 200, 200, 90, 90, 90])
    for path in (tmp_path / "a.png", tmp_path / "a.tif"):
        picture.save(path)
        image = read(path)
        assert image.pixels.tolist() == [[10, 200], [90, 200]]
        assert "the colour table was applied" in image.notes


def test_colours_of_imagej_are_for_display_only(tmp_path):
    """ImageJ saves a lookup table ("Fire") with 8-bit images; the intensities are the stored numbers."""
    table = np.zeros((3, 256), np.uint8)
    table[0] = np.arange(256)[::-1]
    path = tiff(tmp_path / "a.tif", GREY8, imagej=True, colormap=table.astype(np.uint16) * 257)
    np.testing.assert_array_equal(read(path).pixels, GREY8)


def test_white_is_zero_is_turned_round(tmp_path):
    path = tiff(tmp_path / "a.tif", GREY8, photometric="miniswhite")
    image = read(path)
    np.testing.assert_array_equal(image.pixels, 255 - GREY8.astype(int))
    assert any("white" in note for note in image.notes)
    path = tiff(tmp_path / "b.tif", BITS, photometric="miniswhite")
    np.testing.assert_array_equal(read(path).pixels, ~BITS)


def test_cmyk_ink_is_dark(tmp_path):
    ink = np.zeros((4, 4, 4), np.uint8)
    ink[0, :, 3] = 255  # black ink only
    ink[1, :, :3] = 255  # the three colours together
    for path in (tmp_path / "a.tif",):
        tiff(path, ink, photometric="separated")
        assert read(path).pixels[:, 0].tolist() == [0, 0, 255, 255]


def test_pages_become_a_volume_and_the_assumption_is_said(tmp_path):
    path = tiff(tmp_path / "a.tif", STACK16, metadata=None)
    image = read(path)
    assert image.axes == "ZYX"
    assert any("planes of a volume" in note for note in image.notes)
    for page in range(4):
        one = read(path, page=page)
        np.testing.assert_array_equal(one.pixels, STACK16[page])
        assert (one.axes, one.source.page, one.notes) == ("YX", page, ())


@pytest.mark.parametrize("options", [{"imagej": True}, {"ome": True}, {"ome": True, "compression": "zlib"}])
def test_time_series_stay_time_series(options, tmp_path):
    path = tiff(tmp_path / "a.tif", STACK16, metadata={"axes": "TYX"}, **options)
    image = read(path)
    assert image.axes == "TYX"
    assert image.notes == ()
    np.testing.assert_array_equal(read(path, page=2).pixels, STACK16[2])


@pytest.mark.parametrize("options", [{"imagej": True}, {"ome": True}])
def test_five_axes_say_how_to_pick(options, tmp_path):
    five = np.arange(2 * 3 * 2 * 6 * 7, dtype=np.uint16).reshape(2, 3, 2, 6, 7)
    path = tiff(tmp_path / "a.tif", five, metadata={"axes": "TZCYX"}, **options)
    with pytest.raises(OSError, match=r"TZCYX, shape \(2, 3, 2, 6, 7\).*12 planes with page=0 to page=11"):
        read(path)
    for page in (0, 5, 11):
        np.testing.assert_array_equal(read(path, page=page).pixels, five.reshape(12, 6, 7)[page])


def test_images_of_different_shape_in_one_file(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(GREY16, metadata=None)
        writer.write(GREY8[:5, :6], metadata=None)
    image = read(path)
    np.testing.assert_array_equal(image.pixels, GREY16)
    assert "first of 2 images" in image.notes[0]
    np.testing.assert_array_equal(read(path, page=1).pixels, GREY8[:5, :6])


def test_gif_frames_are_times(tmp_path):
    image = read(make("gif", tmp_path))
    np.testing.assert_array_equal(image.pixels, [GREY8, GREY8[::-1], GREY8[:, ::-1]])
    np.testing.assert_array_equal(read(make("gif", tmp_path), page=1).pixels, GREY8[::-1])


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_of_either_order(order, tmp_path):
    np.save(tmp_path / "a.npy", np.asarray(STACK16, order=order))
    np.testing.assert_array_equal(read(tmp_path / "a.npy").pixels, STACK16)
    np.testing.assert_array_equal(read(tmp_path / "a.npy", page=3).pixels, STACK16[3])


def test_npy_of_bool_and_colour(tmp_path):
    np.save(tmp_path / "a.npy", BITS)
    np.testing.assert_array_equal(read(tmp_path / "a.npy").pixels, BITS.astype(np.uint8))
    np.save(tmp_path / "b.npy", COLOUR8)
    assert read(tmp_path / "b.npy").axes == "YX"


def test_a_wrong_suffix_is_noted_not_fatal(tmp_path):
    path = make("png 16", tmp_path).rename(tmp_path / "a.tif")
    image = read(path)
    np.testing.assert_array_equal(image.pixels, GREY16)
    assert image.notes[0] == "the name ends in .tif, but the content is PNG"


def test_links_and_text_paths(tmp_path):
    make("npy", tmp_path)
    (tmp_path / "link.npy").symlink_to(tmp_path / "npy.npy")
    assert read(str(tmp_path / "link.npy")).name == "link"


def test_odd_but_readable_values_are_noted(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.full((3, 4), np.nan))
    assert read(path).notes == ("all pixels are not a number",)
    np.save(path, np.array([[1, np.inf], [-np.inf, np.nan]], np.float32))
    assert read(path).notes == ("1 of 4 pixels are not a number", "2 of 4 pixels are infinite")
    np.save(path, np.full((3, 4), 7, np.uint8))
    assert read(path).notes == ("every pixel has the same value, 7",)
    np.save(path, np.array([[5]], np.uint8))
    assert read(path).shape == (1, 1)
    assert read(path).notes == ()


def test_the_users_pixel_size_wins(tmp_path):
    path = make("tiff imagej", tmp_path)
    calibration = read(path, pixel_size="1.5 um").calibration
    assert (calibration.spacing, calibration.unit, calibration.source) == ((1.5, 1.5), "µm", "user")
    mine = Calibration((2.0, 3.0), "nm", 0.01, "user")
    assert read(path, pixel_size=mine).calibration is mine
    volume = read(make("tiff stack", tmp_path), pixel_size="2 x 0.5 x 0.4 nm").calibration
    assert (volume.spacing, volume.unit) == ((2.0, 0.5, 0.4), "nm")


@pytest.mark.parametrize("text", ["0 nm", "-1 nm", "5 parsec", "nonsense", "1 x 2 nm", "inf nm"])
def test_a_pixel_size_that_makes_no_sense(text, tmp_path):
    with pytest.raises(ValueError, match=r"[Pp]ixel|length"):
        read(make("tiff stack", tmp_path), pixel_size=text)


def test_describe_names_everything_and_is_plain_data(tmp_path):
    import json

    facts = describe(read(make("tiff imagej", tmp_path)))
    json.dumps(facts)
    assert facts["kind"] == "image"
    assert facts["shape"] == [20, 28]
    assert facts["dtype"] == "uint16"
    assert (facts["min"], facts["max"]) == (int(GREY16.min()), int(GREY16.max()))
    assert facts["pixel size"] == "0.05 nm"
    assert facts["pixel size from"] == "metadata: ImageJ unit and XResolution"
    assert facts["field of view"] == "1 x 1.4 nm"
    assert len(facts["sha256"]) == 64
    assert describe(read(make("png 8", tmp_path)))["pixel size"] == "unknown"


def test_describe_without_finite_values(tmp_path):
    np.save(tmp_path / "a.npy", np.full((2, 2), np.nan))
    facts = describe(read(tmp_path / "a.npy"))
    assert (facts["min"], facts["max"]) == (None, None)
    np.save(tmp_path / "a.npy", np.array([[np.nan, 2.0], [np.inf, -1.0]]))
    facts = describe(read(tmp_path / "a.npy"))
    assert (facts["min"], facts["max"]) == (-1.0, 2.0)


def test_real_micrographs_open(emps: Path):
    paths = sorted(emps.rglob("*.png"))[:20]
    assert paths
    for path in paths:
        image = read(path)
        np.testing.assert_array_equal(image.pixels, np.asarray(Pillow.open(path)))
        assert not image.calibration.known


def channels_of(folder: Path) -> tuple[Path, np.ndarray]:
    stack = np.arange(2 * 3 * 4 * 5, dtype=np.uint16).reshape(3, 2, 4, 5)
    path = folder / "c.tif"
    tifffile.imwrite(
        path, stack, imagej=True, metadata={"axes": "ZCYX", "unit": "um", "spacing": 2.0}, resolution=(4, 4)
    )
    return path, stack


@pytest.mark.parametrize("mapped", [False, True])
def test_channels_of_a_file_are_images(tmp_path, mapped):
    path, stack = channels_of(tmp_path)
    images = read_channels(path, mapped=mapped)
    for c, image in enumerate(images):
        assert (image.axes, image.calibration.spacing) == ("ZYX", (2, 0.25, 0.25))
        np.testing.assert_array_equal(image.pixels, stack[:, c])
    assert len(images) == 2


@pytest.mark.parametrize("name", FILES)
def test_mapped_pixels_are_those_that_are_read(name, tmp_path):
    path = make(name, tmp_path)
    (image,) = read_channels(path, mapped=True)
    np.testing.assert_array_equal(image.pixels, read(path).pixels)
    assert image.notes == read(path).notes
