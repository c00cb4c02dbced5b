from planardose.seeds import rng_for, seed_for


def test_seeds_are_fixed_for_ever():
    """The value is part of every result: it may change only with a STEP_VERSIONS bump."""
    assert seed_for(2026, "project", "P01", 3) == 8506208759931978898
    assert 0 <= seed_for(2026, "project", "P01", 3) < 2**63


def test_seeds_differ_by_every_part_of_the_key():
    keys = [(1, "a", "P", 0), (2, "a", "P", 0), (1, "b", "P", 0), (1, "a", "Q", 0), (1, "a", "P", 1), (1, "aP", "", 0)]
    assert len({seed_for(*k) for k in keys}) == len(keys)
    assert rng_for(*keys[0]).random() != rng_for(*keys[1]).random()
