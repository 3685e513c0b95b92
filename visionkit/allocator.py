"""Memory that is given back to the system and asked for again at every step costs time."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of mallopt(3)
_MOST = (1 << 31) - 1  # an int in C


def keep_freed_memory() -> bool:
    """Has this process keep what it frees, for its next use; whether that can be set here.

    On a CPU a network's tensors are freed and asked for anew all the time. glibc gives large ones
    back to the system at once, which then has to clear every page again: without that a training
    step of the localization head at 640x480 takes 0.93 of the CPU's time
    (`benchmarks/allocator.py`). The process stays as large as it ever was. Other C libraries are
    left as they are.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return all(library.mallopt(name, _MOST) for name in (_TRIM_THRESHOLD, _MMAP_THRESHOLD))
