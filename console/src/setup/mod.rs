//! The surroundings: what is there, and what is to be made.

pub(crate) mod plan;
