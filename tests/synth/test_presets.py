"""Varied random scenes: valid, whole, and the same whatever their number."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from segmetry.errors import OptionError
from segmetry.synth import ParticleScene, random_scene, scenes
from segmetry.synth.presets import PRESETS
from segmetry.units import parse_length


def test_records_are_varied_valid_and_plain_data():
    records = [random_scene(np.random.default_rng([5, i])) for i in range(300)]
    for name in ("kind", "arrangement", "support", "font", "footer", "bar", "bits", "calibrated"):
        assert len({getattr(r, name) for r in records}) >= 2, name
    assert {s for r in records for s in r.weights} >= {"sphere", "rod", "cube", "hollow", "irregular"}
    for r in records:
        assert ParticleScene.from_dict(json.loads(json.dumps(r.as_dict()))) == r
        assert r.calibrated or r.bar != "none" or r.footer != "none"  # else nothing would tell the pixel size


def test_the_microscope_can_be_chosen():
    assert {random_scene(np.random.default_rng(i), kind="sem").kind for i in range(10)} == {"sem"}


def test_hard_cases_are_what_they_are_called():
    for preset in ("wires", "chains"):
        records = [PRESETS[preset](np.random.default_rng([7, i])) for i in range(60)]
        assert all(ParticleScene.from_dict(json.loads(json.dumps(r.as_dict()))) == r for r in records)
        assert len({r.kind for r in records}) == 4
        if preset == "wires":
            assert {name for r in records for name in r.shapes} == {"rod"}
            assert min(r.aspect_ratio for r in records) >= 5
            assert max(r.aspect_ratio for r in records) > 15
        else:
            assert {r.arrangement for r in records} == {"chains"}
    (scene,) = scenes(1, seed=5, preset="wires")
    assert scene.truth["aspect_ratio"].median() > 4
    with pytest.raises(OptionError, match="preset"):
        next(scenes(1, preset="wired"))


def test_a_scene_does_not_depend_on_how_many_there_are():
    few, more = list(scenes(2, seed=3)), list(scenes(3, seed=3))
    for a, b in zip(few, more):
        assert a.parameters == b.parameters
        assert a.image.pixels.tobytes() == b.image.pixels.tobytes()
    assert len({s.image.pixels.tobytes() for s in more}) == 3


@pytest.mark.slow
def test_forty_scenes_hold_together():
    for scene in scenes(40, seed=11):
        pixels, labels = scene.image.pixels, scene.labels
        assert pixels.shape == labels.shape == scene.annotation_mask.shape == tuple(scene.parameters["frame_shape"])
        assert np.ptp(pixels) > 0
        shown = np.unique(labels[labels > 0])
        assert np.array_equal(shown, np.arange(1, len(shown) + 1))
        assert (scene.truth["visible_fraction"].to_numpy()[: len(shown)] > 0).all()
        assert (scene.truth["visible_fraction"].to_numpy()[len(shown) :] == 0).all()
        if scene.scale_bar:
            value, unit = parse_length(scene.scale_bar.text)
            assert (value, unit) == (scene.scale_bar.value, scene.scale_bar.unit)
            assert 0 <= scene.scale_bar.x0 < scene.scale_bar.x1 <= pixels.shape[1] - 0.5
            assert dataclasses.asdict(scene.scale_bar) == json.loads(json.dumps(scene.scale_bar.as_dict()))
