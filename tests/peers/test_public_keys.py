"""The public key that a vendor is handed: PEM, Base64 DER and .NET XML are one key, and each makes a sign that is taken (R3)."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from xml.etree import ElementTree

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from support.archive import Archive


def of_xml(text: str) -> RSAPublicKey:
    root = ElementTree.fromstring(text)
    assert root.tag == "RSAKeyValue"
    exponent, modulus = (int.from_bytes(base64.b64decode(root.findtext(name))) for name in ("Exponent", "Modulus"))
    return RSAPublicNumbers(exponent, modulus).public_key()


def handed_out(archive: Archive, ending: str) -> str:
    return (archive.data / "keys" / f"demo-pacs.pub.{ending}").read_text()


def test_every_form_is_the_same_key_and_makes_a_good_sign(archive: Archive) -> None:
    client = archive.client()
    forms = [
        load_pem_public_key(handed_out(archive, "pem").encode()),
        load_der_public_key(base64.b64decode(handed_out(archive, "der.b64"), validate=True)),
        of_xml(handed_out(archive, "xml")),
    ]
    assert len({key.public_numbers() for key in forms}) == 1
    for key in forms:
        plaintext = f"{client.app},{client.org},{client.license}".encode()
        sign = base64.b64encode(key.encrypt(plaintext, padding.PKCS1v15())).decode()
        assert client.get_token(sign).status == 0


def test_openssl_reads_the_der_and_says_the_same_pem(archive: Archive, tmp_path: Path) -> None:
    der = tmp_path / "key.der"
    der.write_bytes(base64.b64decode(handed_out(archive, "der.b64")))
    said = subprocess.run(
        ["openssl", "pkey", "-pubin", "-inform", "DER", "-in", der, "-pubout"], capture_output=True, text=True, check=True
    )
    assert said.stdout == handed_out(archive, "pem")


def test_the_command_shows_all_three(archive: Archive) -> None:
    said = archive.command("app", "key", "demo-pacs", "--data", archive.data).stdout
    for ending in ("pem", "der.b64", "xml"):
        assert handed_out(archive, ending).strip() in said
