"""A handful of kill -9 rounds; `make torture` runs a hundred."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from peers.torture import torture

ROUNDS_IN_CI = 5


@pytest.mark.timeout(600)
def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # shown by pytest when it fails
    ledger = torture(tmp_path, ROUNDS_IN_CI, seed)
    # The rounds did load the archive: otherwise nothing was proved.
    assert len(ledger.pushes) > ROUNDS_IN_CI
    assert sum(map(len, ledger.images.values())) > ROUNDS_IN_CI
