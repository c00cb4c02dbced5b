"""Where a planar pair lies: one rigid pose, the posterior head against the anterior, organs that moved."""

from dataclasses import dataclass, field

import numpy as np

from planardose.frames import PlanarPose
from planardose.recon.register import about


@dataclass(frozen=True)
class Placement:
    """Where a planar pair lies.

    Parameters
    ----------
    pose : PlanarPose
        Of the anterior view.
    head : (x mm, z mm, degrees)
        Where the posterior view shows a point less where the anterior view does, turned about the grid's middle.
    organs : dict
        Organ -> (x mm, z mm): where it lay, less its place in the CT.
    """

    pose: PlanarPose
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    organs: dict[str, tuple[float, float]] = field(default_factory=dict)

    def poses(self, centre: tuple[float, float]) -> tuple[PlanarPose, PlanarPose]:
        """Of the anterior and the posterior view; `centre` as `register.middle_of` gives it."""
        return self.pose, about(self.pose, centre, -np.array(self.head))

    def told(self) -> dict:
        """As it stands in a registration file."""
        return {
            "x_mm": round(self.pose.x_mm, 4),
            "z_mm": round(self.pose.z_mm, 4),
            "rotation_deg": round(self.pose.rotation_deg, 5),
            "posterior_head": [round(v, 4) for v in self.head],
            "organs_mm": {name: [round(v, 3) for v in move] for name, move in self.organs.items()},
        }

    @classmethod
    def read(cls, told: dict) -> "Placement":
        """Inverse of `told`, from a registration file's content."""
        organs = {name: (x, z) for name, (x, z) in told["organs_mm"].items()}
        x, z, turn = told["posterior_head"]
        return cls(PlanarPose(told["x_mm"], told["z_mm"], told["rotation_deg"]), (x, z, turn), organs)
