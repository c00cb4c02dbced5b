"""Letters beside organs, and what they stand for."""

from dataclasses import dataclass
from string import ascii_lowercase

import pandas as pd

from planardose.report.text import organ_order


@dataclass(frozen=True)
class Remarks:
    """Flag -> letter, the same in every table of a page; `texts` has the flags' words."""

    letters: dict[str, str]
    texts: dict[str, str]

    @classmethod
    def of(cls, doses: pd.DataFrame, texts: dict[str, str]) -> "Remarks":
        """Of the column `flags` (``;`` between them), lettered as the page's first rows need them."""
        rows = sorted(doses.itertuples(), key=lambda r: (organ_order(r.organ), r.cycle))
        flags = dict.fromkeys(x for r in rows for x in sorted(split(r.flags)))
        return cls(dict(zip(flags, ascii_lowercase, strict=False)), texts)

    def beside(self, flags: set[str]) -> str:
        """Letters of the flags, for a cell."""
        return ", ".join(sorted(self.letters[x] for x in flags))

    def meanings(self, flags: set[str]) -> list[tuple[str, str]]:
        """(letter, words) of the flags, for the note below a table."""
        return sorted((self.letters[x], self.texts.get(x, x)) for x in flags)


def split(flags: str) -> set[str]:
    """The flags of a cell of a table."""
    return {x for x in flags.split(";") if x}
