"""Physics checks: every number that the camera and the dose rest on, against closed forms, tables and other codes."""
