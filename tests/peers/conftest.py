"""What the peer tests share: one running archive for most of them, fresh ones for the rough ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.archive import Archive, free_port
from support.kafka import Kafka
from support.objects import S3
from support.registry import Registry


@pytest.fixture(scope="session")
def sink_port() -> int:
    return free_port()


@pytest.fixture
def sink() -> int:
    """A port of the test's own, for a peer called SINK."""
    return free_port()


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    broker = Kafka(tmp_path_factory.mktemp("kafka")).start()
    yield broker
    broker.stop()


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3]:
    with S3(tmp_path / "s3") as server:
        yield server


@pytest.fixture(scope="session")
def orthanc_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory, sink_port: int, orthanc_port: int) -> Iterator[Archive]:
    """One archive for every test that only adds exams of its own."""
    registry = Registry(peers={"SINK": sink_port, "ORTHANC": orthanc_port, "GONE": free_port()})
    running = Archive(tmp_path_factory.mktemp("archive"), registry).start()
    yield running
    assert running.alive(), f"the archive died during the tests:\n{running.log_tail()}"
    assert running.stop() == 0


@pytest.fixture
def fresh_archive(tmp_path: Path) -> Iterator[Callable[..., Archive]]:
    """Makes archives of a test's own; they end with the test."""
    made: list[Archive] = []

    def make(**more: object) -> Archive:
        one = Archive(tmp_path / f"archive{len(made)}", **more)
        made.append(one)
        return one.start()

    yield make
    for one in made:
        one.kill()


@pytest.fixture(autouse=True)
def still_serving(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test may take the shared archive down."""
    yield
    if "archive" in request.fixturenames:
        shared = request.getfixturevalue("archive")
        assert shared.alive(), f"the archive died:\n{shared.log_tail()}"
