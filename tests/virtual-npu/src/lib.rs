//! A virtual NPU beneath the real XRT: preloaded, it answers what a process asks of the driver `amdxdna`.
//!
//! It takes the place of `ioctl`, `mmap` and `open` of the C library, for descriptors of `/dev/accel/accel*` only. Commands are carried out
//! by the executor of `kernels/npu`, so that what comes out is what the kernels' arithmetic makes. It proves layouts, kinds of
//! buffers, lifetimes and order. It proves nothing of kernels on silicon, of caches, or of time.
//!
//! Set from outside: `AMANUENSIS_VIRTUAL_NPU_FAULT` (see `faults.rs`), `AMANUENSIS_VIRTUAL_NPU_LOG` (anything: each call to standard error),
//! `AMANUENSIS_VIRTUAL_NPU_ROOT` (a folder with `sys` and `dev/accel`, where they cannot be mounted: paths are rewritten to it).

mod abi;
mod buffers;
mod device;
mod faults;
mod hooks;
mod paths;
