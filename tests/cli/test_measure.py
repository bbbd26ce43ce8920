"""`segmetry measure`: the files, the numbers against the truth, and every option."""

import math
import re
import shutil

import numpy as np
import pytest
import tifffile
import yaml
from cli_images import (
    BATCH_FILES,
    IMAGE_FILES,
    PIXEL_NM,
    THREE,
    column,
    disks,
    is_whole,
    isolated_circles,
    leftovers,
    read_json,
    read_rows,
    three_disks,
    write_png,
    write_tiff,
)
from PIL import Image as PillowImage

from segmetry.cli import main
from segmetry.synth import simulate

FAST = ("-m", "otsu", "--scale", "metadata", "--jobs", "1")
"""Options of runs in which segmenting and the scale bar are not the subject."""


SHAPE, N, MEDIAN, GSD = (240, 300), 14, 24.0, 1.25


@pytest.fixture(scope="session")
def circles():
    """Circles (row, col, radius) in pixels, log-normal diameters."""
    return isolated_circles(SHAPE, N, median=MEDIAN, gsd=GSD, seed=1)


@pytest.fixture(scope="session")
def measured(circles, tmp_path_factory):
    """Folder of one image, measured with every default, and what was printed."""
    import contextlib
    import io

    from segmetry.cli import main

    folder = tmp_path_factory.mktemp("measured")
    write_tiff(folder / "micrograph.tif", disks(SHAPE, *circles))
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(["measure", str(folder / "micrograph.tif"), "-o", str(folder / "out")])
    return folder / "out", code, out.getvalue(), err.getvalue()


def test_one_image_leaves_the_files_that_are_promised(measured):
    out, code, _, _ = measured
    assert code == 0
    assert [n for n in IMAGE_FILES if not (out / "micrograph" / n).is_file()] == []
    assert [n for n in BATCH_FILES if not (out / n).is_file()] == []
    assert {p.name for p in out.iterdir() if p.is_dir()} <= {"micrograph", "figures"}
    assert leftovers(out) == []


def test_the_terminal_says_what_was_found_and_stays_silent_else(measured):
    out, _, stdout, stderr = measured
    assert stderr == "", "one image: no progress, no warnings"
    assert "14 particles" in stdout
    assert "0.5 nm" in stdout
    assert "D50" in stdout
    assert "method: particles, the default for images\n" in stdout
    report = re.search(r"report: (.*)", stdout)
    assert report, "names the report to open"
    assert report.group(1).strip() == str(out / "micrograph" / "report.html")


def test_the_summary_holds_what_is_promised(measured):
    summary = read_json(measured[0] / "micrograph" / "summary.json")
    assert summary["n"] == 14
    pixel = summary["pixel_size"]
    assert pixel["value"] == pytest.approx(PIXEL_NM, rel=1e-6), "TIFF keeps it as a ratio of whole numbers"
    assert pixel["unit"] == "nm"
    assert pixel["source"] == "metadata"
    assert 0 <= pixel["rel_uncertainty"] < 0.01
    assert summary["scale_bar"] is None
    for name in ("d10", "d50", "d90"):
        estimate = summary[name]
        assert estimate["unit"] == "nm"
        assert estimate["low"] < estimate["value"] < estimate["high"]
        inner = estimate["this_image"]
        assert (
            inner is None or estimate["low"] <= inner["low"] <= estimate["value"] <= inner["high"] <= estimate["high"]
        )


def test_the_numbers_are_those_that_were_drawn(measured, circles):
    folder = measured[0] / "micrograph"
    summary, rows = read_json(folder / "summary.json"), read_rows(folder / "regions.csv")
    assert len(rows) == N
    for row, col, radius in circles:
        distance = np.hypot(column(rows, "centroid-0") - row, column(rows, "centroid-1") - col)
        found = rows[int(distance.argmin())]
        assert distance.min() < 0.25
        # The worst disk of radius 10 is wrong by 1.6 % of its area, plus what noise does to the edge.
        assert float(found["equivalent_diameter"]) == pytest.approx(2 * radius * PIXEL_NM, rel=0.015)
        assert found["unit"] == "nm"
        assert found["touches_edge"] == "False"
    sizes = 2 * circles[:, 2] * PIXEL_NM
    for name, share in (("d10", 10), ("d50", 50), ("d90", 90)):
        # Between two of 14 particles a quantile is a matter of definition, and weights move it a little.
        low, high = np.percentile(sizes, [max(0, share - 10), min(100, share + 10)])
        assert low * 0.99 < summary[name]["value"] < high * 1.01
    assert summary["d50"]["low"] < PIXEL_NM * MEDIAN < summary["d50"]["high"], "seed 1 is no unlucky draw"


