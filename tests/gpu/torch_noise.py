"""dpf_privatise_device through the C interface: the host's bits, on the device. Needs PyTorch for memory and a GPU."""

import ctypes
import sys

import pytest
import torch

import dpflash
from dpflash import _library as c

SOURCE = dict(seed=9, generator="philox")


def on_device(total, calibration, element, source, step):
    draws = source._draws(0, step)
    stream = torch.cuda.current_stream().cuda_stream
    c.check(
        c.library.dpf_privatise_device(
            calibration.handle, 2.0, element, total.data_ptr(), total.numel(), ctypes.byref(draws), stream
        )
    )
    torch.cuda.synchronize()


@pytest.mark.parametrize("count", [1, 77, 100_003])
@pytest.mark.parametrize("family", ["gaussian", "laplace"])
def test_the_hosts_bits(family, count):
    make = dpflash.Calibration.gaussian_stated if family == "gaussian" else dpflash.Calibration.laplace_stated
    calibration = make(1.5, 1e-5)
    host = torch.randn(count)
    device = host.cuda()
    dpflash.privatise(host.numpy(), calibration, 2.0, dpflash.NoiseSource.reproducible(**SOURCE), step=4)
    source = dpflash.NoiseSource.reproducible(**SOURCE)
    on_device(device, calibration, 2, source, 4)
    assert torch.equal(device.cpu(), host)
    with pytest.raises(dpflash.ReusedNoise):
        on_device(device, calibration, 2, source, 4)


def test_sixteen_bits():
    calibration = dpflash.Calibration.gaussian_stated(1.5, 1e-5)
    for kind, element in ((torch.bfloat16, 0), (torch.float16, 1)):
        total = torch.zeros(1000, dtype=kind, device="cuda")
        on_device(total, calibration, element, dpflash.NoiseSource.reproducible(**SOURCE), 0)
        assert (total != 0).all()
    laplace = dpflash.Calibration.laplace_stated(1.5, 1e-5)
    with pytest.raises(dpflash.UnusableInput, match="element"):
        on_device(torch.zeros(8, dtype=torch.float16, device="cuda"), laplace, 1, dpflash.NoiseSource(), 0)


if __name__ == "__main__":
    if not torch.cuda.is_available():
        print("SKIPPED: no CUDA device")
        sys.exit(77)
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
