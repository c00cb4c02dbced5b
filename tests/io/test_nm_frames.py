"""Which head and window took a frame of an NM image, and what its pixels are."""

from copy import deepcopy

import numpy as np
import pytest
from imaging_scene import WINDOWS
from pydicom.dataset import Dataset

from planardose.config import Hand
from planardose.errors import InputError

KEY = "patients.P01.t24"
VECTORS = ("DetectorVector", "EnergyWindowVector")


def _pixels(ds, change) -> None:
    ds.PixelData = np.ascontiguousarray(change(ds.pixel_array.copy())).tobytes()


@pytest.mark.parametrize("names", [VECTORS[:1], VECTORS[1:], VECTORS])
def test_vectors_that_count_from_zero(names, edited, pair):
    def change(ds):
        for name in names:
            setattr(ds, name, [int(x) - 1 for x in ds[name].value])

    found = edited(change)
    np.testing.assert_array_equal(found.pair.counts, pair.counts)
    assert [n for n in found.notes if "counts from 0" in n] == [
        f"{name} counts from 0: taken as if it did from 1" for name in names
    ]
    with pytest.raises(InputError, match=r"DetectorVector counts from 0 to 2, and DetectorInformationSequence has 2"):
        edited(lambda ds: setattr(ds, "DetectorVector", [0, 0, 0, 2, 2, 2]))


def test_without_detector_vector_the_user_tells_the_order_of_the_heads(edited, pair):
    def change(ds):
        del ds.DetectorVector

    with pytest.raises(InputError, match=rf"6 frames and no DetectorVector.*decide with {KEY}.head_order"):
        edited(change)
    found = edited(change, Hand(head_order="anterior_first"))
    np.testing.assert_array_equal(found.pair.counts, pair.counts)
    swapped = edited(change, Hand(head_order="posterior_first"))
    np.testing.assert_array_equal(swapped.pair.counts, pair.counts[::-1])
    assert "head_order posterior_first by hand, against the header" in swapped.notes

    def three(ds):
        change(ds)
        ds.EnergyWindowVector = [1, 1, 1, 2, 2, 2]

    with pytest.raises(InputError, match=r"no DetectorVector.*or give the images as NPZ"):
        edited(three, Hand(head_order="anterior_first"))


def test_without_energy_window_vector_the_user_tells_the_order_of_the_windows(edited, pair):
    def change(ds):
        del ds.EnergyWindowVector

    with pytest.raises(InputError, match=r"no EnergyWindowVector.*windows_kev.*: one for every frame of a head"):
        edited(change)
    by_hand = tuple((w.low_kev, w.high_kev) for w in pair.windows)
    found = edited(change, Hand(windows_kev=by_hand)).pair
    assert found.windows == pair.windows
    np.testing.assert_array_equal(found.counts, pair.counts)


def test_missing_energy_windows_are_asked_for(edited):
    def change(ds):
        del ds.EnergyWindowInformationSequence

    with pytest.raises(InputError, match=rf"{KEY}\.windows_kev"):
        edited(change)
    by_hand = Hand(windows_kev=tuple((w.low_kev, w.high_kev) for w in WINDOWS))
    assert edited(change, by_hand).pair.windows == WINDOWS


def test_frames_of_an_unknown_window_are_asked_for(edited, pair):
    def change(ds):
        keep = [n for n, w in enumerate(ds.EnergyWindowVector) if w == 1]
        _pixels(ds, lambda a: a[keep])
        ds.NumberOfFrames, ds.DetectorVector = 2, [1, 2]
        del ds.EnergyWindowVector

    with pytest.raises(InputError, match=rf"3 energy windows and no EnergyWindowVector.*{KEY}\.windows_kev"):
        edited(change)
    first = (WINDOWS[0].low_kev, WINDOWS[0].high_kev)
    found = edited(change, Hand(windows_kev=(first,))).pair
    np.testing.assert_array_equal(found.counts, pair.counts[:, :1])


