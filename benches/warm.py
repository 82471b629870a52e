#!/usr/bin/env python3
"""Uses the free memory once, so that no bench pays for that.

A virtual machine gets its memory from its host page by page, at the first use of each: until then a write of 512 KB into
the page cache takes 0.7 ms instead of 0.1 ms, for every archive alike, and the figures say how long the machine was up.
"""

from __future__ import annotations

import mmap
from pathlib import Path

# The rest stays for what runs beside.
PART = 0.8
PAGE_BYTES = 4096


def available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/meminfo has no MemAvailable")


def main() -> None:
    length = int(available_bytes() * PART)
    with mmap.mmap(-1, length) as memory:
        for page in range(0, length, PAGE_BYTES):
            memory[page] = 1


if __name__ == "__main__":
    main()
