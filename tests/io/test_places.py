import numpy as np
import pytest
from io_stacks import VOLUME, hdf5

from segmetry.errors import ReadError
from segmetry.io import read
from segmetry.io.places import find_place


@pytest.mark.parametrize(
    ("text", "file", "part", "axes"),
    [
        ("a/scan.h5", "a/scan.h5", "", ""),
        ("a/scan.h5::/entry/data", "a/scan.h5", "/entry/data", ""),
        ("a/scan.h5::entry/data::TYX", "a/scan.h5", "entry/data", "TYX"),
        ("slices::EYX", "slices", "", "EYX"),
        ("a.h5::/ZYX", "a.h5", "/ZYX", ""),
        ("C:/scans/a.h5::data", "C:/scans/a.h5", "data", ""),
        ("C:\\scans\\a.h5::\\entry\\data", "C:\\scans\\a.h5", "/entry/data", ""),
    ],
)
def test_what_a_path_names(text, file, part, axes):
    place = find_place(text)
    assert (str(place.path), place.part, place.axes) == (file, part, axes)


def test_a_file_that_is_really_called_so(tmp_path):
    path = tmp_path / "a::ZYX.npy"
    np.save(path, VOLUME[0])
    assert find_place(path).path == path
    assert read(path).shape == (5, 6)


def test_too_much_and_what_has_no_parts(tmp_path):
    with pytest.raises(ReadError, match="too much follows"):
        read("a.h5::b::c::ZYX")
    np.save(tmp_path / "a.npy", VOLUME)
    with pytest.raises(ReadError, match=r"a\.npy::data: a NumPy has no named parts"):
        read(f"{tmp_path / 'a.npy'}::data")
    with pytest.raises(ReadError, match="no such file"):
        read(f"{tmp_path / 'b.h5'}::data")


def test_the_user_names_the_axes(tmp_path):
    np.save(tmp_path / "a.npy", VOLUME)
    assert read(f"{tmp_path / 'a.npy'}::TYX").axes == "TYX"
    image = read(tmp_path / "a.npy", axes="EYX", pixel_size="2 nm")
    assert image.axes == "EYX"
    assert image.calibration.spacing == (2, 2)
    assert not any("pages are taken" in note for note in image.notes)
    for axes in ("YX", "ZTYX", "XYZ"):
        with pytest.raises(ReadError, match="do not fit its shape 4 x 5 x 6"):
            read(tmp_path / "a.npy", axes=axes)


def test_names_of_data_sets_tell_images_apart(tmp_path):
    path = hdf5(tmp_path / "scan.h5", {"a/data": VOLUME, "b/data": VOLUME})
    image = read(f"{path}::/b/data")
    assert image.name == "scan-b-data"
    assert str(image.source.path) == f"{path}::/b/data"
