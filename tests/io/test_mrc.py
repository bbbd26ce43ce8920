"""MRC: voxels in Å, the order of the axes, signed bytes."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from io_stacks import VOLUME, mrc, on_disk

from segmetry.errors import ReadError
from segmetry.io import open_stack, read

pytest.importorskip("mrcfile")


@pytest.mark.parametrize("dtype", ["i1", "i2", "u2", "f4"])
def test_values_and_voxels(tmp_path, dtype):
    volume = (VOLUME.astype(int) % 200 - (0 if dtype == "u2" else 100)).astype(dtype)
    path = mrc(tmp_path / "a.mrc", volume)
    image = read(path)
    np.testing.assert_array_equal(image.pixels, volume)
    assert (image.axes, image.pixels.dtype) == ("ZYX", np.dtype(dtype))
    assert image.calibration.spacing == pytest.approx((4, 3, 2))
    assert image.calibration.unit == "Å"
    np.testing.assert_array_equal(read(path, page=2).pixels, volume[2])
    mapped = read(path, mapped=True).pixels
    assert on_disk(mapped)
    with open_stack(path) as stack:
        np.testing.assert_array_equal(np.stack(list(stack)), volume)
    (tmp_path / "b.mrc.gz").write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read(tmp_path / "b.mrc.gz").pixels, volume)
    np.testing.assert_array_equal(read(tmp_path / "b.mrc.gz", page=1).pixels, volume[1])


def test_big_endian_with_an_extended_header(tmp_path):
    import mrcfile

    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(VOLUME.astype(">i2"))
        file.set_volume()
        file.voxel_size = 1.5
        file.set_extended_header(np.arange(250, dtype=">f4"))
    image = read(tmp_path / "a.mrc")
    np.testing.assert_array_equal(image.pixels, VOLUME)
    assert image.calibration.spacing == (1.5, 1.5, 1.5)


def test_the_order_of_the_axes(tmp_path):
    """Stored as sections x, rows y, columns z: the voxel (z, y, x) keeps its place and its lengths."""
    path = mrc(tmp_path / "a.mrc", np.ascontiguousarray(VOLUME.T), mapc=3, mapr=2, maps=1)
    import mrcfile

    with mrcfile.open(path, "r+") as file:
        file.header.mx, file.header.my, file.header.mz = 6, 5, 4
        file.header.cella = (6 * 2.0, 5 * 3.0, 4 * 4.0)
    for image in (read(path), read(path, mapped=True)):
        np.testing.assert_array_equal(image.pixels, VOLUME)
        assert image.calibration.spacing == pytest.approx((4, 3, 2))
    np.testing.assert_array_equal(read(path, page=3).pixels, VOLUME[3])
    with open_stack(path) as stack:
        np.testing.assert_array_equal(np.stack(list(stack)), VOLUME)
    with pytest.raises(ReadError, match="are \\[1, 1, 3\\], not 1, 2 and 3"):
        read(mrc(tmp_path / "b.mrc", VOLUME, mapc=1, mapr=1, maps=3))


def test_unsigned_bytes_of_imod(tmp_path):
    path = mrc(tmp_path / "a.mrc", np.array([[[-1, 5], [-128, 7]]], np.int8))
    data = bytearray(path.read_bytes())
    data[152:160] = np.array([1146047817, 0], "<i4").tobytes()
    path.write_bytes(bytes(data))
    image = read(path)
    assert image.pixels.tolist() == [[255, 5], [128, 7]]
    assert any("not signed" in note for note in image.notes)


def test_a_stack_of_images_and_no_voxel_size(tmp_path):
    image = read(mrc(tmp_path / "a.mrc", VOLUME, (0, 0, 0), ispg=0))
    assert not image.calibration.known
    assert any("pages are taken as the planes" in note for note in image.notes)


def test_cut_off_and_hostile(tmp_path):
    path = mrc(tmp_path / "a.mrc", VOLUME)
    data = path.read_bytes()
    for n in (300, 1024, len(data) - 1):
        path.write_bytes(data[:n])
        with pytest.raises(ReadError) as caught:
            read(path)
        assert "\n" not in str(caught.value)
    for n, word in ((2**30, "a.mrc"), (-5, "a.mrc"), (0, "a.mrc")):
        path.write_bytes(np.array([n, n, n], "<i4").tobytes() + data[12:])
        with pytest.raises(ReadError, match=word):
            read(path)
