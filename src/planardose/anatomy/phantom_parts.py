"""The parts of the parametric anatomy: an average adult from mid-thigh to the vertex, painted in order (later wins).

Positions and sizes are design values for an adult of about 172 cm; `planardose.anatomy.phantom` sets organ
volumes from ranges of healthy adults. Labels are those of data/organs.tsv, 0 being the body's `remainder`.
"""

from dataclasses import dataclass

from planardose.anatomy.phantom_shapes import Ellipsoid, Loops, Rib, Shape, Trunk, Tube
from planardose.organs import label_of_name

# Surface below the subcutaneous fat: z, half width x, half width y, centre y
TRUNK = (
    (-30.0, 168.0, 92.0, -5.0), (30.0, 172.0, 100.0, -5.0), (100.0, 168.0, 100.0, -5.0), (200.0, 150.0, 92.0, 0.0),
    (300.0, 150.0, 95.0, 0.0), (400.0, 158.0, 106.0, 0.0), (480.0, 162.0, 108.0, 0.0), (560.0, 168.0, 96.0, -8.0),
    (600.0, 180.0, 78.0, -15.0), (630.0, 140.0, 68.0, -15.0), (655.0, 75.0, 60.0, -12.0), (670.0, 58.0, 56.0, -10.0),
    (740.0, 56.0, 58.0, -6.0),
)  # fmt: skip
WALL = tuple((z, a - 8.0, b - 8.0, c) for z, a, b, c in TRUNK if 280.0 <= z <= 630.0)  # outer surface of the rib cage
CAVITY = tuple((z, a - 26.0, b - 24.0, c + 6.0) for z, a, b, c in TRUNK if 30.0 <= z <= 400.0)  # fat around the bowel
CORTICAL, SPONGIOSA = 0.25, 1.0  # uptake of parts of bone relative to each other
FAT, MUSCLE = 0.35, 1.0  # uptake of parts of the remainder relative to each other


@dataclass(frozen=True)
class Part:
    """A solid with its label, CT number and uptake relative to the other parts of its organ."""

    label: int
    hu: float
    uptake: float
    shape: Shape


def _part(name: str, hu: float, shape: Shape, uptake: float = 1.0) -> Part:
    return Part(label_of_name()[name], hu, uptake, shape)


def _pair(name: str, hu: float, make, uptake: float = 1.0) -> list[Part]:
    """`name` with {side}; `make(s)` gives the shape with s = +1 on the patient's right, -1 on the left."""
    return [_part(name.format(side=side), hu, make(s), uptake) for side, s in (("right", 1), ("left", -1))]


def _shaft(name: str, make, radius: float) -> list[Part]:
    """A long bone: cortical tube with marrow inside."""
    return _pair(name, 900.0, lambda s: make(s, radius), CORTICAL) + _pair(name, 120.0, lambda s: make(s, 0.6 * radius))


def outline(fat_mm: float, arms: bool) -> list[Part]:
    """Body surface: subcutaneous fat, muscle below it, visceral fat; with arms at the sides on request."""
    parts = []
    for grow, hu, uptake in ((fat_mm, -100.0, FAT), (0.0, 50.0, MUSCLE)):
        parts.append(Part(0, hu, uptake, Trunk(TRUNK, grow)))
        for s in (1, -1):
            parts.append(Part(0, hu, uptake, Tube(((s * 88.0, -5.0, 30.0), (s * 80.0, -2.0, -400.0)), 76.0 + grow)))
            if arms:
                arm = ((s * 205.0, -15.0, 585.0), (s * 235.0, -15.0, 330.0), (s * 240.0, 10.0, 90.0))
                parts.append(Part(0, hu, uptake, Tube(arm, 36.0 + 0.4 * grow)))
        head = min(grow, 6.0)
        parts.append(Part(0, hu, uptake, Ellipsoid((0.0, 8.0, 800.0), (73.0 + head, 94.0 + head, 90.0 + head))))
        parts.append(Part(0, hu, uptake, Ellipsoid((0.0, 22.0, 745.0), (72.0 + head, 64.0 + head, 56.0 + head))))
    return [*parts, Part(0, -90.0, FAT, Trunk(CAVITY))]


