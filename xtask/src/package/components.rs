//! What the programs contain of others: for the bill of materials, and for the text of licences.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::release::Release;
use crate::{process, workspace};

/// Packages that are linked into what is shipped begin here.
const PROGRAMS: &[&str] = &["amanuensis-app", "amanuensis-cli", "amanuensis-appimage"];

/// Packages of npm that lock files call developers' tools, but the output of which holds a part of them.
const COMPILED_IN: &[&str] = &["svelte"];

/// One thing made by others.
pub struct Component {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// An SPDX expression.
    pub licence: String,
    /// Its package URL without name and version, for example `pkg:cargo/`.
    kind: &'static str,
    /// Where it was unpacked.
    folder: PathBuf,
}

impl Component {
    /// A package of Debian, as the AppImage holds it.
    pub fn debian(name: &str, version: &str) -> Self {
        let (name, version) = (name.to_owned(), version.to_owned());
        Self { name, version, licence: String::new(), kind: "pkg:deb/debian/", folder: PathBuf::new() }
    }

    fn url(&self) -> String {
        // Of the signs that a URL cannot have, names and versions here have these.
        let escaped = |text: &str| text.replace('@', "%40").replace('+', "%2B").replace(':', "%3A").replace('~', "%7E");
        format!("{}{}@{}", self.kind, escaped(&self.name), escaped(&self.version))
    }
}

/// The crates and npm packages that are in the programs, in the order of their names.
///
/// *Errors*: cargo or npm's lock file cannot be read.
pub fn shipped() -> anyhow::Result<Vec<Component>> {
    let mut components = crates()?;
    components.extend(npm_packages()?);
    components.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    Ok(components)
}

/// The graph, as cargo resolves it for this machine.
#[derive(Deserialize)]
struct Graph {
    packages: Vec<workspace::Package>,
    workspace_members: HashSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Arrow>,
}

#[derive(Deserialize)]
struct Arrow {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

fn crates() -> anyhow::Result<Vec<Component>> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let words = ["metadata", "--format-version", "1", "--locked", "--filter-platform", &target];
    let graph = process::output(workspace::cargo().args(words))?;
    let graph: Graph = serde_json::from_str(&graph).context("cannot read what `cargo metadata` printed")?;
    let nodes: HashMap<_, _> = graph.resolve.nodes.iter().map(|node| (node.id.as_str(), &node.deps)).collect();
    let programs = graph.packages.iter().filter(|package| PROGRAMS.contains(&package.name.as_str()));
    let mut ahead: Vec<_> = programs.map(|package| package.id.as_str()).collect();
    ensure!(ahead.len() == PROGRAMS.len(), "the workspace lacks one of {PROGRAMS:?}");
    let mut linked = HashSet::new();
    while let Some(id) = ahead.pop() {
        if linked.insert(id) {
            // What a build script uses is not in what it builds; nor is what tests use.
            let arrows = nodes.get(id).into_iter().flat_map(|arrows| arrows.iter());
            let linked = arrows.filter(|arrow| arrow.dep_kinds.iter().any(|kind| kind.kind.is_none()));
            ahead.extend(linked.map(|arrow| arrow.pkg.as_str()));
        }
    }
    let foreign = graph.packages.iter().filter(|package| !graph.workspace_members.contains(&package.id));
    let linked = foreign.filter(|package| linked.contains(package.id.as_str()));
    Ok(linked
        .map(|package| Component {
            name: package.name.clone(),
            version: package.version.clone(),
            licence: package.license.clone().unwrap_or_default().replace('/', " OR "),
            kind: "pkg:cargo/",
            folder: package.manifest_path.parent().unwrap_or(Path::new("/")).to_owned(),
        })
        .collect())
}

#[derive(Deserialize)]
struct Lock {
    packages: BTreeMap<String, Locked>,
}

#[derive(Deserialize)]
struct Locked {
    version: Option<String>,
    license: Option<String>,
    #[serde(default)]
    dev: bool,
}

