"""``segmetry study networks``: what a file asks for, the runs that it takes, and what they say together."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from segmetry.errors import OptionError, RecipeError
from segmetry.evaluate.judgement import Rules, judge
from segmetry.pipeline import make_provenance
from segmetry.recipe import Recipe
from segmetry.report.networks_page import (
    further_table,
    markdown,
    network_lines,
    network_tables,
    score_table,
    warnings_of,
    write_networks_page,
)
from segmetry.study.networks import MEAN_IOU, Result, study_networks
from segmetry.study.settings import Run, Setting, StudyFile, plan_runs, read_study
from segmetry.train.class_recipe import ClassRecipe

BASE = ClassRecipe(options={"width": 4})
NAMES = [f"i{k}" for k in range(10)]
GROUPS = [f"g{k // 2}" for k in range(10)]


def asked(tmp_path: Path, text: str) -> StudyFile:
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    return read_study(tmp_path / "study.yaml")


def runs_of(study: StudyFile, work: Path, base: ClassRecipe = BASE, **how) -> list[Run]:
    how = {"identity": lambda recipe, names, init: " ".join(names)} | how
    return plan_runs(study, base, NAMES, GROUPS, [], work, **how)


class TestFile:
    def test_a_grid_is_every_combination(self, tmp_path):
        study = asked(tmp_path, "grid: {learning_rate: [1e-3, 3e-3], side: [96, 192]}")
        assert [one.name for one in study.settings] == [
            "learning rate 0.001, side 96",
            "learning rate 0.001, side 192",
            "learning rate 0.003, side 96",
            "learning rate 0.003, side 192",
        ]
        recipes = [one.recipe(BASE) for one in study.settings]
        assert [(r.fit.learning_rate, r.samples.side) for r in recipes] == [
            (1e-3, 96),
            (1e-3, 192),
            (3e-3, 96),
            (3e-3, 192),
        ]

    def test_a_list_names_its_rows(self, tmp_path):
        study = asked(tmp_path, "list: [{network: unet}, {network: segnet, batch: 4}, {name: tall, fit: {batch: 2}}]")
        assert [one.name for one in study.settings] == ["unet", "segnet, batch 4", "tall"]
        unet, segnet, tall = (one.recipe(BASE) for one in study.settings)
        assert (unet.options, segnet.options) == ({"width": 4}, {}), "options are those of their network"
        base = BASE.changed({"learning_rate": 0.5})
        assert study.settings[2].recipe(base).fit.learning_rate == 0.5, "what a part does not name stays"
        assert (segnet.fit.batch, tall.fit.batch) == (4, 2)

    def test_everything_that_a_recipe_has_can_vary(self, tmp_path):
        rows = """
grid:
  loss: [{cross-entropy: 1, dice: 1}, {focal: 1}]
  class_weights: ["", inverse]
  width: [4, 8]
