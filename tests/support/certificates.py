"""Certificates for a test, made by openssl: an authority, a server, a client, and a client of nobody's."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    certificate: Path
    key: Path


@dataclass(frozen=True)
class Certificates:
    authority: Path
    server: Pair
    client: Pair
    stranger: Pair


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


def _self_signed(folder: Path, name: str) -> Pair:
    pair = Pair(folder / f"{name}.crt", folder / f"{name}.key")
    _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2, "-subj", f"/CN={name}", "-keyout", pair.key, "-out", pair.certificate)
    return pair


def _signed(folder: Path, name: str, usage: str, authority: Pair) -> Pair:
    pair, request, extensions = Pair(folder / f"{name}.crt", folder / f"{name}.key"), folder / f"{name}.csr", folder / f"{name}.cnf"
    extensions.write_text(f"basicConstraints=CA:FALSE\nextendedKeyUsage={usage}\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n")
    _openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", pair.key, "-out", request)
    _openssl(
        "x509", "-req", "-in", request, "-CA", authority.certificate, "-CAkey", authority.key, "-CAcreateserial",
        "-days", 2, "-extfile", extensions, "-out", pair.certificate,
    )
    return pair


def make(folder: Path) -> Certificates:
    authority = _self_signed(folder, "authority")
    return Certificates(
        authority.certificate,
        _signed(folder, "server", "serverAuth", authority),
        _signed(folder, "client", "clientAuth", authority),
        _self_signed(folder, "stranger"),
    )
