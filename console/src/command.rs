//! The command line: verbs with their flags, read into types. Pure.
//!
//! Flags stand after the verb. A NIK is never an argument: arguments end up in the shell's history
//! and in the list of processes, so one that looks like a NIK is refused before anything else, and
//! without being repeated.

use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use platform::settings::CommonArgs;
use schemas::Timestamp;

use crate::contract::{AUDIT, CLEAN, DLQ, PARTITIONS_MAX, PROCESSOR_GROUP, RAW};

/// Operate SISDMK Stream: set it up, watch batches and dead letters, start and stop pulls.
#[derive(Debug, Parser)]
#[command(
    name = "sisdmk",
    version,
    max_term_width = 100,
    after_help = "Flags stand after the verb: sisdmk batches --limit 5 --config sisdmk.toml\n\
                  Every verb takes --json, which prints one object for programs.\n\
                  Exit codes: 0 done, 1 failed while running, 2 wrong configuration or command line, \
                  3 the surroundings are not as agreed (a server, topic, schema or table)."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make topics, schemas and tables; a second run changes nothing
    Setup(SetupArgs),
    /// Probe every link and say what to do where one is broken
    Doctor,
    /// Check the configuration, the source's profile and the status mapping; connects to nothing
    Validate,
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// List the latest batches, or explain one
    Batches(BatchesArgs),
    /// Show how far each stage has read
    Lag,
    /// Look at dead letters: records that were refused, with the reasons
    #[command(subcommand)]
    Dlq(DlqVerb),
    /// Explain the reasons for which records are refused or marked
    Reasons,
    /// Look at answers and records that could not be published, and try them again
    #[command(subcommand)]
    Quarantine(QuarantineVerb),
    /// Follow a batch, a request or a person from the source's answer to the row
    Trace(TraceArgs),
    /// Ask a running producer for a pull now
    Poll(PollArgs),
    /// Stop scheduled pulls until `resume`
    Pause,
    /// Let scheduled pulls go on, also after refused credentials
    Resume,
    /// Compare the schemas of this program with the registry
    #[command(subcommand)]
    Schema(SchemaVerb),
    /// Look at the source
    #[command(subcommand)]
    Source(SourceVerb),
    /// Set a lost position of a stage
    #[command(subcommand)]
    Offsets(OffsetsVerb),
}

/// Verbs below `source`.
#[derive(Debug, Subcommand)]
pub(crate) enum SourceVerb {
    /// Put one request, with a login where one is needed, and hold its answer against the profile: names and
    /// kinds, never a value
    Probe(ProbeArgs),
}

/// `sisdmk source probe`
#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// The region to ask for: a province (32) or a regency (32.73) [default: the first one configured]
    #[arg(long, value_name = "CODE", value_parser = region_code, conflicts_with = "facility")]
    pub(crate) region: Option<String>,
    /// The facility to ask for, where the source is read by facility [default: the first one of the list]
    #[arg(long, value_name = "CODE")]
    pub(crate) facility: Option<String>,
}

/// Verbs below `offsets`.
#[derive(Debug, Subcommand)]
pub(crate) enum OffsetsVerb {
    /// Accept a gap: go on from another position; recorded in audit.event
    Reset(OffsetsResetArgs),
}

/// `sisdmk offsets reset`
#[derive(Debug, Args)]
pub(crate) struct OffsetsResetArgs {
    /// Whose position: processor (sisdmk.raw), sink (sisdmk.clean) or ledger (sisdmk.audit)
    #[arg(long, value_name = "STAGE")]
    pub(crate) stage: Reader,
    /// Which partition of that topic
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partition: i32,
    /// Where to go on: first (the first record that is there), end (what is still to come), or an offset
    #[arg(long, value_name = "PLACE")]
    pub(crate) to: Goal,
    /// Why, in words for the auditors; never a value of a record
    #[arg(long, value_name = "TEXT", value_parser = cause)]
    pub(crate) reason: String,
    /// Also where the position is not lost: records are then skipped or taken in twice
    #[arg(long)]
    pub(crate) anyway: bool,
}

/// Who reads a topic at a position that can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Reader {
    /// Of sisdmk.raw; its position is Kafka's.
    Processor,
    /// Of sisdmk.clean; its position is in the database.
    Sink,
    /// Of sisdmk.audit; likewise.
    Ledger,
}

