//! When a cycle is due: five cron fields in one time zone, one catch-up after downtime. Pure.

use chrono::{DateTime, FixedOffset, TimeZone as _, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use schemas::Timestamp;
use std::time::Duration;

/// Zones a schedule may be written in. Indonesia keeps no summer time, so an offset is a zone.
const ZONES: [(&str, i32); 4] = [("Asia/Jakarta", 7), ("Asia/Makassar", 8), ("Asia/Jayapura", 9), ("UTC", 0)];

/// A cron expression and its zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Cron,
    zone: FixedOffset,
}

/// Why a schedule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five cron fields.
    #[error("not a cron expression of five fields: {0}")]
    Cron(String),
    /// No such zone.
    #[error("not a time zone: use Asia/Jakarta, Asia/Makassar, Asia/Jayapura, UTC or an offset such as +07:00")]
    Zone,
    /// A day that does not exist, such as 31 February.
    #[error("never due")]
    Never,
}

impl Schedule {
    /// Reads `minute hour day month weekday` and a zone.
    ///
    /// # Errors
    /// What is not understood, or an expression that is never due.
    pub fn parse(cron: &str, zone: &str) -> Result<Self, ScheduleError> {
        let cron = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build()
            .parse(cron)
            .map_err(|error| ScheduleError::Cron(error.to_string()))?;
        let zone = offset(zone).ok_or(ScheduleError::Zone)?;
        let schedule = Self { cron, zone };
        schedule.next_after(Timestamp(0)).ok_or(ScheduleError::Never)?;
        Ok(schedule)
    }

    /// The first due time later than `after`.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_next_occurrence(&self.local(after)?, false).ok()?;
        Some(Timestamp(found.timestamp_micros()))
    }

    /// The last due time not later than `at`.
    fn last_until(&self, at: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_previous_occurrence(&self.local(at)?, true).ok()?;
        Some(Timestamp(found.timestamp_micros()))
    }

    fn local(&self, at: Timestamp) -> Option<DateTime<FixedOffset>> {
        Some(Utc.timestamp_micros(at.0).single()?.with_timezone(&self.zone))
    }
}

fn offset(zone: &str) -> Option<FixedOffset> {
    if let Some((_, hours)) = ZONES.iter().find(|(name, _)| *name == zone) {
        return FixedOffset::east_opt(hours * 3_600);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_once(':')?;
    let two = |text: &str, below: i32| {
        let good = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i32>().ok().filter(|value| good && *value < below)
    };
    FixedOffset::east_opt(sign * (two(hours, 15)? * 3_600 + two(minutes, 60)? * 60))
}

/// What the clock says about the next cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// A cycle starts now and serves this due time; the last one if several were missed.
    Now(Timestamp),
    /// Nothing before this time.
    At(Timestamp),
}

