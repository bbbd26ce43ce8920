"""`segment`, `info`, `methods`, `measures`, `simulate` and `demo`."""

import csv
import json
import math
import re

import numpy as np
import pytest
import tifffile
from cli_images import THREE, leftovers, read_json, read_rows, three_disks, write_png, write_tiff

from segmetry.measure import MEASURES
from segmetry.segment import METHODS
from segmetry.synth import simulate


class TestSegment:
    def test_it_writes_label_images_only(self, cli, tmp_path):
        write_tiff(tmp_path / "in/a.ome.tif", three_disks())
        write_tiff(tmp_path / "in/b.tif", three_disks(1), nm=None)
        ran = cli("segment", tmp_path / "in", "-o", tmp_path / "out", "-m", "otsu", "--scale", "metadata", "-j", 1)
        assert ran.code == 0
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.tif", "b.tif"]
        assert ran.out.split() == [str(tmp_path / "out/a.tif"), str(tmp_path / "out/b.tif")]
        with tifffile.TiffFile(tmp_path / "out/a.tif") as file:
            labels, ome = file.asarray(), file.ome_metadata
        assert sorted(np.unique(labels)) == [0, 1, 2, 3]
        for row, col, radius in THREE:
            label = labels[round(row), round(col)]
            assert label > 0
            assert (labels == label).sum() == pytest.approx(math.pi * radius**2, rel=0.04)
        assert re.search(r'PhysicalSizeX="0\.5\d*"', ome) or re.search(r'PhysicalSizeX="0\.0005\d*"', ome)
        with tifffile.TiffFile(tmp_path / "out/b.tif") as file:
            assert "PhysicalSizeX" not in (file.ome_metadata or ""), "unknown is not written as 1"

    def test_they_are_the_labels_of_measure(self, cli, tmp_path):
        path = write_tiff(tmp_path / "a.tif", three_disks())
        assert cli("segment", path, "-o", tmp_path / "s").code == 0
        assert cli("measure", path, "-o", tmp_path / "m").code == 0
        assert np.array_equal(tifffile.imread(tmp_path / "s/a.tif"), tifffile.imread(tmp_path / "m/a/labels.tif"))

    def test_options_and_recipe(self, cli, tmp_path):
        path = write_tiff(tmp_path / "a.tif", three_disks())
        (tmp_path / "r.yaml").write_text("segment: {method: otsu, min_size: 600}\nread: {scale: none}\n")
        assert cli("segment", path, "-o", tmp_path / "1", "--recipe", tmp_path / "r.yaml").code == 0
        assert tifffile.imread(tmp_path / "1/a.tif").max() == 2
        assert (
            cli("segment", path, "-o", tmp_path / "2", "-m", "otsu", "--scale", "none", "--set", "min_size=1000").code
            == 0
        )
        assert tifffile.imread(tmp_path / "2/a.tif").max() == 1

    def test_it_never_writes_over_an_image_that_it_reads(self, cli, tmp_path):
        path = write_tiff(tmp_path / "a.tif", three_disks())
        before = path.read_bytes()
        ran = cli("segment", path, "-o", tmp_path, "-m", "otsu")
        assert ran.code == 2
        assert "overwrite" in ran.err
        assert ran.err.count("\n") == 1
        assert path.read_bytes() == before
        write_png(tmp_path / "b.png", three_disks())
        assert cli("segment", tmp_path / "b.png", "-o", tmp_path, "-m", "otsu").code == 0
        assert tifffile.imread(tmp_path / "b.tif").max() == 3

    def test_failures(self, cli, tmp_path):
        (tmp_path / "bad.tif").write_bytes(b"II*")
        path = write_tiff(tmp_path / "good.tif", three_disks())
        ran = cli(
            "segment",
            tmp_path / "bad.tif",
            path,
            "-o",
            tmp_path / "out",
            "-m",
            "otsu",
            "--scale",
            "none",
            "--json",
            "-j",
            1,
        )
        assert ran.code == 1
        data = json.loads(ran.out)
        assert data["labels"] == [str(tmp_path / "out/good.tif")]
        assert data["failures"][0]["path"] == str(tmp_path / "bad.tif")
        assert "bad.tif" in ran.err
        assert "Traceback" not in ran.err
        assert [p.name for p in (tmp_path / "out").iterdir()] == ["good.tif"]


