#!/usr/bin/env bash
# All figures, one question after the other (they share the machine: never side by side).
#
#   run.sh [QUESTION…]     store move push memory, or whatever is named; no name means all
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-.venv/bin/python}"

bench_questions=(store move push memory)

questions=("$@")
((${#questions[@]})) || questions=("${bench_questions[@]}")
for question in "${questions[@]}"; do
  "$python" benches/bench.py "$question"
done
