"""Files of transmission microscopes, through rosettasciio."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from io_em_files import dm, dm_head, emd, ser

from segmetry.errors import ReadError
from segmetry.io import em, read

PIXELS = np.random.default_rng(5).random((20, 30)).astype(np.float32)


def axis(name, size, scale, units, index):
    return {"name": name, "size": size, "scale": scale, "units": units, "offset": 0, "index_in_array": index}


def entry(pixels, *axes, title="image"):
    """An image as a plug-in of rosettasciio hands it over."""
    return {
        "data": pixels,
        "axes": list(axes),
        "metadata": {
            "Signal": {},
            "General": {"title": title, "date": "2026-01-02"},
            "Acquisition_instrument": {"TEM": {"beam_energy": 200.0, "microscope": "Titan"}},
        },
    }


YX = (axis("y", 20, 0.2, "nm", 0), axis("x", 30, 0.3, "nm", 1))


def test_emd_written_by_the_library(tmp_path):
    pytest.importorskip("rsciio.emd")
    image = read(emd(tmp_path / "a.emd", PIXELS, (0.2, 0.3), "nm"))
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert (image.calibration.spacing, image.calibration.unit) == ((0.2, 0.3), "nm")
    assert image.calibration.source == "metadata"


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("unit", ["nm", "µm", "1/nm"])
def test_dm_put_together_by_hand(version, unit, tmp_path):
    pytest.importorskip("rsciio.digitalmicrograph")
    path = dm(tmp_path / f"a.dm{version}", PIXELS, (0.25, 0.5), unit, version)
    image = read(path)
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert image.calibration.known == (unit != "1/nm")
    if image.calibration.known:
        assert (image.calibration.spacing, image.calibration.unit) == ((0.25, 0.5), unit)
    else:
        assert "'1/nm'" in image.notes[0]
    assert image.metadata["format"] == f"DM{version}"


def test_ser_put_together_by_hand(tmp_path):
    pytest.importorskip("rsciio.tia")
    pixels = np.random.default_rng(1).integers(0, 60000, (20, 30), dtype=np.uint16)
    image = read(ser(tmp_path / "a.ser", pixels, 4e-10))
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image.calibration.unit == "nm"
    assert image.calibration.spacing == pytest.approx((0.4, 0.4))


@pytest.fixture
def found(monkeypatch):
    """What the plug-in finds is what the test puts here."""
    entries = []
    monkeypatch.setattr(em, "_load", lambda plugin, path: entries)
    return entries


@pytest.mark.parametrize("version", [3, 4])
def test_dm_image(version, found, tmp_path):
    found.append(entry(PIXELS, *YX))
    image = read(dm_head(tmp_path / f"a.dm{version}", version))
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert image.calibration.spacing == (0.2, 0.3)
    assert image.calibration.detail == "DigitalMicrograph calibration"
    assert image.metadata["voltage_kV"] == 200.0
    assert image.metadata["instrument"] == "Titan"
    assert image.metadata["format"] == f"DM{version}"


def test_dm_units_and_stacks(found, tmp_path):
    stack = np.stack([PIXELS] * 4)
    path = dm_head(tmp_path / "a.dm3")
    found.append(entry(stack, axis("z", 4, 1e-3, "µm", 0), axis("y", 20, 0.2, "nm", 1), axis("x", 30, 0.3, "nm", 2)))
    image = read(path)
    assert image.axes == "ZYX"
    assert image.calibration.spacing == pytest.approx((1.0, 0.2, 0.3))
    assert read(path, page=2).calibration.spacing == (0.2, 0.3)
    found[:] = [entry(stack, axis("t", 4, 0.5, "s", 0), axis("y", 20, 0.2, "nm", 1), axis("x", 30, 0.3, "nm", 2))]
    assert read(path).axes == "TYX"


@pytest.mark.parametrize("unit", ["1/nm", "", "<undefined>", "mrad"])
def test_without_a_length_the_size_is_unknown(unit, found, tmp_path):
    found.append(entry(PIXELS, axis("y", 20, 0.2, unit, 0), axis("x", 30, 0.2, unit, 1)))
    assert not read(dm_head(tmp_path / "a.dm3")).calibration.known


def test_several_images_and_spectra(found, tmp_path):
    path = dm_head(tmp_path / "a.dm4", 4)
    spectrum = entry(
        np.zeros((4, 5, 100)), axis("y", 4, 1, "nm", 0), axis("x", 5, 1, "nm", 1), axis("E", 100, 1, "eV", 2)
    )
    found[:] = [spectrum, entry(PIXELS, *YX, title="HAADF"), entry(PIXELS + 1, *YX, title="BF")]
    image = read(path)
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert "first of its 2 images was read (HAADF, BF)" in image.notes[0]
    np.testing.assert_array_equal(read(path, page=1).pixels, PIXELS + 1)
    found[:] = [spectrum]
    with pytest.raises(ReadError, match="holds no image"):
        read(path)


def test_colour_records(found, tmp_path):
    pixels = np.zeros((20, 30), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    pixels["G"] = 100
    found.append(entry(pixels, *YX))
    assert read(dm_head(tmp_path / "a.dm3")).pixels[0, 0] == 59  # 0.587 of 100


def test_without_the_extra_the_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rsciio", None)
    monkeypatch.setitem(sys.modules, "rsciio.digitalmicrograph", None)
    with pytest.raises(ReadError, match=r"pip install segmetry\[em\]") as caught:
        read(dm_head(tmp_path / "a.dm3"))
    assert "\n" not in str(caught.value)


def test_a_bomb_in_hdf5_is_refused_before_it_is_unpacked(tmp_path):
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("rsciio.emd")
    path = tmp_path / "a.emd"
    with h5py.File(path, "w") as file:
        file.attrs["version_major"], file.attrs["version_minor"] = 0, 2
        group = file.create_group("signals/x")
        group.attrs["emd_group_type"] = 1
        group.create_dataset("data", shape=(20000, 20000), dtype="f8", chunks=(1000, 1000))
        for name in ("dim1", "dim2"):
            axis_ = group.create_dataset(name, data=[0.0, 1.0])
            axis_.attrs["name"], axis_.attrs["units"] = name, "[n_m]"
    with pytest.raises(ReadError, match=r"20000 x 20000.*limit"):
        read(path)


def test_damaged_files_are_one_line(tmp_path, capfd):
    pytest.importorskip("rsciio")
    files = [dm_head(tmp_path / "a.dm3"), dm_head(tmp_path / "a.dm4", 4)]
    (tmp_path / "a.ser").write_bytes(b"II\x97\x01" + bytes(60))
    (tmp_path / "a.emd").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    for path in [*files, tmp_path / "a.ser", tmp_path / "a.emd"]:
        with pytest.raises(ReadError) as caught:
            read(path)
        assert "\n" not in str(caught.value)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_the_library_is_imported_for_these_files_only(tmp_path):
    np.save(tmp_path / "a.npy", PIXELS)
    code = (
        "import sys, segmetry.io\n"
        "assert not {'pandas', 'tifffile', 'cv2', 'PIL', 'pyarrow', 'roifile', 'matplotlib'} & set(sys.modules)\n"
        f"segmetry.io.read({str(tmp_path / 'a.npy')!r})\n"
        "assert 'rsciio' not in sys.modules and 'tifffile' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
