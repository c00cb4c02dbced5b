"""Which modules of `planardose.physics` make a table: what its place in the cache must depend on."""

import ast
from pathlib import Path

from planardose import physics


def imported(name: str) -> set[str]:
    """Modules of `planardose.physics` that one of them imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(Path(physics.__file__).with_name(f"{name}.py").read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "planardose.physics":
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("planardose.physics."):
            found.add(node.module.rpartition(".")[2])
    return found


def makers_of(name: str, but: set[str] = frozenset()) -> set[str]:
    """A module and all those that it imports, on and on, without going through those in `but`."""
    seen, left = set(), {name}
    while left:
        seen |= left
        left = set().union(*map(imported, left)) - seen - but
    return seen
