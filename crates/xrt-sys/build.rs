//! Builds the shim where XRT's headers are: in `AMANUENSIS_XRT_ROOT`, in the cache that `cargo xtask xrt` fills, or in the system.
//!
//! Without headers, or without a C++ compiler, nothing is built and nothing fails: the shim is then looked for at run time.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=shim/shim.cpp");
    println!("cargo:rerun-if-env-changed=AMANUENSIS_XRT_ROOT");
    let Some(root) = roots().into_iter().find(|root| is_recent(root)) else { return };
    println!("cargo:rerun-if-changed={}", header(&root).display());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("libamanuensis_xrt.so");
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let compiled = Command::new(std::env::var_os("CXX").unwrap_or_else(|| "c++".into()))
        .args(["-std=c++17", "-O2", "-shared", "-fPIC", "-Wall", "-Wno-deprecated-declarations", "shim/shim.cpp", "-o"])
        .arg(&out)
        .arg(format!("-I{}", root.join("usr/include").display()))
        .arg(format!("-L{}", libraries.display()))
        // What XRT itself links to is found by whoever loads it. An XRT that lacks a function is found out at once.
        .args(["-lxrt_coreutil", "-Wl,--allow-shlib-undefined", "-Wl,-z,now"])
        .output();
    match compiled {
        Ok(output) if output.status.success() => {
            println!("cargo:rustc-env=AMANUENSIS_XRT_SHIM_BUILT={}", out.display());
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let first = said.lines().find(|line| line.contains("error")).unwrap_or("the compiler said nothing");
            println!("cargo:warning=the NPU's shim was not built: {first}");
        }
        Err(error) => println!("cargo:warning=the NPU's shim was not built: there is no C++ compiler ({error})"),
    }
}

fn roots() -> Vec<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let named = std::env::var_os("AMANUENSIS_XRT_ROOT").map(PathBuf::from);
    named.into_iter().chain(cache.map(|cache| cache.join("amanuensis/xrt"))).chain([PathBuf::from("/")]).collect()
}

fn header(root: &Path) -> PathBuf {
    root.join("usr/include/xrt/experimental/xrt_version.h")
}

/// Older headers have no contexts, or no lists that report which command failed.
fn is_recent(root: &Path) -> bool {
    let kernel = root.join("usr/include/xrt/experimental/xrt_kernel.h");
    header(root).is_file() && std::fs::read_to_string(kernel).is_ok_and(|text| text.contains("get_command_state"))
}
