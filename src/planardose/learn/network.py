"""The patient's network: a small MONAI 3D U-Net that corrects a physics estimate voxel by voxel."""

import torch
from monai.networks.nets.unet import UNet
from torch.nn import functional

from planardose.learn.device import at_least_two, drawn_from

STRIDES = (2, 2)
MULTIPLE = 4  # product of the strides: inputs are padded to it
LIMIT = 4.0  # the correction stays within exp(-4) to exp(4)


class ResidualMap(torch.nn.Module):
    """``map = base * exp(scale * correction)``: the base exactly where the correction is zero, never negative.

    The U-Net ends in `width` features; a 1x1x1 convolution that starts at zero turns them into the correction, so that
    an untrained network returns its base.

    Parameters
    ----------
    channels : int
        Number of input channels (`features.CHANNELS`).
    width : int
        Channels of the first level; the next ones have 2 and 4 times as many.

    Attributes
    ----------
    products : torch.dtype
        Of convolutions during training (`device.products_of`); maps are always made in float32.
    """

    products = torch.float32

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.unet = UNet(
            spatial_dims=3,
            in_channels=channels,
            out_channels=width,
            channels=(width, 2 * width, 4 * width),
            strides=STRIDES,
            num_res_units=1,
            norm=("instance", {"affine": True}),
        )
        self.unet.to(memory_format=torch.channels_last_3d)  # a quarter faster on a CPU
        self.head = torch.nn.Conv3d(width, 1, kernel_size=1)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, channels: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
        """Activity maps (N, I, J, K) in the unit of `base` from channels (N, C, I, J, K) and base maps (N, I, J, K)."""
        number, size = len(channels), channels.shape[2:]
        missing = [-n % MULTIPLE for n in size]
        padded = functional.pad(at_least_two(channels), [p for n in reversed(missing) for p in (0, n)])
        padded = padded.contiguous(memory_format=torch.channels_last_3d)
        low = self.training and self.products == torch.bfloat16
        with torch.autocast(padded.device.type, dtype=torch.bfloat16, enabled=low):
            correction = self.head(functional.leaky_relu(self.unet(padded), 0.1))
        correction = correction.float()[:number, 0, : size[0], : size[1], : size[2]]
        return base * torch.exp(self.scale * LIMIT * torch.tanh(correction / LIMIT))


def new_network(channels: int, width: int, seed: int) -> ResidualMap:
    """A network with weights drawn from `seed`, whatever was drawn before; torch's global state is left as it was."""
    with drawn_from(seed):
        return ResidualMap(channels, width)
