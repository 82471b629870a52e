"""Images for the benches: CT slices of a pushed exam with noise for pixels, and one huge multi-frame."""

from __future__ import annotations

import random
import struct
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from support.instances import ct_slices

_noise = random.Random(20260704)

# What a small modality's header has; CT_small.dcm itself carries 6 KB of private elements.
_HEADER = (
    "SpecificCharacterSet ImageType SOPClassUID SOPInstanceUID StudyDate StudyTime AccessionNumber Modality Manufacturer "
    "PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID SeriesInstanceUID SeriesNumber InstanceNumber "
    "ImagePositionPatient ImageOrientationPatient FrameOfReferenceUID PixelSpacing SliceThickness "
    "SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation"
).split()


def _plain_slice(exam: dict, side: int) -> Dataset:
    [full] = ct_slices(exam, 1)
    image = Dataset()
    for keyword in _HEADER:
        if keyword in full:
            image[keyword] = full[keyword]
    image.Rows = image.Columns = side
    image.file_meta = full.file_meta
    return image


def make(exam: dict, folder: Path, count: int, side: int) -> Path:
    """`count` slices of one series, side × side pixels of 16 bits."""
    folder.mkdir(parents=True)
    image = _plain_slice(exam, side)
    for number in range(1, count + 1):
        image.InstanceNumber = number
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.PixelData = _noise.randbytes(side * side * 2)
        image.save_as(folder / f"{number:05d}.dcm", enforce_file_format=True)
    return folder


def make_multiframe(exam: dict, folder: Path, frames: int, side: int) -> Path:
    """One instance of `frames` frames, written frame by frame: it never lies in memory as a whole."""
    folder.mkdir(parents=True)
    image = _plain_slice(exam, side)
    image.NumberOfFrames = frames
    path = folder / "big.dcm"
    image.save_as(path, enforce_file_format=True)
    frame = _noise.randbytes(side * side * 2)
    with path.open("ab") as file:
        # Explicit VR Little Endian: tag, VR, two reserved bytes, 32-bit length (PS3.5 7.1.2).
        file.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, frames * len(frame)))
        for _ in range(frames):
            file.write(frame)
    return folder
