"""Several nodes of one archive: a real Kafka under them, and a real S3 server if they are given one."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from support.archive import Archive
from support.kafka import Kafka
from support.objects import ACCOUNT, S3
from support.registry import Registry


@dataclass
class Cluster:
    """Nodes that follow one topic; each has a data directory of its own and all one cluster key."""

    home: Path
    kafka: Kafka
    topic: str
    s3: S3 | None = None
    registry: Registry = field(default_factory=Registry)
    settings: tuple[tuple[str, str], ...] = ()
    nodes: list[Archive] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cluster_key = os.urandom(32).hex()

    def add(self, **more: object) -> Archive:
        """One more node, started."""
        environment = {"YINGKU_CLUSTER_KEY": self.cluster_key, **(ACCOUNT if self.s3 else {})}
        node = Archive(
            self.home / f"node{len(self.nodes)}",
            registry=self.registry,
            settings=self.settings,
            log=self.kafka.log(self.topic),
            arguments=("--objects", self.s3.location) if self.s3 else (),
            environment=environment,
            **more,
        )
        self.nodes.append(node)
        return node.start()

    def end(self) -> None:
        for node in self.nodes:
            node.kill()


def command(node: Archive, *words: str, check: bool = True) -> str:
    """An operator's command on a node; what it says."""
    place = ("--config", node.home / "yingku.toml", "--data", node.data, "--log", node.log)
    return node.command(*words, *place, check=check).stdout


def digest(node: Archive) -> tuple[int, str]:
    """How far the node's views go, and their digest."""
    said = command(node, "digest")
    return int(said.split("(position) ")[1].split(",")[0]), said.split("(digest) ")[1].strip()


def same_views(nodes: list[Archive]) -> bool:
    """Whether all nodes have the same views; asks again until they were asked at the same position."""
    for _ in range(100):
        digests = {digest(node) for node in nodes}
        if len({position for position, _ in digests}) == 1:
            return len(digests) == 1
    raise AssertionError(f"the nodes are never at the same position: {digests}")


def holder(node: Archive) -> int | None:
    """The number of the node that has the duties."""
    for line in command(node, "status", check=False).splitlines():
        if "(duty)" in line:
            return int(line.split()[-1])
    return None


def number_of(node: Archive) -> int:
    [line] = [line for line in command(node, "status", check=False).splitlines() if "(本节点 this one)" in line]
    return int(line.split("(node) ")[1].split()[0])
