"""Labelled images from every layout: the numbers of classes counted by hand, and one clear line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import realdata
import segmetry.labelled
from segmetry.errors import ImageError, LabelError, OptionError, ReadError, SegmetryError, ShapeMismatchError
from segmetry.labelled import load_labelled
from segmetry.train.augment import IGNORED
from segmetry.train.samples import Normalisation, SampleOptions, Samples

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)
LABELS = np.array([[0, 0, 2, 2], [0, 1, 1, 2], [7, 7, 1, 2]])
"""Three classes, and two pixels with the value 7."""


def save(path: Path, array: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.asarray(array))
    return path


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Two images and their labels; what ends in 7 is not labelled."""
    for name, labels in (("a", LABELS), ("b", LABELS[:, ::-1])):
        save(tmp_path / f"images/{name}.npy", GREY)
        save(tmp_path / f"labels/{name}.npy", labels)
    return tmp_path / "images", tmp_path / "labels"


def test_classes_are_numbered_in_the_order_of_their_values(tmp_path):
    save(tmp_path / "images/a.npy", [[1, 2], [3, 4]])
    save(tmp_path / "images/b.npy", [[5, 6], [7, 8]])
    save(tmp_path / "labels/a.npy", [[90, 90], [5, 90]])
    save(tmp_path / "labels/b.npy", [[90, 7], [2, 5]])
    found = load_labelled(tmp_path / "images", tmp_path / "labels")
    assert list(found.classes.items()) == [(2, "2"), (5, "5"), (7, "7"), (90, "90")]
    assert [image.name for image in found.images] == ["a", "b"]
    assert [image.classes.tolist() for image in found.images] == [[[3, 3], [1, 3]], [[3, 2], [0, 1]]]
    assert found.images[1].pixels.tolist() == [[[5, 6], [7, 8]]]
    assert all(image.classes.dtype == np.uint8 for image in found.images)
    assert (found.parts, found.notes) == (("", ""), ())


def test_masks_of_0_and_255_are_two_classes(tmp_path):
    save(tmp_path / "a.npy", GREY)
    save(tmp_path / "mask.npy", np.where(GREY > 9, 255, 0).astype(np.uint8))
    found = load_labelled(tmp_path / "a.npy", tmp_path / "mask.npy")
    assert found.classes == {0: "0", 255: "255"}
    assert found.images[0].name == "a"
    np.testing.assert_array_equal(found.images[0].classes, GREY > 9)
    assert found.notes == ()


def test_what_nobody_labelled_is_no_class(folders):
    found = load_labelled(*folders, ignore=7)
    assert found.classes == {0: "0", 1: "1", 2: "2"}
    assert found.images[0].classes.tolist() == [[0, 0, 2, 2], [0, 1, 1, 2], [IGNORED, IGNORED, 1, 2]]


def test_a_value_of_255_is_asked_about(tmp_path):
    save(tmp_path / "a.npy", GREY)
    save(tmp_path / "l.npy", np.where(LABELS == 7, 255, LABELS))
    assert "ignore=255" in load_labelled(tmp_path / "a.npy", tmp_path / "l.npy").notes[0]
    assert load_labelled(tmp_path / "a.npy", tmp_path / "l.npy", ignore=255).notes == ()


def test_named_classes_keep_their_numbers_where_some_do_not_occur(folders):
    found = load_labelled(*folders, classes={7: "d", 5: "c", 2: "b", 1: "a", 0: "matrix"})
    assert list(found.classes.items()) == [(0, "matrix"), (1, "a"), (2, "b"), (5, "c"), (7, "d")]
    assert found.images[0].classes[2].tolist() == [4, 4, 1, 2]
    assert found.notes == ("no pixel is labelled as c",)


def test_objects_become_foreground(tmp_path):
    save(tmp_path / "a.npy", np.zeros((20, 20)))
    objects = np.arange(400).reshape(20, 20)
    save(tmp_path / "l.npy", objects)
    found = load_labelled(tmp_path / "a.npy", tmp_path / "l.npy", foreground=True, ignore=399)
    expected = np.ones((20, 20))
    expected[0, 0], expected[19, 19] = 0, IGNORED
    np.testing.assert_array_equal(found.images[0].classes, expected)
    assert found.classes == {0: "background", 1: "foreground"}
    named = load_labelled(tmp_path / "a.npy", tmp_path / "l.npy", foreground=True, classes={0: "film", 1: "particle"})
    assert named.classes == {0: "film", 1: "particle"}


