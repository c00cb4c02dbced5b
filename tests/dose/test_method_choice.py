"""Which method is dosed, and what the gates say of it, over all time points of a patient."""

import pytest

from planardose.dose.method_choice import common_method, gate_verdict
from planardose.errors import InputError


def gate(chosen, status="ok", passed=True, accepted=None):
    return {"chosen": chosen, "status": status, "accepted": accepted, chosen: {"passed": passed}}


def test_common_method_and_verdict():
    ok, fallen = gate("unet"), gate("qplanar_mlem", "fallback")
    assert common_method({"a": ok, "b": ok}, "P01") == ("unet", "ok")
    assert common_method({"a": ok, "b": fallen}, "P01") == ("qplanar_mlem", "fallback")
    assert common_method({"a": fallen, "b": gate("qplanar", "fallback")}, "P01") == ("qplanar", "fallback")
    with pytest.raises(InputError, match="makes no 3D map"):
        common_method({"a": gate("conjugate_view")}, "P01")
    assert gate_verdict({"a": ok}, "unet") == "passed"
    assert gate_verdict({"a": ok, "b": gate("unet", passed=False)}, "unet") == "failed"
    assert gate_verdict({"a": ok, "b": gate("unet", passed=False, accepted="arms moved")}, "unet") == "accepted"


def test_each_time_point_that_failed_must_be_accepted():
    good, told = gate("unet"), gate("unet", passed=False, accepted="arms moved")
    assert gate_verdict({"a": told, "b": gate("unet", passed=False), "c": good}, "unet") == "failed"
    assert gate_verdict({"a": told, "b": told, "c": good}, "unet") == "accepted"
