"""What a file says of axes and units survives to the label file and back, for every kind of file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from io_files import tiff
from io_stacks import VOLUME, dicom, exchange, fits, hdf5, mrc, nifti, tof_run, video
from PIL import Image as Pillow

from segmetry.errors import ShapeMismatchError
from segmetry.io import read, read_labels, write_image, write_labels
from segmetry.io.axes import KEY
from segmetry.types import Calibration, Image


def _fits(path: Path) -> Path:
    lengths = {"CUNIT1": "um", "CDELT1": 55.0, "CUNIT2": "um", "CDELT2": 50.0}
    return fits(path / "a.fits", VOLUME, **lengths, CTYPE3="WAVE", CUNIT3="Angstrom", CDELT3=0.1)


def _tof(path: Path) -> Path:
    tof_run(path / "run", lines=4)
    return path / "run"


def _nexus(path: Path) -> Path:
    sets = {"e/d": VOLUME, "e/energy": [1.0, 2.5, 7.0, 7.5], "e/y": np.arange(5.0), "e/x": np.arange(6.0) / 2}
    attrs = {
        "e": {"signal": "d", "axes": ["energy", "y", "x"], "NX_class": "NXdata"},
        "e/energy": {"units": "keV"},
        "e/y": {"units": "nm"},
        "e/x": {"units": "nm"},
    }
    return hdf5(path / "a.nxs", sets, attrs)


def _series(path: Path) -> Path:
    (path / "s").mkdir()
    for k in range(4):
        dicom(path / "s" / f"{k}.dcm", VOLUME[k], z=1.5 * k, number=k)
    return path / "s"


def _slices(path: Path) -> Path:
    (path / "s").mkdir()
    for k in range(4):
        tiff(path / "s" / f"{k}.tif", VOLUME[k], resolution=(2e5, 1e5), resolutionunit="CENTIMETER")
    return path / "s::TYX"


def _npy(path: Path) -> Path:
    np.save(path / "a.npy", VOLUME)
    return path / "a.npy"


def _gif(path: Path) -> Path:
    frames = [Pillow.fromarray((VOLUME[k] % 256).astype(np.uint8)) for k in range(4)]
    frames[0].save(path / "a.gif", save_all=True, append_images=frames[1:], duration=[30, 50, 20, 10])
    return path / "a.gif"


def _tiff(path: Path) -> Path:
    metadata = {"axes": "ZYX", "spacing": 1.25, "unit": "um"}
    return tiff(path / "a.tif", VOLUME, imagej=True, resolution=(2, 4), metadata=metadata)


KINDS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "FITS": (_fits, "EYX"),
    "time of flight": (_tof, "EYX"),
    "Data Exchange": (lambda p: exchange(p / "a.h5", VOLUME), "TYX"),
    "Data Exchange volume": (lambda p: hdf5(p / "a.h5", {"d": VOLUME}, {"d": {"element_size_um": [3, 2, 1]}}), "ZYX"),
    "NeXus": (_nexus, "EYX"),
    "DICOM series": (_series, "ZYX"),
    "DICOM frames": (lambda p: dicom(p / "a.dcm", VOLUME, FrameTime=40), "TYX"),
    "MRC": (lambda p: mrc(p / "a.mrc", VOLUME), "ZYX"),
    "NIfTI": (lambda p: nifti(p / "a.nii.gz", VOLUME, np.diag([0.3, 0.7, 2.1, 1])), "ZYX"),
    "TIFF": (_tiff, "ZYX"),
    "slices": (_slices, "TYX"),
    "NPY": (_npy, "ZYX"),
    "video": (lambda p: video(p / "a.avi", np.tile((VOLUME % 256).astype(np.uint8), (1, 4, 4))), "TYX"),
    "GIF": (_gif, "TYX"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_axes_and_units_survive(tmp_path, kind):
    make, axes = KINDS[kind]
    image = read(make(tmp_path))
    assert image.axes == axes
    labels = (image.pixels > image.pixels.mean()).astype(np.int32) * 7
    said = image.metadata.get(KEY)
    out = tmp_path / "labels.tif"
    write_labels(out, labels, image.calibration, axes=image.axes, axis_values=said)
    back = read_labels(out)
    np.testing.assert_array_equal(back.values, labels)
    assert back.axes == axes
    assert back.calibration.spacing == pytest.approx(image.calibration.spacing, rel=1e-12)
    assert back.calibration.unit == image.calibration.unit
    assert {k: v.as_dict() for k, v in back.axis_values.items()} == (said or {})
    assert bool(said) == (axes[0] in "ET" and kind != "slices")
    write_image(tmp_path / "image.tif", image)
    again = read(tmp_path / "image.tif")
    np.testing.assert_array_equal(again.pixels, image.pixels)
    assert (again.axes, again.metadata.get(KEY)) == (axes, said)


def test_other_programs_see_a_series_of_times(tmp_path):
    said = {"E": {"name": "time of <flight> & more", "unit": "µs", "values": (1.5, 2.5, 3.5, 1 / 3)}}
    write_labels(tmp_path / "a.tif", VOLUME, Calibration((2.0, 3.0), "nm"), axes="EYX", axis_values=said)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert (tif.is_ome, tif.series[0].axes, tif.series[0].shape) == (True, "TYX", VOLUME.shape)
    back = read_labels(tmp_path / "a.tif")
    assert {k: v.as_dict() for k, v in back.axis_values.items()} == said
    assert read(tmp_path / "a.tif", page=2).axes == "YX"


def test_axes_that_do_not_fit_are_refused(tmp_path):
    flat, deep = Calibration((2.0, 3.0), "nm"), Calibration((1.0, 2.0, 3.0), "nm")
    for labels, calibration, axes in (
        (VOLUME, flat, "ZYX"),
        (VOLUME, flat, "YX"),
        (VOLUME[0], flat, "EYX"),
        (VOLUME, flat, "CYX"),
        (VOLUME, deep, "EYX"),
    ):
        with pytest.raises(ShapeMismatchError, match="do not fit"):
            write_labels(tmp_path / "a.tif", labels, calibration, axes=axes)
    said = {"T": {"name": "time", "unit": "s", "values": (1.0, 2.0)}}
    with pytest.raises(ShapeMismatchError, match="2 values of time are given for 4 steps"):
        write_labels(tmp_path / "a.tif", VOLUME, flat, axes="TYX", axis_values=said)
    assert not (tmp_path / "a.tif").exists()


def test_a_damaged_annotation_leaves_a_series_of_times(tmp_path):
    said = {"E": {"name": "energy", "unit": "eV", "values": (1.0, 2.0, 3.0, 4.0)}}
    write_image(tmp_path / "a.tif", Image(VOLUME, "EYX", metadata={KEY: said}))
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data.replace(b"1.0 2.0 3.0", b"1.0 x.0 3.0"))
    image = read(tmp_path / "a.tif")
    assert (image.axes, KEY in image.metadata) == ("TYX", False)