class TestInfo:
    def test_what_is_in_a_file_and_where_it_was_found(self, cli, tmp_path):
        path = write_tiff(tmp_path / "a.tif", three_disks())
        ran = cli("info", path)
        assert ran.code == 0
        for word in (str(path), "130", "150", "uint8", "0.5", "nm", "ImageJ"):
            assert word in ran.out, word
        assert list(tmp_path.iterdir()) == [path], "it only looks"

    def test_unknown_is_said(self, cli, tmp_path):
        path = write_png(tmp_path / "a.png", three_disks())
        ran = cli("info", path)
        assert ran.code == 0
        assert "unknown" in ran.out or "not calibrated" in ran.out
        assert "none found" in ran.out, "no scale bar"

    def test_json(self, cli, tmp_path):
        made = simulate("bf-tem", seed=3, frame_shape=(360, 420), pixel_size=0.8, n=12, median_diameter=24, bar="line",
                        calibrated=False, edges="inside")  # fmt: skip
        write_png(tmp_path / "bar.png", made.image.pixels)
        write_tiff(tmp_path / "plain.tif", three_disks())
        ran = cli("info", tmp_path / "bar.png", tmp_path / "plain.tif", "--json")
        assert ran.code == 0
        bar, plain = json.loads(ran.out)
        assert bar["file"] == str(tmp_path / "bar.png")
        text = json.dumps(bar, ensure_ascii=False)
        assert f"{made.scale_bar.value:g} {made.scale_bar.unit}" in text
        assert "metadata" in json.dumps(plain)

    def test_a_bad_file_among_good_ones(self, cli, tmp_path):
        (tmp_path / "bad.tif").write_bytes(b"")
        path = write_tiff(tmp_path / "good.tif", three_disks())
        ran = cli("info", tmp_path / "bad.tif", path)
        assert ran.code == 1
        assert "good.tif" in ran.out
        assert "bad.tif" in ran.err
        assert len(ran.err.splitlines()) == 1
        assert cli("info", tmp_path / "bad.tif").code == 2
        assert cli("info", tmp_path / "none.tif").code == 2
        assert cli("info", path, "--scale", "metdata").code == 2
        assert cli("info", path, "--pixel-size", "0 nm").code == 2


