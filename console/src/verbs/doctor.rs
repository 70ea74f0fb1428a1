//! `sisdmk doctor`: every link and every agreement, one line each, with the fix.

use platform::exit::{Failure, sentence};
use platform::kafka::admin::Admin as KafkaAdmin;
use platform::kafka::{Deadline, KafkaConfig};
use platform::settings::Settings;
use serde_json::json;

use crate::edge::admin::Admin;
use crate::edge::kafka::{self, ANSWER_MAX, blocking};
use crate::edge::postgres::{self, As};
use crate::edge::registry::Registry;
use crate::edge::surroundings::{self, fingerprint};
use crate::outcome::{Answer, Outcome, Refusal};
use crate::setup::plan::{Found, FoundTables, Plan, Step, Wanted, plan};
use crate::verbs::validate;
use crate::words::counted;

/// How one probe ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Probe {
    name: &'static str,
    verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// Works; what was seen.
    Good(String),
    /// Does not work: what is wrong, and what to do.
    Bad(String, String),
    /// Cannot be told, and why.
    Unknown(String),
}

impl Probe {
    fn of(name: &'static str, outcome: Result<String, Failure>) -> Self {
        let verdict = match outcome {
            Ok(seen) => Verdict::Good(seen),
            Err(failure) => Verdict::Bad(bare(&failure), failure.hint),
        };
        Self { name, verdict }
    }

    fn unknown(name: &'static str, why: &str) -> Self {
        Self { name, verdict: Verdict::Unknown(why.to_owned()) }
    }

    fn is_bad(&self) -> bool {
        matches!(self.verdict, Verdict::Bad(..))
    }
}

/// The sentence of a failure without its hint.
fn bare(failure: &Failure) -> String {
    let told = sentence(failure);
    told.strip_suffix(failure.hint.as_str()).unwrap_or(&told).trim_end().to_owned()
}

/// Probes every link; what depends on a broken one is not guessed.
pub(crate) async fn run(settings: &Settings) -> Outcome {
    let mut probes = vec![Probe::of(
        "configuration",
        validate::run(settings)
            .map(|_| "complete and consistent".to_owned())
            .map_err(|refusal| (*refusal.failure).hint("`sisdmk validate` lists every fault")),
    )];
    let key = fingerprint(settings);
    probes.push(Probe::of("identity key", key.as_ref().map(|own| format!("fingerprint {own}")).map_err(again)));

    let mut found = Found::default();
    // The database first: its positions must not be newer than the ends of the topics.
    let postgres = look_at_postgres(settings, &mut found).await;
    let registry = look_at_registry(settings, &mut found).await;
    let kafka = look_at_kafka(settings, &mut found);
    probes.push(Probe::of("kafka", kafka.as_ref().map(Clone::clone).map_err(again)));
    probes.push(Probe::of("registry", registry.as_ref().map(Clone::clone).map_err(again)));
    probes.push(Probe::of("postgres", postgres.as_ref().map(Clone::clone).map_err(again)));

    let own = key.unwrap_or_default();
    let agreed = plan(&found, &Wanted { partitions: None, fingerprint: &own, regions: rules::wilayah::rows() });
    let links =
        Links { kafka: kafka.is_ok(), registry: registry.is_ok(), postgres: postgres.is_ok(), key: !own.is_empty() };
    probes.extend(agreements(&agreed, &found, links));
    probes.push(producer(settings).await);
    told(&probes)
}

/// A failure is told in the line of its probe and asked for again by what depends on it.
fn again(failure: &Failure) -> Failure {
    Failure::new(failure.exit, bare(failure)).hint(failure.hint.clone())
}

fn look_at_kafka(settings: &Settings, found: &mut Found) -> Result<String, Failure> {
    let config: KafkaConfig = kafka::config(settings)?;
    let failed = |fault| kafka::failure(settings, &fault);
    let admin = KafkaAdmin::connect(&config).map_err(failed)?;
    let brokers = blocking(|| admin.brokers(Deadline::after(ANSWER_MAX))).map_err(failed)?;
    surroundings::look_at_kafka(settings, &config, &admin, found)?;
    Ok(format!(
        "{} at {}",
        counted(brokers, "broker answers", "brokers answer"),
        settings.text("kafka.bootstrap_servers")
    ))
}

