"""Do the intervals of scores cover? Simulated score data with a known mean: the share of 95 % intervals that hold it.

    python studies/score_coverage.py --sets 2000 --seed 1 --write docs/studies/score-coverage.md

A data set is what a method got on n images: a skewed score between 0 and 1 with some images at 0 or 1, in groups of
unequal size that resemble each other; or objects found and missed, where a few images hold most of the objects.
`mean_over_images` and `pooled` are held against the mean of the population, beside four other ways to an interval.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import special
from scipy.stats import binom
from scipy.stats import t as student

from segmetry.evaluate.bootstrap import draws, groups_of
from segmetry.evaluate.uncertain import mean_over_images, pooled

WAYS = ("bootstrap-t (ours)", "bootstrap-t, no least error", "percentile", "expanded percentile", "BCa", "Student's t")
_BLOCK = 100
"""Data sets that share their draws."""
Ends = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Law:
    """A score between 0 and 1: a share of images at 0, a share at 1, the others after a beta law."""

    name: str
    a: float
    b: float
    zero: float = 0.0
    one: float = 0.0

    @property
    def mean(self) -> float:
        """Mean of the population."""
        return (1 - self.zero - self.one) * self.a / (self.a + self.b) + self.one

    def of(self, uniform: np.ndarray) -> np.ndarray:
        """Return the score whose share of smaller ones is `uniform`."""
        middle = np.clip((uniform - self.zero) / (1 - self.zero - self.one), 1e-12, 1 - 1e-12)
        score = special.betaincinv(self.a, self.b, middle)
        return np.where(uniform < self.zero, 0.0, np.where(uniform > 1 - self.one, 1.0, score))


LAWS = (
    Law("a fair method: beta(2, 2), .2 at 0, .1 at 1", 2, 2, 0.2, 0.1),
    Law("a good one: beta(3, 1), .05 at 0, .4 at 1", 3, 1, 0.05, 0.4),
    Law("a poor one: beta(1, 4), .3 at 0", 1, 4, 0.3),
    Law("narrow: beta(20, 2)", 20, 2),
    Law("mostly perfect: beta(3, 2), .8 at 1", 3, 2, 0.0, 0.8),
    Law("one in ten fails: beta(5, 1), .1 at 0", 5, 1, 0.1),
    Law("one in thirty fails: beta(8, 1), .03 at 0", 8, 1, 0.03),
)

SIZES = np.repeat([1, 2, 3, 4, 5, 6, 8, 12], [180, 40, 16, 4, 3, 2, 1, 1])
"""Images of one publication, as in the EMPS training set: mostly one, once twelve."""
LIKENESS = 0.5
"""Correlation of images of one group, on the normal scale."""


def grouped(rng: np.random.Generator, n: int, n_groups: int) -> np.ndarray:
    """Return the group of each of about `n` images."""
    while True:
        sizes = rng.choice(SIZES, n_groups)
        if abs(sizes.sum() - n) <= max(2, 0.03 * n):
            return np.repeat(np.arange(n_groups), sizes)


def scores(rng: np.random.Generator, law: Law, code: np.ndarray, n_sets: int) -> np.ndarray:
    """Return scores (n, n_sets) of images in groups; groups of one are independent."""
    common = rng.normal(size=(code.max() + 1, n_sets))[code]
    own = rng.normal(size=(len(code), n_sets))
    return law.of(special.ndtr(np.sqrt(LIKENESS) * common + np.sqrt(1 - LIKENESS) * own))


def other_ways(sums: np.ndarray, sizes: np.ndarray, seed: int, n_resamples: int = 1000) -> dict[str, Ends]:
    """Return what other ways say of the means of scores, from sums (G, D) over groups and their sizes (G,)."""
    n_groups, total = len(sizes), sizes.sum()
    value = sums.sum(0) / total
    influence = (sums - value * sizes[:, None]) / total
    error = np.sqrt(np.sum(influence**2, 0))
    weights = np.concatenate(list(draws(n_groups, n_resamples, seed)))
    number = (weights @ sizes)[:, None]
    shift = weights @ (influence * total) / number
    square = weights @ (influence * total) ** 2
    square -= 2 * shift * (weights @ (influence * total * sizes[:, None]))
    square += shift**2 * (weights @ sizes**2)[:, None]
    found = np.sort(value + shift, axis=0)
    with np.errstate(all="ignore"):
        ratio = np.where(np.abs(shift) < 1e-12, 0.0, shift / np.sqrt(np.maximum(square, 0)) * number)
        ratio = np.sort(np.where(np.isnan(ratio), 0, ratio), axis=0)
        acceleration = np.sum(influence**3, 0) / (6 * np.sum(influence**2, 0) ** 1.5)
        below = np.mean(value + shift < value, 0) + np.mean(shift == 0, 0) / 2
        bias = special.ndtri(np.clip(below, 1e-4, 1 - 1e-4))
    t = student.ppf(0.975, n_groups - 1)
    wide = np.sqrt(n_groups / (n_groups - 1)) * t

    def at(p: np.ndarray) -> np.ndarray:
        place = np.clip(np.nan_to_num(p, nan=0.5) * (n_resamples - 1), 0, n_resamples - 1)
        left = np.minimum(place.astype(int), n_resamples - 2)
        column = np.arange(found.shape[1])
        return found[left, column] * (left + 1 - place) + found[left + 1, column] * (place - left)

    def bca(z: float) -> np.ndarray:
        return at(special.ndtr(bias + (bias + z) / (1 - acceleration * (bias + z))))

    ones = np.ones(found.shape[1])
    with np.errstate(invalid="ignore"):
        plain = value - ratio[975] * error, value - ratio[24] * error
    unbiased = t * error * np.sqrt(n_groups / (n_groups - 1))
    return {
        WAYS[1]: plain,
        WAYS[2]: (at(0.025 * ones), at(0.975 * ones)),
        WAYS[3]: (at(special.ndtr(-wide) * ones), at(special.ndtr(wide) * ones)),
        WAYS[4]: (bca(-1.959964), bca(1.959964)),
        WAYS[5]: (value - unbiased, value + unbiased),
    }


@dataclass
class Cell:
    """What the intervals of one cell did."""

    cover: dict[str, float]
    below: float
    """Share of our intervals that lie above the truth."""
    above: float
    width: dict[str, float]
    no_width: float
    """Share of data sets whose groups are all equal."""


def mean_cell(law: Law, n: int, n_groups: int, n_sets: int, seed: int) -> Cell:
    """Return how often intervals of a mean over images hold the law's mean."""
    rng = np.random.default_rng([seed, n, n_groups, LAWS.index(law)])
    code = np.arange(n) if n_groups == n else grouped(rng, n, n_groups)
    groups = None if n_groups == n else code
    ends: dict[str, list[Ends]] = {way: [] for way in WAYS}
    equal = 0
    for block in range(0, n_sets, _BLOCK):
        found = scores(rng, law, code, min(_BLOCK, n_sets - block))
        columns = {str(k): column for k, column in enumerate(found.T)}
        ours = mean_over_images(columns, groups=groups, bounds=(0, 1), seed=block).values()
        ends[WAYS[0]].append((np.array([e.low for e in ours]), np.array([e.high for e in ours])))
        drawn = groups_of(groups, len(code))
        sums, sizes = drawn.sums(found), drawn.sums(np.ones(len(code)))
        equal += int(np.sum(np.ptp(found, axis=0) == 0))
        for way, pair in other_ways(sums, sizes, block).items():
            ends[way].append(pair)
    return _cell(ends, law.mean, equal / n_sets)