impl Reader {
    /// Its name, here and in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Processor => "processor",
            Self::Sink => "sink",
            Self::Ledger => "ledger",
        }
    }

    /// What it reads.
    pub(crate) fn topic(self) -> &'static str {
        match self {
            Self::Processor => RAW,
            Self::Sink => CLEAN,
            Self::Ledger => AUDIT,
        }
    }

    /// The group whose committed position counts; none: the database's does.
    pub(crate) fn group(self) -> Option<&'static str> {
        match self {
            Self::Processor => Some(PROCESSOR_GROUP),
            Self::Sink | Self::Ledger => None,
        }
    }
}

/// Where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The first record that is there.
    First,
    /// What is still to come.
    End,
    /// An offset.
    At(i64),
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "first" => Ok(Self::First),
            "end" => Ok(Self::End),
            number => match number.parse() {
                Ok(offset @ 0..) => Ok(Self::At(offset)),
                _ => Err("expected first, end, or an offset".to_owned()),
            },
        }
    }
}

/// Verbs below `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Show every setting, its value and where it comes from; secrets stay hidden
    Show,
}

/// Verbs below `schema`.
#[derive(Debug, Subcommand)]
pub(crate) enum SchemaVerb {
    /// Say whether the registry holds these schemas, or would accept them
    Check,
    /// Show field by field how these schemas differ from the registry's latest
    Diff,
}

/// Verbs below `dlq`.
#[derive(Debug, Subcommand)]
pub(crate) enum DlqVerb {
    /// List the latest dead letters, newest first
    List(DlqListArgs),
    /// Explain one dead letter; the record itself is shown by field names, kinds and lengths, a NIK masked
    Show(DlqShowArgs),
    /// Count dead letters by reason
    Groups,
}

/// `sisdmk setup`
#[derive(Debug, Args)]
pub(crate) struct SetupArgs {
    /// Partitions of sisdmk.raw, sisdmk.clean and sisdmk.dlq [default: what is there, else 12]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=i64::from(PARTITIONS_MAX)))]
    pub(crate) partitions: Option<i32>,
}

/// `sisdmk batches`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BatchesArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<BatchesVerb>,
    /// How many, newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
}

/// Verbs below `batches`.
#[derive(Debug, Subcommand)]
pub(crate) enum BatchesVerb {
    /// Explain one batch: what was fetched, where each record went, and whether that adds up
    Show(BatchShowArgs),
}

/// `sisdmk batches show`
#[derive(Debug, Args)]
pub(crate) struct BatchShowArgs {
    /// The batch's id, or its first characters as far as they are unmistakable
    #[arg(value_name = "ID", value_parser = batch_prefix)]
    pub(crate) id: String,
}

/// `sisdmk trace`
#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// Id of a request (X-Request-ID), a batch or a person
    #[arg(value_name = "ID")]
    pub(crate) id: uuid::Uuid,
}

/// Verbs below `quarantine`.
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineVerb {
    /// List what is kept, newest first
    List,
    /// Show one object's fields and how it differs from the profile, never a value
    Show(QuarantineArgs),
    /// Read it again with the producer's profile; if it is good now, poll its region from where its slice began
    Retry(QuarantineArgs),
}

/// `sisdmk quarantine show`, `retry`
#[derive(Debug, Args)]
pub(crate) struct QuarantineArgs {
    /// Which, as `quarantine list` prints it
    #[arg(value_name = "BATCH/REQUEST.page", value_parser = quarantine_id)]
    pub(crate) id: String,
}

/// `sisdmk dlq list`
#[derive(Debug, Args)]
pub(crate) struct DlqListArgs {
    /// Only those with this reason, such as nik_length (see `sisdmk reasons`)
    #[arg(long, value_name = "CODE", value_parser = reason_code)]
    pub(crate) code: Option<String>,
    /// Only those of this stage
    #[arg(long, value_name = "STAGE", value_parser = ["processor", "sink"])]
    pub(crate) stage: Option<String>,
    /// How many, newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
}

/// `sisdmk dlq show`
#[derive(Debug, Args)]
pub(crate) struct DlqShowArgs {
    /// Where it is, as `dlq list` prints it: sisdmk.dlq/0/17
    #[arg(value_name = "TOPIC/PARTITION/OFFSET")]
    pub(crate) place: DlqPlace,
}

/// `sisdmk poll`
#[derive(Debug, Args)]
pub(crate) struct PollArgs {
    /// Only this region: a province (32) or a regency (32.73) [default: all configured]
    #[arg(long, value_name = "CODE", value_parser = region_code)]
    pub(crate) region: Option<String>,
    /// Records changed since this time, with its offset: 2026-11-01T00:00:00+07:00
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(crate) since: Option<Timestamp>,
    /// Wait until the pull has ended; exit code 1 unless it is complete
    #[arg(long)]
    pub(crate) wait: bool,
}

