"""Files: the only place that knows DICOM, NIfTI, tables and sidecars."""
