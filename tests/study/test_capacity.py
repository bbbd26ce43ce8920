"""``segmetry study capacity``: nested draws, trainings that go on, one paired curve, and where it levels off."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_images import write_png

from segmetry.cli import main
from segmetry.cli.studies import parse_sizes
from segmetry.errors import OptionError
from segmetry.evaluate.scored import ScoredImage
from segmetry.report.capacity_page import capacity_lines, write_capacity_page
from segmetry.study.capacity import (
    Done,
    OutOfTimeError,
    Point,
    Step,
    do_steps,
    draw_nested,
    level_sentence,
    levels_off,
    plan_steps,
    study_capacity,
)
from segmetry.study.sweep import THRESHOLDS, Sweep
from segmetry.trials import Trial
from segmetry.types import Estimate


@pytest.mark.parametrize("seed", range(5))
def test_draws_are_nested_and_of_whole_groups(seed):
    rng = np.random.default_rng(seed)
    groups = [f"g{k}" for k in rng.integers(0, 40, 150)]
    sizes = [1, 20, 50, 100, 150]
    drawn = draw_nested(groups, sizes, seed=seed)
    largest = max(Counter(groups).values())
    for size, here in zip(sizes, drawn, strict=True):
        inside = {groups[i] for i in here}
        assert sorted(here) == [i for i, g in enumerate(groups) if g in inside]
        assert abs(len(here) - size) <= largest / 2 or len(inside) == 1
    for small, large in itertools.pairwise(drawn):
        assert set(small) <= set(large)
    assert len(drawn[-1]) == 150
    assert [d.tolist() for d in draw_nested(groups, sizes, seed=seed)] == [d.tolist() for d in drawn]


def test_the_plan_keeps_folds_apart():
    names = [f"i{k}" for k in range(60)]
    groups = [f"g{k // 3}" for k in range(60)]
    owner = dict(zip(names, groups, strict=True))
    steps, notes = plan_steps(names, groups, [10, 30, 45, 60], 5)
    assert [(s.fold, s.size) for s in steps] == [(k, size) for k in range(5) for size in (10, 30, 45, 60)]
    assert notes == ["60 images, and 48 when a fold is held out: size 60 stands for all of these."]
    for step in steps:
        assert {owner[n] for n in step.training}.isdisjoint(owner[n] for n in step.held_out)
        if step.size == 60:
            assert len(step.training) == 48
    assert sorted(n for s in steps if s.size == 10 for n in s.held_out) == sorted(names)
    # Several sizes beyond what is there are one.
    assert {s.size for s in plan_steps(names, groups, [10, 50, 60], 5)[0]} == {10, 50}
    with pytest.raises(OptionError, match="cannot be dealt"):
        plan_steps(names, groups, [10], 21)
    with pytest.raises(OptionError, match="rising"):
        plan_steps(names, groups, [30, 10], 5)


def point(size: int, gain: float, low: float, high: float) -> Point:
    return Point(size, size, 5, {}, Estimate("gain", gain, low, high))


def test_where_it_levels_off_by_hand():
    last = point(366, 0, 0, 0)
    rising, flat = point(50, 0.08, 0.05, 0.1), point(200, 0.004, -0.003, 0.011)
    unsure = point(100, 0.03, -0.01, 0.07)  # few images: the interval holds 0, but the gain may matter
    small = point(100, 0.006, 0.002, 0.01)  # little, but told apart from 0
    unknown = point(200, 0.001, float("nan"), float("nan"))
    assert levels_off([rising, flat, last]) == 200
    assert levels_off([rising, unsure, flat, last]) == 200
    assert levels_off([rising, small, flat, last]) == 200
    assert levels_off([flat, rising, last]) is None  # it must stay so
    assert levels_off([rising, last]) is None
    assert levels_off([rising, unknown, last]) is None
    assert levels_off([point(50, -0.02, -0.03, -0.01), last]) == 50  # more images make it worse
    assert "up to 0.011 more is not excluded" in level_sentence([rising, flat, last], 200)
    assert "does not level off up to 366" in level_sentence([rising, last], None)
    assert "too few groups" in level_sentence([unknown, last], None)
    assert "Fewer than two sizes" in level_sentence([last], None)


def sweep_of(names: list[str], ap50: float) -> Sweep:
    """Return a sweep in which every image has one AP50 at the threshold .5, and less elsewhere."""
    table = np.full((len(names), len(THRESHOLDS)), ap50 / 2)
    table[:, 10] = ap50
    objects = [ScoredImage(np.zeros(0), np.zeros(0, bool), 1, name) for name in names]
    return Sweep(names, {"instance.ap50": table}, objects, [])


@pytest.fixture
def study():
    """Three sizes on four folds, the last of which is easier, and was not run for the largest size."""
    names = [f"i{k:02d}" for k in range(40)]
    steps, _ = plan_steps(names, names, [10, 20, 32], 4)
    gets = {10: 0.5, 20: 0.8, 32: 0.8}
    results = [
        Done(s, "not run")
        if (s.fold, s.size) == (3, 32)
        else Done(s, "done", sweep=sweep_of(list(s.held_out), gets[s.size] + 0.1 * (s.fold == 3)))
        for s in steps
    ]
    return study_capacity(results, group_name="paper", notes=["a note"])


def test_sizes_are_compared_on_the_images_that_both_have(study):
    n = [(p.size, p.n_folds, p.scores["instance.ap50"].n) for p in study.points]
    assert n == [(10, 4, 40), (20, 4, 40), (32, 3, 30)]
    assert study.points[1].scores["instance.ap50"].value == pytest.approx(0.825)
    assert [p.gain.value for p in study.points] == pytest.approx([0.3, 0, 0])
    assert [p.gain.n for p in study.points] == [30, 30, 30]
    assert study.level == 20
    table = study.table()
    assert table[(table["size"] == 10) & (table["family"] == "gain_to_largest")]["value"].item() == pytest.approx(0.3)
    json.dumps(study.as_dict())


def test_what_was_not_run_is_said(study):
    assert "not run (1 of 12): 32 images, fold 3" in capacity_lines(study)
    text = "\n".join(capacity_lines(study))
    assert "It levels off at 20 images" in text
    assert "not run (1 of 12)" in text
    assert "a note" in text


@pytest.mark.slow
def test_the_page(study, tmp_path):
    about = {"software": "segmetry", "version": "0", "python": "3", "platform": "", "time": "", "seconds": 1, "seed": 0}
    page = write_capacity_page(study, tmp_path, provenance=about).read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert "not run (1 of 12): 32 images, fold 3" in page
    assert (tmp_path / "figures" / "capacity.svg").is_file()


def test_nothing_was_run():
    steps, _ = plan_steps(list("abcdef"), list("abcdef"), [2], 2)
    found = study_capacity([Done(s, "not run") for s in steps])
    assert (found.points, found.level) == ((), None)
    assert "not run (2 of 2)" in "\n".join(capacity_lines(found))
    assert len(found.table()) == 0


@pytest.fixture
def steps_and_trials(tmp_path, monkeypatch):
    """Two folds of two sizes on six images, and what stands in for training and judging."""
    names = list("abcdef")
    steps, _ = plan_steps(names, names, [2, 3], 2)
    trials = {n: Trial(tmp_path / n, n, tmp_path / n) for n in names}
    judged: list[str] = []

    class Judge:
        def __init__(self, recipe, out):
            self.model, self.out = recipe, out

        def __call__(self, task):
            judged.append(task.folder)
            assert (self.model / "card.json").exists()
            values = {"instance.ap50": [0.5] * len(THRESHOLDS)}
            one = {"judged": "x", "sweep": values, "judged_scores": [], "right": [], "n_truth": 1}
            self.out.mkdir(exist_ok=True)
            (self.out / f"{task.folder}.json").write_text(json.dumps(one), encoding="utf-8")

        def is_done(self, task):
            return (self.out / f"{task.folder}.json").exists()

    monkeypatch.setattr("segmetry.study.capacity.SweepWork", Judge)
    return steps, trials, judged


def do(steps, trials, work: Path, train, identity="x", **options) -> list[Done]:
    return do_steps(steps, trials, {}, work, train=train, recipe_of=lambda model: model, identity=identity, **options)


def make_model(step: Step, folder: Path) -> Path:
    (folder / "model").mkdir()
    (folder / "model" / "card.json").write_text("{}", encoding="utf-8")
    return folder / "model"


def test_what_is_done_is_not_done_again(tmp_path, steps_and_trials):
    steps, trials, judged = steps_and_trials
    trained: list[str] = []

    def train(step, folder):
        trained.append(step.folder)
        if len(trained) == 2:
            raise OutOfTimeError
        if len(trained) == 3:
            raise RuntimeError("out of luck")
        return make_model(step, folder)

    first = do(steps, trials, tmp_path / "work", train)
    assert [one.state for one in first] == ["done", "stopped", "failed", "done"]
    assert "out of luck" in first[2].error
    again = do(steps, trials, tmp_path / "work", train)
    assert [one.state for one in again] == ["done"] * 4
    assert trained == [s.folder for s in steps] + [steps[1].folder, steps[2].folder]
    assert Counter(judged) == Counter(n for s in steps for n in s.held_out)
    assert do(steps, trials, tmp_path / "work", make_model, out_of_time=lambda: True)[0].state == "done"
    with pytest.raises(OptionError, match="another recipe"):
        do(steps, trials, tmp_path / "work", train, identity="y")
    other = [replace(steps[0], training=("a",)), *steps[1:]]
    with pytest.raises(OptionError, match="other images"):
        do(other, trials, tmp_path / "work", train)


def test_a_budget_that_is_spent(tmp_path, steps_and_trials):
    steps, trials, _ = steps_and_trials
    left = iter([False, False, True, True])
    found = do(steps, trials, tmp_path / "work", make_model, out_of_time=lambda: next(left))
    assert [one.state for one in found] == ["done", "done", "not run", "not run"]


def test_sizes_in_words():
    assert parse_sizes("50,100, 366") == [50, 100, 366]
    for text in ("50,,100", "50,x", "0,50", "100,50", "50,50", "-5", ""):
        with pytest.raises(OptionError, match="--sizes"):
            parse_sizes(text)


def draw_disks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.zeros((80, 100), np.uint16)
    rows, cols = np.mgrid[:80, :100]
    for k, (row, col) in enumerate(((20, 20), (30, 70), (60, 40)), 1):
        labels[(rows - row) ** 2 + (cols - col) ** 2 < 13**2] = k
    return np.clip(60 + 120 * (labels > 0) + rng.normal(0, 8, labels.shape), 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for k in range(6):
        pixels, truth = draw_disks(k)
        write_png(folder / "images" / f"i{k}.png", pixels)
        write_png(folder / "truth" / f"i{k}.png", truth)
    return folder


SMALL = ("widths=[8, 16, 16]", "steps=3", "batch=2", "warmup=1", "precision=32-true", "scenes=2")


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    small = [word for setting in SMALL for word in ("--set", setting)]
    fixed = ["--folds", "2", "--scale", "none", "--workers", "0", "-j", "1", "-o", str(out)]
    return ["study", "capacity", str(data / "images"), str(data / "truth"), *fixed, *small, *more]


@pytest.mark.torch
@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--sizes", "3,2"], "rising"),
        (["--sizes", "2", "--set", "fold=1"], "--folds"),
        (["--sizes", "2", "--set", "stepps=1"], "steps"),
        (["--sizes", "2", "--set", "network=bpartis"], "bpartis"),
        (["--sizes", "2", "--folds", "7"], "7 folds"),
        (["--sizes", "2", "--groups", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_bad_input_is_one_line(data, tmp_path, capsys, more, says):
    pytest.importorskip("torch")
    assert main(arguments(data, tmp_path / "out", *more)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert says in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.torch
def test_contours_are_compared_as_they_were_learned(data, tmp_path, monkeypatch):
    """The truth is drawn by people; a contour on the grey edge would lose by it."""
    pytest.importorskip("torch")
    asked = []
    monkeypatch.setattr("segmetry.study.capacity.do_steps", lambda *a, recipe_of, **k: asked.append(recipe_of) or [])
    assert main(arguments(data, tmp_path / "out", "--sizes", "2")) == 0
    options = asked[0](Path("MODEL")).method.as_dict()
    assert (options["refine"], options["threshold"]) == (False, 0)


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_command(data, tmp_path, capsys):
    pytest.importorskip("torch")
    out = tmp_path / "out"
    assert main(arguments(data, out, "--sizes", "2,6", "--budget", "0")) == 0
    text = capsys.readouterr().out
    assert "not run (4 of 4): 2 images, fold 0; 6 images, fold 0; 2 images, fold 1; 6 images, fold 1" in text
    assert main(arguments(data, out, "--sizes", "2,6")) == 0
    captured = capsys.readouterr()
    assert "4 of 4 trainings done" in captured.out
    assert captured.err.count("training") == 4
    found = json.loads((out / "study.json").read_text(encoding="utf-8"))
    assert [p["n_training"] for p in found["points"]] == [2, 3]
    card = json.loads((out / "work" / "n0002-fold0" / "model" / "card.json").read_text(encoding="utf-8"))
    assert card["training"]["images"] == 2
    for name in ("capacity.csv", "study.html", "run.json", "figures/capacity.svg"):
        assert (out / name).is_file()
    # Again: nothing is trained or judged, and the numbers are the same.
    assert main(arguments(data, out, "--sizes", "2,6", "--json")) == 0
    captured = capsys.readouterr()
    assert "training" not in captured.err
    assert json.loads(captured.out)["points"] == found["points"]
    # Another recipe does not mix with it.
    assert main(arguments(data, out, "--sizes", "2,6", "--set", "steps=4")) == 2
    assert "another recipe" in capsys.readouterr().err
