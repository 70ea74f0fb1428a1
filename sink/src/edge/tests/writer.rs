//! Batches against a real server: what is written, what is counted, what is refused.

use std::collections::BTreeMap;

use schemas::version::Stamp;
use schemas::worker::Encoder;
use sqlx::postgres::PgConnection;

use super::people::{NEW_YEAR, Person, SCHEMA_ID, batch};
use super::random::Random;
use super::server::Database;
use crate::batch::{BATCH_ID, Batch, FETCHED_AT};
use crate::edge::writer::{Attempt, DeadLetters, Done, Refused};
use crate::letter::Letter;
use crate::migrations::start_position;
use crate::policy::Fault;
use crate::report::Counts;

const TOPIC: &str = "sisdmk.clean";

/// Keeps what was published; refuses as often as it is told to.
#[derive(Default)]
struct Letters {
    refuse: usize,
    /// Offset, code and raw coordinates of each letter.
    published: Vec<(i64, &'static str, String)>,
}

impl DeadLetters for Letters {
    fn publish(&mut self, letters: &[Letter<'_>]) -> Result<(), Fault> {
        if self.refuse > 0 {
            self.refuse -= 1;
            return Err(Fault::Publish { topic: "sisdmk.dlq", message: "refused".to_owned() });
        }
        self.published.extend(letters.iter().map(|letter| {
            let raw = format!("{}/{}/{}", letter.raw.topic, letter.raw.partition, letter.raw.offset);
            (letter.record.offset, letter.refusal.code(), raw)
        }));
        Ok(())
    }
}

struct Table {
    database: Database,
    sink: PgConnection,
    letters: Letters,
    position: i64,
}

impl Table {
    async fn new() -> Self {
        let mut database = Database::new().await;
        start_position(&mut database.admin, TOPIC, 0, 0).await.expect("a position");
        let sink = database.sink().await;
        Self { database, sink, letters: Letters::default(), position: 0 }
    }

    async fn commit(&mut self, batch: &Batch) -> Result<Done, Fault> {
        let done =
            Attempt::new(TOPIC, 0, batch, SCHEMA_ID, Refused::new()).commit(&mut self.sink, &mut self.letters).await;
        if done.is_ok() {
            self.position = batch.next_position();
        }
        done
    }

    /// Writes records in one transaction; the counts over all its runs.
    async fn write(&mut self, people: &[Person]) -> Counts {
        let batch = batch(self.position, people);
        let done = self.commit(&batch).await.expect("committed");
        sum(&done)
    }

    /// Writes a tombstone.
    async fn bury(&mut self, person: &Person, at: i64) -> Counts {
        let mut batch = Batch::new(self.position);
        tombstone(&mut batch, person, at);
        let done = self.commit(&batch).await.expect("committed");
        sum(&done)
    }

    async fn count(&mut self, table: &str) -> i64 {
        self.database.one(&format!("SELECT count(*) FROM {table}")).await
    }

    async fn name(&mut self, person: &Person) -> String {
        self.database.one(&format!("SELECT nama FROM sdmk.person WHERE person_id = '{}'", person.person_id())).await
    }

