//! Messages that Java's own Cipher made (`tests/peers/java/JiweiVectors.java`), whole and damaged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vector {
    name: String,
    key: String,
    clear: String,
    base64: String,
    mime: String,
}

impl Vector {
    fn key(&self) -> JiweiKey {
        JiweiKey::new(&self.key).unwrap()
    }

    fn opened(&self, base64: &str) -> Result<String, JiweiError> {
        carrier::open(base64.as_bytes(), ANSWER_LIMIT_BYTES, &self.key())
    }

    /// What a reader of an object says of a cipher text.
    fn object(&self, base64: &str) -> Result<(), JiweiError> {
        carrier::object(&self.opened(base64)?).map(|_| ())
    }
}

fn vectors() -> Vec<Vector> {
    let text = include_str!("../../../../tests/fixtures/contract/jiwei/vectors.json");
    let vectors: Vec<Vector> = serde_json::from_str(text).unwrap();
    assert!(vectors.len() > 10);
    vectors
}

fn vector(name: &str) -> Vector {
    let found = vectors().into_iter().find(|vector| vector.name == name);
    found.expect(name)
}

fn sample() -> serde_json::Value {
    let text = include_str!("../../../../tests/fixtures/contract/jiwei/apply_query.json");
    serde_json::from_str(text).unwrap()
}

#[test]
fn we_write_what_java_writes_and_read_it() {
    for vector in vectors() {
        assert_eq!(
            vector.key().seal(vector.clear.as_bytes()),
            vector.base64,
            "{}",
            vector.name
        );
        assert_eq!(vector.opened(&vector.base64).unwrap(), vector.clear);
    }
}

#[test]
fn lines_blanks_and_lost_padding_are_read() {
    for vector in vectors() {
        let lost_plus = vector.base64.replace('+', " ");
        let url_safe = vector.base64.replace('+', "-").replace('/', "_");
        for text in [
            vector.mime.clone(),
            vector.mime.clone() + "\r\n",
            vector.mime.replace("\r\n", "\n"),
            vector.mime.replace('+', " "),
            vector.base64.trim_end_matches('=').to_owned(),
            format!("param={}", vector.base64),
            format!("param={}", vector.mime),
            format!(" \r\n {} \n", vector.base64),
            format!("{lost_plus}\n"),
            lost_plus,
            url_safe,
        ] {
            assert_eq!(
                vector.opened(&text).as_ref(),
                Ok(&vector.clear),
                "{}: {text:?}",
                vector.name
            );
        }
    }
    // and the pluses that are hardest to miss were really there
    let at_the_ends = vector("request whose Base64 begins and ends with a plus").base64;
    assert!(at_the_ends.starts_with('+') && at_the_ends.ends_with('+'));
}

#[test]
fn the_contracts_sample_is_written_and_read_as_it_stands() {
    let sample = sample();
    let key = JiweiKey::new(sample["key"].as_str().unwrap()).unwrap();

    let java = vector("request").base64;
    let query = ApplyQuery::read(java.as_bytes(), &key).unwrap();
    assert_eq!(query.compose(&key, Carrier::Raw).unwrap(), java);
    let expected: Vec<_> = ["medicarecode", "yyid00", "businesstype", "type"]
        .map(|name| sample["request"][name].as_str().unwrap())
        .into();
    let found = [
        &query.medicare_code,
        &query.yyid00,
        query.business_type.code(),
        query.kind.code(),
    ];
    assert_eq!(found, expected[..]);

    let java = vector("answer").base64;
    let answer = Answer::read(java.as_bytes(), &key).unwrap();
    assert_eq!(answer::compose(&answer.forms, &key).unwrap(), java);
    let [form] = answer.forms.as_slice() else {
        panic!("one form")
    };
    assert_eq!(form.missing().count(), 0);
    let row = &sample["answer"]["content"][0];
    let ours: serde_json::Value = serde_json::from_slice(&form.to_json().to_bytes()).unwrap();
    assert_eq!(&ours, row);

    let message = sample["failure"]["errorMsg"].as_str().unwrap();
    assert_eq!(
        answer::compose_failure(message, &key),
        vector("failure").base64
    );
}