def test_groups_come_from_a_table(folders, tmp_path):
    assert [image.group for image in load_labelled(*folders).images] == ["a", "b"]
    (tmp_path / "groups.csv").write_text("image,specimen\na,s1\nb,s1\n")
    assert [i.group for i in load_labelled(*folders, groups=tmp_path / "groups.csv").images] == ["s1", "s1"]


def test_images_without_labels_are_left_out_and_named(folders):
    save(folders[0] / "c.npy", GREY)
    found = load_labelled(*folders)
    assert [image.name for image in found.images] == ["a", "b"]
    assert found.notes == ("images without labels, left out: c",)


def test_pixels_that_are_no_numbers_are_counted(folders):
    grey = GREY.astype(np.float32)
    grey[0, :2] = np.nan
    save(folders[0] / "b.npy", grey)
    found = load_labelled(*folders)
    assert found.notes == ("2 of 12 pixels are not a number: b",)
    assert np.isnan(found.images[1].pixels).sum() == 2


# nnU-Net


def nnunet(folder: Path, labels: dict[str, Any], *names: str, **more: Any) -> Path:
    for name in names:
        save(folder / f"imagesTr/{name}.npy", GREY + len(name))
    save(folder / "labelsTr/case_01.npy", LABELS)
    (folder / "dataset.json").write_text(json.dumps({"labels": labels, **more}))
    return folder


def test_nnunet_data_of_version_2(tmp_path):
    labels = {"background": 0, "edema": 1, "core": 2, "ignore": 7}
    folder = nnunet(tmp_path, labels, "case_01_0000", "case_01_0001", "case_02_0000", channel_names={"0": "T1"})
    found = load_labelled(folder)
    (image,) = found.images
    assert found.classes == {0: "background", 1: "edema", 2: "core"}
    assert (image.name, image.pixels.shape) == ("case_01", (2, 3, 4))
    assert image.classes.tolist() == [[0, 0, 2, 2], [0, 1, 1, 2], [IGNORED, IGNORED, 1, 2]]


@pytest.mark.parametrize("name", ["case_01", "case_01_0000"])
def test_nnunet_data_of_version_1(tmp_path, name):
    folder = nnunet(tmp_path, {"0": "background", "1": "anterior", "2": "posterior", "7": "other"}, name)
    found = load_labelled(folder)
    assert found.classes == {0: "background", 1: "anterior", 2: "posterior", 7: "other"}
    assert found.images[0].pixels.shape == (1, 3, 4)


@pytest.mark.parametrize(
    ("labels", "name", "says"),
    [
        (
            {"background": 0, "edema": 1, "x": 2, "y": 7},
            "case_02_0000",
            "1 of 1 labels have no image: case_01; .*_0000",
        ),
        ({"background": 0, "whole": [1, 2]}, "case_01_0000", "whole are regions of several values"),
        ({"background": 0, "edema": "one"}, "case_01_0000", "dataset.json: is no description"),
        ({"background": 0, "edema": 1}, "case_01_0000", "6 pixels hold 2, 7, but the classes are 0, 1"),
    ],
)
def test_nnunet_data_that_is_wrong(tmp_path, labels, name, says):
    with pytest.raises(SegmetryError, match=says):
        load_labelled(nnunet(tmp_path, labels, name))


# manifests


@pytest.fixture
def manifest(tmp_path) -> Path:
    """Folder with two images of two channels and their labels, at different places."""
    for day in ("monday", "tuesday"):
        save(tmp_path / f"{day}/grain.npy", GREY)
        save(tmp_path / f"{day}/grain_xray.npy", 1000 * GREY.astype(np.uint16))
        save(tmp_path / f"truth/{day}.npy", LABELS)
    return tmp_path


CSV = """\
image;image_2;label;group;part
monday/grain.npy;monday/grain_xray.npy;truth/monday.npy;s1;train

tuesday/grain.npy;tuesday/grain_xray.npy;truth/tuesday.npy;;Test
"""
YAML = """\
- image: [monday/grain.npy, monday/grain_xray.npy]
  label: truth/monday.npy
  group: s1
  part: train
- image: tuesday/grain.npy
  image_2: tuesday/grain_xray.npy
  label: truth/tuesday.npy
  part: test
"""