class TestTables:
    def test_methods(self, cli):
        ran = cli("methods")
        assert ran.code == 0
        names = [line.split()[0] for line in ran.out.splitlines() if line and not line.startswith("Options")]
        assert names == list(METHODS)
        assert {"threshold", "otsu", "multi-otsu", "local", "hybrid", "hybrid-literal", "ndnt"} <= set(names)
        assert set(json.loads(cli("methods", "--json").out)) == set(METHODS)

    @pytest.mark.parametrize("name", METHODS)
    def test_options_of_a_method(self, cli, name):
        text = cli("methods", name)
        assert text.code == 0
        data = json.loads(cli("methods", name, "--json").out)[name]
        for option in data["options"]:
            assert option["name"] in text.out
            assert len(option["meaning"]) > 9

    def test_a_method_that_is_none(self, cli):
        ran = cli("methods", "hybird")
        assert (ran.code, ran.out) == (2, "")
        assert "'hybrid'" in ran.err

    def test_measures(self, cli):
        ran = cli("measures")
        assert ran.code == 0
        assert [n for n in MEASURES if n not in ran.out] == []
        data = {row["name"]: row for row in json.loads(cli("measures", "--json").out)}
        assert (data["area"]["unit"], data["feret_max"]["unit"], data["circularity"]["unit"]) == ("nm^2", "nm", "")

    def test_version(self, program):
        import segmetry

        assert segmetry.__version__ in program("--version").out


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder with two simulated images of seed 5."""
    from segmetry.cli import main

    folder = tmp_path_factory.mktemp("simulated")
    assert main(["simulate", "particles", "-n", "2", "-o", str(folder / "two"), "--seed", "5"]) == 0
    return folder


class TestSimulate:
    def files(self, folder):
        return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    def test_images_labels_and_truth_of_the_same_names(self, made):
        folder = made / "two"
        assert leftovers(folder) == []
        stems = {
            part: sorted({p.name.split(".")[0] for p in (folder / part).iterdir()})
            for part in ("images", "labels", "truth")
        }
        assert len(stems["images"]) == 2
        assert stems["images"] == stems["labels"] == stems["truth"]
        for stem in stems["images"]:
            image, labels = (tifffile.imread(folder / part / f"{stem}.tif") for part in ("images", "labels"))
            assert image.shape == labels.shape
            truth = read_rows(folder / "truth" / f"{stem}.csv")
            visible = set(np.unique(labels).tolist()) - {0}
            assert visible <= {int(r["label"]) for r in truth}
            assert visible
            facts = read_json(folder / "truth" / f"{stem}.json")
            assert facts["pixel_size"]["value"] > 0
            assert facts["population"]["d50"] > 0
            assert facts["parameters"]["seed"] is not None
            # A particle that shows whole has the area that the table says.
            for row in truth:
                if (
                    float(row["visible_fraction"]) > 0.999
                    and float(row["area"]) > 300 * facts["pixel_size"]["value"] ** 2
                ):
                    drawn = (labels == int(row["label"])).sum() * facts["pixel_size"]["value"] ** 2
                    assert drawn == pytest.approx(float(row["area"]), rel=0.06)

    def test_same_seed_same_bytes_other_seed_other_images(self, made, cli):
        assert cli("simulate", "particles", "-n", 2, "-o", made / "again", "--seed", 5).code == 0
        assert self.files(made / "again") == self.files(made / "two")
        assert cli("simulate", "particles", "-n", 1, "-o", made / "other", "--seed", 6).code == 0
        (other,) = (made / "other/images").iterdir()
        assert other.read_bytes() not in self.files(made / "two").values()

    def test_an_image_does_not_depend_on_how_many_are_made(self, made, cli):
        ran = cli("simulate", "particles", "-n", 1, "-o", made / "one", "--seed", 5)
        assert ran.code == 0
        one, two = self.files(made / "one"), self.files(made / "two")
        assert len(one) * 2 == len(two)
        assert one.items() <= two.items()

    def test_what_cannot_be(self, cli, tmp_path):
        (tmp_path / "taken").write_text("mine")
        for arguments in (("-n", 0, "-o", tmp_path / "x"), ("-n", 1, "--seed", -1, "-o", tmp_path / "x"), ("-n", 1),
                          ("-n", "many", "-o", tmp_path / "x"), ("-n", 1, "-o", tmp_path / "taken")):  # fmt: skip
            ran = cli("simulate", "particles", *arguments)
            assert ran.code == 2
            assert len(ran.err.splitlines()) == 1

    @pytest.mark.slow
    def test_what_is_simulated_can_be_measured(self, made, cli, tmp_path):
        assert cli("measure", made / "two/images", "-o", tmp_path / "out").code == 0
        summary = read_json(tmp_path / "out/summary.json")
        assert summary["n_images"] == 2
        for row in summary["images"]:
            stem = row["folder"]
            true = read_json(made / f"two/truth/{stem}.json")["pixel_size"]
            if row["pixel_size"]["value"] is not None:
                metres = {"nm": 1e-9, "µm": 1e-6}
                found = row["pixel_size"]["value"] * metres[row["pixel_size"]["unit"]]
                assert found == pytest.approx(true["value"] * metres[true["unit"]], rel=0.05), (
                    "a wrong scale is worse than none"
                )


@pytest.mark.slow
def test_demo(program, tmp_path):
    """Found beside true: every interval holds the truth it is for, and all 24 coins are there."""
    ran = program("demo", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert "Traceback" not in ran.err
    report = re.search(r"open (\S+)", ran.out)
    assert report
    assert (tmp_path / report.group(1)).is_file(), "names the report to open"
    assert (tmp_path / "demo/micrograph/report.html").is_file()
    numbers = {}
    for line in ran.out.splitlines():
        cells = re.split(r"\s{2,}", line.strip())
        if len(cells) == 3:
            numbers[cells[0]] = cells[1:]
    assert numbers["coins"] == ["24", "24"]
    found, true = numbers["pixel size, nm"]
    assert float(found) == pytest.approx(float(true), rel=0.02)
    found, true = map(int, numbers["whole particles in the frame"])
    assert found == pytest.approx(true, rel=0.1)
    intervals = [k for k in numbers if "population" in k]
    assert len(intervals) == 3
    for key in intervals:
        value, low, high = map(float, re.findall(r"[\d.]+", numbers[key][0]))
        assert low < value < high
        assert low < float(numbers[key][1]) < high, f"{key}: {numbers[key]}"


def test_the_table_opens_in_a_spreadsheet(cli, tmp_path):
    """Plain CSV: one header, as many fields in each row, numbers with a point."""
    path = write_tiff(tmp_path / "a.tif", three_disks())
    assert cli("measure", path, "-o", tmp_path / "out", "-m", "otsu", "--scale", "metadata", "-j", 1).code == 0
    with (tmp_path / "out/a/regions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 4
    assert len({len(r) for r in rows}) == 1
    assert len(set(rows[0])) == len(rows[0]), "no column twice"
    assert rows[0][0] == "label"
    assert [r[0] for r in rows[1:]] == ["1", "2", "3"]
    for name in ("area", "equivalent_diameter", "centroid-0", "centroid-1", "feret_max", "circularity", "aspect_ratio",
                 "perimeter", "solidity", "intensity_mean", "nearest_neighbour_distance", "edge_weight"):  # fmt: skip
        assert all(math.isfinite(float(r[rows[0].index(name)])) for r in rows[1:]), name
