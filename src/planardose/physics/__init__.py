"""Photons in matter and in the gamma camera: cross sections, collimator, crystal, sensitivity."""
