"""The table of photons that scatter more than once: what its place in the cache depends on."""

from own_imports import makers_of

from planardose.physics import multiple_scatter as module

BY_VALUE = "head_response"  # the head's efficiency is in the key by its values
STARTS_WARP = "warp_runtime"


def test_all_the_code_and_data_that_make_a_table_are_in_its_key(monkeypatch):
    seen = makers_of("multiple_scatter", but={BY_VALUE, STARTS_WARP})
    hashed, keys = set(), []
    monkeypatch.setattr(module, "sha256_of", lambda path: hashed.add(path) or path.name)
    empty = {"density": 0, "mean_kev": 0}
    monkeypatch.setattr(module, "cached_arrays", lambda kind, key, make: keys.append(key) or empty)
    module._table.__wrapped__(((208.37, 0.1),), 100.0, (1.0, 1.0), 1e9)
    assert {p.stem for p in hashed} == {*seen, "materials"}
    assert set(keys[0]["code"]) == {p.name for p in hashed}
