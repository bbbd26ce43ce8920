"""Files are there whole or not at all."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from segmetry.errors import WriteError
from segmetry.io import atomic, write_coco, write_geojson, write_labels, write_rois, write_table


def write_half(path, error):
    """Write a part of a file, then fail."""
    with atomic(path) as temporary:
        temporary.write_text("half")
        raise error


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_success_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_the_file_is_as_open_to_others_as_any(tmp_path):
    (tmp_path / "plain").touch()
    with atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_failure_keeps_the_old_file(error, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error):
        write_half(path, error())
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "cannot be written"),
    ],
)
def test_a_full_disk_is_one_line(code, words, tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(WriteError, match=words) as caught:
        write_half(path, OSError(code, os.strerror(code)))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_a_disk_that_is_truly_full(tmp_path):
    """/dev/full answers every write as a full disk does."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")

    def fill():
        with atomic(tmp_path / "a.txt"), Path("/dev/full").open("w") as full:
            full.write("x" * 100000)

    with pytest.raises(WriteError, match="disk is full"):
        fill()
    assert names(tmp_path) == []


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path, words in [
        (tmp_path / "nothing" / "a.txt", "does not exist"),
        (tmp_path / "file" / "a.txt", "not a folder"),
        (tmp_path / "folder", "is a folder"),
        (tmp_path / f"{'n' * 300}.txt", "name is too long"),
    ]:
        with pytest.raises(WriteError, match=words), atomic(path) as temporary:
            temporary.write_text("never")
    assert names(tmp_path) == ["file", "folder"]


@contextmanager
def no_room(n_bytes):
    """Within it, no file may grow beyond some bytes: every library meets the error where it writes."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


WRITERS = {
    "labels": (write_labels, "a.tif", np.eye(5, dtype=np.int32)),
    "rois": (write_rois, "a.zip", np.eye(5, dtype=np.int32)),
    "coco": (write_coco, "a.json", np.eye(5, dtype=np.int32)),
    "geojson": (write_geojson, "a.geojson", np.eye(5, dtype=np.int32)),
    "csv": (write_table, "a.csv", "table"),
    "parquet": (write_table, "a.parquet", "table"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_is_atomic(name, tmp_path, monkeypatch):
    import pandas as pd

    write, file_name, what = WRITERS[name]
    if isinstance(what, str):
        what = pd.DataFrame({"label": [1]})
    with pytest.raises(WriteError, match="does not exist"):
        write(tmp_path / "nothing" / file_name, what)

    with no_room(40), pytest.raises(WriteError) as caught:
        write(tmp_path / file_name, what)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []

    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WriteError, match="disk is full"):
        write(tmp_path / file_name, what)
    assert names(tmp_path) == []