def test_the_table_is_that_of_the_label_image(measured):
    folder = measured[0] / "micrograph"
    with tifffile.TiffFile(folder / "labels.tif") as file:
        labels, ome = file.asarray(), file.ome_metadata
    rows = read_rows(folder / "regions.csv")
    assert labels.shape == (240, 300)
    assert labels.dtype.kind in "iu"
    assert sorted(int(r["label"]) for r in rows) == sorted(set(labels.ravel().tolist()) - {0})
    for row in rows:
        n_pixels = int((labels == int(row["label"])).sum())
        assert float(row["area"]) == pytest.approx(n_pixels * PIXEL_NM**2, rel=1e-6)
        assert float(row["equivalent_diameter"]) == pytest.approx(
            2 * PIXEL_NM * math.sqrt(n_pixels / math.pi), rel=1e-6
        )
    size = re.search(r'PhysicalSizeX="([^"]+)"', ome)
    unit = re.search(r'PhysicalSizeXUnit="([^"]+)"', ome)
    assert size
    assert float(size.group(1)) * {"nm": 1, "µm": 1e3}[unit.group(1) if unit else "µm"] == pytest.approx(0.5, rel=1e-6)


def test_the_pictures_and_the_report_can_be_opened(measured):
    folder = measured[0] / "micrograph"
    with PillowImage.open(folder / "overlay.png") as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.width >= 300
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "micrograph" in page
    assert "D50" in page
    # A link that a reader may follow is fine; what the page itself would load is not.
    loads = re.findall(
        r"""\ssrc\s*=\s*["']?([^"'\s>]+)|<link[^>]*href\s*=\s*["']?([^"'\s>]+)|url\(\s*["']?([^"')]+)""", page
    )
    outside = [a for found in loads for a in found if a.startswith(("http:", "https:", "//"))]
    assert outside == [], "needs no network"


def test_over_all_images_the_tables_are_joined(measured):
    out = measured[0]
    rows, alone = read_rows(out / "regions.csv"), read_rows(out / "micrograph" / "regions.csv")
    assert {r["image"] for r in rows} == {"micrograph"}
    assert [{k: v for k, v in r.items() if k != "image"} for r in rows] == alone
    summary = read_json(out / "summary.json")
    assert summary["n"] == 14
    assert summary["d50"]["value"] == pytest.approx(read_json(out / "micrograph/summary.json")["d50"]["value"])
    assert read_rows(out / "failures.csv") == []
    run = read_json(out / "run.json")
    assert run["version"]
    assert run["images"][0]["ok"] is True


def test_a_pixel_size_outranks_the_file_and_scales_every_length(cli, measured, tmp_path):
    ran = cli("measure", measured[0].parent / "micrograph.tif", "-o", tmp_path, "--pixel-size", "0.25 nm", "-j", "1")
    assert ran.code == 0
    summary, before = (
        read_json(tmp_path / "micrograph/summary.json"),
        read_json(measured[0] / "micrograph/summary.json"),
    )
    assert summary["pixel_size"]["value"] == 0.25
    assert summary["pixel_size"]["source"] == "user"
    for name in ("d10", "d50", "d90"):
        assert summary[name]["value"] == pytest.approx(before[name]["value"] / 2, rel=1e-9)
    rows, old = read_rows(tmp_path / "micrograph/regions.csv"), read_rows(measured[0] / "micrograph/regions.csv")
    for name, power in (("area", 2), ("perimeter", 1), ("feret_max", 1), ("circularity", 0), ("centroid-0", 0)):
        assert column(rows, name) == pytest.approx(column(old, name) * 0.5**power, rel=1e-9), name
    assert any("0.5" in note for note in summary["notes"]), "says that the file says otherwise"


@pytest.mark.parametrize(
    ("given", "value", "unit"), [("1,5um", 1.5, "µm"), ("2 Å", 2, "Å"), ("0.52nm", 0.52, "nm"), ("3e-1 μm", 0.3, "µm")]
)
def test_a_pixel_size_is_understood_as_people_write_it(cli, tmp_path, given, value, unit):
    path = write_tiff(tmp_path / "a.tif", three_disks(), nm=None)
    assert cli("measure", path, "-o", tmp_path / "out", "-m", "otsu", "--pixel-size", given, "-j", 1).code == 0
    summary = read_json(tmp_path / "out/a/summary.json")
    assert (summary["pixel_size"]["value"], summary["pixel_size"]["unit"]) == (value, unit)
    assert summary["d50"]["unit"] == unit
    found = sorted(column(read_rows(tmp_path / "out/a/regions.csv"), "equivalent_diameter"))
    assert found == pytest.approx(sorted(2 * r * value for _, _, r in THREE), rel=0.02)


