//! What the event of a push holds, and the flags that go with it.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::super::fault::{Fault, Rule};

/// Body of the event that a push was received: canonical JSON, its digest, and what was wrong without refusing it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExamPushedBody<'a> {
    /// [`super::canonical_digest`] of `json`, so that a replay need not compute it.
    pub digest: [u8; 16],
    pub flags: Flags,
    pub warnings: Vec<FieldWarning>,
    /// Canonical JSON: UTF-8, absent fields left out, arrays as arrays, one spelling of times; unknown fields kept.
    #[serde(
        borrow,
        serialize_with = "write_bytes",
        deserialize_with = "read_bytes"
    )]
    pub json: Cow<'a, [u8]>,
}

impl ExamPushedBody<'_> {
    pub fn into_owned(self) -> ExamPushedBody<'static> {
        ExamPushedBody {
            json: Cow::Owned(self.json.into_owned()),
            ..self
        }
    }
}

impl fmt::Debug for ExamPushedBody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExamPushedBody")
            .field("flags", &self.flags)
            .field("json_bytes", &self.json.len())
            .finish_non_exhaustive()
    }
}

/// Where a push was taken although a rule was broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldWarning {
    pub path: String,
    pub rule: Rule,
}

impl From<&Fault> for FieldWarning {
    fn from(fault: &Fault) -> Self {
        Self {
            path: fault.path.clone(),
            rule: fault.rule,
        }
    }
}

/// What a push was flagged for. Stored as a number: a bit never changes its meaning.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Flags(u32);

impl Flags {
    pub const UNKNOWN_SEX: Flags = Flags(1);
    pub const UNKNOWN_SOURCE: Flags = Flags(1 << 1);
    pub const UNKNOWN_CHARGE_TYPE: Flags = Flags(1 << 2);
    pub const UNKNOWN_CLASS: Flags = Flags(1 << 3);
    /// applyNo stands for no form (R10): never joined, not counted.
    pub const PLACEHOLDER_APPLY_NO: Flags = Flags(1 << 4);
    /// A length rule was broken that this hospital has set to warn.
    pub const LENGTH: Flags = Flags(1 << 5);
    /// Pathology without all its specimen fields, set to warn.
    pub const PATHOLOGY_INCOMPLETE: Flags = Flags(1 << 6);
    /// Any other code that its dictionary lacks: identity, marriage, specimen, marks of 0 and 1.
    pub const UNKNOWN_OTHER_CODE: Flags = Flags(1 << 7);

    const NAMES: [(Flags, &'static str); 8] = [
        (Flags::UNKNOWN_SEX, "unknown_sex"),
        (Flags::UNKNOWN_SOURCE, "unknown_source"),
        (Flags::UNKNOWN_CHARGE_TYPE, "unknown_charge_type"),
        (Flags::UNKNOWN_CLASS, "unknown_class"),
        (Flags::PLACEHOLDER_APPLY_NO, "placeholder_apply_no"),
        (Flags::LENGTH, "length"),
        (Flags::PATHOLOGY_INCOMPLETE, "pathology_incomplete"),
        (Flags::UNKNOWN_OTHER_CODE, "unknown_other_code"),
    ];

    pub fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn insert(&mut self, other: Flags) {
        self.0 |= other.0;
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of the flags set, as they are shown, in the order of their bits.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .filter(move |(flag, _)| self.contains(*flag))
            .map(|(_, name)| name)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

fn write_bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

fn read_bytes<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Cow<'a, [u8]>, D::Error> {
    struct Bytes;
    impl<'de> de::Visitor<'de> for Bytes {
        type Value = Cow<'de, [u8]>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }
        fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(bytes))
        }
        fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            Ok(Cow::Owned(bytes.to_vec()))
        }
        fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Self::Value, E> {
            Ok(Cow::Owned(bytes))
        }
    }
    deserializer.deserialize_bytes(Bytes)
}
