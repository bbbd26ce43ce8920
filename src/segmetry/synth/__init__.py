"""Synthetic scenes with known truth: particles under microscopes, and scenes whose every pixel has a class."""

from segmetry.synth.alloy import AlloyScene, simulate_alloy
from segmetry.synth.annotate import BarTruth
from segmetry.synth.branching import BranchingScene, simulate_branching
from segmetry.synth.kinds import LABELLED, labelled_scenes
from segmetry.synth.labelled import LabelledScene
from segmetry.synth.muscles import MuscleScene, simulate_muscles
from segmetry.synth.options import ParticleScene
from segmetry.synth.presets import random_scene, scenes
from segmetry.synth.raster import draw_disk, raster_disk, raster_ellipse, raster_polygon, regular_polygon
from segmetry.synth.scene import Scene, simulate
from segmetry.synth.somas import SomaScene, simulate_somas
from segmetry.synth.truth import WholeMask

__all__ = [
    "LABELLED",
    "AlloyScene",
    "BarTruth",
    "BranchingScene",
    "LabelledScene",
    "MuscleScene",
    "ParticleScene",
    "Scene",
    "SomaScene",
    "WholeMask",
    "draw_disk",
    "labelled_scenes",
    "random_scene",
    "raster_disk",
    "raster_ellipse",
    "raster_polygon",
    "regular_polygon",
    "scenes",
    "simulate",
    "simulate_alloy",
    "simulate_branching",
    "simulate_muscles",
    "simulate_somas",
]
