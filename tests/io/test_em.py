"""Files of transmission microscopes, through rosettasciio."""

from __future__ import annotations

import struct
import subprocess
import sys

import numpy as np
import pytest

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
    emd = pytest.importorskip("rsciio.emd")
    pytest.importorskip("h5py")
    signal = entry(PIXELS, *({**a, "navigate": False} for a in YX))
    signal |= {"original_metadata": {}, "learning_results": {}, "attributes": {}, "models": {}}
    emd.file_writer(str(tmp_path / "a.emd"), signal)
    image = read(tmp_path / "a.emd")
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert (image.calibration.spacing, image.calibration.unit) == ((0.2, 0.3), "nm")
    assert image.calibration.source == "metadata"


def ser(path, pixels, metres):
    """A SER file of one image, after the description of the format by Boothroyd: little-endian, version 0x0220."""
    height, width = pixels.shape
    head = struct.pack("<HHH", 0x4949, 0x0197, 0x0220) + struct.pack("<IIII", 0x4122, 0x4152, 1, 1)
    dimension = struct.pack("<IddII", 1, 0.0, 1.0, 0, 6) + b"Number" + struct.pack("<I", 0)
    table_at = len(head) + 8 + 4 + len(dimension)
    data_at = table_at + 16
    element = struct.pack("<ddIddIHII", -1e-9, metres, 0, -1e-9, metres, 0, 2, width, height)
    element += pixels[::-1].astype("<u2").tobytes()
    tag_at = data_at + len(element)
    data = head + struct.pack("<Q", table_at) + struct.pack("<I", 1) + dimension
    data += struct.pack("<QQ", data_at, tag_at) + element + struct.pack("<HHI", 0x4152, 0, 1767225600)
    path.write_bytes(data)
    return path


def test_ser_put_together_by_hand(tmp_path):
    pytest.importorskip("rsciio.tia")
    pixels = np.random.default_rng(1).integers(0, 60000, (20, 30), dtype=np.uint16)
    image = read(ser(tmp_path / "a.ser", pixels, 4e-10))
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image.calibration.unit == "nm"
    assert image.calibration.spacing == pytest.approx((0.4, 0.4))


def dm(path, version=3):
    """The first bytes of a DigitalMicrograph file."""
    length = struct.pack(">I", 100) if version == 3 else struct.pack(">Q", 100)
    path.write_bytes(struct.pack(">I", version) + length + struct.pack(">I", 1) + bytes(100))
    return path


@pytest.fixture
def found(monkeypatch):
    """What the plug-in finds is what the test puts here."""
    entries = []
    monkeypatch.setattr(em, "_load", lambda plugin, path: entries)
    return entries


@pytest.mark.parametrize("version", [3, 4])
def test_dm_image(version, found, tmp_path):
    found.append(entry(PIXELS, *YX))
    image = read(dm(tmp_path / f"a.dm{version}", version))
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert image.calibration.spacing == (0.2, 0.3)
    assert image.calibration.detail == "DigitalMicrograph calibration"
    assert image.metadata["voltage_kV"] == 200.0
    assert image.metadata["instrument"] == "Titan"
    assert image.metadata["format"] == f"DM{version}"


def test_dm_units_and_stacks(found, tmp_path):
    stack = np.stack([PIXELS] * 4)
    path = dm(tmp_path / "a.dm3")
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
    assert not read(dm(tmp_path / "a.dm3")).calibration.known


def test_several_images_and_spectra(found, tmp_path):
    path = dm(tmp_path / "a.dm4", 4)
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
    assert read(dm(tmp_path / "a.dm3")).pixels[0, 0] == 59  # 0.587 of 100


def test_without_the_extra_the_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rsciio", None)
    monkeypatch.setitem(sys.modules, "rsciio.digitalmicrograph", None)
    with pytest.raises(ReadError, match=r"pip install segmetry\[em\]") as caught:
        read(dm(tmp_path / "a.dm3"))
    assert "\n" not in str(caught.value)


def test_damaged_files_are_one_line(tmp_path, capfd):
    pytest.importorskip("rsciio")
    files = [dm(tmp_path / "a.dm3"), dm(tmp_path / "a.dm4", 4)]
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
