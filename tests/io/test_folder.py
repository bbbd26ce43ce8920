"""A folder as one stack: order, gaps, times."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from io_files import tiff
from io_stacks import VOLUME, fits, on_disk, tof_run
from PIL import Image as Pillow

import realdata
from segmetry.errors import ReadError
from segmetry.io import axis_values, open_stack, read, read_labels


def slices(folder, numbers, volume=VOLUME, name="s{}.png"):
    folder.mkdir()
    for k, number in enumerate(numbers):
        assert cv2.imwrite(str(folder / name.format(number)), volume[k % len(volume)])
    return folder


def refused(path, *words):
    with pytest.raises(ReadError) as caught:
        read(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(path))
    for word in words:
        assert word in text


def test_numbers_order_slices_and_not_letters(tmp_path):
    image = read(slices(tmp_path / "s", [10, 9, 8, 11], VOLUME[[2, 1, 0, 3]]))
    np.testing.assert_array_equal(image.pixels, VOLUME)
    assert (image.axes, image.name, image.calibration.known) == ("ZYX", "s", False)
    np.testing.assert_array_equal(read(tmp_path / "s", page=1).pixels, VOLUME[1])
    assert read(f"{tmp_path / 's'}::TYX", pixel_size="1 nm").axes == "TYX"
    mapped = read(tmp_path / "s", mapped=True).pixels
    assert on_disk(mapped)
    np.testing.assert_array_equal(mapped, VOLUME)
    (tmp_path / "s" / "notes.txt").write_text("not an image")
    with open_stack(tmp_path / "s") as stack:
        np.testing.assert_array_equal(np.stack(list(stack)), VOLUME)
    before = read(tmp_path / "s").source.sha256
    cv2.imwrite(str(tmp_path / "s" / "s9.png"), VOLUME[1] + 1)
    assert read(tmp_path / "s").source.sha256 != before


def test_the_pixel_size_of_slices(tmp_path):
    (tmp_path / "s").mkdir()
    for k in range(2):
        tiff(tmp_path / "s" / f"{k}.tif", VOLUME[k], imagej=True, resolution=(20, 20), metadata={"unit": "um"})
    image = read(tmp_path / "s")
    assert not image.calibration.known  # how far apart the slices are nobody says
    assert any("a pixel is 0.05 µm in the plane" in note for note in image.notes)
    assert read(f"{tmp_path / 's'}::TYX").calibration.spacing == pytest.approx((0.05, 0.05))


def test_gaps_are_named(tmp_path):
    refused(slices(tmp_path / "a", [1, 2, 4, 5, 8]), "3 missing: 3, 6, 7")
    refused(slices(tmp_path / "b", [0, 4, 10]), "steps go from 4 to 6")
    image = read(slices(tmp_path / "c", [0, 150, 300]))
    assert image.shape == (3, 5, 6)
    assert any("only every 150th slice" in note for note in image.notes)


def test_slices_that_are_not_alike(tmp_path):
    folder = slices(tmp_path / "a", [1, 2])
    cv2.imwrite(str(folder / "s3.png"), VOLUME[0][:4])
    refused(folder, "s3.png has the shape (4, 6), s1.png (5, 6)")
    cv2.imwrite(str(folder / "s3.png"), VOLUME[0].astype(np.uint8))
    refused(folder, "s3.png has the type uint8, s1.png uint16")
    (folder / "s3.png").write_bytes((folder / "s2.png").read_bytes()[:60])
    refused(folder, "s3.png")
    tiff(tmp_path / "t1.tif", VOLUME)
    (tmp_path / "b").mkdir()
    tiff(tmp_path / "b" / "t1.tif", VOLUME)
    refused(tmp_path / "b", "t1.tif is itself a stack")


def test_names_that_are_no_stack(tmp_path):
    refused(tmp_path, "holds no images")
    slices(tmp_path / "a", ["1", "2"])
    cv2.imwrite(str(tmp_path / "a" / "t3.png"), VOLUME[0])
    refused(tmp_path / "a", "several names (s# and t#)")
    slices(tmp_path / "b", ["a", "b"], name="{}.png")
    refused(tmp_path / "b", "a.png has no number")
    slices(tmp_path / "c", ["1", "01"])
    refused(tmp_path / "c", "same number")
    slices(tmp_path / "d", ["1"])
    tiff(tmp_path / "d" / "s2.tif", VOLUME[0])
    refused(tmp_path / "d", "several kinds (PNG, TIFF)")


def test_labels_of_a_folder_are_the_numbers_of_the_colour_tables(tmp_path):
    (tmp_path / "s").mkdir()
    labels = (VOLUME % 4).astype(np.uint8)
    for k, plane in enumerate(labels):
        picture = Pillow.fromarray(plane, mode="L").convert("P")
        picture.putdata(plane.ravel().tolist())
        picture.putpalette([(37 * k * k) % 256 for k in range(768)])
        picture.save(tmp_path / "s" / f"{k}.png")
    found = read_labels(tmp_path / "s")
    np.testing.assert_array_equal(found.values, labels)
    assert found.axes == "ZYX"


def test_a_time_of_flight_run(tmp_path):
    frames = tof_run(tmp_path / "a", lines=4, own=False)
    image = read(tmp_path / "a")
    np.testing.assert_array_equal(image.pixels, frames)
    times = axis_values(image, "E")
    assert (image.axes, times.name, times.unit) == ("EYX", "time of flight", "s")
    assert times.values == pytest.approx((1e-6, 1.1e-5, 2.1e-5, 3.1e-5))
    assert image.metadata["spectra"]["counts"] == (100, 101, 102, 103)
    tof_run(tmp_path / "b")  # the frames say their times, no spectra file
    assert axis_values(read(tmp_path / "b"), "E").values == pytest.approx((1e-6, 1.1e-5, 2.1e-5, 3.1e-5))


def test_part_of_a_run_takes_its_lines_by_number(tmp_path):
    tof_run(tmp_path / "a", first=3, lines=10, own=False)
    image = read(tmp_path / "a")
    assert axis_values(image, "E").values == pytest.approx((3.1e-5, 4.1e-5, 5.1e-5, 6.1e-5))
    assert image.metadata["spectra"]["counts"] == (103, 104, 105, 106)
    tof_run(tmp_path / "b", first=3, lines=4)  # four lines of the start of the run: the frames know better
    image = read(tmp_path / "b")
    assert axis_values(image, "E").values == pytest.approx((3.1e-5, 4.1e-5, 5.1e-5, 6.1e-5))
    assert any("those of the frames are taken" in note for note in image.notes)


def test_a_time_axis_of_the_wrong_length_or_without_order(tmp_path):
    tof_run(tmp_path / "a", lines=3, own=False)
    refused(tmp_path / "a", "wrong length: Image_Spectra.txt has 3 lines, the folder 4 frames")
    tof_run(tmp_path / "b", lines=4)
    (tmp_path / "b" / "Image_Spectra.txt").write_text("1e-6\t5\n1e-6\t6\n2e-6\t6\n3e-6\t6\n")
    refused(tmp_path / "b", "do not rise")
    (tmp_path / "b" / "Image_Spectra.txt").write_text("time\tcounts\n")
    refused(tmp_path / "b", "no table")
    (tmp_path / "b" / "Other_Spectra.txt").write_text("1e-6\t5\n")
    refused(tmp_path / "b", "several runs")


def test_fits_without_times_are_slices(tmp_path):
    (tmp_path / "a").mkdir()
    for k in range(3):
        fits(tmp_path / "a" / f"{k}.fits", VOLUME[k])
    assert read(tmp_path / "a").axes == "ZYX"


@pytest.mark.slow
def test_the_real_run():
    """Frame 267 of a run with bins of 10.24 µs that starts at 0.96 µs, by its own header and by its number."""
    folder = realdata.folder("neutron-tof")
    if folder is None:
        pytest.skip("the neutron run is not here; set SEGMETRY_DATA to the folder that holds neutron-tof/")
    image = read(folder)
    assert (image.axes, image.shape) == ("EYX", (10, 512, 512))
    times = axis_values(image, "E").values
    assert times == pytest.approx([9.6e-7 + 1.024e-5 * (267 + k) for k in range(10)], rel=1e-6)
    # what each frame's header says was counted in it
    import astropy.io.fits

    for k, path in enumerate(sorted(folder.glob("*.fits"))):
        np.testing.assert_array_equal(image.pixels[k], astropy.io.fits.getdata(path))
