"""``segmetry compare``: every method on every image, ranked with paired intervals, resumable, in one report."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_images import disks, leftovers, read_json, three_disks, write_png

ROWS, COLS = np.mgrid[:130, :150]
THREE = ((40.0, 40.0, 12.0), (45.0, 110.0, 16.0), (95.0, 70.0, 20.0))
N = 6


def truth_of(circles) -> np.ndarray:
    labels = np.zeros(ROWS.shape, np.uint16)
    for number, (row, col, radius) in enumerate(circles, 1):
        labels[np.hypot(ROWS - row, COLS - col) <= radius] = number
    return labels


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Six easy images, their truth, and predictions of another program that misses two of three disks."""
    folder = tmp_path_factory.mktemp("data")
    for k in range(N):
        write_png(folder / "images" / f"i{k}.png", three_disks(k))
        write_png(folder / "truth" / f"i{k}.png", truth_of(THREE))
        write_png(folder / "blind" / f"i{k}.png", truth_of(THREE[:1]))
    return folder


@pytest.fixture(scope="module")
def compared(data) -> Path:
    """A finished comparison."""
    from segmetry.cli import main

    out = data / "out"
    arguments = ["compare", "otsu", "otsu:min_size=20", data / "blind", "--images", data / "images"]
    assert main([*map(str, arguments), "--truth", str(data / "truth"), "-o", str(out), "-j", "1"]) == 0
    return out


def test_ranking_by_hand(compared):
    found = read_json(compared / "comparison.json")
    scores = found["scores"]
    assert scores["otsu"]["instance.ap50"]["value"] == 1
    assert scores["blind"]["instance.ap50"]["value"] == pytest.approx(1 / 3)
    last = found["ranking"][-1]
    assert last["method"] == "blind"
    assert last["to_best"]["difference"]["value"] == pytest.approx(-2 / 3)
    assert last["to_best"]["p_value"] == pytest.approx(2 / 2**N)  # all six differ the same way
    assert last["tier"] == 2
    assert {r["tier"] for r in found["ranking"][:-1]} == {1}


def test_tables_are_tidy_and_whole(compared):
    table = pd.read_csv(compared / "scores.csv")
    assert list(table.columns) == ["method", "image", "group", "family", "score", "value", "unit"]
    assert not table.duplicated(["method", "image", "family", "score"]).any()
    assert set(table["method"]) == {"otsu", "otsu-min_size=20", "blind"}
    counts = table.groupby(["method", "image"]).size().groupby("method").nunique()
    assert (counts == 1).all()
    seconds = table[(table["score"] == "seconds") & (table["method"] == "otsu")]["value"]
    assert len(seconds) == N
    assert (seconds > 0).all()
    objects = pd.read_csv(compared / "objects.csv")
    blind = objects[objects["method"] == "blind"]
    assert blind["outcome"].value_counts().to_dict() == {"missed": 2 * N, "found": N}
    diameters = blind[blind["truth"] == 1]["equivalent_diameter"]
    assert diameters.to_numpy() == pytest.approx(24, rel=0.03)


