//! The `amanuensis` command.
fn main() {}
