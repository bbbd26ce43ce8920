"""What a trial runs beside the image itself; the rest is tested from the command line."""

from __future__ import annotations

import numpy as np

from segmetry.competitors import parse_competitors
from segmetry.recipe import Recipe
from segmetry.trials import _warm_up
from segmetry.types import Image


def test_warming_up_compiles_what_the_image_will_need(monkeypatch):
    """Kernels differ by the type of pixels and by whether some are ignored; each kind is warmed once."""
    seen = []
    monkeypatch.setattr("segmetry.trials._WARM", set())
    monkeypatch.setattr("segmetry.trials.segment", lambda image, method: seen.append(image))
    (otsu,) = parse_competitors(["otsu"], Recipe())
    pixels = np.zeros((120, 130), np.uint16)
    text = np.zeros(pixels.shape, bool)
    text[100:] = True  # out of the corner that is warmed with
    for image in (Image(pixels), Image(pixels), Image(pixels, ignore=text), Image(pixels, ignore=text)):
        _warm_up(otsu, image)
    assert [(i.pixels.dtype, i.ignore is not None and bool(i.ignore.any())) for i in seen] == [
        (np.uint16, False),
        (np.uint16, True),
    ]
