from dataclasses import replace

import pytest

from planardose import library
from planardose.errors import InputError
from planardose.planar import EnergyWindow
from planardose.sim.tracer import load_tracer


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("177Lu", "177Lu"),
        ("Lu-177", "177Lu"),
        ("Lu177", "177Lu"),
        ("lu 177", "177Lu"),
        ("Tc-99m", "99mTc"),
        ("99mTc", "99mTc"),
    ],
)
def test_nuclide_spellings(text, name):
    assert library.canonical_nuclide(text) == name


def test_lutetium_energy_budget():
    """Photon energy per decay summed over the lines agrees with the evaluation's mean (33.5 keV) within 5 %."""
    lu = library.load_nuclide("Lu-177")
    assert sum(x.energy_kev * x.per_decay for x in lu.lines) == pytest.approx(lu.photon_kev, rel=0.05)
    assert lu.imaged_line().energy_kev == 208.37
    assert all(w.high_kev <= lu.photopeak.low_kev or w.low_kev >= lu.photopeak.high_kev for w in lu.scatter_windows)


@pytest.mark.parametrize("name", ["99mTc", "111In", "123I", "131I", "161Tb", "177Lu"])
def test_every_nuclide_is_consistent(name):
    """Lines add up to the photon energy, the photopeak holds the line one expects, windows do not overlap."""
    nuclide = library.load_nuclide(name)
    assert sum(x.energy_kev * x.per_decay for x in nuclide.lines) == pytest.approx(nuclide.photon_kev, rel=5e-3)
    lines = {"99mTc": 140.511, "111In": 245.35, "123I": 158.97, "131I": 364.489, "161Tb": 74.56669, "177Lu": 208.37}
    assert nuclide.imaged_line().energy_kev == lines[name]
    low, high = sorted(nuclide.scatter_windows)
    assert low.high_kev <= nuclide.photopeak.low_kev < nuclide.photopeak.high_kev <= high.low_kev
    assert all(0 < x.per_decay <= 1 for x in nuclide.lines)


def test_iodine_123_has_its_high_lines():
    percent = {round(x.energy_kev): 100 * x.per_decay for x in library.load_nuclide("123I").lines}
    assert {n: round(percent[n], 2) for n in (440, 505, 529, 539)} == {440: 0.42, 505: 0.27, 529: 1.28, 539: 0.38}


def test_terbium_161_has_dysprosiums_x_rays():
    lines = library.load_nuclide("161Tb").lines
    x_rays = sum(x.per_decay for x in lines if x.energy_kev in (45.2083, 45.999, 52.191, 53.6353))
    assert x_rays == pytest.approx(0.2202, abs=1e-4)


CAMERAS = {"siemens_symbia": ("lehr", "melp", "he"), "ge_670": ("lehr", "megp", "hegp")}


@pytest.mark.parametrize(
    "name",
    [f"{vendor}_{c}" for vendor, kinds in CAMERAS.items() for c in kinds]
    + [f"ge_670_{c}_16mm" for c in CAMERAS["ge_670"]],
)
def test_every_camera_loads_and_is_plausible(name):
    camera = library.load_camera(name)
    assert camera.crystal_mm == (15.9 if name.endswith("16mm") else 9.5)
    assert 0 < camera.septum_mm < camera.hole_mm < camera.length_mm
    assert camera.backscatter_mm > 0 and camera.cover_mm > 0 and camera.source


def test_dead_time_of_the_window():
    melp, megp = library.load_camera("siemens_symbia_melp"), library.load_camera("ge_670_megp")
    lutetium = library.load_nuclide("177Lu")
    assert melp.tau_in(EnergyWindow(187.2, 228.8), lutetium) == 4.60
    assert melp.tau_in(EnergyWindow(101.7, 124.3), lutetium) == 5.99
    assert melp.tau_in(EnergyWindow(90.0, 240.0), lutetium) == 4.60  # both lines inside: the imaged one's
    assert melp.tau_in(EnergyWindow(126.5, 154.6), lutetium) == 4.60  # not measured there: the photopeak's
    assert megp.tau_in(EnergyWindow(187.2, 228.8), lutetium) is None


def test_dead_time_belongs_to_the_nuclide():
    """Of the same window: 123I has half of 177Lu's events per primary photon, and lies beside 111In's 171 keV."""
    melp, indium = library.load_camera("siemens_symbia_melp"), library.load_nuclide("111In")
    iodine, technetium = library.load_nuclide("123I"), library.load_nuclide("99mTc")
    assert melp.tau_in(technetium.photopeak, technetium) == 1.83  # fewest events beside the photopeak
    assert melp.tau_in(iodine.photopeak, iodine) == 2.67
    assert melp.tau_in(EnergyWindow(154.0, 188.4), indium) == melp.tau_us  # holds 123I's 159 keV, which is not indium's
    assert melp.tau_in(EnergyWindow(187.2, 260.0), indium) == 5.34  # nor are 177Lu's 208 keV