def _muscles() -> list[Part]:
    """Muscles that TotalSegmentator names."""
    return [
        *_pair("iliopsoas_{side}", 55.0, lambda s: Tube(((s * 38.0, -42.0, 300.0), (s * 75.0, 15.0, 70.0)), 20.0)),
        *_pair("autochthon_{side}", 55.0, lambda s: Tube(((s * 34.0, -78.0, 130.0), (s * 34.0, -78.0, 600.0)), 19.0)),
        *_pair("gluteus_maximus_{side}", 55.0, lambda s: Ellipsoid((s * 92.0, -62.0, 70.0), (60.0, 32.0, 85.0))),
        *_pair("gluteus_medius_{side}", 55.0, lambda s: Ellipsoid((s * 128.0, -15.0, 125.0), (18.0, 45.0, 60.0))),
    ]


def chest() -> list[Part]:
    """Lungs by lobe, airways, heart and great vessels."""
    lung = -790.0
    lobes = [
        _part("lung_lower_lobe_right", lung, Ellipsoid((80.0, 0.0, 500.0), (58.0, 82.0, 120.0))),
        _part("lung_middle_lobe_right", lung, Ellipsoid((80.0, 38.0, 490.0), (50.0, 44.0, 50.0))),
        _part("lung_upper_lobe_right", lung, Ellipsoid((72.0, 5.0, 570.0), (50.0, 66.0, 62.0))),
        _part("lung_lower_lobe_left", lung, Ellipsoid((-80.0, 0.0, 500.0), (58.0, 82.0, 120.0))),
        _part("lung_upper_lobe_left", lung, Ellipsoid((-72.0, 10.0, 560.0), (50.0, 66.0, 70.0))),
    ]
    arch = ((-18.0, -30.0, 180.0), (-20.0, -32.0, 545.0), (-8.0, -5.0, 572.0), (14.0, 22.0, 550.0), (8.0, 25.0, 505.0))
    vessels = [
        _part("heart", 45.0, Ellipsoid((-28.0, 34.0, 470.0), (54.0, 48.0, 50.0), 30.0)),
        _part("aorta", 45.0, Tube(arch, 11.0)),
        _part("inferior_vena_cava", 45.0, Tube(((18.0, -24.0, 185.0), (22.0, -12.0, 440.0)), 11.0)),
        _part("superior_vena_cava", 45.0, Tube(((24.0, 18.0, 500.0), (22.0, 12.0, 590.0)), 9.0)),
        *_pair("iliac_artery_{side}", 45.0, lambda s: Tube(((s * 4.0, -28.0, 178.0), (s * 68.0, 35.0, 75.0)), 5.5)),
        *_pair(
            "common_carotid_artery_{side}", 45.0, lambda s: Tube(((s * 14.0, 5.0, 580.0), (s * 28.0, 8.0, 710.0)), 4.0)
        ),
    ]
    tubes = [
        _part("esophagus", 35.0, Tube(((-6.0, -20.0, 400.0), (0.0, -18.0, 660.0)), 8.0)),
        _part("trachea", -950.0, Tube(((0.0, 2.0, 555.0), (0.0, 20.0, 690.0)), 8.0)),
    ]
    return lobes + vessels + tubes