    async fn jobs(&mut self, person: &Person) -> String {
        let sql = format!(
            "SELECT coalesce(string_agg(employment_key || '=' || unit, ' ' ORDER BY employment_key), '') FROM sdmk.employment WHERE person_id = '{}'",
            person.person_id()
        );
        self.database.one(&sql).await
    }
}

fn tombstone(batch: &mut Batch, person: &Person, at: i64) {
    let at = schemas::Timestamp(NEW_YEAR + at).to_string();
    let id = uuid::Uuid::from_u128(9).to_string();
    let headers = [(FETCHED_AT, at.as_str()), (BATCH_ID, id.as_str())];
    let headers = headers.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
    batch.push(batch.next_position(), Some(person.key().as_bytes()), None, headers);
}

fn sum(done: &Done) -> Counts {
    done.runs.iter().fold(Counts::default(), |sum, run| Counts {
        clean_in: sum.clean_in + run.counts.clean_in,
        inserted: sum.inserted + run.counts.inserted,
        updated: sum.updated + run.counts.updated,
        deleted: sum.deleted + run.counts.deleted,
        sink_equal: sum.sink_equal + run.counts.sink_equal,
        sink_stale: sum.sink_stale + run.counts.sink_stale,
        superseded: sum.superseded + run.counts.superseded,
        rejected: sum.rejected + run.counts.rejected,
        conflict: sum.conflict + run.counts.conflict,
    })
}

fn people(count: u128) -> Vec<Person> {
    (1..=count).map(Person::new).collect()
}

#[tokio::test]
async fn every_field_arrives_as_it_was() {
    let mut table = Table::new().await;
    let person = Person::new(1).working(&[("U1", "Puskesmas Contoh")]);
    let counts = table.write(std::slice::from_ref(&person)).await;
    assert_eq!((counts.clean_in, counts.inserted), (1, 1));
    let found: serde_json::Value =
        serde_json::from_str(&table.database.one::<String>("SELECT to_jsonb(p)::text FROM sdmk.person p").await)
            .expect("JSON");
    let mut encoder = Encoder::new(SCHEMA_ID);
    let (_, version) = person.encode(&mut encoder);
    let expected = serde_json::json!({
        "last_updated": "2026-01-01T00:00:00+00:00",
        "fetched_at": "2026-01-01T00:00:00.000001+00:00",
        "rules_revision": 1,
        "content_hash": version.content_hash,
        "person_id": person.key(),
        "batch_id": "00000000-0000-0000-0000-000000000001",
        "request_id": "00000000-0000-0000-0000-000000000063",
        "trace_id": "abababababababababababababababab",
        "raw_partition": 3,
        "raw_offset": 41,
        "wilayah_versi": "kemendagri-2025>kemendagri-2025#07ad26f2",
        "nik": "3273015705900001",
        "nama": "Contoh 1",
        "nama_asal": "dr. Contoh 1, Sp.A",
        "gelar_depan": "dr.",
        "gelar_belakang": null,
        "jenis_kelamin": "P",
        "tempat_lahir": "Bandung",
        "tanggal_lahir": "1990-05-17",
        "alamat": "Jl. Contoh No. 1, RT 01 RW 02",
        "status_aktif": "AKTIF",
        "status_aktif_asal": "Aktif",
        "kode_wilayah": "32.73",
        "kode_wilayah_asal": "3273",
        "pendidikan": [{"kode_prodi": null, "prodi": null, "jenjang": "S1", "kode_perti": null, "perguruan_tinggi": null, "tahun_lulus": null, "no_ijazah": "I-\"1\""}],
        "pelatihan": [{"nama": "ACLS", "penyelenggara": null, "tahun": null, "no_sertifikat": null}],
        "warnings": ["region_missing", "jenis_kelamin_unknown"],
        "deleted_at": null,
    });
    assert_eq!(found, expected);
    let job: String =
        table.database.one("SELECT concat_ws('/', employment_key, unit, nip, str_tanggal) FROM sdmk.employment").await;
    assert_eq!(job, "U1/Puskesmas Contoh/199005172015032001/2020-02-29");
}

#[tokio::test]
async fn a_repeated_poll_changes_nothing_and_old_versions_never_come_back() {
    let mut table = Table::new().await;
    let (one, two, three) = (
        Person::new(1).at(10, 11).named("one"),
        Person::new(1).at(20, 21).named("two"),
        Person::new(1).at(30, 31).named("three"),
    );
    // Newest first, then older ones, then all again.
    assert_eq!(table.write(std::slice::from_ref(&three)).await.inserted, 1);
    for old in [&one, &two, &one] {
        assert_eq!(table.write(std::slice::from_ref(old)).await.sink_stale, 1);
    }
    assert_eq!(table.write(&[Person::new(1).at(30, 99).named("three")]).await.sink_equal, 1);
    assert_eq!(table.name(&three).await, "three");
    // The same stamp with other content: the later word of the source wins and is counted.
    let counts = table.write(&[Person::new(1).at(30, 40).named("corrected")]).await;
    assert_eq!((counts.updated, counts.conflict), (1, 1));
    let counts = table.write(&[Person::new(1).at(30, 35).named("in between")]).await;
    assert_eq!((counts.sink_stale, counts.conflict), (1, 1));
    assert_eq!(table.name(&three).await, "corrected");
}

#[tokio::test]
async fn without_stamps_of_the_source_the_same_content_is_equal() {
    let mut table = Table::new().await;
    let fetched = |at: i64, nama: &str| {
        let mut person = Person::new(1).at(at, at).named(nama);
        person.stamp = Stamp::Fetched;
        person
    };
    assert_eq!(table.write(&[fetched(1, "a")]).await.inserted, 1);
    assert_eq!(table.write(&[fetched(2, "a")]).await.sink_equal, 1);
    assert_eq!(table.write(&[fetched(3, "b")]).await.updated, 1);
}

#[tokio::test]
async fn the_newest_of_a_key_in_one_batch_is_written_once() {
    let mut table = Table::new().await;
    let at = |stamp: i64| Person::new(1).at(stamp, stamp).named(&stamp.to_string());
    let counts = table.write(&[at(1), at(3), at(2), Person::new(2)]).await;
    assert_eq!((counts.clean_in, counts.inserted, counts.superseded), (4, 2, 2));
    assert_eq!(table.name(&at(3)).await, "3");
}

#[tokio::test]
async fn jobs_are_those_of_the_newest_state_and_no_others() {
    let mut table = Table::new().await;
    let person = |stamp: i64| Person::new(1).at(stamp, stamp).named(&stamp.to_string());
    let other = Person::new(2).working(&[("A", "elsewhere")]);
    table.write(&[person(1).working(&[("A", "first"), ("B", "second")]), other.clone()]).await;
    assert_eq!(table.jobs(&person(1)).await, "A=first B=second");
    table.write(&[person(2).working(&[("B", "moved"), ("C", "new")])]).await;
    assert_eq!(table.jobs(&person(1)).await, "B=moved C=new");
    // A stale record brings no job back.
    table.write(&[person(1).working(&[("A", "first")])]).await;
    assert_eq!(table.jobs(&person(1)).await, "B=moved C=new");
    // Of a person in one batch twice only the winner's jobs are there.
    table.write(&[person(3).working(&[("D", "beaten")]), person(4).working(&[("E", "kept")])]).await;
    assert_eq!(table.jobs(&person(1)).await, "E=kept");
    table.write(&[person(5)]).await;
    assert_eq!(table.jobs(&person(1)).await, "");
    assert_eq!(table.jobs(&other).await, "A=elsewhere");
}

#[tokio::test]
async fn a_person_goes_and_comes_back() {
    let mut table = Table::new().await;
    let person = Person::new(1).at(10, 10);
    assert_eq!(table.bury(&person, 5).await.sink_stale, 1, "nobody to delete");
    table.write(std::slice::from_ref(&person)).await;
    assert_eq!(table.bury(&person, 9).await.sink_stale, 1, "seen before the record was given out");
    assert_eq!(table.bury(&person, 20).await.deleted, 1);
    assert_eq!(table.bury(&person, 20).await.sink_equal, 1);
    assert_eq!(table.bury(&person, 15).await.sink_stale, 1);
    assert_eq!(table.write(&[Person::new(1).at(12, 15)]).await.sink_stale, 1, "given out before it was seen missing");
    assert_eq!(table.count("sdmk.person WHERE deleted_at IS NULL").await, 0);
    assert_eq!(table.write(&[Person::new(1).at(10, 25)]).await.updated, 1);
    assert_eq!(table.count("sdmk.person WHERE deleted_at IS NULL").await, 1);
}

#[tokio::test]
async fn going_and_coming_back_in_one_batch_ends_like_one_by_one() {
    let mut table = Table::new().await;
    let (gone, back) = (Person::new(1).at(10, 10), Person::new(1).at(30, 30).working(&[("A", "back")]));
    let mut encoder = Encoder::new(SCHEMA_ID);
    let mut batch = Batch::new(0);
    for person in [&gone, &back] {
        let (frame, _) = person.encode(&mut encoder);
        batch.push(batch.next_position(), Some(person.key().as_bytes()), Some(&frame), std::iter::empty());
        if std::ptr::eq(person, &raw const gone) {
            tombstone(&mut batch, person, 20);
        }
    }
    let counts = sum(&table.commit(&batch).await.expect("committed"));
    assert_eq!((counts.clean_in, counts.inserted, counts.deleted, counts.updated), (3, 1, 1, 1));
    assert_eq!(table.count("sdmk.person WHERE deleted_at IS NULL").await, 1);
    assert_eq!(table.jobs(&back).await, "A=back");
}

#[tokio::test]
async fn a_zombie_writes_nothing() {
    let mut table = Table::new().await;
    let late = batch(0, &people(3));
    table.write(&people(5)).await;
    let fault = table.commit(&late).await.expect_err("refused");
    assert_eq!(fault, Fault::PositionMoved { topic: TOPIC.to_owned(), partition: 0, expected: 0 });
    assert_eq!(table.count("sdmk.person").await, 5);
    assert_eq!(table.count("audit.stage_report").await, 1);
    // Nor where there is no position at all.
    let fault =
        Attempt::new(TOPIC, 9, &late, SCHEMA_ID, Refused::new()).commit(&mut table.sink, &mut table.letters).await;
    assert!(matches!(fault, Err(Fault::PositionMoved { partition: 9, .. })));
}

#[tokio::test]
async fn of_two_sinks_with_the_same_batch_one_writes() {
    let mut table = Table::new().await;
    let mut other = table.database.sink().await;
    let batch = batch(0, &people(500));
    let (mut one, mut two) = (
        Attempt::new(TOPIC, 0, &batch, SCHEMA_ID, Refused::new()),
        Attempt::new(TOPIC, 0, &batch, SCHEMA_ID, Refused::new()),
    );
    let mut letters = Letters::default();
    let (left, right) =
        tokio::join!(one.commit(&mut table.sink, &mut table.letters), two.commit(&mut other, &mut letters));
    assert!(left.is_ok() != right.is_ok(), "{left:?} {right:?}");
    assert_eq!(table.count("sdmk.person").await, 500);
    assert_eq!(table.count("audit.stage_report").await, 1);
}

/// Goal: a bad row at the first, a middle and the last place costs itself and nobody else.
#[tokio::test]
async fn a_bad_row_is_set_aside_alone_wherever_it_stands() {
    for bad in [&[0][..], &[249], &[499], &[0, 250, 499], &[7, 8]] {
        let mut table = Table::new().await;
        let mut all = people(500);
        for position in bad {
            // PostgreSQL has no NUL in text: 22021.
            all[*position] = all[*position].clone().named("Contoh\0Rahasia");
        }
        let counts = table.write(&all).await;
        let rejected = i64::try_from(bad.len()).expect("few");
        assert_eq!((counts.clean_in, counts.inserted, counts.rejected), (500, 500 - rejected, rejected), "{bad:?}");
        assert_eq!(table.count("sdmk.person").await, counts.inserted, "counts are the table's");
        let expected: Vec<_> = bad
            .iter()
            .map(|position| (i64::try_from(*position).expect("small"), "row_refused", "sisdmk.raw/3/41".to_owned()))
            .collect();
        assert_eq!(table.letters.published, expected);
    }
}

#[tokio::test]
async fn whatever_postgres_cannot_hold_is_set_aside() {
    let mut table = Table::new().await;
    let infinite = |mut person: Person| {
        person.fetched_at = i64::MAX;
        person
    };
    let mut nul_in_json = Person::new(2);
    nul_in_json.body.pendidikan[0].prodi = Some("a\0b".into());
    let mut endless = Person::new(3);
    endless.body.tanggal_lahir = Some(schemas::Date(i32::MAX));
    let mut long_key = Person::new(4).working(&[("A", "u")]);
    // Too long for a page of the index, also compressed.
    long_key.body.employments[0].employment_key = (0..3_000_u32)
        .map(|n| char::from_u32(0x4e00 + n * 7 % 20_000).expect("a character"))
        .collect::<String>()
        .into();
    let mut twice = Person::new(5).working(&[("A", "u"), ("B", "u")]);
    twice.body.employments[1].employment_key = "A".into();
    let counts = table.write(&[infinite(Person::new(1)), nul_in_json, endless, long_key, twice, Person::new(6)]).await;
    let refused: Vec<_> = table.letters.published.iter().map(|(offset, ..)| *offset).collect();
    // Two jobs with one key are a fault of the writer.
    assert_eq!(refused, [0, 1, 2, 3, 4]);
    assert_eq!((counts.inserted, counts.rejected), (1, 5));
    // Also of one who is known already, with one of the two.
    table.write(&[Person::new(6).at(10, 10).working(&[("A", "u")])]).await;
    let mut twice = Person::new(6).at(20, 20).working(&[("A", "u"), ("B", "v")]);
    twice.body.employments[1].employment_key = "A".into();
    let counts = table.write(&[twice, Person::new(7)]).await;
    assert_eq!((counts.inserted, counts.updated, counts.rejected), (1, 0, 1));
}

/// Goal: of a changed person only those jobs are written that have changed themselves.
/// Method: a row that is written or locked shows another place or another transaction.
#[tokio::test]
async fn jobs_that_stay_as_they_are_are_not_touched() {
    let mut table = Table::new().await;
    let rows = async |table: &mut Table| -> String {
        let sql = "SELECT string_agg(concat_ws(' ', employment_key, ctid, xmin, xmax), '; ' ORDER BY employment_key)
                   FROM sdmk.employment";
        table.database.one(sql).await
    };
    let first = Person::new(1).at(10, 10).working(&[("A", "same"), ("B", "first")]);
    table.write(std::slice::from_ref(&first)).await;
    let before = rows(&mut table).await;
    table.write(&[first.clone().at(20, 20).named("moved house")]).await;
    assert_eq!(rows(&mut table).await, before);
    table.write(&[Person::new(1).at(30, 30).working(&[("A", "same"), ("B", "second")])]).await;
    let after = rows(&mut table).await;
    let job = |rows: &str, number: usize| rows.split("; ").nth(number).expect("two jobs").to_owned();
    assert_eq!(job(&after, 0), job(&before, 0));
    assert_ne!(job(&after, 1), job(&before, 1));
    assert_eq!(table.jobs(&first).await, "A=same B=second");
}

#[tokio::test]
async fn jobs_left_without_their_person_give_way() {
    let mut table = Table::new().await;
    let person = |at| Person::new(1).at(at, at);
    table.write(&[person(1).working(&[("A", "first"), ("B", "second")])]).await;
    table.database.run("DELETE FROM sdmk.person").await;
    let counts = table.write(&[person(1).working(&[("A", "again")]), Person::new(2).working(&[("A", "new")])]).await;
    assert_eq!((counts.inserted, counts.rejected), (2, 0));
    assert_eq!((table.jobs(&person(1)).await.as_str(), table.count("sdmk.employment").await), ("A=again", 2));
    // Beside a row that Postgres refuses before it comes to the jobs.
    table.database.run("DELETE FROM sdmk.person").await;
    let counts = table.write(&[person(1).working(&[("A", "again")]), Person::new(3).named("b\0d")]).await;
    assert_eq!((counts.inserted, counts.rejected), (1, 1));
    assert_eq!(table.jobs(&person(1)).await, "A=again");
}

/// Goal: a person with very many jobs keeps exactly those of the newest state.
/// Method: more than are searched for one by one, of which one goes, one comes and one changes.
#[tokio::test]
async fn very_many_jobs_are_those_of_the_newest_state() {
    let mut table = Table::new().await;
    let names: Vec<String> = (0..60).map(|number| format!("K{number:02}")).collect();
    let names: Vec<&'static str> = names.into_iter().map(|name| &*name.leak()).collect();
    let jobs = |from: usize, to: usize| names[from..to].iter().map(|key| (*key, "unit")).collect::<Vec<_>>();
    table.write(&[Person::new(1).at(1, 1).working(&jobs(0, 50))]).await;
    let mut after = jobs(1, 51);
    after[0].1 = "moved";
    let person = Person::new(1).at(2, 2).working(&after);
    table.write(std::slice::from_ref(&person)).await;
    let expected: Vec<String> = after.iter().map(|(key, unit)| format!("{key}={unit}")).collect();
    assert_eq!(table.jobs(&person).await, expected.join(" "));
}

#[tokio::test]
async fn a_record_beaten_by_a_bad_one_gets_its_chance() {
    let mut table = Table::new().await;
    let counts = table.write(&[Person::new(1).at(1, 1).named("good"), Person::new(1).at(2, 2).named("b\0d")]).await;
    assert_eq!((counts.clean_in, counts.inserted, counts.superseded, counts.rejected), (2, 1, 0, 1));
    assert_eq!(table.name(&Person::new(1)).await, "good");
}

#[tokio::test]
async fn records_that_cannot_be_read_are_set_aside_with_where_they_are() {
    let mut table = Table::new().await;
    let mut encoder = Encoder::new(SCHEMA_ID);
    let mut other_schema = Encoder::new(SCHEMA_ID + 1);
    let person = Person::new(1);
    let good = person.encode(&mut encoder).0;
    let mut batch = Batch::new(0);
    let batch_id = uuid::Uuid::from_u128(5).to_string();
    let headers = || [(BATCH_ID.as_bytes(), Some(batch_id.as_bytes()))].into_iter();
    let key = person.key();
    batch.push(0, Some(key.as_bytes()), Some(&good), headers());
    batch.push(1, Some(key.as_bytes()), Some(b"{}"), headers());
    batch.push(2, Some(key.as_bytes()), Some(&good[..good.len() - 3]), headers());
    batch.push(3, Some(key.as_bytes()), Some(&person.encode(&mut other_schema).0), headers());
    batch.push(4, Some(Person::new(2).key().as_bytes()), Some(&good), headers());
    batch.push(5, None, None, headers());
    let done = table.commit(&batch).await.expect("committed");
    let counts = sum(&done);
    assert_eq!((counts.clean_in, counts.inserted, counts.rejected), (6, 1, 5));
    let codes: Vec<_> =
        table.letters.published.iter().map(|(offset, code, raw)| (*offset, *code, raw.as_str())).collect();
    assert_eq!(
        codes,
        [
            (1, "frame_undecodable", "sisdmk.clean/0/1"),
            (2, "frame_undecodable", "sisdmk.clean/0/2"),
            (3, "frame_undecodable", "sisdmk.clean/0/3"),
            (4, "identity_mismatch", "sisdmk.clean/0/4"),
            (5, "identity_mismatch", "sisdmk.clean/0/5"),
        ]
    );
    // The payload's batch where it can be read, the header's where not.
    let batches: Vec<_> =
        done.runs.iter().map(|run| (run.first_offset, run.next_offset, run.batch_id.as_u128())).collect();
    assert_eq!(batches, [(0, 1, 1), (1, 6, 5)]);
}

#[tokio::test]
async fn nothing_is_committed_before_the_dead_letters_are_safe() {
    let mut table = Table::new().await;
    table.letters.refuse = 1;
    let bad = batch(0, &[Person::new(1), Person::new(2).named("b\0d")]);
    let mut attempt = Attempt::new(TOPIC, 0, &bad, SCHEMA_ID, Refused::new());
    let fault = attempt.commit(&mut table.sink, &mut table.letters).await.expect_err("held");
    assert!(matches!(fault, Fault::Publish { .. }));
    assert_eq!(table.count("sdmk.person").await, 0);
    assert_eq!(table.database.one::<i64>("SELECT next_offset FROM sink.offset").await, 0);
    // The next try knows the bad row already.
    let refused = attempt.into_refused();
    assert_eq!(refused.keys().copied().collect::<Vec<_>>(), [1]);
    Attempt::new(TOPIC, 0, &bad, SCHEMA_ID, refused)
        .commit(&mut table.sink, &mut table.letters)
        .await
        .expect("committed");
    assert_eq!(table.count("sdmk.person").await, 1);
    assert_eq!(table.letters.published.len(), 1);
}

#[tokio::test]
async fn reports_tile_and_their_counts_are_the_table_s() {
    let mut table = Table::new().await;
    let mut expected = BTreeMap::new();
    for round in 0..4_u128 {
        let stamp = i64::try_from(round).expect("small");
        let people: Vec<_> = (0..100)
            .map(|number| {
                Person::new(number * (round + 1) % 150)
                    .at(stamp, stamp)
                    .named(&format!("{number}"))
                    .of(number / 40 + round)
            })
            .collect();
        let counts = table.write(&people).await;
        *expected.entry("inserted").or_insert(0) += counts.inserted;
        *expected.entry("updated").or_insert(0) += counts.updated;
        assert!(counts.ties());
        assert_eq!(table.count("sdmk.person").await, expected["inserted"], "counts are the table's");
    }
    let gaps: i64 = table
        .database
        .one(
            "SELECT count(*) FROM (SELECT first_offset, lag(next_offset, 1, 0::bigint) OVER (ORDER BY first_offset) AS before FROM audit.stage_report) r
             WHERE first_offset <> before",
        )
        .await;
    assert_eq!(gaps, 0);
    let updated: i64 =
        table.database.one("SELECT sum((counts->>'updated')::bigint)::bigint FROM audit.stage_report").await;
    assert_eq!(updated, expected["updated"]);
    let last: i64 = table.database.one("SELECT max(next_offset) FROM audit.stage_report").await;
    assert_eq!(last, table.database.one::<i64>("SELECT next_offset FROM sink.offset").await);
}

/// Goal: whatever order, split and repetition records are delivered in, the same rows are left.
/// Method: random histories of few persons and stamps, written in random batches of two tables.
#[tokio::test]
async fn any_order_of_delivery_leaves_the_same_rows() {
    const SEED: u64 = 0x5157_d31a_90ab_cdef;
    let mut random = Random::new(SEED);
    let mut random = move |below: usize| random.below(below);
    let history: Vec<_> = (0..600)
        .map(|_| {
            let (last_updated, fetched_at) = (random(6), random(6));
            let jobs: &[(&str, &str)] = if random(2) == 0 { &[("A", "a")] } else { &[("A", "b"), ("B", "b")] };
            Person::new(u128::try_from(random(20)).expect("small"))
                .at(i64::try_from(last_updated).expect("small"), i64::try_from(fetched_at).expect("small"))
                .named(["x", "y", "z"][random(3)])
                .working(jobs)
        })
        .collect();
    let mut rows = Vec::new();
    for _ in 0..3 {
        let mut table = Table::new().await;
        let mut delivered = history.clone();
        // Everything twice, shuffled.
        delivered.extend(history.clone());
        for place in (1..delivered.len()).rev() {
            delivered.swap(place, random(place + 1));
        }
        let mut rest = &delivered[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at((1 + random(150)).min(rest.len()));
            assert!(table.write(now).await.ties());
            rest = later;
        }
        // `fetched_at` aside: of equal records it is the first one's.
        let found: String = table
            .database
            .one(
                "SELECT string_agg(concat_ws('/', person_id, last_updated, content_hash,
                    (SELECT string_agg(employment_key || unit, ',' ORDER BY employment_key) FROM sdmk.employment e WHERE e.person_id = p.person_id)), ' ' ORDER BY person_id)
                 FROM sdmk.person p",
            )
            .await;
        rows.push(found);
    }
    assert_eq!(rows[0], rows[1], "seed {SEED:#x}");
    assert_eq!(rows[0], rows[2], "seed {SEED:#x}");
}

