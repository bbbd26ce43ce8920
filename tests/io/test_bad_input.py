"""Whatever the file, the answer is an image or one clear line."""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import suppress

import imagecodecs
import numpy as np
import pytest
from io_files import FILES, GREY8, GREY16, make, raw_tiff, tiff

from segmetry.errors import ReadError
from segmetry.io import read


def fails(path, *words, **options):
    """The file is refused in one line that starts with its path and holds the words."""
    with pytest.raises(ReadError) as caught:
        read(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(path))
    for word in words:
        assert word in text
    return text


def test_missing(tmp_path):
    (tmp_path / "image_01.tif").touch()
    fails(tmp_path / "image_1.tif", "no such file", "did you mean image_01.tif")
    fails(tmp_path / "nothing" / "a.tif", "no such file", "folder")
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    fails(tmp_path / "link.png", "link", "gone.png")


def test_folder_and_empty(tmp_path):
    fails(tmp_path, "folder")
    (tmp_path / "a.png").touch()
    fails(tmp_path / "a.png", "empty")


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    fails(tmp_path / "a.png", "pipe")


def test_text_under_the_name_of_an_image(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("<!DOCTYPE html>\n<html>404 µ</html>")
    fails(path, "text file")
    path.write_bytes(bytes(range(128, 256)) * 4)
    fails(path, "no known kind", "PNG")


@pytest.mark.parametrize(
    ("head", "word"),
    [(b"\x89HDF\r\n\x1a\n", "HDF5"), (b"%PDF-1.7", "PDF"), (b"PK\x03\x04", "zip"), (b"SIMPLE  =", "FITS")],
)
def test_other_kinds_are_named(head, word, tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(head + bytes(600))
    fails(path, word)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_without_permission(tmp_path):
    path = make("png 8", tmp_path)
    path.chmod(0)
    fails(path, "permitted")


def test_without_permission_as_root_too(tmp_path, monkeypatch):
    path = make("png 8", tmp_path)

    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    fails(path, "permitted")


@pytest.mark.parametrize("name", [n for n in FILES if n not in ("gif", "jpeg", "jpeg rgb")])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated(name, share, tmp_path):
    """A file that was cut off never gives an image, half of it black."""
    path = make(name, tmp_path)
    expected = read(path).pixels
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    try:
        image = read(path)
    except ReadError:
        pass
    else:  # only the end of the file's own bookkeeping is gone
        assert share == 0.95
        assert np.array_equal(image.pixels, expected)


@pytest.mark.parametrize("name", ["gif", "jpeg", "jpeg rgb"])
def test_truncated_pictures_of_the_web(name, tmp_path):
    path = make(name, tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    fails(path)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth=8, colour=0, data=b""):
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def test_decompression_bombs_are_refused_by_their_header(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(60000, 60000))
    fails(path, "3.35 GiB", "limit")
    path.write_bytes(png(30000, 30000, data=bytes(100)))
    fails(path, "30000 x 30000", "out of a file of")
    path.write_bytes(png(2**31 - 1, 2**31 - 1, 16, 6))
    fails(path, "limit")
    bomb = raw_tiff(tmp_path / "a.tif", {256: (4, 2**31), 257: (4, 2**31)})
    fails(bomb, "limit")
    header = (
        b"BM" + struct.pack("<IHHI", 1000, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 50000, 50000, 1, 24, *[0] * 6)
    )
    (tmp_path / "a.bmp").write_bytes(header + bytes(900))
    fails(tmp_path / "a.bmp", "limit")
    (tmp_path / "a.gif").write_bytes(b"GIF89a" + struct.pack("<HH", 65535, 65535) + bytes(900))
    fails(tmp_path / "a.gif", "limit")


@pytest.mark.parametrize(("compression", "encode"), [(8, zlib.compress), (50000, imagecodecs.zstd_encode)])
def test_a_strip_that_unpacks_to_more_than_it_says(compression, encode, tmp_path):
    """64 MiB of zeros in a strip of 20 x 28 pixels: refused, not unpacked."""
    strip = encode(bytes(2**26))
    whole = raw_tiff(tmp_path / "a.tif", {259: (3, compression), 279: (4, len(strip)), 273: (4, 1000)})
    whole.write_bytes(whole.read_bytes().ljust(1000, b"\0") + strip)
    fails(whole, "cannot be decoded")


def test_an_entity_bomb_in_ome_xml(tmp_path):
    """Nine levels of ten entities would be 3 GB of text."""
    levels = "".join(f'<!ENTITY {chr(98 + k)} "{f"&{chr(97 + k)};" * 10}">' for k in range(9))
    text = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "lol">{levels}]><OME xmlns="http://x/2016-06">&j;</OME>'
    image = read(tiff(tmp_path / "a.tif", GREY8, description=text.encode(), metadata=None))
    assert not image.calibration.known
    assert any("OME-XML is damaged" in note for note in image.notes)


def test_npy_that_claims_more_than_it_has(tmp_path):
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**7, 10**7)})
    fails(path, "limit")
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (100, 100)})
        file.write(bytes(80))
    fails(path, "cut off", "80000 bytes, 80 are there")


