//! What is kept and what ends when servers, owners and stacks are killed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use stack::{Server, Stack};

use crate::clients::{create_topic, has_topic, psql, registry};
use crate::{options, processes_of, stack, wait_until};

#[test]
fn two_stacks_run_side_by_side_and_leave_nothing() {
    let starts = [thread::spawn(stack), thread::spawn(stack)];
    let [(mut one, one_dir), (two, two_dir)] = starts.map(|start| start.join().expect("the stack comes up"));
    create_topic(&one, "only-in-one");
    assert!(has_topic(&one, "only-in-one"));
    assert!(!has_topic(&two, "only-in-one"));
    assert_ne!(one.registry_url(), two.registry_url());
    assert_ne!(one.postgres_url(), two.postgres_url());

    one.down().expect("it stops");
    one.down().expect("a second time does nothing");
    assert_eq!(processes_of(one_dir.path()), Vec::<u32>::new());
    assert!(!one_dir.path().join("stack").exists(), "it is discarded");
    assert_eq!(psql(&two, "select 1").as_deref(), Ok("1"), "the other one stays");
    drop(two);
    assert_eq!(processes_of(two_dir.path()), Vec::<u32>::new());
}

#[test]
fn data_survive_the_kill_of_each_server_and_the_next_day() {
    let (mut stack, dir) = stack();
    let schema = r#"{"schema":"{\"type\":\"record\",\"name\":\"R\",\"fields\":[]}"}"#;
    psql(&stack, "create table kept (n int)").expect("created");
    create_topic(&stack, "kept");
    psql(&stack, "insert into kept values (7)").expect("written");
    let (status, answer) = registry(&stack, "POST", "/subjects/kept-value/versions", schema);
    assert_eq!(status, 200, "{answer}");

    // Right after the answers: nothing may be on its way to the disk only.
    for server in [Server::Registry, Server::Postgres, Server::Kafka] {
        let handle = stack.server(server);
        handle.kill();
        assert_eq!((handle.pid(), handle.is_running()), (0, false));
    }
    for server in Server::ALL {
        stack.server(server).start().expect("it starts again");
        assert!(stack.server(server).is_running());
    }
    let check = |stack: &Stack| {
        assert!(has_topic(stack, "kept"));
        let (status, answer) = registry(stack, "GET", "/subjects/kept-value/versions/1", "");
        assert_eq!(status, 200, "{answer}");
        assert_eq!(psql(stack, "select n from kept").as_deref(), Ok("7"));
    };
    check(&stack);

    // A clean stop of each, then of all, and another start in the same directory.
    for server in Server::ALL {
        stack.server(server).stop();
        stack.server(server).start().expect("it starts again");
    }
    check(&stack);
    let mut kept = options(dir.path());
    kept.discard = false;
    drop(stack);
    let stack = Stack::up(kept.clone()).expect("a new stack");
    create_topic(&stack, "kept");
    let addresses = stack.env();
    drop(stack);
    kept.discard = true;
    let stack = Stack::up(kept).expect("the next day");
    assert!(has_topic(&stack, "kept"));
    assert_eq!(stack.env(), addresses, "the addresses stay the same");
}

#[test]
fn kafka_keeps_its_topics_when_its_ports_change() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut options = options(dir.path());
    options.discard = false;
    let stack = Stack::up(options.clone()).expect("it comes up");
    create_topic(&stack, "kept");
    drop(stack);
    // As if another program had taken the ports meanwhile.
    fs::remove_file(dir.path().join("stack/stack.json")).expect("it is there");
    options.discard = true;
    let stack = Stack::up(options).expect("it comes up");
    assert!(has_topic(&stack, "kept"));
}

#[test]
fn a_killed_postgres_with_open_sessions_starts_again_at_once() {
    let (mut stack, dir) = stack();
    psql(&stack, "create table t (n int)").expect("created");
    let sessions: Vec<Child> = (0..3)
        .map(|_| {
            Command::new("psql")
                .args([&stack.postgres_url(), "-w", "-X"])
                .args(["-c", "select pg_sleep(600)"])
                .env("PGPASSFILE", stack.postgres_passfile())
                .stderr(Stdio::null())
                .spawn()
                .expect("psql runs")
        })
        .collect();
    wait_until("the sessions are open", || {
        let open = "select count(*) from pg_stat_activity where query = 'select pg_sleep(600)'";
        psql(&stack, open).as_deref() == Ok("3")
    });
    stack.server(Server::Postgres).kill();
    for mut session in sessions {
        assert!(!session.wait().expect("psql ends").success());
    }
    stack.server(Server::Postgres).start().expect("it starts again");
    assert_eq!(psql(&stack, "select count(*) from t").as_deref(), Ok("0"));
    drop(stack);
    assert_eq!(processes_of(dir.path()), Vec::<u32>::new());
}

