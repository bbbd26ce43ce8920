"""The command that trains: recipe, data, progress, and what came out."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmetry.cli.options import open_output, parse_settings
from segmetry.cli.progress import LINE_EVERY, track
from segmetry.errors import unknown_name
from segmetry.training import load_examples, need_torch

if TYPE_CHECKING:
    from segmetry.partners import FilePair
    from segmetry.train.recipe import TrainRecipe


def train_network(
    network: str | None,
    images: Path,
    truth: Path,
    out: Path,
    *,
    recipe: Path | None,
    settings: Iterable[str] | None,
    groups: Path | None,
    fold: int | None,
    workers: int | None,
    calibrate_with: Sequence[Path],
    as_json: bool,
) -> int:
    """Train a network on labelled images, and print where its model is."""
    need_torch()
    from segmetry.train.recipe import TrainRecipe
    from segmetry.train.run import train

    base = TrainRecipe.load(recipe) if recipe else TrainRecipe.default(network or "particles")
    if network is not None:
        base = dataclasses.replace(base, network=network)
    if fold is not None:
        base = dataclasses.replace(base, fold=fold)
    chosen = with_settings(base, parse_settings(settings or ()))
    examples = load_examples(images, truth, groups=groups, track=reading)
    open_output(out)
    n_workers = workers if workers is not None else max(1, min(8, (os.cpu_count() or 2) - 1))
    with Bar(chosen.fit.steps) as show:
        folder = train(chosen, examples, out, workers=n_workers, progress=show, calibrate_with=calibrate_with)
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    if as_json:
        print(json.dumps(card, indent=2, ensure_ascii=False))
    else:
        n, held = card["training"]["images"], card["training"]["held_out"]
        print(f"model: {folder} ({n} images, {held} held out)")
        print(f"use it: segmetry measure IMAGES -m {chosen.network} --set model={folder} -o OUT")
    return 0


def reading(pairs: Sequence[FilePair]) -> Iterable[FilePair]:
    """Yield the images of a training set and show how far they are: their scale bars take a while to read."""
    return track(pairs, len(pairs), lambda pair: pair.name)


def with_settings(recipe: TrainRecipe, settings: dict[str, Any]) -> TrainRecipe:
    """Return the recipe with entries changed: its own, or those of ``fit`` and ``crops`` by their bare name."""
    data = recipe.as_dict()
    inside = {name: data[part] for part in ("crops", "fit") for name in data[part]}
    for key, value in settings.items():
        if key not in inside and key not in data:
            raise unknown_name("entry of the recipe", key, (*data, *inside))
        inside.get(key, data)[key] = value
    return type(recipe).from_dict(data, where="--set")


class Bar:
    """A bar with time left and the loss in a terminal; a line now and then elsewhere."""

    def __init__(self, total: int) -> None:
        self.total, self.said = total, time.monotonic()
        self.progress: Any = None

    def __enter__(self) -> Any:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
            self.progress = Progress(*columns, console=Console(stderr=True))
            self.progress.start()
            self.task = self.progress.add_task("", total=self.total)
        return self.show

    def show(self, step: int, total: int, losses: dict[str, float]) -> None:
        """Tell how far it is."""
        text = f"loss {losses['loss']:.3f}, {losses['samples_per_s']:.0f} samples/s"
        if self.progress:
            self.progress.update(self.task, completed=step, description=text)
        elif time.monotonic() - self.said > LINE_EVERY:
            left = (total - step) / max(losses["steps_per_s"], 1e-9)
            print(f"segmetry: step {step} of {total}, {text}, about {left / 60:.0f} min left", file=sys.stderr)
            self.said = time.monotonic()

    def __exit__(self, *_: object) -> None:
        if self.progress:
            self.progress.stop()
