from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmetry.errors import ReadError
from segmetry.inputs import find_inputs, name_channels, name_folders, stem_of


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_folders_patterns_and_files(tmp_path):
    a, b = touch(tmp_path / "d" / "b.tif"), touch(tmp_path / "d" / "a.PNG")
    touch(tmp_path / "d" / "notes.txt")
    touch(tmp_path / "d" / ".hidden.png")
    odd = touch(tmp_path / "odd.xyz")
    assert find_inputs([tmp_path / "d"]) == [b, a]
    assert find_inputs([tmp_path / "d", a]) == [b, a], "a file comes once"
    assert find_inputs([str(tmp_path / "**" / "*.tif"), odd]) == [a, odd], "a file that is named may have any suffix"


def test_a_file_whose_name_looks_like_a_pattern(tmp_path):
    odd = touch(tmp_path / "a[1].png")
    assert find_inputs([str(odd)]) == [odd]


@pytest.mark.parametrize("item", ["missing.tif", "*.tif", "."])
def test_nothing_there_is_said(tmp_path, monkeypatch, item):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReadError):
        find_inputs([item])


def test_images_one_floor_down_are_hinted_at(tmp_path):
    touch(tmp_path / "sub" / "a.png")
    with pytest.raises(ReadError, match=r"\*/\*"):
        find_inputs([tmp_path])


def test_a_whole_suffix_goes():
    assert [stem_of(n) for n in ("v.nii.gz", "v.OME.TIFF", "a.tar.gz", "1.5 nm.png", "plain", ".nii.gz")] == [
        "v",
        "v",
        "a",
        "1.5 nm",
        "plain",
        ".nii",
    ]


names = st.lists(
    st.tuples(
        st.sampled_from(["p", "q"]),
        st.sampled_from(["a", "A", "a-png", "p-a", "a-1"]),
        st.sampled_from([".png", ".tif"]),
    ),
    unique=True,
    max_size=12,
)


@given(names)
def test_every_image_has_a_folder_of_its_own(found):
    paths = [Path(d) / f"{stem}{suffix}" for d, stem, suffix in found]
    tasks = name_folders(paths)
    assert [t.path for t in tasks] == paths
    folded = [t.folder.casefold() for t in tasks]
    assert len(set(folded)) == len(folded), "also where letters' case does not count"
    assert tasks == name_folders(paths), "the same every time"


def test_files_of_channels_are_one_image():
    paths = [Path(f"x/{name}") for name in ("a_0001.tif", "a_0000.tif", "b_0000.tif", "c_0000.tif", "c_0001.tif")]
    paths += [Path("x/c.tif"), Path("y/a_0000.tif"), Path("y/a_0001.tif")]
    found = {task.folder: task.files for task in name_channels(paths, 2)}
    assert found["x-a"] == (paths[1], paths[0]), "in the order of their numbers"
    assert found["y-a"] == (paths[6], paths[7])
    assert [name for name, files in found.items() if len(files) == 1] == ["b_0000", "c_0000", "c_0001", "c"]
    assert name_channels(paths, 1) == name_folders(paths)
    assert all(len(task.files) == 1 for task in name_channels(paths, 3))


def test_no_image_takes_a_name_of_the_batch():
    names = ["report.html.png", "figures.tif", "run.json.png"]
    assert [t.folder for t in name_folders([Path(n) for n in names])] == [
        "report.html-png",
        "figures-tif",
        "run.json-png",
    ]
