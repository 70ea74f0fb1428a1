//! Aligned text tables for people. Pure.
//!
//! Cells are cleaned here, in one place: a terminal obeys control characters, and headers of a
//! record come from outside.

/// Longest cell that is printed in full, in characters.
const CELL_CHARS_MAX: usize = 120;

/// On which side a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Words.
    Left,
    /// Numbers, so that the digits stand below each other.
    Right,
}

/// Rows below a line of titles.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Side)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns and no rows yet.
    pub(crate) fn new(columns: &[(&'static str, Side)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; cells that are missing are empty, cells beyond the last column are dropped.
    pub(crate) fn row<I, S>(&mut self, cells: I)
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let mut row: Vec<String> =
            cells.into_iter().take(self.columns.len()).map(|cell| clean(cell.as_ref())).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// Whether no row was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The whole table, each line ended; no blanks at the ends of lines.
    pub(crate) fn render(&self) -> String {
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, (title, _))| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(index))
                    .map(|cell| cell.chars().count())
                    .chain([title.chars().count()])
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let titles = self.columns.iter().map(|(title, _)| title.to_uppercase()).collect::<Vec<_>>();
        let mut text = String::new();
        for row in std::iter::once(&titles).chain(&self.rows) {
            let mut line = String::new();
            for (index, ((cell, (_, side)), width)) in row.iter().zip(&self.columns).zip(&widths).enumerate() {
                if index > 0 {
                    line.push_str("  ");
                }
                let fill = " ".repeat(width.saturating_sub(cell.chars().count()));
                match side {
                    Side::Left => {
                        line.push_str(cell);
                        line.push_str(&fill);
                    }
                    Side::Right => {
                        line.push_str(&fill);
                        line.push_str(cell);
                    }
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Two columns without titles: a name and what it is.
pub(crate) fn pairs<'a>(lines: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let lines: Vec<(String, String)> = lines.into_iter().map(|(name, value)| (clean(name), clean(&value))).collect();
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    lines.iter().fold(String::new(), |mut text, (name, value)| {
        let fill = " ".repeat(width.saturating_sub(name.chars().count()));
        text.push_str(format!("{name}{fill}  {value}").trim_end());
        text.push('\n');
        text
    })
}

/// A cell that a terminal can do nothing with but show it, on one line.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned: String =
        text.chars().take(CELL_CHARS_MAX).map(|c| if is_unshowable(c) { '?' } else { c }).collect();
    if text.chars().nth(CELL_CHARS_MAX).is_some() {
        cleaned.push_str("..");
    }
    cleaned
}

/// Control characters, and the marks that turn the direction of what follows.
fn is_unshowable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_words_left_and_lines_end_without_blanks() {
        let mut table = Table::new(&[("batch", Side::Left), ("count", Side::Right), ("note", Side::Left)]);
        table.row(["a", "1", ""]);
        table.row(["longer", "12,345", "late"]);
        assert_eq!(
            table.render(),
            "BATCH    COUNT  NOTE\n\
             a            1\n\
             longer  12,345  late\n"
        );
    }

    #[test]
    fn a_row_that_begins_with_an_empty_cell_keeps_its_columns() {
        let mut table = Table::new(&[("a", Side::Left), ("b", Side::Left)]);
        table.row(["", "x"]);
        table.row(["yy", "z", "one too many"]);
        table.row(["short"]);
        assert_eq!(table.render(), "A      B\n       x\nyy     z\nshort\n");
    }

    #[test]
    fn a_table_without_rows_is_its_titles() {
        let table = Table::new(&[("a", Side::Left)]);
        assert!(table.is_empty());
        assert_eq!(table.render(), "A\n");
    }

    #[test]
    fn a_cell_cannot_steer_the_terminal_or_break_the_line() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d\u{85}"), "a?[2Jb?c?d?");
        assert_eq!(clean(&"x".repeat(500)).len(), CELL_CHARS_MAX + 2);
        assert_eq!(clean("Ngada \u{e9}"), "Ngada \u{e9}");
    }

    #[test]
    fn pairs_are_aligned() {
        assert_eq!(pairs([("status", "ok".to_owned()), ("id", String::new())]), "status  ok\nid\n");
    }
}
