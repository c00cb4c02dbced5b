"""planardose: from CT and planar gamma-camera images to 3D activity, absorbed dose with uncertainty, and a report."""

__version__ = "0.1.0"
