#!/usr/bin/env bash
# Three nodes of one archive on the loopback, over a real Kafka broker and a real S3 server: shows an
# exam's way across the nodes and runs until Ctrl-C. For development: not for patients.
#
#   run.sh DATA_DIRECTORY        (YINGKU names the binary, KAFKA_PORT and S3_PORT move the two servers)
#
# DATA_DIRECTORY keeps kafka/, s3/, node1/ to node3/, their logs and the cluster key; delete it to begin
# again. What was started here is ended here, and nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
data="${1:?the data directory}"
yingku="${YINGKU:-target/release/yingku}"
kafka_port="${KAFKA_PORT:-9092}"
s3_port="${S3_PORT:-7070}"
NODES=(1 2 3)
# A node ends within 20 s of being asked; then its requests are over.
STOP_LIMIT_S=30
FOLLOW_LIMIT_S=30
samples=deploy/demo/samples
day=2026-07-04

# The S3 server's account, and nobody's real one.
export AWS_ACCESS_KEY_ID=dev AWS_SECRET_ACCESS_KEY=dev-secret
unset AWS_SESSION_TOKEN

say() { printf '%s\n' "$*" >&2; }
fail() { say "run.sh: $*"; exit 1; }
step() { printf '\n== %s\n' "$*"; }
http() { echo "127.0.0.1:$((8080 + $1))"; }
dicom() { echo "127.0.0.1:$((11120 + $1))"; }

mkdir -p "$data"
exec 9>"$data/lock"
flock -n 9 || fail "another run has $data"

declare -A pids=()

# Nodes first, so that they can still write and upload what they have begun.
finish() {
  trap '' INT TERM
  trap - EXIT
  step "结束 · Ending the nodes, Kafka and the S3 server"
  local node deadline=$((SECONDS + STOP_LIMIT_S))
  for node in "${!pids[@]}"; do kill -TERM "${pids[$node]}" 2>/dev/null || true; done
  for node in "${!pids[@]}"; do
    while kill -0 "${pids[$node]}" 2>/dev/null; do
      if ((SECONDS >= deadline)); then
        say "node $node does not end within $STOP_LIMIT_S s and is killed"
        kill -KILL "${pids[$node]}" 2>/dev/null || true
        break
      fi
      sleep 0.1
    done
  done
  deploy/dev/kafka.sh stop "$data/kafka"
  deploy/dev/s3.sh stop "$data/s3"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start_node() {
  local node="$1" ready line
  ready="$(mktemp -u)"
  mkfifo -m 600 "$ready"
  "$yingku" serve --config deploy/demo/yingku.toml --data "$data/node$node" \
    --http "$(http "$node")" --dicom "$(dicom "$node")" \
    --log "kafka://127.0.0.1:$kafka_port/yingku" \
    --objects "s3://yingku/cluster?endpoint=http://127.0.0.1:$s3_port" \
    >"$ready" 2>>"$data/node$node.log" 9>&- &
  pids[$node]=$!
  # Its first line on standard output comes once it serves; the pipe stays open as long as this script.
  exec {out}<"$ready"
  rm -f "$ready"
  IFS= read -r line <&"$out" || fail "node $node did not start, $data/node$node.log says: $(tail -n 3 "$data/node$node.log")"
  say "node $node: HTTP http://$(http "$node")   DICOM YINGKU@$(dicom "$node")   process ${pids[$node]}"
}

# Answers of one node are what it has read of the log, milliseconds behind the node that wrote it.
until_holds() {
  local deadline=$((SECONDS + FOLLOW_LIMIT_S))
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "not within $FOLLOW_LIMIT_S s: $*"
    sleep 0.1
  done
}

client() { # client NODE APP COMMAND…
  local node="$1" app="$2"
  shift 2
  "$yingku" client --url "http://$(http "$node")" --app "$app" --license demo-license --org 350006 \
    --key "$data/node$node/keys/$app.pub.pem" "$@"
}

find_at() { # find_at NODE [--json]
  "$yingku" client find --dicom "YINGKU@$(dicom "$1")" --level STUDY "${@:2}" AccessionNumber=A0001 \
    StudyInstanceUID PatientName NumberOfStudyRelatedInstances
}

has_images_at() { find_at "$1" --json | grep -q '"NumberOfStudyRelatedInstances": *"3"'; }

same_views() {
  local node seen=""
  for node in "${NODES[@]}"; do seen+="$("$yingku" digest --data "$data/node$node")"$'\n'; done
  [[ "$(sort -u <<<"${seen%$'\n'}" | wc -l)" == 1 ]]
}

step "启动 Kafka 与 S3 · Kafka and the S3 server"
deploy/dev/kafka.sh start "$data/kafka" "$kafka_port" 9>&-
deploy/dev/s3.sh start "$data/s3" "$s3_port" 9>&-

# One key for all nodes: it seals the registry's secrets, and nodes know each other by it.
if [[ ! -s "$data/cluster.key" ]]; then
  (umask 077 && openssl rand -hex 32 >"$data/cluster.key")
fi
YINGKU_CLUSTER_KEY="$(<"$data/cluster.key")"
export YINGKU_CLUSTER_KEY

step "启动三个节点 · Three nodes"
for node in "${NODES[@]}"; do start_node "$node"; done

step "1. 推送到节点 1 · Push the examination to node 1"
client 1 demo-pacs push "$samples/exam_push.json"

step "2. 影像发往节点 2 · Send its images to node 2"
"$yingku" client send --dicom "YINGKU@$(dicom 2)" --calling DEMO "$samples/dicom"

step "3. 在节点 3 查询 · Find the study at node 3"
until_holds has_images_at 3
find_at 3

step "4. 在节点 3 申报，在节点 1 对账 · Declare at node 3, reconcile at node 1"
client 3 demo-pacs statistics "$samples/upload_statistics.json"
"$yingku" reconcile --url "http://$(http 1)" --app demo-reader --license demo-license --org 350006 \
  --key "$data/node1/keys/demo-reader.pub.pem" --from "$day" --to "$day"

step "5. 三个节点的视图 · The views of the three nodes: the same digest at the same position"
until_holds same_views
for node in "${NODES[@]}"; do "$yingku" digest --data "$data/node$node"; done

cat <<WORDS

Three nodes serve one archive.
  HTTP      http://$(http 1)  http://$(http 2)  http://$(http 3)      (/docs, /readyz, /metrics)
  DICOM     YINGKU@$(dicom 1)  YINGKU@$(dicom 2)  YINGKU@$(dicom 3)
  logs      $data/node1.log … node3.log, $data/kafka/broker.log, $data/s3/s3.log
Try next, in another shell:
  $yingku status --data $data/node1      # the nodes, and which of them has the duties
  $yingku digest --data $data/node2      # position and digest of the views
  kill -9 ${pids[1]}                                # node 1 is lost: the others go on, duties move within 15 s
Ctrl-C ends the nodes, Kafka and the S3 server.

WORDS

# A node that ends is told of; the script ends with the last one.
for node in "${NODES[@]}"; do
  wait "${pids[$node]}" 2>/dev/null || say "node $node ended (status $?), see $data/node$node.log"
done
