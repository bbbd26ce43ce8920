"""DICOM: one file, and slices sorted by where they lie."""

from __future__ import annotations

import numpy as np
import pytest
from io_stacks import VOLUME, dicom

from segmetry.errors import ReadError
from segmetry.io import open_stack, read

pytest.importorskip("pydicom")


def series(folder, places, volume=VOLUME, **more):
    """Slices whose names do not tell their order."""
    folder.mkdir()
    for k, z in enumerate(places):
        dicom(folder / f"{(7 * k) % 11:02d}.dcm", volume[k], z=z, number=k + 1, **more)
    return folder


def test_one_slice_is_rescaled_to_its_unit(tmp_path):
    path = dicom(tmp_path / "a.dcm", VOLUME[0], z=3.0, RescaleSlope=2, RescaleIntercept=-1024, RescaleType="HU")
    image = read(path)
    np.testing.assert_array_equal(image.pixels, VOLUME[0].astype(int) * 2 - 1024)
    assert image.pixels.dtype == np.int32
    assert (image.axes, image.calibration.spacing, image.calibration.unit) == ("YX", (0.5, 0.25), "mm")
    assert image.metadata["orientation"] == "LP"
    assert image.metadata["value_unit"] == "HU"
    half = read(dicom(tmp_path / "b.dcm", VOLUME[0], RescaleSlope=0.5, RescaleIntercept=0))
    np.testing.assert_array_equal(half.pixels, VOLUME[0] * 0.5)


def test_a_series_is_sorted_by_position(tmp_path):
    image = read(series(tmp_path / "s", [4.0, 1.0, -2.0, 7.0]))
    np.testing.assert_array_equal(image.pixels, VOLUME[[2, 1, 0, 3]])
    assert (image.axes, image.pixels.dtype) == ("ZYX", np.uint16)
    assert image.calibration.spacing == pytest.approx((3.0, 0.5, 0.25))
    assert image.metadata["orientation"] == "LPS"
    assert not image.notes
    np.testing.assert_array_equal(read(tmp_path / "s", page=3).pixels, VOLUME[3])
    with open_stack(tmp_path / "s") as stack:
        np.testing.assert_array_equal(np.stack(list(stack)), VOLUME[[2, 1, 0, 3]])


def test_an_oblique_series_is_measured_along_its_normal(tmp_path):
    """Slices turned by 30 degrees about the row axis, 2 mm apart along their normal."""
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    (tmp_path / "s").mkdir()
    for k in range(4):
        place = (np.array([0, -s, c]) * 2.0 * k).tolist()
        turn = [1, 0, 0, 0, c, s]
        more = {"ImageOrientationPatient": turn, "ImagePositionPatient": place}
        dicom(tmp_path / "s" / f"{k}.dcm", VOLUME[k], z=0.0, number=k, **more)
    assert read(tmp_path / "s").calibration.spacing == pytest.approx((2.0, 0.5, 0.25))


def test_a_missing_slice_and_uneven_ones_are_said(tmp_path):
    image = read(series(tmp_path / "a", [0.0, 2.0, 6.0, 8.0]))
    assert not image.calibration.known
    assert any("1 slice is missing between 07.dcm and 03.dcm, 4 mm apart where most are 2 mm" in n for n in image.notes)
    image = read(series(tmp_path / "b", [0.0, 2.0, 4.0, 6.5]))
    assert not image.calibration.known
    assert any("not evenly spaced" in note for note in image.notes)
    known = read(tmp_path / "b", pixel_size="2 x 0.5 x 0.25 mm")
    assert known.calibration.spacing == (2, 0.5, 0.25)


def test_what_is_not_one_volume(tmp_path):
    with pytest.raises(ReadError, match=r"lie at the same place \(2 mm\)"):
        read(series(tmp_path / "a", [0.0, 2.0, 2.0, 4.0]))
    series(tmp_path / "b", [0.0, 2.0])
    dicom(tmp_path / "b" / "z.dcm", VOLUME[0][:3], z=4.0, number=9)
    with pytest.raises(ReadError, match=r"z\.dcm differs from 00\.dcm in Rows"):
        read(tmp_path / "b")
    series(tmp_path / "c", [0.0, 2.0])
    dicom(tmp_path / "c" / "z.dcm", VOLUME[0], z=4.0, number=9, SeriesInstanceUID="1.2.4", SeriesNumber=5)
    with pytest.raises(ReadError, match="holds 2 series"):
        read(tmp_path / "c")


def test_frames_with_times_and_with_distances(tmp_path):
    image = read(dicom(tmp_path / "a.dcm", VOLUME, FrameTime=40))
    assert image.axes == "TYX"
    assert image.metadata["axis_values"]["T"]["values"] == pytest.approx((0, 0.04, 0.08, 0.12))
    image = read(dicom(tmp_path / "b.dcm", VOLUME, SpacingBetweenSlices=1.5))
    assert (image.axes, image.calibration.spacing) == ("ZYX", (1.5, 0.5, 0.25))
    np.testing.assert_array_equal(image.pixels, VOLUME)


def test_damaged_and_hostile(tmp_path):
    path = dicom(tmp_path / "a.dcm", VOLUME)
    data = path.read_bytes()
    for n in (100, 140, 300, len(data) - 50):
        path.write_bytes(data[:n])
        with pytest.raises(ReadError) as caught:
            read(path)
        assert "\n" not in str(caught.value)
    huge = dicom(tmp_path / "b.dcm", VOLUME, NumberOfFrames=2**30, Rows=60000, Columns=60000)
    with pytest.raises(ReadError, match="GiB"):
        read(huge)
    with pytest.raises(ReadError, match="empty"):
        read(dicom(tmp_path / "c.dcm", VOLUME[0], Rows=0))
    assert "patient" not in str(read(dicom(tmp_path / "d.dcm", VOLUME[0], PatientName="patient")).metadata)
