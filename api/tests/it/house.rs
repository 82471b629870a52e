//! An archive with two hospitals and two apps, its router, and a client that speaks to it.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::TryStreamExt;
use rsa::pkcs8::DecodePublicKey;
use rsa::{Pkcs1v15Encrypt, RsaPublicKey};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;
use yingku_api::{ApiConfig, router};
use yingku_core::event::{Event, RegistryChanged};
use yingku_core::ids::{AppId, HospitalCode, Position};
use yingku_core::registry::{
    App, EnvelopeShape, Hospital, HospitalMode, HttpStatus, Matching, RegistryChange, ResultShape,
    Right, Scope, StatusType,
};
use yingku_indexer::Index;
use yingku_storage::archive::{Archive, ArchiveOptions, Submission};
use yingku_storage::keys::{AppKeyPair, ClusterKey, Purpose, generate_app_keys};
use yingku_storage::log::EmbeddedLogOptions;
use yingku_storage::packs::PackOptions;

pub const SAMPLE: &str = include_str!("../../../tests/fixtures/contract/exam_push.json");

/// Making a key takes up to a second, so all apps of all tests have the same one.
pub fn keys() -> &'static AppKeyPair {
    static KEYS: OnceLock<AppKeyPair> = OnceLock::new();
    KEYS.get_or_init(|| generate_app_keys().unwrap())
}

pub struct House {
    pub archive: Archive,
    pub router: Router,
    _dir: TempDir,
}

pub struct Response {
    pub http: StatusCode,
    pub json: Value,
}

impl Response {
    pub fn status(&self) -> i64 {
        self.json["status"].as_i64().unwrap()
    }

    pub fn message(&self) -> &str {
        self.json["message"].as_str().unwrap()
    }

    pub fn result(&self) -> &Value {
        &self.json["result"]
    }
}

impl House {
    pub async fn open() -> Self {
        Self::with(ApiConfig::default()).await
    }

    pub async fn with(config: ApiConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = ArchiveOptions {
            log: EmbeddedLogOptions {
                reserve_bytes: 1 << 20,
                ..Default::default()
            }
            .into(),
            packs: PackOptions {
                reserve_bytes: 1 << 20,
                ..Default::default()
            },
        };
        let key = ClusterKey::from_hex(&"ab".repeat(32)).unwrap();
        let archive = Archive::open(dir.path(), options, key).await.unwrap();
        // Nothing fills it here: what is found is tested with the whole program.
        let index = Index::open(&dir.path().join("index"), Position(0)).unwrap();
        let config = ApiConfig {
            index: config.index.or(Some(index)),
            ..config
        };
        let house = Self {
            router: router(archive.clone(), config),
            archive,
            _dir: dir,
        };
        let pacs = house.app("demo-pacs", Scope::of([&code("350006"), &code("350007")]));
        let reader = App {
            rights: BTreeSet::from([Right::Read]),
            ..house.app("demo-reader", Scope::all())
        };
        house
            .change(vec![
                RegistryChange::PutHospital(hospital("350006", HospitalMode::Live)),
                RegistryChange::PutHospital(hospital("350007", HospitalMode::Live)),
                RegistryChange::PutHospital(hospital("350008", HospitalMode::Test)),
                RegistryChange::PutApp(pacs),
                RegistryChange::PutApp(reader),
            ])
            .await;
        house
    }

    /// An app that may push, with the license `demo-license`.
    pub fn app(&self, id: &str, hospitals: Scope) -> App {
        let key = self.archive.key();
        App {
            id: AppId::new(id).unwrap(),
            org: code("350006"),
            hospitals,
            rights: BTreeSet::from([Right::Push]),
            enabled: true,
            epoch: 0,
            license: key.seal(Purpose::License, b"demo-license").unwrap(),
            private_key: key.seal(Purpose::PrivateKey, &keys().private_der).unwrap(),
            public_key: STANDARD.encode(&keys().public_der),
            envelope: EnvelopeShape::Flat,
            status_type: StatusType::Number,
            http_status: HttpStatus::Envelope,
            result_shape: ResultShape::Object,
            require_time: false,
            time_window_minutes: 10,
            jiwei: None,
        }
    }

    pub async fn change(&self, changes: Vec<RegistryChange>) {
        self.archive
            .submit(Submission {
                hospital: None,
                actor: "operator:test".to_owned(),
                event: Event::RegistryChanged(RegistryChanged { changes }),
            })
            .await
            .unwrap();
    }

    pub async fn send(&self, request: Request<Body>) -> Response {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let http = response.status();
        let chunks: Vec<_> = response
            .into_body()
            .into_data_stream()
            .try_collect()
            .await
            .unwrap();
        let json = serde_json::from_slice(&chunks.concat()).unwrap();
        Response { http, json }
    }

    pub async fn post(&self, path: &str, token: &str, body: impl Into<Body>) -> Response {
        self.post_as(path, token, "application/json", body).await
    }

    pub async fn post_as(
        &self,
        path: &str,
        token: &str,
        content_type: &str,
        body: impl Into<Body>,
    ) -> Response {
        let request = Request::post(path)
            .header("Content-Type", content_type)
            .header("token", token)
            .body(body.into())
            .unwrap();
        self.send(request).await
    }

    pub async fn get_token(&self, sign: &str) -> Response {
        let body = json!({ "sign": sign }).to_string();
        self.post("/openapi/v1/auth/getToken", "", body).await
    }

    /// A token of an app.
    pub async fn token(&self, app: &str) -> String {
        let plaintext = format!("{app},350006,demo-license");
        let response = self.get_token(&sign(&plaintext)).await;
        let result = match response.result() {
            Value::Array(items) => items[0].clone(),
            result => result.clone(),
        };
        result["token"]
            .as_str()
            .unwrap_or_else(|| panic!("{}", response.json))
            .to_owned()
    }
}

pub fn code(text: &str) -> HospitalCode {
    HospitalCode::new(text).unwrap()
}

pub fn hospital(text: &str, mode: HospitalMode) -> Hospital {
    Hospital {
        code: code(text),
        name: format!("医院{text}"),
        prefix: None,
        yyid00: None,
        mode,
        matching: Matching::default(),
        hold_days: None,
        validation: Default::default(),
        generation: 0,
        images: Default::default(),
        gateway: None,
        exams: Default::default(),
        own_only: Default::default(),
        credit_code: None,
        clinic: Default::default(),
    }
}

/// Bytes of a sign in one block.
pub fn encrypt(plaintext: &[u8]) -> Vec<u8> {
    RsaPublicKey::from_public_key_der(&keys().public_der)
        .unwrap()
        .encrypt(&mut rand::rngs::OsRng, Pkcs1v15Encrypt, plaintext)
        .unwrap()
}

pub fn sign(plaintext: &str) -> String {
    STANDARD.encode(encrypt(plaintext.as_bytes()))
}

/// The sample push with some fields replaced, each by its JSON pointer.
pub fn push_with(fields: &[(&str, Value)]) -> String {
    let mut push: Value = serde_json::from_str(SAMPLE).unwrap();
    for (pointer, value) in fields {
        *push
            .pointer_mut(pointer)
            .unwrap_or_else(|| panic!("{pointer}")) = value.clone();
    }
    push.to_string()
}
