//! The reader: one pass over text that is known to be UTF-8, recursion bounded by [`DEPTH_LIMIT`].

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Json, JsonError};

/// The deepest nesting read. The contract's own messages nest five deep; each level costs stack.
pub const DEPTH_LIMIT: usize = 64;

/// Objects with more keys than this look for duplicates with a map instead of one by one.
const SCAN_KEYS_LIMIT: usize = 64;

pub(super) fn parse(text: &str) -> Result<Json<'_>, JsonError> {
    let mut parser = Parser { text, at: 0 };
    parser.blanks();
    if parser.peek().is_none() {
        return Err(JsonError::Empty);
    }
    let value = parser.value(0)?;
    parser.blanks();
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.wrong("值之后还有多余内容", "something follows the value")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn wrong(&self, zh: &'static str, en: &'static str) -> JsonError {
        JsonError::Syntax {
            offset: self.at,
            zh,
            en,
        }
    }

    fn slice(&self, from: usize, to: usize) -> Result<&'a str, JsonError> {
        // Both ends lie beside ASCII characters, so they are character boundaries.
        self.text
            .get(from..to)
            .ok_or_else(|| self.wrong("编码有误", "broken text"))
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        match self.peek() {
            Some(b'"') => self.string().map(Json::Text),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(_) => Err(self.wrong("缺少值", "a value is expected")),
            None => Err(self.wrong("内容不完整", "the text ends early")),
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, JsonError> {
        let end = self.at + word.len();
        if self.text.as_bytes().get(self.at..end) != Some(word.as_bytes()) {
            return Err(self.wrong("缺少值", "a value is expected"));
        }
        self.at = end;
        Ok(value)
    }

    fn enter(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth >= DEPTH_LIMIT {
            return Err(JsonError::Depth { offset: self.at });
        }
        self.at += 1;
        self.blanks();
        Ok(())
    }

    /// After a member: true when another follows, false when the closing character was there.
    fn more(&mut self, close: u8) -> Result<bool, JsonError> {
        self.blanks();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.blanks();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            Some(_) => Err(self.wrong(
                "缺少逗号或结束括号",
                "a comma or a closing bracket is expected",
            )),
            None => Err(self.wrong("内容不完整", "the text ends early")),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        self.enter(depth)?;
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if !self.more(b']')? {
                return Ok(Json::Array(items));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        self.enter(depth)?;
        let mut entries = Vec::with_capacity(8);
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(entries));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(
                    self.wrong("缺少带双引号的字段名", "a key in double quotes is expected")
                );
            }
            let key = self.string()?;
            self.blanks();
            if self.peek() != Some(b':') {
                return Err(self.wrong("字段名之后缺少冒号", "a colon is expected after the key"));
            }
            self.at += 1;
            self.blanks();
            entries.push((key, self.value(depth + 1)?));
            if !self.more(b'}')? {
                return Ok(Json::Object(keep_last(entries)));
            }
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.at += 1;
        let start = self.plain();
        if self.peek() == Some(b'"') {
            let text = self.slice(start, self.at)?;
            self.at += 1;
            return Ok(Cow::Borrowed(text));
        }
        let mut text = self.slice(start, self.at)?.to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => {
                    return Err(self.wrong(
                        "文本中有未转义的控制字符，换行应写作 \\n",
                        "a control character stands in a text unescaped",
                    ));
                }
                None => return Err(self.wrong("文本没有结束引号", "a text has no closing quote")),
            }
            let start = self.plain();
            text.push_str(self.slice(start, self.at)?);
        }
    }

    /// Passes over characters that stand for themselves; returns where they began.
    fn plain(&mut self) -> usize {
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20);
        self.at = start + length.unwrap_or(rest.len());
        start
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        self.at += 1;
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.wrong("未知的转义", "an unknown escape")),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode(&mut self) -> Result<char, JsonError> {
        let lone = ("\\u 转义有误", "a broken \\u escape");
        let first = self.hex4()?;
        let code = match first {
            0xD800..=0xDBFF => {
                if self.text.as_bytes().get(self.at..self.at + 2) != Some(b"\\u") {
                    return Err(self.wrong(lone.0, lone.1));
                }
                self.at += 2;
                let second = self.hex4()?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return Err(self.wrong(lone.0, lone.1));
                }
                0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.wrong(lone.0, lone.1))
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let digits = self
            .text
            .as_bytes()
            .get(self.at..self.at + 4)
            .unwrap_or_default();
        let mut code = 0;
        for &digit in digits {
            let value = char::from(digit).to_digit(16);
            code = code * 16
                + value.ok_or_else(|| self.wrong("\\u 转义有误", "a broken \\u escape"))?;
        }
        if digits.len() < 4 {
            return Err(self.wrong("内容不完整", "the text ends early"));
        }
        self.at += 4;
        Ok(code)
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.wrong("数字不完整", "a digit is expected"));
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Json<'a>, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(self.wrong(
                    "数字以 0 开头，请加双引号",
                    "a number begins with 0; put it in quotes",
                ));
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.slice(start, self.at)
            .map(|text| Json::Number(Cow::Borrowed(text)))
    }
}

/// Of entries with one key only the last stays, where it stood (R5).
fn keep_last<'a>(entries: Vec<(Cow<'a, str>, Json<'a>)>) -> Vec<(Cow<'a, str>, Json<'a>)> {
    let repeated: Vec<bool> = if entries.len() <= SCAN_KEYS_LIMIT {
        let later = |i: usize, key: &str| entries.iter().skip(i + 1).any(|(other, _)| other == key);
        if !entries
            .iter()
            .enumerate()
            .any(|(i, (key, _))| later(i, key))
        {
            return entries;
        }
        entries
            .iter()
            .enumerate()
            .map(|(i, (key, _))| later(i, key))
            .collect()
    } else {
        let mut last: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
        for (i, (key, _)) in entries.iter().enumerate() {
            last.insert(key, i);
        }
        entries
            .iter()
            .enumerate()
            .map(|(i, (key, _))| last.get(key.as_ref()) != Some(&i))
            .collect()
    };
    entries
        .into_iter()
        .zip(repeated)
        .filter(|(_, repeated)| !repeated)
        .map(|(entry, _)| entry)
        .collect()
}
