#!/usr/bin/env bash
# One real Apache Kafka broker on the loopback, for development and tests. Not for patients' data: it
# has one copy of everything and asks nobody who they are.
#
#   kafka.sh start DIR PORT   starts the broker whose data lies in DIR; returns when it takes requests
#   kafka.sh stop DIR         ends the broker that was started there, and no other
#
# Both may be repeated. DIR keeps the data, broker.log and the process number (kafka.pid); a broker
# that was killed goes on where it was. What DIR/more.properties says is added to the settings. The
# jars come from Maven Central once, into ~/.cache/yingku.
set -euo pipefail

KAFKA_VERSION=4.1.1
# What binds Kafka's logging to something that writes it; of the version that Kafka brings.
LOG4J_VERSION=2.24.3
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/yingku/kafka-$KAFKA_VERSION"
START_LIMIT_S=90
STOP_LIMIT_S=30
JAVA=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xms64m -Xmx256m -cp "$CACHE/*")
INSTALL_DEPS="$(dirname "${BASH_SOURCE[0]}")/../install-deps.sh"

say() { printf 'kafka.sh: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# The jars, complete or not there: they are put together aside and renamed.
fetch_jars() {
  [[ -d "$CACHE" ]] && return 0
  say "fetching Kafka $KAFKA_VERSION from Maven Central"
  mkdir -p "$(dirname "$CACHE")"
  local made
  made="$(mktemp -d "$CACHE.XXXXXX")"
  cat > "$made/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>yingku</groupId><artifactId>development-kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>$LOG4J_VERSION</version></dependency>
  </dependencies>
</project>
POM
  mvn -q -B -f "$made/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DoutputDirectory="$made" > "$made/mvn.log" 2>&1 \
    || { cat "$made/mvn.log" >&2; rm -rf "$made"; fail "the jars cannot be fetched"; }
  mv -T "$made" "$CACHE" 2>/dev/null || rm -rf "$made" # another start was faster
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A port for the controller, which only the broker itself talks to.
free_port_after() {
  local port
  for ((port = $1 + 1; port < $1 + 100 && port < 65536; port++)); do
    listens "$port" || { echo "$port"; return 0; }
  done
  fail "no free port after $1"
}

write_settings() {
  local dir="$1" port="$2" controller
  controller="$(free_port_after "$port")"
  cat > "$dir/log4j2.properties" <<LOG
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %m%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
LOG
  cat > "$dir/server.properties" <<SETTINGS
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/data
# Topics are made by those who know what they must be like.
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
num.network.threads=2
num.io.threads=2
group.initial.rebalance.delay.ms=0
SETTINGS
  [[ ! -e "$dir/more.properties" ]] || cat "$dir/more.properties" >> "$dir/server.properties"
}

# The process of this DIR's broker, if it runs: a process number alone may be somebody else's by now.
running() {
  local dir="$1" pid
  pid="$(cat "$dir/kafka.pid" 2>/dev/null)" || return 1
  { tr '\0' ' ' < "/proc/$pid/cmdline"; } 2>/dev/null | grep -qF "$dir/server.properties" || return 1
  echo "$pid"
}

start() {
  local dir="$1" port="$2" pid
  mkdir -p "$dir"
  dir="$(cd "$dir" && pwd)"
  if pid="$(running "$dir")"; then
    say "runs already in $dir (process $pid)"
    return 0
  fi
  "$INSTALL_DEPS" kafka
  fetch_jars
  listens "$port" && fail "port $port is taken"
  write_settings "$dir" "$port"
  local seen cluster java=("${JAVA[@]}" "-Dlog4j2.configurationFile=$dir/log4j2.properties")
  if [[ ! -e "$dir/data/meta.properties" ]]; then
    cluster="$("${java[@]}" kafka.tools.StorageTool random-uuid 2>> "$dir/broker.log" | tail -n 1)"
    "${java[@]}" kafka.tools.StorageTool format --cluster-id "$cluster" --config "$dir/server.properties" \
      >> "$dir/broker.log" 2>&1 || fail "not formatted, see $dir/broker.log"
  fi
  rm -f "$dir/kafka.pid"
  seen="$(cat "$dir/broker.log" 2>/dev/null | wc -c)"
  # A session of its own: what ends whoever called this does not end the broker.
  setsid bash -c 'echo $$ > "$0"; exec "$@"' "$dir/kafka.pid" "${java[@]}" kafka.Kafka "$dir/server.properties" \
    >> "$dir/broker.log" 2>&1 < /dev/null &
  local deadline=$((SECONDS + START_LIMIT_S))
  until tail -c "+$((seen + 1))" "$dir/broker.log" | grep -q 'Kafka Server started'; do
    ((SECONDS < deadline)) || fail "not started within $START_LIMIT_S s, see $dir/broker.log"
    sleep 0.1
    [[ ! -s "$dir/kafka.pid" ]] || running "$dir" > /dev/null \
      || fail "the broker ended, $dir/broker.log says: $(tail -n 5 "$dir/broker.log")"
  done
  say "127.0.0.1:$port, data in $dir, process $(running "$dir")"
}

stop() {
  local dir="$1" pid
  [[ -d "$dir" ]] || return 0
  dir="$(cd "$dir" && pwd)"
  pid="$(running "$dir")" || { rm -f "$dir/kafka.pid"; return 0; }
  kill -CONT "$pid" 2>/dev/null || true # a stopped process hears nothing
  kill -TERM "$pid" 2>/dev/null || true
  local deadline=$((SECONDS + STOP_LIMIT_S))
  while running "$dir" > /dev/null; do
    if ((SECONDS >= deadline)); then
      say "does not end within $STOP_LIMIT_S s and is killed"
      kill -KILL "$pid" 2>/dev/null || true
      break
    fi
    sleep 0.1
  done
  rm -f "$dir/kafka.pid"
}

case "${1:-}" in
  start) start "${2:?DIR}" "${3:?PORT}" ;;
  stop) stop "${2:?DIR}" ;;
  *) fail "usage: kafka.sh start DIR PORT | stop DIR" ;;
esac