/// Decides on the next scheduled cycle.
///
/// `served`: the due time that the newest scheduled cycle served; none yet: the process's start.
/// `jitter`: how long after its due time a cycle starts, drawn once for each cycle, so that many
/// installations do not ask the source in the same second.
/// However many due times lie between `served` and `now`, one cycle serves them all: there is one
/// catch-up after downtime, and a cycle longer than the interval does not pile up others.
#[must_use]
pub fn due(schedule: &Schedule, served: Timestamp, now: Timestamp, jitter: Duration) -> Option<Due> {
    let jitter_us = i64::try_from(jitter.as_micros()).unwrap_or(i64::MAX);
    let start = |due: Timestamp| Timestamp(due.0.saturating_add(jitter_us));
    let next = schedule.next_after(served)?;
    if start(next) > now {
        return Some(Due::At(start(next)));
    }
    let last = schedule.last_until(now)?;
    Some(Due::Now(last.max(next)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect("a time")
    }

    #[test]
    fn due_times_are_in_the_zone_of_the_schedule() {
        let check = |cron, zone, after, expected| {
            let schedule = Schedule::parse(cron, zone).expect("a schedule");
            assert_eq!(schedule.next_after(at(after)), Some(at(expected)), "{cron} {zone}");
        };
        check("0 */6 * * *", "Asia/Jakarta", "2026-11-23T00:00:00Z", "2026-11-23T05:00:00Z");
        check("0 */6 * * *", "UTC", "2026-11-23T00:00:00Z", "2026-11-23T06:00:00Z");
        check("0 */6 * * *", "+07:00", "2026-11-23T05:00:00Z", "2026-11-23T11:00:00Z");
        check("30 1 * * 1", "Asia/Jayapura", "2026-11-23T00:00:00Z", "2026-11-29T16:30:00Z");
        check("15 4 29 2 *", "-03:30", "2026-11-23T00:00:00Z", "2028-02-29T07:45:00Z");
    }

    #[test]
    fn what_is_not_a_schedule_is_refused() {
        let check = |cron, zone| assert!(Schedule::parse(cron, zone).is_err(), "{cron} {zone}");
        for cron in ["", "0 */6 * *", "0 0 */6 * * *", "61 * * * *", "hello", "0 0 30 2 *"] {
            check(cron, "UTC");
        }
        for zone in ["", "Asia/Tokyo", "7", "+7", "+07:60", "+15:00", "07:00", "+0a:00"] {
            check("0 */6 * * *", zone);
        }
    }

    #[test]
    fn missed_due_times_are_served_by_one_cycle() {
        let schedule = Schedule::parse("0 */6 * * *", "UTC").expect("a schedule");
        let check = |served, now, jitter, expected| {
            let jitter = Duration::from_secs(jitter);
            assert_eq!(due(&schedule, at(served), at(now), jitter), Some(expected), "{served} {now}");
        };
        let (served, next) = ("2026-11-23T00:00:00Z", "2026-11-23T06:00:00Z");
        check(served, "2026-11-23T05:59:59Z", 0, Due::At(at(next)));
        check(served, next, 0, Due::Now(at(next)));
        check(served, next, 90, Due::At(at("2026-11-23T06:01:30Z")));
        check(served, "2026-11-23T06:01:30Z", 90, Due::Now(at(next)));
        // Two days down: one cycle, which serves the last due time.
        check(served, "2026-11-25T07:00:00Z", 0, Due::Now(at("2026-11-25T06:00:00Z")));
        // The clock was set back: nothing is due twice.
        check("2026-11-25T06:00:00Z", "2026-11-23T07:00:00Z", 0, Due::At(at("2026-11-25T12:00:00Z")));
        // A jitter longer than the interval must not make a due time disappear.
        check(served, "2026-11-23T13:00:00Z", 6 * 3_600, Due::Now(at("2026-11-23T12:00:00Z")));
    }

    /// Every due time of some years, told by an arithmetic of its own: the months' lengths and the leap years.
    #[test]
    fn month_ends_and_leap_days_come_when_the_calendar_says_so() {
        let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let length = |year: i64, month: i64| match month {
            2 => 28 + i64::from(leap(year)),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let days = |cron: &str, wanted: &dyn Fn(i64, i64, i64) -> bool| {
            let schedule = Schedule::parse(cron, "Asia/Jayapura").expect("a schedule");
            let mut after = at("2023-12-31T15:00:00Z");
            for year in 2024..=2029 {
                for month in 1..=12 {
                    for day in (1..=length(year, month)).filter(|day| wanted(year, month, *day)) {
                        let expected = at(&format!("{year}-{month:02}-{day:02}T00:30:00+09:00"));
                        assert_eq!(schedule.next_after(after), Some(expected), "{cron}");
                        assert_eq!(schedule.last_until(expected), Some(expected), "{cron}");
                        after = expected;
                    }
                }
            }
        };
        days("30 0 * * *", &|_, _, _| true);
        days("30 0 31 * *", &|_, _, day| day == 31);
        days("30 0 30 * *", &|_, _, day| day == 30);
        days("30 0 29 2 *", &|_, month, day| month == 2 && day == 29);
        days("30 0 L * *", &|year, month, day| day == length(year, month));
        days("30 0 1 1,7 *", &|_, month, day| day == 1 && [1, 7].contains(&month));
    }

    #[test]
    fn years_of_downtime_are_served_by_one_cycle() {
        let schedule = Schedule::parse("0 */6 * * *", "Asia/Jakarta").expect("a schedule");
        let (mut served, now) = (at("2024-02-28T23:00:00Z"), at("2029-03-01T00:10:00Z"));
        let mut cycles = 0;
        while let Some(Due::Now(due)) = due(&schedule, served, now, Duration::from_secs(59)) {
            (served, cycles) = (due, cycles + 1);
        }
        assert_eq!((cycles, served), (1, at("2029-02-28T23:00:00Z")));
    }
}