def abdomen(volume: dict[str, float], bowel_phase: tuple[float, float, float]) -> list[Part]:
    """Abdominal organs; `volume` gives factors on the design volumes of the organs it names."""

    def scaled(name: str, shape: Ellipsoid) -> Ellipsoid:
        return shape.scaled(volume.get(name, 1.0))

    loops = Loops(Ellipsoid((0.0, 36.0, 205.0), (92.0, 46.0, 80.0)), 46.0, bowel_phase)
    colon = (
        ((108.0, 12.0, 150.0), (110.0, 8.0, 290.0), (70.0, 52.0, 300.0), (-20.0, 60.0, 285.0), (-104.0, 30.0, 325.0)),
        ((-104.0, 30.0, 325.0), (-112.0, 0.0, 200.0), (-85.0, 10.0, 130.0), (-30.0, 10.0, 115.0), (5.0, -38.0, 120.0)),
        ((5.0, -38.0, 120.0), (0.0, -42.0, 25.0)),
    )
    return [
        _part("small_bowel", 30.0, loops),
        *[_part("colon", 15.0, Tube(chain, 19.0)) for chain in colon],
        _part(
            "duodenum",
            30.0,
            Tube(((28.0, 25.0, 350.0), (44.0, 5.0, 320.0), (30.0, 0.0, 285.0), (-15.0, 0.0, 290.0)), 12.0),
        ),
        _part("stomach", 30.0, scaled("stomach", Ellipsoid((-58.0, 38.0, 385.0), (42.0, 36.0, 58.0), -25.0))),
        _part("pancreas", 40.0, Ellipsoid((-18.0, 2.0, 338.0), (66.0, 12.0, 15.0), -12.0)),
        _part("spleen", 52.0, scaled("spleen", Ellipsoid((-108.0, -38.0, 395.0), (25.0, 40.0, 50.0), 15.0))),
        _part("liver", 60.0, scaled("liver", Ellipsoid((78.0, -2.0, 388.0), (66.0, 80.0, 68.0)))),
        _part("liver", 60.0, scaled("liver", Ellipsoid((8.0, 46.0, 408.0), (78.0, 38.0, 34.0), 10.0))),
        _part("gallbladder", 10.0, Ellipsoid((62.0, 58.0, 338.0), (14.0, 14.0, 28.0))),
        *_pair("adrenal_gland_{side}", 35.0, lambda s: Ellipsoid((s * 40.0, -38.0, 378.0), (9.0, 6.0, 14.0))),
        *_kidneys(volume),
        _part("urinary_bladder", 8.0, scaled("urinary_bladder", Ellipsoid((0.0, 40.0, 72.0), (38.0, 33.0, 32.0)))),
        _part("prostate", 42.0, scaled("prostate", Ellipsoid((0.0, 14.0, 30.0), (22.0, 17.0, 18.0)))),
    ]


def _kidneys(volume: dict[str, float]) -> list[Part]:
    """Cortex, medulla (less uptake, offset to the hilum) and the fat of the sinus."""
    parts = []
    for side, s, z in (("right", 1, 312.0), ("left", -1, 328.0)):
        name, tilt = f"kidney_{side}", -10.0 * s
        factor = volume.get(name, 1.0)
        whole = Ellipsoid((s * 64.0, -46.0, z), (28.0, 26.0, 55.0), tilt).scaled(factor)
        inner = Ellipsoid((s * 60.0, -44.0, z), (18.0, 16.0, 40.0), tilt).scaled(factor)
        sinus = Ellipsoid((s * 44.0, -42.0, z), (10.0, 8.0, 18.0), tilt).scaled(factor)
        parts += [_part(name, 38.0, whole), _part(name, 26.0, inner, volume["medulla"]), Part(0, -80.0, FAT, sinus)]
    return parts


