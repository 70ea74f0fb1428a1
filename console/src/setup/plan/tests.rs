use super::*;
use crate::contract::DLQ;
use rules::wilayah;

const FINGERPRINT: &str = "00112233aabbccdd";

fn wanted(partitions: Option<i32>) -> Wanted<'static> {
    Wanted { partitions, fingerprint: FINGERPRINT, regions: wilayah::rows() }
}

/// Does what a plan says, on what was found: the model of a faithful edge.
fn done(mut found: Found, plan: &Plan) -> Found {
    for step in &plan.steps {
        match step {
            Step::CreateTopic { topic, partitions } => {
                found.topics.insert(
                    topic.name.to_owned(),
                    FoundTopic {
                        partitions: *partitions,
                        settings: topic
                            .settings
                            .iter()
                            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                            .collect(),
                        ends: (0..*partitions).map(|p| (p, Ends::default())).collect(),
                    },
                );
            }
            Step::SetCompatibility(subject) => {
                found
                    .subjects
                    .entry(subject.name.to_owned())
                    .or_insert(FoundSubject { compatibility: None, schema: FoundSchema::None })
                    .compatibility = Some(subject.compatibility.to_owned());
            }
            Step::Register(subject) => {
                found.subjects.get_mut(subject.name).expect("the rule is set before the schema is registered").schema =
                    FoundSchema::Registered;
            }
            Step::Migrate { .. } => {
                found.database.tables = FoundTables::Current;
                found.database.roles_missing.clear();
            }
            Step::Regions { .. } => {
                found.database.regions =
                    wilayah::rows().iter().map(|row| (row.kode.to_owned(), Region::from(row))).collect();
            }
            Step::WriteFingerprint(fingerprint) => {
                found.state.fingerprint = Some(fingerprint.clone());
            }
            Step::SinkPositions(rows) => found.database.positions.extend(rows.clone()),
            Step::Commit { group, offsets, .. } => {
                found.committed.entry((*group).to_owned()).or_default().extend(offsets.clone());
            }
        }
    }
    found
}

fn set_up(partitions: i32) -> Found {
    let found = Found::default();
    let plan = plan(&found, &wanted(Some(partitions)));
    done(found, &plan)
}

/// Changes one thing of a good system and checks that it is told and that nothing is done.
#[track_caller]
fn check(change: impl FnOnce(&mut Found), place: &str, wanted_value: &str, found_value: &str) {
    let mut found = set_up(4);
    change(&mut found);
    let plan = plan(&found, &wanted(None));
    let difference = plan
        .differences
        .iter()
        .find(|difference| difference.place == place)
        .unwrap_or_else(|| panic!("{place} is not among {:#?}", plan.differences));
    assert_eq!((difference.wanted.as_str(), difference.found.as_str()), (wanted_value, found_value));
    assert!(!difference.remedy.is_empty());
}

#[test]
fn an_empty_world_gets_everything_in_an_order_that_works() {
    let plan = plan(&Found::default(), &wanted(None));
    assert_eq!(plan.differences, []);
    assert_eq!(plan.partitions, PARTITIONS_DEFAULT);
    let codes: Vec<&str> = plan.steps.iter().map(Step::code).collect();
    assert_eq!(
        codes,
        [
            "create_topic",
            "create_topic",
            "create_topic",
            "create_topic",
            "create_topic",
            "set_compatibility",
            "register_schema",
            "set_compatibility",
            "register_schema",
            "migrate",
            "fill_regions",
            "write_fingerprint",
            "write_sink_positions",
            "commit_positions",
            "commit_positions",
        ]
    );
}

#[test]
fn positions_are_0_for_every_partition_of_a_new_topic() {
    let found = set_up(4);
    let zeros: BTreeMap<i32, i64> = (0..4).map(|partition| (partition, 0)).collect();
    assert_eq!(found.committed.get(PROCESSOR_GROUP), Some(&zeros));
    assert_eq!(found.committed.get(SINK_GROUP), Some(&zeros));
    let positions: Vec<(&str, i32, i64)> =
        found.database.positions.iter().map(|((topic, partition), next)| (topic.as_str(), *partition, *next)).collect();
    assert_eq!(positions, [(AUDIT, 0, 0), (CLEAN, 0, 0), (CLEAN, 1, 0), (CLEAN, 2, 0), (CLEAN, 3, 0)]);
}

