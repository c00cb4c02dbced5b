"""The configuration, the files that document it, and how Snakemake's words become values."""

import re
from pathlib import Path

import pytest
import yaml

from planardose.commands.catalogue import catalogue
from planardose.config import Config, Hand, check_config_words, load_config, parse_config
from planardose.errors import InputError

ROOT = Path(__file__).parents[1]


def test_config_yaml_holds_every_default():
    written = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert parse_config(written) == Config()
    assert set(written) == set(Config.model_fields)
    for name, field in Config.model_fields.items():
        if hasattr(field.default, "model_fields_set"):
            assert set(written[name]) == set(type(field.default).model_fields), name


def test_every_line_of_config_yaml_says_what_it_means():
    for line in (ROOT / "config.yaml").read_text().splitlines():
        if re.match(r"\s*\w+: +\S", line):
            assert " # " in line, line


def test_schema_is_what_the_command_prints():
    assert (ROOT / "config/schema.json").read_text() == "\n".join(catalogue("schema")) + "\n", (
        "run 'planardose list schema > config/schema.json'"
    )


def test_readme_lists_every_key():
    assert "\n".join(catalogue("config")) in (ROOT / "config/README.md").read_text()


@pytest.mark.parametrize("name", ["demo", "test"])
def test_shipped_configs_are_valid(name):
    assert load_config(ROOT / f"config/{name}.yaml") != Config()


def test_snakemakes_words_become_values():
    """Snakemake's --config reads nested YAML with every scalar as text."""
    config = parse_config(
        {
            "train": {"steps": "500", "minutes": "null"},
            "dose_method": "null",
            "methods": ["qplanar_mlem"],
            "patients": {"P01": {"t24": {"flip_posterior": "true", "shift_mm": ["3", "-1.5"]}}},
        }
    )
    assert config.train.steps == 500
    assert config.train.minutes is None
    assert config.dose_method is None
    assert config.hand("P01", "t24") == Hand(flip_posterior=True, shift_mm=(3.0, -1.5))
    assert config.hand("P01", "t4") == Hand()
    # as RESULTS/config.yaml has it
    unturned = {"patients": {"P01": {"t4": {"rotation_deg": "0.0", "shift_mm": "null"}}}}
    assert parse_config(unturned).hand("P01", "t4") == Hand()


@pytest.mark.parametrize(
    ("mapping", "named"),
    [
        ({"sead": 1}, "config sead: no such key"),
        ({"train": {"stepz": 5}}, "config train.stepz"),
        ({"train": {"steps:5": None}}, "config train.steps:5: no such key, or no blank after a colon"),
        ({"train": 5}, "config train: should hold keys with values, like {key: value} (got 5)"),
        ({"methods": "unet"}, "config methods: should be a list, like [a, b] (got 'unet')"),
        ({"projection": {"couch": "maybe"}}, "config projection.couch: should be true or false (got 'maybe')"),
        ({"results": 2026}, "config results: should be text (got 2026)"),
        ({"methods": ["unet", "unet"]}, "name a method twice; see config/README.md"),
        ({"train": {"steps": -1}}, "config train.steps"),
        ({"train": {"width": 8}}, "train.width 8 needs train.start: scratch"),
        ({"train": {"start": "scratch"}}, "train.start: scratch is trained by nothing; set train.steps, e.g. 200"),
        ({"grid_mm": "coarse"}, "config grid_mm"),
        ({"sampling": {"samples": 8, "validation": 8}}, "validation (8) must be below samples (8)"),
        ({"methods": ["unet", "unet"]}, "name a method twice"),
        ({"methods": ["qplanar"], "dose_method": "unet"}, "dose_method 'unet' is not in methods"),
        ({"methods": ["magic"]}, "config methods.0"),
        ({"patients": {"../x": {}}}, "config patients"),
        ({"patients": {"P01": {24: {"flip_posterior": True}}}}, "put it in quotes"),
        ({"patients": {"P01": {"t4": {"seconds_per_row": 1.4}}}}, "config patients.P01.t4.seconds_per_row"),
        ({"patients": {"P01": {"t4": {"accept_gate": "ok"}}}}, "config patients.P01.t4.accept_gate"),
        ({"patients": {"P01": {"t4": {"rotation_deg": "0.5", "shift_mm": "null"}}}},
         "config patients.P01.t4: rotation_deg needs shift_mm beside it"),
    ],
)
def test_a_fault_names_its_key_in_one_line(mapping, named):
    with pytest.raises(InputError) as fault:
        parse_config(mapping)
    assert named in str(fault.value)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("word", ["train={steps: 5, steps: 6}", "--config=train='{steps: 5, steps: 6}'"])
def test_a_key_twice_in_a_word_of_the_command_line(word):
    with pytest.raises(InputError, match="config train: key 'steps' stands twice; expected each key"):
        check_config_words(["snakemake", word])


@pytest.mark.parametrize("word", ["train={steps: 5}", "results=a: [b", "other={a: 1, a: 2}", "seed=3", "--cores"])
def test_other_words_of_the_command_line_are_left_to_snakemake(word):
    check_config_words(["snakemake", word])


def test_config_file_that_is_no_yaml(tmp_path):
    broken = tmp_path / "secret-name.yaml"
    broken.write_text("train: {steps: 5")
    with pytest.raises(InputError, match="config file") as fault:
        load_config(broken)
    assert "secret-name" not in str(fault.value)


def test_a_network_is_never_computed_without_the_classical_methods():
    assert parse_config({"methods": ["unet"]}).methods == ("conjugate_view", "qplanar", "qplanar_mlem", "mlem", "unet")
    assert parse_config({"methods": ["mlem", "diffusion"]}).networks == ("diffusion",)
    assert parse_config({"methods": ["qplanar_mlem"]}).methods == ("qplanar_mlem",)


@pytest.mark.parametrize(
    ("methods", "dose_method", "expected"),
    [
        (["conjugate_view", "unet", "mlem"], None, "unet"),
        (["mlem", "qplanar_mlem", "qplanar"], None, "qplanar_mlem"),
        (["qplanar", "mlem"], None, "mlem"),
        (["unet", "mlem"], "mlem", "mlem"),
    ],
)
def test_method_of_the_dose_map(methods, dose_method, expected):
    config = parse_config({"methods": methods, "dose_method": dose_method})
    assert config.map_method == expected
    assert config.needs_training == ("unet" in methods)


def test_a_few_photons_are_refused():
    assert parse_config({"dose": {"photons": 0}}).dose.photons == 0
    with pytest.raises(InputError, match=r"config dose.photons: .*0, or 1000 and more"):
        parse_config({"dose": {"photons": 5}})


def test_a_decision_for_the_patient_is_the_first_that_is_given():
    """Another decision at an earlier time point does not hide it."""
    hands = {"t4": {"head_order": "anterior_first"}, "t24": {"accept_segmentation": "looked at it"}}
    config = parse_config({"patients": {"P01": hands}})
    assert config.shared_decision("P01", "accept_segmentation") == "looked at it"
    assert config.shared_decision("P01", "same_patient") is None
    assert config.shared_decision("P02", "accept_segmentation") is None
