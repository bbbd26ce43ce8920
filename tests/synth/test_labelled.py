"""What holds for every kind of scene whose pixels have classes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from segmetry.errors import OptionError
from segmetry.synth import LABELLED, labelled_scenes

SMALL = {
    "alloy": {"frame_shape": (260, 240)},
    "somas": {"frame_shape": (420, 400), "vessels": 60.0, "vessels_as_class": True},
    "branching": {"frame_shape": (128, 128), "length": 9.0},
    "muscles": {"frame_shape": (96, 96), "pixel_size": 1.6, "n_slices": 5},
}
"""Options of a quick scene in which every class occurs."""


@pytest.mark.parametrize("kind", LABELLED)
class TestEveryKind:
    def test_same_seed_same_bytes_and_another_seed_another_image(self, kind):
        a, b, c = (LABELLED[kind].simulate(seed=s, **SMALL[kind]) for s in (1, 1, 2))
        assert a.image.pixels.tobytes() == b.image.pixels.tobytes()
        assert a.labels.tobytes() == b.labels.tobytes()
        assert a.truth.equals(b.truth)
        assert a.image.pixels.tobytes() != c.image.pixels.tobytes()
        assert a.labels.tobytes() != c.labels.tobytes()

    def test_a_scene_comes_back_from_its_recorded_parameters(self, kind):
        scene = LABELLED[kind].simulate(seed=5, **SMALL[kind])
        again = LABELLED[kind].simulate(**json.loads(json.dumps(scene.parameters)))
        assert again.image.pixels.tobytes() == scene.image.pixels.tobytes()
        assert again.parameters == scene.parameters
        json.dumps(scene.facts)

    def test_image_labels_and_facts_fit_together(self, kind):
        scene = LABELLED[kind].simulate(seed=1, **SMALL[kind])
        assert scene.image.pixels.dtype == np.float32
        assert scene.labels.dtype == np.int32
        assert np.isfinite(scene.image.pixels).all()
        assert scene.image.shape == scene.labels.shape
        assert np.unique(scene.labels).tolist() == list(range(len(scene.classes)))  # every class occurs
        pixel = math.prod(scene.image.calibration.spacing)
        size = scene.facts["area" if scene.labels.ndim == 2 else "volume"]
        for label, name in enumerate(scene.classes):
            assert size[name] == pytest.approx((scene.labels == label).sum() * pixel)
            assert scene.facts["share"][name] == pytest.approx((scene.labels == label).mean())
        assert set(scene.truth.attrs["units"]) == set(scene.truth.columns)

    def test_noise_touches_neither_labels_nor_truth(self, kind):
        quiet = {"counts": None} if kind in ("alloy", "branching") else {"noise": 0.0}
        a, b = (LABELLED[kind].simulate(seed=1, **{**SMALL[kind], **extra}) for extra in ({}, quiet))
        assert a.labels.tobytes() == b.labels.tobytes()
        assert a.truth.equals(b.truth)
        assert a.image.pixels.tobytes() != b.image.pixels.tobytes()

    def test_a_random_scene_does_not_depend_on_how_many_there_are(self, kind):
        few, more = (list(labelled_scenes(kind, n, seed=3, **SMALL[kind])) for n in (1, 2))
        assert few[0].image.pixels.tobytes() == more[0].image.pixels.tobytes()
        assert more[0].image.pixels.tobytes() != more[1].image.pixels.tobytes()

    def test_random_records_are_valid_varied_and_plain_data(self, kind):
        records = [LABELLED[kind].random(np.random.default_rng([5, i])) for i in range(50)]
        for record in records:
            assert type(record).from_dict(json.loads(json.dumps(record.as_dict()))) == record
        assert len({json.dumps(r.as_dict()) for r in records}) == 50

    def test_what_cannot_be(self, kind):
        with pytest.raises(OptionError, match="did you mean 'frame_shape'"):
            LABELLED[kind].simulate(frame_shap=(64, 64))
        with pytest.raises(OptionError, match="frame_shape must be from 4"):
            LABELLED[kind].simulate(frame_shape=(0, 64))
        with pytest.raises(OptionError, match="pixel_size"):
            LABELLED[kind].simulate(pixel_size=math.nan)
        with pytest.raises(OptionError, match="needs two values"):
            LABELLED[kind].simulate(frame_shape=(64,))


def test_a_kind_that_is_not_there():
    with pytest.raises(OptionError, match="did you mean 'somas'"):
        labelled_scenes("soma", 1)


def test_a_wrong_option_is_refused_before_the_first_scene():
    with pytest.raises(OptionError, match="did you mean 'biceps'"):
        labelled_scenes("muscles", 1, only="bicep")