def _spine() -> list[Part]:
    levels = [(f"vertebrae_L{5 - n}", 180.0 + 35.0 * n, 24.0, 15.0) for n in range(5)]
    levels += [("vertebrae_T12", 351.0, 22.0, 14.0), ("vertebrae_T11", 378.0, 20.0, 12.0)]
    levels += [(f"vertebrae_T{10 - n}", 402.0 + 24.0 * n, 18.0 - 0.5 * n, 10.5) for n in range(10)]
    levels += [(f"vertebrae_C{7 - n}", 638.0 + 16.5 * n, 13.0, 7.0) for n in range(7)]
    parts = []
    for name, z, radius, half in levels:
        back = -48.0 if z < 630.0 else -20.0
        body = Ellipsoid((0.0, back, z), (radius, 0.85 * radius, 1.25 * half))
        arch = Tube(((-0.9 * radius, back - 26.0, z), (0.0, back - 38.0, z - 6.0), (0.9 * radius, back - 26.0, z)), 6.0)
        parts += [_part(name, 450.0, body, CORTICAL), _part(name, 170.0, body.scaled(0.75), SPONGIOSA)]
        parts.append(_part(name, 350.0, arch, CORTICAL))
    cord = Tube(((0.0, -69.0, 300.0), (0.0, -69.0, 610.0), (0.0, -38.0, 640.0), (0.0, -36.0, 745.0)), 6.0)
    return [*parts, _part("spinal_cord", 35.0, cord)]


def _ribs() -> list[Part]:
    wall, parts = Trunk(WALL), []
    for n in range(1, 13):
        z = 650.0 - 23.5 * n
        front = (70.0 if n <= 10 else 20.0) if n < 12 else -20.0
        parts += _pair(f"rib_{{side}}_{n}", 380.0, lambda s, z=z, f=front: Rib(wall, s, z, f), 0.6)
        if n <= 9:
            cartilage = [Rib(wall, s, z, 130.0, front) for s in (1, -1)]
            parts += [_part("costal_cartilages", 110.0, c, CORTICAL) for c in cartilage]
    return [*parts, _part("sternum", 250.0, Tube(((0.0, 92.0, 470.0), (0.0, 80.0, 560.0), (0.0, 66.0, 592.0)), 12.0))]


def _pelvis_and_limbs(arms: bool) -> list[Part]:
    parts = [
        *_pair("hip_{side}", 380.0, lambda s: Ellipsoid((s * 92.0, -22.0, 145.0), (13.0, 52.0, 62.0), -18.0 * s)),
        *_pair("hip_{side}", 380.0, lambda s: Ellipsoid((s * 86.0, 0.0, 62.0), (36.0, 34.0, 36.0))),
        *_pair("hip_{side}", 330.0, lambda s: Tube(((s * 70.0, 15.0, 55.0), (s * 10.0, 45.0, 30.0)), 10.0)),
        *_pair("hip_{side}", 380.0, lambda s: Tube(((s * 72.0, -15.0, 45.0), (s * 52.0, -30.0, 0.0)), 15.0)),
        _part("sacrum", 260.0, Ellipsoid((0.0, -68.0, 118.0), (46.0, 17.0, 46.0))),
        _part("vertebrae_S1", 260.0, Ellipsoid((0.0, -56.0, 152.0), (40.0, 22.0, 14.0))),
        *_shaft("femur_{side}", lambda s, r: Tube(((s * 122.0, 0.0, 45.0), (s * 92.0, 2.0, -400.0)), r), 15.0),
        *_pair("femur_{side}", 300.0, lambda s: Tube(((s * 90.0, 2.0, 62.0), (s * 122.0, 0.0, 42.0)), 14.0)),
        *_pair("femur_{side}", 300.0, lambda s: Ellipsoid((s * 88.0, 2.0, 62.0), (24.0, 24.0, 24.0))),
        *_pair(
            "scapula_{side}", 380.0, lambda s: Ellipsoid((s * 108.0, -84.0, 545.0), (38.0, 7.0, 60.0), -15.0 * s), 0.6
        ),
        *_pair("clavicula_{side}", 450.0, lambda s: Tube(((s * 22.0, 55.0, 596.0), (s * 138.0, 5.0, 606.0)), 7.0), 0.6),
        *_pair("humerus_{side}", 300.0, lambda s: Ellipsoid((s * 158.0, -10.0, 592.0), (22.0, 23.0, 24.0))),
    ]
    if arms:
        parts += _shaft(
            "humerus_{side}", lambda s, r: Tube(((s * 205.0, -15.0, 580.0), (s * 235.0, -15.0, 330.0)), r), 11.0
        )
    return parts


