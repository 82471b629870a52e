//! Pages of a list, newest first.
//!
//! A page token is (position, sort key of the last row): rows first seen after that position are left out, and the sort
//! key never changes, so nothing that is there throughout is missed or repeated; rows show their current state.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use yingku_core::contract::Rule;
use yingku_core::ids::Position;
use yingku_storage::keys::{ClusterKey, Purpose};

use super::params::Params;
use super::schema;
use crate::envelope::Page;
use crate::error::Failure;

const PAGE_SIZE: u64 = 20;
/// Rows of one page at most.
const PAGE_SIZE_LIMIT: u64 = 200;
/// Characters of a page token: 33 bytes sealed are 82 of Base64.
const TOKEN_LIMIT: usize = 256;

/// Which page is asked for.
pub struct Paging {
    size: u64,
    no: u64,
    token: Option<PageToken>,
    /// Of the filters, so that a token does not continue another question.
    question: u64,
}

/// Where a page ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PageToken {
    /// Rows first seen at or after this position are left out.
    position: Position,
    /// First position of the page's last row.
    last: Position,
    page_no: u64,
    question: u64,
}

/// Fields of a request that is answered in pages.
pub fn request_schema() -> [(&'static str, bool, Value); 3] {
    [
        (
            "pageSize",
            false,
            schema::number(1..=PAGE_SIZE_LIMIT, "每页行数，缺省 20"),
        ),
        ("pageNo", false, schema::page_no()),
        (
            "pageToken",
            false,
            schema::text(TOKEN_LIMIT, "上一页的 nextPageToken；翻页期间不漏不重"),
        ),
    ]
}

impl Paging {
    /// `filters`: the app and all that narrows its question, page aside.
    pub fn read(params: &mut Params<'_>, key: &ClusterKey, filters: &Value) -> Self {
        let mut paging = Self {
            size: params
                .number("pageSize", 1..=PAGE_SIZE_LIMIT)
                .unwrap_or(PAGE_SIZE),
            no: params.page_no(),
            token: None,
            question: digest(filters),
        };
        if let Some(token) = params.text("pageToken", TOKEN_LIMIT) {
            paging.token =
                PageToken::open(key, &token).filter(|token| token.question == paging.question);
            if paging.token.is_none() {
                params.fault(
                    "pageToken",
                    Rule::Format,
                    "pageToken 无效或不属于此查询，请从第一页重新开始 (not a token of this question: start again)"
                        .to_owned(),
                );
            }
        }
        paging
    }

    /// Rows first seen at or after this position are left out; `now`: where the views are.
    pub fn position(&self, now: Position) -> Position {
        self.token.map_or(now, |token| token.position)
    }

    /// The page's rows, and what is said of it. `rows`: all, newest first by `first`, without those that are left out.
    pub fn cut<'r, T>(
        &self,
        rows: &'r [T],
        position: Position,
        key: &ClusterKey,
        first: fn(&T) -> Position,
    ) -> Result<(Vec<&'r T>, Page), Failure> {
        let total = rows.len() as u64;
        let (skip, page_no) = match self.token {
            Some(token) => (
                rows.iter()
                    .take_while(|row| first(row) >= token.last)
                    .count(),
                token.page_no.saturating_add(1),
            ),
            None => (
                usize::try_from((self.no - 1).saturating_mul(self.size)).unwrap_or(usize::MAX),
                self.no,
            ),
        };
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let page: Vec<&T> = rows.iter().skip(skip).take(size).collect();
        let has_more = rows.len() > skip.saturating_add(page.len());
        let next_page_token = match page.last() {
            Some(last) if has_more => {
                let token = PageToken {
                    position,
                    last: first(last),
                    page_no,
                    question: self.question,
                };
                Some(token.seal(key)?)
            }
            _ => None,
        };
        let said = Page {
            page_no,
            page_size: self.size,
            total,
            pages: total.div_ceil(self.size),
            next_page_token,
        };
        Ok((page, said))
    }
}

/// Where a page of an answer that is not all in memory begins, and how it is said.
impl Paging {
    /// Rows before the page, where it is found by counting.
    pub fn offset(&self) -> usize {
        let before = self.page_no().saturating_sub(1).saturating_mul(self.size);
        usize::try_from(before).unwrap_or(usize::MAX)
    }

    /// First position of the last row of the page before, where the page goes on behind that.
    pub fn after(&self) -> Option<Position> {
        self.token.map(|token| token.last)
    }

    pub fn size(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }

    fn page_no(&self) -> u64 {
        match self.token {
            Some(token) => token.page_no.saturating_add(1),
            None => self.no,
        }
    }

    /// `last`: first position of the page's last row; `None`: the page is the last one.
    pub fn said(
        &self,
        total: u64,
        last: Option<Position>,
        position: Position,
        key: &ClusterKey,
    ) -> Result<Page, Failure> {
        let page_no = self.page_no();
        let next = last.map(|last| PageToken {
            position,
            last,
            page_no,
            question: self.question,
        });
        Ok(Page {
            page_no,
            page_size: self.size,
            total,
            pages: total.div_ceil(self.size),
            next_page_token: next.map(|token| token.seal(key)).transpose()?,
        })
    }
}

fn digest(filters: &Value) -> u64 {
    let mut question = [0; 8];
    blake3::Hasher::new()
        .update(filters.to_string().as_bytes())
        .finalize_xof()
        .fill(&mut question);
    u64::from_le_bytes(question)
}

impl PageToken {
    fn seal(&self, key: &ClusterKey) -> Result<String, Failure> {
        let mut plain = Vec::with_capacity(32);
        for number in [self.position.0, self.last.0, self.page_no, self.question] {
            plain.extend_from_slice(&number.to_le_bytes());
        }
        Ok(URL_SAFE_NO_PAD.encode(key.seal_bytes(Purpose::Page, &plain)?))
    }

    fn open(key: &ClusterKey, text: &str) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let plain = key.open_bytes(Purpose::Page, &sealed).ok()?;
        let mut numbers = plain
            .chunks_exact(8)
            .filter_map(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
        Some(Self {
            position: Position(numbers.next()?),
            last: Position(numbers.next()?),
            page_no: numbers.next()?,
            question: numbers.next()?,
        })
    }
}
