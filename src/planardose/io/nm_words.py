"""The view that the words of an NM image's description name, in English, German or French."""

import re
import unicodedata

# "postero-anterior" and PA are a beam's direction in radiography; of a camera they mean its view, most often
PROJECTIONS = {"AP": "anterior", "PA": "posterior"}
WORDS = {
    "anterior": r"ANT(ER(IOR|IEUR)E?)?|VENTRAL(E[RSN]?)?|VORNE?|VORDERANSICHT|AVANT|DEVANT",
    "posterior": r"POST(ER(IOR|IEUR)E?)?|DORSAL(E[RSN]?)?|HINTEN|RUE?CK(EN)?ANSICHT|ARRIERE|DERRIERE",
}
VIEW_WORDS = {view: re.compile(rf"(?<![A-Z])({words})(?![A-Z])") for view, words in WORDS.items()}
PROJECTION = re.compile(r"(?<![A-Z])(A\.?P|P\.?A)(?![A-Z])")
DIRECTIONS = (
    (re.compile(r"(?<![A-Z])ANTERO[ -]?POSTERI(OR|EUR)E?(?![A-Z])"), " AP "),
    (re.compile(r"(?<![A-Z])POSTERO[ -]?ANTERI(OR|EUR)E?(?![A-Z])"), " PA "),
)
NO_VIEW = re.compile(r"OBL|(?<![A-Z])((ANTERO|POSTERO)|[LR][AP]O(?![A-Z]))")
AFTER = re.compile(  # Latin "post": after
    r"(?<![A-Z])POST[ -]*(\d+\.?[ -]*)?((THERAP|TREAT|PROC|INJ|INFUS|ADMIN|OPERAT|[CZ]Y[CK]L|DOS[EI])[A-Z]*"
    r"|(TX|RX|OP|P\.?I|I\.?V|PRRT|RLT|PRLT|RIT|LU|131-?I)(?![A-Z]))"
)
BEFORE = re.compile(r"(?<![A-Z])AVANT[ -]+(L[AE] |L')?(THERAP|TRAIT|INJ|CURE)[A-Z]*")  # French: in front, before


def view_of_text(text: str) -> tuple[str | None, bool]:
    """View that a text names, None where it names none or both; and whether by a projection alone, AP or PA.

    "Post" and "avant" before a treatment mean after and before it, and oblique views are neither.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).upper()
    plain = BEFORE.sub("", AFTER.sub("", plain.replace("_", " ")))
    for direction, short in DIRECTIONS:
        plain = direction.sub(short, plain)
    if NO_VIEW.search(plain):
        return None, False
    named = {view for view, words in VIEW_WORDS.items() if words.search(plain)}
    projections = {PROJECTIONS[p.replace(".", "")] for p in (m[1] for m in PROJECTION.finditer(plain))}
    found = named | projections
    return (found.pop(), not named) if len(found) == 1 else (None, False)