#[test]
fn javas_other_answers_are_read() {
    let read = |name: &str| {
        let vector = vector(name);
        Answer::read(vector.mime.as_bytes(), &vector.key())
    };
    assert_eq!(read("answer without forms").unwrap().forms, []);
    let two = read("answer with two forms, characters of four bytes, escapes and line breaks");
    let projects: Vec<_> = two
        .unwrap()
        .forms
        .into_iter()
        .map(|form| form.project.unwrap())
        .collect();
    assert_eq!(projects, ["𠮷𠀀 \"头颅\"\nMR", "B超"]);
}

/// Every byte of a cipher text in every other value: no block of such texts makes a JSON object by chance, and every one
/// of them is refused with the same words, wherever it failed.
#[test]
fn every_change_of_one_byte_is_unreadable_in_the_same_words() {
    for name in ["request", "failure", "object of 16 bytes"] {
        let vector = vector(name);
        let sealed = STANDARD.decode(&vector.base64).unwrap();
        for at in 0..sealed.len() {
            for change in 1..=255u8 {
                let mut damaged = sealed.clone();
                damaged[at] ^= change;
                let damaged = STANDARD.encode(damaged);
                assert_eq!(
                    vector.object(&damaged),
                    Err(JiweiError::NotReadable),
                    "{name}: byte {at}"
                );
            }
        }
    }
}

#[test]
fn every_change_of_one_character_is_unreadable_in_the_same_words() {
    let vector = vector("request");
    let unpadded = vector.base64.trim_end_matches('=');
    for at in 0..unpadded.len() {
        for other in *b"Az09+/=.%\0\x7F\"{" {
            let mut damaged = unpadded.as_bytes().to_vec();
            if damaged[at] == other {
                continue;
            }
            damaged[at] = other;
            let damaged = String::from_utf8(damaged).unwrap();
            assert_eq!(
                vector.object(&damaged),
                Err(JiweiError::NotReadable),
                "{damaged:?}"
            );
        }
    }
}

#[test]
fn a_cipher_text_that_was_cut_is_unreadable() {
    for vector in vectors() {
        let text = vector.base64.trim_end_matches('=');
        for length in 0..text.len() {
            let cut = &text[..length];
            assert_eq!(
                vector.object(cut),
                Err(JiweiError::NotReadable),
                "{}: {length}",
                vector.name
            );
        }
    }
}

#[test]
fn wherever_it_fails_it_is_the_same_error() {
    let key = JiweiKey::new("0123456789abcdef").unwrap();
    let sealed = STANDARD.decode(key.seal(b"{}")).unwrap();
    for (step, body) in [
        ("Base64", "#".to_owned()),
        ("whole blocks", STANDARD.encode(&sealed[..15])),
        ("padding", STANDARD.encode([0; 16])),
        ("UTF-8", key.seal(b"{\"a\":\"\xFF\"}")),
        ("JSON", key.seal(b"{")),
        ("object", key.seal(b"[{}]")),
        ("nothing", key.seal(b"")),
    ] {
        let request = ApplyQuery::read(body.as_bytes(), &key);
        assert_eq!(request, Err(JiweiError::NotReadable), "{step}");
        let answer = Answer::read(body.as_bytes(), &key);
        assert_eq!(answer, Err(JiweiError::NotReadable), "{step}");
    }
}

#[test]
fn another_key_is_as_unreadable_as_no_cipher_text() {
    let other = JiweiKey::new("0123456789abcdeF").unwrap();
    for vector in vectors() {
        for body in [&vector.base64, &vector.clear] {
            let request = ApplyQuery::read(body.as_bytes(), &other);
            assert_eq!(request, Err(JiweiError::NotReadable), "{}", vector.name);
            let answer = Answer::read(body.as_bytes(), &other);
            assert_eq!(answer, Err(JiweiError::NotReadable), "{}", vector.name);
        }
    }
}
