//! SIMD kernels for the CPU: slices in, slices out, no knowledge of models.
//!
//! The best instruction set is found at run time ([`Level`]); `AMANUENSIS_CPU=scalar|avx2|avxvnni|avx512|avx512bf16` caps it.
//! Matrix products take their right operand packed once ([`PackedF32`], [`PackedBf16`], [`PackedI8`]); all are behind
//! [`WeightMatrix`], so that a model's graph exists once. Work is divided over a persistent [`ThreadPool`]; what memory it needs
//! is in a [`Workspace`].
//!
//! *Shape*: matrices are row-major, `[rows, columns]`. A linear layer's weights are `[n, k]`: `out = a x weights^T`.

mod attention;
mod dot;
mod elementwise;
mod level;
mod matrix;
mod number;
mod packed_float;
mod packed_i8;
mod threads;
mod vector;
mod words;

pub use attention::{Cached, KeyValueNumber, KeyValues, attend_cached, attend_each};
pub use elementwise::{argmax, gelu, layer_norm, log_sum_exp, softmax};
pub use level::Level;
pub use matrix::{Activations, Epilogue, Norm, WeightMatrix, perceptron};
pub use packed_float::{PackedBf16, PackedF32};
pub use packed_i8::PackedI8;
pub use threads::ThreadPool;
pub use words::{PackedWords, Workspace};

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::Level;

    #[test]
    fn all_of_this_holds_at_every_level() {
        for level in Level::available().map(Level::name) {
            let mut tests = Command::new(std::env::current_exe().expect("a test knows its program"));
            tests.args(["--skip", "at_every_level"]).env("AMANUENSIS_CPU", level);
            let output = tests.output().expect("a program runs twice");
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && printed.contains(" 0 failed"), "{level}: {printed}");
        }
    }
}
