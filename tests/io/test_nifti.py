"""NIfTI: lengths are those of the affine, whatever the header says."""

from __future__ import annotations

import numpy as np
import pytest
from io_stacks import VOLUME, nifti, on_disk

import realdata
from segmetry.errors import ReadError
from segmetry.io import open_stack, read, read_labels

nibabel = pytest.importorskip("nibabel")

PLAIN = np.diag([0.5, 0.7, 2.0, 1.0])


def test_plane_by_plane_and_mapped(tmp_path):
    path = nifti(tmp_path / "a.nii", VOLUME, PLAIN)
    mapped = read(path, mapped=True).pixels
    np.testing.assert_array_equal(mapped, VOLUME)
    assert on_disk(mapped)
    np.testing.assert_array_equal(read(path, page=2).pixels, VOLUME[2])
    with open_stack(path) as stack:
        assert stack.calibration.spacing == pytest.approx((2, 0.7, 0.5))
        np.testing.assert_array_equal(np.stack(list(stack)), VOLUME)


def test_the_affine_has_the_last_word(tmp_path):
    """The header says 0.5 x 0.7 x 2 mm, the affine 0.5 x 0.7 x 2.5 mm: the affine maps the voxels."""
    path = nifti(tmp_path / "a.nii", VOLUME, np.diag([0.5, 0.7, 2.5, 1.0]))
    image = nibabel.load(path)
    image.header["pixdim"][3] = 2.0
    data = bytearray(path.read_bytes())
    data[:348] = image.header.binaryblock
    path.write_bytes(bytes(data))
    image = read(path)
    assert image.calibration.spacing == pytest.approx((2.5, 0.7, 0.5))
    assert any("header gives voxels of 0.5 x 0.7 x 2, its affine of 0.5 x 0.7 x 2.5" in note for note in image.notes)


def test_turned_axes_keep_their_lengths(tmp_path):
    c, s = np.cos(0.3), np.sin(0.3)
    turn = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    image = read(nifti(tmp_path / "a.nii", VOLUME, turn @ PLAIN))
    assert image.calibration.spacing == pytest.approx((2, 0.7, 0.5), rel=1e-5)
    assert any(f"oblique to the patient, by up to {np.degrees(0.3):.3g} degrees" in note for note in image.notes)
    mirrored = read(nifti(tmp_path / "b.nii", VOLUME, np.diag([-0.5, 0.7, 2.0, 1.0])))
    assert mirrored.calibration.spacing == pytest.approx((2, 0.7, 0.5))
    assert (mirrored.metadata["orientation"], mirrored.notes) == ("LAS", ())


def test_a_sheared_and_a_singular_affine(tmp_path):
    shear = PLAIN.copy()
    shear[0, 2] = 0.5
    image = read(nifti(tmp_path / "a.nii", VOLUME, shear))
    assert any("14 degrees off right angles" in note for note in image.notes)
    for bad in (np.diag([0.5, 0.0, 2.0, 1.0]), np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])):
        path = nifti(tmp_path / "b.nii", VOLUME, PLAIN)
        data = bytearray(path.read_bytes())
        data[280:328] = bad[:3].astype("<f4").tobytes()
        path.write_bytes(bytes(data))
        with pytest.raises(ReadError, match="affine is singular") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_times_of_a_series(tmp_path):
    path = nifti(tmp_path / "a.nii", VOLUME[:, None], PLAIN, "mm", "sec")
    image = nibabel.load(path)
    image.header["pixdim"][4] = 2.5
    data = bytearray(path.read_bytes())
    data[:348] = image.header.binaryblock
    path.write_bytes(bytes(data))
    series = read(path)
    assert series.axes == "TYX"
    assert series.metadata["axis_values"]["T"]["values"] == (0.0, 2.5, 5.0, 7.5)
    assert series.calibration.spacing == pytest.approx((0.7, 0.5))


def test_cut_off(tmp_path):
    path = nifti(tmp_path / "a.nii", VOLUME, PLAIN)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ReadError, match=r"a\.nii"):
        read(path)


def pairs():
    """Images and masks on the same grid. The mask of the spine names no unit; its image does."""
    spine, hippocampus = realdata.folder("spine-mri"), realdata.folder("hippocampus-mri")
    if spine:
        yield spine / "t2.nii.gz", spine / "t2_seg-manual.nii.gz"
    if hippocampus:
        yield from ((p, hippocampus / "labels" / p.name) for p in sorted((hippocampus / "images").iterdir()))


@pytest.mark.slow
def test_volumes_of_real_masks_by_spacing_and_by_affine():
    """Volume of the mask: voxels times the spacing that is read, against the determinant of the affine."""
    found = list(pairs())
    if not found:
        pytest.skip("the MRI volumes are not here; set SEGMETRY_DATA to the folder that holds spine-mri/")
    for path, mask in found:
        image, labels, raw = read(path), read_labels(mask).values, nibabel.load(mask)
        assert (image.calibration.unit, image.shape) == ("mm", labels.shape)
        np.testing.assert_array_equal(labels, np.asarray(raw.dataobj).T)
        by_affine = np.count_nonzero(np.asarray(raw.dataobj)) * abs(np.linalg.det(raw.affine[:3, :3]))
        assert np.count_nonzero(labels) * np.prod(image.calibration.spacing) == pytest.approx(by_affine, rel=1e-3)
