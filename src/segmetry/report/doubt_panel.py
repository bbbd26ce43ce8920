"""The maps of a segmentation's doubt as pictures with a colour bar each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from segmetry.report.drawn import data_uri
from segmetry.report.picture import encode_jpeg, encode_png, shrink

COLOURS = "inferno"
"""Colour map of matplotlib: black is sure, and lightness alone tells the order."""

SIDE = 640
"""Longest side of a picture."""

MEANINGS = {
    "total": "entropy of what a pixel is",
    "epistemic": "what the samples disagree on: about the model",
    "aleatoric": "the rest: what the image leaves open",
}

MOST = math.log(2)
"""Top of the bar of all the doubt and of its aleatoric part, nats: a coin's toss."""


class Panel(NamedTuple):
    """A map as a picture, what it is, and its colour bar from 0 to `top`; pictures as data URIs."""

    name: str
    meaning: str
    picture: str
    bar: str
    top: str


def doubt_panels(maps: Mapping[str, np.ndarray]) -> list[Panel]:
    """Return pictures of the maps of `Result.maps`.

    The epistemic part is small as a rule, so its bar ends at its own 99.9th percentile.
    """
    panels = []
    for name, values in maps.items():
        top = max(MOST, float(values.max(initial=0)))  # more than two classes may leave more doubt
        if name == "epistemic":
            top = float(np.quantile(values, 0.999)) or float(values.max(initial=0)) or MOST
        panels.append(Panel(name, MEANINGS[name], _picture(values, top), _bar(), f"{top:.2g}"))
    return panels


def _picture(values: np.ndarray, top: float) -> str:
    scale = min(1.0, SIDE / max(values.shape))
    small = shrink(values, tuple(max(1, round(n * scale)) for n in values.shape)) if scale < 1 else values
    return data_uri("jpeg", encode_jpeg(_coloured(small / top), 80))


def _bar() -> str:
    return data_uri("png", encode_png(_coloured(np.linspace(0, 1, 128)[None])))


def _coloured(share: np.ndarray) -> np.ndarray:
    from matplotlib import colormaps

    return np.asarray(colormaps[COLOURS](share, bytes=True)[..., :3])
