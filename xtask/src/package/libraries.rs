//! Shared libraries: which ones a program needs, and which ones every system has, and better ones than we could bring.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::process;

/// What is left to the system, and why. The AppImage project's list has more; what no desktop goes without is named here as far
/// as WebKitGTK or we need it.
const LEFT_TO_THE_SYSTEM: &[(&[&str], &str)] = &[
    (
        &[
            "ld-linux-x86-64.so.2",
            "ld-linux-aarch64.so.1",
            "libc.so.6",
            "libdl.so.2",
            "libm.so.6",
            "libmvec.so.1",
            "libpthread.so.0",
            "libresolv.so.2",
            "librt.so.1",
            "libutil.so.1",
        ],
        "the C library comes whole, with the kernel's interface and the system's name service",
    ),
    (&["libgcc_s.so.1", "libstdc++.so.6"], "graphics drivers of the system need theirs, which may be newer"),
    (
        &[
            "libEGL.so.1",
            "libGL.so.1",
            "libGLESv2.so.2",
            "libGLX.so.0",
            "libGLdispatch.so.0",
            "libOpenGL.so.0",
            "libdrm.so.2",
            "libgbm.so.1",
            "libglapi.so.0",
        ],
        "they are the graphics driver, or belong to one version of it",
    ),
    (
        &[
            "libX11-xcb.so.1",
            "libX11.so.6",
            "libwayland-client.so.0",
            "libwayland-egl.so.1",
            "libwayland-server.so.0",
            "libxcb-dri2.so.0",
            "libxcb-dri3.so.0",
            "libxcb.so.1",
        ],
        "graphics drivers use the same connection to the display",
    ),
    (
        &["libasound.so.2"],
        "it loads the system's plug-ins, by which sound reaches PulseAudio or PipeWire, and they fit one version",
    ),
    (
        &["libfontconfig.so.1", "libfreetype.so.6", "libharfbuzz.so.0"],
        "they read the system's configuration and caches, and some systems build each on the other",
    ),
    (&["libp11-kit.so.0", "libsystemd.so.0", "libudev.so.1"], "they talk to services or modules of the system"),
    (&["libexpat.so.1", "libz.so.1"], "every system has them, and its graphics drivers use them"),
];

/// Where Debian keeps libraries on this kind of machine.
pub fn triple() -> String {
    format!("{}-linux-gnu", std::env::consts::ARCH)
}

/// Whether the library of this name is the system's business.
pub fn is_left_to_the_system(name: &str) -> bool {
    LEFT_TO_THE_SYSTEM.iter().any(|(names, _)| names.contains(&name))
}

/// All libraries that `roots` need, directly or not, and that are not left to the system: names and files.
///
/// *Errors*: one of them is missing on this machine.
pub fn closure(roots: &[PathBuf]) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut ahead = roots.to_vec();
    while let Some(file) = ahead.pop() {
        let needed = process::output(Command::new("patchelf").arg("--print-needed").arg(&file))?;
        let fresh: Vec<_> =
            needed.lines().filter(|name| !is_left_to_the_system(name) && !found.contains_key(*name)).collect();
        if fresh.is_empty() {
            continue;
        }
        let said = process::output(Command::new("ldd").arg(&file))?;
        let places = places(&said);
        for name in fresh {
            let Some(place) = places.get(name) else {
                bail!("{} needs {name}, which this machine lacks: install its package", file.display())
            };
            found.insert(name.to_owned(), place.clone());
            ahead.push(place.clone());
        }
    }
    Ok(found)
}

/// Names and files in what `ldd` prints.
fn places(said: &str) -> BTreeMap<&str, PathBuf> {
    let lines = said.lines().filter_map(|line| line.trim().split_once(" => "));
    let found = lines.filter_map(|(name, rest)| Some((name, rest.split(' ').next()?)));
    found.filter(|(_, file)| file.starts_with('/')).map(|(name, file)| (name, PathBuf::from(file))).collect()
}

/// The packages of Debian that `files` belong to, each with its version.
///
/// *Errors*: dpkg does not know a file.
pub fn packages(files: &[PathBuf]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut packages = BTreeMap::new();
    for file in files {
        let package = owner(file).with_context(|| format!("no package of Debian has {}", file.display()))?;
        if let Entry::Vacant(place) = packages.entry(package) {
            let query = ["--show", "--showformat=${Version}", place.key()];
            let version = process::output(Command::new("dpkg-query").args(query))?;
            place.insert(version);
        }
    }
    Ok(packages)
}

fn owner(file: &Path) -> anyhow::Result<String> {
    // Packages that are older than the merger of /lib into /usr/lib know their files by the old name.
    let real = file.canonicalize()?;
    let old = real.strip_prefix("/usr").ok().map(|rest| Path::new("/").join(rest));
    let search = |file: &Path| process::output(Command::new("dpkg-query").arg("--search").arg(file));
    let said = search(&real).or_else(|error| old.map_or(Err(error), |old| search(&old)))?;
    Ok(said.split(": ").next().and_then(|names| names.split(", ").next()).unwrap_or_default().to_owned())
}

/// The newest versions of interfaces that `files` ask of the system: `GLIBC_2.34`, for example.
///
/// *Errors*: objdump cannot read one.
pub fn asked_of_the_system(files: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let mut newest: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for file in files {
        let symbols = process::output(Command::new("objdump").arg("-T").arg(file))?;
        for word in symbols.split(|sign: char| !(sign.is_ascii_alphanumeric() || "._".contains(sign))) {
            for family in ["GLIBC", "GLIBCXX", "CXXABI"] {
                if let Some(version) = word.strip_prefix(family).and_then(|rest| rest.strip_prefix('_')) {
                    let version: Result<Vec<u32>, _> = version.split('.').map(str::parse).collect();
                    let known = newest.entry(family).or_default();
                    *known = version.unwrap_or_default().max(std::mem::take(known));
                }
            }
        }
    }
    let dotted = |version: &[u32]| version.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
    Ok(newest.into_iter().map(|(family, version)| format!("{family}_{}", dotted(&version))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ldd_prints_is_understood() {
        let said = "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f)\n\
                    \tlibgone.so.2 => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let found = places(said);
        assert_eq!(found.len(), 1);
        assert_eq!(found["libz.so.1"], Path::new("/lib/x86_64-linux-gnu/libz.so.1"));
    }

    #[test]
    fn drivers_and_the_c_library_are_never_brought() {
        assert!(is_left_to_the_system("libc.so.6") && is_left_to_the_system("libgbm.so.1"));
        assert!(!is_left_to_the_system("libwebkit2gtk-4.1.so.0"));
    }

    #[test]
    fn the_newest_interface_counts() {
        if Command::new("objdump").arg("--version").output().is_err() {
            println!("skipped: objdump is not installed");
            return;
        }
        let asked = asked_of_the_system(&["/proc/self/exe".into()]).unwrap();
        let glibc = asked.iter().find_map(|word| word.strip_prefix("GLIBC_2.")).unwrap();
        assert!(glibc.parse::<u32>().unwrap() > 9, "{asked:?}");
    }
}
