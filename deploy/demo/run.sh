#!/usr/bin/env bash
# Starts the archive with the demo settings and says what to try next.
#
#   run.sh DATA_DIRECTORY        (YINGKU names the binary)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
data="${1:?the data directory}"
yingku="${YINGKU:-target/release/yingku}"
mkdir -p "$data"

# The archive's first line on standard output is JSON and comes once it serves.
ready="$(mktemp -u)"
mkfifo -m 600 "$ready"
"$yingku" serve --config deploy/demo/yingku.toml --data "$data" >"$ready" &
archive=$!
# Ctrl-C and a plain kill reach the archive, which finishes what it began; then this script ends.
trap 'kill -TERM "$archive" 2>/dev/null || true' INT TERM
exec 3<"$ready"
rm -f "$ready"

if IFS= read -r line <&3; then
  http="$(sed -n 's/.*"http": *"\([^"]*\)".*/\1/p' <<<"$line")"
  dicom="$(sed -n 's/.*"dicom": *"\([^"]*\)".*/\1/p' <<<"$line")"
  cat <<WORDS

Yingku 影库 serves.  HTTP http://$http   DICOM YINGKU@$dicom   data $data
Try next, in another shell:
  make demo                                    # push, store, declare and reconcile the sample exam
  echoscu -v -aec YINGKU ${dicom%:*} ${dicom##*:}      # a DICOM peer says hello
  curl -s http://$http/openapi.json   # the interfaces; to read them, http://$http/docs in a browser
Ctrl-C ends it.

WORDS
fi
# `wait` returns early when a signal is trapped: wait again until the archive has really ended.
while true; do
  wait "$archive" && result=0 || result=$?
  kill -0 "$archive" 2>/dev/null || break
done
exit "$result"
