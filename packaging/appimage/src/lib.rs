//! AppImages of type 2: an ELF program with a squashfs image behind it. The [specification] is short, and this is all of it
//! that concerns whoever makes one: [`pack`] puts the two together, [`elf`] finds the seam again.
//!
//! The program `appimage-runtime` is the ELF part. It shares nothing with the app that it carries.
//!
//! [specification]: https://github.com/AppImage/AppImageSpec/blob/c3d36c3/draft.md

pub mod elf;
mod pack;

pub use pack::{PackError, pack};

/// Bytes 8 to 10 of an AppImage's file, by which it is told from other programs.
pub const MAGIC: &[u8; 3] = b"AI\x02";

/// The section that says where newer versions are found.
pub const UPDATE_INFORMATION: &str = ".upd_info";

/// The section for a signature of the file.
pub const SIGNATURE: &str = ".sha256_sig";

/// The section for the key that the signature was made with.
pub const SIGNATURE_KEY: &str = ".sig_key";
