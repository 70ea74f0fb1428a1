//! Three parties judge the same records: these rules, the golden files that people can read, and an oracle in another
//! language (`tests/oracle/`) that was written from the facts alone.

mod cases;
mod catalogue;
mod golden;
mod mutation;
mod oracle;
mod regions;
mod verdict;
