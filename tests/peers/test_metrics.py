"""/metrics, read by Prometheus' own parser: figures move with what happens, and name nobody."""

from __future__ import annotations

from collections.abc import Callable

import requests
from prometheus_client.parser import text_string_to_metric_families

from support import netdicom
from support.archive import Archive
from support.exams import new_exam
from support.instances import ct_slices, raw_of

Samples = dict[tuple[str, frozenset], float]


def samples(archive: Archive) -> Samples:
    answer = requests.get(f"{archive.http}/metrics", timeout=10)
    assert answer.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(of: Samples, name: str, **labels: str) -> float:
    return of.get((name, frozenset(labels.items())), 0.0)


def test_figures_move_with_what_happens_and_name_nobody(fresh_archive: Callable[..., Archive]) -> None:
    archive = fresh_archive()
    before = samples(archive)

    exam = archive.client().pushed(new_exam(images=3))
    assert archive.client().post("exam/push", {"examNo": "1"}).status != 0
    netdicom.store(archive.dicom, [raw_of(one) for one in ct_slices(exam, 3)], "CT1")

    after = samples(archive)
    push = {"operation": "/v1/exam/push"}
    assert value(after, "yingku_ready") == 1
    assert value(after, "yingku_log_end") > value(before, "yingku_log_end")
    assert value(after, "yingku_http_requests_total", http="200", outcome="done", **push) == 1
    assert value(after, "yingku_http_request_seconds_count", **push) == 2
    assert value(after, "yingku_dimse_responses_total", operation="C-STORE", status="0x0000") == 3
    assert value(after, "yingku_dimse_request_seconds_count", operation="C-STORE") == 3
    assert value(after, "yingku_associations_total") == 1
    assert value(after, "yingku_associations") == 0
    assert value(after, "yingku_log_append_seconds_count", outcome="done") > 0
    assert value(after, "yingku_pack_bytes") > value(before, "yingku_pack_bytes")
    assert sum(count for (name, _), count in after.items() if name == "yingku_refusals_total") > 0

    said = requests.get(f"{archive.http}/metrics", timeout=10).text
    for private in (exam["examNo"], exam["hospitalCode"], exam["patientInfo"]["name"], "demo-pacs", "CT1"):
        assert private not in said


def test_only_named_addresses_read_them(fresh_archive: Callable[..., Archive]) -> None:
    archive = fresh_archive(settings=(("[http]", '[http]\nmetrics_readers = ["192.0.2.1"]'),))
    assert requests.get(f"{archive.http}/metrics", timeout=10).status_code == 403
