"""What the runs of a study of settings say together: scores, paired differences, cost, and how sure each is."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

import segmetry
from segmetry.evaluate.combining import combine, same_classes
from segmetry.evaluate.judgement import HEADLINE, ImageScores
from segmetry.evaluate.paired import Difference, holm, paired_difference
from segmetry.evaluate.semantic import SemanticCounts
from segmetry.study.settings import Run, Setting, words
from segmetry.types import Estimate

if TYPE_CHECKING:
    import pandas as pd

MEAN_IOU = HEADLINE["semantic"]
COMPARED = (MEAN_IOU, "semantic.boundary_f1")
"""Scores that are compared with the first setting in every study."""

FAMILIES = ("semantic_pooled", "semantic")

COSTS = (
    "n_training",
    "steps",
    "batch",
    "epochs",
    "seconds",
    "seconds_per_1000",
    "samples_per_s",
    "memory",
    "seconds_per_megapixel",
    "parameters",
    "model_size",
)
"""What a run costs: images, steps, samples of a step, how often it saw each pixel, seconds of all steps, of 1000
samples, samples/s, memory while it learns in MiB, seconds of a prediction per megapixel, numbers that are learned, MiB
of the model."""


@dataclass(frozen=True, eq=False)
class Result:
    """What became of a run.

    Parameters
    ----------
    run : Run
    state : {"done", "stopped", "failed", "not run"}
        A stopped one goes on another time.
    error : str
    images : sequence of ImageScores
        The held-out images, as they were judged.
    groups : sequence of str
        Their groups.
    cost : mapping
        See `COSTS`, and ``device``.
    """

    run: Run
    state: str
    error: str = ""
    images: Sequence[ImageScores] = ()
    groups: Sequence[str] = ()
    cost: Mapping[str, Any] = field(default_factory=dict)

    def scores(self) -> dict[str, float]:
        """Return the scores of the run: of all pixels together, and means over its images."""
        if not self.images:
            return {}
        images = same_classes(self.images)
        stacked = SemanticCounts.stack([one.pixels for one in images])
        pooled = SemanticCounts(stacked.confusion.sum(axis=0), stacked.values, stacked.names).scores()
        means = {}
        for name in dict.fromkeys(name for one in images for name in one.values["semantic"]):
            values = np.array([one.values["semantic"].get(name, math.nan) for one in images])
            means[name] = float(np.nanmean(values)) if np.isfinite(values).any() else math.nan
        return {f"semantic_pooled.{n}": float(v) for n, v in pooled.items()} | {
            f"semantic.{n}": v for n, v in means.items()
        }


@dataclass(frozen=True, eq=False)
class Row:
    """What one setting gives with one number of training images.

    Parameters
    ----------
    setting : Setting
    size : int, optional
    n_done, n_runs : int
        Runs that are done, of all.
    n_images : int
        Held-out images that they judged.
    scores : mapping of str to Estimate
        Means over repeats, with intervals for the population of images.
    spread : float
        Standard deviation of the mean IoU over seeds; nan unless two hold out all images.
    against : str
        The row that it is compared with; empty for that one itself, and where there is nothing to compare.
    gains : mapping of str to Difference
        Of `COMPARED` and the scores that the study asks for: this row minus that one, on the images and seeds that both
        have.
    adjusted : float
        p-value of the mean IoU's difference, adjusted for the number of rows (Holm).
    cost : mapping
        Means over the runs; ``device`` in words.
    """

    setting: Setting
    size: int | None
    n_done: int
    n_runs: int
    n_images: int
    scores: Mapping[str, Estimate]
    spread: float
    against: str
    gains: Mapping[str, Difference]
    adjusted: float
    cost: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The row in words."""
        return self.setting.name if self.size is None else f"{self.setting.name}, {self.size} images"


