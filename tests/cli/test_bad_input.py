"""What goes wrong at a microscope and on a disk: one clear line each, the batch goes on, nothing half written stays."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bad_files import MEASURED, REFUSED
from cli_images import IMAGE_FILES, disks, is_whole, leftovers, read_json, read_rows, three_disks, write_tiff

from segmetry.io.model_folder import shipped_models

OTSU = ("-m", "otsu", "--scale", "none", "--jobs", "1")
EVERYDAY = ("--jobs", "1")


def one_line(err: str) -> str:
    """Return the one line of an error, after looking that it is one."""
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("segmetry: ")
    assert "Traceback" not in err
    assert "please report" not in err.lower(), err
    assert len(lines[0]) < 1000
    return lines[0]


@pytest.mark.parametrize("bad", REFUSED, ids=lambda b: b.name)
def test_a_file_that_is_no_image(cli, tmp_path, bad):
    path = tmp_path / bad.name
    bad.write(path)
    ran = cli("measure", path, "-o", tmp_path / "out", *OTSU)
    line = one_line(ran.err)
    assert bad.name in line, "where"
    assert all(word in line for word in bad.says), line
    assert any(mark in line for mark in ";:"), "what, and the mend"
    assert ran.code in (1, 2)
    assert [p.name for p in (tmp_path / "out").iterdir() if p.is_dir() and p.name != "figures"] == []
    assert leftovers(tmp_path / "out") == []
    (row,) = read_rows(tmp_path / "out/failures.csv")
    assert row["path"] == str(path)
    assert row["error"] in line


def whole_result(cli, folder, bad, *options):
    """Return the folder of a strange image's result, after looking that it is whole."""
    path = folder / bad.name
    bad.write(path)
    ran = cli("measure", path, "-o", folder / "out", *options)
    assert (ran.code, ran.err) == (0, "")
    assert is_whole(folder / "out" / path.stem)
    return folder / "out" / path.stem


@pytest.mark.parametrize("bad", MEASURED, ids=lambda b: b.name)
def test_a_strange_image_has_a_whole_result(cli, tmp_path, bad):
    folder = whole_result(cli, tmp_path, bad, *OTSU)
    summary, rows = read_json(folder / "summary.json"), read_rows(folder / "regions.csv")
    assert summary["n"] == len(rows)
    if bad.n is not None and bad.name != "noise-only.tif":  # a global threshold finds something in anything
        assert summary["n"] == bad.n
    for name in ("d10", "d50", "d90"):
        assert name in summary
        if not rows:
            assert summary[name]["value"] is None
            assert summary[name]["low"] is None
    if not rows:
        header = (folder / "regions.csv").read_text(encoding="utf-8").splitlines()
        assert len(header) == 1
        assert header[0].startswith("label,")
        assert "equivalent_diameter" in header[0]


@pytest.mark.slow
@pytest.mark.parametrize("bad", MEASURED, ids=lambda b: b.name)
def test_a_strange_image_by_the_everyday_way(cli, tmp_path, bad):
    """The default method, and a look for scale bars."""
    folder = whole_result(cli, tmp_path, bad, *EVERYDAY)
    summary = read_json(folder / "summary.json")
    assert summary["scale_bar"] is None
    if bad.n is not None:
        assert summary["n"] == bad.n


def test_one_particle_has_a_size_and_no_interval(cli, tmp_path):
    path = write_tiff(tmp_path / "a.tif", disks((90, 90), (45.0, 45.0, 15.0)))
    assert cli("measure", path, "-o", tmp_path / "out", "-m", "otsu", "--scale", "metadata").code == 0
    d50 = read_json(tmp_path / "out/a/summary.json")["d50"]
    assert d50["value"] == pytest.approx(15.0, abs=0.5), "30 px of 0.5 nm"
    assert d50["low"] is None
    assert d50["high"] is None, "one particle says nothing about the spread of its kind"


def test_infinities_and_nan_are_said(cli, tmp_path):
    image = three_disks().astype(np.float32)
    image[110:, 120:] = np.nan
    image[0, 0] = np.inf
    np.save(tmp_path / "a.npy", image)
    assert cli("measure", tmp_path / "a.npy", "-o", tmp_path / "out", *OTSU).code == 0
    notes = " ".join(read_json(tmp_path / "out/a/summary.json")["notes"])
    assert "600" in notes, "20 x 30 pixels that are not numbers"
    assert "infinite" in notes


