"""The page as a browser sees it: whole, offline, safe, and with the numbers of the result."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from segmetry.errors import OptionError, WriteError
from segmetry.measure import measure, summarise
from segmetry.pipeline import analyse
from segmetry.recipe import Recipe
from segmetry.report import report, write_batch, write_result
from segmetry.report.page import method_words, warnings_of
from segmetry.report.prose import batch_paragraph, methods_paragraph
from segmetry.report.several import as_batch
from segmetry.report.text import format_estimate
from segmetry.types import Calibration, Estimate, Image

VOID = {"meta", "img", "input", "br", "hr", "link", "path", "use", "circle", "rect", "line", "polyline", "polygon"}
EVIL = "<script>alert(1)</script> & \"quotes' $x$"


class Page(HTMLParser):
    """Collects what a browser would load, show and name; fails on tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.images_without_words = 0
        self.labels_for: list[str] = []
        self.styles: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self._note(tag, dict(attrs))

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self._note(tag, dict(attrs))

    def _note(self, tag, attrs):
        if attrs.get("id"):
            self.ids.append(attrs["id"])
        if tag == "a":
            self.links.append(attrs.get("href", ""))
        else:
            self.loads += [
                v for k, v in attrs.items() if k in ("src", "href", "xlink:href", "srcset", "data", "poster")
            ]
        if attrs.get("style"):
            self.styles.append(attrs["style"])
        if tag == "img" and "alt" not in attrs:
            self.images_without_words += 1
        if tag == "label":
            self.labels_for.append(attrs["for"])

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] in ("style",):
            self.styles.append(data)
        elif not (self.open and self.open[-1] == "script"):
            self.words.append(data)


