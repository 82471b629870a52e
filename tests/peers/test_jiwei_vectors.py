"""The messages of 基卫 that the Rust tests read (contract §1) are those that Java's own Cipher and OpenSSL make."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
GENERATOR = TESTS / "peers" / "java" / "JiweiVectors.java"
VECTORS = TESTS / "fixtures" / "contract" / "jiwei" / "vectors.json"

vectors = json.loads(VECTORS.read_text(encoding="utf-8"))


def openssl(vector: dict[str, str], *more: str, given: bytes) -> bytes:
    """AES-128-ECB with OpenSSL's usual padding, PKCS#7."""
    command = ["openssl", "enc", "-aes-128-ecb", "-K", vector["key"].encode().hex(), *more]
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout


def test_java_makes_them_again() -> None:
    assert shutil.which("java"), "no Java: run make install-deps"
    made = subprocess.run(["java", "-Dfile.encoding=UTF-8", GENERATOR], capture_output=True, check=False)
    assert made.returncode == 0, made.stderr.decode(errors="replace")
    assert made.stdout.decode("utf-8") == VECTORS.read_text(encoding="utf-8")


@pytest.mark.parametrize("vector", vectors, ids=lambda vector: vector["name"])
def test_openssl_makes_and_reads_them(vector: dict[str, str]) -> None:
    clear = vector["clear"].encode()
    assert openssl(vector, "-e", "-base64", "-A", given=clear).decode() == vector["base64"]
    assert openssl(vector, "-d", given=base64.b64decode(vector["base64"], validate=True)) == clear
    lines = vector["mime"].split("\r\n")
    assert "".join(lines) == vector["base64"]
    assert {len(line) for line in lines[:-1]} <= {76}
