"""The patient page's first screen: status at a glance, what must be known before the numbers, and the main doses."""

from itertools import pairwise

import pandas as pd

from planardose.organs import colour_of, is_lesion, sources
from planardose.report import limits as words
from planardose.report.remarks import Remarks, split
from planardose.report.text import GATE_PILLS, is_key, method_name, organ_name, organ_order, per_gbq, percent, with_u

MOST_RETAINED = 1.1  # of the administered activity, decay-corrected: more is not physical
MOST_GAINED = 1.1  # decay-corrected activity over that of the time point before: no body gains any


def status_pills(s: dict) -> list[dict]:
    """Status, gate and calibration at a glance."""
    kind = "good" if s["status"] == "ok" else "warn"
    calibration = ("good", "calibrated") if s["calibrated"] else ("warn", "not calibrated on this camera")
    pills = [(kind, f"{s['status']}: {method_name(s['method'])}"), GATE_PILLS[s["gate"]], calibration]
    return [{"kind": k, "text": t} for k, t in pills]


def first_notes(s: dict, retained: dict, of_foci: str = "") -> list[dict]:
    """What the reader must know before the numbers; `retained` as for the page."""
    above = ", ".join(f"{percent(share)} at {t}" for t, share in retained.items() if share > MOST_RETAINED)
    far = ", ".join(f"{x['ratio']:.2f} at {t}" for t, x in s["scale"].items() if x["plausible"] is False)
    photons, too_low = words.photons(s)
    lost, matters = ("", False) if s["dead_time_corrected"] else words.no_dead_time(s)
    notes = [
        ("bad", words.PHOTONS_MATTER.format(photons) if too_low else ""),
        ("bad", words.GATE_FAILED if s["gate"] == "failed" else ""),
        ("warn", f"{s['message'][0].upper()}{s['message'][1:]}." if s["message"] else ""),
        ("warn", "" if s["calibrated"] else words.not_calibrated()),
        ("warn", words.SCALE.format(far) if far else ""),
        ("warn", lost + words.DEAD_TIME_MATTERS if matters else ""),
        ("warn", words.TOO_MUCH.format(above) if above else ""),
        ("warn", words.GAINED.format(gained) if (gained := _gained(s, retained)) else ""),
        ("warn", of_foci),
        ("warn", words.one_point(s)),
    ]
    return [{"kind": k, "text": t} for k, t in notes if t]


def _gained(s: dict, retained: dict) -> str:
    """Time points at which clearly more activity was found than at the one before of their cycle, decay-corrected."""
    pairs = [p for c in s["cycles"].values() for p in pairwise(t for t in c["timepoints"] if t in retained)]
    rising = [(later, before) for before, later in pairs if retained[later] > MOST_GAINED * retained[before]]
    return ", ".join(f"{percent(retained[a])} at {a} after {percent(retained[b])} at {b}" for a, b in rising)


def key_doses(s: dict, used: pd.DataFrame, remarks: Remarks) -> dict:
    """Rows of the main organs, all cycles together, the remarks on them, and what has no dose.

    `used` are the rows of the dose table by the method that is reported.
    """
    flags = {organ: set().union(*map(split, texts)) for organ, texts in used.groupby("organ")["flags"]}
    unknown = [dict.fromkeys(("dose_gy", "dose_gy_u", "dose_gy_per_gbq")) | {"organ": o} for o in flags]
    added = {o["organ"]: o for o in (*unknown, *s["organs"]) if is_key(o["organ"])}
    organs = sorted(added.values(), key=lambda o: organ_order(o["organ"]))
    top = max((o["dose_gy"] or 0.0 for o in organs), default=0.0) or 1.0
    rows = [
        {
            "organ": organ_name(o["organ"]),
            "remarks": remarks.beside(flags[o["organ"]]),
            "colour": colour_of(o["organ"]),
            "dose": with_u(o["dose_gy"], o["dose_gy_u"]),
            "per_gbq": per_gbq(o["dose_gy"], o["dose_gy_u"], o["dose_gy_per_gbq"]),
            "bar": round(100 * (o["dose_gy"] or 0.0) / top, 1),
        }
        for o in organs
    ]
    more = words.ADDED_CYCLES if len(s["cycles"]) > 1 else ""
    photons = "by Monte Carlo" if s["config"]["dose"]["photons"] else "not included"
    return {
        "key_doses": rows,
        "key_remarks": remarks.meanings(set().union(*(flags[o["organ"]] for o in organs))),
        "key_note": words.KEY_NOTE.format(photons) + words.PER_GBQ + more,
        "no_dose": _no_dose(set(flags)),
    }


def _no_dose(organs: set[str]) -> str:
    """What is never dosed, and which of the main organs the label map lacks."""
    lacking = [organ_name(o).lower() for o in sorted(set(sources()) - organs, key=organ_order) if is_key(o)]
    lesions = [] if any(map(is_lesion, organs)) else ["any lesion"]
    told = words.NO_OUTLINE.format("; ".join(lacking + lesions)) if lacking or lesions else ""
    return words.NO_DOSE + told