#[test]
fn a_second_run_finds_nothing_to_do_also_without_remembering_the_number() {
    for asked in [None, Some(4)] {
        let plan = plan(&set_up(4), &wanted(asked));
        assert_eq!((plan.steps, plan.differences), (vec![], vec![]));
    }
}

#[test]
fn a_setup_that_broke_off_anywhere_goes_on_where_it_was() {
    let all = plan(&Found::default(), &wanted(Some(4))).steps;
    for made in 0..all.len() {
        let half = Plan { steps: all.get(..made).expect("in range").to_vec(), ..Plan::default() };
        let found = done(Found::default(), &half);
        let rest = plan(&found, &wanted(Some(4)));
        assert_eq!(rest.differences, [], "after {made} steps");
        assert_eq!(rest.steps.len(), all.len() - made, "after {made} steps");
        assert_eq!(done(found, &rest), set_up(4), "after {made} steps");
    }
}

#[test]
fn positions_that_are_there_stay() {
    let mut found = set_up(4);
    for topic in [RAW, CLEAN] {
        let topic = found.topics.get_mut(topic).expect("a topic");
        topic.ends.insert(2, Ends { first: 5, end: 90 });
    }
    found.committed.entry(PROCESSOR_GROUP.to_owned()).or_default().insert(2, 42);
    found.database.positions.insert((CLEAN.to_owned(), 2), 17);
    let plan = plan(&found, &wanted(None));
    assert_eq!((plan.steps, plan.differences), (vec![], vec![]));
}

#[test]
fn a_new_database_beside_topics_with_records_reads_from_their_first_record() {
    let mut found = set_up(4);
    found.database = FoundDatabase::default();
    let clean = found.topics.get_mut(CLEAN).expect("a topic");
    clean.ends.insert(1, Ends { first: 7, end: 90 });
    let plan = plan(&found, &wanted(None));
    assert_eq!(plan.differences, []);
    let positions = plan.steps.iter().find_map(|step| match step {
        Step::SinkPositions(rows) => Some(rows),
        _ => None,
    });
    assert_eq!(positions.and_then(|rows| rows.get(&(CLEAN.to_owned(), 1))), Some(&7));
}

#[test]
fn the_hint_for_lag_tools_follows_the_sink_s_own_position() {
    let mut found = set_up(4);
    found.committed.remove(SINK_GROUP);
    let clean = found.topics.get_mut(CLEAN).expect("a topic");
    clean.ends.insert(1, Ends { first: 0, end: 90 });
    found.database.positions.insert((CLEAN.to_owned(), 1), 60);
    let plan = plan(&found, &wanted(None));
    assert_eq!(plan.differences, []);
    assert_eq!(
        plan.steps,
        [Step::Commit { group: SINK_GROUP, topic: CLEAN, offsets: [(0, 0), (1, 60), (2, 0), (3, 0)].into() }]
    );
}

#[test]
fn a_topic_that_differs_is_told_setting_by_setting() {
    let topic = |name: &'static str, change: fn(&mut FoundTopic)| {
        move |found: &mut Found| change(found.topics.get_mut(name).expect("a topic"))
    };
    check(topic(DLQ, |topic| topic.partitions = 3), "topic sisdmk.dlq, partitions", "12", "3");
    check(topic(AUDIT, |topic| topic.partitions = 4), "topic sisdmk.audit, partitions", "1", "4");
    check(
        topic(CLEAN, |topic| {
            topic.settings.insert("cleanup.policy".to_owned(), "delete".to_owned());
        }),
        "topic sisdmk.clean, cleanup.policy",
        "compact",
        "delete",
    );
    check(
        topic(RAW, |topic| {
            topic.settings.remove("retention.ms");
        }),
        "topic sisdmk.raw, retention.ms",
        "3196800000",
        "not told by the broker",
    );
}

