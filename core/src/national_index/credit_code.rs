//! 统一社会信用代码: a unit's unified social credit code (GB 32100-2015), with its check character.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The characters of a code, each standing for its place here: no I, O, S, V, Z.
const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
const MODULUS: usize = 31;
/// A place's weight is this to the power of the place.
const BASE: usize = 3;

/// Why a text is no credit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CreditCodeError {
    #[error("统一社会信用代码应为18位 (a unified social credit code has 18 characters)")]
    Length,
    #[error(
        "统一社会信用代码只能有数字与大写字母，不含 I、O、S、V、Z (only digits and capital letters but I, O, S, V, Z)"
    )]
    Character,
    #[error(
        "统一社会信用代码的校验位不符，请核对 (the check character of the unified social credit code is wrong)"
    )]
    Check,
}

/// A unit's code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CreditCode(String);

impl CreditCode {
    pub const CHARACTERS: usize = 18;

    /// Takes a code, blanks around it aside, whose check character is right.
    pub fn new(text: &str) -> Result<Self, CreditCodeError> {
        let text = text.trim();
        let (body, check) = match text.as_bytes().split_last() {
            Some((check, body)) if text.len() == Self::CHARACTERS => (body, *check),
            _ => return Err(CreditCodeError::Length),
        };
        if value(check).is_none() {
            return Err(CreditCodeError::Character);
        }
        match check_character(body)? == check {
            true => Ok(Self(text.to_owned())),
            false => Err(CreditCodeError::Check),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CreditCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn value(character: u8) -> Option<usize> {
    ALPHABET.iter().position(|known| *known == character)
}

/// GB 32100 §5.3: 31 less the weighted sum's remainder.
fn check_character(body: &[u8]) -> Result<u8, CreditCodeError> {
    let (mut sum, mut weight) = (0, 1);
    for character in body {
        sum += value(*character).ok_or(CreditCodeError::Character)? * weight;
        weight = weight * BASE % MODULUS;
    }
    let place = (MODULUS - sum % MODULUS) % MODULUS;
    ALPHABET
        .get(place)
        .copied()
        .ok_or(CreditCodeError::Character)
}
