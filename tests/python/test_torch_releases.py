"""What must not happen twice or go uncounted: noise of threads, children and seeds; logs, their copies and handles."""

import copy
import os
import pickle
import threading

import pytest
import torch

import dpflash
from dpflash.torch import ReleaseLog, dp_attention

CLIPS = {"clip_q": 1.0, "clip_k": 1.5, "clip_v": 2.0}


def inputs(batch=2):
    return torch.randn(batch, 5, 4, 8), torch.randn(batch, 7, 2, 8), torch.randn(batch, 7, 2, 8)


def test_logs_count_what_ran():
    log = ReleaseLog()
    q, k, v = inputs()
    for _ in range(3):
        dp_attention(q, k, v, **CLIPS, noise_std=1.0, log=log)
    dp_attention(q, k, v, **CLIPS, noise_std=2.0, log=log)
    counts = sorted(event["count"] for event in log.events("here"))
    assert counts == [1, 3] and log.count == 4
    log.clear()
    assert log.events() == []


def test_logs_refuse_noise_that_they_counted():
    log = ReleaseLog()
    q, k, v = inputs()

    def call(seed, offset=0, log=log):
        dp_attention(q, k, v, **CLIPS, noise_std=1.0, seed=seed, offset=offset, log=log)

    for offset in (0, 1, 3, 2):
        call(7, offset)
    call(8)
    for again in (log, copy.deepcopy(log), pickle.loads(pickle.dumps(log))):
        for offset in range(4):
            with pytest.raises(dpflash.ReusedNoise, match="seed 7 with offset"):
                call(7, offset, again)
        assert again.count == 5
    call(7, 4)
    assert log.count == 6


def test_releases_of_a_lost_log_are_refused():
    q, k, v = inputs()
    lost = ReleaseLog().id
    arguments = (q, k, v, None, [1.0], 0.0, 0, [1.0], [1.0], [1.0], True, -1, -1, None, None, "token", 2, None, 0, 0)
    torch.ops.dpflash.attention(*arguments, 0, None, None, 5, False, False)
    for log in (lost, 1, -1):
        with pytest.raises(dpflash.UnusableInput, match="log"):
            torch.ops.dpflash.attention(*arguments, log, None, None, 5, False, False)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_copies_of_logs_count_on(protocol):
    log = ReleaseLog()
    assert pickle.loads(pickle.dumps(log, protocol)).count == 0
    q, k, v = inputs()
    dp_attention(q, k, v, **CLIPS, noise_std=1.0, log=log)
    other = pickle.loads(pickle.dumps(log, protocol))
    assert other.id != log.id
    dp_attention(q, k, v, **CLIPS, noise_std=1.0, log=other)
    assert (log.count, other.count) == (1, 2)


def test_handles_have_one_owner():
    handle = dpflash.Calibration.gaussian_stated(1, 1e-5)._handle
    for made in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            made(handle)


def test_threads_and_children_do_not_share_noise():
    q, k, v = inputs(batch=1)
    # A call before the fork makes the source that a child would share.
    seen = [dp_attention(q, k, v, **CLIPS, noise_std=1.0)[0]]
    threads = [
        threading.Thread(target=lambda: seen.append(dp_attention(q, k, v, **CLIPS, noise_std=1.0)[0])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, one in enumerate(seen):
        assert not any(torch.isclose(one, other).all() for other in seen[:i])

    receiver, sender = os.pipe()
    torch.set_num_threads(1)
    child = os.fork()
    out = dp_attention(q, k, v, **CLIPS, noise_std=1.0)[0].flatten().tolist()
    if child == 0:
        os.write(sender, repr(out).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(receiver, 1 << 16).decode() != repr(out)


def test_forks_that_python_did_not_make_get_a_key_of_their_own():
    import ctypes

    q, k, v = inputs(batch=1)
    dp_attention(q, k, v, **CLIPS, noise_std=1.0)
    receiver, sender = os.pipe()
    torch.set_num_threads(1)
    # PyDLL keeps the interpreter's lock; fork() of the C library runs none of Python's hooks.
    child = ctypes.PyDLL(None).fork()
    out = dp_attention(q, k, v, **CLIPS, noise_std=1.0)[0].flatten().tolist()
    if child == 0:
        os.write(sender, repr(out).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(receiver, 1 << 16).decode() != repr(out)
