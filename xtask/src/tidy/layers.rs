//! Layering: a crate imports crates of lower layers, never one of its own.

use crate::workspace::Metadata;

/// Every crate of ours with its layer. ARCHITECTURE.md explains the layers.
const LAYERS: &[(&str, u8)] = &[
    ("amanuensis-journal", 0),
    ("amanuensis-kernels", 0),
    ("amanuensis-polish", 0),
    ("amanuensis-pool", 0),
    ("amanuensis-settings", 0),
    ("amanuensis-version", 0),
    ("amanuensis-xrt-sys", 0),
    ("amanuensis-audio", 1),
    ("amanuensis-control", 1),
    ("amanuensis-insert", 1),
    ("amanuensis-mel", 1),
    ("amanuensis-npu-kernels", 1),
    ("amanuensis-shortcut", 1),
    ("amanuensis-whisper", 1),
    ("amanuensis-backend-cpu", 2),
    ("amanuensis-backend-npu", 2),
    ("amanuensis-history", 2),
    ("amanuensis-models", 2),
    ("amanuensis-engine", 3),
    ("amanuensis-backends", 3),
    ("amanuensis-dictation", 4),
    ("amanuensis-export", 4),
    ("amanuensis-folders", 5),
    ("amanuensis-server", 5),
    ("amanuensis-app", 6),
    ("amanuensis-cli", 6),
];

/// Arrows inside one layer that are meant: the crate that knows every backend makes what the engine takes.
const MEANT: &[(&str, &str)] = &[("amanuensis-backends", "amanuensis-engine")];

/// Packages outside the layers: developer tools and whole-system tests, which nothing may import.
const OUTSIDE: &[&str] = &[
    "amanuensis-appimage",
    "amanuensis-benches",
    "amanuensis-golden",
    "amanuensis-npu-tests",
    "amanuensis-test-support",
    "amanuensis-virtual-npu",
    "xtask",
];

/// Complains about each arrow that runs the wrong way and about each crate that the table does not know.
pub fn check(metadata: &Metadata) -> Vec<String> {
    let arrows = metadata.members().map(|package| {
        // Test code may use a neighbour; what ships may not.
        let shipped = package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"));
        (package.name.as_str(), shipped.map(|dependency| dependency.name.as_str()).collect())
    });
    judge(&arrows.collect::<Vec<_>>())
}

fn judge(arrows: &[(&str, Vec<&str>)]) -> Vec<String> {
    let layer = |name: &str| LAYERS.iter().find(|(known, _)| *known == name).map(|(_, layer)| *layer);
    let ours = |name: &str| arrows.iter().any(|(member, _)| *member == name);
    let mut complaints = Vec::new();
    for (name, _) in LAYERS.iter().filter(|(name, _)| !ours(name)) {
        complaints.push(format!("{name} is in the table of layers but not in the workspace"));
    }
    for (name, dependencies) in arrows {
        let dependencies = dependencies.iter().filter(|dependency| ours(dependency));
        if OUTSIDE.contains(name) {
            continue;
        }
        let Some(own) = layer(name) else {
            complaints.push(format!("{name} has no layer: add it to xtask/src/tidy/layers.rs and to ARCHITECTURE.md"));
            continue;
        };
        for dependency in dependencies {
            match layer(dependency) {
                Some(lower) if lower < own || MEANT.contains(&(name, dependency)) => {}
                Some(lower) => complaints.push(format!("{name} (layer {own}) imports {dependency} (layer {lower})")),
                None => complaints.push(format!("{name} imports {dependency}, which has no layer")),
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole<'a>() -> Vec<(&'a str, Vec<&'a str>)> {
        LAYERS.iter().map(|(name, _)| (*name, Vec::new())).collect()
    }

    #[test]
    fn arrows_downwards_pass() {
        let mut arrows = whole();
        arrows.push(("xtask", vec!["serde"]));
        arrows.iter_mut().find(|(name, _)| *name == "amanuensis-cli").unwrap().1 = vec!["amanuensis-engine", "clap"];
        arrows.iter_mut().find(|(name, _)| *name == "amanuensis-backends").unwrap().1 = vec!["amanuensis-engine"];
        assert_eq!(judge(&arrows), Vec::<String>::new());
    }

    #[test]
    fn arrows_upwards_and_sideways_fail() {
        let mut arrows = whole();
        arrows.iter_mut().find(|(name, _)| *name == "amanuensis-mel").unwrap().1 = vec!["amanuensis-cli"];
        arrows.iter_mut().find(|(name, _)| *name == "amanuensis-audio").unwrap().1 = vec!["amanuensis-mel", "xtask"];
        arrows.push(("xtask", vec![]));
        let complaints = judge(&arrows);
        assert_eq!(complaints.len(), 3, "{complaints:?}");
    }

    #[test]
    fn unknown_and_vanished_crates_fail() {
        let mut arrows = whole();
        arrows.push(("amanuensis-surprise", vec![]));
        arrows.remove(0);
        assert_eq!(judge(&arrows).len(), 2);
    }
}
