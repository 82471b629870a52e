"""Apache CXF, the SOAP stack of most HIS written in Java: a client that it makes of the archive's WSDL, and receivers of notices.

The jars come from Maven Central once, into ~/.cache/yingku; the programs are tests/peers/java/cxf.
"""

from __future__ import annotations

import base64
import hashlib
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

from support.archive import REPOSITORY, free_port
from support.forms import ROUTE, code_and_desc

PROGRAMS = REPOSITORY / "tests" / "peers" / "java" / "cxf"
FETCH = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
FETCH_LIMIT_S = 300
PROGRAM_LIMIT_S = 120
# Behind a refusal a notice comes again within 10 s.
NOTICE_LIMIT_S = 30.0
# GBK as on a Chinese Windows: what does not say its charset does not get through.
JAVA = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-Dfile.encoding=GBK"]
PACKAGE = "generated"

TAKEN = "<response><code>0</code><desc>成功</desc></response>"


def jars() -> list[str]:
    """CXF's jars, complete or not there: they are put together aside and renamed."""
    pom = PROGRAMS / "pom.xml"
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "yingku"
    cache = caches / f"cxf-{hashlib.sha256(pom.read_bytes()).hexdigest()[:16]}"
    if not cache.exists():
        assert shutil.which("mvn"), "no Maven: run make install-deps"
        caches.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="cxf-", dir=caches) as made:
            run("mvn", "-q", "-B", "-f", pom, FETCH, f"-DoutputDirectory={made}/jars", limit_s=FETCH_LIMIT_S)
            try:
                os.rename(f"{made}/jars", cache)
            except OSError:
                assert cache.exists()  # somebody else was faster
    return sorted(str(jar) for jar in cache.glob("*.jar"))


def run(*command: str | Path, limit_s: int = PROGRAM_LIMIT_S) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=limit_s)
    assert done.returncode == 0, f"{command[0]} ended {done.returncode}:\n{done.stdout}\n{done.stderr}"


def compile_(sources: list[Path], classes: Path) -> None:
    # The compiler's module is in every Java here (deploy/install-deps.sh), a `javac` is not.
    compiler = [*JAVA, "-m", "jdk.compiler/com.sun.tools.javac.Main", "-encoding", "UTF-8"]
    run(*compiler, "-cp", os.pathsep.join(jars()), "-d", classes, *sources)


class Program:
    """One of the programs as a process. What it says and hears are lines: a word, and a text in Base64."""

    def __init__(self, home: Path, classes: Path, *arguments: str) -> None:
        self.log = home / f"{arguments[0]}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*JAVA, "-cp", os.pathsep.join([str(classes), *jars()]), *arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, encoding="ascii",
            )

    def say(self, word: str, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word} {base64.b64encode(text.encode()).decode()}\n")
        self.process.stdin.flush()

    def hear(self) -> tuple[str, str] | None:
        """None: it has ended."""
        assert self.process.stdout is not None
        word, _, text = self.process.stdout.readline().strip().partition(" ")
        return (word, base64.b64decode(text).decode()) if word else None

    def log_tail(self, limit: int = 4000) -> str:
        return self.log.read_text(encoding="gbk", errors="replace")[-limit:]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


class ApplyClients(Program):
    """Clients of SynApplyInfo, made by wsdl2java of what a running archive says of itself."""

    def __init__(self, home: Path, http: str) -> None:
        wsdl = f"{http}{ROUTE}?wsdl"
        sources, classes = home / "sources", home / "classes"
        generate = [*JAVA, "-cp", os.pathsep.join(jars()), "org.apache.cxf.tools.wsdlto.WSDLToJava"]
        run(*generate, "-encoding", "UTF-8", "-p", PACKAGE, "-d", sources, wsdl)
        self.generated = sorted((sources / PACKAGE).glob("*.java"))
        compile_([*self.generated, PROGRAMS / "ApplyClients.java"], classes)
        super().__init__(home, classes, "ApplyClients", wsdl)

    def call(self, client: str, document: str) -> tuple[str, str]:
        """What came of a call: ("answer", what the operation returned) or ("thrown", an exception's messages)."""
        self.say(client, document)
        heard = self.hear()
        assert heard is not None, self.log_tail()
        return heard

    def code_and_desc(self, client: str, document: str) -> tuple[int, str]:
        word, text = self.call(client, document)
        assert word == "answer", text
        return code_and_desc(text)


class StatusReceivers(Program):
    """Endpoints that notices are sent to. Each is taken, unless the test has other answers for the endpoint."""

    def __init__(self, home: Path) -> None:
        classes = home / "classes"
        compile_([PROGRAMS / "StatusReceivers.java"], classes)
        self.port = free_port()
        self._answers: dict[str, list[tuple[str, str]]] = {}
        self._notices: dict[str, queue.Queue[str]] = {}
        self._new = threading.Lock()
        super().__init__(home, classes, "StatusReceivers", str(self.port))
        assert self.hear() == ("ready", ""), self.log_tail()
        threading.Thread(target=self._listen, daemon=True).start()

    def url(self, endpoint: str) -> str:
        return f"http://127.0.0.1:{self.port}/{endpoint}"

    def answer(self, endpoint: str, *answers: tuple[str, str]) -> None:
        """Answers of the next notices: ("answer", what the operation returns) or ("fault", an exception's message)."""
        self._answers[endpoint] = list(answers)

    def take(self, endpoint: str, count: int) -> list[str]:
        """The next notices that came, as the endpoint's code got them (empty: it got none); fewer if no more come in time."""
        taken: list[str] = []
        try:
            while len(taken) < count:
                taken.append(self._of(endpoint).get(timeout=NOTICE_LIMIT_S))
        except queue.Empty:
            pass
        return taken

    def is_idle(self, endpoint: str) -> bool:
        """Whether no notice came that was not taken here."""
        return self._of(endpoint).empty()

    def _of(self, endpoint: str) -> queue.Queue[str]:
        with self._new:
            return self._notices.setdefault(endpoint, queue.Queue())

    def _listen(self) -> None:
        try:
            while (heard := self.hear()) is not None:
                endpoint, notice = heard
                planned = self._answers.get(endpoint)
                self.say(*(planned.pop(0) if planned else ("answer", TAKEN)))
                self._of(endpoint).put(notice)
        except (OSError, ValueError):
            pass  # the program was ended