def _cell(ends: dict[str, list[Ends]], truth: float, equal: float) -> Cell:
    cover, width = {}, {}
    for way, pairs in ends.items():
        low, high = (np.clip(np.concatenate(side), 0, 1) for side in zip(*pairs))
        cover[way] = float(np.mean((low <= truth) & (truth <= high)))
        width[way] = float(np.median(high - low))
        if way == WAYS[0]:
            below, above = float(np.mean(truth < low)), float(np.mean(truth > high))
    return Cell(cover, below, above, width, equal)


@dataclass(frozen=True)
class Crowd:
    """Objects for each image after a log-normal law, and how many of them are found."""

    name: str
    spread: float
    """Of the logarithm of the number of objects."""
    slope: float = 0.0
    """Change of the log-odds to be found per e-fold of the number: crowded images are harder."""

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return objects and those found, (n,) each."""
        log = rng.normal(2.0, self.spread, n)
        objects = 1 + rng.poisson(np.exp(log))
        odds = 1.0 + self.slope * (log - 2.0) + rng.normal(0, 1.0, n)
        return objects, rng.binomial(objects, special.expit(odds))


CROWDS = (
    Crowd("objects of spread 0.7", 0.7),
    Crowd("objects of spread 1.2", 1.2),
    Crowd("objects of spread 1.2, crowded ones harder", 1.2, -0.4),
)


def recall(counts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the share of all objects that were found."""
    return {"recall": counts["found"] / counts["objects"]}


