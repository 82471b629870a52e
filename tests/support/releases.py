"""The release before this one, and what a program says of its rules."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from support.archive import REPOSITORY, Archive
from support.cluster import command

SCRIPT = REPOSITORY / "deploy" / "dev" / "release.sh"


def release_before() -> Path:
    """Its binary, as `make release-before` builds it. Only a clone without this repository's history has none."""
    said = subprocess.run([SCRIPT, "path"], capture_output=True, text=True, timeout=60)
    if "then make release-before" in said.stderr or "then run make release-before" in said.stderr:
        pytest.skip(said.stderr)
    assert said.returncode == 0, said.stderr
    return Path(said.stdout.strip())


def rules(node: Archive) -> tuple[int, int]:
    """The rules version that is in force, and the one of the node's release, which is this one."""
    [line] = [line for line in command(node, "status", check=False).splitlines() if "(in force)" in line]
    in_force, own = re.fullmatch(r".*\(rules\): (\d+) .*: (\d+)", line).groups()
    return int(in_force), int(own)


def releases(node: Archive) -> list[str]:
    """What every node said at its last start that it runs, by number."""
    lines = command(node, "status", check=False).splitlines()
    return [line.split("(release) ")[1].split()[0] for line in lines if "节点 (node) " in line and "(release)" in line]


def tells(now: object, before: object) -> bool:
    """Whether an answer says all that another one says; a later release may say more."""
    if isinstance(now, dict) and isinstance(before, dict):
        return all(key in now and tells(now[key], value) for key, value in before.items())
    if isinstance(now, list) and isinstance(before, list):
        return len(now) == len(before) and all(map(tells, now, before))
    return now == before
