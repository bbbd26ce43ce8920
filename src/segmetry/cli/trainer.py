"""The command that trains: recipe, data, progress, and what came out."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmetry.cli.live import Bar
from segmetry.cli.options import open_output, parse_settings
from segmetry.cli.progress import track
from segmetry.errors import OptionError, unknown_name
from segmetry.evaluate.scores import score_name
from segmetry.io.model_folder import model_beside, read_card, resolve_model
from segmetry.train.running import Progress, Running
from segmetry.training import load_examples, need_torch

if TYPE_CHECKING:
    from segmetry.partners import FilePair
    from segmetry.train.class_recipe import ClassRecipe
    from segmetry.train.recipe import TrainRecipe


@dataclasses.dataclass(frozen=True)
class Data:
    """What a network learns from: the options of that name, or the entries of ``data`` in a recipe.

    Parameters
    ----------
    images, labels, groups : path, optional
        See `segmetry.training.load_examples` and `segmetry.labelled.load_labelled`.
    init : path, optional
        Model whose weights are the first ones: its folder, or the name of one that comes along.
    """

    images: Path | None = None
    labels: Path | None = None
    groups: Path | None = None
    init: Path | None = None


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a training runs: the options of that name."""

    minutes: float | None = None
    device: str = "auto"
    workers: int | None = None
    calibrate_with: Sequence[Path] = ()
    curves: bool = True

    @property
    def n_workers(self) -> int:
        """Processes that draw samples."""
        return self.workers if self.workers is not None else max(1, min(8, (os.cpu_count() or 2) - 1))

    def running(self, progress: Progress) -> Running:
        """Return them as training takes them; what it says goes to stderr."""
        return Running(self.n_workers, self.device, progress, lambda text: print(f"segmetry: {text}", file=sys.stderr))


def train_network(
    recipe: Path | None,
    given: Data,
    out: Path,
    options: RunOptions,
    *,
    network: str | None,
    settings: Iterable[str] | None,
    fold: int | None,
    find_rate: bool,
    as_json: bool,
) -> int:
    """Train a network on labelled images, and print where its model is."""
    need_torch()
    from segmetry.train.recipe import TrainRecipe

    base, data = read_recipe(recipe, network)
    data = dataclasses.replace(data, **{k: v for k, v in dataclasses.asdict(given).items() if v is not None})
    if data.images is None:
        raise OptionError("train: name what to learn from: --images FOLDER --labels FOLDER.")
    changes = parse_settings(settings or ())
    if find_rate and changes.setdefault("learning_rate", 0.0):
        raise OptionError(
            "train: --find-rate searches for the learning rate that --set learning_rate names; leave out one."
        )
    if isinstance(base, TrainRecipe):
        if fold is not None:
            changes["fold"] = fold
        folder = _train_particles(base.changed(changes), data, out, options)
    else:
        if fold is not None:
            changes["split"] = f"fold {fold} of 5"
        folder = _train_classes(base.changed(changes), data, out, options)
    card = read_card(folder)
    if as_json:
        print(json.dumps(card.as_dict(), indent=2, ensure_ascii=False))
        return 0
    print(f"model: {folder} ({card.training['images']} images, {card.training['held_out']} held out)")
    for name, value in card.scores.items():
        if name.endswith((".mean_iou", ".ap50")) and value[0] is not None:
            ends = "" if None in value else f" [{value[1]:.3f}, {value[2]:.3f}]"
            print(f"{score_name(name)} {value[0]:.3f}{ends}, of {card.scores['on']}")
    if (page := out / "report.html").exists():
        print(f"report: {page}")
    print(f"use it: segmetry measure IMAGES -m {folder} -o OUT")
    return 0