def pooled_cell(crowd: Crowd, n: int, n_sets: int, seed: int) -> Cell:
    """Return how often intervals of a pooled recall hold that of the population."""
    many = [crowd.draw(np.random.default_rng([99, k]), 1_000_000) for k in range(8)]
    truth = sum(f.sum() for _, f in many) / sum(o.sum() for o, _ in many)
    rng = np.random.default_rng([seed, n, CROWDS.index(crowd)])
    ends: dict[str, list[Ends]] = {way: [] for way in WAYS}
    for k in range(n_sets):
        objects, hits = crowd.draw(rng, n)
        e = pooled({"objects": objects, "found": hits}, recall, over="objects", bounds=(0, 1), seed=k)["recall"]
        ends[WAYS[0]].append((np.array([e.low]), np.array([e.high])))
        for way, pair in other_ways(hits[:, None].astype(float), objects.astype(float), k).items():
            ends[way].append(pair)
    return _cell(ends, truth, 0.0)


def _row(name: str, n: str, cell: Cell) -> str:
    shares = " | ".join(f"{cell.cover[way]:.3f}" for way in WAYS)
    return (
        f"| {name} | {n} | {shares} | {cell.below:.3f}, {cell.above:.3f} | {cell.width[WAYS[0]]:.3f} |"
        f" {cell.width[WAYS[2]]:.3f} | {cell.no_width:.3f} |"
    )


def _table(first: str, rows: list[str]) -> str:
    head = f"| {first} | n | {' | '.join(WAYS)} | truth below, above ours | width, ours | percentile | all equal |"
    return "\n".join([head, "|---" * (len(WAYS) + 6) + "|", *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=2000, help="data sets in each cell")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="Markdown page to write the figures into, after the marker line")
    options = parser.parse_args()
    start = time.perf_counter()
    tables = {}

    def run(title: str, first: str, cells: list[tuple[str, str, Callable[[], Cell]]]) -> None:
        rows = []
        for name, n, make in cells:
            rows.append(_row(name, n, make()))
            print(rows[-1], f"{time.perf_counter() - start:.0f} s", flush=True)
        tables[title] = _table(first, rows)

    alone = [
        (law.name, str(n), lambda law=law, n=n: mean_cell(law, n, n, options.sets, options.seed))
        for law in LAWS
        for n in (5, 7, 10, 20, 50, 99, 366)
    ]
    together = [
        (law.name, f"{n} in {g}", lambda law=law, n=n, g=g: mean_cell(law, n, g, options.sets, options.seed))
        for law in LAWS
        for n, g in ((18, 12), (30, 20), (60, 40), (99, 75), (366, 247))
    ]
    crowds = [
        (crowd.name, str(n), lambda crowd=crowd, n=n: pooled_cell(crowd, n, options.sets, options.seed))
        for crowd in CROWDS
        for n in (10, 20, 50, 99, 366)
    ]
    run("Means over images, each by itself", "scores", alone)
    run("Means over images in groups", "scores", together)
    run("Pooled over objects", "objects", crowds)
    low, high = (x / options.sets for x in binom.interval(0.95, options.sets, 0.95))
    text = (
        f"`python studies/score_coverage.py --sets {options.sets} --seed {options.seed}`: {options.sets} data sets in "
        f"each row, 1000 draws, {time.perf_counter() - start:.0f} s on one core ({platform.machine()}, Python "
        f"{platform.python_version()}). If intervals cover 95 %, the share of {options.sets} of them lies between "
        f"{low:.3f} and {high:.3f} nineteen times in twenty.\n"
    )
    for title, table in tables.items():
        text += f"\n### {title}\n\n{table}\n"
    if options.write:
        marker = "<!-- figures: written by studies/score_coverage.py -->"
        page = options.write.read_text(encoding="utf-8")
        if marker not in page:
            raise SystemExit(f"{options.write} has no line {marker}")
        options.write.write_text(f"{page.partition(marker)[0]}{marker}\n\n{text}", encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
