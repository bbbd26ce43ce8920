"""FITS: values, axes and units as the standard says."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from io_stacks import VOLUME, fits, on_disk

from segmetry.errors import ReadError
from segmetry.io import open_stack, read

astropy = pytest.importorskip("astropy.io.fits")


def by_hand(path, cards, data=b""):
    """A FITS file byte by byte: cards of 80 characters in blocks of 2880 bytes."""
    lines = [f"{key:<8}= {value:>20}" for key, value in cards] + ["END"]
    head = "".join(line.ljust(80) for line in lines)
    head = head.ljust(-(-len(head) // 2880) * 2880).encode()
    path.write_bytes(head + data + bytes(-len(data) % 2880))
    return path


PLAIN = [("SIMPLE", "T"), ("BITPIX", 16), ("NAXIS", 2), ("NAXIS1", 3), ("NAXIS2", 2)]


def test_big_endian_rows_and_columns_by_hand(tmp_path):
    data = np.array([[1, 2, 3], [-4, 5, 300]], ">i2")
    image = read(by_hand(tmp_path / "a.fits", PLAIN, data.tobytes()))
    assert image.pixels.tolist() == [[1, 2, 3], [-4, 5, 300]]
    assert image.pixels.dtype == np.dtype("=i2")
    assert (image.axes, image.calibration.known, image.metadata["format"]) == ("YX", False, "FITS")


def test_scale_zero_and_blank_by_hand(tmp_path):
    cards = [*PLAIN, ("BSCALE", 0.5), ("BZERO", 10.0), ("BLANK", -4)]
    data = np.array([[1, 2, 3], [-4, 5, 300]], ">i2").tobytes()
    image = read(by_hand(tmp_path / "a.fits", cards, data))
    np.testing.assert_array_equal(image.pixels, [[10.5, 11, 11.5], [np.nan, 12.5, 160]])
    assert "1 of 6 pixels are not a number" in image.notes


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "i8", "f4", "f8"])
def test_every_type_and_gzip_and_one_plane(tmp_path, dtype):
    volume = (VOLUME.astype("i4") - (2000 if np.dtype(dtype).kind != "u" else 0)).astype(dtype)
    path = fits(tmp_path / "a.fits", volume)
    (tmp_path / "b.fits.gz").write_bytes(gzip.compress(path.read_bytes()))
    for name in ("a.fits", "b.fits.gz"):
        image = read(tmp_path / name)
        np.testing.assert_array_equal(image.pixels, volume)
        assert image.pixels.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(read(tmp_path / name, page=2).pixels, volume[2])
    mapped = read(path, mapped=True).pixels
    assert on_disk(mapped)
    np.testing.assert_array_equal(mapped, volume)


def test_lengths_and_a_time_of_flight_axis(tmp_path):
    lengths = {"CUNIT1": "um", "CDELT1": 55.0, "CUNIT2": "mm", "CDELT2": 0.11}
    times = {"CTYPE3": "TOF", "CUNIT3": "s", "CDELT3": 1e-5, "CRVAL3": 2e-3, "CRPIX3": 1.0}
    image = read(fits(tmp_path / "a.fits", VOLUME, **lengths, **times))
    assert image.axes == "EYX"
    assert image.calibration.spacing == pytest.approx((110, 55))
    assert image.calibration.unit == "µm"
    said = image.metadata["axis_values"]["E"]
    assert (said["name"], said["unit"]) == ("time of flight", "s")
    assert said["values"] == pytest.approx((2e-3, 2.01e-3, 2.02e-3, 2.03e-3))


def test_planes_that_lie_apart_and_the_sky(tmp_path):
    header = {"CUNIT1": "mm", "CDELT1": -0.1, "CUNIT2": "mm", "CDELT2": 0.1, "CUNIT3": "mm", "CDELT3": 0.4}
    image = read(fits(tmp_path / "a.fits", VOLUME, **header))
    assert (image.axes, image.calibration.spacing) == ("ZYX", (0.4, 0.1, 0.1))
    sky = read(fits(tmp_path / "b.fits", VOLUME[0], CTYPE1="RA---TAN", CUNIT1="deg", CDELT1=1e-4))
    assert not sky.calibration.known


def test_axes_of_one_step_go_and_four_need_a_page(tmp_path):
    assert read(fits(tmp_path / "a.fits", VOLUME[None, :1])).axes == "YX"
    path = fits(tmp_path / "b.fits", np.stack([VOLUME, VOLUME + 1]))
    with pytest.raises(ReadError, match="page=0 to page=7"):
        read(path)
    np.testing.assert_array_equal(read(path, page=5).pixels, VOLUME[1] + 1)


def test_several_images_are_named_and_picked(tmp_path):
    path = tmp_path / "a.fits"
    astropy.HDUList(
        [
            astropy.PrimaryHDU(),
            astropy.ImageHDU(VOLUME[0], name="SCI"),
            astropy.ImageHDU(VOLUME[1], name="ERR"),
            astropy.CompImageHDU(VOLUME[2], name="TILED"),
        ]
    ).writeto(path)
    image = read(path)
    np.testing.assert_array_equal(image.pixels, VOLUME[0])
    assert any("1 (SCI, 5 x 6), 2 (ERR, 5 x 6)" in note for note in image.notes)
    np.testing.assert_array_equal(read(f"{path}::ERR").pixels, VOLUME[1])
    np.testing.assert_array_equal(read(f"{path}::2").pixels, VOLUME[1])
    np.testing.assert_array_equal(read(f"{path}::tiled").pixels, VOLUME[2])
    with pytest.raises(ReadError, match="no image called 'DQ'; its images are 1"):
        read(f"{path}::DQ")


def test_planes_are_read_one_by_one(tmp_path):
    with open_stack(fits(tmp_path / "a.fits", VOLUME, CUNIT3="s")) as stack:
        assert (stack.axes, stack.shape, stack.dtype) == ("TYX", VOLUME.shape, np.uint16)
        np.testing.assert_array_equal(np.stack(list(stack)), VOLUME)


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ([*PLAIN[:3], ("NAXIS1", 1000), ("NAXIS2", 1000)], "cut off"),
        ([*PLAIN[:3], ("NAXIS1", 100000), ("NAXIS2", 100000)], "made to exhaust memory"),
        ([*PLAIN[:3], ("NAXIS1", 2**40), ("NAXIS2", 2**40)], "a.fits"),
        ([*PLAIN[:2], ("NAXIS", 1), ("NAXIS1", 3)], "one axis"),
        ([*PLAIN[:2], ("NAXIS", 0)], "no image"),
        ([("SIMPLE", "T"), ("BITPIX", 17), *PLAIN[2:]], "a.fits"),
        ([*PLAIN[:3], ("NAXIS1", -3), ("NAXIS2", 2)], "a.fits"),
    ],
)
def test_what_is_damaged_or_hostile_is_one_line(tmp_path, cards, words):
    with pytest.raises(ReadError, match=words) as caught:
        read(by_hand(tmp_path / "a.fits", cards, bytes(12)))
    assert "\n" not in str(caught.value)


def test_cut_off(tmp_path):
    path = fits(tmp_path / "a.fits", np.zeros((100, 100)))
    whole = path.read_bytes()
    for n in (40, 2000, 2880, 30000):
        path.write_bytes(whole[:n])
        with pytest.raises(ReadError):
            read(path)
    packed = gzip.compress(whole)
    (tmp_path / "b.fits.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ReadError, match=r"b\.fits\.gz"):
        read(tmp_path / "b.fits.gz")
