"""One training run of a network for classes: deal the images, fit, export, calibrate, judge, and a model folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import platform
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segmetry.errors import LabelError, OptionError
from segmetry.evaluate.combining import combine
from segmetry.evaluate.judgement import ImageScores, Rules, judge
from segmetry.evaluate.ranking import ScoreHistogram, count_scores
from segmetry.evaluate.reliability import Reliability, diagram
from segmetry.evaluate.temperature import fit_temperature
from segmetry.io.card import Card
from segmetry.io.json_file import plain, write_json
from segmetry.io.model_folder import write_model_folder
from segmetry.nets.export import Exported, export
from segmetry.nets.table import NETWORKS
from segmetry.segment.engine import Model, by_window, load_model
from segmetry.segment.network import map_names, probabilities
from segmetry.train.augment import IGNORED
from segmetry.train.class_recipe import ClassRecipe
from segmetry.train.class_task import ClassTask
from segmetry.train.log import time_taken
from segmetry.train.looks import begin_looks
from segmetry.train.loop import fit
from segmetry.train.losses import Loss
from segmetry.train.planning import Plan, plan
from segmetry.train.run_folder import MODEL, RECIPE, SCORES, SPLIT, claim
from segmetry.train.running import PLAIN, Running
from segmetry.train.samples import Labelled, Normalisation, Samples
from segmetry.train.splits import PARTS, deal
from segmetry.train.transfer import starting_weights
from segmetry.train.verdict import Verdict
from segmetry.train.weight_maps import class_weights

PIXELS = 100_000
"""Pixels of each image that the temperature rests on."""


def train_classes(
    recipe: ClassRecipe,
    images: Sequence[Labelled],
    folder: Path,
    *,
    classes: Sequence[str],
    listed: Sequence[str] = (),
    init: Path | None = None,
    name: str | None = None,
    minutes: float | None = None,
    widths: Sequence[float] = (),
    running: Running = PLAIN,
) -> Path:
    """Train a network that gives every pixel a class, and return its model folder, ``folder/model``.

    Parameters
    ----------
    recipe : ClassRecipe
    images : sequence of Labelled
    folder : Path
        Holds recipe, split, log, checkpoints, scores, and the model. A run that was stopped goes on if recipe, images
        and the model it begins with are the same.
    classes : sequence of str
        Names of the classes 0, 1, ...
    listed : sequence of str
        Part of each image, for a split "as listed".
    init : Path, optional
        Folder of a model whose weights are the first ones, see `segmetry.train.transfer.starting_weights`.
    name : str, optional
        Of the model; that of the network unless told.
    minutes : float, optional
        Take as many steps as fit into this time, in place of the recipe's; a run that goes on keeps those it began
        with.
    widths : sequence of float
        See `segmetry.evaluate.judgement.Rules`.
    running : Running

    Raises
    ------
    OptionError
        If the folder holds a run of another recipe, on other images or from another model, an option does not suit the
        images, or the model to begin with does not fit the network.
    ReadError
        If there is no model to begin with, or it is damaged.
    LabelError
        If a class never occurs in the training images.

    Notes
    -----
    The temperature is fitted on the images that check. Scores are those of the images that test, and where none do
    of those that check; `segmetry.evaluate.judgement.judge` makes them, as for `segmetry evaluate`.
    """
    parts, of = _dealt(recipe, images, listed)
    task = make_class_task(recipe, of["train"], of["check"], classes)
    begun = _begin(task, init)
    recipe = _planned(recipe, task, folder, minutes, running)
    claim(folder, recipe)
    claim_images(folder, images, parts, begun)
    begin_looks(folder, of["check"])
    network = fit(task, recipe.fit, folder, running)
    exported = export(
        network.cpu(), channels=task.card.channels, n_axes=len(task.card.axes), radius=task.card.receptive_radius
    )
    card = _finished(recipe, task, exported, of, begun=begun, name=name, folder=folder)
    model = folder / MODEL
    write_model_folder(model, card, exported.onnx)
    if of["check"]:
        ready = load_model(model)
        with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as work:
            logits = run_over(ready, of["check"], Path(work, "check"))
            heat = round(temperature(logits, of["check"]), 4)
            card = dataclasses.replace(ready.card, post={"temperature": heat, "calibrated_on": _size(of["check"])})
            part = "test" if of["test"] else "check"
            logits = run_over(ready, of["test"], Path(work, "test")) if of["test"] else logits
            verdict = judge_logits(logits, of[part], card, part, widths=widths)
        write_json(folder / SCORES, verdict.as_dict())
        write_model_folder(model, dataclasses.replace(card, scores=_headline(verdict)), exported.onnx)
    return model


def plan_classes(
    recipe: ClassRecipe,
    images: Sequence[Labelled],
    minutes: float,
    *,
    classes: Sequence[str],
    listed: Sequence[str] = (),
    running: Running = PLAIN,
) -> Plan:
    """Return what a run of a recipe on images can do in so many minutes, see `segmetry.train.planning.plan`."""
    _, of = _dealt(recipe, images, listed)
    task = make_class_task(recipe, of["train"], of["check"], classes)
    return plan(task, recipe.fit, minutes, running)


def _planned(
    recipe: ClassRecipe, task: ClassTask, folder: Path, minutes: float | None, running: Running
) -> ClassRecipe:
    """Return the recipe with as many steps as fit into the time; a run that goes on keeps those it began with."""
    if minutes is None:
        return recipe
    if (folder / RECIPE).exists():
        fit = ClassRecipe.load(folder / RECIPE).fit
        running.tell(f"goes on with the {fit.steps} steps that were planned")
        return recipe.changed({"steps": fit.steps, "warmup": fit.warmup})
    found = plan(task, recipe.fit, minutes, running)
    running.tell(
        f"a step of {recipe.fit.batch} samples takes {found.step:.2g} s, a look at what is held out {found.check:.2g} "
        f"s: {found.steps} steps in {minutes:g} minutes"
    )
    return recipe.changed({"steps": found.steps, "warmup": min(recipe.fit.warmup, found.steps // 10)})


def _dealt(
    recipe: ClassRecipe, images: Sequence[Labelled], listed: Sequence[str]
) -> tuple[list[str], dict[str, list[Labelled]]]:
    """Return the part of each image, and the images of each part."""
    parts = deal(recipe.split, [image.group for image in images], listed, seed=recipe.fit.seed)
    return parts, {part: [image for image, p in zip(images, parts, strict=True) if p == part] for part in PARTS}


def make_class_task(
    recipe: ClassRecipe, training: Sequence[Labelled], held_out: Sequence[Labelled], classes: Sequence[str]
) -> ClassTask:
    """Return what a recipe trains.

    Raises
    ------
    OptionError
        If the network is for images and these are volumes, or the other way about, or it cannot take the samples.
    LabelError
        If a class never occurs in the training images.
    """
    counts = np.stack([np.bincount(np.asarray(i.classes).ravel(), minlength=256)[: len(classes)] for i in training])
    if lacking := [name for name, n in zip(classes, counts.sum(axis=0), strict=True) if n == 0]:
        raise LabelError(
            f"train: {', '.join(lacking)} never occurs in the labels of the {len(training)} training images; "
            "leave the class out, label some of it, or take another split."
        )
    loss = Loss.from_dict(recipe.loss)
    n_axes = training[0].classes.ndim
    loss.check_axes(n_axes)
    samples = Samples(
        training,
        Normalisation.measured(training),
        options=recipe.samples,
        augment=recipe.augment,
        seed=recipe.fit.seed,
    )
    task = ClassTask(
        samples,
        held_out,
        classes,
        network=recipe.network,
        options=recipe.options,
        loss=loss,
        class_weight=class_weights(recipe.class_weights, counts).tolist() if recipe.class_weights else None,
        pixel_weight=recipe.pixel_weights,
    )
    check_sides(recipe, task.card.multiple, n_axes)
    return task


def run_over(model: Model, images: Sequence[Labelled], work: Path) -> list[np.ndarray]:
    """Return the logits (K or 1, *S) of images, each made once and kept in a new folder: together they may be larger
    than memory.
    """
    work.mkdir()
    found: list[np.ndarray] = []
    for image in images:
        path = work / f"{len(found)}.npy"
        np.save(path, model.maps(by_window(model.card, image.pixels))[: len(map_names(model.card.classes))])
        found.append(np.load(path, mmap_mode="r"))
    return found


def temperature(logits: Sequence[np.ndarray], images: Sequence[Labelled]) -> float:
    """Return the temperature of a model's probabilities, from up to `PIXELS` labelled pixels of each image."""
    rows, truth = [], []
    rng = np.random.default_rng(0)
    for maps, image in zip(logits, images, strict=True):
        target = np.asarray(image.classes).ravel()
        known = np.flatnonzero(target != IGNORED)
        if known.size > PIXELS:
            known = rng.choice(known, PIXELS, replace=False)
        rows.append(maps.reshape(len(maps), -1)[:, known])
        truth.append(target[known])
    return fit_temperature(np.concatenate(rows, axis=1), np.concatenate(truth))