def test_no_pixels(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((0, 0)))
    fails(tmp_path / "a.npy", "empty", "0 x 0")
    (tmp_path / "a.png").write_bytes(png(0, 0))
    fails(tmp_path / "a.png", "empty")
    fails(raw_tiff(tmp_path / "a.tif", {256: (3, 0), 257: (3, 0)}))


def test_arrays_that_are_no_image(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.ones((3, 3), complex))
    fails(path, "complex", "np.abs")
    np.save(path, np.ones(5))
    fails(path, "shape (5,)", "rows and columns")
    np.save(path, np.float64(3))
    fails(path, "shape ()", "rows and columns")
    np.save(path, np.zeros((2, 2, 3, 4, 5)))
    fails(path, "(2, 2, 3, 4, 5)", "page=0 to page=11")
    assert read(path, page=11).shape == (4, 5)
    np.save(path, np.array([["a", "b"]]))
    fails(path, "plain numbers")
    np.save(path, np.zeros((2, 2), "M8[s]"))
    fails(path, "plain numbers")
    np.save(path, np.zeros((2, 2), [("a", "f4"), ("b", "i4")]))
    fails(path, "plain numbers")


def test_pickles_are_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "hacked"),))

    path = tmp_path / "a.npy"
    np.save(path, np.array([[Bomb()]], dtype=object), allow_pickle=True)
    fails(path, "could run code")
    assert not (tmp_path / "hacked").exists()


def test_complex_tiff(tmp_path):
    fails(tiff(tmp_path / "a.tif", np.ones((4, 5), np.complex64)), "complex")


def test_pages_that_are_not_there(tmp_path):
    fails(make("tiff stack", tmp_path), "no page 4", "page=0 to page=3", page=4)
    fails(make("tiff stack", tmp_path), "no page -1", page=-1)
    fails(make("png 8", tmp_path), "no page 1", "page=0", page=1)
    fails(make("gif", tmp_path), "no page 3", page=3)
    fails(make("npy", tmp_path), "no page 7", page=7)
    assert read(make("png 8", tmp_path), page=0).shape == GREY8.shape


def test_channels_must_be_picked(tmp_path):
    path = tiff(tmp_path / "a.tif", np.stack([GREY16, GREY16[::-1]]), imagej=True, metadata={"axes": "CYX"})
    fails(path, "channels", "page=0 to page=1")
    np.testing.assert_array_equal(read(path, page=1).pixels, GREY16[::-1])
    five = np.random.default_rng(0).integers(0, 99, (6, 7, 5), dtype=np.uint8)
    path = tiff(tmp_path / "b.tif", five, planarconfig="contig")
    fails(path, "channels")
    np.testing.assert_array_equal(read(path, page=4).pixels, five[..., 4])


def test_errors_are_silent(tmp_path, capfd, caplog):
    """Not a word of the libraries on the terminal or in the log."""
    for name in FILES:
        path = make(name, tmp_path)
        data = bytearray(path.read_bytes())
        data[len(data) // 3 :: 7] = bytes(len(data[len(data) // 3 :: 7]))
        path.write_bytes(data)
        with suppress(ReadError):
            read(path)
    captured = capfd.readouterr()
    assert (captured.out, captured.err, caplog.records) == ("", "", [])
