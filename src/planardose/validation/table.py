"""The validation table as text: what the command prints and the page shows."""

from collections.abc import Iterable

from planardose.validation.check import Check


def number(value: float) -> str:
    """Five significant digits, without trailing zeros."""
    return f"{value:.5g}"


def ours(check: Check) -> str:
    """The value found, with its standard uncertainty where it has one."""
    u = check.found.u_ours
    return number(check.found.ours) + (f" ± {u:.1g}" if u is not None else "")


def tolerance(check: Check) -> str:
    """As demanded, and for sigma what it comes to."""
    demand = check.demand
    if demand.kind == "relative":
        return f"{number(100 * demand.tolerance)} %"
    if demand.kind == "sigma":
        return f"{demand.tolerance:g} σ = {check.allowed:.2g}"
    return number(demand.tolerance) if demand.tolerance else "exact"


def verdict(check: Check) -> str:
    """``pass`` or ``FAIL``."""
    return "pass" if check.passed else "FAIL"


def heading() -> str:
    """Names of the columns of `line`."""
    return f"{'':<6}{'row':<26}{'ours':<20}{'reference':<12}{'tolerance':<15}{'unit':<15}quantity; source"


def line(check: Check) -> str:
    """One line of the printed table, with the analysis of a failing row below it."""
    demand = check.demand
    text = (
        f"{verdict(check):<6}{demand.name:<26}{ours(check):<20}{number(check.reference):<12}{tolerance(check):<15}"
        f"{demand.unit:<15}{demand.quantity}; {demand.source}"
    )
    return text + (f"\n{'':<6}{demand.analysis}" if demand.analysis and not check.passed else "")


def summary(checks: Iterable[Check]) -> str:
    """How many rows there are, which fail, and the time that all took."""
    checks = list(checks)
    failing = [c.demand.name for c in checks if not c.passed]
    named = f": {', '.join(failing)}" if failing else ""
    return f"{len(checks)} rows in {sum(c.seconds for c in checks):.0f} s, {len(failing)} fail{named}"
