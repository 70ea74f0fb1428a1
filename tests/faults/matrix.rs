//! The fault matrix, row by row: what each stage does under one fault, where no other test has it.

mod clocks;
mod credentials;
mod database;
mod disks;
mod leaders;
mod outages;
mod positions;
mod processes;
