//! What the end-to-end tests and the demonstration share: it starts the real servers, the simulator and the
//! stages as processes, waits for conditions with a deadline, and compares what arrived with the simulator's
//! truth. It holds no test and decides nothing about the product.

pub mod authority;
pub mod breaking;
mod clock;
pub mod compare;
pub mod connect;
pub mod history;
pub mod interrupt;
pub mod kafka_proxy;
pub mod leaders;
pub mod points;
pub mod process;
pub mod proxy;
pub mod rest;
pub mod simulator;
pub mod system;
pub mod tables;
pub mod topics;
pub mod wait;
pub mod webhook;

pub use compare::Comparison;
pub use process::Process;
pub use simulator::{Simulator, SimulatorOptions};
pub use system::{Binaries, Stage, System, SystemOptions};