@pytest.mark.parametrize(("name", "text"), [("all.csv", CSV), ("all.yaml", YAML), ("all.yml", YAML)])
def test_a_manifest_names_files_channels_groups_and_parts(manifest, name, text):
    (manifest / name).write_text(text)
    found = load_labelled(manifest / name)
    assert [(i.name, i.group) for i in found.images] == [("monday-grain", "s1"), ("tuesday-grain", "tuesday-grain")]
    assert found.parts == ("train", "test")
    for image in found.images:
        assert image.pixels[0].tolist() == GREY.tolist()
        assert image.pixels[1].tolist() == (1000 * GREY.astype(int)).tolist()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("m.csv", "image,lable\na,b\n", "no column of .*m.csv 'lable'; did you mean 'label'"),
        ("m.csv", "image,label,part\nmonday/grain.npy,truth/monday.npy,tset\n", "image 1 'tset'; did you mean 'test'"),
        ("m.csv", "image,label\nmonday/grain.npy\n", "image 1: names no label"),
        ("m.csv", "image,label\nmonday/grain.npy,truth/sunday.npy\n", "1 files are not there: .*sunday.npy"),
        ("m.csv", "image,label\n" + 2 * "monday/grain.npy,truth/monday.npy\n", "grain.npy more than once"),
        ("m.csv", "image,label\n", "names no image"),
        ("m.csv", "", "is empty"),
        ("none.csv", None, "no such file"),
        ("m.yaml", "image: monday/grain.npy", "is no list of images"),
        ("m.yaml", "- image: [", "cannot be read"),
        ("m.yaml", "- image: monday/grain.npy\n  labels: b", "did you mean 'label'"),
    ],
)
def test_manifests_that_are_wrong(manifest, name, text, says):
    if text is not None:
        (manifest / name).write_text(text)
    with pytest.raises(SegmetryError, match=says):
        load_labelled(manifest / name)


def test_a_manifest_needs_no_second_folder(manifest):
    (manifest / "m.csv").write_text(CSV)
    with pytest.raises(OptionError, match="names the labels itself"):
        load_labelled(manifest / "m.csv", manifest / "truth")


# what is wrong with images and labels


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"classes": {0: "a", 1: "b"}}, LabelError, r"labels/a.npy: 6 pixels hold 2, 7, but the classes are 0, 1"),
        ({"classes": {0: "a"}}, OptionError, "2 to 255 names that differ"),
        ({"classes": {0: "a", 1: "a"}}, OptionError, "names that differ"),
        ({"classes": {0: "a", 1: "b"}, "ignore": 1}, OptionError, "1 is the class 'b' and to be ignored"),
        ({"classes": {0: "a", 7: "b"}, "foreground": True}, OptionError, "with foreground the classes are 0 and 1"),
    ],
)
def test_options_that_do_not_fit(folders, options, error, says):
    with pytest.raises(error, match=says):
        load_labelled(*folders, **options)


@pytest.mark.parametrize(
    ("image", "labels", "error", "says"),
    [
        (GREY, LABELS.T, ShapeMismatchError, "b.npy: the labels are 4 x 3, the image .*b.npy 3 x 4; undo"),
        (GREY, LABELS - 1, LabelError, "b.npy: 3 pixels have the value -1.*ignore=-1"),
        (GREY, LABELS / 2, ReadError, "b.npy: it holds fractions"),
        (np.zeros((9, 9)), np.arange(81).reshape(9, 9), LabelError, "81 values: they look like numbered objects"),
        (np.stack([GREY] * 2), np.stack([LABELS] * 2), ImageError, "a has 2 axes, b 3"),
    ],
)
def test_images_and_labels_that_do_not_fit(folders, image, labels, error, says):
    save(folders[0] / "b.npy", image)
    save(folders[1] / "b.npy", labels)
    with pytest.raises(error, match=says) as raised:
        load_labelled(*folders)
    assert "\n" not in str(raised.value)


def test_values_are_counted_over_all_files(tmp_path):
    """40 values in one file and 41 in the next, 64 of them different, are classes; one more is too many."""
    for name, first in (("a", 0), ("b", 23)):
        save(tmp_path / f"images/{name}.npy", np.zeros((8, 8)))
        save(tmp_path / f"labels/{name}.npy", first + np.minimum(np.arange(64), 39 + (name == "b")).reshape(8, 8))
    assert len(load_labelled(tmp_path / "images", tmp_path / "labels").classes) == 64
    save(tmp_path / "labels/b.npy", 24 + np.minimum(np.arange(64), 40).reshape(8, 8))
    with pytest.raises(LabelError, match="65 values"):
        load_labelled(tmp_path / "images", tmp_path / "labels")
    assert len(load_labelled(tmp_path / "images", tmp_path / "labels", ignore=64).classes) == 64


