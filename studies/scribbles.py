"""Classes of sandstone from scribbles on one slice, judged on the other two: docs/studies/scribbles.md.

    python studies/scribbles.py                # the tables
    python studies/scribbles.py --settings     # the settings, by halves of the slice versa0000 alone

The scribbles are made from the labels of the slice that trains: strokes, two pixels wide, that wander inside a class.
*Blind* strokes begin anywhere in each class. *Corrected* ones are painted as people do it: a few, a look at the result,
more of them where it is wrong, five times. *Scattered* are single pixels drawn from the whole slice.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

import realdata
from segmetry.evaluate.semantic import SemanticCounts, count_classes
from segmetry.segment.pixel_model import PixelModel, predict_blocks
from segmetry.segment.scribbles import Training, train_on_scribbles

SEEDS = (0, 1, 2)
CLASSES = {0: "pore", 1: "clay", 2: "quartz", 3: "heavy"}
NOBODY = 255
"""Where nothing is painted."""

LENGTH, WIDTH = 40, 2
"""Of a stroke, px."""

FIRST, ROUNDS, MORE = 24, 5, 16
"""Strokes to begin with, rounds of correction, and strokes of each."""

CANDIDATES = [
    *(Training(first=first, scales=scales) for first, scales in ((0.5, 5), (0.7, 5), (1.0, 5), (0.7, 4), (0.7, 6))),
    Training(trees=100, depth=30),
    Training(kind="neighbours"),
]


class Slice(NamedTuple):
    """An image and its labels."""

    name: str
    pixels: np.ndarray
    labels: np.ndarray


def slices() -> list[Slice]:
    """Return the three slices."""
    import cv2
    import tifffile

    folder = realdata.folder("sandstone")
    if folder is None:
        raise SystemExit("the images sandstone are not here; set SEGMETRY_DATA to the folder that holds them")
    return [
        Slice(path.stem, tifffile.imread(path), cv2.imread(str(folder / "labels" / f"{path.stem}.png"), -1))
        for path in sorted((folder / "images").glob("*.tif"))
    ]


def stroke(scribbles: np.ndarray, labels: np.ndarray, start: np.ndarray, rng: np.random.Generator) -> None:
    """Paint a stroke that begins at a pixel and wanders inside its class; it ends where it finds no way on."""
    own = labels[tuple(start)]
    at, angle = start.astype(float), rng.uniform(0, 2 * np.pi)
    for _ in range(LENGTH):
        for turn in range(20):  # the harder it is to go on, the more it may turn
            heading = angle + rng.normal(0, 0.15 * (1 + turn))
            to = at + np.array([np.sin(heading), np.cos(heading)])
            row, col = to.round().astype(int)
            if 0 <= row < labels.shape[0] and 0 <= col < labels.shape[1] and labels[row, col] == own:
                break
        else:
            return
        at, angle = to, heading
        dab = np.s_[row : row + WIDTH, col : col + WIDTH]
        scribbles[dab][labels[dab] == own] = own


def blind(labels: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n strokes, as many in each class, that begin anywhere in it."""
    scribbles = np.full(labels.shape, NOBODY, np.uint8)
    for k in np.unique(labels):
        places = np.argwhere(labels == k)
        for start in places[rng.integers(len(places), size=n // len(CLASSES))]:
            stroke(scribbles, labels, start, rng)
    return scribbles


def corrected(one: Slice, settings: Training, rng: np.random.Generator) -> np.ndarray:
    """Return a few blind strokes, and rounds of strokes that begin where the result is wrong."""
    import cv2

    scribbles = blind(one.labels, FIRST, rng)
    for _ in range(ROUNDS):
        found = predicted(train(one, scribbles, settings), one.pixels)
        wrong = (found != one.labels).astype(np.uint8)
        patches = cv2.erode(wrong, np.ones((3, 3), np.uint8))  # people see patches, not single pixels along edges
        places = np.argwhere(patches if patches.sum() >= MORE else wrong)
        for start in places[rng.integers(len(places), size=MORE)]:
            stroke(scribbles, one.labels, start, rng)
    return scribbles


def train(one: Slice, scribbles: np.ndarray, settings: Training) -> PixelModel:
    """Return the model of a slice."""
    return train_on_scribbles([one.pixels], [scribbles], settings=settings, ignore=NOBODY)


def predicted(model: PixelModel, pixels: np.ndarray) -> np.ndarray:
    """Return the class of every pixel, by its value in the labels."""
    found = np.empty(pixels.shape, np.uint8)
    for place, chance in predict_blocks(model, pixels[np.newaxis]):
        found[place] = np.take(model.values, chance.argmax(axis=0))
    return found


def judged(model: PixelModel, others: list[Slice]) -> SemanticCounts:
    """Return the counts over slices."""
    counts = [count_classes(one.labels, predicted(model, one.pixels), classes=CLASSES) for one in others]
    return sum(counts[1:], counts[0])


def choose() -> None:
    """Print the mean IoU of each candidate: strokes of one half of versa0000, judged on its other half."""
    one = slices()[0]
    middle = len(one.pixels) // 2
    halves = [Slice(one.name, one.pixels[rows], one.labels[rows]) for rows in (np.s_[:middle], np.s_[middle:])]
    runs = [
        (seed, own, corrected(own, Training(), np.random.default_rng(seed)), other)
        for seed in SEEDS
        for own, other in (halves, halves[::-1])
    ]
    print("| learns | first, px | scales | trees | depth | mean IoU |\n| --- | --- | --- | --- | --- | --- |")
    for settings in CANDIDATES:
        models = [(train(own, painted, replace(settings, seed=seed)), other) for seed, own, painted, other in runs]
        score = np.mean([judged(model, [other]).scores()["mean_iou"] for model, other in models])
        row = (settings.kind, settings.first, settings.scales, settings.trees, settings.depth)
        print(f"| {' | '.join(map(str, row))} | {score:.3f} |", flush=True)


def rows(one: Slice, others: list[Slice], seed: int) -> Iterator[str]:
    """Yield the rows of one slice and seed: kinds of scribbles, and of what learns from them."""
    rng = np.random.default_rng(seed)
    painted = {"blind": blind(one.labels, FIRST + ROUNDS * MORE, rng), "corrected": corrected(one, Training(), rng)}
    scattered = np.full(one.labels.shape, NOBODY, np.uint8)
    chosen = rng.choice(one.labels.size, int((painted["corrected"] != NOBODY).sum()), replace=False)
    scattered.flat[chosen] = one.labels.flat[chosen]
    runs = [(how, scribbles, "forest") for how, scribbles in (painted | {"scattered": scattered}).items()]
    for how, scribbles, kind in [*runs, ("corrected", painted["corrected"], "neighbours")]:
        before = time.process_time()
        model = train(one, scribbles, Training(kind=kind, seed=seed))
        seconds = time.process_time() - before
        counts = judged(model, others)
        share = 100 * (scribbles != NOBODY).mean()
        right = np.nanmean(list(model.scores["other_strokes"].values()))
        ious = " | ".join(f"{iou:.3f}" for iou in counts.per_class()["iou"])
        yield (
            f"| {one.name} | {seed} | {how} | {share:.2f} % | {kind} | {seconds:.1f} | "
            f"{counts.scores()['mean_iou']:.3f} | {ious} | {right:.3f} |"
        )


def tables() -> None:
    """Print the scores of every slice, seed and kind of scribbles."""
    images = slices()
    heads = [
        "trained on",
        "seed",
        "scribbles",
        "painted",
        "learns",
        "s",
        "mean IoU",
        *CLASSES.values(),
        "other strokes",
    ]
    print(f"| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|")
    for one in images:
        for seed in SEEDS:
            for row in rows(one, [other for other in images if other is not one], seed):
                print(row, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", action="store_true", help="choose settings within one slice")
    choose() if parser.parse_args().settings else tables()
