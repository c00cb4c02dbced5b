"""Patients: segmentation back ends, CT to material, the patient model, synthetic patients."""
