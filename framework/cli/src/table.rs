//! Text in columns.

use std::fmt::{self, Write};

/// Rows under a line of titles. Every column is as wide as its widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    columns: &'static [Column],
    rows: Vec<Vec<String>>,
}

/// A column: its title, and where its cells stand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    Left(&'static str),
    /// Of numbers.
    Right(&'static str),
}

impl Table {
    pub(crate) fn new(columns: &'static [Column]) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row, with a cell for each column.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        assert_eq!(N, self.columns.len(), "a cell for each column");
        self.rows.push(cells.into());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Column {
    fn title(self) -> &'static str {
        match self {
            Self::Left(title) | Self::Right(title) => title,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = self.columns.iter().map(|it| it.title().to_owned());
        let titles: Vec<String> = titles.collect();
        let lines = || std::iter::once(&titles).chain(&self.rows);
        let width = |at: usize| lines().map(|row| row[at].chars().count()).max();
        let widths: Vec<usize> = (0..titles.len()).filter_map(width).collect();
        for row in lines() {
            let mut line = String::new();
            for ((cell, width), column) in row.iter().zip(&widths).zip(self.columns) {
                match column {
                    Column::Left(_) => write!(line, "{cell:<width$}  ")?,
                    Column::Right(_) => write!(line, "{cell:>width$}  ")?,
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&[
            Column::Left("NODE"),
            Column::Right("SLOTS"),
            Column::Left("AT"),
        ]);
        table.row(["n1".into(), "4".into(), "here".into()]);
        table.row(["größer".into(), "1366000".into(), String::new()]);
        let shown = "NODE      SLOTS  AT\n\
                     n1            4  here\n\
                     größer  1366000\n";
        assert_eq!(table.to_string(), shown);
    }
}
