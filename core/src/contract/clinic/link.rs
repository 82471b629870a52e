//! Links that a HIS signs (R19): HMAC-SHA256 under the license of its app, in hex, over the query as it is sent up to
//! `&signature=`, which stands last. So nothing has to be sorted or encoded twice, and nothing is in the address that is not
//! signed.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// For how long a link may be good: a HIS makes one when it is clicked, and one that lies about in a mail or a history
/// should open nothing.
pub const LIFE_LIMIT_S: i64 = 24 * 3_600;

/// Characters of a license that may sign links: who has seen a link can try licenses on it, at home and as long as he likes.
pub const SECRET_SHORTEST: usize = 16;

const SIGNATURE: &str = "signature";

/// A query that claims to be signed. No `Debug`: numbers of patients stand in it.
#[derive(Clone, Copy)]
pub struct Signed<'q> {
    pub said: &'q str,
    pub signature: &'q str,
}

impl<'q> Signed<'q> {
    /// `None`: it claims nothing. A signature that does not stand last is one over all that stands before it, and fits
    /// nothing, since what follows is part of it.
    pub fn of(raw: &'q str) -> Option<Self> {
        let (said, signature) = raw.split_once("&signature=")?;
        Some(Self { said, signature })
    }

    /// Whether the signature is that of the secret; takes the same time wherever it differs.
    pub fn fits(self, secret: &[u8]) -> bool {
        let (Some(given), Some(mac)) = (bytes_of_hex(self.signature), mac_of(secret, self.said))
        else {
            return false;
        };
        mac.verify_slice(&given).is_ok()
    }
}

/// A whole query with its signature. `pairs`: numbers, and whatever else the link says; `expires_s`: in unix seconds.
pub fn compose<'p>(
    secret: &[u8],
    pairs: impl IntoIterator<Item = (&'p str, &'p str)>,
    app: &str,
    expires_s: i64,
) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs);
    query.append_pair("app", app);
    query.append_pair("expires", &expires_s.to_string());
    let said = query.finish();
    let signature = sign(secret, &said);
    format!("{said}&{SIGNATURE}={signature}")
}

/// The signature of what a query says, in hex.
pub fn sign(secret: &[u8], said: &str) -> String {
    let Some(mac) = mac_of(secret, said) else {
        return String::new();
    };
    let bytes = mac.finalize().into_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// HMAC takes keys of any length, so there always is one.
fn mac_of(secret: &[u8], said: &str) -> Option<Hmac<Sha256>> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret).ok()?;
    mac.update(said.as_bytes());
    Some(mac)
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok())
        })
        .collect();
    let pairs = digits.filter(|digits| digits.len() == 64)?;
    let byte = |pair: &[u8]| match pair {
        [high, low] => high << 4 | low,
        _ => 0,
    };
    Some(pairs.chunks(2).map(byte).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECRET: &[u8] = b"county-clinic-license";

    #[test]
    fn a_signature_is_what_other_toolkits_make() {
        // printf %s '…' | openssl dgst -sha256 -hmac county-clinic-license
        let said = "exam_no=7173_yjdjh0&app=county-his&expires=1790000000";
        assert_eq!(
            sign(SECRET, said),
            "f9cdc6605b7a9394d49b8870154dd6c26d6eb6619651cf6e947de0079a7886d0"
        );
        let pairs = [("exam_no", "7173_yjdjh0")];
        let whole = compose(SECRET, pairs, "county-his", 1_790_000_000);
        assert_eq!(whole, format!("{said}&signature={}", sign(SECRET, said)));
    }

    #[test]
    fn a_link_that_was_changed_anywhere_does_not_fit() {
        let link = compose(SECRET, [("sick_id", "7173_1")], "county-his", 1_790_000_000);
        let fits = |link: &str| Signed::of(link).is_some_and(|signed| signed.fits(SECRET));
        assert!(fits(&link));
        assert!(!fits(&link.to_ascii_uppercase()));
        assert!(!Signed::of(&link).unwrap().fits(b"another license of it"));
        for changed in [
            link.replace("7173_1", "7173_2"),
            link.replace("1790000000", "1890000000"),
            format!("{link}&sick_id=7173_2"),
            format!("sick_id=7173_2&{link}"),
            format!("{link}00"),
            link[..link.len() - 1].to_owned(),
            link[..link.len() - 64].to_owned(),
        ] {
            assert!(!fits(&changed), "{changed}");
        }
        // hex in capitals is the same number
        let (said, signature) = link.split_once("&signature=").unwrap();
        assert!(fits(&format!(
            "{said}&signature={}",
            signature.to_uppercase()
        )));
        assert!(Signed::of("sick_id=1").is_none());
    }
}
