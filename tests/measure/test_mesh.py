"""Surfaces of bodies: closed, outwards, of the right area and volume, by analysis and against Crofton's."""

from __future__ import annotations

import math

import numpy as np
import pytest

import solids
from segmetry.errors import CalibrationError, ImageError, LabelError, OptionError
from segmetry.measure.mesh import mesh_of, meshes_of
from segmetry.measure.topology import solid_of
from segmetry.types import Calibration


def edges(mesh):
    """The edges of all triangles, each with its sense."""
    return np.concatenate([mesh.faces[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])


def is_closed(mesh):
    """Each edge is met once in either sense."""
    there = {tuple(e) for e in edges(mesh).tolist()}
    return len(there) == len(edges(mesh)) and all((b, a) in there for a, b in there)


# Of the voxels' volume, and of the true area, what a mesh may be off; the raster's own error of the area comes on top.
@pytest.mark.parametrize(
    ("spacing", "volume", "area"), [((1.0, 1.0, 1.0), 0.007, 0.025), ((2.0, 1.0, 1.0), 0.015, 0.035)]
)
def test_bodies(spacing, volume, area):
    rng = np.random.default_rng(0)
    calibration, turn = Calibration(spacing, "mm"), solids.rotation(rng)
    for body, expected, true_area in (
        (solids.ball(10, spacing, rng), 2, 400 * math.pi),
        (solids.ellipsoid((14, 9, 9), spacing, rng, turn), 2, _spheroid(14, 9)),
        (solids.cylinder(24, 8, spacing, rng, turn), 2, 2 * math.pi * 8 * (8 + 24)),
        (solids.torus(12, 5, spacing, rng, turn), 0, 4 * math.pi**2 * 12 * 5),
        (solids.hollow_ball(12, 6, spacing, rng), 4, 4 * math.pi * (144 + 36)),
    ):
        mesh = mesh_of(body, calibration=calibration)
        crofton = solid_of(body, calibration=calibration)
        assert is_closed(mesh)
        assert len(mesh.vertices) - len(mesh.faces) // 2 == expected  # Euler's number of the surface
        assert mesh.volume == pytest.approx(crofton.volume, rel=volume)
        assert mesh.area == pytest.approx(true_area, rel=area)
        assert crofton.surface_area == pytest.approx(true_area, rel=area)
        steps = mesh_of(body, smoothing=0, calibration=calibration)
        assert steps.area > 1.03 * true_area  # why it is smoothed
        assert mesh.unit == "mm"


def _spheroid(long, short):
    """Surface of a long spheroid."""
    e = math.sqrt(1 - (short / long) ** 2)
    return 2 * math.pi * short**2 * (1 + long / (short * e) * math.asin(e))


def test_one_voxel_by_hand():
    """An octahedron whose corners are half a voxel from the centre: 4/3 times .5³."""
    mask = np.zeros((4, 5, 6), bool)
    mask[1, 2, 3] = True
    mesh = mesh_of(mask, smoothing=0, calibration=Calibration((2, 1, 1), "nm"))
    assert len(mesh.faces) == 8
    assert mesh.volume == pytest.approx(4 / 3 * 0.5**3 * 2)
    assert mesh.vertices.mean(axis=0).tolist() == [3, 2, 2]  # x, y, z
    assert is_closed(mesh)
    outwards = mesh.vertices - mesh.vertices.mean(axis=0)
    assert (np.einsum("ij,ij->i", outwards, mesh.normals) > 0).all()
    assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1)


def test_the_frame_closes_a_surface():
    full = mesh_of(np.ones((6, 7, 8), bool), smoothing=0)
    assert is_closed(full)
    assert full.volume == pytest.approx(6 * 7 * 8, rel=0.05)
    plane = mesh_of(np.ones((1, 12, 12), bool))
    assert is_closed(plane)
    assert plane.volume > 0


def test_laws():
    rng = np.random.default_rng(3)
    body = solids.torus(7, 3, (1, 1, 1), rng, solids.rotation(rng))
    mesh, flipped = mesh_of(body), mesh_of(body[::-1])
    assert flipped.volume == pytest.approx(mesh.volume, rel=1e-3)
    assert flipped.area == pytest.approx(mesh.area, rel=1e-2)
    scaled = mesh_of(body, calibration=Calibration((3, 3, 3), "nm"))
    assert scaled.vertices == pytest.approx(3 * mesh.vertices)
    assert mesh_of(np.pad(body, ((2, 0), (0, 0), (5, 0)))).vertices == pytest.approx(
        mesh.vertices + np.array([5, 0, 2])
    )


def test_labels():
    labels = np.zeros((6, 6, 12), int)
    labels[2:4, 2:4, 2:4] = 3
    labels[1:5, 1:5, 6:10] = 8
    small, large = meshes_of(labels, smoothing=0)
    assert (small.label, large.label) == (3, 8)
    assert small.volume < large.volume
    (only,) = meshes_of(labels, [8], smoothing=0)
    assert only.vertices.tolist() == large.vertices.tolist()
    with pytest.raises(LabelError, match=r"no label 5; the volume holds 3, 8\."):
        meshes_of(labels, [3, 5])
    with pytest.raises(LabelError, match="background only"):
        meshes_of(labels * 0)


def test_what_has_no_surface():
    with pytest.raises(LabelError, match="empty"):
        mesh_of(np.zeros((3, 3, 3), bool))
    with pytest.raises(ImageError, match="wants 3 axes"):
        mesh_of(np.ones((3, 3), bool))
    with pytest.raises(OptionError, match="from 0 on"):
        mesh_of(np.ones((3, 3, 3), bool), smoothing=-1)
    with pytest.raises(CalibrationError):
        mesh_of(np.ones((3, 3, 3), bool), calibration=Calibration((1, math.nan, 1), "mm"))
