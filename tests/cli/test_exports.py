"""`segmetry measure --export`: the files for other programs, and that `--resume` knows them."""

import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from cli_images import PIXEL_NM, column, leftovers, read_json, read_rows, three_disks, write_tiff

from segmetry.io.exports import EXPORTS

FAST = ("-m", "otsu", "--scale", "metadata", "--jobs", "1")
ALL = tuple(word for name in EXPORTS for word in ("--export", name))


@pytest.fixture
def path(tmp_path):
    return write_tiff(tmp_path / "in/a.tif", three_disks())


def exported(folder):
    """Return the names of the exports that a folder holds."""
    return [name for name, export in EXPORTS.items() if (folder / export.file).is_file()]


def test_every_export_holds_the_particles_of_the_table(cli, path, tmp_path):
    ran = cli("measure", path, "-o", tmp_path / "out", *FAST, *ALL, "--export", "rois")
    assert (ran.code, ran.err) == (0, "")
    folder = tmp_path / "out/a"
    assert exported(folder) == ["rois", "coco", "geojson", "parquet"]
    rows = read_rows(folder / "regions.csv")
    n_pixels = [round(a / PIXEL_NM**2) for a in column(rows, "area")]
    coco = read_json(folder / "coco.json")
    assert coco["images"][0]["file_name"] == "a.tif"
    assert [a["area"] for a in coco["annotations"]] == n_pixels
    with zipfile.ZipFile(folder / "rois.zip") as archive:
        assert archive.namelist() == [f"{int(r['label']):05d}.roi" for r in rows]
    features = json.loads((folder / "outlines.geojson").read_text(encoding="utf-8"))["features"]
    assert [f["properties"]["measurements"]["area [nm^2]"] for f in features] == pytest.approx(column(rows, "area"))
    table = pd.read_parquet(folder / "regions.parquet")
    assert table["area"].to_numpy() == pytest.approx(column(rows, "area"))
    assert leftovers(tmp_path / "out") == []


@pytest.mark.slow
def test_resume_makes_an_export_that_is_missing(cli, path, tmp_path):
    write_tiff(tmp_path / "in/b.tif", three_disks(1))

    def done_again(*options):
        ran = cli("measure", tmp_path / "in", "-o", tmp_path / "out", *FAST, "--resume", *options)
        assert ran.code == 0, ran.err
        return [r["folder"] for r in read_json(tmp_path / "out/run.json")["images"] if not r["resumed"]]

    assert done_again() == ["a", "b"]
    assert done_again("--export", "coco") == ["a", "b"], "not there yet"
    assert done_again("--export", "coco") == []
    (tmp_path / "out/b/coco.json").unlink()
    assert done_again() == [], "not asked for"
    assert done_again("--export", "coco", "--export", "parquet") == ["a", "b"]
    (tmp_path / "out/b/regions.parquet").unlink()
    assert done_again("--export", "parquet") == ["b"]
    assert exported(tmp_path / "out/a") == ["coco", "parquet"]


@pytest.mark.slow
def test_an_export_of_an_older_result_does_not_stay(cli, path, tmp_path):
    assert cli("measure", path, "-o", tmp_path / "out", *FAST, *ALL).code == 0
    (tmp_path / "out/a/mine.txt").write_text("mine")
    assert cli("measure", path, "-o", tmp_path / "out", *FAST, "--export", "coco").code == 0
    assert exported(tmp_path / "out/a") == ["coco"]
    assert (tmp_path / "out/a/mine.txt").read_text() == "mine"
    path.write_bytes(b"")
    assert cli("measure", path, "-o", tmp_path / "out", *FAST, "--export", "coco").code == 2
    assert [p.name for p in (tmp_path / "out/a").iterdir()] == ["mine.txt"]


def test_a_misspelled_export_is_said_before_any_work(cli, path, tmp_path):
    ran = cli("measure", path, "-o", tmp_path / "out", *FAST, "--export", "geojsn")
    assert ran.code == 2
    assert "did you mean 'geojson'?" in ran.err
    assert not (tmp_path / "out").exists()


def test_what_a_format_cannot_hold_fails_in_one_line(cli, tmp_path):
    volume = np.full((20, 40, 50), 180, np.uint8)
    volume[5:14, 10:20, 10:20] = 60
    np.save(tmp_path / "box.npy", volume)
    arguments = ("measure", tmp_path / "box.npy", "-m", "otsu", "--jobs", 1)
    assert cli(*arguments, "-o", tmp_path / "1", "--export", "rois", "--export", "parquet").code == 0
    assert exported(tmp_path / "1/box") == ["rois", "parquet"]
    ran = cli(*arguments, "-o", tmp_path / "2", "--export", "coco")
    assert ran.code == 2
    assert len(ran.err.strip().splitlines()) == 1
    assert "COCO holds flat images only" in ran.err
    assert not (tmp_path / "2/box").exists(), "nothing half written stays"
