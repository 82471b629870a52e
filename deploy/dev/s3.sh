#!/usr/bin/env bash
# One real S3 server (versitygw) on the loopback, for development and tests. Not for patients' data.
#
#   s3.sh start DIR PORT [BUCKET…]   starts the server whose data lies in DIR; returns when it takes
#                                    requests. Makes the buckets, `yingku` if none is named.
#   s3.sh stop DIR                   ends the server that was started there, and no other
#   s3.sh install                    fetches and builds the server, which start does too
#
# Both may be repeated. The account is the one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. DIR
# keeps the data (a folder for each bucket), s3.log and the process number (s3.pid). The server is
# built once, into ~/.cache/yingku.
set -euo pipefail

VERSION=v1.8.0
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/yingku/versitygw-$VERSION"
SERVER="$CACHE/versitygw"
START_LIMIT_S=30
STOP_LIMIT_S=30
INSTALL_DEPS="$(dirname "${BASH_SOURCE[0]}")/../install-deps.sh"
# Where a Go from go.dev lies.
export PATH="$PATH:/usr/local/go/bin"

say() { printf 's3.sh: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

install() {
  [[ -x "$SERVER" ]] && return 0
  mkdir -p "$CACHE"
  # Tests start servers side by side: one builds, the others wait.
  exec 8> "$CACHE/lock"
  flock 8
  [[ -x "$SERVER" ]] || build
  exec 8>&-
}

build() {
  "$INSTALL_DEPS" go
  say "building versitygw $VERSION"
  local made
  made="$(mktemp -d "$CACHE/build.XXXXXX")"
  # A Go that is older than the server asks for fetches the one it needs.
  GOBIN="$made" GOFLAGS='' GOTOOLCHAIN=auto \
    go install "github.com/versity/versitygw/cmd/versitygw@$VERSION" > "$made/go.log" 2>&1 \
    || { cat "$made/go.log" >&2; rm -rf "$made"; fail "versitygw cannot be built"; }
  mv "$made/versitygw" "$SERVER"
  rm -rf "$made"
}

# The process of this DIR's server, if it runs: a process number alone may be somebody else's by now.
running() {
  local dir="$1" pid
  pid="$(cat "$dir/s3.pid" 2>/dev/null)" || return 1
  { tr '\0' '\n' < "/proc/$pid/cmdline"; } 2>/dev/null | grep -qxF "$dir/data" || return 1
  echo "$pid"
}

healthy() { curl --silent --fail --max-time 2 --output /dev/null "http://127.0.0.1:$1/health"; }

start() {
  local dir="$1" port="$2" pid bucket
  shift 2
  (($# > 0)) || set -- yingku
  : "${AWS_ACCESS_KEY_ID:?the account of the server}" "${AWS_SECRET_ACCESS_KEY:?its secret}"
  mkdir -p "$dir"
  dir="$(cd "$dir" && pwd)"
  for bucket in "$@"; do mkdir -p "$dir/data/$bucket"; done
  if pid="$(running "$dir")"; then
    say "runs already in $dir (process $pid)"
    return 0
  fi
  install
  healthy "$port" && fail "port $port is taken"
  rm -f "$dir/s3.pid"
  # A session of its own: what ends whoever called this does not end the server.
  ROOT_ACCESS_KEY="$AWS_ACCESS_KEY_ID" ROOT_SECRET_KEY="$AWS_SECRET_ACCESS_KEY" \
    setsid bash -c 'echo $$ > "$0"; exec "$@"' "$dir/s3.pid" \
    "$SERVER" --port "127.0.0.1:$port" --quiet --keep-alive --health /health posix "$dir/data" \
    >> "$dir/s3.log" 2>&1 < /dev/null &
  local deadline=$((SECONDS + START_LIMIT_S))
  until healthy "$port"; do
    ((SECONDS < deadline)) || fail "not started within $START_LIMIT_S s, see $dir/s3.log"
    sleep 0.05
    [[ ! -s "$dir/s3.pid" ]] || running "$dir" > /dev/null || fail "the server ended, see $dir/s3.log"
  done
  say "http://127.0.0.1:$port, data in $dir, process $(running "$dir")"
}

stop() {
  local dir="$1" pid
  [[ -d "$dir" ]] || return 0
  dir="$(cd "$dir" && pwd)"
  pid="$(running "$dir")" || { rm -f "$dir/s3.pid"; return 0; }
  kill -CONT "$pid" 2>/dev/null || true # a stopped process hears nothing
  kill -TERM "$pid" 2>/dev/null || true
  local deadline=$((SECONDS + STOP_LIMIT_S))
  while running "$dir" > /dev/null; do
    if ((SECONDS >= deadline)); then
      say "does not end within $STOP_LIMIT_S s and is killed"
      kill -KILL "$pid" 2>/dev/null || true
      break
    fi
    sleep 0.05
  done
  rm -f "$dir/s3.pid"
}

case "${1:-}" in
  start) shift; start "${1:?DIR}" "${2:?PORT}" "${@:3}" ;;
  stop) stop "${2:?DIR}" ;;
  install) install ;;
  *) fail "usage: s3.sh start DIR PORT [BUCKET…] | stop DIR | install" ;;
esac