def judge_logits(
    logits: Sequence[np.ndarray],
    images: Sequence[Labelled],
    card: Card,
    part: str,
    *,
    widths: Sequence[float] = (),
) -> Verdict:
    """Return how good a model is on images, as `segmetry evaluate` judges it, with the temperature of its card."""
    heat = np.float32(1 / float(card.post.get("temperature", 1.0)))
    found = (probabilities(maps * heat) for maps in logits)
    verdict = judge_probabilities(found, images, card.classes, part, widths=widths)
    sure = _Sureness()
    for image, maps in zip(images, logits, strict=True):
        sure.add(image, probabilities(maps))
    return dataclasses.replace(verdict, uncalibrated=sure.reliability)


def judge_probabilities(
    found: Iterable[np.ndarray],
    images: Sequence[Labelled],
    classes: Sequence[str],
    part: str,
    *,
    widths: Sequence[float] = (),
) -> Verdict:
    """Return how good probabilities (K, *S) of the classes are, one array for each image."""
    rules = Rules("semantic", classes=dict(enumerate(classes)), ignore=IGNORED, widths=tuple(widths))
    scores: list[ImageScores] = []
    sure = _Sureness()
    for image, probability in zip(images, found, strict=True):
        labels = probability.argmax(axis=0).astype(np.uint8)
        foreground = probability[1] if len(classes) == 2 else None
        scores.append(judge(np.asarray(image.classes), labels, rules, name=image.name, probability=foreground))
        sure.add(image, probability)
    return Verdict(part, scores, [i.group for i in images], sure.reliability)


