"""The training problem of one patient: batches, loss and validation scores, all functions of the virtual data."""

from dataclasses import dataclass, field

import numpy as np
import torch

from planardose.learn.dataset import Acquisition, VirtualData, training_acquisition, validation_acquisitions
from planardose.learn.features import Estimate, Example, FeatureMaker, stack
from planardose.learn.loss import body_mae, body_nrmse, loss, relative_errors, variance_map
from planardose.learn.network import ResidualMap
from planardose.learn.organ_shares import organ_shares
from planardose.library import Nuclide
from planardose.recon.acquired import Acquired, acquired_from
from planardose.seeds import rng_for
from planardose.units import rounded

POOL = 64  # acquisitions at hand at a time
REUSE = 4  # times each is used before new ones are drawn: their physics estimates cost more than they bring
VARIANCE_SAMPLES = 16  # acquisitions that tell the base's usual error
TOGETHER = 2  # validation samples per pass through the network


@dataclass
class Problem:
    """What the training of one patient lowers, on which data.

    Parameters
    ----------
    data : VirtualData
    makers : tuple of FeatureMaker
        The first knows the organs as they were segmented; acquisition n, of training or validation, is seen by maker n
        in turn, so that what is learnt bears with a faulty segmentation.
    nuclide : Nuclide
    shift_mm : float
        Standard deviation of the residual misalignment, per axis.
    root, patient : int, str
        Of all seeds.
    batch : int
        Acquisitions per step.
    """

    data: VirtualData = field(repr=False)
    makers: tuple[FeatureMaker, ...] = field(repr=False)
    nuclide: Nuclide = field(repr=False)
    shift_mm: float
    root: int
    patient: str
    batch: int

    def __post_init__(self) -> None:
        self.maker = self.makers[0]
        model, tensor = self.maker.model, self.maker.projector.tensor
        self._pool: dict[int, tuple[Estimate, np.ndarray]] = {}
        self.body = tensor(model.body[self.maker.box].astype(np.float32))
        drawn = validation_acquisitions(self.data, self.root, self.patient)
        makers = [self.maker_of(n) for n in range(len(drawn))]
        self.validation = [m.example(self.estimate(a, m), a.activity) for m, a in zip(makers, drawn, strict=True)]
        known = stack([self.example(n) for n in range(VARIANCE_SAMPLES)])
        errors = relative_errors(known.base, known.truth, self.body)
        self.variance = variance_map(errors, self.maker.fractions)

    def acquired(self, acquisition: Acquisition) -> Acquired:
        """What a reconstruction starts from."""
        counts, exposure_s = acquisition.counts, acquisition.exposure_s
        return acquired_from(counts, self.data.windows, exposure_s, self.nuclide, self.data.step_mm)

    def maker_of(self, number: int) -> FeatureMaker:
        """Who sees acquisition `number`."""
        return self.makers[number % len(self.makers)]

    def estimate(self, acquisition: Acquisition, maker: FeatureMaker) -> Estimate:
        """The physics estimates of a virtual acquisition."""
        return maker.estimate(self.acquired(acquisition))

    def _pooled(self, number: int) -> tuple[Estimate, np.ndarray]:
        if number not in self._pool:
            for old in [n for n in self._pool if n // POOL < number // POOL]:
                del self._pool[old]
            drawn = training_acquisition(self.data, self.shift_mm, self.root, self.patient, number)
            self._pool[number] = self.estimate(drawn, self.maker_of(number)), drawn.activity
        return self._pool[number]

    def holds(self, number: int) -> bool:
        """Whether training acquisition `number` is at hand."""
        return number in self._pool

    def batch_of(self, step: int) -> Example:
        """Training batch of a step: the pool in a new order each time round, and a new pool after `REUSE` times."""
        return stack([self.example(number) for number in self.numbers_of(step)])

    def numbers_of(self, step: int) -> list[int]:
        """Numbers of the training acquisitions of a step."""
        numbers = []
        for draw in range(step * self.batch, (step + 1) * self.batch):
            time_round, place = divmod(draw, POOL)
            order = rng_for(self.root, "train order", self.patient, time_round).permutation(POOL)
            numbers.append((time_round // REUSE) * POOL + int(order[place]))
        return numbers

    def example(self, number: int) -> Example:
        """Example of training acquisition `number`."""
        return self.maker_of(number).example(*self._pooled(number))

    def loss_of(self, network: ResidualMap, batch: Example) -> torch.Tensor:
        """Loss of the network on a batch."""
        return loss(network(batch.channels, batch.base), batch.truth, self.body, self.variance)

    def maps(self, network: ResidualMap) -> list[torch.Tensor]:
        """The network's maps (I, J, K) of the validation samples, in the box."""
        network.eval()
        with torch.no_grad():
            groups = [self.validation[n : n + TOGETHER] for n in range(0, len(self.validation), TOGETHER)]
            batches = [stack(g) for g in groups]
            return [m for b in batches for m in network(b.channels, b.base)]

    def scores(self, network: ResidualMap) -> tuple[float, float, float]:
        """Means over the validation samples of loss, body MAE and body NRMSE."""
        return self._scored(torch.stack(self.maps(network)))

    def base_scores(self) -> tuple[float, float, float]:
        """The same of the base, a network's zero output."""
        return self._scored(torch.stack([e.base for e in self.validation]))

    def _scored(self, estimate: torch.Tensor) -> tuple[float, float, float]:
        truth = torch.stack([e.truth for e in self.validation])
        value = loss(estimate, truth, self.body, self.variance)
        mae, nrmse = (f(estimate, truth, self.body).mean() for f in (body_mae, body_nrmse))
        return float(value), float(mae), float(nrmse)

    def organ_relative_u(self, network: ResidualMap) -> dict[str, float]:
        """Root mean square over the validation samples of each organ's relative activity error, bias included."""
        fractions = self.maker.fractions
        share = organ_shares(fractions)
        estimate, truth = torch.stack(self.maps(network)), torch.stack([e.truth for e in self.validation])
        estimated, true = (torch.einsum("oijk,nijk->no", share.double(), m.double()) for m in (estimate, truth))
        relative = ((estimated - true) / true.clamp_min(1e-12)).square().mean(dim=0).sqrt()
        present = fractions.sum(dim=(1, 2, 3)) > 0
        rows = zip(self.maker.model.organs, relative.tolist(), present.tolist(), strict=True)
        return {organ: rounded(u) for organ, u, there in rows if there}
