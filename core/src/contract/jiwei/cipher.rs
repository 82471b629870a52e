//! AES/ECB/PKCS5Padding and Base64 (contract §1): what Java's `Cipher.getInstance("AES")` does with a 16-byte key.

use std::fmt;

use aes::Aes128;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyInit};
use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::error::JiweiError;

const KEY_BYTES: usize = 16;
const BLOCK_BYTES: usize = 16;

/// Written with `=`, read with and without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The key that a hospital's 基卫, or its PACS, shares with the platform. Wiped from memory when dropped.
#[derive(Clone)]
pub struct JiweiKey(Zeroizing<[u8; KEY_BYTES]>);

impl JiweiKey {
    /// Takes a text of 16 characters that are 16 bytes of UTF-8, so ASCII all of them. Nothing is trimmed or filled up:
    /// a key that was copied with a blank is wrong, and better told so than tried.
    pub fn new(text: &str) -> Result<Self, JiweiError> {
        let wrong = || JiweiError::Key {
            characters: text.chars().count(),
            bytes: text.len(),
        };
        if !text.is_ascii() {
            return Err(wrong());
        }
        let bytes = text.as_bytes().try_into().map_err(|_| wrong())?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// Enciphers a clear text: Base64 in one line.
    pub(super) fn seal(&self, clear_text: &[u8]) -> String {
        let cipher = ecb::Encryptor::<Aes128>::new((&*self.0).into());
        BASE64.encode(cipher.encrypt_padded_vec::<Pkcs7>(clear_text))
    }

    /// Deciphers Base64 as it came. Whatever is wrong is [`JiweiError::NotReadable`].
    pub(super) fn open(&self, base64: &str) -> Result<String, JiweiError> {
        let sealed = decode(base64).ok_or(JiweiError::NotReadable)?;
        let cipher = ecb::Decryptor::<Aes128>::new((&*self.0).into());
        let clear_text = cipher.decrypt_padded_vec::<Pkcs7>(&sealed).ok();
        clear_text
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or(JiweiError::NotReadable)
    }
}

impl fmt::Debug for JiweiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JiweiKey")
    }
}

/// Whole blocks of Base64, in one line or in many. A blank is a `+` that a form field lost (R11), also at either end;
/// where the blocks do not come out even with those at the ends, they were only blanks.
fn decode(base64: &str) -> Option<Vec<u8>> {
    whole_blocks(base64).or_else(|| whole_blocks(base64.trim()))
}

fn whole_blocks(base64: &str) -> Option<Vec<u8>> {
    let mut compact = String::with_capacity(base64.len());
    for c in base64.chars() {
        match c {
            '\r' | '\n' | '\t' => {}
            // The URL-safe alphabet, as in a sign (R3).
            ' ' | '-' => compact.push('+'),
            '_' => compact.push('/'),
            other => compact.push(other),
        }
    }
    let bytes = BASE64.decode(compact).ok()?;
    (!bytes.is_empty() && bytes.len().is_multiple_of(BLOCK_BYTES)).then_some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_key_is_sixteen_ascii_characters() {
        assert!(JiweiKey::new("0123456789abcdef").is_ok());
        assert!(JiweiKey::new("!@#$%^&*()_+-=[ ").is_ok());
        for (text, characters, bytes) in [
            ("", 0, 0),
            ("0123456789abcde", 15, 15),
            ("0123456789abcdef0", 17, 17),
            ("0123456789abcdef01234567", 24, 24),
            ("0123456789abcdef0123456789abcdef", 32, 32),
            // 16 characters of more bytes, and 16 bytes of fewer characters
            ("0123456789abcde密", 16, 18),
            ("密钥密钥密a", 6, 16),
        ] {
            let error = JiweiKey::new(text).expect_err(text);
            assert_eq!(error, JiweiError::Key { characters, bytes });
            assert!(error.to_string().contains(&format!("{bytes} 字节")));
            assert!(text.is_empty() || !error.to_string().contains(text));
        }
    }

    #[test]
    fn a_key_does_not_show_itself() {
        let key = JiweiKey::new("0123456789abcdef").unwrap();
        assert_eq!(format!("{key:?}"), "JiweiKey");
    }

    #[test]
    fn what_was_sealed_opens_at_every_length() {
        let key = JiweiKey::new("0123456789abcdef").unwrap();
        for length in 0..70 {
            let clear_text: String = ('a'..='z').cycle().take(length).collect();
            let sealed = key.seal(clear_text.as_bytes());
            assert_eq!(key.open(&sealed).unwrap(), clear_text);
        }
    }
}
