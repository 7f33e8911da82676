//! The encoder on every device, tested alike; and the virtual NPU, started.

pub mod conformance;
pub mod launch;
pub mod model;
