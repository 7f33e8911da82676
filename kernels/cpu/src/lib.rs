//! SIMD kernels for the CPU: slices in, slices out, no knowledge of models.
//!
//! The best instruction set is found at run time ([`Level`]); `AMANUENSIS_CPU=scalar|avx2|avx512` caps it. Matrix products take their
//! right operand packed once ([`PackedF32`], [`PackedI8`]); both are behind [`WeightMatrix`], so that a model's graph exists
//! once. Work is divided over a persistent [`ThreadPool`].
//!
//! *Shape*: matrices are row-major, `[rows, columns]`. A linear layer's weights are `[n, k]`: `out = a x weights^T`.

mod attention;
mod elementwise;
mod level;
mod matrix;
mod packed_f32;
mod packed_i8;
mod threads;

pub use attention::{Attention, attend_cached};
pub use elementwise::{gelu, layer_norm, softmax};
pub use level::Level;
pub use matrix::{Activations, Epilogue, WeightMatrix};
pub use packed_f32::PackedF32;
pub use packed_i8::PackedI8;
pub use threads::ThreadPool;
