"""What does a trained start gain, when there are four labelled images and few steps?

    python studies/transfer.py -o transfer/ [--starts random particles] [--seeds 0 1 2] [--steps 200]

Micrographs of steel (UHCS, four classes): four drawn at random train, eight others judge, none of which any start has
seen. The starts differ in nothing else: the same images, crops, order and steps. Differences of mean IoU are of the
pixels of all eight together; intervals by drawing images with replacement, the same for both.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import realdata
from segmetry.io.model_folder import shipped_models
from segmetry.labelled import load_labelled
from segmetry.train.class_recipe import ClassRecipe
from segmetry.train.class_run import train_classes
from segmetry.train.reconstruct import train_reconstruction
from segmetry.train.running import Running
from segmetry.train.samples import Labelled

STARTS = ("random", "particles", "particles-frozen", "filled")
N_TRAIN, N_JUDGE, N_DRAWS = 4, 8, 4000
RECIPE = ClassRecipe().changed(
    {
        "network": "unet-half",
        "batch": 4,
        "side": 128,
        "warmup": 20,
        "average": 0.98,
        "learning_rate": 1e-3,
        "precision": "32-true",
        "save_every": 1e9,
    }
)


def confusions(start: str, seed: int, steps: int, out: Path) -> np.ndarray:
    """Train from a start, and return the confusion (K, K) of each image that judges."""
    data = realdata.folder("uhcs")
    if data is None:
        raise SystemExit("the UHCS images are not here; set SEGMETRY_DATA to the folder that holds uhcs/")
    found = load_labelled(data / "images", data / "labels")
    order = np.random.default_rng(seed).permutation(len(found.images))
    judging = set(order[N_TRAIN : N_TRAIN + N_JUDGE])
    part = {i: "check" if i in judging else "train" for i in sorted(order[: N_TRAIN + N_JUDGE])}
    recipe = RECIPE.changed({"steps": steps, "seed": seed})
    init = shipped_models()["particles"] if start.startswith("particles") else None
    if start == "filled":
        rest = [blank(image) for i, image in enumerate(found.images) if i not in judging]
        init = train_reconstruction(recipe, rest, out / f"filling-{seed}", Running(0))
    folder = out / f"{start}-{seed}-{steps}"
    train_classes(
        recipe.changed({"split": "as listed", "freeze": -1 if start.endswith("frozen") else 0}),
        [found.images[i] for i in part],
        folder,
        classes=tuple(found.classes.values()),
        listed=list(part.values()),
        init=init,
        running=Running(0),
    )
    judged = json.loads((folder / "scores.json").read_text(encoding="utf-8"))["images"]
    return np.array([image["pixels"]["confusion"] for image in judged], float)


def blank(image: Labelled) -> Labelled:
    """Return an image without its labels."""
    return Labelled(image.name, image.group, image.pixels, np.zeros_like(image.classes))


def mean_iou(confusion: np.ndarray) -> float:
    """Return the mean over classes of a confusion (K, K)."""
    right = np.diag(confusion)
    return float(np.mean(right / (confusion.sum(0) + confusion.sum(1) - right)))


def gain(found: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Return the difference of mean IoU and the ends of its 95 % interval."""
    draws = np.random.default_rng(0).integers(0, len(found), (N_DRAWS, len(found)))
    differences = [mean_iou(found[i].sum(0)) - mean_iou(other[i].sum(0)) for i in draws]
    low, high = np.percentile(differences, [2.5, 97.5])
    return mean_iou(found.sum(0)) - mean_iou(other.sum(0)), float(low), float(high)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=STARTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=200)
    given = parser.parse_args(arguments)
    print(f"{os.cpu_count()} cores, {given.steps} steps")
    for seed in given.seeds:
        base = None
        for start in given.starts:
            began = time.process_time()
            found = confusions(start, seed, given.steps, given.out)
            line = f"seed {seed}  {start:17} mean IoU {mean_iou(found.sum(0)):.3f}"
            if start == "random":
                base = found
            elif base is not None:
                line += "  gain {:+.3f} [{:+.3f}, {:+.3f}]".format(*gain(found, base))
            print(f"{line}  {time.process_time() - began:.0f} s of processor time", flush=True)


if __name__ == "__main__":
    main()