@pytest.mark.parametrize(
    ("labels", "says"), [(LABELS * 0 + 3, "every labelled pixel is '3'"), (LABELS * 0 + 9, "no pixel is")]
)
def test_one_class_is_nothing_to_learn(folders, labels, says):
    for name in "ab":
        save(folders[1] / f"{name}.npy", labels)
    with pytest.raises(LabelError, match=f"labels: {says}"):
        load_labelled(*folders, ignore=9)


def test_missing_partners_and_damaged_files(folders):
    save(folders[1] / "c.npy", LABELS)
    with pytest.raises(ReadError, match="1 of 3 truths have no image: c"):
        load_labelled(*folders)
    (folders[0] / "c.npy").write_bytes((folders[0] / "a.npy").read_bytes()[:-3])
    with pytest.raises(ReadError, match=r"c.npy: it is cut off"):
        load_labelled(*folders)
    with pytest.raises(OptionError, match=r"where are its labels\?"):
        load_labelled(folders[0])
    with pytest.raises(ReadError, match=r"perhaps .*images"):
        load_labelled(folders[0].with_name("imagse"))


def test_images_with_other_channels_are_refused(manifest):
    (manifest / "m.csv").write_text(CSV.replace(";tuesday/grain_xray.npy", ";"))
    with pytest.raises(ImageError, match="monday-grain has 2 channels, tuesday-grain 1"):
        load_labelled(manifest / "m.csv")
    save(manifest / "monday/grain_xray.npy", GREY[:2])
    with pytest.raises(ShapeMismatchError, match=r"grain_xray.npy: this channel is 2 x 4, that of .*grain.npy 3 x 4"):
        load_labelled(manifest / "m.csv")


# volumes


def volume(folder: Path, **options: Any) -> tuple[Path, Path]:
    """Write a volume of four planes, of which the third is not labelled, 200 nm apart."""
    pixels = np.arange(48, dtype=np.uint16).reshape(4, 3, 4)
    labels = np.stack([LABELS, LABELS, np.full_like(LABELS, 7), LABELS[::-1]]).astype(np.uint8)
    tifffile.imwrite(
        folder / "v.tif", pixels, imagej=True, resolution=(20, 10),
        metadata={"axes": "ZYX", "unit": "um", "spacing": 0.2}, **options,
    )  # fmt: skip
    return folder / "v.tif", save(folder / "labels.npy", labels)


def test_volumes_are_volumes(tmp_path):
    (image,) = load_labelled(*volume(tmp_path), ignore=7).images
    assert image.pixels.shape == (1, 4, 3, 4)
    assert image.spacing == pytest.approx((200, 100, 50))
    assert image.classes[0].tolist() == [[0, 0, 2, 2], [0, 1, 1, 2], [IGNORED, IGNORED, 1, 2]]


def test_volumes_are_cut_into_planes(tmp_path):
    found = load_labelled(*volume(tmp_path), ignore=7, planes=True)
    assert [image.name for image in found.images] == ["v_z000", "v_z001", "v_z003"]
    assert {image.group for image in found.images} == {"v"}
    assert found.notes == ("v: nobody labelled anything in 1 of its 4 planes: left out",)
    assert found.parts == ("", "", "")
    last = found.images[-1]
    assert last.pixels.tolist() == np.arange(36, 48).reshape(1, 3, 4).tolist()
    assert last.classes[2].tolist() == [0, 0, 2, 2]
    assert last.spacing == pytest.approx((100, 50))


def test_a_series_of_times_is_no_volume(tmp_path):
    tifffile.imwrite(tmp_path / "t.tif", np.zeros((2, 3, 4), np.uint8), imagej=True, metadata={"axes": "TYX"})
    labels = save(tmp_path / "l.npy", [LABELS, LABELS])
    with pytest.raises(ImageError, match=r"t.tif: is a series \(TYX\), not a volume; .*planes"):
        load_labelled(tmp_path / "t.tif", labels)
    assert len(load_labelled(tmp_path / "t.tif", labels, planes=True).images) == 2