/// Goal: a row that somebody else writes between judgement and writing is never overwritten, never
/// doubled, and nobody is blamed for it.
/// Method: the other one's transaction is open while the sink judges, and is committed once the sink
/// waits for it.
#[tokio::test]
async fn a_row_written_between_judgement_and_writing_is_judged_again() {
    for (what, others, then) in [
        // The person was new when it was judged.
        (
            "insert",
            "INSERT INTO sdmk.person SELECT (jsonb_populate_record(p, jsonb_build_object('person_id', '{id}', 'last_updated', '2027-01-01T00:00:00Z'))).* FROM sdmk.person p",
            "sink_stale",
        ),
        // The row was older when it was judged, and is newer now.
        ("newer", "UPDATE sdmk.person SET last_updated = '2027-01-01'", "sink_stale"),
        // The row was there and is gone, by a hand with more rights than the sink has.
        ("gone", "DELETE FROM sdmk.person", "inserted"),
    ] {
        let mut table = Table::new().await;
        table.write(&[Person::new(1)]).await;
        let number = if what == "insert" { 2 } else { 1 };
        let batch = batch(table.position, &[Person::new(number).at(10, 10).named("sink")]);
        let mut other = table.database.login("sisdmk_owner").await;
        let sql = format!("BEGIN; {}", others.replace("{id}", &Person::new(number).key()));
        sqlx::Executor::execute(&mut other, sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.expect(what);

        let Table { database, sink, letters, .. } = &mut table;
        let mut attempt = Attempt::new(TOPIC, 0, &batch, SCHEMA_ID, Refused::new());
        let (fault, ()) = tokio::join!(attempt.commit(sink, letters), async {
            let deadline = platform::clock::Deadline::after(std::time::Duration::from_secs(60));
            let waits =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            while database.one::<i64>(waits).await == 0 {
                assert!(!deadline.passed(), "{what}: the sink does not wait");
            }
            sqlx::Executor::execute(&mut other, "COMMIT").await.expect(what);
        });
        assert!(matches!(fault, Err(Fault::CountsDiffer { .. })), "{what}: {fault:?}");
        assert!(attempt.into_refused().is_empty() && table.letters.published.is_empty(), "{what}");
        assert_eq!(table.count("audit.stage_report").await, 1, "{what}: nothing was written");

        let counts = sum(&table.commit(&batch).await.expect("committed"));
        let found = if counts.sink_stale == 1 { "sink_stale" } else { "inserted" };
        assert_eq!((found, counts.sink_stale + counts.inserted), (then, 1), "{what}");
    }
}

/// Goal: the canary of a refused row is in no error, its causes or its debug form.
#[tokio::test]
async fn a_refused_row_leaves_no_word_of_it_behind() {
    const CANARY: &str = "KENARI";
    let mut table = Table::new().await;
    table.database.run("ALTER TABLE sdmk.person ADD CONSTRAINT nobody_so_named CHECK (nama NOT LIKE 'KENARI%')").await;
    let counts = table.write(&[Person::new(1).named(CANARY), Person::new(2)]).await;
    assert_eq!((counts.inserted, counts.rejected), (1, 1));
    let batch = batch(9_999, &[Person::new(3).named(CANARY)]);
    let attempt = Attempt::new(TOPIC, 0, &batch, SCHEMA_ID, Refused::new());
    drop(attempt);
    table.letters.refuse = 1;
    let bad = super::people::batch(table.position, &[Person::new(4).named(CANARY)]);
    let mut attempt = Attempt::new(TOPIC, 0, &bad, SCHEMA_ID, Refused::new());
    let fault = attempt.commit(&mut table.sink, &mut table.letters).await.expect_err("held");
    let refused = attempt.into_refused();
    let told = format!("{fault} {fault:?} {refused:?} {}", refused[&0].sentence());
    assert!(!told.contains(CANARY) && told.contains("23514") && told.contains("nobody_so_named"), "{told}");
}

#[tokio::test]
async fn faults_of_the_world_write_nothing_and_blame_nobody() {
    let mut table = Table::new().await;
    let batch = batch(0, &people(10));
    table.database.run("ALTER ROLE sisdmk_sink SET default_transaction_read_only = on").await;
    let mut sink = table.database.sink().await;
    sqlx::Executor::execute(&mut sink, "SET default_transaction_read_only = on").await.expect("set");
    let fault = Attempt::new(TOPIC, 0, &batch, SCHEMA_ID, Refused::new())
        .commit(&mut sink, &mut table.letters)
        .await
        .expect_err("read-only");
    assert!(fault.to_string().contains("25006"), "{fault}");
    assert!(crate::edge::postgres::ends_connection(&fault));

    // Somebody holds the position's row for longer than the sink waits.
    let mut holder = table.database.login("sisdmk_owner").await;
    sqlx::Executor::execute(&mut holder, "BEGIN; SELECT 1 FROM sink.offset FOR UPDATE").await.expect("held");
    sqlx::Executor::execute(&mut table.sink, "SET lock_timeout = '100ms'").await.expect("set");
    let fault = table.commit(&batch).await.expect_err("a lock");
    assert!(fault.to_string().contains("55P03"), "{fault}");
    sqlx::Executor::execute(&mut holder, "ROLLBACK").await.expect("let go");

    // The backend is ended under a transaction; a new connection does the same batch.
    table.database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE '%_sink' AND datname = current_database()").await;
    let fault = table.commit(&batch).await.expect_err("terminated");
    assert!(crate::edge::postgres::ends_connection(&fault), "{fault}");
    table.sink = table.database.sink().await;
    assert_eq!(sum(&table.commit(&batch).await.expect("committed")).inserted, 10);
    assert!(table.letters.published.is_empty());
}

/// Goal: the end of a COPY does not wait for the acknowledgement of its last row, which takes 40 ms.
/// Method: many small ones; the fastest would have to be lucky to be below that.
#[tokio::test]
async fn a_small_copy_ends_at_once() {
    let mut database = Database::new().await;
    let mut sink = database.sink().await;
    let mut fastest = std::time::Duration::MAX;
    for _ in 0..20 {
        let watch = platform::clock::Stopwatch::start();
        let mut copy = sink.copy_in_raw("COPY stage_deletion FROM STDIN").await.expect("begun");
        copy.send(&b"1\t01936ad3-0f6a-8abc-8def-0123456789ab\t2026-01-01\n"[..]).await.expect("sent");
        assert_eq!(copy.finish().await.expect("ended"), 1);
        fastest = fastest.min(watch.elapsed());
    }
    assert!(fastest < std::time::Duration::from_millis(20), "the fastest took {fastest:?}");
}
