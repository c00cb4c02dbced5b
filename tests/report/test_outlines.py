"""Outlines on the CT: which planes are shown, and that left and right of a tilted series are not exchanged."""

import numpy as np
import pytest

from planardose.image import Grid, Volume
from planardose.organs import LESION_BASE, label_of_name, sources
from planardose.report import outlines
from planardose.report.outlines import MOST_LESIONS, outlines_figure

LABELS = label_of_name()


def volumes(flips=(1, 1, 1)):
    """A CT and labels in 4 mm voxels whose axes run along or against RAS; a kidney at the right, and a lesion."""
    grid = Grid.axis_aligned((60, 40, 50), 4.0, (-118.0, -78.0, 10.0))
    ct, labels = np.full(grid.shape, -1000.0, np.float32), np.zeros(grid.shape, np.int16)
    ct[5:55, 5:35] = 40.0
    labels[40:48, 8:14, 20:30] = LABELS["kidney_right"]
    labels[41:47, 9:13, 25] = LABELS["kidney_right"]
    labels[38:50, 8:14, 24] = LABELS["kidney_right"]  # the largest slice: z = 10 + 24 * 4 mm
    labels[30:33, 20:23, 40:43] = LESION_BASE + 1
    step = np.array(flips)
    turned = tuple(slice(None, None, s) for s in flips)
    affine = np.diag([*(4.0 * step), 1.0])
    last = np.array(grid.shape) - 1
    affine[:3, 3] = grid.ras_from_voxel[:3, 3] + np.where(step < 0, last * 4.0, 0.0)
    turned_grid = Grid(grid.shape, affine)
    return Volume(ct[turned].copy(), turned_grid, "CT", "HU"), Volume(labels[turned].copy(), turned_grid, "label", "1")


@pytest.fixture
def drawn(monkeypatch):
    """(section, ct, labels) of each panel that is drawn."""
    panels, draw = [], outlines._draw
    monkeypatch.setattr(outlines, "_draw", lambda *given: (panels.append(given[1:]), draw(*given)))
    return panels


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
def test_each_organ_is_shown_where_it_is_largest(drawn, flips):
    assert outlines_figure(*volumes(flips)).startswith("data:image/png;base64,")
    assert [section.name for section, *_ in drawn] == ["Kidneys, coronal", "Kidneys, z 106 mm", "Lesion 1, z 174 mm"]
    _, ct, labels = drawn[1]
    assert ct.shape == (120, 80, 1) == labels.shape
    right = np.flatnonzero((labels == LABELS["kidney_right"]).any(axis=(1, 2)))
    assert (right[0], right[-1]) == (2 * 38, 2 * 50 - 1)  # 2 mm pixels along +R
    assert ct[11:109, 11:69].min() == 40.0 and ct[:9].max() == -1000.0


def test_lesions_are_shown_up_to_a_number_and_organs_may_be_missing(drawn):
    ct, labels = volumes()
    only = np.zeros_like(labels.data)
    for n in range(MOST_LESIONS + 2):
        only[5 + 4 * n, 10, 10] = LESION_BASE + 1 + n
    outlines_figure(ct, Volume(only, labels.grid, "label", "1"))
    assert [s.name.split(",")[0] for s, *_ in drawn] == [f"Lesion {n + 1}" for n in range(MOST_LESIONS)]
    outlines_figure(ct, Volume(np.zeros_like(only), labels.grid, "label", "1"))  # no label: no panel, no fault


@pytest.mark.parametrize("source", [*sources(), "lesion_1"])
def test_outlines_stand_out_from_soft_tissue_without_colour(source):
    low, high = outlines.SOFT_TISSUE_HU
    assert outlines._bright(source) @ (0.299, 0.587, 0.114) > (60 - low) / (high - low) + 0.2
