"""``segmetry evaluate``: files matched by stem, every score with its interval, bad input in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cli_images import read_json, write_png

TRUTH = np.zeros((40, 60), np.uint16)
TRUTH[5:15, 5:15] = 1
TRUTH[5:15, 30:40] = 2
TRUTH[25:35, 5:15] = 70_000 % 65_536  # numbers have gaps

HALF = np.where(TRUTH == 1, 9, 0).astype(np.uint16)  # one of three, under another number


def save(folder: Path, **images: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in images.items():
        write_png(folder / f"{name}.png", pixels)
    return folder


def verdict(cli, *arguments: object) -> dict:
    ran = cli(*arguments, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_values_by_hand(tmp_path, cli):
    truth, found = save(tmp_path / "t", a=TRUTH, b=TRUTH), save(tmp_path / "p", a=TRUTH, b=HALF)
    data = verdict(cli, "evaluate", found, truth)
    # Image a: 3 of 3. Image b: 1 hit, 2 missed.
    assert data["instance"]["ap50"]["value"] == pytest.approx((1 + 1 / 3) / 2)
    assert data["instance"]["precision"]["value"] == 1
    assert data["instance"]["recall"]["value"] == pytest.approx((1 + 1 / 3) / 2)
    assert data["instance"]["count_error"]["value"] == -1
    assert data["instance_pooled"]["ap50"]["value"] == pytest.approx(4 / 6)
    # 300 foreground pixels each; b finds 100 of them.
    assert data["semantic"]["iou"]["value"] == pytest.approx((1 + 1 / 3) / 2)
    assert data["semantic_pooled"]["iou"]["value"] == pytest.approx(400 / 600)
    assert data["physical"]["count_error"]["value"] is not None
    assert set(data["published_emps"]) == {"ap", "ap50", "ap75", "mean_iou"}
    assert [row["image"] for row in data["per_image"]] == ["a", "b"]
    assert data["per_image"][1]["instance"]["recall"] == pytest.approx(1 / 3)
    assert data["averaging"]["instance"] == "mean over images"


def test_every_score_of_every_family_has_value_and_interval(tmp_path, cli):
    rng = np.random.default_rng(0)
    shown = {f"i{k}": np.where(np.isin(TRUTH, rng.choice([1, 2, 4464], 2)), TRUTH, 0) for k in range(8)}
    truth, found = save(tmp_path / "t", **dict.fromkeys(shown, TRUTH)), save(tmp_path / "p", **shown)
    data = verdict(cli, "evaluate", found, truth)
    for family in ("instance", "instance_pooled", "published_emps", "semantic", "semantic_pooled", "physical"):
        for name, score in data[family].items():
            assert {"value", "low", "high"} <= set(score), (family, name)
            if score["low"] is not None:
                assert score["low"] <= score["value"] + 1e-12 <= score["high"] + 2e-12, (family, name)
    assert {"ap50", "ap75", "ap90", "map", "precision", "recall", "f1", "pq", "sq", "rq"} <= set(data["instance"])


def test_semantic_classes_and_ignore(tmp_path, cli):
    truth = np.array([[0, 0, 1, 1], [2, 2, 255, 255]] * 10, np.uint8)
    found = np.array([[0, 1, 1, 1], [2, 0, 0, 1]] * 10, np.uint8)
    save(tmp_path / "t", a=truth), save(tmp_path / "p", a=found)
    data = verdict(
        cli, "evaluate", tmp_path / "p" / "a.png", tmp_path / "t" / "a.png", "--kind", "semantic",
        "--classes", "0=matrix,1=carbide,2=pore", "--ignore", "255",
    )  # fmt: skip
    # matrix: 1 both, 1 missed, 1 invented; carbide: 2 both, 1 invented; pore: 1 both, 1 missed.
    assert data["semantic"]["iou[matrix]"]["value"] == pytest.approx(1 / 3)
    assert data["semantic"]["iou[carbide]"]["value"] == pytest.approx(2 / 3)
    assert data["semantic"]["iou[pore]"]["value"] == pytest.approx(1 / 2)
    assert data["semantic"]["mean_iou"]["value"] == pytest.approx(1 / 2)
    assert "instance" not in data


def test_probabilities_are_thresholded_and_ranked(tmp_path, cli):
    truth = np.tile([0, 0, 1, 1], (20, 10)).astype(np.uint8)
    score = np.tile([0.1, 0.6, 0.4, 0.9], (20, 10)).astype(np.float32)
    save(tmp_path / "t", a=truth)
    (tmp_path / "p").mkdir()
    tifffile.imwrite(tmp_path / "p" / "a.tif", score)
    arguments = ("evaluate", tmp_path / "p", tmp_path / "t", "--kind", "semantic")
    data = verdict(cli, *arguments)
    assert data["semantic"]["accuracy"]["value"] == pytest.approx(0.5)
    assert data["semantic"]["roc_auc"]["value"] == pytest.approx(0.75)  # 3 of the 4 pairs are in order
    assert data["semantic"]["mae"]["value"] == pytest.approx((0.1 + 0.6 + 0.6 + 0.1) / 4, abs=1e-6)
    assert verdict(cli, *arguments, "--threshold", "0.35")["semantic"]["recall"]["value"] == 1


def test_probabilities_that_are_0_or_1_everywhere(tmp_path, cli):
    """A blank image may have the probability 0 in every pixel, and is no label image for that."""
    truth = np.tile([0, 0, 1, 1], (20, 10)).astype(np.uint8)
    save(tmp_path / "t", a=truth, b=0 * truth, c=truth)
    (tmp_path / "p").mkdir()
    for name, score in {"a": np.where(truth, 0.9, 0.2), "b": 0.0 * truth, "c": 1.0 * truth}.items():
        tifffile.imwrite(tmp_path / "p" / f"{name}.tif", score.astype(np.float32))
    for extra in ((), ("--threshold", "0.5")):
        data = verdict(cli, "evaluate", tmp_path / "p", tmp_path / "t", "--kind", "semantic", *extra)
        assert [row["semantic"]["mae"] for row in data["per_image"]] == pytest.approx([0.15, 0, 0], abs=1e-6)
        assert data["semantic_pooled"]["mae"]["value"] == pytest.approx(0.05, abs=1e-6)
        assert [row["semantic"]["brier"] for row in data["per_image"]] == pytest.approx([0.025, 0, 0], abs=1e-4)
    tifffile.imwrite(tmp_path / "p" / "c.tif", (2 * truth).astype(np.float32))
    ran = cli("evaluate", tmp_path / "p", tmp_path / "t", "--kind", "semantic")
    assert ran.code != 0
    assert "c.tif: holds labels, and other predictions hold fractions" in ran.err


def test_probabilities_against_a_mask_of_255(tmp_path, cli):
    truth = np.tile([0, 0, 255, 255], (20, 10)).astype(np.uint8)
    save(tmp_path / "t", a=truth, b=0 * truth)
    (tmp_path / "p").mkdir()
    for name in "ab":
        tifffile.imwrite(tmp_path / "p" / f"{name}.tif", np.tile([0.1, 0.6, 0.4, 0.9], (20, 10)).astype(np.float32))
    data = verdict(cli, "evaluate", tmp_path / "p", tmp_path / "t", "--kind", "semantic")
    assert data["semantic"]["accuracy"]["value"] == pytest.approx(0.5)
    assert [row["semantic"]["iou"] for row in data["per_image"]] == pytest.approx([1 / 3, 0])


def test_groups_ids_and_files_written(tmp_path, cli):
    images = {f"i{k}": TRUTH if k % 2 else HALF for k in range(6)}
    truth, found = save(tmp_path / "t", **dict.fromkeys(images, TRUTH)), save(tmp_path / "p", **images)
    (tmp_path / "g.csv").write_text("id,doi\n" + "".join(f"i{k},d{k // 2}\n" for k in range(6)))
    (tmp_path / "ids.csv").write_text("id\ni0\ni1\ni2\n")
    data = verdict(
        cli, "evaluate", found, truth, "--groups", tmp_path / "g.csv", "--ids", tmp_path / "ids.csv",
        "-o", tmp_path / "out",
    )  # fmt: skip
    assert (data["n_images"], data["n_groups"], data["groups"]) == (3, 2, "doi")
    assert data["instance"]["recall"]["value"] == pytest.approx((1 / 3 + 1 + 1 / 3) / 3)
    assert read_json(tmp_path / "out" / "evaluation.json") == data
    lines = (tmp_path / "out" / "scores.csv").read_text().splitlines()
    assert lines[0] == "image,group,family,score,value,unit"
    objects = (tmp_path / "out" / "objects.csv").read_text().splitlines()
    assert objects[0].startswith("image,truth,prediction,iou,outcome,boundary_distance")
    assert sum(line.startswith("i0,") and ",missed," in line for line in objects) == 2
    assert "i0,d0,instance,recall,0.3333" in "\n".join(lines)


def test_only_what_was_written_is_said_to_be(tmp_path, cli):
    truth, found = save(tmp_path / "t", a=TRUTH), save(tmp_path / "p", a=HALF)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.csv").write_text("a\n1\n")
    shown = cli("evaluate", found, truth, "-o", tmp_path / "out").out.splitlines()[-1]
    names = ("scores.csv", "objects.csv", "evaluation.json")
    assert shown == "written: " + ", ".join(str(tmp_path / "out" / name) for name in names)


def test_terminal_names_the_averaging_and_the_worst(tmp_path, cli):
    images = {f"i{k}": TRUTH if k else HALF for k in range(7)}
    truth, found = save(tmp_path / "t", **dict.fromkeys(images, TRUTH)), save(tmp_path / "p", **images)
    shown = cli("evaluate", found, truth).out
    assert "instance (mean over images)" in shown
    assert "instance_pooled (all objects of all images together)" in shown
    assert "worst: i0 (ap50 0.33)" in shown


def test_second_annotator_is_the_ceiling(tmp_path, cli):
    images = {f"i{k}": TRUTH for k in range(6)}
    first, second = save(tmp_path / "1", **images), save(tmp_path / "2", **dict.fromkeys(images, HALF))
    found = save(tmp_path / "p", **images)
    data = verdict(cli, "evaluate", found, first, "--second", second)["agreement"]["instance.recall"]
    assert data["ceiling"]["value"] == pytest.approx(1 / 3)  # the second found one of the first's three
    assert data["to_first"]["value"] == pytest.approx(2 / 3)
    assert data["to_second"]["value"] == pytest.approx(1 - 1 / 3)
    shown = cli("evaluate", found, first, "--second", second).out
    assert "two annotators agree by instance.ap50 0.333" in shown
    assert "(A: TRUTH, B: --second)" in shown


def test_mirrored_prediction_is_pointed_out(tmp_path, cli):
    truth = np.zeros((80, 100), np.uint8)
    truth[10:40, 10:25] = 1
    truth[50:60, 15:40] = 2
    save(tmp_path / "t", a=truth), save(tmp_path / "p", a=truth[:, ::-1])
    assert "mirror" in cli("evaluate", tmp_path / "p", tmp_path / "t").err


@pytest.mark.parametrize("blank", ["truth", "prediction", "both"])
def test_empty_images_are_judged(tmp_path, cli, blank):
    nothing = np.zeros_like(TRUTH)
    truth = save(tmp_path / "t", a=nothing if blank != "prediction" else TRUTH)
    found = save(tmp_path / "p", a=nothing if blank != "truth" else TRUTH)
    data = verdict(cli, "evaluate", found, truth)
    assert data["instance"]["ap50"]["value"] == (1 if blank == "both" else 0)


def test_one_pixel(tmp_path, cli):
    one = np.ones((1, 1), np.uint8)
    data = verdict(cli, "evaluate", save(tmp_path / "p", a=one), save(tmp_path / "t", a=one))
    assert data["instance"]["ap50"]["value"] == 1


def test_volumes_are_judged_in_their_unit(tmp_path, cli):
    nibabel = pytest.importorskip("nibabel")
    truth = np.zeros((12, 14, 16), np.uint8)
    truth[3:9, 3:10, 4:12] = 1
    for folder, volume in (("t", truth), ("p", np.roll(truth, 1, axis=0))):
        (tmp_path / folder).mkdir()
        picture = nibabel.Nifti1Image(volume.T, np.diag([1.0, 1.0, 3.0, 1.0]))
        picture.header.set_xyzt_units("mm")
        nibabel.save(picture, tmp_path / folder / "a.nii.gz")
    data = verdict(cli, "evaluate", tmp_path / "p", tmp_path / "t", "--kind", "semantic")
    assert data["semantic"]["hausdorff"] == pytest.approx(data["semantic"]["hausdorff"] | {"value": 3.0, "unit": "mm"})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t, p: (p / "a.png").unlink() or write_png(p / "c.png", HALF), "no prediction: a"),
        (lambda t, p: write_png(p / "a.png", HALF[:-1]), "undo the resizing"),
        (lambda t, p: np.save(p / "b.npy", np.full(TRUTH.shape, np.nan)), "both are 'b'"),
        (lambda t, p: write_png(p / "a.png", np.full((40, 60, 3), (1, 2, 3), np.uint8)), "colours"),
    ],
)
def test_bad_pairs_are_one_line(tmp_path, cli, change, says):
    truth, found = save(tmp_path / "t", a=TRUTH, b=TRUTH), save(tmp_path / "p", a=HALF, b=TRUTH)
    change(truth, found)
    shown = cli("evaluate", found, truth)
    assert shown.code == 2
    assert says in shown.err
    assert shown.err.count("\n") == 1
    assert not shown.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--kind", "instances"), "did you mean 'instance'"),
        (("--classes", "0,1"), "semantic"),
        (("--kind", "semantic", "--classes", "a"), "is no class"),
        (("--tolerance", "-1"), "tolerance"),
        (("--threshold", "0.5"), "semantic"),
        (("--ids", "nothing.csv"), "no such file"),
    ],
)
def test_bad_options_are_one_line(tmp_path, cli, options, says):
    truth, found = save(tmp_path / "t", a=TRUTH), save(tmp_path / "p", a=HALF)
    shown = cli("evaluate", found, truth, *options)
    assert shown.code == 2
    assert says in shown.err
    assert shown.err.count("\n") == 1


def test_mask_given_for_objects_is_pointed_out(tmp_path, cli):
    many = np.hstack([TRUTH, np.where(TRUTH > 0, TRUTH + 10, 0)])
    truth = save(tmp_path / "t", a=many)
    shown = cli("evaluate", save(tmp_path / "p", a=(many > 0).astype(np.uint8) * 255), truth)
    assert shown.code == 0
    assert "seems to be a mask" in shown.err
    assert "--kind semantic" in shown.err
    assert "seems" not in cli("evaluate", truth, truth).err


@pytest.mark.parametrize(("ours", "theirs"), [(1, 255), (255, 1)])
def test_masks_of_1_and_of_255_are_the_same(tmp_path, cli, ours, theirs):
    truth = save(tmp_path / "t", a=(TRUTH > 0).astype(np.uint8) * theirs)
    found = save(tmp_path / "p", a=(HALF > 0).astype(np.uint8) * ours)
    data = verdict(cli, "evaluate", found, truth, "--kind", "semantic")
    assert data["semantic"]["iou"]["value"] == pytest.approx(1 / 3)
    score = np.where(HALF > 0, 200, 3).astype(np.uint8)
    data = verdict(cli, "evaluate", save(tmp_path / "s", a=score), truth, "--kind", "semantic", "--threshold", "128")
    assert data["semantic"]["iou"]["value"] == pytest.approx(1 / 3)


GREYS = np.arange(2400).reshape(40, 60) % 251


@pytest.mark.parametrize(
    ("found", "options", "says"),
    [
        (HALF.T, (), "rows and columns seem swapped"),
        (np.stack([TRUTH == 0, TRUTH > 0], -1).astype(int), (), "an axis more"),
        (GREYS.astype(np.uint8), ("--kind", "semantic"), "too many for classes"),
        (GREYS.astype(np.uint8), ("--kind", "semantic", "--threshold", "0.5"), "such as 128"),
        (GREYS / 251, ("--kind", "semantic"), "its truth"),  # three numbers in the truth
        (GREYS / 20, ("--kind", "semantic"), "sigmoid"),
        (HALF.astype(int) - 5, (), "p/x.npy: prediction holds the label -5"),
    ],
)
def test_what_is_no_label_image_is_named_with_its_file(tmp_path, cli, found, options, says):
    truth = save(tmp_path / "t", x=TRUTH)
    (tmp_path / "p").mkdir()
    np.save(tmp_path / "p" / "x.npy", found)
    shown = cli("evaluate", tmp_path / "p", truth, *options)
    assert shown.code == 2
    assert says in shown.err
    assert "x.npy" in shown.err
    assert shown.err.count("\n") == 1


def test_terminal_says_how_many_images_have_a_score(tmp_path, cli):
    mask = (TRUTH > 0).astype(np.uint8)
    images = {f"i{k}": mask if k else 0 * mask for k in range(6)}  # nothing found has no precision
    truth, found = save(tmp_path / "t", **dict.fromkeys(images, mask)), save(tmp_path / "p", **images)
    lines = cli("evaluate", found, truth, "--kind", "semantic").out.splitlines()
    assert next(line for line in lines if line.split()[0] == "precision").endswith("5 of 6 images have it")
    assert not next(line for line in lines if line.split()[0] == "recall").endswith("have it")
    assert "95 % interval for the population of images" in lines[0]
    few = cli(
        "evaluate", found, truth, "--kind", "semantic", "--ids", save_text(tmp_path / "s", "i0\ni1")
    ).out.splitlines()
    assert "no intervals" in few[0]


def save_text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_terminal_lines_classes_up(tmp_path, cli):
    truth = np.array([[0, 0, 1, 1], [2, 2, 2, 2]] * 10, np.uint8)
    found = np.array([[0, 1, 1, 1], [2, 2, 0, 0]] * 10, np.uint8)
    shown = cli(
        "evaluate", save(tmp_path / "p", a=found), save(tmp_path / "t", a=truth), "--kind", "semantic", "--classes",
        "0=matrix,1=carbide,2=pore",
    ).out  # fmt: skip
    rows = [line.split() for line in shown.splitlines()]
    assert ["class", "iou", "precision", "recall"] in rows
    assert ["carbide", "0.667", "0.667", "1.00"] in rows


def test_pairs_that_fail_alike_are_said_once(tmp_path, cli):
    images = {f"i{k}": TRUTH for k in range(9)}
    found = save(tmp_path / "p", **dict.fromkeys(images, TRUTH[:-1]) | {"i8": TRUTH.T})
    shown = cli("evaluate", found, save(tmp_path / "t", **images))
    assert shown.code == 2
    assert shown.err.count("undo the resizing") == 1
    assert "9 of 9 pairs" in shown.err
    assert "(and 7 more alike)" in shown.err
    assert shown.err.count("swapped") == 1
