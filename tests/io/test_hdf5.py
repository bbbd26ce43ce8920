"""HDF5: the scan, the default, any data set; and nothing outside the file."""

from __future__ import annotations

import numpy as np
import pytest
from io_stacks import VOLUME, exchange, hdf5, on_disk

from segmetry.errors import ReadError
from segmetry.io import axis_values, open_stack, read

h5py = pytest.importorskip("h5py")


def refused(path, *words):
    with pytest.raises(ReadError) as caught:
        read(path)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize("options", [{}, {"chunks": (2, 5, 6)}, {"chunks": (3, 2, 2), "compression": "gzip"}])
def test_data_exchange(tmp_path, options):
    path = exchange(tmp_path / "scan.h5", VOLUME, **options)
    image = read(path)
    np.testing.assert_array_equal(image.pixels, VOLUME)
    assert image.axes == "TYX"
    assert (image.calibration.spacing, image.calibration.unit) == ((0.65, 0.65), "µm")
    angles = axis_values(image, "T")
    assert (angles.name, angles.unit) == ("angle", "deg")
    assert angles.values == pytest.approx((0, 45, 90, 135))
    np.testing.assert_array_equal(read(f"{path}::{image.metadata['data_white']}").pixels, VOLUME[:2])
    np.testing.assert_array_equal(read(f"{path}::exchange/data_dark").pixels, VOLUME[0])
    np.testing.assert_array_equal(read(path, page=3).pixels, VOLUME[3])
    with open_stack(path) as stack:
        assert stack.metadata["axis_values"]["T"]["values"] == pytest.approx((0, 45, 90, 135))
        np.testing.assert_array_equal(np.stack(list(stack)), VOLUME)
        np.testing.assert_array_equal(stack.plane(1), VOLUME[1])
    mapped = read(path, mapped=True).pixels
    assert on_disk(mapped)
    np.testing.assert_array_equal(mapped, VOLUME)


def test_angles_of_the_wrong_number_are_left_out(tmp_path):
    path = exchange(tmp_path / "scan.h5", VOLUME)
    with h5py.File(path, "a") as file:
        del file["exchange/theta"]
        file["exchange/theta"] = [0.0, 90.0, 180.0]
    image = read(path)
    assert "axis_values" not in image.metadata
    assert any("3 values of angle for 4 steps" in note for note in image.notes)


def test_a_pixel_size_without_a_unit_is_not_believed(tmp_path):
    path = hdf5(
        tmp_path / "a.h5", {"exchange/data": VOLUME, "measurement/instrument/detector/actual_pixel_size_x": 1.2}
    )
    image = read(path)
    assert not image.calibration.known
    assert any("says 1.2 without a unit" in note for note in image.notes)


def test_nexus_default_with_axes(tmp_path):
    sets = {
        "entry/cube/counts": VOLUME.astype(">f4"),
        "entry/cube/time_of_flight": [1e-3, 2e-3, 4e-3, 8e-3],
        "entry/cube/y": np.arange(5) * 0.2,
        "entry/cube/x": np.arange(6) * 100.0,
        "entry/other": VOLUME,
    }
    attrs = {
        "/": {"default": "entry"},
        "entry": {"default": "cube", "NX_class": "NXentry"},
        "entry/cube": {"signal": "counts", "axes": ["time_of_flight", "y", "x"], "NX_class": "NXdata"},
        "entry/cube/time_of_flight": {"units": "s"},
        "entry/cube/y": {"units": "mm"},
        "entry/cube/x": {"units": "um"},
    }
    image = read(hdf5(tmp_path / "a.nxs", sets, attrs))
    assert (image.axes, image.calibration.unit, image.pixels.dtype) == ("EYX", "µm", np.dtype("=f4"))
    assert image.calibration.spacing == pytest.approx((200, 100))
    assert axis_values(image, "E").values == (1e-3, 2e-3, 4e-3, 8e-3)
    assert axis_values(image, "E").name == "time of flight"


