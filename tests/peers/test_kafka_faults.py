"""A handful of rounds of Kafka killed and stopped under load; `make torture-kafka` runs twenty."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from peers.torture_kafka import IN_TURN, torture
from support.kafka import Kafka

# Each kind once.
ROUNDS_IN_CI = len(IN_TURN)


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[Kafka]:
    broker = Kafka(tmp_path / "kafka").start()
    yield broker
    broker.stop()


def test_nothing_acknowledged_is_lost_or_doubled_when_kafka_goes_and_comes_back(kafka: Kafka, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # shown by pytest when it fails
    torture(tmp_path / "archive", kafka, ROUNDS_IN_CI, seed)