def check(path: Path) -> Page:
    """Return a page after the checks that hold for every page."""
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert all(load.startswith(("data:image/", "#")) for load in page.loads), page.loads
    assert not [s for s in page.styles if "@import" in s or re.search(r"url\(\s*['\"]?(?!#)", s)]
    assert all(link.startswith(("#", "https://doi.org/")) or "//" not in link for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    anchors = [link[1:] for link in page.links if link.startswith("#")]
    assert set(anchors) <= set(page.ids)
    assert set(page.labels_for) <= set(page.ids)
    assert {load[1:] for load in page.loads if load.startswith("#")} <= set(page.ids)
    assert page.images_without_words == 0
    assert page.tags.count("h1") == 1
    assert "nan" not in page.text.lower().split()
    assert len(text) < 3_000_000
    return page


def test_page_of_one_image_holds_its_numbers(make_result, tmp_path):
    result = make_result(40)
    page = check(report(result, tmp_path / "page.html"))
    for key in ("d10", "d50", "d90", "aspect_ratio"):
        e = result.estimates[key]
        value, _, rest = format_estimate(e.value, e.low, e.high, e.unit).partition(" ")
        assert value in page.text
        assert rest[rest.index("[") :] in page.text
    number = result.distributions["number"]
    assert f"{number.n} particles counted" in page.text
    assert "0.5200 nm ± 0.40 %" in page.text
    assert "Scale bar read as 50 nm = 96.2 px" in page.text
    assert "method: otsu" in page.text
    assert "ab" * 32 in page.text
    assert "cd" * 32 in page.text
    assert "numpy 2.4.6" in page.text
    assert page.tags.count("path") > len(result.table)


def test_result_leaves_its_files(make_result, tmp_path):
    files = write_result(make_result(40), tmp_path / "new" / "folder")
    names = {f.relative_to(tmp_path / "new" / "folder").as_posix() for f in files}
    assert {"overlay.png", "report.html", "figures/size-distribution.svg", "figures/radial-distribution.svg"} <= names
    assert sorted(p for p in (tmp_path / "new" / "folder").rglob("*") if p.is_file()) == sorted(files)
    for file in files:
        if file.suffix == ".svg":
            ElementTree.fromstring(file.read_bytes())
    check(tmp_path / "new" / "folder" / "report.html")


@pytest.mark.slow
def test_same_result_gives_the_same_bytes(make_result, tmp_path):
    for folder in ("a", "b"):
        write_result(make_result(25), tmp_path / folder)
    for first in sorted(p for p in (tmp_path / "a").rglob("*") if p.is_file()):
        assert first.read_bytes() == (tmp_path / "b" / first.relative_to(tmp_path / "a")).read_bytes(), first.name


@pytest.mark.parametrize(
    ("low", "high", "counting", "words"),
    [
        (9.0, 11.0, 1.0, "takes about 160 particles, 120 more than the 40 counted."),
        (9.8, 10.2, 1.0, "is reached: of the 40 counted, about 7 would do."),
        (9.0, 11.0, 0.2, "is out of reach: segmentation and pixel size alone give ±8.9 %: counting"),
        (float("nan"), float("nan"), 1.0, ": no interval to start from: measure a few more particles first."),
    ],
)
def test_page_says_how_many_particles_a_precision_takes(make_result, tmp_path, low, high, counting, words):
    """Half-widths shrink with the root: 40 (10 / 5)^2 = 160, 40 (2 / 5)^2 = 6.4; what is left is sqrt(.8) 10 %."""
    result = make_result(40)
    d50 = Estimate(
        "d50", 10.0, low, high, "nm", contributions={"counting": counting, "calibration": 1 - counting}, n=40
    )
    result = dataclasses.replace(result, estimates=result.estimates | {"d50": d50})
    page = check(report(result, tmp_path / "page.html"))
    assert f"D50 within ±5 % (95 % interval){words if words[0] == ':' else ' ' + words}" in page.text
    assert "D50 within" not in check(report(make_result(0), tmp_path / "none.html")).text


def test_text_from_files_cannot_become_markup(make_result, make_batch, tmp_path):
    result = make_result(12, name=EVIL, notes=(EVIL, f"WARNING: {EVIL}"))
    calibration = dataclasses.replace(result.image.calibration, detail=EVIL)
    result = dataclasses.replace(result, image=result.image.replace(calibration=calibration))
    result.table.attrs["units"]["equivalent_diameter"] = EVIL
    result.table["shape"] = EVIL
    page = check(report(result, tmp_path / "one.html"))
    assert page.tags.count("script") == 1
    assert page.text.count("<script>alert(1)</script>") >= 5
    batch = make_batch([result], folders=["folder/<b>"], failures=[{"path": EVIL, "error": EVIL}])
    page = check(report(batch, tmp_path / "all.html"))
    assert page.tags.count("script") == 1
    assert page.text.count("<script>alert(1)</script>") >= 3


def test_no_particles(make_result, tmp_path):
    result = make_result(0, calibrated=False)
    page = check(report(result, tmp_path / "page.html"))
    assert "Nothing counted" in page.text
    assert "No particles were found." in page.text
    assert "No pixel size" in page.text
    assert {f.name for f in write_result(result, tmp_path / "out")} == {"overlay.png", "report.html"}


def test_one_particle(make_result, tmp_path):
    labels = np.zeros((60, 80), np.int32)
    labels[20:40, 30:50] = 1
    page = check(report(make_result(labels=labels, bar=False), tmp_path / "page.html"))
    assert "1 particle counted" in page.text
    assert "Only 1 particle counted" in page.text
    assert "nm</strong>.\n" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "g(r) is not drawn" in page.text
    assert "No scale bar was read." in page.text


def test_uncalibrated_says_so_and_stays_in_pixels(make_result, tmp_path):
    page = check(report(make_result(40, calibrated=False), tmp_path / "page.html"))
    assert "every length on this page is in pixels" in page.text
    assert " nm" not in page.text.replace("0.52 nm", "")


def test_warnings_come_first_and_only_where_due(make_result, tmp_path):
    assert warnings_of(make_result(40)) == []
    note = "WARNING: the bar and the metadata differ by 12 %."
    loud = check(report(make_result(40, notes=(note,)), tmp_path / "b.html"))
    assert loud.text.index("differ by 12 %") < loud.text.index("Outlines and numbers")
    assert loud.text.count("differ by 12 %") == 1
    assert "WARNING" not in loud.text


def test_metadata_and_bar_that_disagree_are_said(make_result):
    result = make_result(40)  # the bar says 0.5198 nm
    for size, unit, loud in ((0.60, "nm", True), (0.54, "nm", False), (6e-4, "µm", True), (5.2e-4, "µm", False)):
        calibration = Calibration((size, size), unit, 0.0, "metadata", "XResolution")
        changed = dataclasses.replace(result, image=result.image.replace(calibration=calibration))
        said = [w for w in warnings_of(changed) if "differ by" in w]
        assert len(said) == loud
        assert all("differ by 13 %" in w for w in said)


def test_bar_and_pixels_that_are_not_square_agree_along_the_rows(make_result):
    calibration = Calibration((1.04, 0.52), "nm", 0.0, "metadata", "tag")
    result = make_result(40)  # the bar says 0.5198 nm
    changed = dataclasses.replace(result, image=result.image.replace(calibration=calibration))
    assert not any("differ by" in w for w in warnings_of(changed))
    text = methods_paragraph(changed).text
    assert "(260 × 200 px)" in text
    assert "0.5200 × 1.040 nm (x × y)" in text, "in the order of the image's own size"


@pytest.mark.parametrize("pick", ["all", "inside"])
def test_paragraph_knows_whether_cut_particles_counted(pick):
    rows, cols = np.indices((120, 160))
    pixels = np.full(rows.shape, 50, np.uint8)
    for row, col in ((0, 40), (60, 40), (60, 80), (60, 120), (119, 100)):
        pixels[(rows - row) ** 2 + (cols - col) ** 2 <= 100] = 200
    recipe = Recipe.build("otsu", options={"pick": pick, "edge_correction": False})
    result = analyse(Image(pixels), recipe)
    text = methods_paragraph(result).text
    assert result.table["touches_edge"].any() == (pick == "all")
    assert ("those that touch the frame among them" in text) == (pick == "all")


def test_a_particle_under_text_is_not_said_to_touch_the_frame(tmp_path):
    rows, cols = np.indices((120, 160))
    pixels, ignore = np.full(rows.shape, 50, np.uint8), np.zeros(rows.shape, bool)
    for row, col in ((60, 40), (60, 80), (60, 120)):
        pixels[(rows - row) ** 2 + (cols - col) ** 2 <= 100] = 200
    ignore[52:56, 118:122] = True
    result = analyse(Image(pixels, ignore=ignore), Recipe.build("otsu"))
    assert result.distributions["number"].n_dropped == 1
    assert not result.table["touches_edge"].any()
    page = check(report(result, tmp_path / "page.html")).text
    assert "1 more not seen whole" in page
    assert "0 particles that touch it dropped" in page
    assert "touched the frame" not in page
    assert "touches the frame" not in page


def test_paragraph_of_a_batch_says_which_images_are_not_in_the_statistics(make_result):
    batch = as_batch([make_result(40), make_result(20, calibrated=False, name="b")])
    assert batch.notes[0].capitalize() in batch_paragraph(batch).text


def test_paragraph_of_a_volume_speaks_of_balls():
    labels = np.zeros((24, 60, 60), np.int32)
    grid = np.indices(labels.shape)
    for k, centre in enumerate(((12, 15, 15), (12, 15, 45), (12, 45, 15), (12, 45, 45)), start=1):
        labels[sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= 49] = k
    pixels = np.where(labels > 0, 200, 50).astype(np.uint8)
    spacing = Calibration((2.0, 1.0, 1.0), "nm", 0.01, "user")
    text = methods_paragraph(analyse(Image(pixels, calibration=spacing), Recipe.build("otsu"))).text
    assert "ball of equal volume" in text
    assert "circle" not in text
    assert "(D − 1 − Fz)" in text
    assert "1.000 × 1.000 × 2.000 nm (x × y × z)" in text
    unknown = as_batch([analyse(Image(pixels), Recipe.build("otsu"))])
    assert "ball of equal volume" in batch_paragraph(unknown).text, "also without a pixel size"


def test_saturated_particles_are_said(make_result):
    result = make_result(40)
    result.table["saturated"] = np.arange(len(result.table)) < 10
    assert any(f"10 of {len(result.table)} particles hold saturated pixels" in w for w in warnings_of(result))
    result.table["saturated"] = np.arange(len(result.table)) < 3
    assert not any("saturated" in w for w in warnings_of(result))


@pytest.mark.slow
def test_a_hundred_thousand_particles_make_a_light_page(make_result, tmp_path):
    result = make_result(40)
    table = pd.concat([result.table] * 2500, ignore_index=True)
    table["label"] = np.arange(1, len(table) + 1)
    table.attrs = result.table.attrs
    page = check(report(dataclasses.replace(result, table=table), tmp_path / "page.html"))
    assert page.tags.count("tr") < 100
    assert f"The first 20 of {len(table)} particles" in page.text
    assert (tmp_path / "page.html").stat().st_size < 1_500_000


def test_volume_shows_the_plane_that_objects_fill_most(make_result, tmp_path):
    flat = make_result(20)
    labels = np.zeros((5, *flat.segmentation.labels.shape), np.int32)
    labels[3] = flat.segmentation.labels
    pixels = np.zeros(labels.shape, np.uint8)
    pixels[3] = flat.image.pixels
    image = Image(pixels, "ZYX", Calibration((0.5, 0.5, 0.5), "nm", 0.0, "user"), "volume")
    volume = dataclasses.replace(
        flat,
        image=image,
        segmentation=dataclasses.replace(flat.segmentation, labels=labels),
        annotations=dataclasses.replace(flat.annotations, scale_bar=None),
        radial=None,
    )
    page = check(report(volume, tmp_path / "page.html"))
    assert "plane 4 of 5" in page.text


@pytest.mark.slow
def test_page_over_a_batch(make_result, make_batch, tmp_path):
    results = [make_result(n, name=f"image {n}") for n in (5, 20, 40)]
    results.append(make_result(0, calibrated=False, name="blank"))
    batch = make_batch(results, folders=["a", "b c", "d#1", "e"])
    for result, folder in zip(results, ("a", "b c", "d#1", "e"), strict=True):
        write_result(result, tmp_path / folder)
    files = write_batch(batch, tmp_path)
    assert {f.relative_to(tmp_path).as_posix() for f in files} == {
        "report.html", "figures/size-distribution.svg", "figures/d50-per-image.svg",
    }  # fmt: skip
    page = check(tmp_path / "report.html")
    assert [link for link in page.links if link.endswith("report.html")] == [
        "a/report.html", "b%20c/report.html", "d%231/report.html", "e/report.html",
    ]  # fmt: skip
    assert page.tags.count("img") == 4
    assert "bad.tif: the file is empty." in page.text
    assert "not calibrated" in page.text
    assert "4 images" in page.text
    assert "1 image failed" in page.text
    e = results[2].estimates["d50"]
    assert format_estimate(e.value, e.low, e.high).partition(" ")[0] in page.text


def test_batch_without_any_result(make_result, make_batch, tmp_path):
    batch = dataclasses.replace(make_batch([make_result(5)]), rows=[], distributions={}, estimates={})
    page = check(report(batch, tmp_path / "all.html"))
    assert "bad.tif" in page.text


@pytest.mark.slow
def test_several_results_get_a_page_each_and_one_over_all(make_result, tmp_path):
    results = [make_result(n, name="same/name") for n in (12, 20)]
    page = check(report(iter(results), tmp_path / "all"))
    assert page.links.count("same_name/report.html") == 1
    assert page.links.count("same_name-2/report.html") == 1
    for folder, result in zip(("same_name", "same_name-2"), results, strict=True):
        own = check(tmp_path / "all" / folder / "report.html")
        assert f"{result.distributions['number'].n} particles counted" in own.text
    n = sum(r.distributions["number"].n for r in results)
    assert f"The other {n} particles entered" in page.text or f"the other {n} particles entered" in page.text


def test_pool_over_images_is_in_one_unit(make_result):
    fine = make_result(30)
    coarse = make_result(30)
    micro = Calibration((0.52e-3, 0.52e-3), "µm", 0.004, "scale bar", "0.05 µm")
    image = coarse.image.replace(calibration=micro)
    table = measure(coarse.segmentation, image)
    coarse = dataclasses.replace(coarse, image=image, table=table)
    one, both = (as_batch(r).estimates["d50"] for r in ([fine, fine], [fine, coarse]))
    assert both.unit == "nm"
    assert both.value == pytest.approx(one.value, rel=1e-9)
    left_out = as_batch([fine, make_result(30, calibrated=False)])
    assert left_out.estimates["d50"].value == pytest.approx(fine.estimates["d50"].value)
    assert any("1 image without a pixel size is left out" in note for note in left_out.notes)


@pytest.mark.slow
def test_thousand_images_make_a_page_that_opens(make_result, make_batch, tmp_path):
    one = make_result(20)
    write_result(one, tmp_path / "gold")
    batch = make_batch([one])
    page = check(report(dataclasses.replace(batch, rows=batch.rows * 1000), tmp_path / "all.html"))
    assert page.tags.count("img") == 400
    assert "first 400 images" in page.text


@pytest.mark.slow
def test_path_may_be_a_folder(make_result, tmp_path):
    result = make_result(3)
    for given, written in (("folder", "folder/report.html"), ("x/Page.HTML", "x/Page.HTML")):
        assert report(result, str(tmp_path / given)) == tmp_path / written
        assert (tmp_path / written).is_file()


@pytest.mark.parametrize("wrong", [[], 7, "result", [1, 2], None])
def test_what_is_no_result_is_refused(wrong, tmp_path):
    with pytest.raises(OptionError, match="report: give a result"):
        report(wrong, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_place_that_cannot_be_written_is_one_line(make_result, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = make_result(3)
    with pytest.raises(WriteError) as error:
        report(result, tmp_path / "file" / "report.html")
    assert "\n" not in str(error.value)
    with pytest.raises(WriteError):
        write_result(result, tmp_path / "file" / "folder")


INFO = {
    "model": {"name": "particles", "version": "1", "sha256": "ab" * 32},
    "engine": "ONNX Runtime 1.31.1, cpu",
    "can_sample": True,
    "expected_right": 0.934,
    "contours": {"on_edge": 20, "as_labelled": 10, "mean_shift_px": -0.8},
    "promise": {"kind": "false", "alpha": 0.1, "how": "Learn-then-Test", "n_groups": 49, "unit": "publication"},
}


def test_the_page_says_which_method_and_why_and_how_sure_it_is(make_result):
    result = make_result(30)
    found = dataclasses.replace(result.segmentation, method={"method": "particles"}, info=INFO)
    result = dataclasses.replace(
        result, segmentation=found, recipe=Recipe.build("particles"), why_method="the default for images"
    )
    first, *said = method_words(result)
    assert first == "particles, the default for images."
    text = " ".join(said)
    for words in ("particles 1, run by ONNX Runtime 1.31.1, cpu", "30 particles about 93 %", "20 on the edge", "10 as",
                  "--set samples=8 adds it", "at most 10 % false particles"):  # fmt: skip
        assert words in text, words
    sampled = dataclasses.replace(found, samples=(found.labels, found.labels))
    assert "2 Monte Carlo samples" in " ".join(method_words(dataclasses.replace(result, segmentation=sampled)))
    one = dataclasses.replace(found, samples=(found.labels,))
    assert "Only one Monte Carlo sample, so" in " ".join(method_words(dataclasses.replace(result, segmentation=one)))
    paragraph = methods_paragraph(result)
    for words in ("particles 1 (SHA-256 abababababab", "contours of 20 of 30 particles", "at most 10 % false particles",
                  "49 publications"):  # fmt: skip
        assert words in paragraph.text, words
    assert any(r.doi == "10.1109/CVPR.2019.00904" for r in paragraph.references)
    assert method_words(make_result(5)) == ["otsu, asked for."]


def test_no_samples_are_offered_where_none_can_be_drawn(make_result):
    result = make_result(5)
    found = dataclasses.replace(result.segmentation, info=INFO | {"can_sample": False})
    text = " ".join(method_words(dataclasses.replace(result, segmentation=found)))
    assert "lack the segmentation’s share." in text
    assert "--set" not in text


def test_paragraph_names_all_models_of_a_mean(make_result):
    result = make_result(5)
    ensemble = [INFO["model"], INFO["model"] | {"name": "mine", "sha256": "cd" * 32}]
    found = dataclasses.replace(result.segmentation, info=INFO | {"ensemble": ensemble})
    text = methods_paragraph(dataclasses.replace(result, segmentation=found)).text
    assert "particles 1 (SHA-256 abababababab…) and mine 1 (SHA-256 cdcdcdcdcdcd…), run by" in text


def test_paragraph_tells_a_fit_from_a_height(make_result):
    """Half of the height is the edge of a step only; what is fitted has other kinds of edge."""
    result = make_result(5)
    found = dataclasses.replace(result.segmentation, info=INFO)
    text = methods_paragraph(dataclasses.replace(result, segmentation=found)).text
    assert "model of a blurred edge fits" in text
    assert "half-height" not in text


@pytest.mark.parametrize("border", [0.0, 0.5])
def test_what_is_known_of_the_outlines_is_not_called_unknown(make_result, tmp_path, border):
    result = make_result(40)
    estimates = summarise(result.table, frame_shape=(200, 260), calibration=result.image.calibration, border=border)
    result = dataclasses.replace(result, estimates=estimates)
    text = report(result, tmp_path / "page.html").read_text(encoding="utf-8")
    assert ("does not say how sure its outlines are" in text) == (border == 0)
    assert ("apart from a shift that all outlines share (border)" in text) == (border > 0)
    known = "apart from a shift that all outlines share, was not known" in methods_paragraph(result).text
    assert known == (border > 0)