class _Sureness:
    """How often the most probable class was the true one, counted by group, as images of one resemble each other."""

    def __init__(self) -> None:
        self.counts: dict[str, ScoreHistogram] = {}

    def add(self, image: Labelled, probability: np.ndarray) -> None:
        """Count the pixels of an image."""
        truth = np.asarray(image.classes)
        right = probability.argmax(axis=0) == truth
        own = count_scores(right, probability.max(axis=0), ignore=truth == IGNORED)
        self.counts[image.group] = self.counts[image.group] + own if image.group in self.counts else own

    @property
    def reliability(self) -> Reliability:
        """The diagram, with intervals from the differences between groups."""
        return diagram(ScoreHistogram.stack(self.counts.values()))


def check_sides(recipe: ClassRecipe, multiple: int, n_axes: int) -> None:
    """Refuse images and samples that the network cannot take, and offer the next that it can."""
    o = recipe.samples
    if (axes := len(NETWORKS[recipe.network].axes)) != n_axes:
        fitting = ", ".join(a.name for a in NETWORKS.values() if len(a.axes) == n_axes)
        raise OptionError(
            f"{recipe.network} takes {axes}D images, these are {n_axes}D: take one of {fitting}, or let a 2D network "
            "learn from the planes of volumes."
        )
    sides = {"side": o.side} | ({"planes": o.planes} if n_axes == 3 else {})
    for name, side in sides.items():
        if side % multiple:
            below, above = side // multiple * multiple, -(-side // multiple) * multiple
            near = f"{below} or {above}" if below else f"{above}"
            raise OptionError(
                f"samples: {recipe.network} takes multiples of {multiple}, but {name} is {side}; take {near}."
            )


