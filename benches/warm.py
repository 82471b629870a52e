#!/usr/bin/env python3
"""Uses the free memory, and keeps it in use: warm.py FILE writes a file that fills the page cache; who measures removes it
afterwards.

A virtual machine gets its memory from its host page by page, at the first use of each, and many hand free pages back
after seconds: until a page is there, a write of 512 KB into the page cache takes 0.7 to 1.4 ms instead of 0.1 ms, for
every archive alike, and the figures say how long the machine was up. An archive that has run for a while has no free
memory: the page cache holds images.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# The rest stays for what runs beside, and for what is measured on the disk.
FREE_MEMORY_BYTES = 2 << 30
FREE_DISK_BYTES = 24 << 30
PIECE = bytes(16 << 20)


def free_memory_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemFree:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/meminfo has no MemFree")


def free_disk_bytes(path: Path) -> int:
    disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize


def main() -> None:
    path = Path(sys.argv[1])
    with path.open("wb") as file:
        while free_memory_bytes() > FREE_MEMORY_BYTES and free_disk_bytes(path) > FREE_DISK_BYTES:
            file.write(PIECE)
        os.fsync(file.fileno())


if __name__ == "__main__":
    main()
