//! Tables that a person reads on a terminal and a browser shows as tables: Markdown with padded cells.

/// A table under construction.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns. All but the first are figures and stand on the right.
    pub(crate) fn new<T: Into<String>>(columns: impl IntoIterator<Item = T>) -> Self {
        Self { rows: vec![columns.into_iter().map(Into::into).collect()] }
    }

    /// Adds a row; cells that are missing at its end are empty.
    pub(crate) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The text, without a newline at its end.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
        // A separator has at least three characters and, on the right, a colon.
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0).max(4))
            .collect();
        let mut lines = Vec::new();
        for (index, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> = widths
                .iter()
                .enumerate()
                .map(|(column, width)| {
                    let cell = cell(row, column);
                    if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                })
                .collect();
            lines.push(format!("| {} |", cells.join(" | ")));
            if index == 0 {
                let rules: Vec<String> = widths
                    .iter()
                    .enumerate()
                    .map(|(column, width)| if column == 0 { "-".repeat(*width) } else { "-".repeat(width - 1) + ":" })
                    .collect();
                lines.push(format!("| {} |", rules.join(" | ")));
            }
        }
        lines.join("\n")
    }
}

/// A whole number with a comma between thousands.
#[expect(clippy::cast_possible_truncation, reason = "figures are far below 2^63")]
pub(crate) fn grouped(number: f64) -> String {
    let number = number.round() as i64;
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    if number < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_padded_and_figures_stand_on_the_right() {
        let mut table = Table::new(["leg", "first load"]);
        table.row(["sink alone", "7"]);
        table.row(["µ"]);
        assert_eq!(
            table.text(),
            "| leg        | first load |\n\
             | ---------- | ---------: |\n\
             | sink alone |          7 |\n\
             | µ          |            |"
        );
    }

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0.4, "0"), (999.5, "1,000"), (1_234_567.0, "1,234,567"), (-12_345.0, "-12,345")] {
            assert_eq!(grouped(number), text);
        }
    }
}
