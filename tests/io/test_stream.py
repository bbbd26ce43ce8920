"""Stacks larger than memory: plane by plane, block by block."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from io_files import COLOUR8, tiff
from io_stacks import VOLUME, dicom, exchange, fits, mrc, nifti, on_disk

from segmetry import cost
from segmetry.errors import OptionError, ReadError
from segmetry.io import open_stack, read, stored
from segmetry.io.facts import describe


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_planes_of_a_tiff(tmp_path, compression):
    path = tiff(tmp_path / "a.tif", VOLUME, byteorder=">", compression=compression)
    with open_stack(path, axes="TYX", pixel_size="2 nm") as stack:
        assert (len(stack), stack.shape, stack.axes, stack.name) == (4, VOLUME.shape, "TYX", "a")
        assert (stack.dtype, stack.n_bytes) == (np.dtype("=u2"), VOLUME.nbytes)
        assert stack.calibration.spacing == (2, 2)
        np.testing.assert_array_equal(np.stack(list(stack)), VOLUME)
        assert stack.plane(0).dtype.isnative
        with pytest.raises(ReadError, match="no plane 4"):
            stack.plane(4)


def test_colours_become_grey_as_in_read(tmp_path):
    path = tiff(tmp_path / "a.tif", np.stack([COLOUR8, COLOUR8[::-1]]), photometric="rgb")
    with open_stack(path) as stack:
        np.testing.assert_array_equal(np.stack(list(stack)), read(path).pixels)


@pytest.mark.parametrize(("n", "overlap"), [(1, 0), (2, 0), (3, 1), (3, 2), (4, 0), (9, 3)])
def test_blocks_cover_every_plane(tmp_path, n, overlap):
    volume = np.arange(11)[:, None, None] * np.ones((1, 3, 4), np.int16)
    np.save(tmp_path / "a.npy", volume)
    with open_stack(tmp_path / "a.npy") as stack:
        blocks = list(stack.blocks(n, overlap=overlap))
    end = 0
    for first, block in blocks:
        assert first == max(end - overlap, 0)
        np.testing.assert_array_equal(block, volume[first : first + len(block)])
        assert overlap < len(block) <= n
        end = first + len(block)
    assert end == 11
    for wrong in ((0, 0), (2, 2), (2, -1)):
        with pytest.raises(OptionError, match="overlap"):
            stack.blocks(wrong[0], overlap=wrong[1])


def test_what_is_no_stack(tmp_path):
    np.save(tmp_path / "a.npy", VOLUME[0])
    with pytest.raises(ReadError, match="single image, not a stack"):
        open_stack(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.stack([VOLUME, VOLUME]))
    with pytest.raises(ReadError, match="more than three axes"):
        open_stack(tmp_path / "b.npy")
    with pytest.raises(ReadError, match="no such file"):
        open_stack(tmp_path / "c.npy")


def test_damage_in_the_middle_is_one_line(tmp_path):
    path = tmp_path / "s"
    path.mkdir()
    for k in range(3):
        tiff(path / f"{k}.tif", VOLUME[k])
    (path / "1.tif").write_bytes((path / "1.tif").read_bytes()[:100])
    with open_stack(path) as stack:
        stack.plane(0)
        with pytest.raises(ReadError, match=r"s: 1\.tif") as caught:
            stack.plane(1)
    assert "\n" not in str(caught.value)


def test_larger_than_memory_says_what_it_needs(tmp_path, monkeypatch):
    paths = [tiff(tmp_path / "a.tif", VOLUME), exchange(tmp_path / "a.h5", VOLUME), tmp_path / "a.npy"]
    np.save(paths[2], VOLUME)
    monkeypatch.setattr(stored, "available_memory", lambda: 100 / 2**20)
    for path in paths:
        with pytest.raises(
            ReadError, match=r"4 x 5 x 6 values need 2\.4e-07 GB of memory, 1e-07 GB are free; .*open_st"
        ):
            read(path)
        assert on_disk(read(path, mapped=True).pixels)
        with open_stack(path) as stack:
            np.testing.assert_array_equal(np.stack(list(stack)), VOLUME)


@pytest.mark.parametrize("library", ["astropy.io.fits", "h5py", "nibabel", "pydicom", "mrcfile"])
def test_a_missing_library_is_one_line(tmp_path, monkeypatch, library):
    heads = {
        "astropy.io.fits": b"SIMPLE  =".ljust(600),
        "h5py": b"\x89HDF\r\n\x1a\n".ljust(600),
        "nibabel": bytes(344) + b"n+1\0" + bytes(200),
        "pydicom": bytes(128) + b"DICM" + bytes(400),
        "mrcfile": bytes(208) + b"MAP " + bytes(900),
    }
    (tmp_path / "a").write_bytes(heads[library])
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ReadError, match=f"needs {library.split('.')[0]}: pip install segmetry\\[formats\\]"):
        read(tmp_path / "a")


@pytest.mark.slow
def test_the_libraries_load_within_a_read(tmp_path):
    """In a fresh interpreter nothing was imported before: not by other tests either."""
    paths = [
        fits(tmp_path / "a.fits", VOLUME),
        exchange(tmp_path / "a.h5", VOLUME),
        dicom(tmp_path / "a.dcm", VOLUME),
        mrc(tmp_path / "a.mrc", VOLUME),
        nifti(tmp_path / "a.nii", VOLUME, np.eye(4)),
    ]
    code = "import sys, segmetry\nfor path in sys.argv[1:]: print(segmetry.read(path).shape)"
    done = subprocess.run([sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("(4, 5, 6)\n" * 5, "")


def test_facts_show_the_ends_of_long_axes(tmp_path):
    path = exchange(tmp_path / "a.h5", np.tile(VOLUME, (5, 1, 1)))
    assert describe(read(path))["metadata"]["axis_values"]["T"]["values"] == "20 values, 0 to 171"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["npy", "h5"])
def test_a_thousand_frames_stream_in_little_memory(tmp_path, kind):
    """A GiB of frames, in less than 1.5 GB and in truth in a tenth of it."""
    path = tmp_path / f"a.{kind}"
    if kind == "npy":
        frames = np.lib.format.open_memmap(path, "w+", np.float32, (1000, 512, 512))
        for k in range(1000):
            frames[k] = k
        del frames
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            data = file.create_dataset("data", (1000, 512, 512), np.float32, chunks=(8, 512, 512))
            for k in range(0, 1000, 8):
                data[k : k + 8] = np.arange(k, k + 8, dtype=np.float32)[:, None, None] * np.ones(
                    (1, 512, 512), np.float32
                )

    def mean():
        with open_stack(path) as stack:
            return sum(float(plane[::64, ::64].mean()) for plane in stack) / len(stack)

    done = cost.costed(mean)
    assert done.result == pytest.approx(499.5)
    assert done.peak_memory < 150  # MiB: two blocks of what shares a chunk, and change
