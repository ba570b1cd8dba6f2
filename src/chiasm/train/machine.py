"""What the machine offers: device, precision, threads, memory allocator."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Generator
from contextlib import contextmanager

import torch

from chiasm.errors import ConfigError


def choose_device(wanted: str, rank: int = 0) -> torch.device:
    """`auto`: CUDA, else MPS, else the CPU. Raises ConfigError for one that is not there."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        wanted = next(name for name, there in available.items() if there)
    if not available[wanted]:
        raise ConfigError(f"torch finds no device {wanted} here; use auto or cpu")
    return torch.device(wanted, rank % torch.cuda.device_count()) if wanted == "cuda" else torch.device(wanted)


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """The type activations are computed in; parameters stay float32. `auto`: bfloat16 where the hardware multiplies it natively."""
    if wanted != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16}[wanted]
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        native = cpu_multiplies_bf16()
    else:
        native = False
    return torch.bfloat16 if native else torch.float32


def cpu_multiplies_bf16() -> bool:
    """Whether the processor has bfloat16 dot products (AVX512-BF16 or AMX on x86, BF16 on Arm): elsewhere it is emulated and slower."""
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:  # noqa: PTH123 (a device file)
            flags = file.read(20_000)
    except OSError:
        return platform.machine() == "arm64"  # macOS on Apple silicon
    return any(flag in flags.split() for flag in ("avx512_bf16", "amx_bf16", "bf16"))


def choose_processes(wanted: int | str, device: str, batch: int) -> int:
    """How many processes train together; `auto` never takes a number that does not divide the batch."""
    if wanted != "auto":
        return int(wanted)
    if choose_device(device).type != "cpu":
        return 1
    return max(n for n in range(1, min(cores(), 4) + 1) if batch % n == 0)


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(wanted: int | None, processes: int) -> None:
    """CPU threads of this process: as configured, else this machine's cores shared among the processes."""
    torch.set_num_threads(wanted or max(cores() // processes, 1))


def make_repeatable(device: torch.device) -> None:
    """On a CPU, add up gradients in one order whatever the threads, so that a resumed run repeats bit for bit."""
    if device.type == "cpu":
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.use_deterministic_algorithms(True)


@contextmanager
def repeatable(device: torch.device) -> Generator[None, None, None]:
    """As `make_repeatable`, inside; afterwards the process is as it was."""
    algorithms = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    make_repeatable(device)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms[0], warn_only=algorithms[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


def quiet_allocator() -> None:
    """Tell glibc to keep freed memory: a training step frees and asks again for the same large blocks, and handing them back to the
    kernel each time costs a third of a small float32 step in page faults. Other C libraries are left alone."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(top_pad, 64 * 2**20)
