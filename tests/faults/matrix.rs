//! The fault matrix, row by row: what each stage does under one fault, where no other test has it.

mod database;
mod positions;
mod processes;
