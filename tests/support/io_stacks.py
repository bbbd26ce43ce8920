"""Stacks and volumes of every kind, made on the spot: by the format's own library, or byte by byte."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np

VOLUME = np.random.default_rng(6).integers(0, 4000, (4, 5, 6)).astype(np.uint16)
"""Planes, rows, columns: all different."""


def on_disk(array: np.ndarray) -> bool:
    """Whether an array's values lie in a mapped file."""
    base: Any = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    return base is not None


def fits(path: Path, pixels: np.ndarray, **header: Any) -> Path:
    """A FITS file of one image; an underscore in a name is a hyphen."""
    from astropy.io import fits

    hdu = fits.PrimaryHDU(pixels)
    for key, value in header.items():
        hdu.header[key.replace("_", "-")] = value
    hdu.writeto(path)
    return path


def tof_run(
    folder: Path, n_frames: int = 4, *, first: int = 0, lines: int | None = None, own: bool = True
) -> np.ndarray:
    """A time-of-flight run: frames of FITS and a spectra file with `lines` lines; the frames come back."""
    folder.mkdir()
    frames = np.arange(n_frames * 12, dtype=np.float32).reshape(n_frames, 3, 4)
    for k, frame in enumerate(frames):
        said = {"TOF": 1e-6 + 1e-5 * (first + k)} if own else {}
        fits(folder / f"Image_{first + k:05d}.fits", frame, **said)
    if lines is not None:
        rows = (f"{1e-6 + 1e-5 * k:.6e}\t{100 + k}" for k in range(lines))
        (folder / "Image_Spectra.txt").write_text("\n".join(rows) + "\n")
    return frames


def hdf5(path: Path, sets: dict[str, Any], attrs: dict[str, dict[str, Any]] | None = None, **options: Any) -> Path:
    """An HDF5 file of some data sets, and attributes of any path."""
    import h5py

    with h5py.File(path, "w") as file:
        for where, values in sets.items():
            large = np.ndim(values) == 3 and len(values) > 2
            file.create_dataset(where, data=values, **(options if large else {}))
        for where, pairs in (attrs or {}).items():
            file.require_group(where) if where not in file else None
            for key, value in pairs.items():
                file[where].attrs[key] = value
    return path


def exchange(path: Path, pixels: np.ndarray, *, theta: bool = True, **options: Any) -> Path:
    """A scan in the Data Exchange layout."""
    sets: dict[str, Any] = {
        "exchange/data": pixels,
        "exchange/data_white": pixels[:2],
        "exchange/data_dark": pixels[:1],
        "measurement/instrument/detection_system/objective/resolution": 0.65,
    }
    if theta:
        sets["exchange/theta"] = np.linspace(0, 180, len(pixels), endpoint=False)
    attrs = {"measurement/instrument/detection_system/objective/resolution": {"units": "microns"}}
    return hdf5(path, sets, attrs, **options)


def dicom(path: Path, pixels: np.ndarray, *, z: float | None = None, number: int = 1, **more: Any) -> Path:
    """A DICOM slice of 0.5 mm between rows, 0.25 mm between columns."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = f"1.2.3.{number}"
    data.SeriesInstanceUID, data.InstanceNumber, data.Modality = "1.2.3", number, "CT"
    data.Rows, data.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        data.NumberOfFrames = len(pixels)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 * pixels.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    data.PixelSpacing = [0.5, 0.25]
    if z is not None:
        data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-10, 5, z]
    for key, value in more.items():
        setattr(data, key, value)
    data.PixelData = pixels.tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


def mrc(path: Path, pixels: np.ndarray, angstrom: tuple[float, float, float] = (2.0, 3.0, 4.0), **fields: Any) -> Path:
    """An MRC volume with voxels of some Å along x, y, z; further fields of the header by name."""
    import mrcfile

    with mrcfile.new(path) as file:
        file.set_data(pixels)
        if pixels.ndim == 3:
            file.set_volume()
        file.voxel_size = angstrom
        for name, value in fields.items():
            setattr(file.header, name, value)
    return path


def nifti(path: Path, volume: np.ndarray, affine: np.ndarray, unit: str = "mm", time: str = "unknown") -> Path:
    """A NIfTI of an array in our order of axes."""
    import nibabel

    image = nibabel.Nifti1Image(volume.T, affine)
    image.header.set_xyzt_units(unit, time)
    nibabel.save(image, path)
    return path


def video(path: Path, frames: np.ndarray, rate: float = 25.0, codec: str = "FFV1") -> Path:
    """A video without loss of grey frames."""
    import cv2

    import segmetry.io.video  # noqa: F401 - it tells FFmpeg to be silent, which that hears only once

    height, width = frames.shape[1:]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), rate, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.dstack([frame] * 3))
    writer.release()
    return path
