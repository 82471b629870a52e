//! The envelope that every record of the log travels in.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | envelope format, 1 |
//! | 2 | kind, little endian |
//! | 2 | version of the kind's body |
//! | 4 | version of the rules that the writer knew |
//! | 16 | record id, UUIDv7 |
//! | 1 | cipher of the body: 0 none, 1 AES-256-GCM, 2 reserved for SM4-GCM |
//! | 4 | key id, 0 without cipher |
//! | 1 + n | hospital code, empty if it concerns none |
//! | 1 + n | actor |
//! | rest | body |
//!
//! The log time is not in it: the log gives it (Kafka LogAppendTime; embedded max(previous, now)).

use uuid::Uuid;

use crate::ids::HospitalCode;

const FORMAT: u8 = 1;
const FIXED_BYTES: usize = 30;

/// The largest record that a log takes, envelope included: so much every backend of the log takes.
pub const RECORD_LIMIT_BYTES: usize = 1024 * 1024;

/// Longest actor, in bytes: its length is one byte on the wire.
pub const ACTOR_LIMIT_BYTES: usize = 255;

/// How a body is enciphered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    None,
    Aes256Gcm,
}

/// One record, its body still encoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub id: Uuid,
    pub kind: u16,
    pub version: u16,
    pub rules: u32,
    pub cipher: Cipher,
    pub key_id: u32,
    pub hospital: Option<HospitalCode>,
    /// Who did it: `app:ID`, `ae:TITLE`, `operator:NAME` or `node:NUMBER`.
    pub actor: &'a str,
    pub body: &'a [u8],
}

impl std::fmt::Debug for Envelope<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Envelope")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("version", &self.version)
            .field("actor", &self.actor)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Why bytes are not an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("envelope ends early, at {0} bytes")]
    Short(usize),
    #[error("envelope format {0} is not known to this release")]
    Format(u8),
    #[error("cipher {0} is not known to this release")]
    Cipher(u8),
    #[error("{0} in the envelope is not readable")]
    Field(&'static str),
    #[error("actor is longer than {ACTOR_LIMIT_BYTES} bytes")]
    ActorTooLong,
}

impl<'a> Envelope<'a> {
    pub fn encode(&self) -> Result<Vec<u8>, EnvelopeError> {
        let hospital = self.hospital.as_ref().map_or("", |h| h.as_str());
        let hospital_len =
            u8::try_from(hospital.len()).map_err(|_| EnvelopeError::Field("hospital"))?;
        let actor_len = u8::try_from(self.actor.len()).map_err(|_| EnvelopeError::ActorTooLong)?;
        let mut out = Vec::with_capacity(
            FIXED_BYTES + 2 + hospital.len() + self.actor.len() + self.body.len(),
        );
        out.push(FORMAT);
        out.extend_from_slice(&self.kind.to_le_bytes());
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.rules.to_le_bytes());
        out.extend_from_slice(self.id.as_bytes());
        out.push(match self.cipher {
            Cipher::None => 0,
            Cipher::Aes256Gcm => 1,
        });
        out.extend_from_slice(&self.key_id.to_le_bytes());
        out.push(hospital_len);
        out.extend_from_slice(hospital.as_bytes());
        out.push(actor_len);
        out.extend_from_slice(self.actor.as_bytes());
        out.extend_from_slice(self.body);
        Ok(out)
    }

    pub fn decode(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        let mut rest = Rest(bytes);
        let format = rest.array::<1>()?[0];
        if format != FORMAT {
            return Err(EnvelopeError::Format(format));
        }
        let kind = u16::from_le_bytes(rest.array()?);
        let version = u16::from_le_bytes(rest.array()?);
        let rules = u32::from_le_bytes(rest.array()?);
        let id = Uuid::from_bytes(rest.array()?);
        let cipher = match rest.array::<1>()?[0] {
            0 => Cipher::None,
            1 => Cipher::Aes256Gcm,
            other => return Err(EnvelopeError::Cipher(other)),
        };
        let key_id = u32::from_le_bytes(rest.array()?);
        let hospital = match rest.text("hospital")? {
            "" => None,
            code => Some(HospitalCode::new(code).map_err(|_| EnvelopeError::Field("hospital"))?),
        };
        let actor = rest.text("actor")?;
        Ok(Self {
            id,
            kind,
            version,
            rules,
            cipher,
            key_id,
            hospital,
            actor,
            body: rest.0,
        })
    }

    /// The id of an encoded record, without decoding the rest: cursors compare it.
    pub fn id_of(bytes: &[u8]) -> Option<[u8; 16]> {
        bytes.get(9..25)?.try_into().ok()
    }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], EnvelopeError> {
        let (head, tail) = self
            .0
            .split_at_checked(length)
            .ok_or(EnvelopeError::Short(self.0.len()))?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], EnvelopeError> {
        let left = self.0.len();
        self.take(N)?
            .try_into()
            .map_err(|_| EnvelopeError::Short(left))
    }

    fn text(&mut self, what: &'static str) -> Result<&'a str, EnvelopeError> {
        let length = usize::from(self.array::<1>()?[0]);
        std::str::from_utf8(self.take(length)?).map_err(|_| EnvelopeError::Field(what))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn sample() -> Envelope<'static> {
        Envelope {
            id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001),
            kind: 2,
            version: 1,
            rules: 1,
            cipher: Cipher::None,
            key_id: 0,
            hospital: Some(HospitalCode::new("350006").unwrap()),
            actor: "app:demo-pacs",
            body: b"body",
        }
    }

    #[test]
    fn what_is_encoded_decodes() {
        let bytes = sample().encode().unwrap();
        assert_eq!(Envelope::decode(&bytes).unwrap(), sample());
        assert_eq!(Envelope::id_of(&bytes).unwrap(), *sample().id.as_bytes());
    }

    #[test]
    fn every_cut_before_the_body_is_an_error_and_none_panics() {
        let bytes = sample().encode().unwrap();
        for cut in 0..bytes.len() - sample().body.len() {
            assert!(Envelope::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn an_unknown_format_or_cipher_is_named() {
        let mut bytes = sample().encode().unwrap();
        bytes[0] = 9;
        assert_eq!(Envelope::decode(&bytes), Err(EnvelopeError::Format(9)));
        bytes[0] = 1;
        bytes[25] = 2;
        assert_eq!(Envelope::decode(&bytes), Err(EnvelopeError::Cipher(2)));
    }
}
