"""Surfaces in files, read back by readers written here from the formats' descriptions."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from segmetry.errors import CalibrationError, LabelError, OptionError, WriteError
from segmetry.io.mesh_files import write_meshes
from segmetry.measure.mesh import Mesh, meshes_of
from segmetry.types import Calibration

COLOURS = [(230, 159, 0), (0, 0, 255)]


@pytest.fixture
def meshes():
    """Two boxes, in µm."""
    labels = np.zeros((6, 6, 12), int)
    labels[2:4, 2:4, 2:4] = 3
    labels[1:5, 1:5, 6:10] = 8
    return meshes_of(labels, smoothing=0, calibration=Calibration((2, 1, 0.5), "µm"))


def volume(corners):
    """Volume inside triangles (F, 3, 3)."""
    return np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6


def test_stl(tmp_path, meshes):
    write_meshes(tmp_path / "a.stl", meshes)
    data = (tmp_path / "a.stl").read_bytes()
    assert b"unit um" in data[:80]
    assert not data.startswith(b"solid")
    (n,) = struct.unpack("<I", data[80:84])
    assert len(data) == 84 + 50 * n
    rows = np.frombuffer(data[84:], [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    assert volume(rows["corners"].astype(float)) == pytest.approx(sum(m.volume for m in meshes), rel=1e-5)
    sides = rows["corners"]
    crosses = np.cross(sides[:, 1] - sides[:, 0], sides[:, 2] - sides[:, 0])
    assert (np.einsum("ij,ij->i", crosses, rows["normal"]) > 0).all()


def test_ply(tmp_path, meshes):
    write_meshes(tmp_path / "a.ply", meshes, colours=COLOURS)
    head, body = (tmp_path / "a.ply").read_bytes().split(b"end_header\n", 1)
    lines = head.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    assert "comment segmetry, unit um" in lines
    n_corners, n_faces = (int(line.split()[-1]) for line in lines if line.startswith("element"))
    corners = np.frombuffer(body, [("place", "<f4", 3), ("normal", "<f4", 3), ("colour", "u1", 3)], n_corners)
    faces = np.frombuffer(
        body[corners.nbytes :], [("n", "u1"), ("corners", "<i4", 3), ("label", "<i4")], n_faces
    )  # fmt: skip
    assert corners.nbytes + faces.nbytes == len(body)
    assert (faces["n"] == 3).all()
    assert np.unique(corners["colour"], axis=0).tolist() == sorted(map(list, COLOURS))
    for mesh in meshes:
        own = faces["corners"][faces["label"] == mesh.label]
        assert volume(corners["place"][own].astype(float)) == pytest.approx(mesh.volume, rel=1e-5)


def test_glb(tmp_path, meshes):
    write_meshes(tmp_path / "a.glb", meshes, colours=COLOURS)
    data = (tmp_path / "a.glb").read_bytes()
    magic, version, size, n_text, kind = struct.unpack("<4sIII4s", data[:20])
    assert (magic, version, size, kind) == (b"glTF", 2, len(data), b"JSON")
    tree = json.loads(data[20 : 20 + n_text])
    n_blob, kind = struct.unpack("<I4s", data[20 + n_text : 28 + n_text])
    blob = data[28 + n_text :]
    assert (kind, len(blob), n_text % 4, n_blob % 4) == (b"BIN\0", n_blob, 0, 0)
    root = tree["nodes"][tree["scenes"][tree["scene"]]["nodes"][0]]
    assert root["scale"] == [1e-6] * 3

    def read(k):
        accessor = tree["accessors"][k]
        view = tree["bufferViews"][accessor["bufferView"]]
        part = blob[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        array = np.frombuffer(part, {5126: "<f4", 5125: "<u4"}[accessor["componentType"]])
        return array.reshape(accessor["count"], -1), accessor

    for child, mesh in zip(root["children"], meshes, strict=True):
        node = tree["nodes"][child]
        assert node["name"] == f"label {mesh.label}"
        (primitive,) = tree["meshes"][node["mesh"]]["primitives"]
        places, accessor = read(primitive["attributes"]["POSITION"])
        assert (accessor["min"], accessor["max"]) == (places.min(axis=0).tolist(), places.max(axis=0).tolist())
        faces = read(primitive["indices"])[0].reshape(-1, 3)
        metres = places.astype(float) * root["scale"]
        assert volume(metres[faces]) == pytest.approx(mesh.volume * 1e-18, rel=1e-5)
        assert len(read(primitive["attributes"]["NORMAL"])[0]) == len(places)
    orange, blue = (m["pbrMetallicRoughness"]["baseColorFactor"] for m in tree["materials"])
    assert blue == [0, 0, 1, 1]
    assert orange == pytest.approx([0.791, 0.347, 0, 1], abs=1e-3)  # sRGB 230, 159 as light


@pytest.mark.parametrize("kind", ["stl", "ply"])
def test_a_surface_that_was_never_calibrated(tmp_path, kind):
    (mesh,) = meshes_of(np.ones((2, 2, 2), int))
    write_meshes(tmp_path / f"a.{kind}", [mesh])
    assert b"unit px" in (tmp_path / f"a.{kind}").read_bytes()


def test_what_cannot_be_written(tmp_path, meshes):
    (bare,) = meshes_of(np.ones((2, 2, 2), int))
    with pytest.raises(CalibrationError, match="GLB is in metres"):
        write_meshes(tmp_path / "a.glb", [bare])
    with pytest.raises(CalibrationError, match="bring them to one unit"):
        write_meshes(tmp_path / "a.stl", [bare, *meshes])
    with pytest.raises(OptionError, match="choose one of these suffixes"):
        write_meshes(tmp_path / "a.obj", meshes)
    with pytest.raises(OptionError, match="1 colours for 2"):
        write_meshes(tmp_path / "a.ply", meshes, colours=COLOURS[:1])
    with pytest.raises(LabelError, match="no surface"):
        write_meshes(tmp_path / "a.ply", [Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32))])
    with pytest.raises(LabelError, match="no surface"):
        write_meshes(tmp_path / "a.ply", [])
    with pytest.raises(WriteError, match="folder does not exist"):
        write_meshes(tmp_path / "nowhere" / "a.ply", meshes)
    assert list(tmp_path.iterdir()) == []