@pytest.mark.slow
def test_a_pixel_size_may_be_one_for_each_axis(cli, tmp_path):
    """Pixels of 2 nm down and 1 nm across make a disk of n pixels 2 n nm^2 large, and twice as tall as wide."""
    path = write_tiff(tmp_path / "a.tif", three_disks(), nm=1.0)
    arguments = ("measure", path, "-m", "otsu", "-j", 1)
    ran = cli(*arguments, "-o", tmp_path / "out", "--pixel-size", "2 nm, 1 nm")
    assert ran.code == 0, ran.err
    assert "2 × 1 nm/px (user)" in ran.out
    assert "the file says 1 nm per pixel, the given pixel size is 2 × 1 nm" in ran.out, "differs along one axis only"
    rows, summary = read_rows(tmp_path / "out/a/regions.csv"), read_json(tmp_path / "out/a/summary.json")
    assert summary["pixel_size"]["spacing"] == [2, 1]
    assert sorted(column(rows, "area")) == pytest.approx([2 * math.pi * r**2 for _, _, r in THREE], rel=0.03)
    assert column(rows, "axis_major_length") / column(rows, "axis_minor_length") == pytest.approx(2, rel=0.03)
    again = cli(*arguments, "-o", tmp_path / "again", "--recipe", tmp_path / "out/recipe.yaml")
    assert again.code == 0
    assert (tmp_path / "again/a/summary.json").read_bytes() == (tmp_path / "out/a/summary.json").read_bytes()
    ran = cli(*arguments, "-o", tmp_path / "three", "--pixel-size", "2 nm, 1 nm, 1 nm")
    assert ran.code == 2
    assert "3 lengths, the image 2 axes" in ran.err


def test_without_a_scale_lengths_are_pixels_and_it_is_said(cli, tmp_path):
    path = write_tiff(tmp_path / "a.tif", three_disks())
    ran = cli("measure", path, "-o", tmp_path / "out", "-m", "otsu", "--scale", "none", "-j", 1)
    assert ran.code == 0
    assert "not calibrated" in ran.out
    summary, rows = read_json(tmp_path / "out/a/summary.json"), read_rows(tmp_path / "out/a/regions.csv")
    assert summary["pixel_size"]["value"] is None, "unknown is said, never 1.0"
    assert summary["pixel_size"]["unit"] == "px"
    assert summary["pixel_size"]["source"] == "none"
    assert summary["d50"]["unit"] == "px"
    assert {(r["unit"], r["uncalibrated"]) for r in rows} == {("px", "True")}
    found = sorted(column(rows, "equivalent_diameter"))
    assert found == pytest.approx(sorted(2 * r for _, _, r in THREE), abs=1)


@pytest.mark.slow
def test_the_burned_in_bar_gives_the_scale(cli, tmp_path):
    """No metadata, as in a picture that was passed on; the length of the bar is known to 2 % + 1.5 px."""
    made = simulate(
        "bf-tem", seed=3, frame_shape=(360, 420), pixel_size=0.8, n=12, median_diameter=24, gsd=1.2, edges="inside",
        bar="line", calibrated=False,
    )  # fmt: skip
    path = write_png(tmp_path / "figure.png", made.image.pixels)
    assert cli("measure", path, "-o", tmp_path / "out").code == 0
    summary = read_json(tmp_path / "out/figure/summary.json")
    bar, pixel, true = summary["scale_bar"], summary["pixel_size"], made.scale_bar
    assert set(bar) >= {"value", "unit", "length_px", "x0", "y0", "x1", "y1", "confidence"}
    assert (bar["value"], bar["unit"]) == (true.value, true.unit)
    assert bar["length_px"] == pytest.approx(true.length_px, abs=1.5 + 0.02 * true.length_px)
    assert 0 < bar["confidence"] <= 1
    assert math.hypot(bar["x1"] - bar["x0"], bar["y1"] - bar["y0"]) == pytest.approx(bar["length_px"], abs=1.01)
    assert pixel["source"] == "scale bar"
    assert pixel["value"] == pytest.approx(bar["value"] / bar["length_px"], rel=1e-6)
    assert 0 < pixel["rel_uncertainty"] < 0.1
    # Text and bar are no particles.
    rows = read_rows(tmp_path / "out/figure/regions.csv")
    for row in rows:
        assert not made.annotation_mask[round(float(row["centroid-0"])), round(float(row["centroid-1"]))]
    assert summary["n"] == len(made.truth)


