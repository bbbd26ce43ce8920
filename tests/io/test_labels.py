"""Label files give the numbers that are stored, whatever the file says of colour and brightness."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from segmetry.errors import ReadError
from segmetry.io import read, read_labels
from segmetry.types import Calibration

LABELS = np.array([[0, 1, 1, 0], [2, 2, 0, 7], [0, 0, 7, 7]], np.uint8)


def test_colour_table_of_a_png_gives_its_indices(tmp_path):
    picture = Pillow.fromarray(LABELS, mode="L").convert("P")
    picture.putdata(LABELS.ravel().tolist())
    picture.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    picture.save(tmp_path / "a.png")
    assert np.array_equal(read_labels(tmp_path / "a.png").values, LABELS)
    assert not np.array_equal(read(tmp_path / "a.png").pixels, LABELS)  # as an image it is colour


def test_colour_table_of_a_tiff_gives_its_indices(tmp_path):
    table = np.random.default_rng(0).integers(0, 65536, (3, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", LABELS, photometric="palette", colormap=table)
    assert np.array_equal(read_labels(tmp_path / "a.tif").values, LABELS)


def test_white_as_zero_does_not_turn_labels_round(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", LABELS, photometric="miniswhite")
    assert np.array_equal(read_labels(tmp_path / "a.tif").values, LABELS)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.uint32, np.float32, np.float64, bool])
def test_npy_and_tiff_keep_the_numbers(tmp_path, dtype):
    wanted = LABELS.astype(dtype)
    np.save(tmp_path / "a.npy", wanted)
    assert np.array_equal(read_labels(tmp_path / "a.npy").values, wanted)
    if dtype is not bool:
        tifffile.imwrite(tmp_path / "a.tif", wanted)
        assert np.array_equal(read_labels(tmp_path / "a.tif").values, wanted)


def test_labels_over_65535(tmp_path):
    labels = LABELS.astype(np.int32) * 40_000
    np.save(tmp_path / "a.npy", labels)
    assert read_labels(tmp_path / "a.npy").values.max() == 280_000


def test_grey_saved_as_colour_is_taken_once(tmp_path):
    Pillow.fromarray(np.repeat(LABELS[..., None], 3, axis=-1)).save(tmp_path / "a.png")
    assert np.array_equal(read_labels(tmp_path / "a.png").values, LABELS)


@pytest.mark.parametrize(
    ("save", "says"),
    [
        (lambda p: Pillow.fromarray(np.arange(36, dtype=np.uint8).reshape(3, 4, 3)).save(p / "a.png"), "colours"),
        (lambda p: np.save(p / "a.npy", LABELS / 3), "fractions"),
        (lambda p: np.save(p / "a.npy", np.where(LABELS == 7, np.nan, LABELS)), "not finite"),
        (lambda p: np.save(p / "a.npy", LABELS * 1e12), "labels go up to"),
        (lambda p: Pillow.fromarray(LABELS).save(p / "a.jpg"), "JPEG does not keep"),
    ],
)
def test_what_is_no_label_image_is_refused_with_the_name_of_the_file(tmp_path, save, says):
    save(tmp_path)
    (path,) = tmp_path.iterdir()
    with pytest.raises(ReadError, match=says) as caught:
        read_labels(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_scores_may_be_fractions(tmp_path):
    np.save(tmp_path / "a.npy", LABELS / 10)
    assert np.array_equal(read_labels(tmp_path / "a.npy", scores=True).values, LABELS / 10)


def test_nifti_axes_and_voxel_size(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    volume = np.random.default_rng(1).integers(0, 5, (4, 5, 6)).astype(np.uint8)  # planes, rows, columns
    picture = nibabel.Nifti1Image(volume.T, np.diag([0.5, 0.7, 2.0, 1.0]))
    picture.header.set_xyzt_units("mm")
    for name in ("a.nii", "b.nii.gz"):
        nibabel.save(picture, tmp_path / name)
        found = read_labels(tmp_path / name)
        assert np.array_equal(found.values, volume)
        assert found.calibration.spacing == pytest.approx((2.0, 0.7, 0.5))
        assert found.calibration.unit == "mm"
    image = read(tmp_path / "b.nii.gz")
    assert image.name == "b"
    assert image.axes == "ZYX"
    assert image.metadata["orientation"] == "RAS"


def test_nifti_without_a_unit_stays_uncalibrated(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), np.eye(4)), tmp_path / "a.nii")
    image = read(tmp_path / "a.nii")
    assert image.calibration == Calibration.unknown(3)
    assert any("no unit" in note for note in image.notes)


def test_damaged_nifti_is_one_line(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    nibabel.save(nibabel.Nifti1Image(np.ones((9, 9, 9), np.uint8), np.eye(4)), tmp_path / "a.nii.gz")
    whole = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReadError, match=r"b\.nii\.gz"):
        read(tmp_path / "b.nii.gz")
