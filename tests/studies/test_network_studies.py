"""The studies of networks: their files ask for what can be, their data fit, and their pages say what was not run."""

from __future__ import annotations

import importlib
import json
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.torch
pytest.importorskip("torch")


import networks  # noqa: E402
from segmetry.labelled import load_labelled  # noqa: E402
from segmetry.study.runs import check_recipe  # noqa: E402
from segmetry.study.settings import read_study  # noqa: E402
from segmetry.train.class_recipe import ClassRecipe  # noqa: E402

TABLES = sorted(networks.HERE.glob("*/*.yaml"))
SMALL = {"N_SLICES": 2, "N_ARMS": 2, "N_EACH": 1, "N_IMAGES": 1, "N_TRAIN": 2, "N_ADDED": 1, "N_JUDGED": 1}


@pytest.mark.parametrize("path", TABLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_cell_takes_at_most_ten_minutes(path):
    study = read_study(path)
    assert study.minutes is None or study.minutes <= 10
    assert (networks.HERE.parent / "docs" / "studies" / f"{path.parent.name}.md").read_text(encoding="utf-8").count(
        networks.MARKER
    ) == 1


@pytest.mark.slow
@pytest.mark.parametrize("path", TABLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_setting_can_be_trained_on_its_data(path, tmp_path, monkeypatch):
    package = importlib.import_module(path.parent.name)
    for name, value in SMALL.items():
        if hasattr(package, name):
            monkeypatch.setattr(package, name, value)
    try:
        data = package.data(path.stem, tmp_path)
    except SystemExit as error:
        pytest.skip(str(error))
    study = read_study(path)
    base = ClassRecipe().changed(study.recipe)
    for one in study.settings:
        recipe = one.recipe(base)
        found = load_labelled(
            data["images"],
            data.get("labels"),
            classes=recipe.classes or None,
            foreground=recipe.foreground,
            planes=recipe.planes,
        )
        if not one.peer:
            check_recipe(recipe, found)
        known = {image.group for image in found.images}
        assert set(one.left_out) <= known
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.tif")}
    package.data(path.stem, tmp_path)
    assert {p: p.stat().st_mtime_ns for p in before} == before, "what is there is not made again"


def test_a_page_says_what_was_not_run(tmp_path):
    folder = tmp_path / "somas"
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "heat.svg").write_text("<svg/>", encoding="utf-8")
    (folder / "table.md").write_text("## Scores\n\n| a |\n| not run |\n", encoding="utf-8")
    states = [{"state": "done"}, {"state": "not run"}]
    (folder / "study.json").write_text(json.dumps({"runs": states}), encoding="utf-8")
    paths = [networks.HERE / "crops" / "somas.yaml"]
    summary = networks.summary_of(paths, SimpleNamespace(), tmp_path)
    assert "`studies/crops/somas.yaml`: 1 of 2 runs" in summary
    assert "### Scores" in summary
    page = tmp_path / "crops.md"
    page.write_text(f"# Crops\n{networks.MARKER}old\n", encoding="utf-8")
    networks.write_page(page, summary, [folder])
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Crops\n")
    assert "| not run |" in text
    assert "old" not in text
    assert "(crops/somas-heat.svg)" in text
    assert (tmp_path / "crops" / "somas-heat.svg").exists()


def test_a_try_is_short():
    asked = {"recipe": {"fit": {"batch": 4}}, "minutes": 9, "seeds": [0, 1], "folds_of": 3}
    short = {"recipe": {"fit": {"batch": 4, "steps": 3, "warmup": 0}}, "folds_of": 3, "folds": [0]}
    assert networks.shortened(asked, 3) == short
    with pytest.raises(SystemExit, match=r"no such study; there are .*crops"):
        networks.tables_of("crop")