@pytest.mark.parametrize("limits", [[], [(0, 0)], [(100, 120), (180, 220)]])
def test_an_energy_window_without_frames_may_be_anything(edited, pair, limits: list):
    def change(ds):
        item = Dataset()
        item.EnergyWindowRangeSequence = [Dataset() for _ in limits]
        for x, (low, high) in zip(item.EnergyWindowRangeSequence, limits, strict=True):
            x.EnergyWindowLowerLimit, x.EnergyWindowUpperLimit = low, high
        ds.EnergyWindowInformationSequence = [*ds.EnergyWindowInformationSequence, item]

    assert edited(change).pair.windows == WINDOWS

    def used(ds):
        change(ds)
        ds.EnergyWindowVector = [4 if w == 3 else w for w in ds.EnergyWindowVector]

    told = r"holds the counts of 2 windows, 100-120 and 180-220 keV.* an image of its own" if limits[1:] else ""
    with pytest.raises(InputError, match=told or rf"{KEY}\.windows_kev"):
        edited(used)


def test_ranges_of_one_window_that_touch_are_one(edited, pair):
    def change(ds):
        for item in ds.EnergyWindowInformationSequence[:1]:
            whole = item.EnergyWindowRangeSequence[0]
            upper = deepcopy(whole)
            whole.EnergyWindowUpperLimit = upper.EnergyWindowLowerLimit = "208"
            item.EnergyWindowRangeSequence = [upper, whole]

    found = edited(change).pair
    assert found.windows == WINDOWS
    np.testing.assert_array_equal(found.counts, pair.counts)


@pytest.mark.parametrize(("off_kev", "taken"), [(0.02, True), (0.3, False)])
def test_heads_whose_window_edges_differ_a_little(edited, pair, off_kev: float, taken: bool):
    def change(ds):
        own = [deepcopy(item) for item in ds.EnergyWindowInformationSequence]
        for item in own:
            item.EnergyWindowRangeSequence[0].EnergyWindowLowerLimit += off_kev
        ds.EnergyWindowInformationSequence = [*ds.EnergyWindowInformationSequence, *own]
        ds.EnergyWindowVector = [
            w + 3 * (d == 2) for w, d in zip(ds.EnergyWindowVector, ds.DetectorVector, strict=True)
        ]

    if taken:
        found = edited(change).pair
        assert found.windows == WINDOWS
        assert np.array_equal(found.counts, pair.counts)
    else:
        with pytest.raises(InputError, match="has no frame in the window"):
            edited(change)


@pytest.mark.filterwarnings("ignore:A value of 'None' for .* 'Number of Frames'", "ignore:The number of bytes of pixel")
def test_the_pixel_size_of_the_detectors_plane_will_do(edited, pair):
    def change(ds):
        ds.ImagerPixelSpacing, ds.NumberOfFrames = ds.PixelSpacing, ""
        del ds.PixelSpacing

    found = edited(change)
    assert found.pair.pixel_mm == pair.pixel_mm
    np.testing.assert_array_equal(found.pair.counts, pair.counts)
    assert "no PixelSpacing in the header: ImagerPixelSpacing is taken" in found.notes


def test_padding_holds_no_counts_and_no_saturation(edited, pair):
    def change(ds):
        _pixels(ds, lambda a: np.where(np.arange(a.shape[2]) < 3, 65535, a).astype("<u2"))
        ds.PixelPaddingValue = 65535
        ds["PixelPaddingValue"].VR = "US"

    found = edited(change)
    np.testing.assert_array_equal(found.pair.counts[..., 3:], pair.counts[..., 3:])
    assert not found.pair.counts[..., :3].any()
    assert "pixels at the edge that hold PixelPaddingValue are taken as 0" in found.notes
    assert not any("saturated" in note for note in found.notes)


def test_a_scale_of_the_pixels_is_applied_and_told(edited, pair):
    def change(ds):
        _pixels(ds, lambda a: np.where(a == a.max(), 65535, a).astype("<u2"))
        ds.RescaleSlope, ds.RescaleIntercept = "0.5", "2"

    found = edited(change)
    lower = pair.counts < pair.counts.max()
    np.testing.assert_array_equal(found.pair.counts[lower], 0.5 * pair.counts[lower] + 2)
    assert "RescaleSlope 0.5 and RescaleIntercept 2 are applied: are these counts?" in found.notes
    assert f"{np.count_nonzero(~lower)} pixels at the largest storable value 65535: saturated" in found.notes


def test_disagreeing_total_is_noted(edited):
    def change(ds):
        ds.CountsAccumulated = 12

    assert any("CountsAccumulated 12" in note for note in edited(change).notes)