@pytest.mark.slow
def test_metadata_and_bar_that_disagree_are_reported_loudly(cli, tmp_path):
    made = simulate("bf-tem", seed=3, frame_shape=(360, 420), pixel_size=0.8, n=12, median_diameter=24, bar="line",
                    edges="inside")  # fmt: skip
    path = write_tiff(tmp_path / "a.tif", made.image.pixels, nm=0.8 * 1.2)
    ran = cli("measure", path, "-o", tmp_path / "out")
    assert ran.code == 0
    assert "WARNING" in ran.out
    notes = read_json(tmp_path / "out/a/summary.json")["notes"]
    assert any("WARNING" in n and "bar" in n for n in notes)
    assert "WARNING" in (tmp_path / "out/a/report.html").read_text(encoding="utf-8") or "warning" in ran.out.lower()
    ran = cli("measure", path, "-o", tmp_path / "bar", "--scale", "bar")
    assert read_json(tmp_path / "bar/a/summary.json")["pixel_size"]["value"] == pytest.approx(0.8, rel=0.02 + 1.5 / 60)
    ran = cli("measure", path, "-o", tmp_path / "metadata", "--scale", "metadata")
    assert read_json(tmp_path / "metadata/a/summary.json")["pixel_size"]["value"] == pytest.approx(0.96, rel=1e-6)


@pytest.mark.slow
def test_method_and_options_decide_the_result(cli, tmp_path):
    path = write_tiff(tmp_path / "a.tif", three_disks())
    # Areas of the three disks: 452, 804 and 1257 px; a least size of 600 px leaves two.
    assert (
        cli("measure", path, "-o", tmp_path / "out", *FAST, "--set", "min_size=600", "--set", "polarity=dark").code == 0
    )
    summary = read_json(tmp_path / "out/a/summary.json")
    assert summary["n"] == 2
    recipe = yaml.safe_load((tmp_path / "out/recipe.yaml").read_text(encoding="utf-8"))
    assert recipe["segment"]["method"] == "otsu"
    assert recipe["segment"]["min_size"] == 600
    assert recipe["segment"]["polarity"] == "dark"
    assert summary["recipe"] == recipe
    # With an underscore or a hyphen, and a fixed threshold below the disks: nothing is dark.
    options = ("--set", "value=20", "--set", "polarity=dark", "--set", "min-size=10")
    ran = cli("measure", path, "-o", tmp_path / "none", "-m", "threshold", *options, "--scale", "none")
    assert ran.code == 0
    assert read_json(tmp_path / "none/a/summary.json")["n"] == 0


@pytest.mark.slow
def test_the_level_of_the_intervals_can_be_chosen(cli, tmp_path, measured):
    path = measured[0].parent / "micrograph.tif"
    assert cli("measure", path, "-o", tmp_path, "--set", "level=0.5", "-j", 1).code == 0
    narrow, wide = (read_json(f / "micrograph/summary.json")["d50"] for f in (tmp_path, measured[0]))
    assert narrow["level"] == 0.5
    assert wide["level"] == 0.95
    assert narrow["value"] == wide["value"]
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]


@pytest.mark.slow
def test_a_recipe_makes_the_same_bytes_again(cli, tmp_path):
    path = write_tiff(tmp_path / "in/a.tif", three_disks())
    first, second, third = tmp_path / "first", tmp_path / "second", tmp_path / "third"
    assert cli("measure", path, "-o", first, *FAST, "--set", "min_size=100", "--set", "level=0.9").code == 0
    assert cli("measure", path, "-o", second, "--recipe", first / "recipe.yaml").code == 0
    for name in ("labels.tif", "regions.csv", "summary.json"):
        assert (second / "a" / name).read_bytes() == (first / "a" / name).read_bytes(), name
    for name in ("regions.csv", "recipe.yaml", "summary.json"):
        assert (second / name).read_bytes() == (first / name).read_bytes(), name
    # Options outrank the recipe; what they do not name stays.
    assert cli("measure", path, "-o", third, "--recipe", first / "recipe.yaml", "--set", "min_size=600").code == 0
    recipe = yaml.safe_load((third / "recipe.yaml").read_text(encoding="utf-8"))
    assert (recipe["segment"]["method"], recipe["segment"]["min_size"]) == ("otsu", 600)
    assert (recipe["statistics"]["level"], recipe["read"]["scale"]) == (0.9, "metadata")
    assert read_json(third / "a/summary.json")["n"] == 2


def test_a_recipe_may_be_written_by_hand(cli, tmp_path):
    path = write_tiff(tmp_path / "a.tif", three_disks())
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "read: {pixel_size: 2 nm}\nsegment: {method: otsu, min_size: 600}\nmeasure: [area, feret_max]\n",
        encoding="utf-8",
    )
    ran = cli("measure", path, "-o", tmp_path / "out", "--recipe", recipe, "-j", 1)
    assert ran.code == 0, ran.err
    rows = read_rows(tmp_path / "out/a/regions.csv")
    assert {"label", "area", "feret_max", "unit"} <= set(rows[0])
    assert not {"circularity", "shape", "intensity_mean"} & set(rows[0])
    assert column(rows, "area") == pytest.approx([math.pi * (2 * r) ** 2 for _, _, r in THREE[1:]], rel=0.06)