# images that are larger than memory


def write(path: Path, pixels: np.ndarray, kind: str) -> Path:
    name = f"{path.name}.{'npy' if kind == 'npy' else 'tif'}"
    options = {
        "tiff": {},
        "big-endian": {"byteorder": ">"},
        "tiled": {"compression": "zlib", "tile": (16, 16)},
        "pages": {"compression": "zlib"},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "npy":
        np.save(path.with_name(name), pixels)
    else:
        tifffile.imwrite(path.with_name(name), pixels, photometric="minisblack", **options[kind])
    return path.with_name(name)


def in_a_file(array: Any) -> bool:
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return array is not None


@pytest.mark.parametrize("kind", ["npy", "tiff", "big-endian", "tiled", "pages"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("planes", [None, False, True])
def test_large_images_stay_on_the_disk_and_give_the_same_samples(tmp_path, monkeypatch, kind, channels, dtype, planes):
    rng = np.random.default_rng(0)
    shape = (40, 50) if planes is None else (5, 40, 50)
    rows = ["image,image_2,label"]
    for k in range(2):
        files = [write(tmp_path / f"{k}-{c}", (9e4 * rng.random(shape)).astype(dtype), kind) for c in range(channels)]
        label = save(tmp_path / f"{k}-label.npy", rng.integers(0, 3, shape).astype(np.uint8))
        rows.append(",".join(path.name for path in ([*files, Path()] if channels == 1 else files)) + f",{label.name}")
    (tmp_path / "m.csv").write_text("\n".join(rows))
    held = load_labelled(tmp_path / "m.csv", planes=bool(planes))
    monkeypatch.setattr(segmetry.labelled, "IN_MEMORY", 0)
    left = load_labelled(tmp_path / "m.csv", planes=bool(planes))
    assert all(in_a_file(channel) for image in left.images for channel in image.pixels)
    assert not any(in_a_file(channel) for image in held.images for channel in image.pixels)
    assert left.notes == held.notes
    norm = Normalisation.measured(held.images)
    assert Normalisation.measured(left.images) == norm
    one, other = (Samples(s.images, norm, options=SampleOptions(side=16, planes=3), seed=1) for s in (held, left))
    for number in range(6):
        for ours, theirs in zip(one.draw(number), other.draw(number), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(held.images, left.images, strict=True):
        assert (ours.pixels.shape, ours.name) == (theirs.pixels.shape, theirs.name)
        np.testing.assert_array_equal(ours.pixels, np.asarray(theirs.pixels))


# real data


@pytest.mark.parametrize(
    ("name", "images", "labels", "n", "shape", "dtype", "n_classes"),
    [
        ("uhcs", "images", "labels", 20, (1, 484, 645), np.uint8, 4),
        ("sandstone", "images", "labels", 3, (1, 1024, 996), np.uint8, 4),
        ("brain-tomography", "image.tif", "labels.png", 1, (1, 520, 472), np.uint16, 4),
        ("hippocampus-mri", "images", "labels", 15, (1, 32, 51, 34), np.float32, 3),
    ],
)
def test_real_data_load(name, images, labels, n, shape, dtype, n_classes):
    folder = realdata.folder(name)
    if folder is None:
        pytest.skip(f"{name} is not here; set SEGMETRY_DATA to the folder that holds it")
    found = load_labelled(folder / images, folder / labels)
    assert list(found.classes) == list(range(n_classes))
    assert len(found.images) == n
    assert (found.images[0].pixels.shape, found.images[0].pixels.dtype) == (shape, dtype)
    counts = sum(np.bincount(image.classes.ravel(), minlength=n_classes) for image in found.images)
    assert (counts > 0).all()
    assert counts.size == n_classes
    if name == "sandstone":  # shares that the set's description states, in per cent
        assert (100 * counts / counts.sum()) == pytest.approx([49, 4, 46, 2], abs=1)
    if name == "hippocampus-mri":
        assert found.images[0].spacing == (1e6, 1e6, 1e6)
        planes = load_labelled(folder / images, folder / labels, planes=True)
        assert len(planes.images) == sum(len(image.classes) for image in found.images)


def test_particles_of_emps_are_foreground(emps):
    with pytest.raises(LabelError, match=r"numbered objects.*say foreground"):
        load_labelled(emps / "images", emps / "segmaps")