#[test]
fn three_brokers_are_one_cluster_and_end_in_order() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut options = options(dir.path());
    (options.kafka_brokers, options.discard) = (3, false);
    let mut stack = Stack::up(options.clone()).expect("it comes up");
    assert_eq!(stack.bootstrap_servers().split(',').count(), 3);
    // Each answers for the cluster of the first one, or it would not count as started.
    stack.server(Server::Kafka3).kill();
    stack.server(Server::Kafka3).start().expect("it starts again");
    for broker in Server::BROKERS {
        assert!(stack.server(broker).is_running(), "{broker}");
    }
    let logs = stack.dir().join("logs");
    stack.down().expect("it stops");
    assert_eq!(processes_of(dir.path()), Vec::<u32>::new());
    let controller = fs::read_to_string(logs.join("kafka.log")).expect("it wrote one");
    for id in [2, 3] {
        // They went while the controller was there to let them go; else they would have been killed after 30 s.
        let words = format!("broker {id} has requested and been granted an immediate shutdown");
        assert!(controller.contains(&words), "{id}: {controller}");
    }
    drop(stack);
    options.kafka_brokers = 1;
    assert_eq!(Stack::up(options).expect_err("its topics want two brokers").exit_code(), 2);
}

#[test]
fn a_paused_server_does_not_answer_and_then_goes_on() {
    let (mut stack, dir) = stack();
    for server in Server::ALL {
        stack.server(server).pause();
    }
    // The answer cannot come; a short wait shows that the silence is real and not slowness.
    assert!(psql(&stack, "select 1").is_err());
    for server in Server::ALL {
        stack.server(server).resume();
    }
    assert_eq!(psql(&stack, "select 1").as_deref(), Ok("1"));
    create_topic(&stack, "later");
    assert_eq!(registry(&stack, "GET", "/subjects", "").0, 200);
    // Stopped while paused: it must not hang.
    stack.server(Server::Postgres).pause();
    stack.server(Server::Kafka).pause();
    drop(stack);
    assert_eq!(processes_of(dir.path()), Vec::<u32>::new());
}

#[test]
fn a_stack_started_on_a_thread_that_ends_stays_up() {
    let (mut stack, _dir) = thread::spawn(stack).join().expect("it comes up");
    // The signals of a dying thread would have been sent before join returned.
    thread::sleep(Duration::from_millis(200));
    for server in Server::ALL {
        assert!(stack.server(server).is_running(), "{server}");
    }
}

#[test]
fn the_password_is_needed_and_only_its_owner_can_read_it() {
    let (stack, _dir) = stack();
    let mode = fs::metadata(stack.postgres_password_file()).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let output = Command::new("psql")
        .args([&stack.postgres_url(), "-w", "-X", "-c", "select 1"])
        .env("PGPASSFILE", "/dev/null")
        .output()
        .expect("psql runs");
    assert!(!output.status.success());
}

#[test]
fn a_directory_that_others_cannot_enter_is_no_obstacle() {
    // As below /root: under root Postgres runs as another user, and its data go elsewhere.
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).expect("closed");
    let mut options = options(dir.path());
    options.discard = false;
    let stack = Stack::up(options.clone()).expect("it comes up");
    psql(&stack, "create table kept (n int)").expect("created");
    drop(stack);
    options.discard = true;
    let stack = Stack::up(options).expect("it comes up again");
    assert_eq!(psql(&stack, "select count(*) from kept").as_deref(), Ok("0"));
    let data = fs::canonicalize(dir.path().join("stack/data/postgres")).expect("it is there");
    drop(stack);
    assert!(!data.exists(), "it is discarded, wherever it was");
}

const OWNER_DIR: &str = "STACK_TEST_OWNER_DIR";

#[test]
fn kill_9_of_the_owner_also_ends_a_paused_postgres() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut owner = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "faults::an_owner_that_pauses_its_servers"])
        .env(OWNER_DIR, dir.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("it runs");
    wait_until("the servers are paused", || dir.path().join("paused").exists());
    owner.kill().expect("it runs");
    owner.wait().expect("it ends");
    wait_until("no process is left", || processes_of(dir.path()).is_empty());
}

/// Not a test by itself: the process that the test above kills.
#[test]
#[expect(clippy::disallowed_methods, reason = "the only way to tell a test binary something")]
fn an_owner_that_pauses_its_servers() {
    let Some(dir) = std::env::var_os(OWNER_DIR) else {
        return;
    };
    let dir = std::path::Path::new(&dir);
    let mut stack = Stack::up(options(dir)).expect("it comes up");
    for server in Server::ALL {
        stack.server(server).pause();
    }
    fs::write(dir.join("paused"), "").expect("written");
    loop {
        thread::park();
    }
}
