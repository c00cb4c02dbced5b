"""What the name of a region tells: an organ, a lesion, or nothing of the patient's."""

import pytest
from region_scene import LES

from planardose.anatomy.region_names import meaning_of, organ_of_name
from planardose.io.dicom_regions import Naming


@pytest.mark.parametrize(
    ("name", "organ"),
    [
        *((n, "kidney_left") for n in (
            "Kidney L", "Kidney_L", "LKidney", "KidneyL", "left kidney", "Lt Kidney", "KIDNEY (LEFT)", "kidney-left",
        )),
        ("Liver", "liver"), ("LIVER", "liver"), ("Parotid_R", "parotid_gland_right"), ("SpinalCord", "spinal_cord"),
        ("Glnd_Submand_L", "submandibular_gland_left"), ("Glnd_Thyroid", "thyroid_gland"), ("VB_L1", "vertebrae_L1"),
        ("Bowel_Small", "small_bowel"), ("Lens_R", "eye_lens_right"), ("Lung_R", "lung_upper_lobe_right"),
        ("Bladder", "urinary_bladder"), ("rib_left_11", "rib_left_11"), ("Rib01_L", "rib_left_1"),
        ("VB_T01", "vertebrae_T1"),        ("Glnd_Adrenal_R", "adrenal_gland_right"),
        *((n, "kidney_right") for n in (
            "Niere_re", "Niere rechts", "Rechte Niere", "NiereRe", "RE NIERE", "Rein droit", "Rein_droit",
        )),
        ("Rein gauche", "kidney_left"), ("Niere li", "kidney_left"), ("Leber", "liver"), ("Foie", "liver"),
        ("Milz", "spleen"), ("Rate", "spleen"), ("Lunge li", "lung_upper_lobe_left"), ("Dünndarm", "small_bowel"),
        ("Ohrspeicheldrüse links", "parotid_gland_left"), ("Parotis re", "parotid_gland_right"), ("Cœur", "heart"),
        ("Vésicule biliaire", "gallbladder"), ("Intestin grêle", "small_bowel"),
        ("Surrénale gauche", "adrenal_gland_left"),
        *((n, None) for n in ("Nieren", "Niere", "Reins", "Dose rate", "Leber-GTV", "Foie droit")),
        *((n, None) for n in ("Kidney", "Kidneys", "Liver-GTV", "Kidney_L_R", "Bowel", "Femur_Head_L", "", "L1")),
    ],
)  # fmt: skip
def test_names_of_organs(name, organ):
    assert organ_of_name(name) == organ


@pytest.mark.parametrize(
    ("name", "role"),
    [
        *((n, "lesion") for n in ("Metastasis vertebral body L3", "Skin metastasis", "GTVn 3", "Liver met 2")),
        ("Metastase 1 Leber", "lesion"),
        *((n, "other") for n in ("PTV met 2", "Ring_GTV", "BODY", "Couch", "avoid LN")),
        ("Vertebral thing", "unknown"), ("ROI 3", "nothing"),
    ],
)  # fmt: skip
def test_what_a_name_without_an_organ_tells(name, role):
    assert meaning_of(Naming(1, name, ""), LES).role == role