"""
        study = asked(tmp_path, rows)
        assert study.settings[0].name == "loss cross-entropy + dice, class weights none, width 4"
        last = study.settings[-1].recipe(BASE)
        assert (last.loss, last.class_weights, last.options) == ({"focal": 1}, "inverse", {"width": 8})

    def test_repeats_and_sizes(self, tmp_path):
        study = asked(tmp_path, "seeds: [0, 1]\nfolds: [0, 1]\nimages: [1, 2, all]\nminutes: 0.5")
        assert study.repeats == [(0, 0), (0, 1), (1, 0), (1, 1)]
        assert (study.sizes, study.minutes, study.folds_of) == ((1, 2, None), 0.5, 5)
        assert asked(tmp_path, "folds_of: 3").folds == (0, 1, 2)

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("grids: {side: [32]}", "did you mean 'grid'"),
            ("[1, 2]", "a study is a table"),
            ("grid: {side: 32}", "give every entry a list"),
            ("list: {side: 32}", "list: give rows"),
            ("grid: {side: [32]}\nlist: [{side: 32}]", "not both"),
            ("grid: {seed: [0, 1]}", "seeds"),
            ("grid: {split: [80/20, 70/30]}", "hold out the same images"),
            ("list: [{side: 32}, {side: 32}]", "two settings are called 'side 32'"),
            ("seeds: 3", "seeds: write whole numbers from 0"),
            ("seeds: [1, 1]", "names a number twice"),
            ("folds: [5]", "folds: 5 is none of 5 folds"),
            ("images: [5, 1]", "rising"),
            ("images: [all, 1]", "rising"),
            ("minutes: soon", "minutes: the time of a run is a number above 0, got 'soon'"),
            ("peers: [forrest]", "did you mean 'forest'"),
            ("peers: forest", "peers: write names"),
            ("scores: [cldise]", "did you mean 'cldice'"),
            ("scores: cldice", "scores: write names of scores"),
            ("widths: [6, 3]", "numbers above 0 that rise"),
            ("widths: thin", "widths: write widths in px"),
        ],
    )
    def test_what_cannot_be_is_said(self, tmp_path, text, says):
        with pytest.raises((OptionError, RecipeError), match=says):
            asked(tmp_path, text)

    def test_what_is_not_named_is_the_networks_own(self):
        assert [ClassRecipe(options={"width": 4}).entry(name) for name in ("width", "kernel", "nothing")] == [
            4,
            3,
            None,
        ]

    def test_peers_and_scores(self, tmp_path):
        study = asked(tmp_path, "peers: [forest]\nscores: [cldice, semantic_pooled.accuracy]\nwidths: [3, 6]")
        assert [(one.name, one.peer) for one in study.settings] == [
            ("random forest", "forest"),
            ("the recipe", ""),
        ]
        wide = [f"semantic.skeleton_recall[{name} px]" for name in ("to 3", "3 to 6", "over 6")]
        assert study.scores == ("semantic.cldice", "semantic_pooled.accuracy", *wide)
        assert study.widths == (3, 6)


class TestPlan:
    def test_all_settings_hold_out_the_same_images(self, tmp_path):
        study = StudyFile(
            tmp_path,
            settings=(Setting("a", {"side": 32}), Setting("b", {"side": 64})),
            seeds=(0, 1),
            folds=(0, 1),
            sizes=(2, None),
        )
        runs = runs_of(study, tmp_path)
        assert len(runs) == 2 * 2 * 2 * 2
        assert len({run.folder for run in runs}) == 16
        held_out = {
            (run.fold, tuple(name for name, part in run.parts.items() if part == "check")) for run in runs
        }  # the seed moves no image
        assert len(held_out) == 2
        for a, b in zip(runs[::2], runs[1::2], strict=True):
            assert (a.setting.name, b.setting.name) == ("a", "b")
            assert a.parts == b.parts
            assert (a.recipe.fit.seed, a.recipe.split) == (a.seed, "as listed")
        small, whole = runs[0], runs[2]
        assert (small.n_training, whole.n_training) == (2, 8)
        assert small.parts.items() <= whole.parts.items(), "draws are nested"

    def test_a_changed_study_keeps_what_is_the_same(self, tmp_path):
        two = StudyFile(tmp_path, settings=(Setting("a", {"side": 32}), Setting("b", {"side": 64})))
        for run in runs_of(two, tmp_path):
            run.path.mkdir()
        renamed = StudyFile(tmp_path, settings=(Setting("small", {"side": 32}), Setting("c", {"side": 96})))
        small, other = runs_of(renamed, tmp_path)
        assert small.path.exists()
        assert not other.path.exists()
        rich = runs_of(renamed, tmp_path, identity=lambda recipe, names, init: "other pixels")
        assert not any(run.path.exists() for run in rich)

    def test_a_peer_learns_from_the_same_images(self, tmp_path):
        peer = Setting("forest", {}, "forest")
        study = StudyFile(tmp_path, settings=(peer, Setting("a", {"side": 32})), folds=(0,), minutes=3)
        forest, network = runs_of(study, tmp_path)
        assert forest.parts == network.parts
        forest.path.mkdir()
        other = StudyFile(tmp_path, settings=(peer,), folds=(0,), minutes=9)
        (again,) = runs_of(other, tmp_path, BASE.changed({"steps": 7}))
        assert again.path.exists(), "no entry of a network moves it"

    def test_groups_that_a_setting_does_without(self, tmp_path):
        rows = (Setting("with", {}), Setting("without", {"leave_out": ["g1", "g2"]}))
        study = StudyFile(tmp_path, settings=rows, folds=(0,))
        whole, part = runs_of(study, tmp_path)
        gone = {name for name, group in zip(NAMES, GROUPS, strict=True) if group in ("g1", "g2")}
        training, judging = ({n for n, p in whole.parts.items() if p == part} for part in ("train", "check"))
        assert part.parts.keys() == (training - gone) | judging, "what is held out is the same"
        assert whole.value("leave_out") is None
        with pytest.raises(OptionError, match="did you mean 'g1'"):
            runs_of(StudyFile(tmp_path, settings=(Setting("a", {"leave_out": "gg1"}),)), tmp_path)

    @pytest.mark.parametrize(
        ("study", "base", "says"),
        [
            ({"settings": (Setting("a", {"sidde": 32}),)}, BASE, "a: there is no entry .* did you mean 'side'"),
            ({"settings": (Setting("a", {}), Setting("b", {"side": 256}))}, BASE, "'a' and 'b' are the same recipe"),
            ({}, BASE.changed({"split": "all"}), "holds no image out"),
            ({"sizes": (9,)}, BASE, "images: 9 of the 8 that train"),
        ],
    )
    def test_what_cannot_be_is_said(self, tmp_path, study, base, says):
        with pytest.raises(OptionError, match=says):
            runs_of(StudyFile(tmp_path, **study), tmp_path, base)


def half(n_right: int):
    """Return the scores of an image of 20 px, 10 of each class, of which so many of the second are found."""
    truth = np.repeat([0, 1], 10).reshape(4, 5)
    found = np.where(np.arange(20).reshape(4, 5) < 20 - n_right, 0, 1)
    return truth, found


def iou(n_right: int) -> float:
    """Mean IoU of `half` by hand: 10 / (20 - n) of the first class, n / 10 of the second."""
    return (10 / (20 - n_right) + n_right / 10) / 2


RULES = Rules("semantic", classes={0: "matrix", 1: "pore"})


def result(setting: Setting, seed: int, right: dict[str, int], *, size: int | None = None, **cost) -> Result:
    run = Run(Path("w") / setting.name, f"{setting.name}-{size}-{seed}", setting, BASE.changed(dict(setting.changes)),
              size, seed, 0, dict.fromkeys(NAMES, "train"))  # fmt: skip
    images = [judge(*half(n), RULES, name=name) for name, n in right.items()]
    cost = {"n_training": size or 8, "seconds": 10.0, "steps": 100, "batch": 4, "device": "cpu, 2 threads"} | cost
    return Result(run, "done", images=images, groups=list(right), cost=cost)


A, B, C = (Setting(name, {"side": side}) for name, side in (("a", 32), ("b", 64), ("c", 96)))
SIX = dict(zip("uvwxyz", range(3, 9), strict=True))


@pytest.fixture
def study():
    more = {name: n + 1 for name, n in SIX.items()}
    return study_networks(
        [
            result(A, 0, SIX),
            result(B, 0, more, seconds=30.0),
            result(A, 1, SIX),
            Result(result(B, 1, SIX).run, "not run"),
        ]
    )


def test_scores_and_gains_by_hand(study):
    a, b = study.rows
    mean = np.mean([iou(n) for n in range(3, 9)])
    more = np.mean([iou(n) for n in range(4, 10)])
    assert a.scores[MEAN_IOU].value == pytest.approx(mean)
    assert b.scores[MEAN_IOU].value == pytest.approx(more)
    assert (a.against, b.against) == ("", "a")
    assert b.gains[MEAN_IOU].estimate.value == pytest.approx(more - mean)
    assert b.gains[MEAN_IOU].n == 6
    assert b.gains[MEAN_IOU].estimate.low > 0, "every image gains, so the paired interval is short"
    assert b.gains[MEAN_IOU].p_value == pytest.approx(2 / 2**6)
    # All pixels together: 33 of 60 px of the pores, and 60 / (60 + 27) of the matrix.
    assert a.scores["semantic_pooled.mean_iou"].value == pytest.approx((60 / 87 + 33 / 60) / 2)
    assert (a.n_done, a.n_runs, b.n_done, b.n_runs) == (2, 2, 1, 2)
    assert (a.cost["seconds"], b.cost["seconds"]) == (10, 30)
    assert study.varied == ("side",)
    assert study.best is b


def test_seeds_count_once_and_their_spread_is_told():
    up = {name: n + 1 for name, n in SIX.items()}
    (row,) = study_networks([result(A, 0, SIX), result(A, 1, up)]).rows
    one, two = (np.mean([iou(n + k) for n in range(3, 9)]) for k in (0, 1))
    assert row.scores[MEAN_IOU].value == pytest.approx((one + two) / 2)
    assert row.scores[MEAN_IOU].n == 6
    assert row.spread == pytest.approx(abs(two - one) / math.sqrt(2))


def test_gains_are_over_what_both_have():
    """The second seed and the image z are not in both, and do not count."""
    five = {name: n for name, n in SIX.items() if name != "z"}
    far = dict.fromkeys(SIX, 10)
    found = study_networks([result(A, 0, SIX), result(A, 1, far), result(B, 0, five)])
    gain = found.rows[1].gains[MEAN_IOU]
    assert (gain.estimate.value, gain.n) == (0, 5)


def test_a_first_setting_that_failed_is_no_measure():
    found = study_networks([Result(result(A, 0, SIX).run, "failed", "no"), result(B, 0, SIX), result(C, 0, SIX)])
    assert [row.against for row in found.rows] == ["", "", "b"]
    assert [MEAN_IOU in row.gains for row in found.rows] == [False, False, True]


def test_runs_that_were_planned_on_a_busy_machine_are_said():
    found = study_networks([result(A, 0, SIX, minutes=1), result(B, 0, SIX, minutes=0.2)])
    assert any(text.startswith("1 run took less than half") for text in warnings_of(found))


def test_one_setting_is_compared_with_its_most_images():
    found = study_networks(
        [result(A, 0, SIX, size=2), result(A, 0, {name: n + 2 for name, n in SIX.items()}, size=None)]
    )
    few, many = found.rows
    assert (found.groups, found.n_groups) == ("image", 6)
    assert (few.against, many.against) == ("all images", "")
    assert few.gains[MEAN_IOU].estimate.value < 0
    assert few.name == "a, 2 images"


def test_intervals_draw_groups():
    """Six images in two groups are too few for an interval."""
    six = dataclasses.replace(result(A, 0, SIX), groups=list("ppqqqq"))
    found = study_networks([six])
    assert (found.groups, found.n_groups) == ("group", 2)
    assert math.isnan(found.rows[0].scores[MEAN_IOU].low)


def test_heat_needs_two_entries():
    grid = [Setting(f"{side} {number}", {"side": side, "number": number}) for side in (32, 64) for number in (9, 99)]
    results = [result(one, 0, dict.fromkeys(SIX, k)) for k, one in enumerate(grid[:3], 4)]
    results.append(Result(result(grid[3], 0, SIX).run, "not run"))
    found = study_networks(results)
    table = found.heat(MEAN_IOU)
    assert found.varied == ("side", "number")
    assert (list(table.index), list(table.columns)) == (["32", "64"], ["9", "99"])
    assert table.loc["32"].tolist() == pytest.approx([iou(4), iou(5)])
    assert table.loc["64", "9"] == pytest.approx(iou(6))
    assert math.isnan(table.loc["64", "99"])
    assert study_networks(results[:2]).heat(MEAN_IOU) is None
    assert study_networks(results[:3]).heat(MEAN_IOU) is None, "rows of a list are no grid"


def test_scores_that_are_asked_for_are_compared(study):
    found = study_networks(study.results, scores=("semantic.recall", MEAN_IOU))
    assert found.scores == ("semantic.recall",)
    b = found.rows[1]
    assert b.gains["semantic.recall"].estimate.value == pytest.approx(0.1), "one of ten more is found in every image"
    table = further_table(found)
    assert table.heads == ["setting", "recall", "gained"]
    assert [row[2][:4] for row in table.rows] == ["–", "+0.1"]
    assert further_table(study) is None


def test_a_peer_is_a_row_without_entries():
    peer = Setting("forest", {}, "forest")
    grid = [Setting(f"{side} {number}", {"side": side, "number": number}) for side in (32, 64) for number in (9, 99)]
    found = study_networks([result(peer, 0, SIX, steps=None), *(result(one, 0, SIX) for one in grid)])
    assert found.varied == ("side", "number")
    assert list(found.heat(MEAN_IOU).index) == ["32", "64"]
    assert [row.against for row in found.rows] == ["", *["forest"] * 4]
    assert found.table().loc[0, ["side", "number"]].tolist() == ["", ""]
    assert "| forest | – | – |" in markdown(network_tables(found))


def test_tables_say_what_was_not_run(study, tmp_path):
    runs = study.runs_table()
    assert runs["state"].tolist() == ["done", "done", "done", "not run"]
    assert runs["side"].tolist() == ["32", "64", "32", "64"]
    assert runs.loc[0, "semantic_pooled.mean_iou"] == pytest.approx((60 / 87 + 33 / 60) / 2)
    assert math.isnan(runs.loc[3, MEAN_IOU])
    table = study.table()
    assert table["setting"].tolist() == ["a", "b"]
    assert table[f"gain.{MEAN_IOU}"].notna().tolist() == [False, True]
    assert "not run (1 of 4): b: seed 1, fold 0" in network_lines(study)
    lines = network_lines(study)
    assert lines[0].startswith("3 of 4 runs done")
    assert "The highest mean IoU is that of b" in "\n".join(lines)
    assert "these images tell this from 0" in "\n".join(lines)
    text = markdown(network_tables(study))
    assert "| a | 32 |" in text
    assert "| a | 2 of 2 |" in text
    assert "cpu, 2 threads" in text
    made = make_provenance(Recipe(), input_sha256="", seconds=1.0).as_dict()
    page = write_networks_page(study, tmp_path, provenance=made).read_text(encoding="utf-8")
    assert "not run (1 of 4)" in page
    assert json.loads(json.dumps(study.as_dict(), default=str))["runs"][3]["state"] == "not run"


def test_a_setting_without_runs_is_said_to_be_not_run():
    found = study_networks([result(A, 0, SIX), Result(result(B, 0, SIX).run, "failed", "no memory")])
    assert "failed" in network_lines(found)[2]
    assert found.rows[1].scores == {}
    heads = score_table(found).heads
    assert "mean IoU" in heads
    assert "± over seeds" not in heads, "no row has two seeds"
    assert "One seed" in " ".join(warnings_of(found))
