//! TLS and login.

use std::path::Path;
use std::process::Command;

use super::broker::free_port;
use super::*;

const PASSWORD: &str = "geheim-7301";

/// A certificate for the loopback, its own authority; `broker.pem` is what Kafka wants to have in one file.
fn make_certificate(dir: &Path) {
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args([
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(made.status.success());
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    let both = read("key.pem") + &read("certificate.pem");
    std::fs::write(dir.join("broker.pem"), both).unwrap();
}

/// Takes nobody without TLS and a password.
fn settings(dir: &Path, port: u16) -> String {
    let (dir, controller) = (dir.display(), free_port());
    format!(
        "listeners=SASL_SSL://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=SASL_SSL://127.0.0.1:{port}\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT\n\
         inter.broker.listener.name=SASL_SSL\n\
         sasl.mechanism.inter.broker.protocol=PLAIN\n\
         sasl.enabled.mechanisms=PLAIN\n\
         ssl.keystore.type=PEM\n\
         ssl.keystore.location={dir}/broker.pem\n\
         ssl.truststore.type=PEM\n\
         ssl.truststore.location={dir}/certificate.pem\n\
         listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
         required username=\"broker\" password=\"b\" user_broker=\"b\" user_yingku=\"{PASSWORD}\";\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_asks_for_tls_and_a_password_gets_both() {
    let data = Data::new();
    let certificate = data.path("certificate.pem");
    let broker = Broker::start_with(|dir, port| {
        make_certificate(dir);
        std::fs::copy(dir.join("certificate.pem"), &certificate).unwrap();
        settings(dir, port)
    });
    let login = |password: &str| {
        Some(KafkaLogin {
            mechanism: KafkaMechanism::Plain,
            username: "yingku".to_owned(),
            password: Secret::new(password.to_owned()),
        })
    };
    let trusting = Some(KafkaTls {
        ca_file: Some(certificate.clone()),
        ..KafkaTls::default()
    });
    let options = KafkaLogOptions {
        tls: trusting.clone(),
        login: login(PASSWORD),
        ..broker.options()
    };
    let log = open(&options, &data).await;
    log.append("over TLS".into()).await.unwrap();

    for (tls, password, words) in [
        (trusting, "wrong-password", "Invalid username or password"),
        (Some(KafkaTls::default()), PASSWORD, "certificate"),
    ] {
        let wrong = KafkaLogOptions {
            tls,
            login: login(password),
            ..options.clone()
        };
        let Err(refusal) = try_open(&wrong, &Data::new()).await else {
            panic!("the log was opened");
        };
        let refusal = format!("{refusal} {refusal:?}");
        assert!(refusal.contains(words), "{refusal}");
        assert!(!refusal.contains(password), "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_library_was_built_with_every_mechanism() {
    for mechanism in [
        KafkaMechanism::Plain,
        KafkaMechanism::ScramSha256,
        KafkaMechanism::ScramSha512,
    ] {
        let options = KafkaLogOptions {
            tls: Some(KafkaTls::default()),
            login: Some(KafkaLogin {
                mechanism,
                username: "yingku".to_owned(),
                password: Secret::new(PASSWORD.to_owned()),
            }),
            ..Broker::shared().options()
        };
        assert!(
            Appender::new(&options, &Doubt::default()).is_ok(),
            "{mechanism:?}"
        );
    }
}
