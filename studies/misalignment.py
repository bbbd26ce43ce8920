"""How often `misalignment` is right and how often it cries wolf, on the labels of EMPS and masks by Otsu's threshold.

Run: python studies/misalignment.py [--pairs 2000]
"""

from __future__ import annotations

import argparse
from collections import Counter

import cv2
import numpy as np

from realdata import folder
from segmetry.evaluate.alignment import LEAST_GAIN, LOW_IOU, misalignment
from segmetry.measure.threshold import otsu_threshold

SEED = 0
FURTHEST = 60
"""Longest shift along an axis, in pixels."""


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Return the overlap of two masks."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def otsu(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the mask by Otsu's threshold of the image blurred by 1.5 px, of the polarity that the truth has."""
    smooth = cv2.GaussianBlur(image, (0, 0), 1.5)
    mask = smooth > otsu_threshold(smooth)
    return mask if iou(mask, truth) >= iou(~mask, truth) else ~mask


def moved(mask: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return a mask shifted down and right; what comes in is background."""
    step = np.float32([[1, 0, columns], [0, 1, rows]])
    return cv2.warpAffine(mask.astype(np.uint8), step, mask.shape[::-1], flags=cv2.INTER_NEAREST) > 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=2000)
    args = parser.parse_args()
    base = folder("emps")
    if base is None:
        raise SystemExit("the EMPS images are not here; SEGMETRY_DATA names their folder")
    rng = np.random.default_rng(SEED)
    paths = sorted((base / "segmaps").glob("*.png"))
    truths = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) > 0 for path in paths]
    alarms = 0
    for _ in range(args.pairs):
        one, other = (truths[i] for i in rng.choice(len(truths), 2, replace=False))
        rows, columns = np.minimum(one.shape, other.shape)
        alarms += misalignment(one[:rows, :columns], other[:rows, :columns]) is not None
    print(f"pairs of different images: {alarms} alarms of {args.pairs}")

    count: Counter[tuple[str, str]] = Counter()
    for path, truth in zip(paths, truths):
        mask = otsu(cv2.imread(str(base / "images" / path.name), cv2.IMREAD_GRAYSCALE), truth)
        good = iou(mask, truth)
        if good < LOW_IOU:
            count["poor, in place", "n"] += 1
            count["poor, in place", "alarms"] += misalignment(truth, mask) is not None
        if good < 0.6:
            continue
        rows, columns = (int(n) for n in rng.integers(-FURTHEST, FURTHEST + 1, 2))
        for name, changed in (
            ("shifted", moved(mask, rows, columns)),
            ("mirrored left to right", mask[:, ::-1]),
            ("mirrored top to bottom", mask[::-1]),
            ("turned by 180°", mask[::-1, ::-1]),
            ("inverted", ~mask),
        ):
            if (before := iou(changed, truth)) >= LOW_IOU or good < before + LEAST_GAIN:
                continue
            count[name, "n"] += 1
            found = misalignment(truth, changed)
            if found is None:
                continue
            off = np.subtract(found.offset, (rows, columns) if name == "shifted" else (0, 0))
            right = found.inverted == (name == "inverted") and max(abs(off)) <= 8
            count[name, "right" if right and (name in ("shifted", "inverted")) == (not found.change) else "wrong"] += 1
    for name in dict.fromkeys(name for name, _ in count):
        print(name, {what: n for (of, what), n in count.items() if of == name})


if __name__ == "__main__":
    main()
