import numpy as np
import pytest

from segmetry.errors import ImageError
from segmetry.io import read, write_image
from segmetry.types import Calibration, Image


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint32", "int32", "float32", "float64", "bool", "float16", "int64"]
)
@pytest.mark.parametrize("shape", [(7, 9), (3, 7, 9)])
def test_an_image_comes_back_with_its_pixel_size(tmp_path, dtype, shape):
    pixels = (np.random.default_rng(1).normal(size=shape) * 50).astype(dtype)
    image = Image(pixels, calibration=Calibration((2.0, 0.3, 0.05)[-len(shape) :], "nm"))
    write_image(tmp_path / "a.tif", image)
    back = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(back.pixels, pixels)
    assert back.axes == image.axes
    assert back.calibration.spacing == pytest.approx(image.calibration.spacing, rel=1e-12)
    assert (back.calibration.unit, back.calibration.source) == ("nm", "metadata")


def test_an_image_without_pixel_size_comes_back_without(tmp_path):
    write_image(tmp_path / "a.tif", Image(np.zeros((5, 5), np.uint8)))
    assert not read(tmp_path / "a.tif").calibration.known


def test_what_cannot_be_written_is_said(tmp_path):
    for image in (Image(np.zeros((2, 3, 3)), "CYX"), Image(np.full((3, 3), 2**40))):
        with pytest.raises(ImageError, match="write_image"):
            write_image(tmp_path / "a.tif", image)
    assert not list(tmp_path.iterdir())
