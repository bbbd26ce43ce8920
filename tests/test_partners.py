"""Predictions and truths find each other by name; what is missing is said, never left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segmetry.errors import ReadError
from segmetry.partners import pair_files, read_groups, read_ids, read_properties


def save(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        np.save(folder / "x.npy", np.ones((2, 2), int))
        (folder / "x.npy").rename(folder / name)
    return folder


def names_of(partnership):
    return [(p.name, p.first.name, p.truth.name) for p in partnership.pairs]


def test_folders_are_matched_by_stem_whatever_the_suffix(tmp_path):
    first = save(tmp_path / "p", "b.tif", "a.npy", "c.png")
    truth = save(tmp_path / "t", "a.png", "b.nii.gz")
    found = pair_files(first, truth)
    assert names_of(found) == [("a", "a.npy", "a.png"), ("b", "b.tif", "b.nii.gz")]
    assert found.alone == ("c",)


def test_two_files_are_a_pair_whatever_their_names(tmp_path):
    first, truth = save(tmp_path / "p", "x.npy") / "x.npy", save(tmp_path / "t", "y.npy") / "y.npy"
    assert names_of(pair_files(first, truth)) == [("y", "x.npy", "y.npy")]


def test_folder_of_measure_is_taken(tmp_path):
    for name in "ab":
        save(tmp_path / "out" / name, "labels.tif")
    (tmp_path / "out" / "regions.csv").write_text("image\n")
    truth = save(tmp_path / "t", "a.png", "b.png")
    assert [p.first.parent.name for p in pair_files(tmp_path / "out", truth).pairs] == ["a", "b"]


def test_missing_partner_is_an_error_that_names_it(tmp_path):
    first, truth = save(tmp_path / "p", "a.npy", "bb.npy"), save(tmp_path / "t", "a.npy", "b.npy", "d.npy")
    with pytest.raises(ReadError, match="2 of 3 truths have no prediction: b, d"):
        pair_files(first, truth)
    assert [p.name for p in pair_files(first, truth, ids=["a"]).pairs] == ["a"]


def test_ids_must_have_a_truth(tmp_path):
    first, truth = save(tmp_path / "p", "a.npy"), save(tmp_path / "t", "a.npy")
    with pytest.raises(ReadError, match="1 of 2 ids have no truth"):
        pair_files(first, truth, ids=["a.png", "z"])


def test_one_name_twice_in_a_folder_is_an_error(tmp_path):
    first, truth = save(tmp_path / "p", "a.npy", "a.png"), save(tmp_path / "t", "a.npy")
    with pytest.raises(ReadError, match=r"a\.npy and a\.png"):
        pair_files(first, truth)


def test_folder_and_file_do_not_go_together(tmp_path):
    first, truth = save(tmp_path / "p", "a.npy"), save(tmp_path / "t", "a.npy") / "a.npy"
    with pytest.raises(ReadError, match="two files or two folders"):
        pair_files(first, truth)


@pytest.mark.parametrize("text", ["id\na\nb\n", "a\nb", "\ufeffimage,doi\na,1\nb,2\n"])
def test_ids_with_or_without_a_head(tmp_path, text):
    (tmp_path / "ids.csv").write_text(text, encoding="utf-8")
    assert read_ids(tmp_path / "ids.csv") == ["a", "b"]


def test_groups_take_their_name_from_the_head(tmp_path):
    (tmp_path / "g.csv").write_text("id,doi\na.png,10.1/x\nb,10.1/y\nc,10.1/x\n")
    assert read_groups(tmp_path / "g.csv", ["a", "c"]) == ("doi", ["10.1/x", "10.1/x"])
    (tmp_path / "h.csv").write_text("a,one\nb,two\n")
    assert read_groups(tmp_path / "h.csv", ["b"]) == ("group", ["two"])


@pytest.mark.parametrize(
    ("text", "says"),
    [("id,doi\na,1\n", "no group for 1 of 2 images: b"), ("a\nb\n", "two columns"), ("", "empty")],
)
def test_bad_groups(tmp_path, text, says):
    (tmp_path / "g.csv").write_text(text)
    with pytest.raises(ReadError, match=says):
        read_groups(tmp_path / "g.csv", ["a", "b"])


def test_properties_are_the_columns_of_numbers(tmp_path):
    (tmp_path / "p.csv").write_text("image,dose,operator,tilt\na.tif,40,Ann,1.5\nb,,Bob,2\nx,9,Eve,3\n")
    found = read_properties(tmp_path / "p.csv", ["b", "a", "c"])
    assert set(found) == {"dose", "tilt"}
    assert found["dose"] == pytest.approx([np.nan, 40, np.nan], nan_ok=True)
    assert found["tilt"] == pytest.approx([2, 1.5, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("text", "says"), [("image,dose\nx,4\n", "none of the 1 images"), ("image,who\na,Ann\n", "no column of numbers")]
)
def test_bad_properties(tmp_path, text, says):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(ReadError, match=says):
        read_properties(tmp_path / "p.csv", ["a"])


def test_list_that_is_not_there(tmp_path):
    with pytest.raises(ReadError, match="no such file"):
        read_ids(tmp_path / "nothing.csv")


@pytest.mark.parametrize("there", ["A", "a_mask", "pred_a"])
def test_file_under_a_like_name_is_pointed_out(tmp_path, there):
    first, truth = save(tmp_path / "p", f"{there}.npy"), save(tmp_path / "t", "a.npy")
    with pytest.raises(ReadError, match=rf"{there}\.npy may belong to a\.npy: give both one name"):
        pair_files(first, truth)


@pytest.mark.parametrize("text", [",id,doi\n0,a,x\n1,b,y\n", "id;doi\na;x\nb;y\n", "doi\tid\nx\ta\ny\tb\n"])
def test_columns_are_found_by_their_heads(tmp_path, text):
    (tmp_path / "g.csv").write_text(text)
    assert read_ids(tmp_path / "g.csv") == ["a", "b"]
    assert read_groups(tmp_path / "g.csv", ["a", "b"]) == ("doi", ["x", "y"])