#[test]
fn another_number_of_partitions_than_asked_for_is_refused() {
    let plan = plan(&set_up(4), &wanted(Some(6)));
    let places: Vec<&str> = plan.differences.iter().map(|difference| difference.place.as_str()).collect();
    for name in [RAW, CLEAN, DLQ] {
        assert!(places.contains(&format!("topic {name}, partitions").as_str()));
    }
}

#[test]
fn a_schema_or_rule_that_differs_is_told() {
    let subject = |change: fn(&mut FoundSubject)| {
        move |found: &mut Found| {
            change(found.subjects.get_mut("sisdmk.clean-value").expect("a subject"));
        }
    };
    check(
        subject(|subject| subject.compatibility = Some("NONE".to_owned())),
        "schema sisdmk.clean-value, compatibility",
        "FULL_TRANSITIVE",
        "NONE",
    );
    check(
        subject(|subject| {
            subject.schema = FoundSchema::MayNotFollow("field nik is missing".to_owned());
        }),
        "schema sisdmk.clean-value",
        "a schema that may follow those in the registry",
        "field nik is missing",
    );
}

#[test]
fn a_schema_that_may_follow_is_registered() {
    let mut found = set_up(4);
    found.subjects.get_mut("sisdmk.audit-value").expect("a subject").schema = FoundSchema::MayFollow;
    let plan = plan(&found, &wanted(None));
    assert_eq!(plan.differences, []);
    assert!(matches!(plan.steps.as_slice(), [Step::Register(subject)] if subject.name == "sisdmk.audit-value"));
}

#[test]
fn another_identity_key_is_refused() {
    let place = "identity key, fingerprint in sisdmk.state";
    check(|found| found.state.fingerprint = Some("ffff".to_owned()), place, FINGERPRINT, "ffff");
    check(
        |found| {
            found.state.fingerprint = None;
            found.state.used = true;
        },
        place,
        FINGERPRINT,
        "none, although a producer has already written its state",
    );
}

#[test]
fn tables_of_another_release_are_refused() {
    check(
        |found| {
            found.database.tables = FoundTables::Foreign("migration 9 is unknown".to_owned());
        },
        "database, tables",
        "those of this program's migrations",
        "migration 9 is unknown",
    );
}

#[test]
fn lost_and_impossible_positions_are_refused() {
    let with_records = |found: &mut Found, topic: &str| {
        let topic = found.topics.get_mut(topic).expect("a topic");
        topic.ends.insert(1, Ends { first: 3, end: 90 });
    };
    check(
        |found| {
            with_records(found, RAW);
            found.committed.get_mut(PROCESSOR_GROUP).expect("a group").remove(&1);
        },
        "position of sisdmk-processor, sisdmk.raw/1",
        "a position",
        "none, although the topic has records",
    );
    check(
        |found| {
            found.committed.get_mut(PROCESSOR_GROUP).expect("a group").insert(1, 91);
        },
        "position of sisdmk-processor, sisdmk.raw/1",
        "at most 0, the topic's end",
        "91",
    );
    check(
        |found| {
            with_records(found, CLEAN);
            found.database.positions.remove(&(CLEAN.to_owned(), 1));
        },
        "table sink.offset, sisdmk.clean/1",
        "a position",
        "none, although the topic has records",
    );
    check(
        |found| {
            found.database.positions.insert((AUDIT.to_owned(), 0), 8);
        },
        "table sink.offset, sisdmk.audit/0",
        "at most 0, the topic's end",
        "8",
    );
}

#[test]
fn regions_are_counted_by_what_happens_to_them() {
    let mut found = set_up(4);
    let regions = &mut found.database.regions;
    regions.remove("32.73");
    regions.get_mut("32").expect("a province").nama = "Jabar".to_owned();
    regions.insert("99".to_owned(), Region::from(&wilayah::rows()[0]));
    let plan = plan(&found, &wanted(None));
    assert_eq!(plan.steps, [Step::Regions { added: 1, changed: 1, removed: 1 }]);
}