def test_the_only_data_set_and_its_element_size(tmp_path):
    path = hdf5(tmp_path / "a.h5", {"t0/channel0": VOLUME}, {"t0/channel0": {"element_size_um": [2.0, 0.5, 0.25]}})
    image = read(path)
    assert (image.axes, image.calibration.spacing, image.calibration.unit) == ("ZYX", (2, 0.5, 0.25), "µm")


def test_several_are_named_and_paths_are_checked(tmp_path):
    path = hdf5(tmp_path / "a.h5", {"a": VOLUME, "g/b": VOLUME[0], "g/theta": [1.0, 2.0]})
    refused(path, "several data sets (/a, /g/b)", "FILE::/a")
    refused(f"{path}::/g/c", "no data set /g/c", "/g/b")
    refused(f"{path}::/g", "is a group", "it holds /g/b")
    refused(f"{path}::g/theta", "shape (2,)")
    np.testing.assert_array_equal(read(f"{path}::g/b").pixels, VOLUME[0])


def test_nothing_outside_the_file_is_opened(tmp_path):
    secret = hdf5(tmp_path / "secret.h5", {"data": VOLUME})
    (tmp_path / "raw").write_bytes(VOLUME.tobytes())
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["link"] = h5py.ExternalLink(str(secret), "/data")
        file["soft"] = h5py.SoftLink("/link")
        file["group"] = h5py.ExternalLink(str(secret), "/")
        file["round"] = h5py.SoftLink("/round")
        file.create_dataset("raw", VOLUME.shape, VOLUME.dtype, external=[(str(tmp_path / "raw"), 0, VOLUME.nbytes)])
        layout = h5py.VirtualLayout(VOLUME.shape, VOLUME.dtype)
        layout[:] = h5py.VirtualSource(str(secret), "data", VOLUME.shape)
        file.create_virtual_dataset("virtual", layout)
    for name in ("link", "soft", "group/data"):
        refused(f"{path}::{name}", "link to another file", "secret.h5")
    refused(f"{path}::round", "circle")
    refused(f"{path}::raw", "in another file", "raw")
    refused(f"{path}::virtual", "in another file", "secret.h5")


def test_a_link_within_the_file_is_followed(tmp_path):
    path = hdf5(tmp_path / "a.h5", {"g/b": VOLUME})
    with h5py.File(path, "a") as file:
        file["short"] = h5py.SoftLink("/g/b")
    np.testing.assert_array_equal(read(f"{path}::short").pixels, VOLUME)


def test_values_that_are_no_numbers_or_none(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("text", data=np.array([["a", "b"]], dtype=object), dtype=h5py.string_dtype())
        file.create_dataset("records", data=np.zeros((2, 2), [("a", "i4"), ("b", "f4")]))
        file.create_dataset("claim", (10**6, 10**6, 10**6), "f8", chunks=(1, 64, 64))
        file.create_dataset("part", (10**4, 10**4, 10**4), "f8", chunks=(1, 64, 64))[0, :64, :64] = 1.0
        file.create_dataset("complex", data=np.zeros((2, 2), complex))
    refused(f"{path}::text", "not plain numbers")
    refused(f"{path}::records", "not plain numbers")
    refused(f"{path}::claim", "GiB")
    refused(f"{path}::part", "made to exhaust memory")
    refused(f"{path}::complex", "complex")
    with h5py.File(path, "w") as file:
        file.create_dataset("never", (50, 50), "f8", chunks=(10, 10))
    refused(path, "none was ever written")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
def test_cut_off(tmp_path, share):
    path = exchange(tmp_path / "scan.h5", np.tile(VOLUME, (1, 30, 30)))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(path, "scan.h5")


def test_no_scan_no_image(tmp_path):
    refused(hdf5(tmp_path / "a.h5", {"x": np.arange(3.0)}), "no data set with two or more axes")
