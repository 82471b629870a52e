//! Tables for a terminal: Chinese characters take two columns.

use std::ops::Range;

/// A table with a head; every row has as many cells.
pub struct Table {
    columns: usize,
    /// Columns of numbers: set to the right.
    numbers: Range<usize>,
    rows: Vec<Vec<String>>,
    /// Rows before which a line is drawn.
    rules: Vec<usize>,
}

/// Blanks between two columns.
const GAP: usize = 2;

impl Table {
    pub fn new<const N: usize>(head: [&str; N]) -> Self {
        Self::with_head(head.map(str::to_owned).to_vec())
    }

    pub fn with_head(head: Vec<String>) -> Self {
        Self {
            columns: head.len(),
            numbers: 0..0,
            rows: vec![head],
            rules: Vec::new(),
        }
    }

    pub fn with_numbers(mut self, columns: Range<usize>) -> Self {
        self.numbers = columns;
        self
    }

    /// Draws a line before the next row.
    pub fn rule(&mut self) {
        self.rules.push(self.rows.len());
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().map(printable).collect();
        cells.resize(self.columns, String::new());
        self.rows.push(cells);
    }

    /// The table as text, ending with a line break.
    pub fn render(&self) -> String {
        let mut widths = vec![0; self.columns];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(columns_of(cell));
            }
        }
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            if self.rules.contains(&index) {
                let columns: usize = widths.iter().map(|width| width + GAP).sum();
                text += &"-".repeat(columns);
                text.push('\n');
            }
            text += self.line(row, &widths).trim_end();
            text.push('\n');
        }
        text
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (column, (width, cell)) in widths.iter().zip(row).enumerate() {
            let blanks = " ".repeat(width - columns_of(cell));
            if self.numbers.contains(&column) {
                line += &blanks;
                line += cell;
            } else {
                line += cell;
                line += &blanks;
            }
            line += &" ".repeat(GAP);
        }
        line
    }
}

/// What a peer sent may hold escape sequences: they must not reach a terminal.
pub fn printable(cell: String) -> String {
    if cell.chars().any(char::is_control) {
        cell.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    } else {
        cell
    }
}

/// Columns that a terminal gives a text: two for what is written wide (Unicode TR11, the common ranges).
pub fn columns_of(text: &str) -> usize {
    text.chars()
        .map(|c| match u32::from(c) {
            0x1100..=0x115F
            | 0x2E80..=0x303E
            | 0x3041..=0xA4CF
            | 0xAC00..=0xD7A3
            | 0xF900..=0xFAFF
            | 0xFE30..=0xFE6F
            | 0xFF00..=0xFF60
            | 0xFFE0..=0xFFE6
            | 0x20000..=0x3FFFD => 2,
            _ => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new(["医院", "n"]);
        table.row(["a".to_owned(), "1".to_owned()]);
        table.row(["县医院\u{1b}[2J".to_owned(), "2".to_owned()]);
        assert_eq!(
            table.render(),
            "医院        n\na           1\n县医院 [2J  2\n"
        );
    }
}
