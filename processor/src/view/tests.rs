//! The view against a model that keeps whole histories: random ones, with their seed told.

use std::collections::HashMap;

use uuid::Uuid;

use super::*;

fn version(last_updated: i64, fetched_at: i64, rules_revision: i32, content_hash: i64) -> Version {
    Version { last_updated: Timestamp(last_updated), fetched_at: Timestamp(fetched_at), rules_revision, content_hash }
}

fn person(number: u64) -> PersonId {
    PersonId(Uuid::from_u64_pair(number, number))
}

fn state(version: Version) -> Word {
    Word::State { version, stamp: Stamp::Source, province: 32 }
}

#[test]
fn the_first_record_of_a_person_is_a_create_and_the_next_an_update() {
    let mut view = View::default();
    let (first, second) = (version(1, 1, 1, 1), version(2, 2, 1, 2));
    assert_eq!(view.judge(person(1), &first, Stamp::Source).news, News::Newer(Op::Create));
    view.publish(person(1), first, 32);
    // Within the same transaction too.
    assert_eq!(view.judge(person(1), &first, Stamp::Source).news, News::Equal);
    assert_eq!(view.judge(person(1), &second, Stamp::Source).news, News::Newer(Op::Update));
    view.publish(person(1), second, 32);
    assert_eq!(view.judge(person(1), &first, Stamp::Source).news, News::Stale);
    assert!(view.commit(Some(Written { first_offset: 0, last_offset: 1, count: 2 })));
    assert_eq!(view.judge(person(1), &second, Stamp::Source).news, News::Equal);
    let other = Finding { news: News::Newer(Op::Update), conflict: true };
    assert_eq!(view.judge(person(1), &version(2, 3, 1, 9), Stamp::Source), other);
}

#[test]
fn what_was_given_up_is_not_known() {
    let mut view = View::default();
    view.learn(person(1), state(version(1, 1, 1, 1)));
    view.publish(person(1), version(2, 2, 1, 2), 32);
    view.publish(person(2), version(2, 2, 1, 2), 32);
    view.abort();
    assert_eq!(view.judge(person(1), &version(2, 2, 1, 2), Stamp::Source).news, News::Newer(Op::Update));
    assert_eq!(view.judge(person(2), &version(2, 2, 1, 2), Stamp::Source).news, News::Newer(Op::Create));
}

/// As `sink.outcome` and `write_deletions.sql` have it.
#[test]
fn a_deletion_stands_until_the_source_gave_the_person_out_after_it() {
    let mut view = View::default();
    // Alone, as compaction leaves it.
    view.learn(person(1), Word::Gone(Timestamp(20)));
    for (fetched_at, news) in [(19, News::Stale), (20, News::Stale), (21, News::Newer(Op::Create))] {
        let found = view.judge(person(1), &version(99, fetched_at, 1, 1), Stamp::Source);
        assert_eq!(found, Finding { news, conflict: false }, "fetched at {fetched_at}");
    }
    // An older word is no deletion of what came after.
    view.learn(person(1), state(version(5, 30, 1, 1)));
    view.learn(person(1), Word::Gone(Timestamp(29)));
    assert_eq!(view.judge(person(1), &version(5, 30, 1, 1), Stamp::Source).news, News::Equal);
    // Seen missing and given out at the same moment: missing wins.
    view.learn(person(1), Word::Gone(Timestamp(30)));
    assert_eq!(view.judge(person(1), &version(5, 30, 1, 1), Stamp::Source).news, News::Stale);
    // A later deletion moves the line, an earlier one does not move it back.
    view.learn(person(1), Word::Gone(Timestamp(40)));
    view.learn(person(1), Word::Gone(Timestamp(35)));
    assert_eq!(view.judge(person(1), &version(9, 40, 1, 1), Stamp::Source).news, News::Stale);
    assert_eq!(view.judge(person(1), &version(1, 41, 1, 1), Stamp::Source).news, News::Newer(Op::Create));
}

#[test]
fn what_somebody_else_wrote_is_noticed_by_the_offsets() {
    let written = |first_offset, last_offset, count| Some(Written { first_offset, last_offset, count });
    let mut view = View::default();
    view.reached(10);
    assert!(view.commit(written(10, 12, 3)), "right behind what was read");
    assert_eq!((view.next(), view.is_behind(13), view.is_behind(14)), (13, false, false), "and our marker behind it");
    assert!(view.is_behind(15));
    assert!(view.commit(None), "a transaction that wrote nothing here");
    assert!(view.commit(written(14, 14, 1)), "behind our marker");
    assert!(!view.commit(written(17, 17, 1)), "a record and a marker of somebody else before ours");
    assert_eq!(view.next(), 15);
    view.reached(19);
    assert!(!view.is_behind(19) && view.is_behind(20), "what was read to its end has no marker to come");
    assert!(!view.commit(written(20, 20, 1)), "a record at the place of the marker that is not there");
    view.reached(22);
    assert!(!view.commit(written(22, 25, 3)), "a record of somebody else among ours");
    view.reached(21);
    assert_eq!(view.next(), 22, "never back");
}

