//! The plaintext of `sign` (R3): `appId,orgId,license`, `appId,license,time` or `appId,orgId,license,time`, the first
//! two told apart by whether their third part is a time. Decrypting and comparing belong to the edge.

use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::time::{LocalDateTime, Zone};

/// The most bytes of a plaintext: four blocks of a 1024-bit key hold 468.
const PLAINTEXT_LIMIT_BYTES: usize = 1_024;

/// 2020-01-01 to 2100-01-01 in seconds: what lies outside is no time but, say, a license of digits.
const EPOCH_SECONDS: std::ops::Range<i64> = 1_577_836_800..4_102_444_800;

/// One way to read what a client signed. No `Debug`: the license is a secret.
pub struct SignPlaintext {
    pub app_id: String,
    /// 机构: one of the app's hospitals.
    pub org_id: Option<String>,
    pub license: License,
    pub time: Option<Result<SignTime, NoTime>>,
}

/// Stands where a time is meant. Told to the caller once app and license match (R3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no form of a time")]
pub struct NoTime;

/// A license, wiped from memory when dropped. Compare it in constant time.
pub struct License(Zeroizing<String>);

impl License {
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The moment at which a sign was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignTime {
    Local(LocalDateTime),
    /// Milliseconds since 1970, UTC.
    Unix(i64),
}

impl SignTime {
    pub fn unix_ms(self, zone: &Zone) -> i64 {
        match self {
            SignTime::Local(time) => time.unix_ms(zone),
            SignTime::Unix(moment_ms) => moment_ms,
        }
    }

    /// A local time as the contract writes it (R5), seconds or milliseconds since 1970, or RFC 3339 with an offset.
    fn parse(text: &str) -> Result<Self, NoTime> {
        Self::read(text).ok_or(NoTime)
    }

    fn read(text: &str) -> Option<Self> {
        if let Ok(time) = LocalDateTime::parse(text) {
            return Some(SignTime::Local(time));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let number: i64 = text.parse().ok()?;
            let moment_ms = match text.len() {
                10 => number.checked_mul(1_000)?,
                13 => number,
                _ => return None,
            };
            return EPOCH_SECONDS
                .contains(&(moment_ms / 1_000))
                .then_some(SignTime::Unix(moment_ms));
        }
        let moment: Timestamp = text.parse().ok()?;
        Some(SignTime::Unix(moment.as_millisecond()))
    }
}

/// Why a plaintext is none of the three forms; the reason is for the operator's digest, never for the caller (R3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error(
        "明文不是 UTF-8，或超过 {PLAINTEXT_LIMIT_BYTES} 字节 (the plaintext is not UTF-8, or longer than that)"
    )]
    NotText,
    #[error("明文有 {found} 部分，应为 3 或 4 部分 (the plaintext has {found} parts, not 3 or 4)")]
    Parts { found: usize },
    #[error("明文中有空的部分 (a part of the plaintext is empty)")]
    Empty,
}

/// Reads a decrypted plaintext: every way that it can be meant, the likelier first. Whose license fits, counts. (With
/// `appId,license,2026-13-45` the third part is no time, and only the license tells that it should be one.)
pub fn parse(plaintext: &[u8]) -> Result<Vec<SignPlaintext>, SignError> {
    if plaintext.len() > PLAINTEXT_LIMIT_BYTES {
        return Err(SignError::NotText);
    }
    let text = std::str::from_utf8(plaintext).map_err(|_| SignError::NotText)?;
    let text = text.trim_start_matches('\u{FEFF}').trim_matches('\0');
    let parts: Vec<&str> = text.split([',', '，']).map(str::trim).collect();
    let readings = match parts.as_slice() {
        [app, middle, last] => match SignTime::parse(last) {
            Ok(time) => vec![reading(app, None, middle, Some(Ok(time)))],
            Err(NoTime) => vec![
                reading(app, Some(middle), last, None),
                reading(app, None, middle, Some(Err(NoTime))),
            ],
        },
        [app, org, license, time] => {
            vec![reading(
                app,
                Some(org),
                license,
                Some(SignTime::parse(time)),
            )]
        }
        other => return Err(SignError::Parts { found: other.len() }),
    };
    let readings: Vec<SignPlaintext> = readings.into_iter().flatten().collect();
    if readings.is_empty() {
        return Err(SignError::Empty);
    }
    Ok(readings)
}

/// `None`: a part is empty.
fn reading(
    app: &str,
    org: Option<&str>,
    license: &str,
    time: Option<Result<SignTime, NoTime>>,
) -> Option<SignPlaintext> {
    if app.is_empty() || license.is_empty() || org.is_some_and(str::is_empty) {
        return None;
    }
    Some(SignPlaintext {
        app_id: app.to_owned(),
        org_id: org.map(str::to_owned),
        license: License(Zeroizing::new(license.to_owned())),
        time,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    fn read(text: &str) -> (String, Option<String>, String, Option<i64>) {
        let Ok(readings) = parse(text.as_bytes()) else {
            panic!("{text}")
        };
        let sign = readings.into_iter().next().unwrap();
        let license = String::from_utf8(sign.license.expose().to_vec()).unwrap();
        (
            sign.app_id,
            sign.org_id,
            license,
            sign.time
                .map(|time| time.unwrap().unix_ms(&Zone::default())),
        )
    }

    #[test]
    fn the_third_part_tells_the_forms_apart() {
        let moment = Some(1_783_133_672_000);
        let own = |text: &str| text.to_owned();
        assert_eq!(
            read("app,350006,lic"),
            (own("app"), Some(own("350006")), own("lic"), None)
        );
        for time in [
            "2026-07-04 10:54:32",
            "20260704105432",
            "1783133672",
            "1783133672000",
            "2026-07-04T02:54:32Z",
            "2026-07-04T10:54:32+08:00",
        ] {
            assert_eq!(
                read(&format!("app,lic,{time}")),
                (own("app"), None, own("lic"), moment),
                "{time}"
            );
            assert_eq!(
                read(&format!("app, 350006 ,lic,{time}")),
                (own("app"), Some(own("350006")), own("lic"), moment),
                "{time}"
            );
        }
    }

    #[test]
    fn a_malformed_time_is_a_time_wherever_the_license_tells_so() {
        for (text, license) in [
            ("app,350006,lic,2026-13-45 10:00:00", "lic"),
            ("app,350006,lic,", "lic"),
            ("app,lic,23/11/2026 10:00", "lic"),
        ] {
            let readings = parse(text.as_bytes()).ok().unwrap();
            let fits = readings
                .iter()
                .find(|reading| reading.license.expose() == license.as_bytes());
            assert_eq!(fits.unwrap().time, Some(Err(NoTime)), "{text}");
        }
    }

    #[test]
    fn digits_that_are_no_time_are_a_license() {
        assert_eq!(read("app,350006,0123456789").2, "0123456789");
        assert_eq!(read("app,350006,123456").2, "123456");
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        let error = |text: &[u8]| parse(text).err().expect("an error");
        assert_eq!(error(b"app,lic"), SignError::Parts { found: 2 });
        assert_eq!(error(b"a,b,c,d,e"), SignError::Parts { found: 5 });
        assert_eq!(error(b",org,lic"), SignError::Empty);
        assert_eq!(error(b"app,,lic"), SignError::Empty);
        assert_eq!(error(b"app,org,\xFF"), SignError::NotText);
        assert_eq!(error(&[b'a'; 2_000]), SignError::NotText);
    }
}
