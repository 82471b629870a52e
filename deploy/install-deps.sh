#!/usr/bin/env bash
# Installs what a fresh machine lacks, and says in words what it cannot install.
#
#   install-deps.sh build          compilers and libraries that the build needs; checks the Rust toolchain
#   install-deps.sh peers          the DICOM peers that the tests talk to, and a browser
#   install-deps.sh kafka          Java: what runs the Kafka broker of development and tests, and the tests' Java peers
#   install-deps.sh go             what builds the S3 server of development and tests
#   install-deps.sh python VENV    a virtual environment with the pinned test packages
#
# Nothing is touched when nothing is missing, so every make target may call it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# rocksdb: clang and libclang for its bindings, a C++ compiler for itself.
build_packages=(ca-certificates g++ make clang libclang-dev cmake pkg-config libssl-dev openssl curl git)
# The peers of the tests and benches, and Python to drive them.
# Mono: a .NET client of the SOAP service.
# Chromium, with letters for Chinese: a clinician's browser.
peer_packages=(dcmtk orthanc dicom3tools mono-devel mono-mcs python3 python3-venv chromium fonts-wqy-microhei)
# The broker itself comes from Maven Central (deploy/dev/kafka.sh).
kafka_packages=(default-jre-headless maven)

go_packages=(golang-go)

say() { printf 'install-deps: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

missing_packages() {
  local package
  for package in "$@"; do
    if [[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]]; then
      printf '%s\n' "$package"
    fi
  done
}

install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "this is not a Debian system, so nothing is installed here; these must be present: $*"
    return 0
  fi
  local missing
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]} == 0)) && return 0
  local as_root=()
  if ((EUID != 0)); then
    sudo -n true 2>/dev/null || fail "missing Debian packages; run as root: apt-get install ${missing[*]}"
    as_root=(sudo -n)
  fi
  say "installing ${missing[*]}"
  "${as_root[@]}" apt-get update -q
  # The orthanc package would start a server of its own on install; the tests start theirs.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# Any Java that runs Kafka 4 will do, whatever package it came with, if it also runs a source file (tests/peers/java): that
# takes its compiler module, which Debian's runtime has and not every other.
has_java() {
  java -version 2>&1 | grep -qE 'version "(1[7-9]|[2-9][0-9])' && [[ "$(java --list-modules)" == *jdk.compiler@* ]]
}

install_kafka_runtime() {
  command -v mvn >/dev/null && has_java && return 0
  install_packages "${kafka_packages[@]}"
}

check_rust() {
  local wanted found
  wanted="$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)"
  command -v cargo >/dev/null || fail "no Rust toolchain: install one (Rust $wanted or newer) from https://rustup.rs, then run make again"
  found="$(rustc --version | sed -n 's/^rustc \([0-9.]*\).*/\1/p')"
  if [[ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]]; then
    fail "Rust $found is too old, $wanted or newer is needed: rustup update stable"
  fi
}

# Any Go since 1.21 fetches by itself the one that a program asks for.
has_go() { [[ "$(go env GOVERSION 2>/dev/null)" =~ ^go1\.(2[1-9]|[3-9][0-9]) ]]; }

install_go() {
  PATH="$PATH:/usr/local/go/bin"
  has_go && return 0
  install_packages "${go_packages[@]}"
  has_go || fail "no Go 1.21 or newer: install one from https://go.dev/dl, then run make again"
}

make_venv() {
  local venv="$1" pins=tests/requirements.txt
  if [[ -x "$venv/bin/python" ]] && cmp -s "$pins" "$venv/requirements.installed"; then
    return 0
  fi
  say "making the Python environment $venv"
  mkdir -p "$(dirname "$venv")"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$pins"
  cp "$pins" "$venv/requirements.installed"
}

case "${1:-}" in
  build) install_packages "${build_packages[@]}"; check_rust ;;
  peers) install_packages "${peer_packages[@]}" ;;
  kafka) install_kafka_runtime ;;
  go) install_go ;;
  python) make_venv "${2:?the directory of the virtual environment}" ;;
  *) fail "usage: install-deps.sh build | peers | kafka | go | python VENV" ;;
esac
