"""DICOM over TLS, beside the clear port: DCMTK and pynetdicom, with and without certificates of callers."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification

from support import certificates, netdicom
from support.archive import Archive
from support.certificates import Certificates, Pair
from support.dcmtk import AET, Ran, run
from support.exams import new_exam, study_of
from support.instances import ct_slices, raw_of, save_all
from support.netdicom import associate, query, send_raw

# The negotiation's time, which the handshake is within, and what a loaded machine may add.
HANDSHAKE_LIMIT_S = 30 + 15


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates.make(tmp_path_factory.mktemp("certificates"))


def settings(made: Certificates, client_ca: bool) -> tuple[tuple[str, str], ...]:
    section = f'[dicom.tls]\nlisten = "127.0.0.1:0"\ncertificate = "{made.server.certificate}"\nkey = "{made.server.key}"\n'
    if client_ca:
        section += f'client_ca = "{made.authority}"\n'
    return (("[keys]", f"{section}\n[keys]"),)


@pytest.fixture(scope="module")
def anyone(made: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Callers need no certificate."""
    archive = Archive(tmp_path_factory.mktemp("anyone"), settings=settings(made, client_ca=False)).start()
    yield archive
    assert archive.stop() == 0


@pytest.fixture(scope="module")
def known(made: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Callers need a certificate of the authority."""
    archive = Archive(tmp_path_factory.mktemp("known"), settings=settings(made, client_ca=True)).start()
    yield archive
    assert archive.stop() == 0


def dcmtk(tool: str, archive: Archive, made: Certificates, *more: object, client: Pair | None = None) -> Ran:
    """One of DCMTK's tools over TLS; without a certificate of its own unless one is given."""
    identity = ["+tla"] if client is None else ["+tls", client.key, client.certificate]
    return run(tool, *identity, "+cf", made.authority, "-to", 20, "-aec", AET, *archive.dicom_tls, *more)


def context(made: Certificates, client: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(made.authority))
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    return context


def test_dcmtk_stores_over_tls(anyone: Archive, made: Certificates, tmp_path: Path) -> None:
    exam = anyone.client().pushed(new_exam(images=2))
    assert dcmtk("echoscu", anyone, made).code == 0
    stored = dcmtk("storescu", anyone, made, *save_all(ct_slices(exam, 2), tmp_path))
    assert stored.code == 0, stored.output
    # and what came is found through the other door
    found = netdicom.find(anyone.dicom, query("STUDY", StudyInstanceUID=study_of(exam), NumberOfStudyRelatedInstances=""))
    assert [study.NumberOfStudyRelatedInstances for study in found] == [2]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_pynetdicom_stores_and_finds_over_tls(anyone: Archive, made: Certificates, version: ssl.TLSVersion) -> None:
    exam = anyone.client().pushed(new_exam(images=2))
    only = context(made)
    only.minimum_version = only.maximum_version = version
    model = StudyRootQueryRetrieveInformationModelFind
    contexts = [build_context(CTImageStorage, [ExplicitVRLittleEndian]), build_context(model)]
    with associate(anyone.dicom_tls, contexts, tls_args=(only, "localhost")) as association:
        for image in ct_slices(exam, 2):
            assert send_raw(association, raw_of(image)).Status == 0x0000
        answers = list(association.send_c_find(query("STUDY", StudyInstanceUID=study_of(exam)), model))
    assert [status.Status for status, _ in answers] == [0xFF00, 0x0000]


def test_a_caller_must_have_a_certificate_of_the_authority(known: Archive, made: Certificates) -> None:
    assert dcmtk("echoscu", known, made, client=made.client).code == 0
    assert dcmtk("echoscu", known, made).code != 0
    assert dcmtk("echoscu", known, made, client=made.stranger).code != 0
    with associate(known.dicom_tls, [build_context(Verification)], tls_args=(context(made, made.client), "localhost")) as association:
        assert association.send_c_echo().Status == 0x0000
    # The clear port is another matter
    assert netdicom.echo(known.dicom) == 0x0000


def test_who_does_not_speak_tls_is_turned_away_and_others_are_served(anyone: Archive, made: Certificates) -> None:
    assert run("echoscu", "-to", 20, "-ta", 20, "-aec", AET, *anyone.dicom_tls).code != 0
    assert dcmtk("echoscu", anyone, made).code == 0


def test_who_connects_and_never_shakes_hands_is_dropped(anyone: Archive, made: Certificates) -> None:
    silent = socket.create_connection(anyone.dicom_tls, timeout=HANDSHAKE_LIMIT_S)
    begun = socket.create_connection(anyone.dicom_tls, timeout=HANDSHAKE_LIMIT_S)
    with silent, begun:
        begun.sendall(b"\x16\x03\x01\x02\x00\x01")  # the head of a ClientHello of 512 bytes
        assert dcmtk("echoscu", anyone, made).code == 0
        for connection in (silent, begun):
            while connection.recv(4096):  # an alert may come first; a timeout fails the test
                pass


def test_files_that_cannot_be_used_are_named(made: Certificates, tmp_path: Path) -> None:
    for certificate, words in ((tmp_path / "absent.crt", "absent.crt"), (made.client.certificate, "证书与私钥")):
        wrong = Certificates(made.authority, Pair(certificate, made.server.key), made.client, made.stranger)
        archive = Archive(tmp_path / certificate.stem, settings=settings(wrong, client_ca=False))
        with pytest.raises(AssertionError, match="the archive did not start"):
            archive.start()
        assert "dicom.tls" in archive.log_tail() and words in archive.log_tail(), archive.log_tail()
