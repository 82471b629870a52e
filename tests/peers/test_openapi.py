"""Requests made of the OpenAPI document, right and wrong ones: every answer is one that the document describes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.schemas import APIOperation

from support.archive import Archive

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
# Each with its own right, on the same archive.
READING = {"query", "detail", "history", "reconcile", "citation", "feed"} | {
    "completeness", "timeliness", "positive", "load", "repeat", "missing",
}
SUPERVISING = {"/v1/index/resolve", "/v1/index/list"}
# Where nothing is new it answers after as many seconds as are asked for, eight at most.
WAITING = {"/v1/feed"}
# Failures are answered after a while, and more and more slowly: a few must do.
SLOWED = {"/v1/auth/getToken", "/v1/apply/query", "/v1/apply/query/{app}"}


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An archive of its own: what is made up here would be in the way of other tests."""
    archive = Archive(tmp_path_factory.mktemp("described")).start()
    yield archive
    assert archive.alive(), archive.log_tail()
    assert archive.stop() == 0


def operations(archive: Archive) -> list[APIOperation]:
    document = schemathesis.openapi.from_url(f"{archive.http}/openapi.json")
    found = [result.ok() for result in document.get_all_operations()]
    assert len(found) >= 10
    return found


def check(operation: APIOperation, mode: GenerationMode, examples: int, headers: dict[str, str]) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def answered_as_described(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS, headers=headers)

    answered_as_described()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_as_the_document_says(described: Archive, mode: GenerationMode) -> None:
    tokens = {app: described.client(app).token for app in ("demo-pacs", "demo-reader", "demo-supervisor")}
    for operation in operations(described):
        name = Path(operation.path).name
        if operation.path in SLOWED:
            check(operation, mode, 10, {})
        else:
            app = "demo-reader" if name in READING else "demo-pacs"
            if operation.path in SUPERVISING:
                app = "demo-supervisor"
            examples = 15 if operation.path in WAITING else 60
            check(operation, mode, examples, {"token": tokens[app]})
