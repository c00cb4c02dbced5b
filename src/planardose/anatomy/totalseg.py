"""Organ segmentation by the TotalSegmentator package: offline, no usage statistics, nothing left in the home folder."""

import contextlib
import importlib.metadata
import io
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np

from planardose.errors import InputError
from planardose.image import Volume
from planardose.organs import label_of_name

HEAD_BASE = 200  # label of class n of head_glands_cavities is 200 + n
HEAD_TASK = "head_glands_cavities"
DATASETS = {"total": (291, 292, 293, 294, 295), "fastest": (298,), HEAD_TASK: (298, 775)}  # the glands' crop needs 298
NNUNET_VARIABLES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
log = logging.getLogger(__name__)


def weights_folder(weights: str | None) -> Path:
    """Folder of the weights: config ``segmentation.weights``, else TotalSegmentator's own choice."""
    if weights is not None:
        return Path(weights).expanduser().absolute()
    from totalsegmentator.config import get_weights_dir  # imports torch

    return get_weights_dir()


def missing_weights(folder: Path, task: str) -> dict[str, str]:
    """Weight sets of a task (key of `DATASETS`) that are not in the folder, each with the command that gets it."""
    from totalsegmentator.map_tasks_config import TASK_ID_WEIGHTS_CONFIGS

    names = {TASK_ID_WEIGHTS_CONFIGS[number]["foldername"]: HEAD_TASK if number == 775 else "total"
             for number in DATASETS[task]}
    return {name: f"totalseg_download_weights -t {download}" for name, download in names.items()
            if not any((folder / name).glob("*/fold_*/checkpoint_final.pth"))}


def need_weights(folder: Path, task: str) -> None:
    """Refuse to go on without the weight sets of a task (key of `DATASETS`)."""
    if missing := missing_weights(folder, task):
        commands = " && ".join(dict.fromkeys(missing.values()))
        raise InputError(
            "config segmentation.weights", f"TotalSegmentator's weights are not there: {', '.join(missing)}",
            "their folders in segmentation.weights, or in TotalSegmentator's default folder",
            f"get them with '{commands}', or give a label map in the sheet's column 'segmentation'")


@contextlib.contextmanager
def _offline(folder: Path) -> Iterator[None]:
    """TotalSegmentator's environment: our weights, and a throw-away home whose config file forbids usage statistics."""
    with tempfile.TemporaryDirectory(prefix="planardose-") as home:
        settings = {"totalseg_id": "planardose", "send_usage_stats": False, "prediction_counter": 0,
                    "statistics_disclaimer_shown": True}
        Path(home, "config.json").write_text(json.dumps(settings))
        wanted = {"TOTALSEG_HOME_DIR": home, "TOTALSEG_WEIGHTS_PATH": str(folder),
                  **dict.fromkeys(NNUNET_VARIABLES, str(folder))}
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _point_nnunet_at(folder: Path) -> None:
    """nnU-Net copies its folders into its modules at import: a second run in one process may want others."""
    for name, module in list(sys.modules.items()):
        if name.startswith("nnunetv2"):
            for variable in NNUNET_VARIABLES:
                if hasattr(module, variable):
                    setattr(module, variable, str(folder))


def _predict(image: nib.Nifti1Image, folder: Path, task: str, fastest: bool, device: str) -> np.ndarray:
    """Labels (I, J, K) uint8 of one TotalSegmentator task, in the image's own axis order."""
    said = io.StringIO()
    with _offline(folder), contextlib.redirect_stdout(said):
        from totalsegmentator import python_api

        _point_nnunet_at(folder)
        download = python_api.download_pretrained_weights
        # the weights are there (`need_weights`); the downloader would also delete outdated ones from the user's folder
        python_api.download_pretrained_weights = lambda task_id: None
        try:
            found = python_api.totalsegmentator(image, None, ml=True, task=task, fastest=fastest, quiet=True,
                                                device=device, nr_thr_resamp=1, nr_thr_saving=1)
        finally:
            python_api.download_pretrained_weights = download
    log.debug("TotalSegmentator %s: %s", task, said.getvalue())
    return np.asarray(found.dataobj)


def _device(choice: str, where: str) -> str:
    """TotalSegmentator's word for config ``device``; on a cluster this step may run on a node without a GPU."""
    import torch

    there = torch.cuda.is_available()
    if choice == "cuda" and not there:
        log.warning("%s: torch sees no GPU: TotalSegmentator runs on the CPU, which takes much longer", where)
    return "gpu" if there and choice != "cpu" else "cpu"


def segment_ct(ct: Volume, weights: str | None, fastest: bool, device: str, where: str) -> tuple[Volume, dict]:
    """Organs of a CT.

    Parameters
    ----------
    ct : Volume
        HU, any orientation.
    weights : str or None
        Folder with the weights; None: TotalSegmentator's default folder.
    fastest : bool
        The 6 mm model of task ``total``.
    device : str
        "auto", "cpu" or "cuda"; without a GPU all are "cpu".
    where : str
        Pseudonymous place, for errors and warnings.

    Returns
    -------
    labels : Volume
        int16 on the CT's grid: 1-117 of ``total``, over them 200 + n of ``head_glands_cavities`` where a skull is seen.
    description : dict
        Version, tasks and weight sets, for the sidecar.

    Raises
    ------
    InputError
        Weights not there (with the command that gets them), no organ found.
    """
    folder, body = weights_folder(weights), "fastest" if fastest else "total"
    need_weights(folder, body)
    if missing_weights(folder, HEAD_TASK):
        log.warning("%s: no weights for %s: if the CT shows a head, this will be needed: "
                    "'totalseg_download_weights -t %s'", where, HEAD_TASK, HEAD_TASK)
    chosen = _device(device, where)
    image = nib.Nifti1Image(np.asarray(ct.data, dtype=np.int16), ct.grid.ras_from_voxel)
    labels = _predict(image, folder, "total", fastest, chosen).astype(np.int16)
    tasks = ["total"]
    if (labels == label_of_name()["skull"]).any():
        need_weights(folder, HEAD_TASK)
        head = _predict(image, folder, HEAD_TASK, False, chosen)
        labels = np.where(head > 0, HEAD_BASE + head.astype(np.int16), labels)
        tasks.append(HEAD_TASK)
    if not labels.any():
        raise InputError(where, "TotalSegmentator found no organ", "a CT of the trunk in Hounsfield units")
    version = importlib.metadata.version("TotalSegmentator")
    description = {"totalsegmentator": version, "tasks": tasks, "fastest": fastest}
    return Volume(labels, ct.grid, "label", "1"), description
