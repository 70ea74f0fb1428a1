//! Roles, grants, and setup that may be run again.

use sqlx::Executor as _;
use sqlx::postgres::PgConnection;

use super::server::Database;
use crate::edge::postgres::answer;
use crate::migrations::{self, MigrationFault, Wilayah};

async fn refused(connection: &mut PgConnection, sql: &'static str) -> String {
    let error = connection.execute(sqlx::raw_sql(sql)).await.err().unwrap_or_else(|| panic!("not refused: {sql}"));
    answer(&error).expect("an answer").sqlstate.to_string()
}

#[tokio::test]
async fn setup_may_be_run_again_and_where_roles_are_there_already() {
    // The roles are the server's: the second database finds those of the first.
    let mut first = Database::new().await;
    let mut second = Database::new().await;
    migrations::run(&mut second.admin).await.expect("again");
    migrations::check(&mut second.admin).await.expect("as it must be");
    let owner: String =
        first.one("SELECT tableowner FROM pg_tables WHERE schemaname = 'sdmk' AND tablename = 'person'").await;
    assert_eq!(owner, "sisdmk_owner");
    let logins: i64 = first.one("SELECT count(*) FROM pg_roles WHERE rolname IN ('sisdmk_owner', 'sisdmk_sink', 'sisdmk_reader', 'sisdmk_auditor') AND NOT rolcanlogin").await;
    assert_eq!(logins, 4);
}

#[tokio::test]
async fn setups_at_the_same_time_do_not_disturb_each_other() {
    let (mut one, mut other) = (Database::empty().await, Database::empty().await);
    let (left, right) = tokio::join!(migrations::run(&mut one.admin), migrations::run(&mut other.admin));
    left.expect("one");
    right.expect("the other");
}

#[tokio::test]
async fn a_start_names_what_is_wrong_with_the_tables() {
    let mut empty = Database::empty().await;
    let found = migrations::check(&mut empty.admin).await;
    assert!(matches!(found, Err(MigrationFault::Missing)), "{found:?}");

    let mut database = Database::new().await;
    database.run("DELETE FROM sink.migration WHERE version = 3").await;
    let found = migrations::check(&mut database.admin).await;
    assert!(matches!(found, Err(MigrationFault::Behind(3))), "{found:?}");
    assert!(found.err().map(|fault| fault.to_string()).unwrap_or_default().contains("sisdmk setup"));
    database.run("INSERT INTO sink.migration (version, description, success, checksum, execution_time) VALUES (99, 'x', true, '', 0)").await;
    let found = migrations::check(&mut database.admin).await;
    assert!(matches!(found, Err(MigrationFault::Ahead(99))), "{found:?}");

    // The sink itself may look.
    let mut database = Database::new().await;
    let mut sink = database.sink().await;
    migrations::check(&mut sink).await.expect("as it must be");
}

#[tokio::test]
async fn every_role_can_do_its_work_and_nothing_else() {
    const DENIED: &str = "42501";
    let mut database = Database::new().await;
    database.run("INSERT INTO sink.offset (topic, partition, next_offset) VALUES ('t', 0, 0)").await;

    let mut sink = database.login("sisdmk_sink").await;
    for sql in [
        "DELETE FROM sdmk.person",
        "TRUNCATE sdmk.person",
        "TRUNCATE sdmk.employment",
        "DELETE FROM audit.event",
        "UPDATE audit.event SET detail = ''",
        "UPDATE audit.stage_report SET counts = '{}'",
        "DELETE FROM audit.batch",
        "INSERT INTO sink.offset (topic, partition, next_offset) VALUES ('t', 1, 0)",
        "DELETE FROM sink.offset",
        "DROP TABLE sdmk.person",
        "CREATE TABLE sdmk.own (a int)",
        "UPDATE sink.migration SET success = false",
    ] {
        assert_eq!(refused(&mut sink, sql).await, DENIED, "{sql}");
    }
    sink.execute("UPDATE sink.offset SET next_offset = 1; DELETE FROM sdmk.employment; SELECT 1 FROM sdmk.person")
        .await
        .expect("the sink's work");

    let mut reader = database.login("sisdmk_reader").await;
    for sql in [
        "SELECT * FROM sdmk.person",
        "SELECT * FROM sdmk.employment",
        "SELECT * FROM audit.event",
        "SELECT * FROM sink.offset",
        "UPDATE audit.batch SET tied = true",
    ] {
        assert_eq!(refused(&mut reader, sql).await, DENIED, "{sql}");
    }
    reader
        .execute("SELECT 1 FROM sdmk.person_masked, sdmk.employment_masked, sdmk.wilayah, audit.batch")
        .await
        .expect("the reader's views");

    let mut auditor = database.login("sisdmk_auditor").await;
    for sql in [
        "SELECT 1 FROM sdmk.person",
        "SELECT 1 FROM sdmk.person_masked",
        "INSERT INTO audit.event SELECT * FROM audit.event",
    ] {
        assert_eq!(refused(&mut auditor, sql).await, DENIED, "{sql}");
    }
    auditor
        .execute("SELECT 1 FROM audit.batch, audit.event, audit.stage_report, sink.offset")
        .await
        .expect("the auditor's books");

    let nobody: i64 = database
        .one("SELECT count(*) FROM information_schema.role_table_grants WHERE grantee = 'PUBLIC' AND table_schema IN ('sdmk', 'audit', 'sink')")
        .await;
    assert_eq!(nobody, 0);
}

