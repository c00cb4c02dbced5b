"""The house's order: imports go down only, and what the Snakefile loads stays light."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import planardose
from planardose.cli.help import SECTIONS
from planardose.paths import STEP_VERSIONS

SOURCE = Path(planardose.__file__).parent
STAGES = ("anatomy", "sim", "recon", "learn", "dose", "report")
ABOVE = {"validation": 4, "demo": 4, "steps": 5, "commands": 6, "workflow": 6, "cli": 7, "__main__": 8}
LEVEL = {"io": 1, "physics": 2, **dict.fromkeys(STAGES, 3), **ABOVE}  # core modules: 0
SIDEWAYS = {("learn", "recon")}  # the network's base is a classical reconstruction


def part_of(module: str) -> str:
    """Second word of ``planardose.X.Y``; io.files holds nothing but the standard library and counts as core."""
    words = module.split(".")
    return "core" if words[1:3] == ["io", "files"] or len(words) < 2 else words[1]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            pytest.fail(f"{path.name}: relative import; the test reads absolute ones")
    return {n for n in names if n.startswith("planardose.")}


def faults_of(path: Path, module: str) -> list[str]:
    here = part_of(module)
    found = []
    for name in sorted(imported(path)):
        there = part_of(name)
        down = (
            LEVEL.get(there, 0) < LEVEL.get(here, 0) or there == here or LEVEL.get(there, 0) == LEVEL.get(here, 0) == 0
        )
        if not down and (here, there) not in SIDEWAYS:
            found.append(f"{module} imports {name}")
    return found


def test_imports_go_down():
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        module = ".".join(("planardose", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
        found += faults_of(path, module)
    assert not found, "\n".join(found)


def test_the_layer_test_sees_an_upward_import(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from planardose.steps.report import report\n")
    assert faults_of(bad, "planardose.physics.bad")
    assert faults_of(bad, "planardose.units")
    bad.write_text("import planardose.learn.train\n")
    assert faults_of(bad, "planardose.recon.bad")
    bad.write_text("from planardose.recon.mlem import mlem\nfrom planardose.io.files import atomic\n")
    assert not faults_of(bad, "planardose.learn.bad")


def test_the_architecture_names_every_room_and_every_file_of_the_core():
    page = (SOURCE.parents[1] / "docs/architecture.md").read_text()
    rooms = [f"{path.parent.name}/" for path in SOURCE.glob("*/__init__.py")]
    files = [path.stem for path in SOURCE.glob("*.py") if path.stem not in {"__init__", *ABOVE}]
    above = [f"{name}.py" for name in ABOVE if (SOURCE / f"{name}.py").exists()]
    assert [name for name in (*rooms, *files, *above) if f"`{name}`" not in page] == []


def test_every_rule_has_its_step_and_every_other_command_its_file():
    """Both are loaded by name when a command runs; `list` is the catalogue's."""
    rules = "".join(f.read_text() for f in (SOURCE.parents[1] / "rules").glob("*.smk"))
    rules = set(re.findall(r"^ *rule (\w+):", rules, re.MULTILINE))
    others = {name.replace("-", "_") for names in SECTIONS.values() for name in names} - rules - {"list"}
    assert rules == set(STEP_VERSIONS)
    assert [name for name in rules if not (SOURCE / f"steps/{name}.py").exists()] == []
    assert [name for name in others if not (SOURCE / f"commands/{name}.py").exists()] == []


HEAVY = {"torch", "monai", "warp", "nibabel", "pandas", "matplotlib", "scipy", "pydicom", "xraylib", "totalsegmentator"}
COST = """
import json, sys, time
start = time.process_time()
import {module}
seconds = time.process_time() - start
modules = sorted(m for m in sys.modules if "." not in m)
start = time.process_time()
sum(n * n for n in range(300000))
print(json.dumps([seconds / max(1, (time.process_time() - start) / {loop_s}), modules]))
"""
LOOP_S = 0.03  # what COST's loop takes on an idle core of 2020: a slower or busy one gets as much more time


def import_cost(module: str) -> tuple[float, set[str]]:
    """CPU seconds, least of five, corrected for a slow or busy core; and the modules loaded."""
    runs = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", COST.format(module=module, loop_s=LOOP_S)], check=True, capture_output=True
            ).stdout
        )
        for _ in range(5)
    ]
    return min(r[0] for r in runs), set(runs[0][1])


@pytest.mark.parametrize(
    ("name", "limit_s"),
    [
        ("config", 0.3),
        ("organs", 0.3),
        ("seeds", 0.3),
        ("paths", 0.3),
        ("cohort", 0.5),
        ("sheet", 0.5),
        ("workflow", 0.5),
        ("cli", 0.3),
    ],
)
def test_light_imports(name, limit_s):
    seconds, modules = import_cost(f"planardose.{name}")
    assert not modules & HEAVY
    assert seconds < limit_s, f"planardose.{name} takes {seconds:.2f} s"


def test_help_is_quick():
    command = [str(Path(sys.executable).with_name("planardose")), "--help"]
    code = (
        f"import resource, subprocess; subprocess.run({command!r}, check=True, stdout=subprocess.DEVNULL);"
        "u = resource.getrusage(resource.RUSAGE_CHILDREN); print(u.ru_utime + u.ru_stime)"
    )
    times = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout) for _ in range(3)
    ]
    assert min(times) < 0.5


LIGHT = ("import_planar", "sample_uptake", "register", "fit_kinetics", "absorbed_dose", "report", "report_cohort")
FOLLOW_PHOTONS = ("absorbed_dose",)  # once a patient


@pytest.mark.parametrize("step", LIGHT)
def test_steps_of_every_time_point_and_page_do_without_torch(step):
    """They are half of a cohort's jobs, and torch takes longer to import than some of them work."""
    code = f"import sys, planardose.steps.{step}; print('torch' in sys.modules, 'warp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", str(step in FOLLOW_PHOTONS)]
