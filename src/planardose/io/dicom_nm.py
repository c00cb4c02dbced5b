"""Planar images in DICOM NM."""

from planardose.io.dicom_nm_write import write_planar

__all__ = ["write_planar"]