#[tokio::test]
async fn not_even_the_owner_changes_what_is_on_record() {
    let mut database = Database::new().await;
    database.run("INSERT INTO audit.event (event_id, event_type, occurred_at, payload) VALUES (gen_random_uuid(), 'x', now(), '{}')").await;
    for sql in ["UPDATE audit.event SET detail = ''", "DELETE FROM audit.event", "TRUNCATE audit.event"] {
        assert_eq!(refused(&mut database.admin, sql).await, "42501", "{sql}");
    }
}

#[tokio::test]
async fn the_regions_are_exactly_those_given() {
    let mut database = Database::new().await;
    let west_java =
        Wilayah { kode: "32", kode_bps: Some("32"), tingkat: "provinsi", nama: "Jawa Barat", kode_induk: None };
    let bandung = Wilayah {
        kode: "32.73",
        kode_bps: Some("3273"),
        tingkat: "kota",
        nama: "Kota Bandung",
        kode_induk: Some("32"),
    };
    let list = "SELECT coalesce(string_agg(concat_ws('/', kode, kode_bps, tingkat, nama, kode_induk), ' ' ORDER BY kode), '') FROM sdmk.wilayah";
    for (rows, expected) in [
        (vec![west_java, bandung], "32/32/provinsi/Jawa Barat 32.73/3273/kota/Kota Bandung/32"),
        (vec![bandung, west_java], "32/32/provinsi/Jawa Barat 32.73/3273/kota/Kota Bandung/32"),
        (vec![Wilayah { nama: "Bandung", kode_bps: None, ..bandung }], "32.73/kota/Bandung/32"),
        (vec![], ""),
    ] {
        migrations::fill_wilayah(&mut database.admin, &rows).await.expect("filled");
        assert_eq!(database.one::<String>(list).await, expected);
    }
}

#[tokio::test]
async fn a_starting_position_is_written_once_and_a_reset_tells_where_it_was() {
    let mut database = Database::new().await;
    let admin = &mut database.admin;
    assert!(migrations::start_position(admin, "t", 0, 5).await.expect("written"));
    assert!(!migrations::start_position(admin, "t", 0, 9).await.expect("left as it is"));
    assert_eq!(migrations::reset_position(admin, "t", 0, 7).await.expect("reset"), Some(5));
    assert_eq!(migrations::reset_position(admin, "t", 1, 3).await.expect("reset"), None);
    let positions: String = database
        .one("SELECT string_agg(partition || ':' || next_offset, ' ' ORDER BY partition) FROM sink.offset")
        .await;
    assert_eq!(positions, "0:7 1:3");
}

#[tokio::test]
async fn the_masked_view_shows_no_person() {
    let mut database = Database::new().await;
    database
        .run(
            "INSERT INTO sdmk.person (last_updated, fetched_at, rules_revision, content_hash, person_id, batch_id, request_id, trace_id,
                raw_partition, raw_offset, wilayah_versi, nik, nama, nama_asal, tanggal_lahir, alamat, status_aktif, status_aktif_asal, pendidikan, pelatihan, warnings)
             VALUES (now(), now(), 1, 1, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), '', 0, 0, '', '3273015705900001', 'Contoh Satu',
                'dr. Contoh Satu', '1990-05-17', 'Jl. Contoh', 'AKTIF', 'Aktif', '[{\"no_ijazah\": \"I-1\"}]', '[]', '{}')",
        )
        .await;
    let seen: String = database.one("SELECT to_jsonb(p)::text FROM sdmk.person_masked p").await;
    for hidden in ["Contoh", "05-17", "I-1", "3273015705900001"] {
        assert!(!seen.contains(hidden), "{hidden} is in {seen}");
    }
    for shown in ["\"32************01\"", "\"tahun_lahir\": 1990"] {
        assert!(seen.contains(shown), "{shown} is not in {seen}");
    }
}
