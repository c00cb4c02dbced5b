"""Maps and re-projections of one time point (`steps.estimates`), on a patient with known truth."""

import json
from dataclasses import replace

import fake_results as fake
import numpy as np
import pytest

from planardose.learn import diffusion_infer
from planardose.recon.acquired import Acquired, as_windows_tell
from planardose.recon.projector import Projector
from planardose.recon.setting import load_setting
from planardose.steps.estimates import Estimates


def test_reprojection_of_a_true_map_explains_the_counts(tmp_path):
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0}, methods=["qplanar"])
    model = fake.fill_patient(run, "P01", noise=1e-6)
    registered = json.loads(run.path("registration", patient="P01", timepoint="t24").read_text())
    registered |= {"posterior_head": [0.0, 0.0, 0.0], "organs_mm": {}}  # as the views were made
    estimates = Estimates(run, "P01", "t24", load_setting(run, "P01", "t24", Projector), registered)
    true = np.tensordot(fake.concentrations(24.0, 1.0), model.fractions, axes=1) * model.grid.voxel_ml
    measured, expected = estimates.measured.counts, estimates.expected(true)
    assert expected.shape == (2, model.grid.shape[0], model.grid.shape[2])
    assert expected.sum() == pytest.approx(measured.sum(), rel=0.01)
    inside = expected > 20
    chi2 = (measured - expected)[inside] ** 2 / expected[inside]
    assert chi2.mean() == pytest.approx(1.0, abs=0.1)
    liver_side = measured[0, model.grid.axis_mm(0) > 20].sum()
    assert liver_side > 1.2 * measured[0, model.grid.axis_mm(0) < -20].sum()


def test_the_mean_of_draws_has_the_likelihoods_organ_totals(tmp_path, monkeypatch):
    """Draws with twice the activity in the lower half of the body; their spread goes down with them."""
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0}, methods=["diffusion"])
    model = fake.fill_patient(run, "P01")
    registered = json.loads(run.path("registration", patient="P01", timepoint="t24").read_text())
    estimates = Estimates(run, "P01", "t24", load_setting(run, "P01", "t24", Projector), registered)
    base = estimates.map("qplanar")
    drawn = base * np.where(model.grid.axis_mm(2) < 0, 2.0, 1.0)
    maps = np.stack([0.9 * drawn, 1.1 * drawn]).astype(np.float32)
    monkeypatch.setattr(diffusion_infer, "diffusion_draws", lambda *_: diffusion_infer.Draws(maps, 3.0))
    found = estimates.map("diffusion")
    rows, wanted = (estimates.fitted.rows(m, estimates.fit) for m in (found, estimates.map("qplanar_mlem")))
    seen = wanted > 0.01 * wanted.sum()
    assert rows[seen] == pytest.approx(wanted[seen], rel=0.02)
    assert estimates.map_u["diffusion"] == pytest.approx(0.3 * found, rel=1e-4, abs=1e-9)


def test_an_unsure_place_makes_an_organ_unsure_and_the_couch_lowers_the_geometric_mean(tmp_path, monkeypatch):
    """u^2 = u_counts^2 + (u_place A)^2; a couch that lets a quarter through halves the mean of both views."""
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0}, methods=["qplanar"], reconstruction={"foci": False})
    model = fake.fill_patient(run, "P01")
    registered = json.loads(run.path("registration", patient="P01", timepoint="t24").read_text())
    setting, liver = load_setting(run, "P01", "t24", Projector), model.organs.index("liver")
    sure, unsure = (
        Estimates(run, "P01", "t24", setting, registered | {"activity_u": {"liver": u}}) for u in (0.0, 0.3)
    )
    mbq = sure.fitted.by_organ(sure.fit.concentrations * sure.fitted.sources.volumes_ml())[liver]
    before, after = sure.terms.counts_mbq, unsure.terms.counts_mbq
    assert after[liver] == pytest.approx(np.hypot(before[liver], 0.3 * mbq))
    assert np.delete(after, liver) == pytest.approx(np.delete(before, liver))
    rows = sure.conjugate_rows()
    monkeypatch.setattr(setting.projector, "couch_share", 0.25 * setting.projector.couch_share)
    assert sure.conjugate_rows() == pytest.approx(2 * rows) and rows[liver] > 0


def test_a_bright_lesion_that_nobody_outlined_is_no_wrong_input(tmp_path):
    """Half as many counts again in one spot: with foci the images belong to the CT, without they do not."""
    found = {}
    for foci in (True, False):
        folder = tmp_path / str(foci)
        run = fake.make_run(folder, ["P01"], hours={"t24": 24.0}, methods=["qplanar"], reconstruction={"foci": foci})
        fake.fill_patient(run, "P01")
        registered = json.loads(run.path("registration", patient="P01", timepoint="t24").read_text())
        setting = load_setting(run, "P01", "t24", Projector)
        pair = setting.pair
        middle = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) * p / 14.0) ** 2)
                  for n, p in zip(pair.counts.shape[2:], pair.pixel_mm, strict=True)]  # fmt: skip
        spot = np.outer(*middle) / np.outer(*middle).sum()
        lesion = 0.5 * pair.counts.sum(axis=(2, 3), keepdims=True) * spot
        bright = replace(setting, pair=replace(pair, counts=(pair.counts + lesion).astype(np.float32)))
        found[foci] = Estimates(run, "P01", "t24", bright, registered).consistency()["statistics"]["unexplained"]
    assert found[False] > np.log(0.4) and found[True] < np.log(0.2)


@pytest.mark.parametrize("windows", [True, False])
def test_the_conjugate_view_of_an_organ_alone_is_its_activity(tmp_path, windows):
    """Whether energy windows tell its scatter, without its peak, or the model; what is left is the book's attenuation.

    An eighth and more of the kidney's counts lies outside its region, and some of that in the rim.
    """
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0}, methods=["qplanar"], reconstruction={"foci": False})
    model = fake.fill_patient(run, "P01")
    registered = json.loads(run.path("registration", patient="P01", timepoint="t24").read_text())
    setting, kidney = load_setting(run, "P01", "t24", Projector), model.organs.index("kidney_left")
    estimates, of_organ, scatter = Estimates(run, "P01", "t24", setting, registered), setting.responses, None
    modelled = of_organ.scatter[kidney] * 60.0
    if windows:
        scatter = as_windows_tell(modelled, tuple(model.grid.spacing_mm[[0, 2]]))
    estimates.measured = Acquired(of_organ.total[kidney] * 60.0, scatter, 60.0)
    estimates.pair = Acquired(of_organ.total[kidney] * 60.0, modelled, 60.0)
    assert estimates.conjugate_rows()[kidney] == pytest.approx(model.volumes_ml()[kidney], rel=0.02)
