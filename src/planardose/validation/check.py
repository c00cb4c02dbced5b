"""What one line of the validation table is: a measured quantity beside its reference, with a verdict."""

from dataclasses import dataclass
from functools import cache

from planardose.data_table import data_table

CHECKS = "validation/checks.tsv"
COMPUTED = "computed"  # in place of a reference that a closed form or a separate calculation gives at run time
KINDS = ("relative", "absolute", "sigma")


@dataclass(frozen=True)
class Effort:
    """How much work goes into the table.

    Parameters
    ----------
    scale : float
        Multiplies every number of histories and draws; 1 is the published table.
    seed : int
        Root of all random numbers.
    threads : int
        CPU threads of the photon transport; the numbers do not depend on it.
    """

    scale: float = 1.0
    seed: int = 1
    threads: int = 1

    def count(self, full: float) -> int:
        """Histories or draws for a row that uses `full` of them in the published table."""
        return max(1000, round(full * self.scale))


FULL, QUICK = Effort(), Effort(scale=0.1)  # the published table; the tests


@dataclass(frozen=True)
class Measured:
    """What a row found: its value, standard uncertainty (None where it is exact), and reference where it computes one.

    `u_ours` holds what is random in `ours`, and in `reference` where that is random as well.
    """

    ours: float
    u_ours: float | None = None
    reference: float | None = None


@dataclass(frozen=True)
class Demand:
    """A line of ``data/validation/checks.tsv``: what a row must meet.

    `reference` is None where the row computes it. `kind` says what `tolerance` multiplies: the reference
    (``relative``), 1 (``absolute``) or the standard uncertainty (``sigma``). `analysis` tells why a row
    fails, if it does.
    """

    name: str
    group: str
    quantity: str
    unit: str
    reference: float | None
    tolerance: float
    kind: str
    source: str
    analysis: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"checks.tsv, {self.name}: kind '{self.kind}' is none of {', '.join(KINDS)}")


@dataclass(frozen=True)
class Check:
    """One finished line: the demand, what was found, and the seconds it took."""

    demand: Demand
    found: Measured
    seconds: float

    @property
    def reference(self) -> float:
        """Of the table of demands, or computed by the row; ValueError where neither has one."""
        known = self.found.reference if self.demand.reference is None else self.demand.reference
        if known is None:
            raise ValueError(f"{self.demand.name}: neither checks.tsv nor the row gives a reference")
        return known

    @property
    def allowed(self) -> float:
        """Largest difference from the reference that passes, in the row's unit.

        Raises
        ------
        ValueError
            For a tolerance in standard uncertainties of a value that has none.
        """
        if self.demand.kind == "sigma":
            if self.found.u_ours is None:
                raise ValueError(f"{self.demand.name}: a tolerance in sigma needs an uncertainty")
            return self.demand.tolerance * self.found.u_ours
        return self.demand.tolerance * (abs(self.reference) if self.demand.kind == "relative" else 1.0)

    @property
    def passed(self) -> bool:
        """Whether ours lies within the tolerance; False for NaN."""
        return bool(abs(self.found.ours - self.reference) <= self.allowed)


@cache
def demands() -> dict[str, Demand]:
    """Every line of ``checks.tsv`` by name, in its order; ValueError where a name stands twice."""
    found = [
        Demand(
            r["name"], r["group"], r["quantity"], r["unit"],
            None if r["reference"] == COMPUTED else float(r["reference"]),
            float(r["tolerance"]), r["kind"], r["source"], r["analysis"] or "",
        )
        for r in data_table(CHECKS)
    ]  # fmt: skip
    if len({d.name for d in found}) != len(found):
        raise ValueError("checks.tsv: a name stands twice")
    return {d.name: d for d in found}
