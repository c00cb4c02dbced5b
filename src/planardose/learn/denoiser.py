"""The denoiser of the method `diffusion`: a small conditional MONAI diffusion U-Net on folded voxels.

A *residual* is what the reference map (the U-Net's, or the physics base) misses: the logarithm of a ratio, brought to
zero mean and unit variance in each organ. The residual x and unit noise e mix on a quarter circle,

    x_angle = cos(angle) x + sin(angle) e,      0 <= angle <= pi/2,

and the network predicts the velocity ``v = cos(angle) e - sin(angle) x`` (Salimans and Ho 2022, "Progressive
distillation for fast sampling of diffusion models", section 4), the derivative of x_angle. A network that says zero
therefore draws the noise itself. The noise looks like the residual (`learn.noise`), so that an untrained network
already draws the spread of voxels and organ totals; training adds what the acquisition tells.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet
from torch.nn import functional

from planardose.learn.device import at_least_two, drawn_from

FOLD = 2  # voxels per axis that become channels: nothing is lost, and the network costs an eighth
MULTIPLE = 8  # FOLD times the U-Net's two halvings: inputs are padded to it
CONDITION = 16  # channels of the encoded condition
GROUP = 8  # channels per head of the attention in the middle; also the number of groups of each normalisation
EMBEDDED = 1000.0  # the angle pi/2 as the time that MONAI's embedding expects


def padded(x: torch.Tensor) -> torch.Tensor:
    """Zeros behind the last three axes up to a `MULTIPLE`."""
    missing = [-n % MULTIPLE for n in x.shape[-3:]]
    return functional.pad(x, [p for n in reversed(missing) for p in (0, n)])


def folded(x: torch.Tensor) -> torch.Tensor:
    """(N, 8, I/2, J/2, K/2) from maps (N, I, J, K): the voxels of each 2 x 2 x 2 cube as channels."""
    n, *size = x.shape
    cubes = x.reshape(n, *(m for s in size for m in (s // FOLD, FOLD)))
    return cubes.permute(0, 2, 4, 6, 1, 3, 5).reshape(n, FOLD**3, *(s // FOLD for s in size))


def unfolded(x: torch.Tensor) -> torch.Tensor:
    """Inverse of `folded`."""
    n, _, *size = x.shape
    cubes = x.reshape(n, FOLD, FOLD, FOLD, *size).permute(0, 4, 1, 5, 2, 6, 3)
    return cubes.reshape(n, *(FOLD * s for s in size))


class Denoiser(torch.nn.Module):
    """Velocity of a noisy residual, given the condition.

    Parameters
    ----------
    channels : int
        Number of channels of the condition.
    width : int
        Channels of the first two levels of the U-Net, a multiple of 8; the third has twice as many.

    Attributes
    ----------
    products : torch.dtype
        Of convolutions and attention, in training and in draws (`device.products_of`).
    """

    products = torch.float32

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.encoder = torch.nn.Sequential(
            torch.nn.Conv3d(channels, width, kernel_size=FOLD + 1, stride=FOLD, padding=1),
            torch.nn.SiLU(),
            torch.nn.Conv3d(width, CONDITION, kernel_size=3, padding=1),
        )
        self.unet = DiffusionModelUNet(  # its last convolution starts at zero
            spatial_dims=3,
            in_channels=FOLD**3 + CONDITION,
            out_channels=FOLD**3,
            num_res_blocks=1,
            channels=(width, width, 2 * width),
            attention_levels=(False, False, False),
            norm_num_groups=GROUP,
            num_head_channels=GROUP,
        )
        self.to(memory_format=torch.channels_last_3d)  # a quarter faster on a CPU

    @contextmanager
    def _fast(self, inputs: torch.Tensor) -> Iterator[torch.Tensor]:
        """Channels last, and products as `products` says."""
        low = self.products == torch.bfloat16
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=low):
            yield inputs.contiguous(memory_format=torch.channels_last_3d)

    def condition(self, channels: torch.Tensor) -> torch.Tensor:
        """Encoded condition (N, 16, I/2, J/2, K/2) of channels (N, C, I, J, K): once for all draws and angles."""
        with self._fast(padded(at_least_two(channels))) as fast:
            return self.encoder(fast)[: len(channels)].float()

    def forward(self, noisy: torch.Tensor, angle: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Velocity (N, I, J, K) of noisy residuals (N, I, J, K) at angles (N,) in radians."""
        inputs = torch.cat([folded(padded(noisy)), condition], dim=1)
        angle = at_least_two(angle) * (EMBEDDED / (math.pi / 2))
        with self._fast(at_least_two(inputs)) as fast:
            velocity = unfolded(self.unet(fast, angle).float())
        n, i, j, k = noisy.shape
        return velocity[:n, :i, :j, :k]


def new_denoiser(channels: int, width: int, seed: int) -> Denoiser:
    """A denoiser with weights drawn from `seed`, whatever was drawn before; torch's global state is left as it was."""
    with drawn_from(seed):
        return Denoiser(channels, width)