def test_page_stands_alone_and_shows_the_worst(compared):
    page = (compared / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(https?:)?//', page)
    for word in ("otsu", "blind", "ap50", "mean over images"):
        assert word in page
    assert "data:image/png" in page


def test_label_images_of_every_method_are_kept(compared):
    from segmetry.io import read_labels

    assert read_labels(compared / "otsu" / "i0.tif").values.max() == 3
    assert not leftovers(compared)


@pytest.mark.slow
def test_resume_does_only_what_is_missing(data, tmp_path, cli):
    arguments = [
        "compare",
        "otsu",
        "ndnt",
        "--images",
        data / "images",
        "--truth",
        data / "truth",
        "-o",
        tmp_path,
        "-j",
        1,
    ]
    assert cli(*arguments).code == 0
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/i*.json")}
    (tmp_path / "ndnt" / "i2.json").unlink()
    assert cli(*arguments, "--resume").code == 0
    changed = {p for p, stamp in stamps.items() if p.stat().st_mtime_ns != stamp}
    assert {p.relative_to(tmp_path).as_posix() for p in changed} == {"ndnt/i2.json", "properties/i2.json"}
    assert cli(*arguments, "--resume", "--tolerance", "3").code == 0  # other rules: all again
    assert all(p.stat().st_mtime_ns != stamp for p, stamp in stamps.items() if p.parent.name != "properties")
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/i*.json")}
    assert cli(*arguments, "--tolerance", "3").code == 0  # not asked to go on: all again
    assert all(p.stat().st_mtime_ns != stamp for p, stamp in stamps.items())


@pytest.mark.slow
def test_swapped_predictions_are_told_in_one_line_a_method(data, tmp_path, cli):
    for k in range(N):
        write_png(tmp_path / "p" / f"i{k}.png", (truth_of(THREE) == 0).astype(np.uint8))
    ran = cli(
        "compare", tmp_path / "p", "--images", data / "images", "--truth", data / "truth", "-o", tmp_path / "out",
        "-j", 1,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    (note,) = read_json(tmp_path / "out" / "comparison.json")["notes"]
    assert re.search(r"^p: WARNING: .*inverted.*: i0, i1, i2, i3, i4 and 1 more \(6 of 6 images\)$", note)


@pytest.mark.slow
def test_two_settings_give_a_map(data, tmp_path, cli):
    methods = [f"otsu:min_size={size},smoothing={s}" for size in (1, 2000) for s in (1, 2)]
    ran = cli(
        "compare", *methods, "--images", data / "images", "--truth", data / "truth", "-o", tmp_path, "-j", 1,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert 'id="settings"' in (tmp_path / "report.html").read_text(encoding="utf-8")
    drawn = (tmp_path / "figures" / "settings-0.svg").read_text(encoding="utf-8")
    assert all(text in drawn for text in ("min_size", "smoothing", ">2000<"))
    assert drawn.count(">1.0<") == 2
    assert drawn.count(">0.0<") == 2  # nothing is as large as 2000 px


@pytest.mark.slow
def test_one_process_and_two_give_the_same_scores(data, tmp_path, cli):
    for jobs in (1, 2):
        ran = cli(
            "compare", "otsu", "local", "--images", data / "images", "--truth", data / "truth",
            "-o", tmp_path / str(jobs), "-j", jobs,
        )  # fmt: skip
        assert ran.code == 0, ran.err
    one, two = (read_json(tmp_path / n / "comparison.json") for n in "12")
    assert one["scores"] == two["scores"]
    assert one["ranking"] == two["ranking"]


@pytest.mark.slow
def test_json_is_the_file(data, tmp_path, cli):
    ran = cli(
        "compare", "otsu", "--images", data / "images", "--truth", data / "truth", "-o", tmp_path, "--json",
        "--rank-by", "instance.map", "-j", 1,
    )  # fmt: skip
    assert json.loads(ran.out) == read_json(tmp_path / "comparison.json")
    assert json.loads(ran.out)["ranked_by"] == "instance.map"


@pytest.mark.slow
def test_groups_are_drawn(data, tmp_path, cli):
    (tmp_path / "g.csv").write_text("id,specimen\n" + "".join(f"i{k},s{k // 2}\n" for k in range(N)))
    (tmp_path / "p.csv").write_text("image,dose\n" + "".join(f"i{k},{2**k}\n" for k in range(N)))
    ran = cli(
        "compare", "otsu", data / "blind", "--images", data / "images", "--truth", data / "truth",
        "-o", tmp_path / "out", "--groups", tmp_path / "g.csv", "-j", 1, "--properties", tmp_path / "p.csv",
    )  # fmt: skip
    assert "3 specimens" in ran.out
    trends = read_json(tmp_path / "out" / "comparison.json")["trends"]["otsu"]
    assert {"dose", "contrast", "noise"} <= {t["against"] for t in trends}
    assert read_json(tmp_path / "out" / "comparison.json")["ranking"][1]["to_best"]["p_value"] == 2 / 2**3


@pytest.mark.slow
def test_failure_of_a_method_counts_as_an_empty_prediction(data, tmp_path, cli):
    """A folder of labels of which one has another shape."""
    for k in range(N):
        write_png(tmp_path / "p" / f"i{k}.png", truth_of(THREE)[: 100 if k == 3 else None])
    ran = cli(
        "compare",
        tmp_path / "p",
        "otsu",
        "--images",
        data / "images",
        "--truth",
        data / "truth",
        "-o",
        tmp_path / "out",
    )
    assert ran.code == 0
    assert "counts as an empty prediction" in ran.err
    found = read_json(tmp_path / "out" / "comparison.json")
    assert found["scores"]["p"]["instance.ap50"]["value"] == pytest.approx((N - 1) / N)
    assert [(f["method"], f["image"]) for f in found["failures"]] == [("p", "i3")]


@pytest.mark.slow
def test_labels_that_only_one_competitor_has_wrong_are_its_own_failure(data, tmp_path, cli):
    (tmp_path / "p").mkdir()
    for k in range(N):
        np.save(tmp_path / "p" / f"i{k}.npy", truth_of(THREE).astype(np.int32) - (k == 2))
    ran = cli(
        "compare", tmp_path / "p", "otsu", "--images", data / "images", "--truth", data / "truth",
        "-o", tmp_path / "out", "-j", 1,
    )  # fmt: skip
    assert ran.code == 0
    found = read_json(tmp_path / "out" / "comparison.json")
    assert found["n_images"] == N
    assert [(f["method"], f["image"]) for f in found["failures"]] == [("p", "i2")]


@pytest.mark.slow
def test_probabilities_are_thresholded(data, tmp_path, cli):
    (tmp_path / "p").mkdir()
    for k in range(N):
        np.save(tmp_path / "p" / f"i{k}.npy", np.where(truth_of(THREE) > 0, 0.7, 0.2))
        write_png(tmp_path / "truth" / f"i{k}.png", (truth_of(THREE) > 0).astype(np.uint8))
    ran = cli(
        "compare", tmp_path / "p", "--images", data / "images", "--truth", tmp_path / "truth", "-o", tmp_path / "out",
        "-j", 1, "--kind", "semantic",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert read_json(tmp_path / "out" / "comparison.json")["scores"]["p"]["semantic.iou"]["value"] == 1


@pytest.mark.slow
def test_image_that_cannot_be_read_is_listed_and_the_rest_goes_on(data, tmp_path, cli):
    for k in range(N):
        write_png(tmp_path / "images" / f"i{k}.png", disks((130, 150), *THREE))
    (tmp_path / "images" / "i1.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    ran = cli(
        "compare", "otsu", "--images", tmp_path / "images", "--truth", data / "truth", "-o", tmp_path / "out", "-j", 1
    )
    assert ran.code == 1
    assert "i1.png" in ran.err
    assert read_json(tmp_path / "out" / "comparison.json")["n_images"] == N - 1
    assert "i1" in (tmp_path / "out" / "failures.csv").read_text()


@pytest.mark.slow
def test_semantic_comparison(data, tmp_path, cli):
    for k in range(N):
        write_png(tmp_path / "truth" / f"i{k}.png", (truth_of(THREE) > 0).astype(np.uint8))
    ran = cli(
        "compare", "otsu", "ndnt", "--images", data / "images", "--truth", tmp_path / "truth", "-o", tmp_path / "out",
        "--kind", "semantic", "-j", 1,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    found = read_json(tmp_path / "out" / "comparison.json")
    assert found["ranked_by"] == "semantic.mean_iou"
    assert found["scores"]["otsu"]["semantic.iou"]["value"] > 0.9


@pytest.mark.parametrize(
    ("methods", "options", "says"),
    [
        (["otzu"], [], "did you mean 'otsu'"),
        (["otsu"], ["--rank-by", "instance_pooled.ap50"], "rank by instance.ap50"),
        (["otsu"], ["--rank-by", "instance.recal"], "did you mean 'recall'"),
        (["otsu"], ["--rank-by", "instanc.ap50"], "did you mean 'instance'"),
        (["otsu"], ["--rank-by", "instance.ap50", "--kind", "semantic"], "no family of scores of semantic labels"),
        (["otsu"], ["--truth", "nowhere"], "nowhere"),
        (["otsu", "otsu"], [], "2 competitors"),
    ],
)
def test_bad_input_is_one_line(data, tmp_path, cli, methods, options, says):
    ran = cli("compare", *methods, "--images", data / "images", "--truth", data / "truth", "-o", tmp_path, *options)
    assert ran.code == 2
    assert says in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.slow
def test_terminal_names_score_interval_and_outcome(data, tmp_path, cli):
    out = cli(
        "compare", "otsu", data / "blind", "--images", data / "images", "--truth", data / "truth", "-o", tmp_path,
        "-j", 1,
    ).out.splitlines()  # fmt: skip
    assert "ranked by instance.ap50 (mean over images)" in out[0]
    assert "interval for the population of images" in out[0] or "no intervals" in out[0]
    assert out[1].split() == ["tier", "method", "ap50", "minus", "otsu", "p", "s", "per", "image"]
    assert out[2].split()[:3] == ["1.", "1", "otsu"]
    assert out[4].startswith("otsu is best")


@pytest.mark.parametrize(
    ("folder", "out", "says"),
    [
        ("preds/mine", "preds", "would be written into this folder"),
        ("preds/properties", "out", "another name"),
        ("preds/figures", "out", "another name"),
    ],
)
def test_predictions_are_never_written_over(data, tmp_path, cli, folder, out, says):
    for k in range(N):
        write_png(tmp_path / folder / f"i{k}.png", truth_of(THREE))
    before = sorted(p.name for p in tmp_path.rglob("*"))
    ran = cli(
        "compare", tmp_path / folder, "otsu", "--images", data / "images", "--truth", data / "truth",
        "-o", tmp_path / out,
    )  # fmt: skip
    assert ran.code == 2
    assert says in ran.err
    assert ran.err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


def test_score_without_its_family_is_named_in_full(data, tmp_path, cli):
    ran = cli(
        "compare", "otsu", "--images", data / "images", "--truth", data / "truth", "-o", tmp_path, "--rank-by", "map"
    )
    assert ran.code == 2
    assert "write instance.map" in ran.err


def test_images_in_colour_are_counted_in_pixels_not_samples(tmp_path, cli):
    write_png(tmp_path / "images" / "a.png", np.repeat(three_disks(0)[..., None], 3, axis=2))
    write_png(tmp_path / "truth" / "a.png", truth_of(THREE))
    out = tmp_path / "out"
    assert cli("compare", "otsu", "--images", tmp_path / "images", "--truth", tmp_path / "truth", "-o", out).code == 0
    table = pd.read_csv(out / "scores.csv")
    assert table[table["score"] == "megapixels"]["value"].item() == pytest.approx(three_disks(0).size / 1e6)


@pytest.mark.slow
def test_masks_of_another_program_are_taken_or_pointed_out(data, tmp_path, cli):
    for k in range(N):
        write_png(
            tmp_path / "masks" / f"i{k}.png", (truth_of((*THREE, (110.0, 130.0, 6.0))) > 0).astype(np.uint8) * 255
        )
        write_png(tmp_path / "truth" / f"i{k}.png", (truth_of(THREE) > 0).astype(np.uint8))
    arguments = ["compare", tmp_path / "masks", "otsu", "--images", data / "images", "-j", 1]
    ran = cli(*arguments, "--truth", tmp_path / "truth", "-o", tmp_path / "a", "--kind", "semantic")
    assert ran.code == 0
    assert read_json(tmp_path / "a" / "comparison.json")["scores"]["masks"]["semantic.iou"]["value"] > 0.9
    ran = cli(*arguments, "--truth", data / "truth", "-o", tmp_path / "b")
    assert ran.code == 0
    notes = read_json(tmp_path / "b" / "comparison.json")["notes"]
    assert any("masks" in note and "seems to be a mask" in note for note in notes)
