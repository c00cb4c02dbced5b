"""What a synthetic cohort is given and imaged with: nuclide, tracer, camera, activity and times."""

from dataclasses import dataclass

import yaml

from planardose.data_table import DATA
from planardose.errors import InputError
from planardose.library import load_camera, load_nuclide
from planardose.physics.sensitivity import LEAST_OPEN, open_share
from planardose.sim.tracer import load_tracer
from planardose.sim.uptake import Administered

HOURS = ((4.0, 24.0, 96.0, 168.0), (24.0, 72.0, 168.0))  # nominal times of odd and even patients
LAST_HALF_LIVES = 2.5  # the latest time is no later: of less than a sixth of the activity no good images are made


@dataclass(frozen=True)
class Procedure:
    """Names of the catalogue, and the range (MBq) in which a patient's injected activity is drawn."""

    nuclide: str = "177Lu"
    tracer: str = "177Lu-PSMA-617"
    camera: str = "siemens_symbia_melp"
    injected_mbq: tuple[float, float] = (7000.0, 7600.0)

    def hours(self, number: int) -> tuple[float, ...]:
        """Nominal times after the injection of patient `number` (from 1); all earlier where the half-life is short."""
        times = HOURS[(number - 1) % 2]
        longest = max(map(max, HOURS))
        share = min(1.0, LAST_HALF_LIVES * load_nuclide(self.nuclide).half_life_h / longest)
        return tuple(share * h for h in times)

    def administered(self, mbq: float) -> Administered:
        """So many MBq of its tracer in a patient."""
        return Administered(load_tracer(self.tracer), load_nuclide(self.nuclide).half_life_h, mbq)


DEFAULT = Procedure()


def procedure_of(nuclide: str, tracer: str, camera: str, injected_gbq: float | None) -> Procedure:
    """The procedure of these names, in any spelling of the nuclide.

    Parameters
    ----------
    nuclide, tracer, camera : str
    injected_gbq : float or None
        Of every patient; None: what is usual with the nuclide (``data/demo.yaml``).

    Raises
    ------
    InputError
        On a name that the catalogue does not have, a nuclide that cannot be imaged, a collimator whose lead lets most
        of the nuclide's photons through, and an activity that is not known.
    """
    emitter, device = load_nuclide(nuclide), load_camera(camera)
    load_tracer(tracer)
    share = open_share(device, emitter, emitter.photopeak)
    if share < LEAST_OPEN:
        raise InputError(
            f"make-demo --camera {camera}",
            f"with {emitter.name} {100 * (1 - share):.0f} % of its counts come through the lead of its collimator",
            f"at most {100 * (1 - LEAST_OPEN):.0f} %",
            "take a camera with thicker septa: 'planardose list cameras'",
        )
    if injected_gbq is not None:
        return Procedure(emitter.name, tracer, camera, (1e3 * injected_gbq, 1e3 * injected_gbq))
    usual = yaml.safe_load((DATA / "demo.yaml").read_text())["injected_mbq"]
    if emitter.name not in usual:
        raise InputError(
            f"make-demo --nuclide {emitter.name}", "no usual activity is known", "an activity", "give --injected-gbq"
        )
    low, high = usual[emitter.name]
    return Procedure(emitter.name, tracer, camera, (float(low), float(high)))