async fn look_at_registry(settings: &Settings, found: &mut Found) -> Result<String, Failure> {
    let registry = Registry::new(settings)?;
    surroundings::look_at_registry(&registry, found).await?;
    Ok(format!("answers at {}", settings.text("registry.url")))
}

async fn look_at_postgres(settings: &Settings, found: &mut Found) -> Result<String, Failure> {
    let mut database = postgres::connect(settings, As::User).await?;
    found.database = surroundings::look_at_database(&mut database).await?;
    Ok("answers".to_owned())
}

/// Which links work, and whether the key could be read.
#[derive(Debug, Clone, Copy)]
struct Links {
    kafka: bool,
    registry: bool,
    postgres: bool,
    key: bool,
}

/// The agreements, judged by what setup would do: a step that is left is as wrong as a difference.
fn agreements(plan: &Plan, found: &Found, links: Links) -> Vec<Probe> {
    let of = |name: &'static str, known: bool, why: &str, place: &[&str], codes: &[&str], good: String| {
        if !known {
            return Probe::unknown(name, why);
        }
        let differences: Vec<_> = plan
            .differences
            .iter()
            .filter(|difference| place.iter().any(|start| difference.place.starts_with(start)))
            .collect();
        if let Some(first) = differences.first() {
            let more = match differences.len() {
                1 => String::new(),
                n => format!(" (and {} more)", n - 1),
            };
            return Probe {
                name,
                verdict: Verdict::Bad(
                    format!("{}: agreed {}, found {}{more}", first.place, first.wanted, first.found),
                    first.remedy.clone(),
                ),
            };
        }
        let steps: Vec<&Step> = plan.steps.iter().filter(|step| codes.contains(&step.code())).collect();
        if steps.is_empty() {
            return Probe { name, verdict: Verdict::Good(good) };
        }
        Probe {
            name,
            verdict: Verdict::Bad(
                format!("{} not done yet", counted(steps.len(), "step of setup is", "steps of setup are")),
                "run `sisdmk setup`".to_owned(),
            ),
        }
    };
    const NO_KAFKA: &str = "Kafka does not answer";
    const NO_DATABASE: &str = "the database cannot be read";
    // Nothing can be read from tables that this program does not know.
    let are_known = !matches!(found.database.tables, FoundTables::Foreign(_));
    vec![
        of(
            "topics",
            links.kafka,
            NO_KAFKA,
            &["topic "],
            &["create_topic"],
            format!("{} topics, {} partitions for records", found.topics.len(), plan.partitions),
        ),
        of(
            "schemas",
            links.registry,
            "the registry does not answer",
            &["schema "],
            &["set_compatibility", "register_schema"],
            "registered, with their rules".to_owned(),
        ),
        of(
            "tables",
            links.postgres,
            NO_DATABASE,
            &["database, tables"],
            &["migrate", "fill_regions"],
            "as this release knows them".to_owned(),
        ),
        of(
            "fingerprint",
            links.kafka && links.key,
            if links.kafka { "the key cannot be read" } else { NO_KAFKA },
            &["identity key"],
            &["write_fingerprint"],
            "the key is the one these records were written with".to_owned(),
        ),
        of(
            "positions",
            links.kafka && links.postgres && are_known,
            match (links.kafka, links.postgres) {
                (false, _) => NO_KAFKA,
                (true, false) => NO_DATABASE,
                (true, true) => "the tables are not those of this release",
            },
            &["position of", "table sink.offset"],
            &["write_sink_positions", "commit_positions"],
            "every partition has one".to_owned(),
        ),
    ]
}