@dataclass(frozen=True, eq=False)
class NetworkStudy:
    """Settings beside each other.

    Parameters
    ----------
    rows : tuple of Row
        In the order of the file.
    results : tuple of Result
        Every run.
    varied : tuple of str
        Entries of the recipe that take several values.
    groups : str
        What the groups are called.
    n_groups : int
        That were held out.
    notes : tuple of str
    scores : tuple of str
        Full names of scores that are told and compared besides `COMPARED`.
    """

    rows: tuple[Row, ...]
    results: tuple[Result, ...]
    varied: tuple[str, ...]
    groups: str
    n_groups: int
    notes: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()

    @property
    def best(self) -> Row | None:
        """The row with the highest mean IoU; None where no run is done."""
        done = [row for row in self.rows if MEAN_IOU in row.scores]
        return max(done, key=lambda row: row.scores[MEAN_IOU].value, default=None)

    def value(self, row: Row, name: str) -> Any:
        """Return the value that a row's setting gives to an entry: a number, or a text; None of a peer."""
        if row.setting.peer:
            return None
        return next(one.run for one in self.results if one.run.setting.name == row.setting.name).value(name)

    def heat(self, score: str) -> pd.DataFrame | None:
        """Return a score over the two entries that vary, of the most training images; None where not two vary, or not
        all their combinations were asked for.
        """
        import pandas as pd

        if len(self.varied) != 2:
            return None
        sizes = list(dict.fromkeys(row.size for row in self.rows))
        cells = {
            tuple(words(self.value(row, name)) for name in self.varied): row.scores.get(score)
            for row in self.rows
            if row.size == sizes[-1] and not row.setting.peer
        }
        index, columns = (list(dict.fromkeys(cell[k] for cell in cells)) for k in (0, 1))
        if len(cells) < len(index) * len(columns):
            return None
        table = [[e.value if (e := cells.get((i, c))) else math.nan for c in columns] for i in index]
        rows, heads = (name.replace("_", " ") for name in self.varied)
        return pd.DataFrame(table, pd.Index(index, name=rows), pd.Index(columns, name=heads))

    def runs_table(self) -> pd.DataFrame:
        """Return one row a run: settings, repeat, state, scores, cost."""
        import pandas as pd

        rows = []
        for one in self.results:
            run = one.run
            settings = {name: "" if run.setting.peer else words(run.value(name)) for name in self.varied}
            rows.append(
                {"setting": run.setting.name}
                | settings
                | {"images": run.size or "all", "seed": run.seed, "fold": run.fold, "state": one.state}
                | one.scores()
                | dict.fromkeys(COSTS)
                | {"n_training": run.n_training}
                | dict(one.cost)
                | {"folder": run.folder, "error": one.error}
            )
        return pd.DataFrame(rows)

    def table(self) -> pd.DataFrame:
        """Return one row a setting: scores with intervals, differences to the row compared with, mean cost."""
        import pandas as pd

        rows = []
        for row in self.rows:
            out: dict[str, Any] = {"setting": row.setting.name}
            out |= {name: "" if row.setting.peer else words(self.value(row, name)) for name in self.varied}
            out |= {"images": row.size or "all", "runs_done": row.n_done, "runs": row.n_runs, "held_out": row.n_images}
            for name, e in row.scores.items():
                out |= {name: e.value, f"{name}.low": e.low, f"{name}.high": e.high}
            out |= {"seed_sd": row.spread, "against": row.against}
            for name, d in row.gains.items():
                e = d.estimate
                out |= {f"gain.{name}": e.value, f"gain.{name}.low": e.low, f"gain.{name}.high": e.high}
                out |= {f"gain.{name}.p": d.p_value}
            rows.append(out | {"holm_p": row.adjusted} | dict.fromkeys(COSTS) | dict(row.cost))
        return pd.DataFrame(rows)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "segmetry": segmetry.__version__,
            "study": "networks",
            "groups": self.groups,
            "n_groups": self.n_groups,
            "varied": list(self.varied),
            "rows": [
                {
                    "setting": row.setting.name,
                    "changes": dict(row.setting.changes),
                    "images": row.size or "all",
                    "runs_done": row.n_done,
                    "runs": row.n_runs,
                    "held_out": row.n_images,
                    "scores": {name: e.as_dict() for name, e in row.scores.items()},
                    "seed_sd": row.spread,
                    "against": row.against,
                    "gains": {n: d.estimate.as_dict() | {"p": d.p_value} for n, d in row.gains.items()},
                    "holm_p": row.adjusted,
                    "cost": dict(row.cost),
                }
                for row in self.rows
            ],
            "runs": [
                {
                    "folder": one.run.folder,
                    "setting": one.run.setting.name,
                    "images": one.run.size or "all",
                    "n_training": one.run.n_training,
                    "seed": one.run.seed,
                    "fold": one.run.fold,
                    "state": one.state,
                    "error": one.error,
                }
                for one in self.results
            ],
            "notes": list(self.notes),
        }


def study_networks(
    results: Sequence[Result], *, scores: Sequence[str] = (), notes: Sequence[str] = (), seed: int = 0
) -> NetworkStudy:
    """Return what the runs say.

    Parameters
    ----------
    results : sequence of Result
    scores : sequence of str
        Full names of scores that are told and compared besides `COMPARED`.
    notes : sequence of str
    seed : int
        Of the bootstrap.

    Notes
    -----
    A score of a held-out image is its mean over the seeds; its confusion table too. Intervals draw images (groups)
    again, so they are for the population of images; how much the seed moves the mean IoU stands beside them.

    A row is compared with the first setting of the file that has a run at the same number of training images; where
    there is one setting, with its largest number of images. Each image counts with the seeds that both rows have.
    """
    settings = list({one.run.setting.name: one.run.setting for one in results}.values())
    sizes = list(dict.fromkeys(one.run.size for one in results))
    of: dict[tuple[str, int | None], list[Result]] = {}
    for one in results:
        of.setdefault((one.run.setting.name, one.run.size), []).append(one)
    keys = tuple(dict.fromkeys((*COMPARED, *scores)))
    values = {key: _values(own, keys) for key, own in of.items()}
    owner = {image.name: group for one in results for image, group in zip(one.images, one.groups, strict=True)}
    first = {
        size: next((s.name for s in settings if any(one.images for one in of[s.name, size])), settings[0].name)
        for size in sizes
    }
    rows = []
    for size, setting in itertools.product(sizes, settings):
        own = of[setting.name, size]
        beside = (first[size], size) if len(settings) > 1 else (setting.name, sizes[-1])
        images = _over_seeds(own)
        found = _scores(images, [owner[image.name] for image in images], seed)
        same = beside == (setting.name, size)
        gains = {} if same else _gains(values[beside], values[setting.name, size], owner, seed)
        told = beside[0] if len(settings) > 1 else f"{beside[1] or 'all'} images"
        against = told if gains else ""
        done = [one for one in own if one.state == "done"]
        rows.append(
            Row(setting, size, len(done), len(own), len(images), found, _spread(done), against, gains, math.nan,
                _mean_cost(done))
        )  # fmt: skip
    p_values = holm([row.gains[MEAN_IOU].p_value if MEAN_IOU in row.gains else math.nan for row in rows])
    rows = [dataclasses.replace(row, adjusted=float(p)) for row, p in zip(rows, p_values, strict=True)]
    varied = _varied({one.run.setting.name: one.run for one in results if not one.run.setting.peer})
    unit = "image" if all(group == name for name, group in owner.items()) else "group"
    n_groups = len(set(owner.values()))
    return NetworkStudy(tuple(rows), tuple(results), varied, unit, n_groups, tuple(notes), keys[len(COMPARED) :])


