//! A real Kafka broker for the tests of this program; it ends with the program, however that ends.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rdkafka::admin::AdminClient;
use tempfile::TempDir;

use super::super::client::Doubt;
use super::super::options::KafkaLogOptions;

const PORTS_TRIED: usize = 3;

pub struct Broker {
    dir: PathBuf,
    port: u16,
    /// Ends the broker when its standard input ends.
    ending: Child,
}

impl Broker {
    /// The one that most tests share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(Self::start_new)
    }

    /// One to be ill-treated.
    pub fn start_new() -> Self {
        Self::start_with(|_, _| String::new())
    }

    /// One with more settings, made for its directory and port.
    pub fn start_with(more: impl Fn(&Path, u16) -> String) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("yingku-kafka-")
            .tempdir()
            .unwrap()
            .keep();
        let ending = Command::new("sh")
            .args([
                "-c",
                "cat > /dev/null; \"$1\" stop \"$2\"; rm -rf \"$2\"",
                "sh",
            ])
            .arg(script())
            .arg(&dir)
            .stdin(Stdio::piped())
            // What is sent to this program's group (Ctrl-C) does not keep the broker from being ended.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut broker = Self {
            dir,
            port: 0,
            ending,
        };
        // Of a new port somebody else may have made use meanwhile, an outgoing connection too.
        let started = (0..PORTS_TRIED).any(|_| {
            broker.port = free_port();
            let properties = more(&broker.dir, broker.port);
            std::fs::write(broker.dir.join("more.properties"), properties).unwrap();
            broker.try_start()
        });
        assert!(started);
        broker
    }

    pub fn start(&self) {
        assert!(self.try_start());
    }

    fn try_start(&self) -> bool {
        let started = Command::new(script())
            .arg("start")
            .arg(&self.dir)
            .arg(self.port.to_string())
            .status();
        started.unwrap().success()
    }

    /// `-STOP`, `-CONT`, `-KILL`
    pub fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.dir.join("kafka.pid")).unwrap();
        let sent = Command::new("kill")
            .args([signal, pid.trim()])
            .status()
            .unwrap();
        assert!(sent.success());
        while signal == "-KILL" && Path::new("/proc").join(pid.trim()).exists() {
            std::thread::yield_now();
        }
    }

    /// A topic that no other test uses.
    pub fn options(&self) -> KafkaLogOptions {
        static TOPICS: AtomicU32 = AtomicU32::new(0);
        KafkaLogOptions {
            brokers: format!("127.0.0.1:{}", self.port),
            topic: format!("test-{}", TOPICS.fetch_add(1, Ordering::Relaxed)),
            replication: 1,
            min_insync_replicas: 1,
            tls: None,
            login: None,
        }
    }

    pub fn admin(&self) -> AdminClient<Doubt> {
        self.options()
            .client()
            .create_with_context(Doubt::default())
            .unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.ending.stdin.take());
        let _ = self.ending.wait();
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/dev/kafka.sh")
}

/// A data directory, as far as a log cares.
pub struct Data(TempDir);

impl Data {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn remembered(&self) -> PathBuf {
        self.path("log.kafka.json")
    }
}
