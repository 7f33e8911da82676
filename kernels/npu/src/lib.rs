//! The encoder as AMD's XDNA2 array computes it: number formats, array design, layer program, instructions, timing.
//!
//! `aie/` holds the kernels of the compute tiles, `host/` what compiles them with an ordinary compiler for the tests. The Rust
//! side knows the same design in numbers: it packs weights as the tiles read them ([`weights`]), writes down what is dispatched
//! ([`program`]), computes it on the CPU with the kernels' numerics ([`execute`]), and predicts how long the array would take
//! ([`timing`]). Nothing here has run on silicon.

pub mod design;
pub mod execute;
pub mod instructions;
pub mod manifest;
pub mod number;
pub mod program;
pub mod timing;
pub mod weights;