@pytest.mark.slow
def test_a_volume_is_measured_in_three_dimensions(cli, tmp_path):
    """Balls of 8 and 11 voxels radius, planes as far apart as the pixels are wide."""
    planes, rows, cols = np.mgrid[:40, :60, :80]
    volume = np.full(planes.shape, 180, np.uint8)
    for centre, radius in (((18.3, 20.2, 20.6), 8), ((20.1, 35.4, 55.8), 11)):
        volume[(planes - centre[0]) ** 2 + (rows - centre[1]) ** 2 + (cols - centre[2]) ** 2 < radius**2] = 60
    np.save(tmp_path / "balls.npy", volume)
    ran = cli("measure", tmp_path / "balls.npy", "-o", tmp_path / "out", "-m", "otsu", "--pixel-size", "2 µm", "-j", 1)
    assert (ran.code, ran.err) == (0, "")
    rows_ = read_rows(tmp_path / "out/balls/regions.csv")
    assert sorted(column(rows_, "equivalent_diameter")) == pytest.approx([32, 44], rel=0.015)
    assert sorted(column(rows_, "volume")) == pytest.approx([4 / 3 * math.pi * (2 * r) ** 3 for r in (8, 11)], rel=0.03)
    assert read_json(tmp_path / "out/summary.json")["n"] == 2
    # It is what a volume gets where no method is named, beside an image that gets another.
    write_tiff(tmp_path / "disks.tif", three_disks())
    ran = cli("measure", tmp_path / "balls.npy", tmp_path / "disks.tif", "-o", tmp_path / "both", "-j", 1)
    assert ran.code == 0
    assert "method: otsu, the default for volumes (1 of 2)\n" in ran.out
    assert "method: particles, the default for images (1 of 2)\n" in ran.out
    summaries = {name: read_json(tmp_path / "both" / name / "summary.json") for name in ("balls", "disks")}
    assert {k: s["recipe"]["segment"]["method"] for k, s in summaries.items()} == {
        "balls": "otsu",
        "disks": "particles",
    }
    assert [s["n"] for s in summaries.values()] == [2, 3]
    assert yaml.safe_load((tmp_path / "both/recipe.yaml").read_text())["segment"] == {"method": "auto"}
    page = (tmp_path / "both/report.html").read_text(encoding="utf-8")
    assert "“otsu”" in page
    assert "“particles”" in page
    # One plane of it is a picture: through both balls.
    ran = cli(
        "measure", tmp_path / "balls.npy", "-o", tmp_path / "plane", "-m", "otsu", "--scale", "none", "--page", 19
    )
    assert ran.code == 0, ran.err
    found = sorted(column(read_rows(tmp_path / "plane/balls/regions.csv"), "equivalent_diameter"))
    assert found == pytest.approx([2 * math.sqrt(64 - 0.49), 2 * math.sqrt(121 - 1.21)], rel=0.02)


@pytest.mark.slow
def test_json_goes_to_stdout_and_nothing_else(program, tmp_path):
    write_tiff(tmp_path / "in/a.tif", three_disks(0))
    write_tiff(tmp_path / "in/b.tif", three_disks(1))
    ran = program("measure", "in", "-o", "out", *FAST, "--json", cwd=tmp_path)
    assert ran.code == 0
    import json

    data = json.loads(ran.out)
    assert data == read_json(tmp_path / "out/summary.json")
    assert data["n"] == 6
    assert [row["n"] for row in data["images"]] == [3, 3]
    assert [row["d50"]["unit"] for row in data["images"]] == ["nm", "nm"]


def test_progress_and_failures_go_to_stderr(cli, tmp_path):
    write_tiff(tmp_path / "in/a.tif", three_disks(0))
    write_tiff(tmp_path / "in/b.tif", three_disks(1))
    (tmp_path / "in/c.tif").write_bytes(b"")
    ran = cli("measure", tmp_path / "in", "-o", tmp_path / "out", *FAST)
    assert ran.code == 1
    assert "c.tif" not in ran.out
    assert "c.tif" in ran.err
    assert ran.out.count("particles") == 3, "a line for each image, one for all"


def test_two_images_pool(cli, tmp_path):
    """Twice the same disks at another pixel size: the pool holds both, in one unit."""
    write_tiff(tmp_path / "in/nano.tif", three_disks(0), nm=1.0)
    write_tiff(tmp_path / "in/micro.tif", three_disks(1), nm=3000.0)
    assert cli("measure", tmp_path / "in", "-o", tmp_path / "out", *FAST).code == 0
    summary, rows = read_json(tmp_path / "out/summary.json"), read_rows(tmp_path / "out/regions.csv")
    assert summary["n"] == 6
    assert {r["image"] for r in rows} == {"nano", "micro"}
    units = {row["folder"]: row["d50"]["unit"] for row in summary["images"]}
    nm = {"nm": 1, "µm": 1000}
    sizes = {(r["image"]): float(r["equivalent_diameter"]) * nm[r["unit"]] for r in rows if r["label"] == "1"}
    assert sizes["micro"] == pytest.approx(3000 * sizes["nano"], rel=0.03)
    assert set(units) == {"nano", "micro"}
    assert (
        summary["d90"]["value"] * nm[summary["d90"]["unit"]]
        > 24 * 3000
        > 40
        > summary["d10"]["value"] * nm[summary["d10"]["unit"]] * 0.9
    )


