"""Ranges outside which a positive number is a slip of unit or key, not a measurement. Light: no numpy.

Wide on purpose: each holds whatever a clinic or a phantom laboratory may have, and leaves out the neighbouring unit.
`docs/inputs.md` lists them for the user.
"""

from dataclasses import dataclass

from planardose.errors import InputError

MOST_HALF_LIVES = 20.0  # between injection and acquisition: 7 GBq have become 7 kBq, which no gamma camera images
CALIBRATION_HALF_LIVES = 3.0  # between the measurement of a calibration source's activity and its acquisition


@dataclass(frozen=True)
class Range:
    """Limits of a quantity, and the slip that a value outside them usually is."""

    low: float
    high: float
    unit: str
    slip: str

    def check(self, value: float, where: str) -> None:
        """Refuse a value outside the range with one line: field, value, range, the likely slip."""
        if not self.low <= value <= self.high:
            raise InputError(where, f"{value:g} {self.unit}", self.text, self.slip)

    @property
    def text(self) -> str:
        """The range in words, as a fault names what was expected."""
        return f"{self.low:g} to {self.high:g} {self.unit}"


INJECTED_MBQ = Range(20.0, 50_000.0, "MBq", "give MBq, not GBq, kBq or Bq")
WEIGHT_KG = Range(2.0, 400.0, "kg", "give kilograms")
CALIBRATION = Range(0.5, 500.0, "cps/MBq", "give counts per second and MBq, per head")
MOST_CALIBRATION_U = 0.3  # of the calibration: a standard uncertainty above it is one in per cent, or no calibration
SOURCE_MBQ = Range(1.0, 50_000.0, "MBq", "give MBq, not GBq, kBq or Bq")
PLANAR_PIXEL_MM = Range(0.4, 20.0, "mm", "give millimetres")
PLANAR_EXTENT_MM = Range(100.0, 3000.0, "mm", "check pixel size and matrix")
EXPOSURE_S = Range(5.0, 7200.0, "s", "give seconds that a point of the patient is in the field of view")
DURATION_S = Range(5.0, 21_600.0, "s", "give seconds")
HEAD_DISTANCE_MM = Range(40.0, 800.0, "mm", "give millimetres from the body's axis to the collimator's face")
CAMERA = {  # of a camera's file
    "hole_mm": Range(0.5, 10.0, "mm", "give millimetres, flat to flat"),
    "septum_mm": Range(0.05, 6.0, "mm", "give millimetres"),
    "length_mm": Range(10.0, 120.0, "mm", "give millimetres"),
    "crystal_mm": Range(3.0, 60.0, "mm", "give millimetres"),
    "intrinsic_fwhm_mm": Range(0.5, 12.0, "mm", "give millimetres"),
    "energy_resolution": Range(0.01, 0.3, "FWHM / E", "give a fraction, not per cent"),
    "reference_kev": Range(30.0, 700.0, "keV", "give keV"),
    "pixel_mm": Range(0.4, 20.0, "mm", "give millimetres"),
    "field_mm": Range(100.0, 1000.0, "mm", "give millimetres"),
    "tau_us": Range(0.0, 100.0, "us", "give microseconds"),
    "front_mm": Range(0.0, 20.0, "mm", "give millimetres of aluminium"),
    "cover_mm": Range(0.0, 20.0, "mm", "give millimetres of aluminium"),
    "backscatter_mm": Range(0.0, 300.0, "mm", "give millimetres"),
    "gap_mm": Range(0.0, 50.0, "mm", "give millimetres"),
    "couch_mm": Range(0.0, 20.0, "mm", "give millimetres of aluminium"),
}
CT_VOXEL_MM = Range(0.1, 25.0, "mm", "the spacing must be in millimetres")
EMISSION_VOXEL_MM = Range(0.5, 30.0, "mm", "the spacing must be in millimetres")
CT_EXTENT_MM = Range(100.0, 3000.0, "mm", "the spacing must be in millimetres")
