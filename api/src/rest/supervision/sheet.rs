//! An answer as lines and columns: one shape for JSON, for files, and for their descriptions.

use serde_json::{Map, Value, json};
use yingku_core::supervision::group::{Dimension, GroupKey};

use super::super::schema;

/// Characters of a text in an answer.
const TEXT_LIMIT: usize = 256;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Count,
    /// May be unknown.
    CountOrNull,
    /// Percent with one decimal; null of nothing.
    Share,
    Flag,
    /// Texts; in a file with blanks between them.
    Texts,
}

#[derive(Debug, Clone)]
pub struct Column {
    /// In JSON.
    pub name: String,
    /// In files, Chinese.
    pub title: String,
    pub kind: Kind,
}

impl Column {
    pub fn new(name: impl Into<String>, title: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            title: title.into(),
            kind,
        }
    }

    pub fn of(dimension: Dimension) -> Self {
        let name = match dimension {
            Dimension::Day => "examDate",
            Dimension::Hospital => "hospitalCode",
            Dimension::Class => "examClass",
            other => other.name(),
        };
        Self::new(name, dimension.title(), Kind::Text)
    }

    fn schema(&self) -> Value {
        let title = self.title.as_str();
        match self.kind {
            Kind::Text => schema::text(TEXT_LIMIT, title),
            Kind::Count => schema::integer(title),
            Kind::CountOrNull => schema::or_null(schema::integer(title)),
            Kind::Share => json!({
                "type": ["number", "null"],
                "minimum": 0,
                "maximum": 100,
                "description": format!("{title}，百分数 (percent)"),
            }),
            Kind::Flag => schema::boolean(title),
            Kind::Texts => schema::array(schema::text(TEXT_LIMIT, title)),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Text(String),
    Count(u32),
    Null,
    /// Tenths of a percent.
    Share(Option<u32>),
    Flag(bool),
    Texts(Vec<String>),
}

impl From<Option<u32>> for Cell {
    fn from(count: Option<u32>) -> Self {
        count.map_or(Self::Null, Self::Count)
    }
}

impl Cell {
    pub fn json(&self) -> Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Count(count) => (*count).into(),
            Self::Null | Self::Share(None) => Value::Null,
            Self::Share(Some(permille)) => percent(*permille).into(),
            Self::Flag(flag) => (*flag).into(),
            Self::Texts(texts) => texts.clone().into(),
        }
    }
}

/// With one decimal.
pub fn percent(permille: u32) -> f64 {
    f64::from(permille) / 10.0
}

/// Lines below columns, with their total.
#[derive(Debug)]
pub struct Sheet {
    /// Of the file.
    pub title: &'static str,
    pub columns: Vec<Column>,
    pub lines: Vec<Vec<Cell>>,
    /// Of the last columns: those by which lines are told apart have none.
    pub total: Option<Vec<Cell>>,
}

impl Sheet {
    /// A line for each group, behind what it is grouped by. `cells` fill `columns`.
    pub fn of_groups<G>(
        title: &'static str,
        by: impl Iterator<Item = Dimension>,
        columns: Vec<Column>,
        groups: Vec<(GroupKey, G)>,
        total: &G,
        cells: impl Fn(&G) -> Vec<Cell>,
    ) -> Self {
        let line = |(key, group): (GroupKey, G)| {
            let key = key.into_iter().map(Cell::Text);
            key.chain(cells(&group)).collect()
        };
        Self {
            title,
            columns: by.map(Column::of).chain(columns).collect(),
            lines: groups.into_iter().map(line).collect(),
            total: Some(cells(total)),
        }
    }

    pub fn json(&self) -> Map<String, Value> {
        let line = |columns: &[Column], line: &[Cell]| {
            let cells = columns.iter().zip(line);
            let cells = cells.map(|(column, cell)| (column.name.clone(), cell.json()));
            Value::Object(cells.collect())
        };
        let lines = self.lines.iter().map(|cells| line(&self.columns, cells));
        let mut answer = Map::new();
        answer.insert("rows".to_owned(), lines.collect());
        if let Some(total) = &self.total {
            let front = self.columns.len().saturating_sub(total.len());
            let columns = self.columns.get(front..).unwrap_or_default();
            answer.insert("totals".to_owned(), line(columns, total));
        }
        answer
    }
}

/// Schema of a line. `optional`: columns that only some questions have.
pub fn line_schema(optional: &[Dimension], columns: &[Column]) -> Value {
    let optional: Vec<Column> = optional.iter().copied().map(Column::of).collect();
    let fields = optional.iter().map(|column| (column, false));
    let fields = fields.chain(columns.iter().map(|column| (column, true)));
    let fields: Vec<(&str, bool, Value)> = fields
        .map(|(column, required)| (column.name.as_str(), required, column.schema()))
        .collect();
    schema::object(&fields)
}

/// Schema of an answer of lines and their total.
pub fn answer_schema(
    optional: &[Dimension],
    columns: &[Column],
    more: Vec<(&'static str, bool, Value)>,
) -> Value {
    let mut fields = vec![
        ("from", true, schema::text(10, "检查日期起")),
        ("to", true, schema::text(10, "检查日期止")),
        ("rows", true, schema::array(line_schema(optional, columns))),
        ("totals", true, line_schema(&[], columns)),
    ];
    fields.extend(more);
    schema::object(&fields)
}
