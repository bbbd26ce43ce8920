"""Peers of networks: a forest tells what grey values and textures tell, and no class that it did not see."""

from __future__ import annotations

import numpy as np
import pytest

from segmetry.study import peers
from segmetry.study.peers import fit_forest
from segmetry.train.samples import Labelled


def checked(seed: int, n_classes: int) -> Labelled:
    """Return an image of squares of random classes, each with its grey value; some pixels unlabelled, one unknown."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, n_classes, (5, 5)).repeat(12, 0).repeat(12, 1).astype(np.uint8)
    pixels = (60 * classes + rng.normal(0, 8, classes.shape)).astype(np.float32)[None]
    classes[:, :4], pixels[0, 5, 5] = 255, np.nan
    return Labelled(f"s{seed}", f"s{seed}", pixels, classes)


@pytest.mark.slow
def test_a_forest_learns_what_is_grey(monkeypatch):
    monkeypatch.setattr(peers, "TREES", 8)
    training, image = [checked(0, 2), checked(1, 3)], checked(2, 3)
    predict = fit_forest(training, 4, seed=0)
    found = predict(image)
    assert found.shape == (4, *image.classes.shape)
    assert np.allclose(found.sum(axis=0), 1)
    assert not found[3].any(), "nobody showed it this class"
    known = image.classes != 255
    assert (found.argmax(axis=0) == image.classes)[known].mean() > 0.9
    assert np.array_equal(found, fit_forest(training, 4, seed=0)(image))