async fn producer(settings: &Settings) -> Probe {
    let status = async { Admin::new(settings).map_err(Refusal::from)?.status().await }.await;
    Probe::of(
        "producer",
        match status {
            Ok(status) => match (status["enabled"].as_bool(), status["stopped_for"].as_str()) {
                (_, Some("auth_failed")) => Err(Failure::runtime("stopped: the source refused the credentials")
                    .hint("put good credentials into their file, or run `sisdmk resume`")),
                (_, Some(why)) => Err(Failure::runtime(format!("stopped: {why}")).hint("run `sisdmk resume`")),
                (Some(false), None) => Ok("running, scheduled pulls are paused".to_owned()),
                _ => Ok("running".to_owned()),
            },
            Err(refusal) => Err(*refusal.failure),
        },
    )
}

fn told(probes: &[Probe]) -> Outcome {
    let width = probes.iter().map(|probe| probe.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut rows = Vec::new();
    for Probe { name, verdict } in probes {
        let (mark, state, said, fix) = match verdict {
            Verdict::Good(seen) => ("ok", "good", seen, ""),
            Verdict::Bad(wrong, fix) => ("NO", "bad", wrong, fix.as_str()),
            Verdict::Unknown(why) => ("? ", "unknown", why, ""),
        };
        // The sentences are ours, and some of them have several lines; here they have one.
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        text.push_str(&format!("{mark}  {name:width$}  {said}\n"));
        if !fix.is_empty() {
            text.push_str(&format!("    {:width$}  to do: {fix}\n", ""));
        }
        rows.push(json!({ "probe": name, "state": state, "text": said, "fix": fix }));
    }
    let bad = probes.iter().filter(|probe| probe.is_bad()).count();
    let result = json!({ "probes": rows });
    if bad == 0 {
        return Ok(Answer::new("everything is as it should be", result).text(text));
    }
    let failure = Failure::environment(format!(
        "{} not as it should be",
        match bad {
            1 => "1 thing is".to_owned(),
            n => format!("{n} things are"),
        }
    ))
    .hint("begin with the first line that says NO; later ones may follow from it");
    Err(Refusal::new("unhealthy", failure).with(result, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Links = Links { kafka: true, registry: true, postgres: true, key: true };

    fn plan_of(found: &Found) -> Plan {
        plan(found, &Wanted { partitions: None, fingerprint: "aa", regions: rules::wilayah::rows() })
    }

    #[test]
    fn before_setup_every_agreement_says_to_run_it() {
        let found = Found::default();
        for probe in agreements(&plan_of(&found), &found, ALL) {
            assert_eq!(
                probe.verdict,
                Verdict::Bad(
                    match &probe.verdict {
                        Verdict::Bad(wrong, _) => wrong.clone(),
                        other => panic!("{}: {other:?}", probe.name),
                    },
                    "run `sisdmk setup`".to_owned()
                )
            );
        }
    }

    #[test]
    fn what_depends_on_a_broken_link_is_not_guessed() {
        let found = Found::default();
        let none = Links { kafka: false, registry: false, postgres: false, key: false };
        for probe in agreements(&plan_of(&found), &found, none) {
            assert!(matches!(probe.verdict, Verdict::Unknown(_)), "{probe:?}");
        }
    }

    #[test]
    fn positions_in_tables_of_another_release_are_not_guessed() {
        let mut found = Found::default();
        found.database.tables = FoundTables::Foreign("migration 9 is of a newer release".to_owned());
        let probes = agreements(&plan_of(&found), &found, ALL);
        let of = |name: &str| probes.iter().find(|probe| probe.name == name).map(|probe| &probe.verdict);
        assert!(matches!(of("tables"), Some(Verdict::Bad(..))));
        assert!(matches!(of("positions"), Some(Verdict::Unknown(_))));
    }

    #[test]
    fn one_line_a_probe_and_one_for_the_fix() {
        let probes = [
            Probe::of("kafka", Ok("1 broker answers".to_owned())),
            Probe::of("registry", Err(Failure::environment("no\n  answer").hint("start it"))),
            Probe::unknown("schemas", "the registry does not answer"),
        ];
        let refusal = told(&probes).expect_err("one is bad");
        assert_eq!(
            refusal.text,
            "ok  kafka     1 broker answers\n\
             NO  registry  no answer\n              to do: start it\n\
             ?   schemas   the registry does not answer\n"
        );
        assert_eq!(refusal.failure.exit.code(), 3);
        assert!(told(&probes[..1]).is_ok());
    }
}
