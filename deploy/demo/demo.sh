#!/usr/bin/env bash
# One exam's way through the house, against the archive that `make run` started:
# validate, push, store, declare, reconcile, find.
#
#   demo.sh DATA_DIRECTORY       (YINGKU names the binary)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
data="${1:?the data directory of the running archive}"
yingku="${YINGKU:-target/release/yingku}"
url="${YINGKU_URL:-http://127.0.0.1:8080}"
dicom="${YINGKU_DICOM:-YINGKU@127.0.0.1:11112}"
samples=deploy/demo/samples
day=2026-07-04

pacs=(--url "$url" --app demo-pacs --license demo-license --org 350006 --key "$data/keys/demo-pacs.pub.pem")
reader=(--url "$url" --app demo-reader --license demo-license --org 350006 --key "$data/keys/demo-reader.pub.pem")

step() { printf '\n== %s\n' "$*"; }

if [[ ! -r "$data/keys/demo-pacs.pub.pem" ]]; then
  echo "No archive has run with $data yet: start it with 'make run' in another shell first." >&2
  exit 1
fi

step "1. 校验，不入库 · Is the push well formed? (a dry run, nothing is kept)"
"$yingku" client "${pacs[@]}" validate "$samples/exam_push.json"

step "2. 推送检查 · Push the examination"
"$yingku" client "${pacs[@]}" push "$samples/exam_push.json"

step "3. 发送两幅 CT 和申请单扫描件（0 号序列） · Send its two CT slices and the scanned apply form (series 0)"
"$yingku" client send --dicom "$dicom" --calling DEMO "$samples/dicom"

step "4. 申报应上传数 · Declare how many exams the hospitals should have uploaded"
"$yingku" client "${pacs[@]}" statistics "$samples/upload_statistics.json"

step "5. 对账 · Reconcile: declared against what came"
echo "(columns: hospital, date, class; declared, registered, confirmed, deficit, of it unnamed;"
echo " images complete, partly here, missing, none declared, linked; refused, held; remarks)"
"$yingku" reconcile "${reader[@]}" --from "$day" --to "$day"

step "6. 以 DICOM 查询该检查 · Find the study as a DICOM peer would"
"$yingku" client find --dicom "$dicom" --level STUDY AccessionNumber=A0001 StudyInstanceUID PatientName \
  ModalitiesInStudy NumberOfStudyRelatedInstances

step "7. 医生调阅页 · The page that a clinician's workstation opens"
echo "$url/clinic/html/query.htm?sick_id=7173_C0001"
echo "HIS 签发的链接，十分钟内有效 · the same by a link that a HIS signs, good for ten minutes:"
"$yingku" client --url "$url" --app demo-clinic --license demo-clinic-license link sick_id=7173_C0001