def test_every_nuclide_of_the_catalogue_has_a_dead_time_of_its_own_with_melp():
    melp = library.load_camera("siemens_symbia_melp")
    known = {name for name, *_ in (*melp.tau_by_kev, *melp.tau_computed_by_kev)}
    assert known == set(library.names("nuclides"))
    for name in known:
        nuclide = library.load_nuclide(name)
        told = melp.tau_from(nuclide.photopeak, nuclide)
        assert told == ("" if name == "177Lu" else "computed from one measured with 177Lu at 113 and 208 keV")


def test_a_dead_time_of_another_nuclide_is_told():
    melp = library.load_camera("siemens_symbia_melp")
    own = replace(library.load_nuclide("99mTc"), name="188Re")
    assert melp.tau_in(own.photopeak, own) == melp.tau_us
    assert melp.tau_from(own.photopeak, own) == "measured with 177Lu at 113 and 208 keV alone"
    plain = replace(melp, tau_by_kev=(), tau_computed_by_kev=())  # names no nuclide: the user's word for all
    assert plain.tau_from(own.photopeak, own) == ""


def test_the_high_energy_collimator_has_the_dead_time_of_the_detector_behind_it():
    """It was None: of 131I 10 % of the counts at 4 h were lost with 3.6 GBq, and nothing put them back."""
    high = library.load_camera("siemens_symbia_he")
    assert {name for name, *_ in high.tau_computed_by_kev} == set(library.names("nuclides"))
    for name, tau_us in (("177Lu", 4.68), ("131I", 7.31)):
        nuclide = library.load_nuclide(name)
        assert high.tau_in(nuclide.photopeak, nuclide) == tau_us
        assert high.tau_from(nuclide.photopeak, nuclide) == "computed from one measured with another collimator"
    own = replace(high, tau_us=3.0, tau_computed_by_kev=())  # the user's word for all
    assert own.tau_from(nuclide.photopeak, nuclide) == ""


def test_unknown_entries_name_what_there_is():
    with pytest.raises(InputError, match="siemens_symbia_melp"):
        library.load_camera("nobody")
    with pytest.raises(InputError, match="177Lu"):
        library.load_nuclide("201Tl")


@pytest.mark.parametrize(
    ("name", "why"), [("90Y", "bremsstrahlung only"), ("Ac-225", "only daughters"), ("At211", "X rays of 77-92 keV")]
)
def test_nuclides_that_cannot_be_imaged_say_why(name, why):
    with pytest.raises(InputError, match=f"{why}.*cannot be quantified here") as fault:
        library.load_nuclide(name)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "", "177Lu/../177Lu"])
def test_names_never_become_paths(name):
    with pytest.raises(InputError):
        library.entry_path("nuclides", name)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A user's library folder."""
    for kind in library.KINDS:
        (tmp_path / kind).mkdir()
    monkeypatch.setenv(library.USER_FOLDERS_VARIABLE, str(tmp_path))
    library._folders.cache_clear()
    yield tmp_path
    library._folders.cache_clear()


def shipped(kind: str, name: str) -> str:
    return (library.DATA / kind / f"{name}.yaml").read_text()


def test_users_folder_comes_first(folder):
    text = shipped("cameras", "siemens_symbia_melp")
    (folder / "cameras" / "mine.yaml").write_text(text.replace("hole_mm: 2.94", "hole_mm: 3.5"))
    assert library.load_camera("mine").hole_mm == 3.5
    (folder / "nuclides" / "211At.yaml").write_text(shipped("nuclides", "99mTc"))
    assert library.load_nuclide("At-211").name == "211At"  # the user knows better than not_imaged.yaml
    assert "mine" in library.names("cameras") and "211At" in library.names("nuclides")


NEW_KEYS = ("front_mm", "cover_mm", "backscatter", "gap_mm", "couch_mm", "tau_by_kev")


