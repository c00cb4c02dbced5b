"""What the patient's page shows of the gate: its verdicts, and where along the body the misfit lies."""

from planardose.planar import VIEWS
from planardose.report.summary import odd
from planardose.report.text import EMPTY, method_name, number

COLOURS = ("#e6f3ea", "#fdf3d8", "#fbdcd8")  # expected, high, beyond the gate


def gate_context(gates: dict[str, dict], summary: dict) -> dict:
    """Context of the template: verdicts by method and time point, and the reported method's misfit strip by strip.

    Parameters
    ----------
    gates : dict
        Time point -> content of its ``gate.json``, in the page's order.
    summary : dict
        Content of summary.json.
    """
    limit, method = summary["config"]["reconstruction"]["gate_deviance"], summary["method"]
    methods = [m for m in summary["config"]["methods"] if any(m in g for g in gates.values())]
    rows = [{"name": method_name(m), "cells": [_verdict_cell(g, m) for g in gates.values()]} for m in methods]
    if any("inputs" in g for g in gates.values()):
        rows.insert(0, {"name": "Images, CT and position", "cells": [_inputs_cell(g) for g in gates.values()]})
    strips = []
    for name, gate in gates.items():
        for view, values in zip(VIEWS, gate.get(method, {}).get("per_view_strip", []), strict=False):
            cells = [{"text": number(v, 2), "colour": COLOURS[(v > 0.5 * limit) + (v > limit)]} for v in values]
            strips.append({"name": f"{name}, {view}", "cells": cells})
    return {"gate_limit": number(limit, 2), "gate": rows, "strips": strips}


def _inputs_cell(gate: dict) -> dict:
    """Score of the inputs, its limit, and what is odd where it is too large."""
    inputs = gate.get("inputs")
    if inputs is None:
        return {"text": EMPTY, "kind": ""}
    text = f"{number(inputs['score'])} (limit {number(inputs['limit'])})"
    if inputs["passed"]:
        return {"text": text, "kind": "good"}
    return {"text": f"{text}: {odd(inputs['worst'])}", "kind": "bad"}


def _verdict_cell(gate: dict, method: str) -> dict:
    """Deviance of a method's map, and whether it passed and is used."""
    verdict = gate.get(method)
    if verdict is None:
        return {"text": EMPTY, "kind": ""}
    chosen = ", used" if gate["chosen"] == method else ""
    if "note" in verdict:
        return {"text": f"{verdict['note']}{chosen}", "kind": ""}
    if verdict["passed"]:
        return {"text": f"{number(verdict['deviance'])}{chosen}", "kind": "good"}
    accepted = ", accepted" if gate.get("accepted") and gate["chosen"] == method else ""
    return {"text": f"{number(verdict['deviance'])} failed{chosen}{accepted}", "kind": "bad"}