def _varied(runs: Mapping[str, Run]) -> tuple[str, ...]:
    """Return the entries that settings change and that take several values."""
    names = dict.fromkeys(name for run in runs.values() for name in run.setting.changes)
    values = {name: {words(run.value(name)) for run in runs.values()} for name in names}
    return tuple(name for name, own in values.items() if len(own) > 1)


def _values(results: Sequence[Result], keys: Sequence[str]) -> dict[str, dict[tuple[str, int], float]]:
    """Return the compared scores by image and seed."""
    images = same_classes([image for one in results for image in one.images])
    seeds = [one.run.seed for one in results for _ in one.images]
    return {
        key: {
            (image.name, seed): image.values[family].get(name, math.nan)
            for image, seed in zip(images, seeds, strict=True)
        }
        for key in keys
        for family, _, name in [key.partition(".")]
    }


def _over_seeds(results: Sequence[Result]) -> list[ImageScores]:
    """Return each held-out image once, with the means of its scores and of its counts over the seeds."""
    of: dict[str, list[ImageScores]] = {}
    for image in same_classes([image for one in results for image in one.images]):
        of.setdefault(image.name, []).append(image)
    found = []
    for own in of.values():
        counts = SemanticCounts.stack([one.pixels for one in own])
        error = None if counts.absolute_error is None else counts.absolute_error.mean(axis=0)
        pixels = SemanticCounts(counts.confusion.mean(axis=0), counts.values, counts.names, error)
        names = dict.fromkeys(name for one in own for name in one.values["semantic"])
        values = {name: float(np.mean([one.values["semantic"].get(name, math.nan) for one in own])) for name in names}
        found.append(dataclasses.replace(own[0], values={"semantic": values}, pixels=pixels))
    return found


def _scores(images: Sequence[ImageScores], groups: Sequence[str], seed: int) -> dict[str, Estimate]:
    if not images:
        return {}
    found = combine(images, groups=groups, seed=seed)
    return {f"{family}.{name}": e for family in FAMILIES for name, e in found[family].items()}


def _spread(done: Sequence[Result]) -> float:
    """Return the standard deviation over seeds of the mean IoU over all images that any seed held out."""
    of: dict[int, dict[str, float]] = {}
    for (image, seed), value in _values(done, [MEAN_IOU])[MEAN_IOU].items():
        of.setdefault(seed, {})[image] = value
    most = max((len(own) for own in of.values()), default=0)
    means = [np.mean(list(own.values())) for own in of.values() if len(own) == most]
    return float(np.std(means, ddof=1)) if len(means) > 1 else math.nan


def _gains(
    beside: Mapping[str, Mapping[tuple[str, int], float]],
    own: Mapping[str, Mapping[tuple[str, int], float]],
    owner: Mapping[str, str],
    seed: int,
) -> dict[str, Difference]:
    """Return the paired differences, own minus beside, over the images that both have, mean over their seeds."""
    found = {}
    for key in own:
        pairs: dict[str, list[tuple[float, float]]] = {}
        for at in own[key].keys() & beside[key].keys():
            pairs.setdefault(at[0], []).append((beside[key][at], own[key][at]))
        if pairs:
            names = sorted(pairs)
            a, b = (np.array([np.mean([pair[k] for pair in pairs[name]]) for name in names]) for k in (0, 1))
            found[key] = paired_difference(a, b, name=key, groups=[owner[name] for name in names], seed=seed)
    return found


def _mean_cost(done: Sequence[Result]) -> dict[str, Any]:
    """Return the means over runs of what they cost."""
    means = {}
    for name in COSTS:
        seen = [v for one in done if (v := one.cost.get(name)) is not None]
        if seen:
            means[name] = float(np.mean(seen))
    devices = dict.fromkeys(str(one.cost["device"]) for one in done if one.cost.get("device"))
    return means | ({"device": "; ".join(devices)} if devices else {})
