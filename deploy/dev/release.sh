#!/usr/bin/env bash
# An earlier release of this archive, built from this repository's history, for tests that run two side by side.
#
#   release.sh build [COMMIT]   builds it, unless it is there
#   release.sh path [COMMIT]    says where its binary lies; one that is not there fails, with what to do
#
# COMMIT is the release before this one if none is named. Binaries lie in ~/.cache/yingku/releases. What is built goes
# to CARGO_TARGET_DIR, so that RocksDB's C++ is not built again; the binary of this release, which cargo keeps under the
# same name there, is put back.
set -euo pipefail

# The last commit whose rules version is the one before this release's.
BEFORE=afabf55d25e4e95fe6f73950e69399d2015b5a85
REPOSITORY="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/yingku/releases"
TARGET="${CARGO_TARGET_DIR:-$REPOSITORY/target}"
commit="${2:-$BEFORE}"
out="$CACHE/$commit/yingku"

say() { printf 'release.sh: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

in_history() { git -C "$REPOSITORY" cat-file -e "$commit^{commit}" 2>/dev/null; }

# A clone that lacks the commit says so, and how to get it.
need_history() {
  in_history && return 0
  if [[ "$(git -C "$REPOSITORY" rev-parse --is-shallow-repository 2>/dev/null)" == true ]]; then
    fail "this is a shallow clone without $commit, the earlier release: run git fetch --unshallow, then make release-before"
  fi
  fail "there is no commit $commit, the earlier release, in $REPOSITORY: work in a clone of the whole repository (git fetch origin), then run make release-before"
}

path() {
  [[ -x "$out" ]] || need_history
  [[ -x "$out" ]] || fail "$out is not built: run make release-before"
  echo "$out"
}

# Puts the binary that was there back, or takes the earlier one away, whatever happened meanwhile.
put_back() {
  if [[ -e "$aside" ]]; then mv -f "$aside" "$binary"; else rm -f "$binary"; fi
}

build() {
  [[ -x "$out" ]] && return 0
  need_history
  say "building the release of commit $commit"
  local source="$CACHE/$commit/source" version built
  rm -rf "$source"
  mkdir -p "$source"
  git -C "$REPOSITORY" archive "$commit" | tar -x -C "$source"
  binary="$TARGET/release/yingku" aside="$TARGET/release/yingku.aside"
  [[ ! -e "$binary" ]] || ln -f "$binary" "$aside" # cargo removes the old one, it does not write into it
  trap put_back EXIT
  # The same features as everything else is built with; what is built once needs no incremental state.
  (cd "$source" && CARGO_TARGET_DIR="$TARGET" CARGO_INCREMENTAL=0 cargo build --release --locked --workspace --bins)
  cp "$binary" "$out.new"
  # Somebody else may have built into the same directory a moment ago.
  version="$(sed -n 's/^version = "\(.*\)"/\1/p' "$source/Cargo.toml" | head -n 1)"
  built="$("$out.new" --version)"
  [[ "$built" == "yingku $version" ]] || fail "what was built is $built instead of $version: run this again while nothing else builds"
  mv "$out.new" "$out"
  rm -rf "$source"
}

case "${1:-}" in
  build) build ;;
  path) path ;;
  *) fail "usage: release.sh build [COMMIT] | path [COMMIT]" ;;
esac
