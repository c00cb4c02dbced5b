"""Tiny nnU-Net weights in TotalSegmentator's folder layout whose classes follow thresholds of the CT number.

A PlainConvUNet of two stages with one-voxel kernels, no norm and no activation is linear in its input x, the clipped
and scaled CT number. Its logits are l_c = n x - sum of the n thresholds below class c (n = 0, 1, 2...), whose largest
one is that of the interval in which x lies. Other classes have a large negative bias.
"""

import json
from pathlib import Path

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet

HU_PER_UNIT = 100.0
NEVER = -1000.0
ARCHITECTURE = {
    "n_stages": 2, "features_per_stage": [1, 1], "conv_op": "torch.nn.modules.conv.Conv3d",
    "kernel_sizes": [[1, 1, 1], [1, 1, 1]], "strides": [[1, 1, 1], [1, 1, 1]], "n_conv_per_stage": [1, 1],
    "n_conv_per_stage_decoder": [1], "conv_bias": True, "norm_op": None, "norm_op_kwargs": None, "dropout_op": None,
    "dropout_op_kwargs": None, "nonlin": None, "nonlin_kwargs": None,
}


def rule(hu: np.ndarray, thresholds: list[float], classes: list[int]) -> np.ndarray:
    """Class of CT numbers: ``classes[n]`` where n thresholds lie below."""
    return np.array(classes)[np.searchsorted(thresholds, hu)]


def _network(number_of_classes: int, thresholds: list[float], classes: list[int]) -> dict[str, torch.Tensor]:
    arguments = ARCHITECTURE | {"conv_op": torch.nn.Conv3d}
    net = PlainConvUNet(input_channels=1, num_classes=number_of_classes, deep_supervision=False, **arguments)
    weights = net.state_dict()
    for name, tensor in weights.items():
        tensor.zero_()
        if name.endswith("weight") and "seg_layers" not in name:
            tensor[:, -1] = 1  # encoder: its input; decoder: the skip connection, which is the last channel
    head = "decoder.seg_layers.0"
    weights[f"{head}.bias"].fill_(NEVER)
    for n, c in enumerate(classes):
        weights[f"{head}.weight"][c] = n
        weights[f"{head}.bias"][c] = -sum(thresholds[:n]) / HU_PER_UNIT
    return weights


def write_weights(folder: Path, dataset: str, trainer: str, configuration: str, spacing_mm: list[float],
                  number_of_classes: int, thresholds: list[float], classes: list[int], patch: int = 32) -> None:
    """Write one weight set; `spacing_mm` as (z, y, x), `classes` with one entry more than `thresholds`."""
    model = folder / dataset / f"{trainer}__nnUNetPlans__{configuration}"
    (model / "fold_0").mkdir(parents=True)
    function, options = "resample_data_or_seg_to_shape", {"order": 1, "order_z": 0, "force_separate_z": None}
    settings = {
        "data_identifier": "tiny", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2,
        "patch_size": [patch] * 3, "spacing": spacing_mm, "median_image_size_in_voxels": [64.0] * 3,
        "normalization_schemes": ["CTNormalization"], "use_mask_for_norm": [False], "batch_dice": False,
        **{f"resampling_fn_{x}": function for x in ("data", "seg", "probabilities")},
        **{f"resampling_fn_{x}_kwargs": options | {"is_seg": x == "seg"} for x in ("data", "seg", "probabilities")},
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": ARCHITECTURE, "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    intensity = {"mean": 0.0, "std": HU_PER_UNIT, "percentile_00_5": -1000.0, "percentile_99_5": 1500.0,
                 "min": -1000.0, "max": 1500.0, "median": 0.0}
    plans = {
        "dataset_name": dataset, "plans_name": "nnUNetPlans", "original_median_spacing_after_transp": spacing_mm,
        "original_median_shape_after_transp": [64, 64, 64], "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2], "configurations": {configuration: settings},
        "experiment_planner_used": "ExperimentPlanner", "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": intensity},
    }
    labels = {"background": 0} | {f"class_{n}": n for n in range(1, number_of_classes)}
    dataset_json = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz"}
    (model / "plans.json").write_text(json.dumps(plans))
    (model / "dataset.json").write_text(json.dumps(dataset_json))
    checkpoint = {"network_weights": _network(number_of_classes, thresholds, classes), "trainer_name": trainer,
                  "init_args": {"configuration": configuration}, "inference_allowed_mirroring_axes": None}
    torch.save(checkpoint, model / "fold_0" / "checkpoint_final.pth")
