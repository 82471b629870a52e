#!/usr/bin/env bash
# All figures, one question after the other (they share the machine: never side by side).
#
#   run.sh [QUESTION…]     store move pull push forms worklist notices kafka ack uploads memory rebuild growth restart million search join, or whatever is named; no name means all
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-.venv/bin/python}"

bench_questions=(store move pull push forms worklist notices kafka ack uploads memory rebuild growth restart million search join)

questions=("$@")
((${#questions[@]})) || questions=("${bench_questions[@]}")
warm="$(mktemp --tmpdir yingku-warm.XXXXXX)"
trap 'rm -f "$warm"' EXIT
"$python" benches/warm.py "$warm"
for question in "${questions[@]}"; do
  case "$question" in
    rebuild | growth | restart | million) cargo bench --quiet --locked --bench "$question" ;;
    *) "$python" benches/bench.py "$question" ;;
  esac
done