def test_a_camera_file_without_the_new_keys_gets_the_documented_defaults(folder):
    lines = shipped("cameras", "siemens_symbia_melp").splitlines()
    old = [x for x in lines if not x.startswith(NEW_KEYS)]
    assert len(old) == len(lines) - 6
    (folder / "cameras" / "old.yaml").write_text("\n".join(old))
    camera = library.load_camera("old")
    assert (camera.front_mm, camera.cover_mm, camera.gap_mm, camera.couch_mm) == (0.0, 1.0, 0.0, 1.0)
    assert (camera.backscatter_mm, camera.backscatter_material, camera.tau_by_kev) == (75.0, "pyrex_66", ())


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("hole_mm: 2.94", "hole: 2.94", "camera file bad.yaml, hole_mm: missing; expected this key"),
        ("hole_mm: 2.94", "hole_mm: wide", "camera file bad.yaml, hole_mm: 'wide'; expected a number above 0"),
        ("hole_mm: 2.94", "hole_mm: -2", "camera file bad.yaml, hole_mm: value -2; expected a number above 0"),
        ("crystal_mm: 9.5", "crystal_mm: .nan", "camera file bad.yaml, crystal_mm: value nan"),
        ("cover_mm: 1.0", "cover_mm: -1", "camera file bad.yaml, cover_mm: value -1; expected a number from 0"),
        ("cover_mm: 1.0", "cover: 1.0", "camera file bad.yaml, 'cover': unknown key; expected only back"),
        ("field_mm: [387.0, 533.0]", "field_mm: 387", "bad.yaml, field_mm: value 387; expected two numbers"),
        ("pyrex_66", "granite", "camera file bad.yaml, backscatter_material: 'granite'; expected one of adipose"),
        ("[[112.95, 5.99]", "[[112.95]", "camera file bad.yaml, tau_by_kev: value .112.95.; expected two numbers"),
        ("{177Lu: [[112.95, 5.99], [208.37, 4.60]]}", "[[208.37, 4.60]]", "tau_by_kev: .*, pairs by name"),
        ("hole_mm: 2.94", "hole_mm: 0.294", "camera file bad.yaml, hole_mm: 0.294 mm; expected 0.5 to 10 mm"),
        ("resolution: 0.0945", "resolution: 9.45", "energy_resolution: .*; give a fraction, not per cent"),
        ("[387.0, 533.0]", "[38.7, 53.3]", "field_mm: 38.7 mm; expected 100 to 1000 mm; give millimetres"),
        ("[208.37, 4.60]", "[208.37, 4600]", "tau_by_kev of 177Lu at 208.37 keV: 4600 us; expected 0 to 100 us"),
        ("cover_mm: 1.0", "cover_mm: 1000", "cover_mm: 1000 mm; expected 0 to 20 mm"),
        ("vendor: Siemens", "vendor: [", "camera file bad.yaml, line .*: not YAML; expected 'key: value' lines"),
    ],
)
def test_malformed_camera_gives_one_line_with_file_and_key(folder, old, new, says):
    text = shipped("cameras", "siemens_symbia_melp")
    assert old in text
    (folder / "cameras" / "bad.yaml").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=says) as fault:
        library.load_camera("bad")
    assert "\n" not in str(fault.value) and str(folder) not in str(fault.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("half_life_h: 6.0067", "half_life: 6", "nuclide file 1H.yaml, half_life_h: missing"),
        ("[140.511, 88.5]", "[140.511]", "nuclide file 1H.yaml, lines_kev_percent: value .140.511.; expected two"),
        ("[140.511, 88.5]", "[1332.5, 99.98]", "lines_kev_percent: a line of 1332.5 keV; expected lines up to 799 keV"),
        ("[126.5, 154.6]\ns", "[154.6, 126.5]\ns", "nuclide file 1H.yaml, photopeak_kev: value .154.6, 126.5."),
        ("photopeak_kev: [126.5", "photopeak_kev: [150", "photopeak_kev: no line inside; expected a window around"),
        ("[126.5, 154.6]\ns", "[16, 20]\ns", "photopeak_kev: its line of 18.3672 keV cannot be followed to the camera"),
        ("[140.511, 88.5]", "[140.511, 0.885]", "lines_kev_percent: together 2.72 keV per decay; expected about"),
        ("per_decay: 125.8", "per_decay: 0.1258", "lines_kev_percent: together 126 keV per decay; expected about"),
    ],
)
def test_malformed_nuclide_gives_one_line_with_file_and_key(folder, old, new, says):
    text = shipped("nuclides", "99mTc")
    assert old in text
    (folder / "nuclides" / "1H.yaml").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=says):
        library.load_nuclide("1H")


def test_a_nuclides_file_that_would_never_be_found_is_told(folder):
    (folder / "nuclides" / "Lu-177.yaml").write_text(shipped("nuclides", "177Lu"))
    with pytest.raises(InputError, match=r"nuclide file 'Lu-177': not a name like 177Lu; expected 177Lu\.yaml; rename"):
        library.names("nuclides")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [("reference_h: 24.0", "reference_h: -24.0", "reference_h must be above 0"),
     ("texture: {cv: [0.15, 0.35]", "texture: {cv: [-3, 0.35]", r"texture.cv must be \[low, high\]"),
     ("reference_h: 24.0", "reference_h: 24.0\ntexure: {}", "unknown key texure")],
)  # fmt: skip
def test_malformed_tracer_gives_one_line(folder, old, new, says):
    text = shipped("tracers", "177Lu-PSMA-617")
    assert old in text
    (folder / "tracers" / "bad.yaml").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=rf"tracer file bad\.yaml: ValueError: {says}"):
        load_tracer("bad")


@pytest.mark.parametrize("content", ["", "just words", "- a\n- list\n"])
def test_a_file_without_keys(folder, content):
    (folder / "cameras" / "empty.yaml").write_text(content)
    with pytest.raises(InputError, match=r"camera file empty\.yaml: no keys; expected"):
        library.load_camera("empty")


def test_the_photopeak_is_the_narrowest_window_with_the_imaged_line():
    lutetium, wide, lower = library.load_nuclide("177Lu"), EnergyWindow(50, 400), EnergyWindow(100, 130)
    assert lutetium.peak_index((wide, lower, EnergyWindow(187.2, 228.8))) == 2
    assert lutetium.peak_index((lower, wide)) == 1
    with pytest.raises(KeyError):
        lutetium.peak_index((lower,))
