"""kill -9 at random moments under C-STORE and push load; the sender's own ledger is the judge.

    python -m peers.torture --rounds 100 [--seed N] [--keep DIR]     (from tests/, as `make torture` does)

After every kill: ready again within 5 s, every acknowledged push and image there byte for byte, and
nothing visible that was never completely sent. What was sent without an answer is sent again, which
must be safe.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from support.archive import Archive, free_port
from support.ledger import Judge, Ledger, Load
from support.registry import Registry

READY_LIMIT_S = 5.0
# Earlier rounds' studies that are moved again after each kill; all of them are after the last.
EARLIER_CHECKED = 5


def torture(home: Path, rounds: int, seed: int) -> Ledger:
    chance = random.Random(seed)
    ledger = Ledger()
    sink_port = free_port()
    archive = Archive(home, Registry(peers={"SINK": sink_port})).start()
    judge = Judge(archive, ledger, sink_port)
    try:
        for number in range(1, rounds + 1):
            pushed_before, stored_before = set(ledger.pushes), set(ledger.images)
            load = Load(archive, ledger, chance)
            load.start()
            time.sleep(chance.uniform(0.1, 2.5))  # the random moment
            archive.kill()
            load.join()
            assert not load.refusals, f"good requests were refused: {load.refusals[:3]}"

            archive.start()
            assert archive.ready_s <= READY_LIMIT_S, f"ready only after {archive.ready_s:.1f} s"
            earlier = chance.sample(sorted(stored_before), min(EARLIER_CHECKED, len(stored_before)))
            judge.check_pushes(sorted(set(ledger.pushes) - pushed_before))
            judge.check_studies(sorted(set(ledger.images) - stored_before) + earlier)
            judge.send_again()
            print(f"round {number}/{rounds}: ready in {archive.ready_s:.2f} s, {ledger.counts()}", flush=True)
        judge.check_pushes(sorted(ledger.pushes))
        judge.check_studies(sorted(ledger.images))
        assert archive.stop() == 0
        archive.command("verify", "--config", home / "yingku.toml", "--data", archive.data)
    finally:
        if archive.alive():
            archive.kill()
    return ledger


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=100)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    arguments.add_argument("--keep", type=Path, help="use and keep this directory")
    given = arguments.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="yingku-torture-") as scratch:
        ledger = torture(given.keep or Path(scratch), given.rounds, given.seed)
    print(f"nothing was lost in {given.rounds} kills: {ledger.counts()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
