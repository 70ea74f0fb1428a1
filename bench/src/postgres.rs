//! The processes of Postgres: which work for connections, and what those took that have ended.
//!
//! A backend may end between two looks. Its time is then in the postmaster's account of ended children, so the
//! whole is exact; only the share of the background processes is what was seen of them.

use std::collections::BTreeMap;

use crate::proc::{self, Memory, Stat};

/// What a process of Postgres does, by its title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Backend,
    Background,
}

/// Titles of the processes that work for nobody in particular. PostgreSQL 15 to 18; an unknown one counts as a backend.
const BACKGROUND: [&str; 11] = [
    "archiver",
    "autovacuum launcher",
    "autovacuum worker",
    "background writer",
    "checkpointer",
    "io worker",
    "logger",
    "logical replication",
    "startup",
    "walwriter",
    "walsummarizer",
];

/// The role in a title such as `postgres: walwriter`; none while a new process still has its parent's.
fn role(title: &str) -> Option<Role> {
    let own = title.strip_prefix("postgres: ")?;
    let background = BACKGROUND.iter().any(|name| own.starts_with(name));
    Some(if background { Role::Background } else { Role::Backend })
}

/// Clock ticks of one look, cumulative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticks {
    /// Backends, those of the watcher's own connections left out.
    pub(crate) backends: u64,
    /// Background processes and the postmaster.
    pub(crate) background: u64,
}

/// One server, from the first look on.
#[derive(Debug)]
pub(crate) struct Family {
    postmaster: u32,
    /// Backends of the measuring itself.
    excluded: Vec<u32>,
    /// Role and last known ticks of every child ever seen.
    seen: BTreeMap<u32, (Option<Role>, u64)>,
}

impl Family {
    /// The server whose first process this is.
    pub(crate) fn new(postmaster: u32) -> Self {
        Self { postmaster, excluded: Vec::new(), seen: BTreeMap::new() }
    }

    /// Leaves a backend out of the account.
    pub(crate) fn exclude(&mut self, pid: u32) {
        self.excluded.push(pid);
    }

    /// Looks at everybody.
    pub(crate) fn look(&mut self) -> Option<Ticks> {
        let live = proc::children(self.postmaster);
        for pid in &live {
            let Some(stat) = Stat::of(*pid) else { continue };
            let known = self.seen.entry(*pid).or_default();
            known.1 = stat.ticks;
            if known.0.is_none() {
                known.0 = proc::title(*pid).as_deref().and_then(role);
            }
        }
        // After the children: one that ended meanwhile is then in no account twice for longer than one look.
        let postmaster = Stat::of(self.postmaster)?;
        Some(self.account(&live, postmaster))
    }

    fn account(&self, live: &[u32], postmaster: Stat) -> Ticks {
        let sum = |wanted: &dyn Fn(u32, Option<Role>) -> bool| -> u64 {
            self.seen.iter().filter(|(pid, (role, _))| wanted(**pid, *role)).map(|(_, (_, ticks))| ticks).sum()
        };
        let children = sum(&|pid, _| live.contains(&pid)) + postmaster.ended_ticks;
        let background = sum(&|_, role| role == Some(Role::Background));
        let excluded = sum(&|pid, _| self.excluded.contains(&pid));
        Ticks { backends: children.saturating_sub(background + excluded), background: background + postmaster.ticks }
    }

    /// Memory of all processes: what each has for itself, and the shared memory once.
    pub(crate) fn memory(&self) -> u64 {
        let members = proc::children(self.postmaster).into_iter().chain([self.postmaster]);
        let memories: Vec<Memory> = members.filter_map(Memory::of).collect();
        let shared = memories.iter().map(|memory| memory.shared).max().unwrap_or(0);
        memories.iter().map(|memory| memory.private).sum::<u64>() + shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_tell_who_works_for_a_connection() {
        for (title, expected) in [
            ("postgres: checkpointer", Some(Role::Background)),
            ("postgres: walwriter", Some(Role::Background)),
            ("postgres: autovacuum worker sisdmk", Some(Role::Background)),
            ("postgres: demo_sink sisdmk 127.0.0.1(5000) INSERT", Some(Role::Backend)),
            ("postgres: parallel worker for PID 17", Some(Role::Backend)),
            ("/usr/lib/postgresql/15/bin/postgres -D data", None),
        ] {
            assert_eq!(role(title), expected, "{title}");
        }
    }

    #[test]
    fn what_ended_between_two_looks_is_counted_as_a_backend() {
        let mut family = Family::new(1);
        family.exclude(13);
        family.seen = BTreeMap::from([
            (10, (Some(Role::Background), 5)),
            (11, (Some(Role::Backend), 100)),
            (12, (Some(Role::Backend), 40)),
            (13, (Some(Role::Backend), 7)),
            (14, (Some(Role::Background), 3)),
        ]);
        // 12 and 14 have ended: 44 ticks that were seen of them and 6 that nobody saw.
        let postmaster = Stat { parent: 0, ticks: 2, ended_ticks: 40 + 3 + 1 + 6 };
        let ticks = family.account(&[10, 11, 13], postmaster);
        assert_eq!(ticks, Ticks { backends: 100 + 40 + 1 + 6, background: 5 + 3 + 2 });
    }
}
