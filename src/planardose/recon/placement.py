"""Where a planar pair lies: one rigid pose, the posterior head against the anterior, organs that moved."""

from dataclasses import dataclass, field

import numpy as np

from planardose.frames import PlanarPose
from planardose.image import Grid


def about(pose: PlanarPose, centre: tuple[float, float], move: np.ndarray) -> PlanarPose:
    """The pose moved by (x mm, z mm, degrees), turning about the point `centre` of RAS (x, z)."""
    angle = np.deg2rad(move[2])
    c, s = np.cos(angle), np.sin(angle)
    x, z = pose.x_mm - centre[0], pose.z_mm - centre[1]
    return PlanarPose(
        float(c * x - s * z + centre[0] + move[0]),
        float(s * x + c * z + centre[1] + move[1]),
        float(pose.rotation_deg + move[2]),
    )


def middle_of(grid: Grid) -> tuple[float, float]:
    """RAS (x, z) of the grid's middle, about which a pose turns while it is refined."""
    x, z = (float(grid.axis_mm(a).mean()) for a in (0, 2))
    return x, z


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
        """Of the anterior and the posterior view; `centre` as `middle_of` gives it."""
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
