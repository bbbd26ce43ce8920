"""The method `particles`: a trained network that finds every particle and says how sure it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np

from segmetry.errors import OptionError
from segmetry.evaluate.promise import Promise, find_promise
from segmetry.evaluate.score_map import ScoreMap
from segmetry.segment.doubt import Doubt, doubt_of, mean_over
from segmetry.segment.dropout import draw_keep
from segmetry.segment.engine import Model, load_model, normalise
from segmetry.segment.foreground import number_regions
from segmetry.segment.grouping import Grouped
from segmetry.segment.methods import Method, Scene, option
from segmetry.segment.pick import pick_particles
from segmetry.segment.pyramid import Passes, Plan, plan_search, search, typical_side
from segmetry.segment.refine import refine_contours
from segmetry.types import Segmentation, frame_of

UNSURE = 0.6
"""Mean chance of being right below which the user is warned: the image may be of another kind."""

CACHE = 256e6
"""Bytes of maps of all samples that are kept at once; beyond that each sample runs the network for itself."""

LABEL_OFFSET = 1.25
"""How far outside of the grey edge the labels lie that the shipped model learned from, in px."""


class _Found(NamedTuple):
    """Particles of one search: labels, chance of each to be right."""

    labels: np.ndarray
    score: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ParticleNetwork(Method):
    """Every particle by a network that points each pixel to its particle's centre.

    1. A first pass at half resolution tells how large the particles are; a second at the zoom at which the network
       knows them best, averaged over flips; gaps are filled from a finer zoom (`segmetry.segment.pyramid`).
    2. Pixels that point to one centre are a particle (`segmetry.segment.grouping`). Its score is the chance that it is
       right, calibrated on publications that the network had not seen; what has less than `threshold` goes.
    3. Contours move to the edge of the grey where it is clear (`segmetry.segment.refine`).
    4. With `samples`, the network runs again under random masks (Monte Carlo dropout), and each run is segmented in
       the same way: the spread is the segmentation's share of every interval.

    Notes
    -----
    `false_share` and `miss_rate` choose the threshold with a guarantee; see docs/explanation/promise.md.
    """

    name: ClassVar[str] = "particles"
    summary: ClassVar[str] = "trained network: particles of any shape and contrast, each with a chance to be right"

    model: str = option("particles", "a model that comes along, or the folder of one", kind="text")
    threshold: float | None = option(
        None, "smallest score of a particle; the model's own unless told", kind="float", low=0, high=1
    )
    false_share: float | None = option(
        None, "choose the threshold that promises at most this share of false particles", kind="float", low=0, high=1
    )
    miss_rate: float | None = option(
        None, "choose the threshold that promises at most this share of missed particles", kind="float", low=0, high=1
    )
    turns: int = option(2, "flips and quarter turns that are averaged", low=1, high=8)
    fill: bool = option(True, "look into gaps at a finer zoom")
    refine: bool = option(True, "move contours to the edge of the grey where it is clear")
    samples: int = option(0, "Monte Carlo samples; they give intervals the segmentation's share", low=0, high=256)
    min_size: int = option(20, "drop particles of fewer pixels", unit="px", low=1)
    pick: str = option(
        "all",
        "keep all particles, those that do not touch the frame, or only isolated ones",
        choices=("all", "inside", "isolated"),
    )
    seed: int = option(0, "of the random masks", low=0, high=2**32 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(x is not None for x in (self.threshold, self.false_share, self.miss_rate)) > 1:
            raise OptionError("particles: give one of threshold, false_share and miss_rate; each chooses the threshold.")

    def run(self, scene: Scene) -> Segmentation:
        """Return the particles of a scene."""
        model = load_model(self.model)
        if model.card.task != "particles":
            raise OptionError(f"particles: the model {self.model} is for {model.card.task}; name one for particles.")
        frame = tuple(slice(a, b) for a, b in frame_of(None if scene.valid is None else ~scene.valid, scene.pixels.shape))
        valid = None if scene.valid is None else scene.valid[frame]
        pixels = _standardised(model, scene.pixels[frame], valid)
        threshold, promise = self._threshold(model)
        passes = self._passes(model)
        plan = plan_search(pixels, valid, model.maps, passes)
        main = search(pixels, valid, model.maps, plan, passes)
        score_map = _score_map(model)
        found = self._kept(main.grouped, score_map, threshold)
        notes, info = [], self._info(model, plan, threshold, promise, found)
        n_before = found.labels.max(initial=0)
        labels, refined = self._refined(scene.pixels[frame], found.labels, valid, info, notes)
        labels, picking = pick_particles(labels, self.pick, valid)
        kept = np.flatnonzero(np.isin(np.arange(1, n_before + 1), _sources(found.labels, labels)))
        samples, doubt = self._samples(model, scene.pixels[frame], pixels, valid, plan, passes, score_map, threshold)
        if doubt is None:
            doubt = doubt_of([_probability(main.seed, pixels.shape)])
        info |= {"picking": picking.as_dict(), "n_before": picking.n_before}
        whole = _Whole(frame, scene.pixels.shape)
        notes += self._remarks(model, plan, found, promise)
        return Segmentation(
            whole(labels),
            "instance",
            info=info,
            notes=tuple(notes),
            probability=whole(doubt.probability),
            uncertainty=whole(doubt.entropy),
            epistemic=whole(doubt.mutual_information) if self.samples else None,
            scores=found.score[kept],
            samples=tuple(whole(s) for s in samples),
        )