def read_recipe(path: Path | None, network: str | None) -> tuple[TrainRecipe | ClassRecipe, Data]:
    """Return the recipe in a file, or the everyday one of a network, and the data that the file names.

    Paths in the file are from its folder, see `read_data`. The network that is named outranks that of the file.
    """
    from segmetry.nets.table import NETWORKS
    from segmetry.train.class_recipe import ClassRecipe
    from segmetry.train.recipe import ARCHITECTURES, TrainRecipe
    from segmetry.train.recipe_file import read_yaml

    entries: Any = read_yaml(path) if path else {}
    found = Data()
    if isinstance(entries, Mapping):
        entries = dict(entries)
        if path is not None:
            found = read_data(entries.pop("data", None), path)
        if network is not None:
            entries["network"] = network
        name = str(entries.get("network", "particles"))
        if name in NETWORKS:
            return ClassRecipe.from_dict(entries, where=str(path)), found
        if name not in ARCHITECTURES:
            raise unknown_name("network", name, (*ARCHITECTURES, *NETWORKS))
        if path is None:
            return TrainRecipe.default(name), found
    return TrainRecipe.from_dict(entries, where=str(path)), found


def read_data(entries: Any, path: Path) -> Data:
    """Return what the table ``data`` in a file names; its paths are from the folder of the file.

    ``init`` may also be the name of a model that comes along.
    """
    from segmetry.train.recipe_file import entries_of

    named = entries_of(Data, entries or {}, f"data in {path}")
    where = {name: path.parent / str(value) for name, value in named.items() if value is not None}
    if "init" in where:
        where["init"] = model_beside(str(named["init"]), path.parent)
    return Data(**where)


def _train_particles(recipe: TrainRecipe, data: Data, out: Path, options: RunOptions) -> Path:
    from segmetry.report.particle_training import write_particle_report
    from segmetry.train.run import train

    if options.minutes is not None:
        raise OptionError(f"train: minutes plan networks for classes; for {recipe.network} say --set steps=4000.")
    if data.init is not None:
        raise OptionError(f"train: --init begins networks for classes; {recipe.network} begins with random weights.")
    if data.images is None or data.labels is None:
        raise OptionError("train: name the labels of the images: --labels FOLDER.")
    examples = load_examples(data.images, data.labels, groups=data.groups, track=reading)
    open_output(out)
    with Bar(out, recipe.fit.steps, curves=options.curves) as show:
        model = train(
            recipe,
            examples,
            out,
            calibrate_with=options.calibrate_with,
            running=options.running(show),
        )
    write_particle_report(out, examples)
    return model


def _train_classes(recipe: ClassRecipe, data: Data, out: Path, options: RunOptions) -> Path:
    from segmetry.labelled import load_labelled
    from segmetry.report.training import write_training_report
    from segmetry.train.class_run import train_classes

    if options.calibrate_with:
        raise OptionError("train: other runs calibrate networks for particles only; leave out --calibrate-with.")
    init = None if data.init is None else resolve_model(data.init)
    assert data.images is not None
    found = load_labelled(
        data.images,
        data.labels,
        groups=data.groups,
        classes=recipe.classes or None,
        ignore=recipe.ignore,
        foreground=recipe.foreground,
        planes=recipe.planes,
        track=lambda files: track(files, len(files), lambda one: one.name),
    )
    for note in found.notes:
        print(f"segmetry: {note}", file=sys.stderr)
    print(f"segmetry: {len(found.images)} images, classes {', '.join(found.classes.values())}", file=sys.stderr)
    open_output(out)
    with Bar(out, recipe.fit.steps, curves=options.curves) as show:
        model = train_classes(
            recipe,
            found.images,
            out,
            classes=tuple(found.classes.values()),
            listed=found.parts,
            init=init,
            minutes=options.minutes,
            running=options.running(show),
        )
    write_training_report(out)
    return model


def reading(pairs: Sequence[FilePair]) -> Iterable[FilePair]:
    """Yield the images of a training set and show how far they are: their scale bars take a while to read."""
    return track(pairs, len(pairs), lambda pair: pair.name)
