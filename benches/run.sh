#!/usr/bin/env bash
# All figures, one question after the other (they share the machine: never side by side).
#
#   run.sh [QUESTION…]     store move memory, or whatever is named; no name means all
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-.venv/bin/python}"

# The questions that real DICOM peers ask.
peer_questions=(store move memory)

questions=("$@")
((${#questions[@]})) || questions=("${peer_questions[@]}")
for question in "${questions[@]}"; do
  "$python" benches/bench.py "$question"
done
