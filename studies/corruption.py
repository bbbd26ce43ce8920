"""What the scores of objects make of a truth that was spoiled in a known way: the published EMPS figures and ours.

    python studies/corruption.py [--limit N]        # EMPS training labels, seed 0; prints the table of the docs

Each label image is brought to 512 x 512 (nearest pixel centre) as the benchmark does, spoiled, and scored against what
it was. The figures are plain means over images.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

import realdata
from segmetry.evaluate.instances import score_instances
from segmetry.evaluate.published import PUBLISHED_EMPS, SIDE, published_emps, resized
from segmetry.measure import label

SEED = 0
OURS = ("ap50", "ap75", "map", "pq", "recall", "ari")

Corruption = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def eroded(labels: np.ndarray, n: int = 1) -> np.ndarray:
    """Return every object without its outermost pixels, n times: those with a side neighbour of another label.

    The frame is no neighbour. Touching objects both lose pixels where they touch.
    """
    for _ in range(n):
        wide = np.pad(labels, 1, mode="edge")
        sides = (wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:])
        labels = np.where(np.logical_and.reduce([side == labels for side in sides]), labels, 0)
    return labels


def dilated(labels: np.ndarray, n: int = 1) -> np.ndarray:
    """Return every object with the background pixels beside it, n times; nobody takes a pixel from another.

    A pixel beside two objects goes to the one with the larger label.
    """
    for _ in range(n):
        wide = np.pad(labels, 1)
        sides = (wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:])
        labels = np.where(labels > 0, labels, np.maximum.reduce(sides))
    return labels


def shifted(labels: np.ndarray, by: int = 2) -> np.ndarray:
    """Return the image moved down and to the right; what comes in is background."""
    moved = np.zeros_like(labels)
    moved[by:, by:] = labels[:-by, :-by]
    return moved


def dropped(labels: np.ndarray, rng: np.random.Generator, share: float = 0.3) -> np.ndarray:
    """Return the image without some of its objects, each left out with the same chance."""
    names = _names(labels)
    return np.where(np.isin(labels, names[rng.random(names.size) < share]), 0, labels)


def with_false_discs(labels: np.ndarray, rng: np.random.Generator, share: float = 0.2) -> np.ndarray:
    """Return the image with a fifth more objects (one at least): discs of the median size on background.

    Where none of that size fits, they are halved until one does.
    """
    names, sizes = np.unique(labels[labels > 0], return_counts=True)
    out = labels.copy()
    for i in range(max(1, round(share * names.size))):
        radius = float(np.sqrt(np.median(sizes) / np.pi))
        room = cv2.distanceTransform((out == 0).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        while not (places := np.argwhere(room > radius + 1)).size and radius > 0.5:
            radius /= 2
        if not places.size:
            break
        row, column = places[rng.integers(len(places))]
        disc = np.zeros(labels.shape, np.uint8)
        cv2.circle(disc, (int(column), int(row)), int(radius), 1, -1)
        out[disc > 0] = int(names[-1]) + 1 + i
    return out


def without_small(labels: np.ndarray, size: int = 128) -> np.ndarray:
    """Return the image without its objects of this many pixels or fewer."""
    names, sizes = np.unique(labels[labels > 0], return_counts=True)
    return np.where(np.isin(labels, names[sizes <= size]), 0, labels)


def biggest(labels: np.ndarray) -> np.ndarray:
    """Return the image with its biggest object only."""
    names, sizes = np.unique(labels[labels > 0], return_counts=True)
    return np.where(labels == names[np.argmax(sizes)], labels, 0)


def _names(labels: np.ndarray) -> np.ndarray:
    names = np.unique(labels)
    return names[names > 0]


CORRUPTIONS: dict[str, Corruption] = {
    "none": lambda labels, rng: labels,
    "erode 1 px": lambda labels, rng: eroded(labels),
    "erode 2 px": lambda labels, rng: eroded(labels, 2),
    "dilate 1 px": lambda labels, rng: dilated(labels),
    "dilate 2 px": lambda labels, rng: dilated(labels, 2),
    "shift (2, 2) px": lambda labels, rng: shifted(labels),
    "drop 30 %": dropped,
    "drop 30 %, erode 1 px": lambda labels, rng: eroded(dropped(labels, rng)),
    "20 % false discs": with_false_discs,
    "no particle <= 128 px": lambda labels, rng: without_small(labels),
    "perfect foreground, components": lambda labels, rng: label(labels > 0),
    "biggest particle only": lambda labels, rng: biggest(labels),
    "one blob": lambda labels, rng: np.ones_like(labels),
}
"""What is done to the truth, by name."""


@functools.cache
def truth_of(name: str) -> np.ndarray:
    """Return the labels of one EMPS id at 512 x 512."""
    folder = realdata.folder("emps")
    assert isinstance(folder, Path)
    labels = cv2.imread(str(folder / "segmaps" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    return resized(labels.astype(np.int32), SIDE)


def scores_of(names: Iterable[str]) -> dict[str, dict[str, float]]:
    """Return for every corruption the mean of every score over some EMPS ids, with keys as in ``ours.map``."""
    names = list(names)
    table: dict[str, dict[str, float]] = {}
    for what, corrupt in CORRUPTIONS.items():
        rows = []
        for i, name in enumerate(names):
            truth = truth_of(name)
            spoiled = corrupt(truth, np.random.default_rng((SEED, i)))
            row = {f"published.{key}": value for key, value in published_emps(truth, spoiled).items()}
            rows.append(row | {f"ours.{key}": value for key, value in score_instances(truth, spoiled).items()})
        table[what] = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    return table


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="only so many images")
    names = sorted(realdata.emps_publications())[: parser.parse_args().limit]
    print(f"{len(names)} EMPS training images, seed {SEED}\n")
    columns = [f"published.{key}" for key in PUBLISHED_EMPS] + [f"ours.{key}" for key in OURS]
    print("| what was done to the truth |", " | ".join(columns), "|")
    print("|---" * (len(columns) + 1) + "|")
    for what, scores in scores_of(names).items():
        print(f"| {what} |", " | ".join(f"{scores[key]:.3f}".removeprefix("0") for key in columns), "|")


if __name__ == "__main__":
    main()
