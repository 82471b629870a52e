//! A table of person codes by identity number, for exams whose push gives none. It is used and not kept: what it leads to is
//! in the log, identity numbers are not.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use yingku_core::national_index::PersonCode;

use super::{cells, read_text};

/// Some 60 bytes a line: two million people take 200 MB while the command runs.
const LINES_LIMIT: usize = 2_000_000;
const FILE_LIMIT_BYTES: u64 = 256 << 20;

type Digest = [u8; 16];

pub struct Persons(HashMap<Digest, PersonCode>);

impl Persons {
    /// Reads `identity number,person code` line by line; a head is passed over.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = read_text(path, FILE_LIMIT_BYTES)?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut persons = HashMap::new();
        for (line, at) in text.lines().zip(1..) {
            let cells = cells(line);
            let (Some(identity), Some(code)) = (cells.first(), cells.get(1)) else {
                anyhow::ensure!(
                    line.trim().is_empty(),
                    "第 {at} 行：应为 证件号,个人编码 (line {at}: must be identity number, person code)"
                );
                continue;
            };
            let code = match PersonCode::new(code) {
                Ok(code) => code,
                Err(_) if at == 1 && !code.bytes().any(|b| b.is_ascii_digit()) => continue,
                Err(error) => return Err(error).context(format!("第 {at} 行 (line {at})")),
            };
            let former = persons.insert(digest(identity), code.clone());
            anyhow::ensure!(
                former.is_none_or(|former| former == code),
                "第 {at} 行：同一证件号有两个个人编码 (line {at}: an identity number has two person codes)"
            );
            anyhow::ensure!(
                persons.len() <= LINES_LIMIT,
                "至多 {LINES_LIMIT} 行，请分成几个文件 (lines at most: divide it)"
            );
        }
        Ok(Self(persons))
    }

    pub fn of(&self, identity: &str) -> Option<&PersonCode> {
        self.0.get(&digest(identity))
    }
}

/// An identity number as it compares: the last letter of one may be written small.
fn digest(identity: &str) -> Digest {
    let hash = blake3::hash(identity.trim().to_ascii_uppercase().as_bytes());
    let mut digest = Digest::default();
    for (to, from) in digest.iter_mut().zip(hash.as_bytes()) {
        *to = *from;
    }
    digest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CODE: &str = "10000000000000000708463177";

    #[test]
    fn a_table_may_have_a_head_and_what_is_wrong_is_named_by_its_line() {
        let text = format!("证件号,个人编码\n11010119900101123x,{CODE}\n\n\"2\",\"{CODE}\"\n");
        let persons = Persons::parse(&text).unwrap();
        assert_eq!(persons.of("11010119900101123X").unwrap().as_str(), CODE);
        assert!(persons.of("2").is_some() && persons.of("3").is_none());
        for wrong in [
            format!("1,{CODE}\n2,123\n"),
            format!("1,{CODE}\nalone\n"),
            format!("1,{CODE}\n1,{}8\n", CODE.strip_suffix('7').unwrap()),
        ] {
            let error = format!("{:#}", Persons::parse(&wrong).err().unwrap());
            assert!(
                error.contains("line 2") && !error.contains("123"),
                "{error}"
            );
        }
    }
}