class TestInputs:
    """What may stand for INPUT, and the names of the folders."""

    def folders(self, out):
        return sorted(row["folder"] for row in read_json(out / "summary.json")["images"])

    @pytest.mark.slow
    def test_folder_glob_and_file_once_each(self, cli, tmp_path):
        for name in ("a.tif", "b.tif", "deep/c.tif"):
            write_tiff(tmp_path / "in" / name, three_disks())
        (tmp_path / "in/notes.txt").write_text("mine")
        ran = cli("measure", tmp_path / "in", tmp_path / "in/*.tif", tmp_path / "in/a.tif", "-o", tmp_path / "1", *FAST)
        assert ran.code == 0
        assert self.folders(tmp_path / "1") == ["a", "b"], "each once; notes are no image; folders inside are not taken"
        assert cli("measure", tmp_path / "in/**/*.tif", "-o", tmp_path / "2", *FAST).code == 0
        assert self.folders(tmp_path / "2") == ["a", "b", "c"]

    @pytest.mark.slow
    def test_equal_stems(self, cli, tmp_path):
        for day in ("monday", "tuesday"):
            write_tiff(tmp_path / day / "a.tif", three_disks())
        write_tiff(tmp_path / "monday/b.tif", three_disks())
        write_png(tmp_path / "monday/b.png", three_disks())
        arguments = ("measure", tmp_path / "monday", tmp_path / "tuesday", *FAST)
        assert cli(*arguments, "-o", tmp_path / "1").code == 0
        folders = self.folders(tmp_path / "1")
        assert len(set(folders)) == 4, "distinct"
        assert folders == ["b-png", "b-tif", "monday-a", "tuesday-a"]
        assert all(is_whole(tmp_path / "1" / f) for f in folders)
        reverse = ("measure", tmp_path / "tuesday", tmp_path / "monday", *FAST)
        assert cli(*reverse, "-o", tmp_path / "2").code == 0
        assert self.folders(tmp_path / "2") == folders, "predictable: the order does not matter"

    @pytest.mark.parametrize(
        ("name", "folder"),
        [
            ("cells.ome.tif", "cells"),
            ("Probe 3 – 20 µm (été).tif", "Probe 3 – 20 µm (été)"),
            ("a.b.tif", "a.b"),
            ("UPPER.TIF", "UPPER"),
            ("100%.tif", "100%"),
            ("-o.tif", "-o"),
            ("[1].tif", "[1]"),
            ("日本語.tiff", "日本語"),
        ],
    )
    def test_names(self, cli, tmp_path, name, folder):
        write_tiff(tmp_path / "in" / name, three_disks())
        ran = cli("measure", tmp_path / "in" / name, "-o", tmp_path / "out dir", *FAST)
        assert ran.code == 0, ran.err
        assert is_whole(tmp_path / "out dir" / folder)
        assert self.folders(tmp_path / "out dir") == [folder]

    @pytest.mark.slow
    def test_relative_paths(self, cli, tmp_path, monkeypatch):
        write_tiff(tmp_path / "in/a.tif", three_disks())
        monkeypatch.chdir(tmp_path / "in")
        assert cli("measure", "a.tif", "-o", "../out", *FAST).code == 0
        assert cli("measure", "../in/a.tif", ".", "-o", "../out2", *FAST).code == 0
        assert self.folders(tmp_path / "out2") == ["a"], "two ways to write one file"
        assert (tmp_path / "out/a/labels.tif").read_bytes() == (tmp_path / "out2/a/labels.tif").read_bytes()

    @pytest.mark.slow
    def test_output_inside_the_input_folder(self, cli, tmp_path):
        """`measure . -o .` and a second run must not measure the first one's labels."""
        write_tiff(tmp_path / "a.tif", three_disks())
        for _ in range(2):
            assert cli("measure", tmp_path, "-o", tmp_path, *FAST).code == 0
            assert self.folders(tmp_path) == ["a"]


@pytest.fixture(scope="module")
def two_measured(tmp_path_factory):
    """Two images, measured once for all tests."""
    folder = tmp_path_factory.mktemp("measured")
    for i, name in enumerate(("a", "b")):
        write_tiff(folder / f"in/{name}.tif", three_disks(i))
    assert main([str(a) for a in ("measure", folder / "in", "-o", folder / "out", *FAST)]) == 0
    return folder


