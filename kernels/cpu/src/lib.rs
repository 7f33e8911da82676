//! SIMD kernels for the CPU: slices in, slices out, no knowledge of models.
