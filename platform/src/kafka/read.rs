//! Reading a topic to its end, once.

use std::time::Duration;

use super::admin::Admin;
use super::config::KafkaConfig;
use super::consumer::{Consumer, PollEvent};
use super::fault::{FaultKind, KafkaFault};
use super::message::Msg;
use crate::clock::Deadline;

/// Records handed out before the deadline is looked at again.
const RECORDS_PER_POLL: usize = 10_000;
/// How long one poll waits.
const POLL_WAIT: Duration = Duration::from_millis(200);
/// Longest time without a record. A broker that has gone is told after this, and not when everything should have been read.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Hands out every record that a topic holds now, partition by partition in offset order.
///
/// The end is that of [`Admin::watermarks`] at the call: before the first transaction that is open then. So initialise the
/// transactions of the topic's only writer first, and what it has written is before the end.
///
/// # Errors
/// `Timeout` at the deadline, and where nothing has come for 30 s; `Missing` when the topic is not there; whatever is not
/// mended by waiting.
pub fn read_to_end(
    config: &KafkaConfig,
    topic: &str,
    read_committed: bool,
    deadline: Deadline,
    mut each: impl FnMut(&Msg<'_>),
) -> Result<(), KafkaFault> {
    let held = Admin::connect(config)?.watermarks(topic, deadline)?;
    let starts: Vec<(&str, i32, i64)> =
        held.iter().filter(|one| one.low < one.high).map(|one| (topic, one.partition, one.low)).collect();
    if starts.is_empty() {
        return Ok(());
    }
    let consumer = if read_committed { Consumer::manual(config)? } else { Consumer::manual_uncommitted(config)? };
    consumer.assign(&starts)?;
    let short = |consumer: &Consumer| {
        held.iter()
            .any(|one| one.low < one.high && consumer.position(topic, one.partition).is_none_or(|next| next < one.high))
    };
    let mut silent_until = Deadline::after(SILENCE_MAX);
    while short(&consumer) {
        let outcome = consumer.poll(RECORDS_PER_POLL, POLL_WAIT, &mut each);
        if outcome.records > 0 {
            silent_until = Deadline::after(SILENCE_MAX);
        }
        for event in outcome.events {
            match event {
                PollEvent::Fault(fault) if !fault.is_retriable() => return Err(fault),
                PollEvent::PositionLost { topic, partition } => {
                    let message = format!("read {topic}: partition {partition} was cut while it was read");
                    return Err(KafkaFault::new(FaultKind::Retriable, message));
                }
                PollEvent::Fault(_) | PollEvent::Rebalance(_) => {}
            }
        }
        if short(&consumer) && (deadline.passed() || silent_until.passed()) {
            let how = if deadline.passed() {
                "not done at the deadline".to_owned()
            } else {
                format!("nothing has come for {} s", SILENCE_MAX.as_secs())
            };
            return Err(KafkaFault::new(FaultKind::Timeout, format!("read {topic} to its end: {how}")));
        }
    }
    Ok(())
}
