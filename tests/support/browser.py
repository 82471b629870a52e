"""A clinician's browser: Debian's Chromium without a window. It cannot be asked anything with scripts off; the policy of our
pages lets none run."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

# A cold start on a loaded machine takes some seconds.
OPEN_LIMIT_S = 60
A4_POINTS = (595, 842)


class Browser:
    """Opens pages one at a time, with a profile of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def dom(self, url: str) -> str:
        """The page as the browser understood it."""
        return self._open(url, "--dump-dom").stdout

    def screenshot(self, url: str, path: Path, width: int = 1280, height: int = 900) -> Path:
        self._open(url, f"--screenshot={path}", f"--window-size={width},{height}", "--hide-scrollbars")
        return path

    def pdf(self, url: str, path: Path) -> Printed:
        """The page as it is printed, on the paper that its own style asks for."""
        self._open(url, f"--print-to-pdf={path}", "--no-pdf-header-footer")
        return Printed(path)

    def _open(self, url: str, *arguments: str) -> subprocess.CompletedProcess:
        # Chromium's sandbox wants another user than root.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        return subprocess.run(
            [
                "chromium", "--headless", "--disable-gpu", "--no-first-run", "--disable-extensions",
                "--disable-background-networking",
                f"--user-data-dir={self.home}", *sandbox, *arguments, url,
            ],
            capture_output=True, text=True, timeout=OPEN_LIMIT_S, check=True,
        )


class Printed:
    """A PDF that Chromium made: its pages are plain objects."""

    def __init__(self, path: Path) -> None:
        self.bytes = path.read_bytes()

    @property
    def pages(self) -> int:
        return len(re.findall(rb"/Type\s*/Page\b(?!s)", self.bytes))

    @property
    def is_a4(self) -> bool:
        boxes = re.findall(rb"/MediaBox\s*\[\s*0\s+0\s+([\d.]+)\s+([\d.]+)", self.bytes)
        sizes = {(round(float(width)), round(float(height))) for width, height in boxes}
        return sizes == {A4_POINTS}