def test_a_batch_goes_on(cli, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    kept = [b for b in REFUSED if b.name != "bomb.png"]
    for bad in kept:
        bad.write(folder / bad.name)
    write_tiff(folder / "good.tif", three_disks())
    ran = cli("measure", folder, "-o", tmp_path / "out", *OTSU)
    assert ran.code == 1
    assert "Traceback" not in ran.err
    lines = ran.err.splitlines()
    assert len(lines) == len(kept) + 1, "a line for each, and one for all"
    for bad in kept:
        assert sum(f"/{bad.name}:" in line for line in lines) == 1, bad.name
    failures = read_rows(tmp_path / "out/failures.csv")
    assert [Path(r["path"]).name for r in failures] == sorted(b.name for b in kept)
    assert all(r["error"] and r["kind"] in ("ReadError", "ImageError") for r in failures)
    assert is_whole(tmp_path / "out/good")
    summary = read_json(tmp_path / "out/summary.json")
    assert (summary["n"], summary["n_images"], len(summary["failures"])) == (3, 1, len(kept))
    assert {p.name for p in (tmp_path / "out").iterdir() if p.is_dir()} <= {"good", "figures"}
    assert (tmp_path / "out/report.html").read_text(encoding="utf-8").count("empty.tif") >= 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(cli, tmp_path):
    path = write_tiff(tmp_path / "a.tif", three_disks())
    path.chmod(0)
    assert "permi" in one_line(cli("measure", path, "-o", tmp_path / "out", *OTSU).err)


class TestAskedWrongly:
    """Exit code 2, one line, and nothing is done."""

    def refuse(self, cli, tmp_path, *arguments, inputs=None):
        path = write_tiff(tmp_path / "micrograph.tif", three_disks())
        ran = cli("measure", *(inputs or [path]), "-o", tmp_path / "out", *arguments)
        assert ran.code == 2
        assert ran.out == ""
        assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []
        return one_line(ran.err)

    @pytest.mark.parametrize(
        "size", ["0", "0 nm", "-1", "-1 nm", "5 parsec", "abc", "", "nan nm", "inf nm", "nm", "1e999 nm"]
    )
    def test_a_pixel_size_that_is_none(self, cli, tmp_path, size):
        line = self.refuse(cli, tmp_path, "--pixel-size", size)
        assert (size.split() or ["''"])[-1] in line, "the value found"
        assert "nm" in line or "positive" in line, "the value wanted"

    @pytest.mark.parametrize(
        ("arguments", "near"),
        [
            (("-m", "otzu"), "otsu"),
            (("-m", "hybird"), "hybrid"),
            (("--set", "min_sise=20"), "min_size"),
            (("-m", "otsu", "--set", "polarty=dark"), "polarity"),
            (("-m", "otsu", "--set", "polarity=drak"), "dark"),
            (("--set", "polarity=dark"), "hybrid"),
            (("--set", "sampels=8"), "samples"),
            (("--scale", "metdata"), "metadata"),
            (("--set", "edge_corection=true"), "edge_correction"),
            (("--methd", "otsu"), "--method"),
            (("--pixelsize", "1 nm"), "--pixel-size"),
        ],
    )
    def test_a_misspelled_name_is_met_with_the_near_one(self, cli, tmp_path, arguments, near):
        assert near in self.refuse(cli, tmp_path, *arguments)

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--set", "min_size"),
            ("--set", "min_size=-5"),
            ("--set", "min_size=many"),
            ("--set", "=5"),
            ("--set", "value=[1, 2"),
            ("-m", "threshold"),
            ("--set", "level=2"),
            ("--set", "level=high"),
            ("--set", "seed=-1"),
            ("--set", "seed=1.5"),
            ("--page", "-1"),
            ("--jobs", "0"),
            ("--jobs", "two"),
        ],
        ids=" ".join,
    )
    def test_a_value_that_cannot_be(self, cli, tmp_path, arguments):
        line = self.refuse(cli, tmp_path, *arguments)
        name = arguments[-1].partition("=")[0] or "KEY=VALUE"
        assert (arguments[0] if arguments[0] in ("--page", "--jobs") else name).strip("-") in line, line

    def test_a_model_that_cannot_be_used(self, cli, tmp_path, monkeypatch):
        folder = shutil.copytree(shipped_models()["particles"], tmp_path / "model")
        given = ("--set", f"model={folder}")
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        (folder / "card.json").write_text(json.dumps(card | {"format": 99}), encoding="utf-8")
        assert "newer" in self.refuse(cli, tmp_path, *given)
        (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
        (folder / "model.onnx").write_bytes(b"not a network")
        assert "damaged" in self.refuse(cli, tmp_path, *given)
        assert "model" in self.refuse(cli, tmp_path, "--set", f"model={tmp_path / 'none'}")
        assert "0.1 % or less" in self.refuse(cli, tmp_path, "--set", "false_share=0.001")
        monkeypatch.setattr("segmetry.segment.particles.shipped_models", dict)
        line = self.refuse(cli, tmp_path, "-m", "particles")
        assert "make model" in line
        assert "-m hybrid" in line

    def test_an_input_that_is_missing(self, cli, tmp_path):
        line = self.refuse(cli, tmp_path, inputs=[tmp_path / "micrograf.tif"])
        assert "micrograf.tif" in line
        assert "micrograph.tif" in line, "offers the near name"

    def test_a_folder_without_images(self, cli, tmp_path):
        (tmp_path / "in").mkdir()
        (tmp_path / "in/notes.txt").write_text("nothing")
        assert str(tmp_path / "in") in self.refuse(cli, tmp_path, inputs=[tmp_path / "in"])

    def test_a_folder_whose_folders_hold_the_images(self, cli, tmp_path):
        write_tiff(tmp_path / "in/monday/a.tif", three_disks())
        assert "*" in self.refuse(cli, tmp_path, inputs=[tmp_path / "in"]), "shows the pattern to write"

    def test_a_pattern_that_fits_nothing(self, cli, tmp_path):
        assert "*.tiff" in self.refuse(cli, tmp_path, inputs=[tmp_path / "*.tiff"])

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            (None, "mine.yaml"),
            ("segment: [", "YAML"),
            ("- a\n- b\n", "mine.yaml"),
            ("segment: {method: otzu}", "otsu"),
            ("segment: {method: otsu, min_sise: 4}", "min_size"),
            ("segmnt: {method: otsu}", "segment"),
            ("read: {pixel_size: 0 nm}", "positive"),
            ("read: {pixel_size: 0.5}", "unit"),
            ("read: {scale: metdata}", "metadata"),
            ("read: {page: first}", "page"),
            ("measure: [area, feret_maks]", "feret_max"),
            ("measure: area", "measure"),
            ("statistics: {level: 95}", "level"),
            ("segment: {method: [otsu]}", "mine.yaml"),
            ("segment: otsu", "segment"),
            ("statistics: {seed: [1, 2]}", "seed"),
        ],
    )
    def test_a_recipe_that_cannot_be_used(self, cli, tmp_path, text, says):
        recipe = tmp_path / "mine.yaml"
        if text is not None:
            recipe.write_text(text, encoding="utf-8")
        line = self.refuse(cli, tmp_path, "--recipe", recipe)
        assert says in line
        assert "mine.yaml" in line

    def test_a_recipe_that_is_no_text(self, cli, tmp_path):
        recipe = tmp_path / "mine.yaml"
        recipe.write_bytes(bytes(range(256)))
        assert "mine.yaml" in self.refuse(cli, tmp_path, "--recipe", recipe)

    def test_an_output_that_is_a_file(self, cli, tmp_path):
        path = write_tiff(tmp_path / "a.tif", three_disks())
        (tmp_path / "taken").write_text("my notes")
        for out in (tmp_path / "taken", tmp_path / "taken/below"):
            ran = cli("measure", path, "-o", out, *OTSU)
            assert ran.code == 2
            assert "taken" in one_line(ran.err)
        assert (tmp_path / "taken").read_text() == "my notes"

    @pytest.mark.parametrize("command", ["", "measure", "simulate"])
    def test_no_arguments_show_the_help_as_it_is_laid_out(self, cli, command):
        ran = cli(*command.split())
        assert ran.code == 2
        text = ran.out + ran.err
        assert text.lstrip().startswith("Usage:")
        assert len(text.splitlines()) > 5

    def test_a_command_that_is_none(self, cli):
        ran = cli("mesure", "a.tif")
        assert ran.code == 2
        assert "measure" in one_line(ran.err)


