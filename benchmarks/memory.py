"""Peak memory of a process."""

from __future__ import annotations

import resource
from pathlib import Path


def peak_resident_bytes() -> int:
    """The most memory that this process has had at any time."""
    status = Path("/proc/self/status")
    if status.is_file():  # the high-water mark of this process alone; getrusage begins with its parent's
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
