//! Tables for a terminal: Chinese characters take two columns.

/// A table with a head; every row has as many cells.
pub struct Table {
    columns: usize,
    rows: Vec<Vec<String>>,
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
            rows: vec![head],
        }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().map(printable).collect();
        cells.resize(self.columns, String::new());
        self.rows.push(cells);
    }

    /// The table as text, without a line break at its end.
    pub fn render(&self) -> String {
        let mut widths = vec![0; self.columns];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(columns_of(cell));
            }
        }
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for (width, cell) in widths.iter().zip(row) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width - columns_of(cell) + GAP));
            }
            line.trim_end().to_owned()
        };
        self.rows.iter().map(line).collect::<Vec<_>>().join("\n") + "\n"
    }
}

/// What a peer sent may hold escape sequences: they must not reach a terminal.
fn printable(cell: String) -> String {
    if cell.chars().any(char::is_control) {
        cell.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    } else {
        cell
    }
}

/// Columns that a terminal gives a text: two for what is written wide (Unicode TR11, the common ranges).
fn columns_of(text: &str) -> usize {
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