def test_a_file_in_the_way_of_one_image(cli, tmp_path):
    write_tiff(tmp_path / "in/a.tif", three_disks(0))
    write_tiff(tmp_path / "in/b.tif", three_disks(1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").write_text("my notes")
    ran = cli("measure", tmp_path / "in", "-o", tmp_path / "out", *OTSU)
    assert ran.code == 1
    assert "Traceback" not in ran.err
    assert "please report" not in ran.err.lower()
    assert is_whole(tmp_path / "out/b")
    assert (tmp_path / "out/a").read_text() == "my notes"
    (row,) = read_rows(tmp_path / "out/failures.csv")
    assert row["folder"] == "a"
    assert row["kind"] == "WriteError"


def fill_the_disk(monkeypatch, name: str) -> None:
    """Let every write of a file whose path holds `name` fail as on a full disk, when it is put on the disk."""
    real = os.fsync

    def full(handle):
        if name in str(Path(f"/proc/self/fd/{handle}").readlink()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", full)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "name", ["summary", *(pytest.param(n, marks=pytest.mark.slow) for n in ("labels", "regions", "overlay", "report"))]
)
def test_a_disk_that_fills_up_at_any_file(cli, tmp_path, monkeypatch, name):
    """One line, exit code 1, and no folder that looks like a result."""
    path = write_tiff(tmp_path / "a.tif", three_disks())
    fill_the_disk(monkeypatch, f"out/a/.{name}")
    ran = cli("measure", path, "-o", tmp_path / "out", *OTSU)
    assert ran.code == 1, "the work failed; nothing was asked wrongly"
    assert "full" in one_line(ran.err)
    assert leftovers(tmp_path / "out") == []
    assert not (tmp_path / "out/a").exists() or not any((tmp_path / "out/a" / n).exists() for n in IMAGE_FILES)
    (row,) = read_rows(tmp_path / "out/failures.csv")
    assert row["kind"] == "WriteError"
    monkeypatch.undo()
    assert cli("measure", path, "-o", tmp_path / "out", *OTSU, "--resume").code == 0
    assert is_whole(tmp_path / "out/a")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize("name", ["regions", "summary", "report", "recipe", "run", "failures"])
def test_a_disk_that_fills_up_at_the_end_of_the_batch(cli, tmp_path, monkeypatch, name):
    path = write_tiff(tmp_path / "a.tif", three_disks())
    fill_the_disk(monkeypatch, f"out/.{name}")
    ran = cli("measure", path, "-o", tmp_path / "out", *OTSU)
    assert ran.code == 1
    assert "full" in one_line(ran.err)
    assert leftovers(tmp_path / "out") == []
    assert is_whole(tmp_path / "out/a"), "what was done stays"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
def test_files_that_may_not_grow(tmp_path):
    """A quota by the system itself: no file over 20 kB; the program must say so in a line."""
    path = write_tiff(tmp_path / "a.tif", three_disks())
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
        "from segmetry.cli import entry; sys.argv[0] = 'segmetry'; entry()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "measure", path, "-o", tmp_path / "out", *OTSU], capture_output=True, timeout=300,
        encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert 1 <= len(done.stderr.splitlines()) <= 2
    assert leftovers(tmp_path / "out") == []
    assert not (tmp_path / "out/a/summary.json").exists()


@pytest.mark.slow
def test_a_million_particles(program, tmp_path):
    """Dots of nine pixels on a grid of three: every one is counted, in memory for no more than a few copies."""
    image = np.full((4000, 4000), 20, np.uint8)
    for row in range(2):
        for col in range(2):
            image[row::4, col::4] = 220
    path = write_tiff(tmp_path / "dots.tif", image, nm=1.0)
    code = (
        "import resource, sys, runpy; sys.argv[0] = 'segmetry';"
        "from segmetry.cli import main; code = main();"
        "print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "measure", path, "-o", tmp_path / "out", "-m", "threshold", "--set", "value=120",
         "--set", "min_size=1", "--scale", "metadata", "-j", "1"],
        capture_output=True, timeout=900, encoding="utf-8",
    )  # fmt: skip
    code, peak = map(int, done.stderr.split()[-2:])
    assert code == 0, done.stderr
    summary = read_json(tmp_path / "out/dots/summary.json")
    assert summary["n"] == 1_000_000
    assert summary["d50"]["value"] == pytest.approx(2 * (4 / np.pi) ** 0.5, rel=1e-6)
    assert summary["d50"]["low"] <= summary["d50"]["value"] <= summary["d50"]["high"]
    with (tmp_path / "out/dots/regions.csv").open() as file:
        assert sum(1 for _ in file) == 1_000_001
    assert (tmp_path / "out/dots/report.html").stat().st_size < 20e6, "opens in a browser"
    assert peak < 6e6, "kB: under 6 GB"


def test_json_stays_whole_when_images_fail(cli, tmp_path):
    (tmp_path / "bad.tif").write_bytes(b"")
    write_tiff(tmp_path / "good.tif", three_disks())
    ran = cli("measure", tmp_path / "bad.tif", tmp_path / "good.tif", "-o", tmp_path / "out", *OTSU, "--json")
    assert ran.code == 1
    data = json.loads(ran.out)
    assert (data["n"], len(data["images"]), data["failures"][0]["path"]) == (3, 1, str(tmp_path / "bad.tif"))
    ran = cli("measure", tmp_path / "bad.tif", "-o", tmp_path / "out2", *OTSU, "--json")
    assert json.loads(ran.out)["n"] == 0