/// Coordinates of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DlqPlace {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

impl fmt::Display for DlqPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DLQ}/{}/{}", self.partition, self.offset)
    }
}

impl FromStr for DlqPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("expected {DLQ}/<partition>/<offset>, for example {DLQ}/0/17");
        let mut parts = text.split('/');
        let (Some(DLQ), Some(partition), Some(offset), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(refused());
        };
        let partition: i32 = partition.parse().map_err(|_| refused())?;
        let offset: i64 = offset.parse().map_err(|_| refused())?;
        if partition < 0 || offset < 0 {
            return Err(refused());
        }
        Ok(Self { partition, offset })
    }
}

fn region_code(text: &str) -> Result<String, String> {
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    let good = match text.split_once('.') {
        None => digits(text),
        Some((province, regency)) => digits(province) && digits(regency),
    };
    if good { Ok(text.to_owned()) } else { Err("expected a province such as 32 or a regency such as 32.73".to_owned()) }
}

fn cause(text: &str) -> Result<String, String> {
    let text = text.trim();
    let good = (3..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if good { Ok(text.to_owned()) } else { Err("expected 3 to 200 characters on one line".to_owned()) }
}

fn since(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text)
        .ok_or_else(|| "expected a time with its offset, for example 2026-11-01T00:00:00+07:00".to_owned())
}

fn quarantine_id(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let good = text.split_once('/').is_some_and(|(batch, name)| {
        uuid::Uuid::parse_str(batch).is_ok() && !name.is_empty() && name.bytes().all(plain) && !name.contains("..")
    });
    if good { Ok(text.to_owned()) } else { Err("expected an id as `sisdmk quarantine list` prints it".to_owned()) }
}

fn reason_code(text: &str) -> Result<String, String> {
    if rules::Code::ALL.iter().any(|code| code.as_str() == text) {
        Ok(text.to_owned())
    } else {
        Err("no such reason; `sisdmk reasons` lists them".to_owned())
    }
}

fn batch_prefix(text: &str) -> Result<String, String> {
    let plain = text.to_ascii_lowercase();
    let good = (4..=36).contains(&plain.len()) && plain.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if good {
        Ok(plain)
    } else {
        Err("expected a batch id as `sisdmk batches` prints it, or at least its first 4 characters".to_owned())
    }
}

impl Verb {
    /// The verb's name, as it stands in the JSON output.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Setup(_) => "setup",
            Self::Doctor => "doctor",
            Self::Validate => "validate",
            Self::Config(ConfigVerb::Show) => "config show",
            Self::Batches(BatchesArgs { verb: Some(BatchesVerb::Show(_)), .. }) => "batches show",
            Self::Batches(_) => "batches",
            Self::Lag => "lag",
            Self::Dlq(DlqVerb::List(_)) => "dlq list",
            Self::Dlq(DlqVerb::Show(_)) => "dlq show",
            Self::Dlq(DlqVerb::Groups) => "dlq groups",
            Self::Reasons => "reasons",
            Self::Trace(_) => "trace",
            Self::Quarantine(QuarantineVerb::List) => "quarantine list",
            Self::Quarantine(QuarantineVerb::Show(_)) => "quarantine show",
            Self::Quarantine(QuarantineVerb::Retry(_)) => "quarantine retry",
            Self::Poll(_) => "poll",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Schema(SchemaVerb::Check) => "schema check",
            Self::Schema(SchemaVerb::Diff) => "schema diff",
            Self::Source(SourceVerb::Probe(_)) => "source probe",
            Self::Offsets(OffsetsVerb::Reset(_)) => "offsets reset",
        }
    }
}

