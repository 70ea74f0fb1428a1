//! What the kernel tells about processes: `/proc/<pid>/stat`, `/proc/<pid>/status`, `/proc/stat`.
//!
//! Source: proc(5).

use std::fs;

/// Processor time of a process, in clock ticks; of all its threads, also of those that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Its parent.
    pub(crate) parent: u32,
    /// Its own time, in user and kernel mode.
    pub(crate) ticks: u64,
    /// Time of its children that have ended and were waited for.
    pub(crate) ended_ticks: u64,
}

impl Stat {
    /// Reads a line of `/proc/<pid>/stat`. The name, in brackets, may itself hold blanks and brackets.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.rsplit_once(')')?;
        // From field 3, the state, on.
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            parent: u32::try_from(number(4)?).ok()?,
            ticks: number(14)? + number(15)?,
            ended_ticks: number(16)? + number(17)?,
        })
    }

    /// Of a running process; none once it is gone.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// The most it ever had.
    pub(crate) peak: u64,
    /// What it has now.
    pub(crate) resident: u64,
    /// Of that, what nobody else has.
    pub(crate) private: u64,
    /// Of that, shared memory.
    pub(crate) shared: u64,
}

impl Memory {
    /// Reads `/proc/<pid>/status`. A kernel thread and a dead process have no memory.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
        };
        Some(Self {
            peak: bytes("VmHWM")?,
            resident: bytes("VmRSS")?,
            private: bytes("RssAnon")?,
            shared: bytes("RssShmem")?,
        })
    }

    /// Of a running process.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
    }
}

/// Ticks in which any processor of the machine had work, from the first line of `/proc/stat`.
pub(crate) fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line.split_ascii_whitespace().filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; what follows is counted in user already.
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = fields[..] else { return None };
    Some(user + nice + system + irq + softirq + steal)
}

/// The same of this machine, now.
pub(crate) fn busy_ticks_now() -> Option<u64> {
    busy_ticks(&fs::read_to_string("/proc/stat").ok()?)
}

/// The processes that `pid` has started and that are still there.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    // Each thread has a list of its own.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists: Result<Vec<String>, _> =
        threads.map(|thread| fs::read_to_string(thread.path().join("children"))).collect();
    match lists {
        Ok(lists) => {
            lists.iter().flat_map(|list| list.split_ascii_whitespace()).filter_map(|word| word.parse().ok()).collect()
        }
        // A kernel without these lists, or a thread that ended meanwhile: everybody is asked for the parent.
        Err(_) => fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|child| Stat::of(*child).is_some_and(|stat| stat.parent == pid))
            .collect(),
    }
}

/// The command line of a process, or the title that it has given itself.
pub(crate) fn title(pid: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned())
}

/// Clock ticks in a second.
pub(crate) fn ticks_per_second() -> f64 {
    #[expect(unsafe_code, reason = "sysconf(3) with a constant name")]
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    // It has been 100 on every Linux for twenty years; an error is -1.
    i32::try_from(ticks).ok().filter(|ticks| *ticks > 0).map_or(100.0, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_blanks_and_brackets() {
        let line = "4242 (a (b) c d) S 17 4242 4242 0 -1 4194560 9 8 7 6 1100 220 33 4 20 0 9 0 5 6 7";
        assert_eq!(Stat::parse(line), Some(Stat { parent: 17, ticks: 1_320, ended_ticks: 37 }));
        for broken in ["", "4242 (name", "4242 (name) S 1 2 3", "4242 (n) S x 4242 4242 0 -1 4 9 8 7 6 1 2 3 4"] {
            assert_eq!(Stat::parse(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let text = "Name:\tx\nVmPeak:\t  999 kB\nVmHWM:\t  20 kB\nVmRSS:\t   16 kB\nRssAnon:\t 8 kB\nRssFile:\t 4 kB\nRssShmem:\t 4 kB\n";
        assert_eq!(Memory::parse(text), Some(Memory { peak: 20_480, resident: 16_384, private: 8_192, shared: 4_096 }));
        assert_eq!(Memory::parse("Name:\tkthreadd\nState:\tS\n"), None);
    }

    #[test]
    fn a_waiting_processor_is_not_busy() {
        let text = "cpu  10 1 5 900 70 2 3 4 99 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_ticks(text), Some(25));
        assert_eq!(busy_ticks("intr 5"), None);
    }

    #[test]
    fn the_kernel_tells_about_this_process_and_its_children() {
        let me = std::process::id();
        assert!(Stat::of(me).is_some() && Memory::of(me).is_some_and(|memory| memory.peak >= memory.resident));
        assert!(busy_ticks_now().is_some_and(|ticks| ticks > 0) && ticks_per_second() >= 1.0);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep(1)");
        let deadline = platform::clock::Deadline::after(std::time::Duration::from_secs(20));
        let expected = (true, Some("sleep 60".to_owned()));
        let mut found = (false, None);
        // It has no arguments before it has become the other program.
        while found != expected && !deadline.passed() {
            found = (children(me).contains(&child.id()), title(child.id()));
        }
        child.kill().expect("killed");
        child.wait().expect("reaped");
        assert_eq!(found, expected);
    }
}
