import pytest
from planting import Garden, forget, rebuild_kernels


@pytest.fixture(scope="session", autouse=True)
def tables(tmp_path_factory):
    """A folder for costly tables, shared by all tests here and no one else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANARDOSE_CACHE", str(tmp_path_factory.mktemp("tables")))
        yield


@pytest.fixture
def garden(monkeypatch, tmp_path):
    """Faults planted in it leave no trace: caches and kernels are fresh before and after."""
    with monkeypatch.context() as patch:
        forget()
        yield Garden(patch, tmp_path)
    forget()
    rebuild_kernels()