fn npm_packages() -> anyhow::Result<Vec<Component>> {
    let ui = workspace::root().join("ui");
    let text = std::fs::read_to_string(ui.join("package-lock.json")).context("cannot read ui/package-lock.json")?;
    let lock: Lock = serde_json::from_str(&text).context("cannot read ui/package-lock.json")?;
    let named = lock.packages.into_iter().filter_map(|(path, package)| {
        let name = path.strip_prefix("node_modules/")?.to_owned();
        (!package.dev || COMPILED_IN.contains(&name.as_str())).then_some((name, path, package))
    });
    Ok(named
        .map(|(name, path, package)| Component {
            name,
            version: package.version.unwrap_or_default(),
            licence: package.license.unwrap_or_default(),
            kind: "pkg:npm/",
            folder: ui.join(path),
        })
        .collect())
}

/// The text of every licence, each once, below the names of those that it is about.
pub fn licences(components: &[Component]) -> String {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut list = String::new();
    for component in components {
        let title = format!("{} {}", component.name, component.version);
        list.push_str(&format!("{title}: {}\n", component.licence));
        for text in licence_texts(&component.folder) {
            texts.entry(text).or_default().push(title.clone());
        }
    }
    let mut ordered: Vec<_> = texts.into_iter().map(|(text, titles)| (titles, text)).collect();
    ordered.sort();
    let rule = "-".repeat(80);
    let texts = ordered.into_iter().map(|(titles, text)| format!("{rule}\n{}\n\n{text}\n\n", titles.join(", ")));
    format!(
        "Amanuensis contains the following, by others, under the licences named. Where there is a choice, any will do.\n\n\
         {list}\nTheir texts, as those who made them wrote them:\n\n{}",
        texts.collect::<String>()
    )
}

/// What lies in the folder of a package and is called as licences are.
fn licence_texts(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = files
        .filter(|file| {
            let name = super::name(file).to_uppercase();
            ["LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT"].iter().any(|begin| name.starts_with(begin))
        })
        .collect();
    files.sort();
    let texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    texts.map(|text| text.trim().replace("\r\n", "\n")).filter(|text| !text.is_empty()).collect()
}

/// The bill of materials, in the format of CycloneDX: what is in the programs, and what else is in the AppImage.
///
/// *Errors*: none that are known; the format is made of text.
pub fn bill(release: &Release, shipped: &[Component], system: &[Component]) -> anyhow::Result<String> {
    let entry = |component: &Component| {
        let mut entry = json!({
            "type": "library",
            "bom-ref": component.url(),
            "name": component.name,
            "version": component.version,
            "purl": component.url(),
        });
        if !component.licence.is_empty() {
            entry["licenses"] = json!([{ "expression": component.licence }]);
        }
        entry
    };
    let components: Vec<Value> = shipped.iter().chain(system).map(entry).collect();
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "amanuensis",
                "name": "amanuensis",
                "version": release.line(),
                "licenses": [{ "expression": "MIT OR Apache-2.0" }],
            },
        },
        "components": components,
    });
    Ok(serde_json::to_string_pretty(&bill)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_listed_and_what_only_builds_is_not() {
        let components = shipped().unwrap();
        let has = |name: &str| components.iter().any(|component| component.name == name);
        assert!(has("tauri") && has("symphonia") && has("svelte") && has("@fontsource-variable/inter"));
        assert!(!has("tauri-build") && !has("proptest") && !has("vite") && !has("amanuensis-engine"));
    }

    #[test]
    fn a_licence_is_printed_once_for_all_that_have_it() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let component = |index: usize, name: &str| {
            std::fs::write(folders[index].path().join("LICENSE-MIT"), "You may.\r\n").unwrap();
            let (name, folder) = (name.to_owned(), folders[index].path().to_owned());
            Component { name, version: "1".to_owned(), licence: "MIT".to_owned(), kind: "pkg:cargo/", folder }
        };
        let text = licences(&[component(0, "one"), component(1, "two")]);
        assert_eq!(text.matches("You may.").count(), 1);
        assert!(text.contains("one 1, two 1\n\nYou may.\n"), "{text}");
    }

    #[test]
    fn a_package_url_has_no_signs_that_mean_something_else() {
        let component = Component::debian("libwebkit2gtk-4.1-0", "1:2.50.6-1~deb12u2+b1");
        assert_eq!(component.url(), "pkg:deb/debian/libwebkit2gtk-4.1-0@1%3A2.50.6-1%7Edeb12u2%2Bb1");
    }
}