/// A small generator: what matters is that the same seed gives the same history.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn small(&mut self, sides: u64) -> i64 {
        i64::try_from(self.roll(sides)).expect("small")
    }
}

/// What the topic would hold: every committed word of every person, in order.
#[derive(Default)]
struct Model {
    committed: HashMap<PersonId, Vec<Word>>,
    open: Vec<(PersonId, Word)>,
}

impl Model {
    /// The newest of a person's words, by the rule alone, without the view's code.
    fn stands(&self, person_id: PersonId, with_open: bool) -> Option<(Option<Version>, Timestamp)> {
        let open = self.open.iter().filter(|(person, _)| with_open && *person == person_id).map(|(_, word)| *word);
        let committed = self.committed.get(&person_id).into_iter().flatten().copied();
        let mut stands: Option<(Option<Version>, Timestamp)> = None;
        for word in committed.chain(open) {
            stands = match (stands, word) {
                (None, Word::State { version, .. }) => Some((Some(version), version.fetched_at)),
                (None, Word::Gone(at)) => Some((None, at)),
                (Some((None, at)), Word::State { version, .. }) if version.fetched_at > at => {
                    Some((Some(version), version.fetched_at))
                }
                (Some((Some(old), _)), Word::State { version, stamp, .. })
                    if version::compare(&version, &old, stamp).outcome == Outcome::Newer =>
                {
                    Some((Some(version), version.fetched_at))
                }
                (Some((_, newest)), Word::Gone(at)) if at >= newest => Some((None, at)),
                (stays, _) => stays,
            };
        }
        stands
    }
}

#[test]
fn random_histories_leave_what_the_topic_says() {
    let seeds = (1..=300).map(|seed: u64| seed * 0x9e37_79b9);
    let (mut published, mut dropped, mut aborted) = (0, 0, 0);
    for seed in seeds {
        let mut dice = Dice(seed);
        let (mut view, mut model) = (View::default(), Model::default());
        let mut end = 0;
        for _ in 0..200 {
            let person_id = person(dice.roll(12));
            match dice.roll(10) {
                0 => {
                    // Somebody else writes a tombstone; the view reads it later, as after a rebuild.
                    let word = Word::Gone(Timestamp(dice.small(40)));
                    if model.open.is_empty() {
                        model.committed.entry(person_id).or_default().push(word);
                        view.learn(person_id, word);
                        end += 2;
                        view.reached(end);
                    }
                }
                1 | 2 => {
                    let count = u64::try_from(model.open.len()).expect("few");
                    let first_offset = if view.marker && count > 0 { view.next() + 1 } else { view.next() };
                    let last_offset = first_offset + i64::try_from(count).expect("few") - 1;
                    for (person_id, word) in model.open.drain(..) {
                        model.committed.entry(person_id).or_default().push(word);
                    }
                    let written = (count > 0).then_some(Written { first_offset, last_offset, count });
                    assert!(view.commit(written), "seed {seed}");
                    end = view.next() + i64::from(view.marker);
                }
                3 => {
                    aborted += model.open.len();
                    model.open.clear();
                    view.abort();
                }
                _ => {
                    let stamp = if dice.roll(4) == 0 { Stamp::Fetched } else { Stamp::Source };
                    let revision = i32::try_from(dice.small(2)).expect("small");
                    let version = version(dice.small(6), dice.small(40), revision, dice.small(3));
                    let found = view.judge(person_id, &version, stamp);
                    let op = match model.stands(person_id, true) {
                        None => Some(Op::Create),
                        Some((None, at)) => (version.fetched_at > at).then_some(Op::Create),
                        Some((Some(old), _)) => {
                            (version::compare(&version, &old, stamp).outcome == Outcome::Newer).then_some(Op::Update)
                        }
                    };
                    let news = match found.news {
                        News::Newer(op) => Some(op),
                        News::Equal | News::Stale => None,
                    };
                    assert_eq!(news, op, "seed {seed}");
                    if op.is_some() {
                        published += 1;
                        view.publish(person_id, version, 32);
                        model.open.push((person_id, Word::State { version, stamp, province: 32 }));
                    } else {
                        dropped += 1;
                    }
                }
            }
        }
        view.abort();
        for number in 0..12 {
            let stands = view.table().get(person(number)).map(|state| match state {
                State::Current { version, .. } => (Some(version), version.fetched_at),
                State::Gone { at } => (None, at),
            });
            assert_eq!(stands, model.stands(person(number), false), "seed {seed}, person {number}");
        }
        // A view that is rebuilt from the topic stands where the one that lived through it does.
        let mut rebuilt = View::default();
        for (person_id, words) in &model.committed {
            words.iter().for_each(|word| rebuilt.learn(*person_id, *word));
        }
        for number in 0..12 {
            assert_eq!(rebuilt.table().get(person(number)), view.table().get(person(number)), "seed {seed}");
        }
    }
    assert!(published > 5_000 && dropped > 5_000 && aborted > 500, "{published} {dropped} {aborted}");
}
