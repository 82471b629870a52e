#!/usr/bin/env bash
# A whole cluster on this machine, for a look at it: one Kafka broker, one S3 server and three nodes with the demo
# settings, a small load over all three, and where to look. Ctrl-C ends all of it. Not for patients' data.
#
#   run.sh DIRECTORY             (YINGKU names the binary)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
dir="${1:?the directory of the cluster}"
yingku="${YINGKU:-target/release/yingku}"
samples=deploy/demo/samples
day=2026-07-04
kafka_port=9092 s3_port=7070
nodes=(1 2 3)

http_of() { echo "127.0.0.1:808$1"; }
dicom_of() { echo "127.0.0.1:1112$1"; }

mkdir -p "$dir"
dir="$(cd "$dir" && pwd)"
# One run at a time: the end of a second one would be the end of the first one's broker and server. No child keeps
# the lock, so that it goes with this script.
exec 9> "$dir/lock"
flock -n 9 || { echo "run.sh: the cluster in $dir runs already" >&2; exit 1; }
# One account for the S3 server, and one cluster key for all nodes; both stay here for the next time.
export AWS_ACCESS_KEY_ID=cluster-demo AWS_SECRET_ACCESS_KEY=cluster-demo-secret
key="$dir/cluster.key"
[[ -s "$key" ]] || (umask 077 && openssl rand -hex 32 > "$key")
YINGKU_CLUSTER_KEY="$(cat "$key")"
export YINGKU_CLUSTER_KEY

started=()
ended=false
end() {
  $ended && return
  ended=true
  trap '' INT TERM HUP # a second Ctrl-C would leave broker and server behind
  local pid
  for pid in "${started[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
  deploy/dev/s3.sh stop "$dir/s3" || true
  deploy/dev/kafka.sh stop "$dir/kafka" || true
}
trap end EXIT
trap 'exit 0' INT TERM HUP

deploy/dev/kafka.sh start "$dir/kafka" "$kafka_port" 9>&-
deploy/dev/s3.sh start "$dir/s3" "$s3_port" 9>&-

start_node() {
  local node="$1" line="$dir/node$1.line"
  rm -f "$line"
  "$yingku" serve --config deploy/demo/yingku.toml --data "$dir/node$node" \
    --http "$(http_of "$node")" --dicom "$(dicom_of "$node")" \
    --log "kafka://127.0.0.1:$kafka_port/yingku" --objects "s3://yingku/cluster?endpoint=http://127.0.0.1:$s3_port" \
    > "$line" 2>> "$dir/node$node.log" 9>&- &
  started+=($!)
  # Its first line says that it serves.
  until [[ -s "$line" ]]; do
    kill -0 "${started[-1]}" 2>/dev/null || { tail -5 "$dir/node$node.log" >&2; return 1; }
    sleep 0.1
  done
}
for node in "${nodes[@]}"; do start_node "$node"; done

step() { printf '\n== %s\n' "$*"; }
client() { # client NODE APP …
  "$yingku" client --url "http://$(http_of "$1")" --app "$2" --license demo-license --org 350006 \
    --key "$dir/node$1/keys/$2.pub.pem" "${@:3}"
}
step "检查推送到节点 1 · The examination is pushed to node 1"
client 1 demo-pacs push "$samples/exam_push.json"
step "影像发送到节点 2 · Its images are sent to node 2"
"$yingku" client send --dicom "YINGKU@$(dicom_of 2)" --calling DEMO "$samples/dicom"
step "在节点 3 查询 · The study is found at node 3"
"$yingku" client find --dicom "YINGKU@$(dicom_of 3)" --level STUDY AccessionNumber=A0001 StudyInstanceUID PatientName \
  NumberOfStudyRelatedInstances
step "向节点 1 申报，在节点 2 对账 · Declared at node 1, reconciled at node 2"
client 1 demo-pacs statistics "$samples/upload_statistics.json"
"$yingku" reconcile --url "http://$(http_of 2)" --app demo-reader --license demo-license --org 350006 \
  --key "$dir/node2/keys/demo-reader.pub.pem" --from "$day" --to "$day"

cat <<WORDS

Three nodes serve one archive.
$(for node in "${nodes[@]}"; do echo "  node $node  HTTP http://$(http_of "$node")  DICOM YINGKU@$(dicom_of "$node")  process ${started[node - 1]}  log $dir/node$node.log"; done)
Look further, in another shell:
  $yingku status --data $dir/node1      # nodes, counted from 0, and which of them has the duties
  $yingku digest --data $dir/node2      # at the same position the same on every node
  $yingku snapshot --data $dir/node1    # what a fourth node would start from
  curl -s http://$(http_of 3)/readyz
  kill -9 ${started[0]}   # node 1 dies: the others go on, and its duties move to one of them within 15 seconds
Ctrl-C ends nodes, S3 server and broker; the data stays in $dir.

WORDS
wait
