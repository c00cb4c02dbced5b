"""Imported for its effect: pydicom keeps to itself what it finds odd. Its warnings hold names, dates and paths."""

import logging
import warnings

import pydicom

# pydicom warns about odd values with the value itself, a name or a birth date: not into our logs
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
# and of broken pixels with the file's path and tracebacks: what is wrong is told by `InputError`
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")