class TestResume:
    @pytest.fixture
    def batch(self, two_measured, tmp_path):
        """A copy of it, to be changed."""
        return shutil.copytree(two_measured, tmp_path / "batch")

    def again(self, cli, folder, *more):
        """Run with --resume; return the names of the images that were done again."""
        before = {f: (folder / "out" / f / "labels.tif").stat().st_mtime_ns for f in "ab"}
        ran = cli("measure", folder / "in", "-o", folder / "out", *FAST, "--resume", *more)
        assert ran.code == 0, ran.err
        run = read_json(folder / "out/run.json")["images"]
        said = [r["folder"] for r in run if not r["resumed"]]
        for f in "ab":
            assert is_whole(folder / "out" / f)
            written = folder.joinpath("out", f, "labels.tif").stat().st_mtime_ns != before[f]
            assert written == (f in said), f
        return said

    def test_what_is_there_is_not_done_again(self, cli, batch):
        whole = (batch / "out/summary.json").read_bytes()
        assert self.again(cli, batch) == []
        assert (batch / "out/summary.json").read_bytes() == whole, "what stands over all is the same"
        assert [r["image"] for r in read_rows(batch / "out/regions.csv")] == ["a"] * 3 + ["b"] * 3

    def test_another_recipe_is_done_again(self, cli, batch):
        assert self.again(cli, batch, "--set", "min_size=600") == ["a", "b"]
        assert read_json(batch / "out/summary.json")["n"] == 4

    def test_a_changed_input_is_done_again(self, cli, batch):
        write_tiff(batch / "in/b.tif", np.rot90(three_disks(7)))
        assert self.again(cli, batch) == ["b"]

    @pytest.mark.slow
    @pytest.mark.parametrize("name", IMAGE_FILES[1:])
    def test_a_file_that_is_missing_is_made_again(self, cli, batch, name):
        (batch / "out/a" / name).unlink()
        assert self.again(cli, batch) == ["a"]

    def test_missing_labels_are_made_again(self, cli, batch):
        (batch / "out/a/labels.tif").unlink()
        assert cli("measure", batch / "in", "-o", batch / "out", *FAST, "--resume").code == 0
        assert is_whole(batch / "out/a")

    def test_a_damaged_summary_is_made_again(self, cli, batch):
        (batch / "out/a/summary.json").write_text('{"n": 3', encoding="utf-8")
        assert self.again(cli, batch) == ["a"]

    @pytest.mark.slow
    def test_a_new_image_is_added(self, cli, batch):
        shutil.copy(batch / "in/a.tif", batch / "in/c.tif")
        assert self.again(cli, batch) == ["c"]
        assert read_json(batch / "out/summary.json")["n"] == 9

    @pytest.mark.slow
    def test_without_resume_all_is_done_again(self, cli, batch):
        before = (batch / "out/a/labels.tif").stat().st_mtime_ns
        assert cli("measure", batch / "in", "-o", batch / "out", *FAST).code == 0
        assert (batch / "out/a/labels.tif").stat().st_mtime_ns != before

    def test_an_input_that_became_unreadable_leaves_no_result_of_the_old_one(self, cli, batch):
        (batch / "in/a.tif").write_bytes(b"")
        ran = cli("measure", batch / "in", "-o", batch / "out", *FAST, "--resume")
        assert ran.code == 1
        assert [r["folder"] for r in read_rows(batch / "out/failures.csv")] == ["a"]
        assert {r["image"] for r in read_rows(batch / "out/regions.csv")} == {"b"}
        assert not (batch / "out/a/summary.json").exists(), "a result that is not this input's would mislead"


@pytest.mark.slow
def test_the_number_of_jobs_does_not_change_a_byte(cli, tmp_path):
    for i in range(5):
        write_tiff(tmp_path / f"in/{i}.tif", three_disks(i))
    (tmp_path / "in/empty.tif").write_bytes(b"")
    outs = []
    for jobs in (1, 2):
        out = tmp_path / f"out{jobs}"
        ran = cli("measure", tmp_path / "in", "-o", out, "-m", "otsu", "--scale", "metadata", "--jobs", jobs)
        assert ran.code == 1
        assert leftovers(out) == []
        names = ("labels.tif", "regions.csv", "summary.json", "overlay.png", "recipe.yaml", "failures.csv")
        same = [p for p in sorted(out.rglob("*")) if p.name in names]
        outs.append({str(p.relative_to(out)): p.read_bytes() for p in same})
    assert len(outs[0]) == 5 * 4 + 4
    assert outs[0] == outs[1]


