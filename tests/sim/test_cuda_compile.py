"""Both kernels of the Monte Carlo compile for a GPU, also where there is none: NVRTC comes with Warp."""

import pytest
import warp as wp

from planardose.sim import dose_kernel, montecarlo_track

SM_80 = 80  # the oldest architecture in data centres that is still sold


@pytest.mark.parametrize("module", [montecarlo_track, dose_kernel])
def test_kernels_compile_for_cuda(module, tmp_path):
    wp.compile_aot_module(wp.get_module(module.__name__), arch=SM_80, module_dir=tmp_path, use_ptx=True)
    assembly = next(tmp_path.glob("*.ptx")).read_text()
    assert ".target sm_80" in assembly
    assert ".visible .entry" in assembly
