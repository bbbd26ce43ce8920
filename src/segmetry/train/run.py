"""One training run: split, fit, export, and a model folder at the end."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from segmetry.errors import OptionError
from segmetry.io.atomic import atomic
from segmetry.io.json_file import write_json
from segmetry.io.model_folder import Card, read_card, write_model_folder
from segmetry.nets.export import Exported, export
from segmetry.segment.pyramid import typical_side
from segmetry.train.bpartis_task import BPartISTask
from segmetry.train.calibrate import calibration, score_examples
from segmetry.train.crops import Crops
from segmetry.train.data import Example, hash_examples, pack, unpack
from segmetry.train.log import time_taken
from segmetry.train.loop import fit
from segmetry.train.particle_task import ParticleTask
from segmetry.train.particle_verdict import judge_particles
from segmetry.train.recipe import TrainRecipe
from segmetry.train.run_folder import MODEL, RECIPE, SCORES, claim
from segmetry.train.running import PLAIN, Running
from segmetry.train.splits import folds
from segmetry.train.stepping import Task

SCENES = "scenes.npz"

CITATIONS = {
    "particles": (
        "Neven et al., CVPR 2019, 10.1109/CVPR.2019.00904",
        "Yildirim and Cole, 2021, 10.1021/acs.jcim.0c01455",
    ),
    "bpartis": ("Yildirim and Cole, J. Chem. Inf. Model. 2021, 10.1021/acs.jcim.0c01455",),
}
"""What the networks and their losses come from."""

N_PIXEL_SIZES = 20
"""A card states a range of pixel sizes if so many are known: fewer say little of its ends."""


def split(examples: Sequence[Example], recipe: TrainRecipe) -> tuple[list[Example], list[Example]]:
    """Return the images that a recipe trains on and those it holds out, whole groups on either side."""
    if recipe.fold is None:
        return list(examples), []
    fold = folds([e.group for e in examples], recipe.folds)
    parts = (
        [e for e, k in zip(examples, fold, strict=True) if k != recipe.fold],
        [e for e, k in zip(examples, fold, strict=True) if k == recipe.fold],
    )
    if not parts[0] or not parts[1]:
        raise OptionError(
            f"train: {len({e.group for e in examples})} groups cannot be dealt into {recipe.folds} folds; "
            "use fewer folds, or name the groups of the images."
        )
    return parts


def fold_models(recipe: TrainRecipe, examples: Sequence[Example], runs: Sequence[Path]) -> dict[Path, list[Example]]:
    """Return the models of runs that held out other folds, with the images that each has not seen; see `train`."""
    if runs and recipe.network != "particles":
        raise OptionError(f"train: a network {recipe.network!r} is not calibrated; leave out the runs to do it with.")
    found: dict[Path, list[Example]] = {}
    taken = {recipe.fold}
    for run in runs:
        other = TrainRecipe.load(run / RECIPE)
        if other.fold is None or dataclasses.replace(other, fold=recipe.fold) != recipe:
            raise OptionError(f"{run}: is no run of this recipe with a fold; name runs that differ in that only.")
        if other.fold in taken:
            raise OptionError(
                f"{run}: held out fold {other.fold}, as this run or one named before it; name runs of other folds: "
                "each image counts once, scored by a network that has not seen it."
            )
        taken.add(other.fold)
        training, held_out = split(examples, other)
        if read_card(run / MODEL).training.get("data_sha256") != hash_examples(training):
            raise OptionError(f"{run}: learned from other images or groups; calibrate with runs on these same ones.")
        found[run / MODEL] = held_out
    return found


def make_task(
    recipe: TrainRecipe, training: Sequence[Example], held_out: Sequence[Example], made: Sequence[Example]
) -> Task:
    """Return what a recipe trains."""
    seed = recipe.fit.seed
    if recipe.network == "bpartis":
        return BPartISTask(training, held_out, seed=seed)
    n = recipe.fit.steps * recipe.fit.batch
    crops = Crops(
        training,
        made,
        share=recipe.scenes_share,
        warm=int(recipe.scenes_first * n) if made else 0,
        seed=seed,
        options=recipe.crops,
    )
    # The crops that judge are drawn from one seed, whatever the run's: losses of runs can be compared.
    checks = Crops(held_out, seed=99, options=recipe.crops) if held_out else None
    return ParticleTask(crops, checks, widths=recipe.widths)


def synthetic_examples(n: int, seed: int, cache: Path, *, hard: int = 0) -> list[Example]:
    """Return varied and hard synthetic scenes as examples, made once and kept in a file."""
    if n + hard == 0:
        return []
    if not cache.exists():
        from segmetry.synth import scenes

        made = []
        for preset, count in (("varied", n), ("wires", hard - hard // 2), ("chains", hard // 2)):
            for i, scene in enumerate(scenes(count, seed=seed, preset=preset)):
                name = f"scene-{i:04d}" if preset == "varied" else f"{preset}-{i:04d}"
                made.append(Example(name, "synthetic", _bytes(scene.image.pixels), scene.labels))
        cache.parent.mkdir(parents=True, exist_ok=True)
        with atomic(cache) as temporary:
            pack(temporary, made)
    return unpack(cache)


def _bytes(pixels: np.ndarray) -> np.ndarray:
    """Return an image in 8 bits; brighter or darker than all but one pixel in a thousand is cut off."""
    if pixels.dtype == np.uint8:
        return pixels
    low, high = np.percentile(pixels, (0.1, 99.9))
    return np.clip((pixels - low) * (255 / max(high - low, 1e-12)), 0, 255).astype(np.uint8)


def make_card(
    recipe: TrainRecipe,
    exported: Exported,
    training: Sequence[Example],
    held_out: Sequence[Example],
    made: Sequence[Example],
    *,
    name: str,
    seconds: float,
) -> Card:
    """Return the card of a trained network: what it is, and what it was trained on; `made` are synthetic scenes."""
    sides = [side for e in training if (side := typical_side(np.bincount(e.labels.ravel())[1:])) > 0]
    published = recipe.network == "bpartis"
    return Card(
        name=name,
        version="1",
        task=recipe.network,
        architecture=recipe.network,
        options={"widths": list(recipe.widths)} if recipe.widths else {},
        normalisation={"kind": "unit"} if published else {"kind": "standardise", "clip": 5.0},
        size_range=(float(min(sides)), float(max(sides))) if sides else None,
        pixel_size_range=pixel_size_range(training),
        training={
            "data_sha256": hash_examples(training),
            **({"scenes_sha256": hash_examples(made)} if made else {}),
            "images": len(training),
            "groups": len({e.group for e in training}),
            "particles": int(sum(np.count_nonzero(np.bincount(e.labels.ravel())[1:]) for e in training)),
            "held_out": len(held_out),
            "samples": recipe.fit.steps * recipe.fit.batch,
            "seconds": round(seconds),
            "machine": f"{platform.machine()}, torch {torch.__version__}",
            "recipe": recipe.as_dict(),
        },
        citations=CITATIONS[recipe.network],
        **exported.facts,
    )


def pixel_size_range(examples: Sequence[Example]) -> tuple[float, float] | None:
    """Return the 1st and the 99th percentile of the pixel sizes (nm) that are known; None where too few are.

    Not the smallest and the largest: one scale bar that was misread would be either.
    """
    known = [e.pixel_size for e in examples if e.pixel_size is not None]
    if len(known) < N_PIXEL_SIZES:
        return None
    low, high = np.percentile(known, (1, 99))
    return float(f"{low:.3g}"), float(f"{high:.3g}")


def train(
    recipe: TrainRecipe,
    examples: Sequence[Example],
    folder: Path,
    *,
    name: str | None = None,
    calibrate_with: Sequence[Path] = (),
    running: Running = PLAIN,
) -> Path:
    """Train a network and return its model folder, ``folder/model``.

    Parameters
    ----------
    recipe : TrainRecipe
    examples : sequence of Example
    folder : Path
        Holds recipe, log, checkpoint, and the model. A run that was stopped goes on if the recipe is the same.
    name : str, optional
        Of the model; that of the network unless told.
    calibrate_with : sequence of Path
        Runs of the same recipe on the same images that held out other folds. The promises rest on what this network
        and these found, each on the images that it had not seen; chances, threshold and border on what this one found.
        A network that has learned from all images has found nothing of that kind: all then rests on the others.
    running : Running

    Raises
    ------
    OptionError
        If the folder holds a run of another recipe, there are too few groups for the folds, or a run to calibrate with
        is of another recipe or of other images, or held out a fold that is taken.
    """
    siblings = fold_models(recipe, examples, calibrate_with)
    claim(folder, recipe)
    training, held_out = split(examples, recipe)
    made = []
    if recipe.network == "particles":
        made = synthetic_examples(recipe.scenes, recipe.scenes_seed, folder / SCENES, hard=recipe.hard_scenes)
    task = make_task(recipe, training, held_out, made)
    network = fit(task, recipe.fit, folder, running)
    exported = export(network.cpu(), channels=3 if recipe.network == "bpartis" else 1)
    seconds = time_taken(folder, recipe.fit.batch)
    card = make_card(recipe, exported, training, held_out, made, name=name or recipe.network, seconds=seconds)
    write_model_folder(folder / MODEL, card, exported.onnx)
    if recipe.network == "particles" and (held_out or siblings):
        own = score_examples(folder / MODEL, held_out)
        others = [one for model, unseen in siblings.items() for one in score_examples(model, unseen)]
        card = dataclasses.replace(card, post=calibration(own or others, promised=own + others))
        if any(one.image.scores.size for one in own):
            verdict = judge_particles([e.name for e in held_out], [one.image for one in own])
            write_json(folder / SCORES, verdict.as_dict())
            card = dataclasses.replace(card, scores=verdict.headline())
        write_model_folder(folder / MODEL, card, exported.onnx)
    return folder / MODEL
