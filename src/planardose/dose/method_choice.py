"""Which method is dosed: one for all time points of a patient, from the gates' verdicts."""

from planardose.errors import InputError

# in the order of preference; conjugate_view makes no map
MAP_METHODS = ("unet", "diffusion", "qplanar_mlem", "qplanar", "mlem")


def common_method(gates: dict[str, dict], patient: str) -> tuple[str, str]:
    """The method whose maps are integrated, and the status.

    Parameters
    ----------
    gates : dict
        Time point -> content of its gate file (`chosen`, `status`).
    patient : str
        Pseudonym, for the error.

    Returns
    -------
    method, status : str
        Status is ``"fallback"`` when any time point fell back. A curve through points of different methods would mix
        their biases, so that one fallback makes the whole patient use the fallback.

    Raises
    ------
    InputError
        If no chosen method makes a map.
    """
    fallen = [g["chosen"] for g in gates.values() if g["status"] == "fallback"]
    chosen = fallen or [g["chosen"] for g in gates.values()]
    possible = [m for m in MAP_METHODS if m in chosen]
    if not possible:
        raise InputError(
            f"{patient} dose",
            f"method {', '.join(sorted(set(chosen)))} makes no 3D map",
            f"one of {', '.join(MAP_METHODS)} in the config key 'methods'",
            "add qplanar_mlem",
        )
    # of several fallbacks the least preferred is common ground: it is what the worst time point could still use
    return possible[-1] if fallen else possible[0], "fallback" if fallen else "ok"


def gate_verdict(gates: dict[str, dict], method: str) -> str:
    """Verdict on a method over all time points: ``passed``, ``accepted`` (by hand, with a reason) or ``failed``."""
    failed = [g for g in gates.values() if not g.get(method, {}).get("passed", False)]
    if not failed:
        return "passed"
    return "accepted" if all(g.get("accepted") for g in failed) else "failed"