@pytest.mark.slow
def test_particles_that_touch_the_frame_are_dropped_and_the_rest_weighted(cli, tmp_path):
    """The weight of a particle seen whole: the frame over the positions in which it would be (Miles, Lantuéjoul)."""
    image = disks((130, 150), *THREE, (0.0, 75.0, 14.0), (129.0, 148.0, 18.0))
    path = write_tiff(tmp_path / "a.tif", image)
    assert cli("measure", path, "-o", tmp_path / "out", *FAST).code == 0
    rows, summary = read_rows(tmp_path / "out/a/regions.csv"), read_json(tmp_path / "out/a/summary.json")
    assert summary["n"] == 5
    whole = [r for r in rows if r["touches_edge"] == "False"]
    assert len(whole) == 3
    assert summary["d50"]["n"] == 3
    for row in whole:
        height, width = (float(row[f"bbox-{k + 2}"]) - float(row[f"bbox-{k}"]) for k in (0, 1))
        expected = 130 * 150 / ((130 - height) * (150 - width))
        # In pixels or between pixel centres: one pixel of 20 to 40 in a frame of 130.
        assert float(row["edge_weight"]) == pytest.approx(expected, rel=0.025)
    assert {r["edge_weight"] for r in rows if r["touches_edge"] == "True"} == {""}
    assert cli("measure", path, "-o", tmp_path / "all", *FAST, "--set", "edge_correction=false").code == 0
    assert read_json(tmp_path / "all/a/summary.json")["d50"]["n"] == 5


@pytest.mark.slow
def test_samples_give_the_segmentation_its_share_over_all_images(cli, tmp_path):
    for k in range(2):
        write_tiff(tmp_path / f"in/{k}.tif", disks(SHAPE, *isolated_circles(SHAPE, N, median=MEDIAN, gsd=GSD, seed=k)))
    command = ("measure", tmp_path / "in", "-o", tmp_path / "out", "--set", "samples=3", "--scale", "metadata", "-j", 1)
    ran = cli(*command)
    assert (ran.code, ran.err.count("failed")) == (0, 0)
    whole = (tmp_path / "out/summary.json").read_bytes()
    summary = read_json(tmp_path / "out/summary.json")
    for one in (summary, *summary["images"]):
        for estimate in (one["d10"], one["d50"], one["estimates"]["mean"]):
            assert {"counting", "segmentation", "border", "calibration"} == set(estimate["contributions"])
            inner = estimate["this_image"]
            assert estimate["low"] < inner["low"] <= estimate["value"] <= inner["high"] < estimate["high"]
        count = one["estimates"]["count"]
        assert count["value"] == one["n"]
        assert count["low"] <= count["this_image"]["low"] <= one["n"] <= count["this_image"]["high"] <= count["high"]
    assert re.search(r"^0: 14 particles \(in truth likely \d+ to \d+.*\), D50", ran.out, re.MULTILINE)
    assert re.search(r"^all 2 images: 28 particles \(in truth likely \d+ to \d+\), D50", ran.out, re.MULTILINE)
    assert "method: particles, the default for images, with options\n" in ran.out
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "these images" in page
    assert "Number of particles" in page
    # What was kept of the samples is all that a later run needs; without it the image is measured anew.
    assert cli(*command, "--resume").code == 0
    assert (tmp_path / "out/summary.json").read_bytes() == whole
    (tmp_path / "out/0/samples.npz").unlink()
    assert cli(*command, "--resume").code == 0
    assert (tmp_path / "out/0/samples.npz").is_file()
    assert (tmp_path / "out/summary.json").read_bytes() == whole
    # The recipe makes the same bytes again, also why this method was used.
    again = ("measure", tmp_path / "in", "-o", tmp_path / "again", "--recipe", tmp_path / "out/recipe.yaml", "-j", 1)
    assert cli(*again).code == 0
    assert (tmp_path / "again/summary.json").read_bytes() == whole
    (tmp_path / "out/0/samples.npz").write_bytes(b"PK no archive")
    ran = cli(*command, "--resume")
    assert ran.code == 2
    assert "samples.npz: missing or damaged" in ran.err
    # Without samples nothing of them is left behind.
    assert cli(*command, "--set", "samples=0").code == 0
    assert not (tmp_path / "out/0/samples.npz").exists()
    plain = read_json(tmp_path / "out/summary.json")
    assert plain["d50"]["this_image"] is None
    # The doubt of the number comes from all candidates' chances, with or without samples.
    assert plain["estimates"]["count"]["this_image"] == summary["estimates"]["count"]["this_image"]


@pytest.mark.parametrize(
    ("noise", "why"), [(0, "the image is constant; nothing was found"), (3, "no particle was found: the ")]
)
def test_the_terminal_says_why_nothing_was_found(cli, tmp_path, noise, why):
    grey = np.random.default_rng(1).normal(90, noise, (120, 140))
    write_tiff(tmp_path / "blank.tif", grey.astype(np.uint8))
    ran = cli("measure", tmp_path / "blank.tif", "-o", tmp_path / "out", "--scale", "metadata", "-j", 1)
    assert ran.code == 0
    first, second, third = ran.out.splitlines()[:3]
    assert first.startswith("blank: 0 particles, no D50")
    assert second.startswith(f"    {why}")
    assert third.startswith("method: ")
