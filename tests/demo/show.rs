//! What a person sees of the demonstration.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use harness::connect::DATABASE;
use harness::{Comparison, System};
use serde_json::Value;

/// Writes to standard output; a line that changes in place only where somebody can see it change.
pub(crate) struct Show {
    terminal: bool,
    in_place: bool,
}

impl Show {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal(), in_place: false }
    }

    fn write(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // Nobody is left to tell when standard output is closed.
        let _ = out.write_all(text.as_bytes());
        let _ = out.flush();
    }

    pub(crate) fn line(&self, text: &str) {
        self.write(&format!("{text}\n"));
    }

    pub(crate) fn step(&self, what: &str) {
        self.write(&format!("{what} ... "));
    }

    pub(crate) fn done(&self) {
        self.line("done");
    }

    pub(crate) fn fault(&self, error: &anyhow::Error) {
        let mut err = std::io::stderr().lock();
        let _ = writeln!(err, "\nsisdmk-demo: {error:#}");
    }

    /// Whether anybody can see a line change.
    pub(crate) fn shows_progress(&self) -> bool {
        self.terminal
    }

    pub(crate) fn progress(&mut self, rows: i64, elapsed: Duration) {
        self.in_place = true;
        self.write(&format!(
            "\r  {} rows written to sdmk.person after {:.1} s ",
            count_signed(rows),
            elapsed.as_secs_f64()
        ));
    }

    pub(crate) fn progress_end(&mut self) {
        if std::mem::take(&mut self.in_place) {
            self.write("\r\x1b[K");
        }
    }

    /// The summary of one batch: where every record went.
    pub(crate) fn batch(&self, title: &str, row: &Value) {
        let n = |name: &str| count_signed(row[name].as_i64().unwrap_or(0));
        let word = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
        let tied = match row["tied"].as_bool() {
            Some(true) => "every count ties",
            _ => "COUNTS DO NOT TIE",
        };
        self.line(&format!("\n{title}"));
        self.line(&format!("  batch      {}", word("batch_id")));
        self.line(&format!("  status     {}, {tied}, in {}", word("status"), span(&word("duration"))));
        self.line(&format!("  fetched    {:>10}   in {} requests", n("fetched"), n("requests")));
        self.line(&format!("  clean      {:>10}   published to sisdmk.clean", n("clean")));
        self.line(&format!("  known      {:>10}   said what is known, or less; not published", known(row)));
        self.line(&format!("  dead       {:>10}   in sisdmk.dlq, by first reason:", n("dlq")));
        for (code, count) in by_code(row) {
            self.line(&format!("               {count:>8}   {code}"));
        }
        self.line(&format!("  inserted   {:>10}   new rows of sdmk.person", n("inserted")));
        self.line(&format!("  updated    {:>10}   rows replaced by a newer state", n("updated")));
        self.line(&format!("  unchanged  {:>10}   the row was already there", n("sink_equal")));
    }

    /// One line about a batch.
    pub(crate) fn batch_line(&self, row: &Value) {
        let n = |name: &str| count_signed(row[name].as_i64().unwrap_or(0));
        self.line(&format!(
            "batch {}: {} fetched = {} inserted + {} updated + {} unchanged + {} dead; {}{}",
            row["batch_id"].as_str().unwrap_or("-"),
            n("fetched"),
            n("inserted"),
            n("updated"),
            unchanged(row),
            n("dlq"),
            row["status"].as_str().unwrap_or("-"),
            if row["tied"] == Value::Bool(true) { "" } else { ", NOT TIED" },
        ));
    }

    pub(crate) fn comparison(&self, comparison: &Comparison) {
        self.line(&format!("\n{comparison}"));
        self.line("\ndead letters by first reason:");
        for (code, count) in &comparison.by_code {
            self.line(&format!("               {count:>8}   {code}"));
        }
    }

    pub(crate) fn addresses(&self, system: &System, env: &Path) {
        let at = |name: &str| system.address(name).map_or_else(String::new, |at| at.to_string());
        let configuration = system.configuration();
        self.line(&format!(
            "\nLook around; the data goes on changing, with a batch every minute, until Ctrl-C:

  first     . {env}   (in another shell of this folder)
  tables    psql -c 'select nama, status_aktif, kode_wilayah from sdmk.person limit 10'
            psql -x -c 'select * from audit.batch order by started_at desc limit 1'
  console   sisdmk batches --config {config}
            sisdmk dlq list --config {config}
  metrics   http://{producer}/metrics  http://{processor}/metrics  http://{sink}/metrics
            (producer, processor, sink)
  health    http://{producer}/readyz?verbose  (and the other two)
  source    http://{simulator}/_control/summary
  Kafka     {kafka}
  registry  {registry}/subjects
  consumer  README.md says how: Consume sisdmk.clean from another program
  logs      {logs}
",
            env = env.display(),
            config = configuration.display(),
            producer = at("producer"),
            processor = at("processor"),
            sink = at("sink"),
            simulator = at("simulator"),
            kafka = system.stack.bootstrap_servers(),
            registry = system.stack.registry_url(),
            logs = system.dir().join("logs").display(),
        ));
        if let Some(connect) = system.stack.connect_url() {
            let postgres = system.stack.postgres_url();
            let (server, _) = postgres.rsplit_once('/').unwrap_or((&postgres, ""));
            self.line(&format!(
                "  Connect   {connect}/connectors/sisdmk-clean-to-postgres/status
            PGPASSWORD=$(cat {password}) psql {server}/{DATABASE}
            select nama, status_aktif, kode_wilayah from sdmk_worker limit 10;
",
                password = system.stack.postgres_password_file().display(),
            ));
        }
    }
}

/// `audit.batch.dlq_by_code`, the most frequent first.
fn by_code(row: &Value) -> Vec<(String, i64)> {
    let mut codes: Vec<(String, i64)> = row["dlq_by_code"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(code, count)| (code.clone(), count.as_i64().unwrap_or(0)))
        .collect();
    codes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    codes
}

/// Postgres' `00:01:02.615254` as `1 min 3 s`, and less than a minute as `2.6 s`; anything else as it is.
fn span(interval: &str) -> String {
    let parts: Vec<f64> = interval.split(':').filter_map(|part| part.parse().ok()).collect();
    let [hours, minutes, seconds] = parts[..] else { return interval.to_owned() };
    match hours * 60.0 + minutes {
        0.0 => format!("{seconds:.1} s"),
        minutes => format!("{minutes} min {seconds:.0} s"),
    }
}

/// `20000` as `20,000`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn count_signed(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", count(number.unsigned_abs()))
}

/// Records that changed no row, wherever that was noticed.
fn unchanged(row: &Value) -> String {
    let names = ["processor_equal", "processor_stale", "sink_equal", "sink_stale", "superseded"];
    count_signed(names.iter().map(|name| row[*name].as_i64().unwrap_or(0)).sum())
}

/// Records that the processor found to be no news.
fn known(row: &Value) -> String {
    let n = |name: &str| row[name].as_i64().unwrap_or(0);
    count_signed(n("processor_equal") + n("processor_stale"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_as_people_say_them() {
        for (interval, text) in
            [("00:00:02.615254", "2.6 s"), ("00:01:02.9", "1 min 3 s"), ("1 day", "1 day"), ("-", "-")]
        {
            assert_eq!(span(interval), text);
        }
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        assert_eq!(count_signed(-1_500), "-1,500");
    }
}