def _head(volume: dict[str, float]) -> list[Part]:
    def gland(name: str, shape: Ellipsoid) -> Part:
        return _part(name, 25.0, shape.scaled(volume.get(name, 1.0)))

    jaw = ((50.0, 5.0, 745.0), (34.0, 58.0, 718.0), (0.0, 76.0, 714.0), (-34.0, 58.0, 718.0), (-50.0, 5.0, 745.0))
    parts = [
        _part("skull", 800.0, Ellipsoid((0.0, 6.0, 804.0), (70.0, 88.0, 82.0)), 0.5),
        _part("brain", 37.0, Ellipsoid((0.0, 4.0, 806.0), (63.0, 81.0, 74.0))),
        _part("skull", 600.0, Tube(jaw, 7.0), 0.5),
        _part("skull", 300.0, Tube(((-30.0, 70.0, 760.0), (30.0, 70.0, 760.0)), 12.0), 0.5),
        *_pair("eye_{side}", 10.0, lambda s: Ellipsoid((s * 32.0, 82.0, 782.0), (12.0, 12.0, 12.0)), 0.5),
        Part(0, -900.0, 0.0, Tube(((0.0, 85.0, 745.0), (0.0, 40.0, 745.0), (0.0, 22.0, 690.0)), 8.0)),
    ]
    for side, s in (("right", 1), ("left", -1)):
        parts.append(gland(f"parotid_gland_{side}", Ellipsoid((s * 60.0, -2.0, 738.0), (11.0, 17.0, 27.0))))
        parts.append(gland(f"submandibular_gland_{side}", Ellipsoid((s * 27.0, 40.0, 702.0), (10.0, 15.0, 15.0))))
        parts.append(_part("thyroid_gland", 90.0, Ellipsoid((s * 17.0, 22.0, 652.0), (8.0, 9.0, 19.0))))
    return parts


def parts_of(
    volume: dict[str, float], fat_mm: float, arms: bool, bowel_phase: tuple[float, float, float]
) -> list[Part]:
    """All parts without lesions, in painting order; `volume` as in `abdomen`, ``medulla`` being its uptake."""
    return [
        *outline(fat_mm, arms), *_muscles(), *chest(), *abdomen(volume, bowel_phase), *_spine(), *_ribs(),
        *_pelvis_and_limbs(arms), *_head(volume),
    ]  # fmt: skip


def skeleton_sites() -> list[tuple[float, float, float]]:
    """Places of bone metastases: vertebrae, pelvis, femora, ribs (mm)."""
    spine = [(0.0, -48.0, 180.0 + 35.0 * n) for n in range(5)] + [(0.0, -48.0, 402.0 + 48.0 * n) for n in range(5)]
    pairs = [(92.0, -22.0, 150.0), (86.0, 0.0, 62.0), (118.0, 0.0, 30.0), (128.0, -20.0, 480.0), (20.0, -68.0, 120.0)]
    return spine + [(s * x, y, z) for x, y, z in pairs for s in (1.0, -1.0)]


def node_sites() -> list[tuple[float, float, float]]:
    """Places of lymph-node metastases: along the aorta and the iliac vessels, above the left clavicle (mm)."""
    iliac = [(s * x, y, z) for x, y, z in ((30.0, -5.0, 145.0), (58.0, 20.0, 100.0)) for s in (1.0, -1.0)]
    return [(-36.0, -25.0, 240.0), (2.0, -20.0, 265.0), (-34.0, -25.0, 290.0), (-45.0, 25.0, 615.0), *iliac]
