"""``segmetry study threshold``: one run per image, every threshold by dropping, choices judged on other images."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace as Namespace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from cli_images import write_png

from segmetry.batch import run
from segmetry.cli import main
from segmetry.errors import OptionError
from segmetry.evaluate.instances import score_instances
from segmetry.evaluate.physical import physical_scores
from segmetry.evaluate.promise import promise_false_share, promise_misses
from segmetry.evaluate.published import published_emps
from segmetry.evaluate.scored import ScoredImage
from segmetry.measure import label
from segmetry.options import option
from segmetry.partners import pair_files
from segmetry.recipe import Recipe
from segmetry.segment import METHODS, Method, method_from
from segmetry.segment.methods import Scene
from segmetry.study.sweep import (
    THRESHOLDS,
    Sweep,
    SweepWork,
    drop_below,
    load_sweep,
    note_on_scores,
    open_threshold,
    sweep_image,
)
from segmetry.study.threshold import SOFT, choose, fold_of, study_threshold, try_promises
from segmetry.trials import make_trials
from segmetry.types import Segmentation

N = 12
GRID = [(row, col) for row in (12, 36, 60) for col in (12, 36, 60, 84)]
SIDE = 7
MAP = {"form": "logistic", "slope": 2.0, "offset": 0.1}


@dataclass(frozen=True, kw_only=True)
class Stand(Method):
    """A stand-in: bright squares, each with its grey level over 250 as its score."""

    name: ClassVar[str] = "stand"
    summary: ClassVar[str] = "stand-in of a method that scores its particles"
    threshold: float = option(0.5, "smallest score of a particle", low=0, high=1)
    fail_at: int = option(-1, "grey of the corner pixel of an image that it cannot do", low=-1)

    runs: ClassVar[list[float]] = []

    def run(self, scene: Scene) -> Segmentation:
        """Return the squares of at least the threshold."""
        Stand.runs.append(self.threshold)
        if scene.pixels[0, 0] == self.fail_at:
            raise RuntimeError("a corner that is too grey")
        labels = label(scene.pixels > 20)
        grey = np.array([scene.pixels[labels == k].mean() for k in range(1, labels.max() + 1)])
        scores = grey / 250
        return Segmentation(
            drop_below(labels, scores, self.threshold), scores=scores[scores >= self.threshold], info={}
        )


@pytest.fixture
def stand(monkeypatch):
    """The stand-in among the methods."""
    monkeypatch.setitem(METHODS, "stand", Stand)
    Stand.runs.clear()
    return Stand


def square(labels: np.ndarray, place: tuple[int, int], value: int) -> None:
    labels[place[0] - SIDE : place[0] + SIDE, place[1] - SIDE : place[1] + SIDE] = value


def make_image(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels and truth: eight true squares with grey 130 to 245, four that are none with grey up to 98."""
    rng = np.random.default_rng(seed)
    pixels, truth = np.zeros((72, 96), np.uint8), np.zeros((72, 96), np.uint16)
    pixels[0, 0] = seed
    for k, place in enumerate(rng.permutation(GRID)):
        true = k < 8
        grey = rng.integers(130, 246) if true else 98 if k == 8 else rng.integers(25, 98)
        square(pixels, place, int(grey))
        if true:
            square(truth, place, k + 1)
    return pixels, truth


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Twelve images of six papers, and their truth."""
    folder = tmp_path_factory.mktemp("data")
    lines = ["image,paper"]
    for k in range(N):
        pixels, truth = make_image(k)
        write_png(folder / "images" / f"i{k:02d}.png", pixels)
        write_png(folder / "truth" / f"i{k:02d}.png", truth)
        lines.append(f"i{k:02d},p{k // 2}")
    (folder / "groups.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    paths = ["--images", str(data / "images"), "--truth", str(data / "truth"), "--groups", str(data / "groups.csv")]
    return ["study", "threshold", "-m", "stand", *paths, "-o", str(out), "--scale", "none", "-j", "1", *more]


def test_dropping_by_hand():
    labels = np.array([[1, 0, 2, 3, 3]], np.int32)
    scores = np.array([0.5, 0.4999, 0.9])
    np.testing.assert_array_equal(drop_below(labels, scores, 0.5), [[1, 0, 0, 2, 2]])
    np.testing.assert_array_equal(drop_below(labels, scores, 0.0), labels)
    np.testing.assert_array_equal(drop_below(labels, scores, 0.95), [[0, 0, 0, 0, 0]])
    assert drop_below(np.zeros((2, 2), np.int32), np.zeros(0), 0.5).tolist() == [[0, 0], [0, 0]]


def test_the_sweep_is_the_method_run_at_every_threshold(stand):
    pixels, truth = make_image(3)
    scene = Scene(pixels.astype(np.float32), None, (1.0, 1.0), "px")
    everything = Stand(threshold=0.0).run(scene)
    found = sweep_image(truth, everything.labels, everything.scores)
    for k, threshold in enumerate(THRESHOLDS):
        alone = Stand(threshold=threshold).run(scene).labels
        for name, value in score_instances(truth, alone).items():
            assert found[f"instance.{name}"][k] == pytest.approx(value, nan_ok=True)
        for name, value in published_emps(truth, alone).items():
            assert found[f"published_emps.{name}"][k] == value
        for name in ("count_error", "d50_error"):
            expected = physical_scores(truth, alone)[name]
            assert found[f"physical.{name}"][k] == pytest.approx(expected, nan_ok=True)
    assert found["instance.precision"][0] == pytest.approx(8 / 12)  # all twelve squares, eight of them true
    assert found["instance.ap50"][THRESHOLDS.index(0.5)] == 1.0  # none of up to 98, all of 130 to 245
    assert math.isnan(found["physical.d50_error"][-1])  # nothing is left: no size


def test_the_threshold_opens_what_has_one():
    assert open_threshold(Stand(threshold=0.7, fail_at=3)).as_dict() == {
        "method": "stand",
        "threshold": 0.0,
        "fail_at": 3,
    }
    with pytest.raises(OptionError, match="otsu has no option 'threshold'"):
        open_threshold(method_from("otsu"))


def sweep_of(table: np.ndarray, groups: list[str]) -> Sweep:
    """Return a sweep of which only AP50 is known."""
    n = len(table)
    objects = [ScoredImage(np.zeros(0), np.zeros(0, bool), 1, g) for g in groups]
    return Sweep([f"i{k}" for k in range(n)], {"instance.ap50": table}, objects, [])


def test_what_is_chosen_is_judged_on_other_images():
    # Three groups of two; each is perfect at its own threshold and at nothing else; all are 0.4 at the last.
    table = np.zeros((6, len(THRESHOLDS)))
    table[:, -1] = 0.3
    for k in range(6):
        table[k, k // 2] = 1.0
    sweep = sweep_of(table, ["a", "a", "b", "b", "c", "c"])
    fold = np.array([0, 0, 1, 1, 2, 2])
    found = choose(sweep, ("instance.ap50",), fold)
    # On all: 1/3 at thresholds 0, 1 and 2 against 0.3: the lowest. On two groups each of theirs has 1/2.
    assert found.threshold == THRESHOLDS[0]
    assert found.of_folds == (THRESHOLDS[1], THRESHOLDS[0], THRESHOLDS[0])
    assert found.same["instance.ap50"].value == pytest.approx(1 / 3)
    assert found.held_out["instance.ap50"].value == 0  # what helps the others helps no group
    one = choose(sweep, ("instance.ap50",), np.zeros(6, int))
    assert (one.of_folds, dict(one.held_out)) == ((), {})


def test_groups_are_never_parted():
    groups = [f"g{k % 7}" for k in range(40)]
    fold = fold_of(groups)
    assert all(len({f for f, g in zip(fold, groups, strict=True) if g == name}) == 1 for name in groups)
    assert len(set(fold)) == 5
    assert set(fold_of(["a", "a", "b"])) == {0, 1}
    assert set(fold_of(["a", "a"])) == {0}


def test_promises_are_tried_on_folds_that_had_no_part_in_them():
    rng = np.random.default_rng(0)
    images = []
    for k in range(200):
        scores = rng.random(30)
        right = rng.random(30) < scores  # a score is the chance to be right
        images.append(ScoredImage(scores, right, int(right.sum()) + k % 2, f"g{k}"))
    fold = fold_of([one.group for one in images])
    found = {(one.promise.kind, one.promise.alpha): one for one in try_promises(images, fold, unit="paper")}
    shares: dict[str, list[float]] = {"false": [], "missed": []}
    for k in range(5):
        there = [one for one, f in zip(images, fold, strict=True) if f != k]
        at = {"false": promise_false_share(there, 0.1).threshold, "missed": promise_misses(there, 0.2).threshold}
        for one, f in zip(images, fold, strict=True):
            if f == k:
                kept = one.scores >= at["false"]
                shares["false"].append((kept & ~one.right).sum() / max(kept.sum(), 1))
                shares["missed"].append(1 - (one.right & (one.scores >= at["missed"])).sum() / one.n_truth)
    for kind, alpha in (("false", 0.1), ("missed", 0.2)):
        tried = found[kind, alpha]
        assert (tried.n_without, tried.seen.n) == (0, 200)
        assert tried.seen.value == pytest.approx(np.mean(shares[kind]))
        assert tried.seen.low < alpha
    strict = found["missed", 0.01]  # one true particle of 30 is missed in every second image, whatever is kept
    assert (strict.seen, strict.n_without, strict.promise.threshold) == (None, 5, None)


def test_a_model_whose_scores_are_chances_is_told(monkeypatch):
    cards = {"plain": Namespace(name="plain", post={}), "mapped": Namespace(name="m", post={"score_map": MAP})}
    monkeypatch.setattr("segmetry.study.sweep.resolve_model", lambda name: name)
    monkeypatch.setattr("segmetry.study.sweep.read_model_folder", lambda name: Namespace(card=cards[name]))
    assert note_on_scores(method_from("otsu")) == ""
    assert note_on_scores(Namespace(model="plain")) == ""
    assert "no longer strict" in note_on_scores(Namespace(model="mapped"))


def test_no_particle_anywhere():
    table = np.zeros((6, len(THRESHOLDS)))
    found = study_threshold(sweep_of(table, list("abcdef")), method={"method": "stand"})
    assert found.score_map is None
    assert found.stated is None
    assert all(one.promise.threshold is None and one.seen is None for one in found.promises)
    json.dumps(found.as_dict()["best"])


@pytest.mark.slow
def test_the_command(data, tmp_path, stand, capsys):
    out = tmp_path / "out"
    assert main(arguments(data, out, "--set", "fail_at=4")) == 1
    captured = capsys.readouterr()
    assert SOFT in captured.out
    assert "recall" in captured.out.split("precise setting")[1].splitlines()[1]
    assert f"report: {out / 'study.html'}" in captured.out
    assert Stand.runs == [0.0] * N  # once per image, nothing dropped

    # The batch went on after the image that failed; it counts as an empty prediction.
    assert "i04.png: unexpected RuntimeError" in captured.err
    assert "i04" in (out / "failures.csv").read_text(encoding="utf-8")
    found = json.loads((out / "study.json").read_text(encoding="utf-8"))
    assert [one["image"] for one in found["failures"]] == ["i04"]
    assert (found["n_images"], found["n_groups"], found["groups"]) == (N, 6, "paper")
    # True squares have a score of .52 at least; of the others one in each image has .392 and none more.
    assert found["best"]["threshold"] == THRESHOLDS[8]
    assert found["best"]["threshold_of_folds"] == [THRESHOLDS[8]] * 5
    assert found["best"]["held_out"]["instance.ap50"]["value"] == pytest.approx((N - 1) / N)
    assert found["precise"]["why_soft"] == SOFT
    table = pd.read_csv(out / "threshold.csv")
    assert sorted(table["threshold"].unique()) == sorted(THRESHOLDS)
    rows = table[(table["score"] == "precision") & (table["family"] == "instance")].set_index("threshold")["value"]
    assert rows[0.0] == pytest.approx((N - 1) * 8 / 12 / N)
    assert rows[0.5] == pytest.approx((N - 1) / N)
    page = (out / "study.html").read_text(encoding="utf-8")
    assert SOFT in page
    assert "unexpected RuntimeError" in page
    assert not re.search(r"""(src|href)=["']?https?:""", page)  # loads nothing
    assert page.count("<svg") == 7

    # Again, as JSON: only what failed is segmented again, and the numbers are the same.
    before = (out / "threshold.csv").read_bytes()
    assert main(arguments(data, out, "--set", "fail_at=4", "--json")) == 1
    assert len(Stand.runs) == N + 1
    assert (out / "threshold.csv").read_bytes() == before
    assert json.loads(capsys.readouterr().out)["best"] == found["best"]