/// Whether an argument holds 16 digits in a row, as a NIK does; separators do not hide them.
pub(crate) fn looks_like_nik(argument: &OsString) -> bool {
    let text = argument.to_string_lossy();
    text.split(|c: char| !c.is_ascii_digit()).any(|run| run.len() == 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parsed(line: &str) -> Cli {
        match Cli::try_parse_from(line.split_whitespace()) {
            Ok(cli) => cli,
            Err(error) => panic!("{line}: {error}"),
        }
    }

    #[track_caller]
    fn refused(line: &str) -> String {
        match Cli::try_parse_from(line.split_whitespace()) {
            Ok(_) => panic!("{line} was taken"),
            Err(error) => {
                assert_eq!(error.exit_code(), 2, "{line}");
                error.to_string()
            }
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_its_name_and_takes_the_shared_flags_after_it() {
        let id = "0193a5c8-0000-7000-8000-000000000001";
        let lines = [
            ("setup", "setup --partitions 4"),
            ("doctor", "doctor"),
            ("validate", "validate"),
            ("config show", "config show"),
            ("batches", "batches --limit 3"),
            ("batches show", &format!("batches show {id}")),
            ("lag", "lag"),
            ("dlq list", "dlq list --code nik_length --stage sink --limit 5"),
            ("dlq show", "dlq show sisdmk.dlq/0/17"),
            ("dlq groups", "dlq groups"),
            ("reasons", "reasons"),
            ("trace", &format!("trace {id}")),
            ("quarantine list", "quarantine list"),
            ("quarantine show", &format!("quarantine show {id}/{id}.page")),
            ("quarantine retry", &format!("quarantine retry {id}/{id}.3.record")),
            ("poll", "poll --region 32.73 --since 2026-11-01T00:00:00+07:00 --wait"),
            ("pause", "pause"),
            ("resume", "resume"),
            ("schema check", "schema check"),
            ("schema diff", "schema diff"),
            ("source probe", "source probe --region 32.73"),
            ("source probe", "source probe --facility P3273000001"),
            ("offsets reset", "offsets reset --stage sink --partition 3 --to first --reason retention --anyway"),
        ];
        for (name, line) in lines {
            let cli = parsed(&format!(
                "sisdmk {line} --json --config a.toml --set sink.threads=1 --set sink.listen=127.0.0.1:0"
            ));
            assert_eq!(cli.verb.name(), name);
            assert!(cli.json, "{name}");
            assert_eq!(cli.common.set.len(), 2, "{name}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        refused("sisdmk");
        refused("sisdmk btches");
        refused("sisdmk setup --partitions 0");
        refused("sisdmk setup --partitions 1001");
        refused("sisdmk setup --partitions four");
        refused("sisdmk batches --limit 0");
        refused("sisdmk batches show ../../etc");
        refused("sisdmk batches --limit 3 show 0193a5c8");
        refused("sisdmk dlq list --stage producer");
        assert!(refused("sisdmk dlq list --code nik_lenght").contains("sisdmk reasons"));
        assert!(refused("sisdmk dlq show sisdmk.raw/0/1").contains("sisdmk.dlq/0/17"));
        refused("sisdmk dlq show sisdmk.dlq/0");
        refused("sisdmk dlq show sisdmk.dlq/0/1/2");
        refused("sisdmk dlq show sisdmk.dlq/-1/1");
        refused("sisdmk quarantine show ../../etc/passwd");
        refused("sisdmk quarantine show 0193a5c8-0000-7000-8000-000000000001/../x");
        refused("sisdmk quarantine retry page");
        refused("sisdmk trace 32");
        refused("sisdmk poll --region 3273");
        refused("sisdmk offsets reset --stage producer --partition 0 --to first --reason retention");
        refused("sisdmk offsets reset --stage sink --partition -1 --to first --reason retention");
        refused("sisdmk offsets reset --stage sink --partition 0 --to -1 --reason retention");
        refused("sisdmk offsets reset --stage sink --partition 0 --to somewhere --reason retention");
        refused("sisdmk offsets reset --stage sink --partition 0 --to end");
        refused("sisdmk offsets reset --stage sink --partition 0 --to end --reason x");
        refused("sisdmk poll --region jabar");
        refused("sisdmk poll --since yesterday");
        refused("sisdmk poll --since 2026-11-01T00:00:00");
    }

    #[test]
    fn a_place_is_written_as_it_is_read() {
        let place: DlqPlace = "sisdmk.dlq/3/42".parse().expect("a place");
        assert_eq!((place.partition, place.offset), (3, 42));
        assert_eq!(place.to_string(), "sisdmk.dlq/3/42");
    }

    #[test]
    fn sixteen_digits_are_taken_for_a_nik() {
        let check = |text: &str, expected| {
            assert_eq!(looks_like_nik(&OsString::from(text)), expected, "{text}");
        };
        check("3273011205800001", true);
        check("--nik=3273011205800001", true);
        check("x/3273011205800001/y", true);
        check("32730112058000011", false);
        check("327301120580000", false);
        check("0193a5c8-0000-7000-8000-000000000001", false);
    }
}
