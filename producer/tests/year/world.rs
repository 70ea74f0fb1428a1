//! The source: its rows, its weather, its answers. And the dice.

use producer::cycle::{Arrived, Ask, Fault, FaultKind};
use producer::hold::{HeldPage, Identity, Origin, Row};
use schemas::Timestamp;
use uuid::Uuid;

use crate::{DAY, HOUR, PROVINCES, SECOND};

/// Numbers that are the same for the same seed (xorshift64*).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: i64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bound = u64::try_from(bound).expect("a positive bound");
        i64::try_from((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound).expect("below the bound")
    }

    pub(crate) fn one_in(&mut self, bound: i64) -> bool {
        self.below(bound) == 0
    }

    /// A span of whole seconds.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low) / SECOND) * SECOND
    }

    pub(crate) fn place<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(i64::try_from(of.len()).expect("short"))).expect("small")]
    }
}

/// How the source is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Weather {
    Fine,
    Down,
    Flaky,
    Html(&'static str),
    Refusing,
    ClockApart,
    /// Of this province each pass leaves out another row, and the total may be one too many.
    Shifting(&'static str, u64),
}

/// Bytes of a record: the row's number, and its stamp.
pub(crate) const RECORD_BYTES: usize = 9;

/// What a record says: its row, and the stamp with which it was given out.
pub(crate) fn read(record: &[u8]) -> (u8, i64) {
    let (row, stamp) = record.split_first().expect("a record");
    (*row, i64::from_be_bytes(stamp.try_into().expect("a stamp")))
}

/// A row of the source.
pub(crate) struct SourceRow {
    pub(crate) province: &'static str,
    pub(crate) stamp: i64,
}

/// Everything outside the producer.
pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) now: i64,
    pub(crate) rows: Vec<SourceRow>,
    pub(crate) weather: Weather,
    pub(crate) weather_until: i64,
    /// Number of the token in the file; the source refuses those below `good_token`.
    pub(crate) token_file: u32,
    pub(crate) good_token: u32,
    /// When somebody puts a good token into the file.
    pub(crate) new_token_at: Option<i64>,
    pub(crate) webhook_down_until: i64,
    /// Passes over a province that shifts; and which row the present one leaves out, and what is added to the total.
    pub(crate) passes: usize,
    pub(crate) left_out: Option<(&'static str, u8, u64)>,
}

impl World {
    /// Time goes by, and with it the weather and the rows.
    pub(crate) fn pass(&mut self, until: i64) {
        while self.now < until {
            self.now = until.min(self.weather_until.max(self.now + 1)).min(self.now + HOUR);
            if self.chance.one_in(4) {
                let count = i64::try_from(self.rows.len()).expect("few");
                let index = usize::try_from(self.chance.below(count)).expect("few");
                self.rows[index].stamp = self.now;
            }
            if self.new_token_at.is_some_and(|at| at <= self.now) {
                (self.token_file, self.new_token_at) = (self.good_token, None);
            }
            if self.now >= self.weather_until {
                self.turn();
            }
        }
    }

    pub(crate) fn turn(&mut self) {
        let (weather, span) = match (self.weather, self.chance.below(6)) {
            (Weather::Fine, 0) => (Weather::Down, self.chance.between(HOUR / 6, 3 * DAY)),
            (Weather::Fine, 1) => (Weather::Flaky, self.chance.between(HOUR, 2 * DAY)),
            (Weather::Fine, 2) => (Weather::Html(self.chance.place(&PROVINCES)), self.chance.between(HOUR, 4 * DAY)),
            (Weather::Fine, 3) => (Weather::ClockApart, self.chance.between(HOUR, DAY)),
            (Weather::Fine, 4) => {
                let (province, over) = (self.chance.place(&PROVINCES), self.chance.place(&[0, 1]));
                (Weather::Shifting(province, over), self.chance.between(HOUR, 2 * DAY))
            }
            // Until somebody puts a new token into the file.
            (Weather::Fine, _) => (Weather::Refusing, SECOND),
            _ => (Weather::Fine, self.chance.between(HOUR, 4 * DAY)),
        };
        (self.weather, self.weather_until) = (weather, self.now + span);
        if weather == Weather::Refusing {
            self.good_token += 1;
            self.new_token_at = Some(self.now + self.chance.between(HOUR, 4 * DAY));
        }
    }

    pub(crate) fn answer(&mut self, ask: &Ask, token: u32) -> Result<Arrived, Fault> {
        let fault = |kind, code| Err(Fault { kind, code, retry_after: None });
        if token < self.good_token {
            return fault(FaultKind::Auth, "http_401");
        }
        match self.weather {
            Weather::Down => return fault(FaultKind::Unreachable, "connect"),
            Weather::Flaky if self.chance.one_in(3) => return fault(FaultKind::Unreachable, "http_5xx"),
            Weather::Html(province) if province == ask.region.as_str() => return fault(FaultKind::Format, "html"),
            _ => {}
        }
        let mut rows: Vec<(u8, i64)> = (0..)
            .zip(&self.rows)
            .filter(|(_, row)| row.province == ask.region.as_str())
            .filter(|(_, row)| ask.since.is_none_or(|since| row.stamp >= since.0))
            .map(|(id, row)| (id, row.stamp))
            .collect();
        let mut total = u64::try_from(rows.len()).expect("few");
        // For a whole pass: else two passes could miss the same row by chance, and then the producer believes them.
        if ask.page == 1 {
            self.left_out = match self.weather {
                Weather::Shifting(province, over) if province == ask.region.as_str() && !rows.is_empty() => {
                    self.passes += 1;
                    Some((province, rows[self.passes % rows.len()].0, over))
                }
                _ => self.left_out.filter(|(province, ..)| *province != ask.region.as_str()),
            };
        }
        if let Some((_, row, over)) = self.left_out.filter(|(province, ..)| *province == ask.region.as_str()) {
            rows.retain(|(id, _)| *id != row);
            total += over;
        }
        let limit = usize::try_from(ask.limit.expect("a limit")).expect("small");
        let first = usize::try_from(ask.page - 1).expect("small") * limit;
        let given: Vec<(u8, i64)> = rows.iter().skip(first).take(limit).copied().collect();
        let body: Vec<u8> =
            given.iter().flat_map(|(id, stamp)| std::iter::once(*id).chain(stamp.to_be_bytes())).collect();
        let place = |at: usize| at * RECORD_BYTES..(at + 1) * RECORD_BYTES;
        let held =
            (0..).zip(&given).filter_map(|(at, (id, _))| Row::new(&place(at), Identity::bytes(&[*id]))).collect();
        let origin = Origin { request_id: Uuid::nil(), traceparent: String::new(), fetched_at: Timestamp(self.now) };
        let highest = given.iter().map(|(_, stamp)| Timestamp(*stamp)).max();
        let page = HeldPage::new(body, held, origin, highest);
        Ok(Arrived { page, total: Some(total), next: None, source_time: Timestamp(self.now) })
    }
}
