"""``segmetry study STUDY.yaml``: from a file that asks to tables that compare, with tiny networks."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::UserWarning")]

STUDY = """
recipe:
  options: {width: 4, depth: 2}
  samples: {side: 32}
  fit: {steps: 20, batch: 4, warmup: 2, average: 0.8, precision: 32-true}
data: {images: images, labels: labels}
"""


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    mask = np.add.outer(np.arange(70), np.arange(90)) // 15 % 2 == 1
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for i in range(5):
        image = np.clip(90 + 60 * mask + rng.normal(0, 8, mask.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"images/a{i}.png"), image)
        cv2.imwrite(str(tmp_path / f"labels/a{i}.png"), mask.astype(np.uint8))
    return tmp_path


def write(data, text):
    (data / "study.yaml").write_text(STUDY + text, encoding="utf-8")
    return data / "study.yaml"


@pytest.mark.slow
def test_a_study_from_a_file_to_tables(cli, data, monkeypatch):
    file = write(data, "grid: {learning_rate: [1e-2, 1e-7], batch: [2, 4]}\nfolds: [1]\nfolds_of: 5\n")
    out = data / "out"
    ran = cli("study", file, "-o", out, "--workers", 0)
    assert ran.code == 0, ran.err
    assert "4 of 4 runs to do" in ran.err
    table = pd.read_csv(out / "table.csv")
    assert table["learning_rate"].tolist() == [0.01, 0.01, 1e-7, 1e-7]
    score = table["semantic.mean_iou"]
    assert score[1] > 0.8 > score[3], "a rate of 1e-7 learns nothing in 20 steps"
    runs = pd.read_csv(out / "runs.csv")
    assert runs["state"].tolist() == ["done"] * 4
    costs = ["seconds", "samples_per_s", "seconds_per_1000", "seconds_per_megapixel", "parameters", "model_size"]
    assert (runs[costs] > 0).all().all()
    assert (runs["steps"].tolist(), runs["n_training"].tolist()) == ([20] * 4, [4] * 4)
    splits = [json.loads((out / "work" / name / "split.json").read_text()) for name in runs["folder"]]
    parts = [{name: about["part"] for name, about in split["images"].items()} for split in splits]
    assert all(part == parts[0] for part in parts)
    card = json.loads((out / "work" / runs["folder"][1] / "model/card.json").read_text())
    assert runs["semantic_pooled.mean_iou"][1] == pytest.approx(card["scores"]["semantic_pooled.mean_iou"][0], abs=1e-6)
    for name in ("study.html", "table.md", "study.json", "run.json", "figures/heat-mean_iou.svg"):
        assert (out / name).exists(), name
    # A changed study keeps what is the same: one run is there, and one is new.
    written = {path: path.stat().st_mtime_ns for path in (out / "work").glob("*/cost.json")}
    begun = f"{{name: begun, init: out/work/{runs['folder'][1]}/model, steps: 10}}"
    file = write(data, f"list: [{{name: quick, learning_rate: 1e-2}}, {{steps: 10}}, {begun}]\nfolds: [1]\n")
    ran = cli("study", "networks", file, "-o", out, "--workers", 0, "--json")
    assert ran.code == 0, ran.err
    assert "2 of 3 runs to do" in ran.err
    told = json.loads(ran.out)
    assert [row["setting"] for row in told["rows"]] == ["quick", "steps 10", "begun"]
    assert told["rows"][2]["gains"]["semantic.mean_iou"]["value"] > -0.1, "it begins with what the first run learned"
    card = json.loads((out / "work" / told["runs"][2]["folder"] / "model/card.json").read_text())
    assert card["training"]["init"]["sha256"]
    assert {path: path.stat().st_mtime_ns for path in written} == written


@pytest.mark.slow
def test_a_peer_is_judged_in_the_same_run(cli, data):
    text = "peers: [forest]\nscores: [cldice]\nwidths: [20]\nfolds: [1]\n"
    ran = cli("study", write(data, text), "-o", data / "out", "--workers", 0)
    assert ran.code == 0, ran.err
    table = pd.read_csv(data / "out/table.csv")
    assert table["setting"].tolist() == ["random forest", "the recipe"]
    assert table["semantic.mean_iou"][0] > 0.9
    assert table["gain.semantic.cldice"].notna().tolist() == [False, True]
    assert table["semantic.skeleton_recall[to 20 px]"].notna().all()
    runs = pd.read_csv(data / "out/runs.csv")
    assert table["held_out"].tolist() == [1, 1]
    # 20 steps of 4 crops of 32 px, of 4 images of 70 x 90 px.
    assert runs["epochs"][1] == pytest.approx(20 * 4 * 32**2 / (4 * 70 * 90))
    assert (runs[["seconds", "seconds_per_megapixel"]] > 0).all().all()


@pytest.mark.slow
def test_failures_are_listed_and_the_others_go_on(cli, data):
    """The only image that trains in one fold has one class, so that a run on it fails."""
    cv2.imwrite(str(data / "labels/a0.png"), np.zeros((70, 90), np.uint8))
    file = write(data, "images: [1, 2]\nfolds: [1]\nseeds: [0, 1, 2, 3]\nminutes: 0.05\n")
    ran = cli("study", file, "-o", data / "out", "--workers", 0, "--jobs", 2)
    runs = pd.read_csv(data / "out/runs.csv")
    failed = runs[runs["state"] == "failed"]
    assert set(runs["state"]) == {"done", "failed"}
    assert failed["error"].str.contains("1 never occurs").all()
    assert (failed["images"] == 1).all()
    assert ran.code == 1
    assert "never occurs" in ran.err
    assert (data / "out/figures/capacity-mean_iou.svg").exists()


@pytest.mark.slow
def test_too_many_runs_say_how_long_they_would_take(cli, data):
    """Nobody said how long a run takes, so a few steps of the first are timed."""
    ran = cli("study", write(data, f"seeds: {list(range(301))}\n"), "-o", data / "out", "--workers", 0)
    assert ran.code == 2
    assert "301 runs of about" in ran.err
    assert not list(data.glob("out/work/*"))


def test_states_of_a_run(tmp_path):
    from segmetry.inputs import Task
    from segmetry.study.runs import COST, StudyWork
    from segmetry.train.loop import LAST

    work, run = StudyWork(tmp_path, None, None), Task(tmp_path, "run")
    assert work.state(run) == "not run"
    (tmp_path / LAST).touch()
    assert (work.state(run), work.state(run, "no memory")) == ("stopped", "failed")
    (tmp_path / COST).touch()
    assert work.state(run) == "done"


@pytest.mark.slow
def test_a_budget_that_is_over_runs_nothing(cli, data):
    file = write(data, "grid: {side: [32], batch: [2, 4], width: [4, 8]}\n")
    ran = cli("study", file, "-o", data / "out", "--budget", 0)
    assert ran.code == 0, ran.err
    assert "not run (4 of 4): side 32, batch 2, width 4: seed 0; " in ran.out
    assert pd.read_csv(data / "out/runs.csv")["state"].tolist() == ["not run"] * 4
    assert not list((data / "out/figures").glob("*")), "of nothing there is nothing to draw"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("grid: {lerning_rate: [1e-3]}", "did you mean 'learning_rate'"),
        ("grid: {side: [32, 50]}", "side 50: samples: unet takes multiples of 4, but side is 50; take 48 or 52"),
        ("list: [{network: segnett}]", "did you mean 'segnet'"),
        ("grid: {loss: [{dise: 1}]}", "did you mean 'dice'"),
        ("list: [{init: nowhere}]", "there is no model 'nowhere'"),
        (f"grid: {{side: {list(range(32, 32 + 4 * 301, 4))}}}\nminutes: 6", "301 runs of about 6 minutes"),
    ],
)
def test_what_cannot_be_is_one_line_before_anything_runs(cli, data, text, says):
    ran = cli("study", write(data, text), "-o", data / "out")
    assert ran.code == 2
    assert says in ran.err.splitlines()[-1]
    assert not list(data.glob("out/work/*"))


def test_the_other_studies_are_as_they_were(cli, tmp_path):
    ran = cli("study", "capacitty", "x", "-o", tmp_path)
    assert ran.code == 2
    assert "No such command" in ran.err
    assert "--budget" in cli("study", "networks", "--help").out
