"""Video: frames are times."""

from __future__ import annotations

import numpy as np
import pytest
from io_stacks import video
from PIL import Image as Pillow

from segmetry.errors import ReadError
from segmetry.io import axis_values, open_stack, read, read_labels

FRAMES = np.random.default_rng(3).integers(0, 256, (7, 48, 64), dtype=np.uint8)


@pytest.mark.parametrize("name", ["a.avi", "a.mkv"])
def test_frames_and_their_times(tmp_path, name):
    path = video(tmp_path / name, FRAMES, 20.0)
    image = read(path)
    assert (image.axes, image.pixels.dtype) == ("TYX", np.uint8)
    np.testing.assert_array_equal(image.pixels, FRAMES)  # FFV1 loses nothing
    assert axis_values(image, "T").values == pytest.approx(np.arange(7) / 20)
    assert axis_values(image, "T").unit == "s"
    assert image.metadata["frames_per_second"] == 20
    np.testing.assert_array_equal(read(path, page=5).pixels, FRAMES[5])
    with open_stack(path) as stack:
        np.testing.assert_array_equal(stack.plane(4), FRAMES[4])
        np.testing.assert_array_equal(np.stack(list(stack)), FRAMES)


def test_mp4_keeps_its_frames_about(tmp_path):
    flat = np.full((5, 48, 64), 40, np.uint8) * np.arange(1, 6, dtype=np.uint8)[:, None, None]
    image = read(video(tmp_path / "a.mp4", flat, codec="mp4v"))
    assert image.shape == flat.shape
    assert np.abs(image.pixels.mean((1, 2)) - [40, 80, 120, 160, 200]).max() < 3  # it is compressed with loss
    with pytest.raises(ReadError, match="video does not keep numbers"):
        read_labels(tmp_path / "a.mp4")


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv"])
def test_cut_off(tmp_path, name, capfd):
    path = video(tmp_path / name, FRAMES, codec="mp4v" if name == "a.mp4" else "FFV1")
    data = path.read_bytes()
    for share in (0.05, 0.5):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ReadError) as caught:
            read(path)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_times_of_an_animated_gif(tmp_path):
    frames = [Pillow.fromarray(f) for f in FRAMES[:3]]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[40, 100, 20])
    assert axis_values(read(tmp_path / "a.gif"), "T").values == pytest.approx((0, 0.04, 0.14))
