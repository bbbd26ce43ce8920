"""Synthetic scenes with known truth: shapes, particles, arrangements, microscopes, burned-in annotations."""

from segmetry.synth.annotate import BarTruth
from segmetry.synth.options import ParticleScene
from segmetry.synth.presets import random_scene, scenes
from segmetry.synth.raster import draw_disk, raster_disk, raster_ellipse, raster_polygon, regular_polygon
from segmetry.synth.scene import Scene, simulate
from segmetry.synth.truth import WholeMask

__all__ = [
    "BarTruth",
    "ParticleScene",
    "Scene",
    "WholeMask",
    "draw_disk",
    "random_scene",
    "raster_disk",
    "raster_ellipse",
    "raster_polygon",
    "regular_polygon",
    "scenes",
    "simulate",
]