def test_only_what_has_changed_is_done_again(data, tmp_path, stand):
    copy, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(data, copy)
    trials = make_trials([], pair_files(copy / "images", copy / "truth").pairs[:3])

    def ap50(**options) -> list[float]:
        recipe = Recipe.build("stand", options={"threshold": 0, **options}, scale="none")
        work = SweepWork(recipe, out)
        outcomes = list(run(trials, work, done=work.is_done))
        assert all(work.is_done(trial) for trial in trials)
        found = load_sweep(out, outcomes, {})
        of = dict(zip(found.names, found.values["instance.ap50"][:, 10], strict=True))
        return [of[trial.folder] for trial in trials]

    assert ap50() == [1, 1, 1]
    assert ap50() == [1, 1, 1]
    assert len(Stand.runs) == 3
    truth = make_image(0)[1]
    truth[truth == 1] = 0
    write_png(copy / "truth" / "i00.png", truth)
    assert ap50() == [pytest.approx(7 / 8), 1, 1]
    assert len(Stand.runs) == 3  # judged again, not segmented
    ap50(fail_at=200)
    assert len(Stand.runs) == 6  # another method
    (out / "i01.json").write_text("{broken", encoding="utf-8")
    assert ap50(fail_at=200) == [pytest.approx(7 / 8), 1, 1]
    assert len(Stand.runs) == 7


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["-m", "otsu"], "no option 'threshold'"),
        (["-m", "stnd"], "stand"),
        (["--set", "threshold=0.3"], "leave this out"),
        (["--set", "treshold=0.3"], "threshold"),
        (["--groups", "nowhere.csv"], "nowhere.csv"),
        (["--ids", "nowhere.csv"], "nowhere.csv"),
        (["--truth", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line(data, tmp_path, stand, capsys, change, says):
    assert main(arguments(data, tmp_path / "out", *change)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert Stand.runs == []


def test_a_method_without_scores(data, tmp_path, stand, monkeypatch, capsys):
    from dataclasses import replace

    own = Stand.run
    monkeypatch.setattr(Stand, "run", lambda self, scene: replace(own(self, scene), scores=None))
    assert main(arguments(data, tmp_path / "out")) == 2
    assert "stand gives no score for each particle" in capsys.readouterr().err
