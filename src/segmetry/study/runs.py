"""One run of a study of settings: train in its folder, or go on there, and write what it cost."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segmetry.batch import default_jobs
from segmetry.cost import costed
from segmetry.evaluate.judgement import ImageScores
from segmetry.inputs import Task
from segmetry.io.json_file import write_json
from segmetry.io.model_folder import ONNX, read_card
from segmetry.labelled import LabelledSet, load_labelled
from segmetry.nets.table import count_parameters, sketch_network
from segmetry.segment.engine import load_model, normalise
from segmetry.segment.network import map_names
from segmetry.study.capacity import OutOfTimeError
from segmetry.study.networks import Result
from segmetry.study.peers import PEERS
from segmetry.study.settings import Run
from segmetry.train.class_recipe import ClassRecipe
from segmetry.train.class_run import (
    check_sides,
    hash_labelled,
    judge_probabilities,
    plan_classes,
    train_classes,
)
from segmetry.train.log import read_log, time_taken
from segmetry.train.loop import LAST, use_threads
from segmetry.train.losses import Loss
from segmetry.train.run_folder import SCORES
from segmetry.train.running import Running
from segmetry.train.samples import Labelled

COST = "cost.json"
"""Written last: it marks a run that is done."""

_MIB = 2**20


class Source(NamedTuple):
    """What labelled images are read from and how: see `segmetry.labelled.load_labelled`."""

    images: Path
    labels: Path | None
    groups: Path | None
    classes: tuple[tuple[int, str], ...]
    ignore: int | None
    foreground: bool
    planes: bool


@cache
def load(source: Source) -> LabelledSet:
    """Return the labelled images of a source; each process reads them once."""
    return load_labelled(
        source.images,
        source.labels,
        groups=source.groups,
        classes=dict(source.classes) or None,
        ignore=source.ignore,
        foreground=source.foreground,
        planes=source.planes,
    )


@cache
def _digests(source: Source) -> dict[str, str]:
    """Return the SHA-256 of each image with its classes."""
    return {image.name: hash_labelled([image]) for image in load(source).images}


def check_recipe(recipe: ClassRecipe, found: LabelledSet) -> None:
    """Raise the error of a recipe that cannot be trained on images, before anything is."""
    n_axes = found.images[0].classes.ndim
    Loss.from_dict(recipe.loss).check_axes(n_axes)
    network = _network(recipe, len(found.images[0].pixels), tuple(found.classes.values()))
    check_sides(recipe, network.multiple, n_axes)


def _network(recipe: ClassRecipe, channels: int, classes: Sequence[str]) -> Any:
    """Return the network of a recipe without any weights."""
    channels += 2 * recipe.samples.coordinates
    return sketch_network(recipe.network, channels=channels, maps=map_names(classes), options=recipe.options)


@dataclass(frozen=True)
class StudyWork:
    """Train and judge one run; picklable, so that runs can go side by side.

    Parameters
    ----------
    images, labels, groups : path
        Data of the study.
    minutes : float, optional
        That a run may take.
    ends : float, optional
        Time of day (`time.time`) after which no run begins, and what runs is stopped to go on another time.
    device : str
    workers : int
        Processes that draw samples for a run.
    jobs : int
        Runs side by side; they share the processor's cores.
    widths : tuple of float
        See `segmetry.evaluate.judgement.Rules`.
    """

    images: Path
    labels: Path | None
    groups: Path | None
    minutes: float | None = None
    ends: float | None = None
    device: str = "auto"
    workers: int = 1
    jobs: int = 1
    widths: tuple[float, ...] = ()

    def is_done(self, task: Task) -> bool:
        """Return whether a run is done."""
        return (task.path / COST).exists()

    def state(self, task: Task, error: str = "") -> str:
        """Return what became of a run: done, failed, stopped, or not run."""
        if error or self.is_done(task):
            return "failed" if error else "done"
        return "stopped" if (task.path / LAST).exists() else "not run"

    def data(self, recipe: ClassRecipe) -> LabelledSet:
        """Return the images as a recipe takes them."""
        return load(self._source(recipe))

    def identity(self, recipe: ClassRecipe, names: Sequence[str], init: Path | None) -> str:
        """Return what tells apart the images of a recipe, and the model that it begins with."""
        digests = _digests(self._source(recipe))
        return " ".join([*(digests[name] for name in names), read_card(init).sha256 if init else ""])

    def _source(self, recipe: ClassRecipe) -> Source:
        classes = tuple(sorted(recipe.classes.items()))
        how = (classes, recipe.ignore, recipe.foreground, recipe.planes)
        return Source(self.images, self.labels, self.groups, *how)

    def seconds(self, run: Run) -> float:
        """Return how long the steps of a run will take, from a few that are timed."""
        if self.minutes is not None:
            return 60 * self.minutes
        images, how = self._given(run)
        return run.recipe.fit.steps * plan_classes(run.recipe, images, 1e6, **how).step

    def __call__(self, task: Task) -> None:
        """Train a run, judge it and write its cost; return without these where the time is over."""
        run = task
        assert isinstance(run, Run)
        if self._over():
            return
        if self.jobs > 1:
            use_threads(max(1, default_jobs() // self.jobs))
        images, how = self._given(run)
        if run.setting.peer:
            self._do_peer(run, images, how["classes"])
            return
        how |= {"init": run.init, "minutes": self.minutes, "widths": self.widths}
        try:
            model = train_classes(run.recipe, images, run.path, **how)
        except OutOfTimeError:
            return
        held_out = [image for image in images if run.parts[image.name] != "train"]
        write_json(run.path / COST, self._cost(run, model, held_out[-1]))

    def _do_peer(self, run: Run, images: Sequence[Labelled], classes: Sequence[str]) -> None:
        """Let a peer learn, judge it as networks are judged, and write its cost."""
        training = [image for image in images if run.parts[image.name] == "train"]
        part = "test" if "test" in run.parts.values() else "check"
        judged = [image for image in images if run.parts[image.name] == part]
        fitted = costed(lambda: PEERS[run.setting.peer].fit(training, len(classes), run.seed))
        verdict = judge_probabilities(map(fitted.result, judged), judged, classes, part, widths=self.widths)
        prediction = costed(lambda: fitted.result(judged[-1])).seconds
        run.path.mkdir(parents=True, exist_ok=True)
        write_json(run.path / SCORES, verdict.as_dict())
        cost = {
            "n_training": run.n_training,
            "seconds": fitted.seconds,
            "memory": fitted.peak_memory if math.isfinite(fitted.peak_memory) else None,
            "seconds_per_megapixel": prediction / (judged[-1].classes.size / 1e6),
            "device": "cpu",
            "jobs": self.jobs,
        }
        write_json(run.path / COST, cost)

    def _over(self) -> bool:
        return self.ends is not None and time.time() > self.ends

    def _watch(self, step: int, total: int, losses: dict[str, float]) -> None:
        if step < total and self._over():
            raise OutOfTimeError

    def _given(self, run: Run) -> tuple[list[Labelled], dict[str, Any]]:
        found = self.data(run.recipe)
        images = [image for image in found.images if image.name in run.parts]
        listed = [run.parts[image.name] for image in images]
        how = {"classes": tuple(found.classes.values()), "listed": listed}
        return images, how | {"running": Running(self.workers, self.device, self._watch)}

    def _cost(self, run: Run, model: Path, image: Labelled) -> Mapping[str, Any]:
        """Return what a run cost; the prediction is timed on a held-out image, the second time that it is done."""
        recipe, log, card, engine = run.recipe, read_log(run.path), read_card(model), load_model(model)
        seconds = time_taken(run.path, recipe.fit.batch)
        steps = int(log.training[-1]["step"])
        samples = steps * recipe.fit.batch
        trained = [one for one in self._given(run)[0] if run.parts[one.name] == "train"]
        pixels = normalise(card, np.asarray(image.pixels))
        engine.maps(pixels)
        prediction = costed(lambda: engine.maps(pixels)).seconds
        memory = [entry["memory_risen"] for entry in log.training if entry.get("memory_risen") is not None]
        return {
            "n_training": run.n_training,
            "steps": steps,
            "batch": recipe.fit.batch,
            "epochs": samples / samples_of_epoch(recipe, trained),
            "seconds": seconds,
            "seconds_per_1000": 1000 * seconds / samples,
            "samples_per_s": samples / seconds,
            "memory": max(memory, default=None),
            "seconds_per_megapixel": prediction / (image.classes.size / 1e6),
            "parameters": count_parameters(_network(recipe, len(image.pixels), card.classes)),
            "model_size": (model / ONNX).stat().st_size / _MIB,
            "device": "; ".join(dict.fromkeys(entry["device"] for entry in log.starts)),
            "jobs": self.jobs,
            "minutes": self.minutes,
        }


def samples_of_epoch(recipe: ClassRecipe, images: Sequence[Labelled]) -> float:
    """Return how many samples hold as many pixels as the images together."""
    o = recipe.samples
    if not o.side:
        return len(images)
    planes = o.planes if images[0].classes.ndim == 3 else 1
    return sum(image.classes.size for image in images) / (planes * o.side**2)


def read_result(run: Run, state: str, error: str = "") -> Result:
    """Return what became of a run, and where it is done its scores and cost."""
    if state != "done":
        return Result(run, state, error)
    scores, cost = (json.loads((run.path / name).read_text(encoding="utf-8")) for name in (SCORES, COST))
    images = [ImageScores.from_dict(image) for image in scores["images"]]
    return Result(run, state, images=images, groups=scores["groups"], cost=cost)
