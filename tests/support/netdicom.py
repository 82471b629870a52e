"""pynetdicom on both sides: associations to the archive, and a destination that keeps raw bytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from time import sleep

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, _config, build_context, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from support.instances import RawInstance

# Odd files have odd values and private SOP classes: they are sent and received as they are.
_config.UNRESTRICTED_STORAGE_SERVICE = True
_config.USE_SHORT_DIMSE_AET = True

AET = "YINGKU"
PENDING = (0xFF00, 0xFF01)


@contextmanager
def associate(dicom: tuple[str, int], contexts: list, calling: str = "PYNETDICOM", **more: object) -> Iterator[Association]:
    ae = AE(ae_title=calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 60
    association = ae.associate(*dicom, contexts=contexts, ae_title=AET, **more)
    assert association.is_established, "the archive did not accept the association"
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def echo(dicom: tuple[str, int]) -> int:
    with associate(dicom, [build_context(Verification)]) as association:
        return association.send_c_echo().Status


def contexts_for(instances: list[RawInstance]) -> list:
    """One presentation context for each pair of SOP class and transfer syntax."""
    pairs = sorted({(raw.sop_class, raw.transfer_syntax) for raw in instances})
    assert len(pairs) <= 128, "an association has at most 128 contexts"
    return [build_context(sop_class, [syntax]) for sop_class, syntax in pairs]


def send_raw(association: Association, raw: RawInstance) -> Dataset | None:
    """Sends the bytes as they are; the answer's command set, or None when the association is gone.

    pynetdicom's own `send_c_store` encodes again; this is its body without the encoding. LookupError
    when the archive did not accept the presentation context.
    """
    for context in association.accepted_contexts:
        if context.abstract_syntax == raw.sop_class and context.transfer_syntax[0] == raw.transfer_syntax:
            break
    else:
        raise LookupError(f"no context for {raw.sop_class} in {raw.transfer_syntax}")
    request = C_STORE()
    request.MessageID = 1
    request.Priority = 2
    request.AffectedSOPClassUID = UID(raw.sop_class)
    request.AffectedSOPInstanceUID = UID(raw.sop_instance)
    request.DataSet = BytesIO(raw.data)
    association._reactor_checkpoint.clear()
    while not association._is_paused:
        sleep(0.001)  # pynetdicom's own way to stop its reactor
    try:
        association.dimse.send_msg(request, context.context_id)
        _, response = association.dimse.get_msg(block=True)
    finally:
        association._reactor_checkpoint.set()
        # Until the reactor has noticed, the flag is stale: the next message would be taken for paused too early.
        while association._is_paused and association.is_alive():
            sleep(0.001)
    if response is None or response.Status is None:
        return None
    status = Dataset()
    status.Status = response.Status
    if response.ErrorComment:
        status.ErrorComment = response.ErrorComment
    return status


def store(dicom: tuple[str, int], instances: list[RawInstance], calling: str = "PYNETDICOM") -> list[Dataset]:
    with associate(dicom, contexts_for(instances), calling) as association:
        answers = [send_raw(association, raw) for raw in instances]
    assert None not in answers, "the archive broke the association"
    return answers


def stored(dicom: tuple[str, int], instances: list[RawInstance], calling: str = "PYNETDICOM") -> None:
    """Stores what must be taken."""
    answers = store(dicom, instances, calling)
    assert [answer.Status for answer in answers] == [0x0000] * len(instances), answers


def query(level: str, **keys: object) -> Dataset:
    identifier = Dataset()
    # The keys' own texts may be Chinese.
    identifier.SpecificCharacterSet = str(keys.pop("SpecificCharacterSet", "ISO_IR 192"))
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    return identifier


def find(dicom: tuple[str, int], identifier: Dataset, model: str = StudyRootQueryRetrieveInformationModelFind) -> list[Dataset]:
    matches: list[Dataset] = []
    last = None
    with associate(dicom, [build_context(model)]) as association:
        for status, match in association.send_c_find(identifier, model):
            last = status.Status
            if last in PENDING:
                matches.append(match)
    assert last == 0x0000, f"C-FIND ended with {last:#06x}" if last is not None else "C-FIND broke"
    return matches


def move(dicom: tuple[str, int], destination: str, identifier: Dataset, model: str = StudyRootQueryRetrieveInformationModelMove) -> list[tuple[Dataset, Dataset | None]]:
    """All answers of a C-MOVE, pending ones too."""
    with associate(dicom, [build_context(model)]) as association:
        return list(association.send_c_move(identifier, destination, model))


class Destination:
    """A storage SCP that keeps the data sets' bytes as they arrived."""

    def __init__(self, port: int, answer: int = 0x0000) -> None:
        self.port, self.answer = port, answer
        self.received: dict[str, RawInstance] = {}
        self.lock = threading.Lock()

    def _on_store(self, event: evt.Event) -> int:
        request = event.request
        raw = RawInstance(
            str(request.AffectedSOPClassUID),
            str(request.AffectedSOPInstanceUID),
            str(event.context.transfer_syntax),
            None,
            request.DataSet.getvalue(),
        )
        with self.lock:
            self.received[raw.sop_instance] = raw
        return self.answer

    def take(self) -> dict[str, RawInstance]:
        """What came so far, by SOP Instance UID; forgotten afterwards."""
        with self.lock:
            received, self.received = self.received, {}
            return received

    def __enter__(self) -> Destination:
        ae = AE(ae_title="SINK")
        ae.supported_contexts = [build_context(Verification)]
        ae.maximum_pdu_size = 0
        self.server = ae.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._on_store)]
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()


def moved(dicom: tuple[str, int], sink: int, study: str) -> dict[str, RawInstance]:
    """What is sent of a study to the peer SINK, which listens at `sink`; every sub-operation must succeed."""
    with Destination(sink) as destination:
        final, failed = move(dicom, "SINK", query("STUDY", StudyInstanceUID=study))[-1]
    assert final.Status == 0x0000, (final, failed)
    return dict(destination.received)
