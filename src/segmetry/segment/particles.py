"""The method `particles`: a trained network that finds every particle and says how sure it is."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np

from segmetry.errors import OptionError
from segmetry.evaluate.count_doubt import CountDoubt
from segmetry.evaluate.promise import Promise, find_promise
from segmetry.evaluate.score_map import ScoreMap
from segmetry.io.model_folder import Card, shipped_models
from segmetry.options import option
from segmetry.segment.doubt import Doubt, DoubtSum, doubt_of, mean_over
from segmetry.segment.dropout import draw_keep, no_dropout
from segmetry.segment.engine import Model, load_model, normalise
from segmetry.segment.foreground import number_regions
from segmetry.segment.grouping import Grouped
from segmetry.segment.methods import Method, Scene
from segmetry.segment.network_input import unlike_pixels
from segmetry.segment.objects import label_areas
from segmetry.segment.pick import pick_particles
from segmetry.segment.pyramid import Passes, Plan, plan_search, search
from segmetry.segment.refine import refine_contours
from segmetry.types import Segmentation, frame_of

UNSURE, MURKY = 0.7, 0.5
"""Mean chance to be right, of the particles that are kept and of all candidates, below which the user is warned: the
image may be of another kind. So it was on 5 of 74 micrographs that the network had not seen, and on all five pictures
of something else (letters, clouds, a cat, a photographer, grass) in which it kept anything."""

TINY = 5
"""Area (px) of the smallest particles that are counted where what is asked for may be too large."""

CACHE = 2.5e8
"""Bytes of maps of all samples that are kept at once; where they need more, each sample runs the network for itself."""

BORDER_REFINED, BORDER_SMALL = 0.5, 3.0
"""Standard uncertainty of a shift that the contours of an image on the grey edge share: so many px, and with it so many
px² over the diameter. The first is the root mean square over simulated micrographs (studies/doubt.py): three in five
are off by less than .2 px, one in five by .5 to 2 px. The second is what small particles add where the edge
is found: .44 px at 6 px, .33 at 10, .21 at 15, .11 at 20 (docs/studies/borders.md, half the bias, root mean square)."""

BORDER_DRAWN = 1.0
"""The same of contours as the network draws them, in px of its input, where its card says nothing."""


class _Kept(NamedTuple):
    """Particles that stay, the chance of each to be right, and those of all candidates that letters do not hide."""

    labels: np.ndarray
    scores: np.ndarray
    candidates: np.ndarray


class _Outlined(NamedTuple):
    """Labels with their final contours, and whether each was placed on the edge of the grey."""

    labels: np.ndarray
    on_edge: np.ndarray


def border_on_edge(diameter: np.ndarray) -> np.ndarray:
    """Return the standard uncertainty (px) of a shift that contours on the grey edge share, by the diameter (px)."""
    return np.hypot(BORDER_REFINED, BORDER_SMALL / diameter)


@dataclass(frozen=True, kw_only=True)
class Particles(Method):
    """Every particle, by a network that points each pixel to its particle's centre.

    1. A first pass at half resolution tells how large the particles are; a second runs at the zoom at which the network
       knows them best, averaged over flips (`segmetry.segment.pyramid`).
    2. Pixels that point to one centre are a particle (`segmetry.segment.grouping`). Its score is its chance to be
       right, calibrated on publications that the network had not seen; what has less than the threshold goes.
    3. Contours move to the edge of the grey where it is clear (`segmetry.segment.refine`).
    4. With `samples` the network runs again under random masks (Monte Carlo dropout), and each run is segmented in the
       same way: the spread is the segmentation's share of every interval.

    Notes
    -----
    Of several models (``model="A,B,C"``, a deep ensemble) the maps are averaged, which is sound for offsets too: the
    pixels of a particle that all models see point to the mean of the models' centres. Samples take turns over the
    models, so that what the models disagree on joins the epistemic part.

    `false_share` and `miss_rate` choose the threshold with a guarantee; see docs/explanation/promise.md. Masks are
    drawn from `seed` and are an input of the network: the same seed gives the same samples everywhere.
    """

    name: ClassVar[str] = "particles"
    summary: ClassVar[str] = "trained network: particles of any shape and contrast, each with its chance to be right"

    model: str = option(
        "particles", "a model that comes along, or the folder of one; several, with commas, are averaged", kind="text"
    )
    threshold: float | None = option(
        None, "smallest score of a particle; the model's own unless told", kind="float", low=0, high=1
    )
    false_share: float | None = option(
        None, "threshold that promises at most this share of false particles", kind="float", low=0, high=1
    )
    miss_rate: float | None = option(
        None, "threshold that promises at most this share of missed particles", kind="float", low=0, high=1
    )
    turns: int = option(2, "flips and quarter turns that are averaged", low=1, high=8)
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
            raise OptionError("particles: give one of threshold, false_share, miss_rate; each chooses the threshold.")

    def check(self) -> None:
        """Raise the error of a model that is missing, damaged or of another kind, or of a promise it cannot give."""
        self._promise(self._loaded()[0].card)

    def run(self, scene: Scene) -> Segmentation:
        """Return the particles of a scene."""
        models = self._loaded()
        model = models[0]
        promise = self._promise(model.card)
        box = frame_of(None if scene.valid is None else ~scene.valid, scene.pixels.shape)
        frame = tuple(slice(start, stop) for start, stop in box)
        valid = None if scene.valid is None else scene.valid[frame]
        grey = np.ascontiguousarray(scene.pixels[frame])
        pixels = normalise(model.card, grey, valid)
        passes = self._passes(model.card)
        plan = plan_search(pixels, None, _mean_of(models), passes)
        main = search(pixels, None, _mean_of(models), plan, passes)
        found = self._kept(main.particles, model.card, promise, valid)
        info: dict[str, Any] = {
            "model": model.card.identity,
            "engine": model.engine,
            "can_sample": len(models) > 1 or model.card.can_sample,
            "zoom": round(plan.zoom, 4),
        }
        notes = list(_remarks(model.card, plan, found, self._chances(main.particles.score, model.card)))
        notes += unlike_pixels(model.card, scene)
        if self.min_size > TINY and not plan.typical > 3 * math.sqrt(self.min_size):  # nan where none was seen
            every = search(pixels, None, _mean_of(models), plan, replace(passes, min_area=TINY)).particles
            notes += self._dropped_small(self._kept(every, model.card, promise, valid).labels)
        if len(models) > 1:
            info["ensemble"] = [m.card.identity for m in models]
            loud, what = ("WARNING: ", "promise and scores") if promise else ("", "scores and threshold")
            notes.append(
                f"{loud}{len(models)} models were averaged: {what} were calibrated for {self._names()[0]} alone, and "
                "need not hold for the mean."
            )
        if promise:
            # Its threshold is on raw scores, those of the table are chances: the same particles, told in one scale.
            told = replace(promise, threshold=float(self._chances(np.array([promise.threshold]), model.card)[0]))
            info["promise"] = told.as_dict()
            notes.append(told.sentence)
            notes += self._departures(Passes(**model.card.post.get("passes", {}))) + _by_others(model.card)
        samples, doubt = self._samples(models, grey, pixels, valid, plan, promise)
        seed = main.seed
        del pixels, main  # of a large image, a lot of memory
        drawn = model.card.post.get("border", BORDER_DRAWN) / plan.zoom
        outlined = self._outlined(grey, found.labels, valid, drawn, info, notes)
        labels, picking = pick_particles(_numbered(outlined.labels), self.pick, valid)
        scores = _survivors(found.scores, outlined.labels, labels)
        info |= {
            "expected_right": round(float(scores.mean()), 4) if scores.size else None,
            "n_before": picking.n_before,
            "picking": picking.as_dict(),
            "count_sd": self._count_sd(found, model.card),
        }
        if doubt is None:
            doubt = doubt_of([seed])
        whole = _Paste(frame, scene.pixels.shape, grey.shape)
        return Segmentation(
            whole.labels(labels),
            "instance",
            info=info,
            notes=tuple(notes),
            probability=whole.map(doubt.probability),
            uncertainty=whole.map(doubt.entropy),
            epistemic=whole.map(doubt.mutual_information) if self.samples > 1 else None,  # one disagrees with none
            scores=scores,
            on_edge=_survivors(outlined.on_edge, outlined.labels, labels),
            samples=tuple(whole.labels(s) for s in samples),
        )

    def _names(self) -> list[str]:
        return [name.strip() for name in self.model.split(",")]

    def _loaded(self) -> list[Model]:
        if self.name in self._names() and self.name not in shipped_models():
            raise OptionError(
                "particles: no trained model came with this copy of segmetry; make it with 'make model', name one with "
                "--set model=FOLDER, or use a method without a network: -m hybrid."
            )
        models = [load_model(name) for name in self._names()]
        for name, model in zip(self._names(), models, strict=True):
            if model.card.task != "particles":
                raise OptionError(f"particles: the model {name} is for {model.card.task}; name one for particles.")
            for what in ("maps", "stride", "channels", "normalisation"):
                if getattr(model.card, what) != getattr(models[0].card, what):
                    raise OptionError(
                        f"particles: {name} and {self._names()[0]} differ in their {what}, so they cannot be averaged."
                    )
        if self.samples and len(models) == 1 and not models[0].card.can_sample:
            raise no_dropout(self.name, self.model)
        return models

    def _passes(self, card: Card, *, turns: int | None = None) -> Passes:
        chosen = dict(card.post.get("passes", {}))
        return Passes(**chosen | {"n_turns": turns or self.turns, "min_area": self.min_size})

    def _promise(self, card: Card) -> Promise | None:
        """Return the promise asked for, or raise the error that says that the model cannot give it."""
        for kind, alpha in (("false", self.false_share), ("missed", self.miss_rate)):
            if alpha is None:
                continue
            table = [Promise.from_dict(p) for p in card.post.get("promises", ())]
            if not table:
                raise OptionError(f"particles: the model {self.model} was not calibrated, it promises nothing.")
            found = find_promise(table, kind, alpha)  # type: ignore[arg-type]  # one of the two kinds
            if found.threshold is None:
                raise OptionError(f"particles: {found.sentence}")
            return found
        return None

    def _dropped_small(self, labels: np.ndarray) -> list[str]:
        """Return the note that most of all particles are smaller than what is asked for."""
        area = np.bincount(labels.ravel(), minlength=1)[1:]
        small = int((area < self.min_size).sum())
        if 2 * small <= area.size:
            return []
        return [
            f"{small} of {area.size} candidates are smaller than min_size={self.min_size} px and were dropped; --set "
            f"min_size={TINY} keeps them."
        ]

    def _departures(self, calibrated: Passes) -> list[str]:
        """Return the warning of options that a promise was not made for: they change what is found, or its scores."""
        usual = {"turns": calibrated.n_turns, "min_size": calibrated.min_area, "pick": "all"}
        other = [f"{name}={getattr(self, name)}" for name, value in usual.items() if getattr(self, name) != value]
        if not other:
            return []
        made = ", ".join(f"{name}={value}" for name, value in usual.items())
        return [f"WARNING: the promise was made with {made}; with {', '.join(other)} it need not hold."]

    def _kept(self, particles: Grouped, card: Card, promise: Promise | None, valid: np.ndarray | None) -> _Kept:
        """Return the particles whose score is high enough, numbered anew, with their chances.

        A particle goes on below letters that cover it; what lies mostly below them is none.
        """
        chance = self._chances(particles.score, card)
        if promise:
            keep = promise.keep(particles.score)
        else:
            keep = chance >= (self.threshold if self.threshold is not None else card.post.get("threshold", 0.0))
        seen = np.ones(chance.size, bool) if valid is None else mean_over(particles.labels, ~valid) <= 0.5
        keep = keep & seen
        return _Kept(number_regions(particles.labels, np.concatenate([[False], keep])), chance[keep], chance[seen])

    def _count_sd(self, found: _Kept, card: Card) -> float | None:
        """Return the standard uncertainty of the number of particles.

        None of those that were picked, and of a model whose card does not say how far its counts are off.
        """
        doubt = card.post.get("count")
        if self.pick != "all" or doubt is None:
            return None
        return round(CountDoubt.from_dict(doubt).sd(found.candidates, found.scores.size), 4)

    def _chances(self, scores: np.ndarray, card: Card) -> np.ndarray:
        """Return chances to be right of raw scores; the scores themselves where the model was not calibrated."""
        score_map = card.post.get("score_map")
        return ScoreMap.from_dict(score_map).apply(scores) if score_map else scores

    def _outlined(
        self,
        grey: np.ndarray,
        labels: np.ndarray,
        valid: np.ndarray | None,
        drawn: float,
        info: dict[str, Any],
        notes: list[str],
    ) -> _Outlined:
        """Return labels with their final contours; `info` tells how many were placed and how far they moved.

        `drawn` is the standard uncertainty (px) of a shift of all contours as the network draws them.
        """
        if not self.refine:
            info["border_sd_px"] = round(drawn, 3)
            return _Outlined(labels, np.zeros(int(labels.max(initial=0)), bool))
        refined = refine_contours(grey, labels, valid=valid)
        n, moved = refined.moved.size, int(refined.moved.sum())
        shift = float(np.mean(refined.shift[refined.moved])) if moved else 0.0
        info["contours"] = {"on_edge": moved, "as_labelled": n - moved, "mean_shift_px": round(shift, 3)}
        diameter = 2 * np.sqrt(np.maximum(label_areas(refined.labels, n)[1:], 1) / math.pi)
        border = np.where(refined.moved, border_on_edge(diameter), drawn)
        info["border_sd_px"] = round(float(border.mean()) if n else BORDER_REFINED, 3)
        notes += refined.notes
        return _Outlined(refined.labels, refined.moved)

    def _samples(
        self,
        models: Sequence[Model],
        grey: np.ndarray,
        pixels: np.ndarray,
        valid: np.ndarray | None,
        plan: Plan,
        promise: Promise | None,
    ) -> tuple[list[np.ndarray], Doubt | None]:
        """Return label images of Monte Carlo samples, and the doubt that the samples of the seed map leave."""
        if not self.samples:
            return [], None
        each = -(-self.samples // len(models))
        runs = [_sampled_runs(m, draw_keep(m.card.dropout, each, self.seed), CACHE / len(models)) for m in models]
        passes = self._passes(models[0].card, turns=1)
        labels, sums = [], DoubtSum()
        for k in range(self.samples):
            found, seed = search(pixels, None, runs[k % len(models)][k // len(models)], plan, passes)
            kept = self._kept(found, models[0].card, promise, valid).labels
            if self.refine:
                kept = _numbered(refine_contours(grey, kept, valid=valid).labels)
            labels.append(pick_particles(kept, self.pick, valid).labels)
            sums.add(seed)
        return labels, sums.doubt()


def _mean_of(models: Sequence[Model]) -> Callable[[np.ndarray], np.ndarray]:
    """Return a network whose maps are the mean of those of several."""
    if len(models) == 1:
        return models[0].maps
    return lambda image: np.asarray(np.mean([m.maps(image) for m in models], axis=0, dtype=np.float32))


def _sampled_runs(model: Model, masks: np.ndarray, room: float) -> list[Callable[[np.ndarray], np.ndarray]]:
    """Return a network for each mask; what all are run on is computed for all at once where `room` (bytes) allows."""
    cache: dict[bytes, np.ndarray] = {}
    size = len(model.card.maps) / model.card.stride**2  # of maps, in images

    def at(i: int, image: np.ndarray) -> np.ndarray:
        key = hashlib.blake2b(image.tobytes() + str(image.shape).encode(), digest_size=16).digest()
        if key not in cache:
            if sum(maps.nbytes for maps in cache.values()) + size * len(masks) * image.nbytes > room:
                return model.maps(image, masks[i])
            cache[key] = model.maps(image, masks)
        return cache[key][i]

    return [lambda image, i=i: at(i, image) for i in range(len(masks))]  # type: ignore[misc]


def _remarks(card: Card, plan: Plan, found: _Kept, candidates: np.ndarray) -> Sequence[str]:
    """Return what the user should know: nothing found, an unlike image, particles of unlike size."""
    remarks = []
    n, kept = candidates.size, found.scores
    if not kept.size:
        best = f"the best of {n} candidates has a score of {candidates.max():.2f}" if n else "the network saw none"
        asked = ", and a higher one was asked for by the threshold or the promise" if n else ""
        remarks.append(f"no particle was found: {best}{asked}")
    elif kept.mean() < UNSURE or candidates.mean() < MURKY:
        remarks.append(
            f"WARNING: the network is unsure: of {n} candidates it kept {kept.size}, and {100 * kept.mean():.0f} % of "
            "these are expected to be right. The image may be unlike those it learned from: look at the overlay, ask "
            "for surer ones (--set threshold=0.8), try another method, or train on your own images."
        )
    elif _touching(found.labels) == kept.size:
        remarks.append(
            "WARNING: every particle touches the frame, none is seen whole: they may be the background of one that "
            "fills the image, or parts of something larger. Look at the overlay, or lower the magnification."
        )
    if card.size_range and plan.typical > 0 and not card.size_range[0] / 2 <= plan.typical <= 2 * card.size_range[1]:
        remarks.append(
            f"WARNING: the typical particle is {plan.typical:.0f} px across, the network learned from "
            f"{card.size_range[0]:.0f} to {card.size_range[1]:.0f} px."
        )
    return remarks


def _touching(labels: np.ndarray) -> int:
    """Return how many particles touch the frame."""
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return int(np.count_nonzero(np.unique(rim)))


def _by_others(card: Card) -> list[str]:
    """Return the remark on a promise that rests on what other models found, those of cross-validation."""
    # Promises may rest on more models than the map of scores does.
    made = card.post.get("promised_on") or card.post.get("calibrated_on", {})
    models = made.get("models", [card.sha256])
    if set(models) == {card.sha256}:
        return []
    which = "others" if card.sha256 not in models else f"this one and {len(models) - 1} more"
    return [
        f"the promise was proved for {len(models)} models ({which}) that each learned from a part of the same images; "
        "that it holds for this one by itself is an assumption."
    ]


def _numbered(labels: np.ndarray) -> np.ndarray:
    """Return labels without gaps: a contour that moved may have closed."""
    present = np.bincount(labels.ravel(), minlength=1) > 0
    return labels if present[1:].all() else number_regions(labels, present)


def _survivors(values: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return what is known of the particles that are left after picking, by their new numbers."""
    old = np.zeros(int(after.max(initial=0)) + 1, int)
    old[after.ravel()] = before.ravel()
    return values[old[1:] - 1]


class _Paste(NamedTuple):
    """The way back from the frame, on which the network ran, to the whole image."""

    frame: tuple[slice, ...]
    shape: tuple[int, ...]
    inner: tuple[int, ...]

    def labels(self, labels: np.ndarray) -> np.ndarray:
        """Return labels of the whole image."""
        if self.inner == self.shape:
            return labels
        out = np.zeros(self.shape, np.int32)
        out[self.frame] = labels
        return out

    def map(self, values: np.ndarray) -> np.ndarray:
        """Return a map, at whatever resolution it came, on the whole image; 0 beyond the frame."""
        height, width = self.inner
        whole = np.zeros(self.shape, np.float32)
        whole[self.frame] = cv2.resize(values.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        return whole