def _begin(task: ClassTask, init: Path | None) -> dict[str, Any]:
    """Give a task the weights to begin with, and return what the card says of them."""
    if init is None:
        return {}
    start = starting_weights(init, task)
    task.start = dict(start.weights)
    return {"init": dict(start.record)}


def claim_images(
    folder: Path, images: Sequence[Labelled], parts: Sequence[str], begun: Mapping[str, Any] | None = None
) -> None:
    """Write what each image is for and what the run began with, or refuse one that was begun with others."""
    split = {
        "data_sha256": hash_labelled(images),
        "images": {i.name: {"group": i.group, "part": part} for i, part in zip(images, parts, strict=True)},
        **(begun or {}),
    }
    kept = folder / SPLIT
    if kept.exists() and json.loads(kept.read_text(encoding="utf-8")) != split:
        raise OptionError(
            f"{folder}: holds a run on other images or groups, or from another model; name another folder, or remove "
            "this one."
        )
    write_json(kept, split)


def hash_labelled(images: Sequence[Labelled]) -> str:
    """Return the SHA-256 of pixels, classes, names and groups, in the order of the names."""
    digest = hashlib.sha256()
    for image in sorted(images, key=lambda image: image.name):
        digest.update(f"{image.name} {image.group} {image.pixels.dtype.str} {image.pixels.shape}\n".encode())
        for channel in image.pixels:
            for plane in channel if image.classes.ndim == 3 else [channel]:
                digest.update(np.ascontiguousarray(plane).data)
        digest.update(np.ascontiguousarray(image.classes).data)
    return digest.hexdigest()


def _finished(
    recipe: ClassRecipe,
    task: ClassTask,
    exported: Exported,
    of: Mapping[str, Sequence[Labelled]],
    *,
    begun: Mapping[str, Any],
    name: str | None,
    folder: Path,
) -> Card:
    """Return the card of the trained network."""
    return dataclasses.replace(
        task.card,
        name=name or recipe.network,
        version="1",
        architecture=recipe.network,
        options=dict(recipe.options),
        pixel_size_range=pixel_sizes(of["train"]),
        training=about(recipe, of["train"], folder) | {"held_out": len(of["check"]) + len(of["test"])} | dict(begun),
        **exported.facts,
    )


def about(recipe: ClassRecipe, trained: Sequence[Labelled], folder: Path) -> dict[str, Any]:
    """Return what a card says of a run in a folder and of the images that trained."""
    return {
        "data_sha256": hash_labelled(trained),
        **_size(trained),
        "samples": recipe.fit.steps * recipe.fit.batch,
        "seconds": round(time_taken(folder, recipe.fit.batch)),
        "machine": f"{platform.machine()}, torch {torch.__version__}",
        "recipe": recipe.as_dict(),
    }


def pixel_sizes(images: Sequence[Labelled]) -> tuple[float, float] | None:
    """Return the smallest and the largest pixel size (nm) of images, means of their sides; None if unknown."""
    known = [math.prod(image.spacing) ** (1 / len(image.spacing)) for image in images if image.spacing]
    return (float(f"{min(known):.3g}"), float(f"{max(known):.3g}")) if known else None


def _size(images: Sequence[Labelled]) -> dict[str, int]:
    return {"images": len(images), "groups": len({image.group for image in images})}


def _headline(verdict: Verdict) -> dict[str, Any]:
    """Return the scores that a card names: value and ends of the interval."""
    found = combine(verdict.images, groups=verdict.groups)
    size = f"{len(verdict.images)} images in {len(set(verdict.groups))} groups that it did not learn from"
    told = {"on": f"{size} ({verdict.part}); value, and 95 % interval over groups, of all their pixels together"}
    table = found["semantic_pooled"]
    names = [n for n in table if n in ("accuracy", "mean_iou", "mean_dice") or n.startswith("iou[")]
    ends = {f"semantic_pooled.{n}": [table[n].value, table[n].low, table[n].high] for n in names}
    return plain(told | ends | {"ece": verdict.reliability.scores["ece"]})
