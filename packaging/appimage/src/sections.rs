//! The sections that tools look for in an AppImage, empty: whoever packs or signs one fills them in.
#![allow(unsafe_code)]

// SAFETY: nothing reads these sections as code or data of the program; the name alone is what the attribute changes.
#[used]
#[unsafe(link_section = ".upd_info")]
static UPDATE_INFORMATION: [u8; 1024] = [0; 1024];

// SAFETY: as above.
#[used]
#[unsafe(link_section = ".sha256_sig")]
static SIGNATURE: [u8; 1024] = [0; 1024];

// SAFETY: as above.
#[used]
#[unsafe(link_section = ".sig_key")]
static SIGNATURE_KEY: [u8; 8192] = [0; 8192];

/// Keeps the linker from leaving them out, for it drops what no code mentions.
pub fn keep() {
    std::hint::black_box((&UPDATE_INFORMATION, &SIGNATURE, &SIGNATURE_KEY));
}
