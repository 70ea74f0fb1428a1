//! The version rule in SQL against the one in `schemas`.

use schemas::Timestamp;
use schemas::version::{Outcome, Stamp, Version, compare, compare_held};
use sqlx::Row as _;

use super::random::Random;
use super::server::Database;

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Newer => "updated",
        Outcome::Equal => "sink_equal",
        Outcome::Stale => "sink_stale",
    }
}

/// Goal: both say the same of every pair, in both orders, with and without stamps of the source.
/// Method: all pairs of all small versions at once, more than random ones would meet.
#[tokio::test]
async fn sql_and_rust_agree_on_every_pair_of_versions() {
    let mut database = Database::new().await;
    let mut all = Vec::new();
    for last_updated in 0..3 {
        for fetched_at in 0..3 {
            for rules_revision in 0..2 {
                for content_hash in -1..2 {
                    all.push(Version {
                        last_updated: Timestamp(last_updated),
                        fetched_at: Timestamp(fetched_at),
                        rules_revision,
                        content_hash,
                    });
                }
            }
        }
    }
    let mut pairs = Vec::new();
    for incoming in &all {
        for stored in &all {
            for stamp in [Stamp::Source, Stamp::Fetched] {
                pairs.push((*incoming, *stored, stamp));
            }
        }
    }
    let outcomes = ask(&mut database, &pairs).await;
    assert_eq!(outcomes.len(), pairs.len());
    for ((incoming, stored, stamp), found) in pairs.iter().zip(outcomes) {
        assert_eq!(found, word(compare(incoming, stored, *stamp).outcome), "{incoming:?} on {stored:?}, {stamp:?}");
    }
}

/// The same for random ones: few different values of each field, near and far, so that ties are common.
#[tokio::test]
async fn sql_and_rust_agree_on_random_versions() {
    const SEED: u64 = 0x0bad_5eed_0000_0001;
    let mut random = Random::new(SEED);
    let mut version = || Version {
        last_updated: Timestamp([0, 1, 946_684_800, 4_102_444_800][random.below(4)]),
        fetched_at: Timestamp([0, 2, 1_767_225_600][random.below(3)]),
        rules_revision: [0, 1, i32::MAX][random.below(3)],
        content_hash: [i64::MIN, -1, 0, i64::MAX][random.below(4)],
    };
    let mut database = Database::new().await;
    let versions: Vec<_> = (0..4_000).map(|_| version()).collect();
    let pairs: Vec<_> = versions
        .as_chunks::<2>()
        .0
        .iter()
        .flat_map(|[one, other]| {
            [
                (*one, *other, Stamp::Source),
                (*other, *one, Stamp::Source),
                (*one, *other, Stamp::Fetched),
                (*other, *one, Stamp::Fetched),
            ]
        })
        .collect();
    let outcomes = ask(&mut database, &pairs).await;
    for ((incoming, stored, stamp), found) in pairs.iter().zip(outcomes) {
        let expected = word(compare_held(incoming, stored, None, *stamp).outcome);
        assert_eq!(found, expected, "{incoming:?} on {stored:?}, {stamp:?}, seed {SEED:#x}");
    }
}

async fn ask(database: &mut Database, pairs: &[(Version, Version, Stamp)]) -> Vec<String> {
    fn longs(pairs: &[(Version, Version, Stamp)], of: impl Fn(&(Version, Version, Stamp)) -> i64) -> Vec<i64> {
        pairs.iter().map(of).collect()
    }
    let rows = sqlx::query(
        "SELECT sink.outcome(to_timestamp(a), to_timestamp(b), c::int, d, e, to_timestamp(f), to_timestamp(g), h::int, i, NULL)
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bool[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
         WITH ORDINALITY AS t (a, b, c, d, e, f, g, h, i, n) ORDER BY n",
    )
    .bind(longs(pairs, |(incoming, ..)| incoming.last_updated.0))
    .bind(longs(pairs, |(incoming, ..)| incoming.fetched_at.0))
    .bind(longs(pairs, |(incoming, ..)| incoming.rules_revision.into()))
    .bind(longs(pairs, |(incoming, ..)| incoming.content_hash))
    .bind(pairs.iter().map(|(_, _, stamp)| *stamp == Stamp::Fetched).collect::<Vec<bool>>())
    .bind(longs(pairs, |(_, stored, _)| stored.last_updated.0))
    .bind(longs(pairs, |(_, stored, _)| stored.fetched_at.0))
    .bind(longs(pairs, |(_, stored, _)| stored.rules_revision.into()))
    .bind(longs(pairs, |(_, stored, _)| stored.content_hash))
    .fetch_all(&mut database.admin)
    .await
    .expect("outcomes");
    rows.iter().map(|row| row.get::<String, _>(0)).collect()
}

#[tokio::test]
async fn a_deleted_person_comes_back_only_with_a_record_given_out_later() {
    let mut database = Database::new().await;
    let mut check = async |fetched_at: i64, deleted_at: i64, outcome: &str| {
        let found: String = database
            .one(&format!(
                "SELECT sink.outcome(to_timestamp(9), to_timestamp({fetched_at}), 1, 7, false, to_timestamp(9), to_timestamp(1), 1, 7, to_timestamp({deleted_at}))"
            ))
            .await;
        assert_eq!(found, outcome, "fetched at {fetched_at}, deleted at {deleted_at}");
        let version = |fetched_at| Version {
            last_updated: Timestamp(9),
            fetched_at: Timestamp(fetched_at),
            rules_revision: 1,
            content_hash: 7,
        };
        let judgement = compare_held(&version(fetched_at), &version(1), Some(Timestamp(deleted_at)), Stamp::Source);
        assert_eq!(word(judgement.outcome), outcome, "fetched at {fetched_at}, deleted at {deleted_at}");
    };
    check(4, 5, "sink_stale").await;
    check(5, 5, "sink_stale").await;
    check(6, 5, "updated").await;
}
