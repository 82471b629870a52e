//! A query as a HIS writes it: in any order, in UTF-8 or in GBK, with what it has nothing for left empty.

use encoding_rs::GB18030;

use super::super::charset;

/// Bytes of a query at most: five numbers of 64 Chinese characters, escaped, and what a signed link adds.
pub const QUERY_LIMIT_BYTES: usize = 4 << 10;
/// Parameters of a query at most: the contract has five, a link some more, and a HIS may add its own.
const PARAMETERS_LIMIT: usize = 32;

/// Why a query cannot be read. Says nothing of what stands in it but names of parameters that we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryFault {
    #[error(
        "地址过长：参数最多 {QUERY_LIMIT_BYTES} 字节 (the query is too long: {QUERY_LIMIT_BYTES} bytes at most)"
    )]
    TooLong,
    #[error(
        "参数过多：最多 {PARAMETERS_LIMIT} 个 (too many parameters: {PARAMETERS_LIMIT} at most)"
    )]
    TooMany,
    #[error(
        "参数的编码无法识别，应为 UTF-8 或 GBK 的百分号编码 (the parameters are neither UTF-8 nor GBK, percent-encoded)"
    )]
    Charset,
    #[error(
        "参数 {0} 出现多次且内容不同，请只保留一个 (parameter {0} stands twice with different values)"
    )]
    Twice(&'static str),
}

/// The parameters of one request. Names count in any case, though the contract has them in lower case.
#[derive(Clone, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads what follows the question mark. One sender writes in one encoding: where all of it is UTF-8 it is that, else
    /// GBK (as GB18030, which contains it).
    pub fn parse(raw: &str) -> Result<Self, QueryFault> {
        if raw.len() > QUERY_LIMIT_BYTES {
            return Err(QueryFault::TooLong);
        }
        let parts = raw.split('&').filter(|part| !part.is_empty());
        let mut bytes = Vec::new();
        for part in parts {
            if bytes.len() == PARAMETERS_LIMIT {
                return Err(QueryFault::TooMany);
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            bytes.push((unescape(name), unescape(value)));
        }
        let all = || bytes.iter().flat_map(|(name, value)| [name, value]);
        let encoding = match all().all(|text| charset::utf8(text).is_ok()) {
            true => encoding_rs::UTF_8,
            false => GB18030,
        };
        let text = |bytes: &[u8]| {
            let text = charset::strict(encoding, bytes).map_err(|_| QueryFault::Charset)?;
            Ok(text.trim().to_owned())
        };
        let mut pairs = Vec::with_capacity(bytes.len());
        for (name, value) in &bytes {
            pairs.push((text(name)?.to_ascii_lowercase(), text(value)?));
        }
        Ok(Self { pairs })
    }

    /// A parameter's value; `None` where it is absent or empty, as it stands where a HIS has no such number.
    pub fn get(&self, name: &'static str) -> Result<Option<&str>, QueryFault> {
        let mut values = self
            .pairs
            .iter()
            .filter(|(own, value)| own == name && !value.is_empty());
        let first = values.next().map(|(_, value)| value.as_str());
        match values.all(|(_, value)| Some(value.as_str()) == first) {
            true => Ok(first),
            false => Err(QueryFault::Twice(name)),
        }
    }
}

/// The bytes that percent signs and plus signs stand for; a percent sign that begins no escape is itself.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match (escaped, first) {
            (Some((high, low)), _) => {
                out.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
                continue;
            }
            (None, b'+') => out.push(b' '),
            (None, other) => out.push(*other),
        }
        rest = after;
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_query_is_read_in_utf_8_and_in_gbk() {
        // 门诊001 in both; 臺 of GBK has a second byte that is ASCII's underscore
        for (raw, value) in [
            ("outpatient_no=%E9%97%A8%E8%AF%8A001", "门诊001"),
            ("outpatient_no=%C3%C5%D5%EF001", "门诊001"),
            ("outpatient_no=%C3%C5%D5%EF001&x=%d6%d0", "门诊001"),
            ("outpatient_no=%C5_", "臺"),
        ] {
            let query = Query::parse(raw).unwrap();
            let found = query.get("outpatient_no").unwrap().unwrap();
            assert_eq!(found, value, "{raw}");
        }
        assert_eq!(Query::parse("a=%FF%FF").err(), Some(QueryFault::Charset));
    }

    #[test]
    fn what_a_his_leaves_empty_is_absent_and_case_and_order_say_nothing() {
        let query = Query::parse("&SICK_NO=&Exam_No=+7173_1%20&sick_id=&t=1").unwrap();
        assert_eq!(query.get("exam_no"), Ok(Some("7173_1")));
        assert_eq!(query.get("sick_id"), Ok(None));
        assert_eq!(query.get("inpatient_no"), Ok(None));
        // a percent sign of its own
        let query = Query::parse("exam_no=5%&sick_id=%4").unwrap();
        assert_eq!(query.get("exam_no"), Ok(Some("5%")));
        assert_eq!(query.get("sick_id"), Ok(Some("%4")));
    }

    #[test]
    fn what_stands_twice_must_say_the_same() {
        let query = Query::parse("exam_no=1&exam_no=1&exam_no=").unwrap();
        assert_eq!(query.get("exam_no"), Ok(Some("1")));
        let query = Query::parse("exam_no=1&EXAM_NO=2").unwrap();
        assert_eq!(query.get("exam_no"), Err(QueryFault::Twice("exam_no")));
    }

    #[test]
    fn a_query_has_limits() {
        let long = format!("exam_no={}", "1".repeat(QUERY_LIMIT_BYTES));
        assert_eq!(Query::parse(&long).err(), Some(QueryFault::TooLong));
        let many = "a=1&".repeat(PARAMETERS_LIMIT + 1);
        assert_eq!(Query::parse(&many).err(), Some(QueryFault::TooMany));
        assert!(Query::parse(&"a=1&".repeat(PARAMETERS_LIMIT)).is_ok());
    }
}
