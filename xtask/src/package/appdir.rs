//! The folder that an AppImage holds: our tree, WebKitGTK with its processes, and the modules that it looks for at run time.
//!
//! Nothing in it knows where it will lie. Libraries find each other by paths relative to themselves; WebKit, which has the place
//! of its processes compiled in, is given a place below the working folder instead, which `AppRun` sets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::components::Component;
use super::tree::ID;
use super::{files_below, install, libraries, name, write};
use crate::{process, workspace};

/// WebKit's own processes and the library that it loads into pages.
const WEBKIT: &[&str] =
    &["WebKitGPUProcess", "WebKitNetworkProcess", "WebKitWebProcess", "injected-bundle/libwebkit2gtkinjectedbundle.so"];

/// The pictures that GDK cannot read by itself and GTK has: symbols.
const PICTURES: &[&str] = &["libpixbufloader-svg.so"];

/// Ways to type that are part of GTK.
const INPUT_METHODS: &[&str] = &["im-cedilla.so", "im-wayland.so", "im-xim.so"];

/// Where GTK reads the desktop's settings. Without it the app has neither the user's fonts nor the dark look on Wayland.
const SETTINGS: &[&str] = &["libdconfsettings.so"];

/// The folder while it is filled.
struct AppDir<'a> {
    folder: &'a Path,
    /// Debian's folder of libraries: the same below `/usr/lib` and in the AppImage.
    triple: String,
    /// Programs and libraries that were copied: where to, and where from.
    copied: BTreeMap<PathBuf, PathBuf>,
}

/// Fills `to`, and says which packages of Debian are in it now.
///
/// *Errors*: something is not installed on this machine, or one of Debian's tools fails.
pub fn fill(tree: &Path, to: &Path) -> anyhow::Result<Vec<Component>> {
    let mut appdir = AppDir { folder: to, triple: libraries::triple(), copied: BTreeMap::new() };
    for file in files_below(tree)? {
        let inside = file.strip_prefix(tree).context("BUG: it lies in the tree")?;
        let program = inside.starts_with("usr/bin");
        install(&file, &to.join(inside), if program { 0o755 } else { 0o644 })?;
        if program {
            appdir.copied.insert(to.join(inside), file);
        }
    }
    appdir.bring("webkit2gtk-4.1", WEBKIT)?;
    appdir.bring("gdk-pixbuf-2.0/2.10.0/loaders", PICTURES)?;
    appdir.bring("gtk-3.0/3.0.0/immodules", INPUT_METHODS)?;
    appdir.bring("gio/modules", SETTINGS)?;
    let roots: Vec<_> = appdir.copied.values().cloned().collect();
    for (library, file) in libraries::closure(&roots)? {
        appdir.copy(&file, &appdir.libraries().join(library))?;
    }
    appdir.let_libraries_find_each_other()?;
    appdir.let_webkit_find_its_processes()?;
    appdir.list_modules()?;
    appdir.compile_schemas()?;
    appdir.add_the_front(tree)?;

    let files: Vec<_> = appdir.copied.keys().cloned().collect();
    println!(
        "{} programs and libraries; of the system they ask for {}",
        files.len(),
        libraries::asked_of_the_system(&files)?.join(", ")
    );
    let theirs: Vec<_> = appdir.copied.into_values().filter(|file| !file.starts_with(tree)).collect();
    let packages = libraries::packages(&theirs)?;
    keep_their_licences(packages.keys(), &to.join("usr/share/doc/amanuensis/system"))?;
    Ok(packages.iter().map(|(name, version)| Component::debian(name, version)).collect())
}

impl AppDir<'_> {
    fn libraries(&self) -> PathBuf {
        self.folder.join("usr/lib").join(&self.triple)
    }

    /// Where the system keeps libraries.
    fn system(&self) -> PathBuf {
        Path::new("/usr/lib").join(&self.triple)
    }

    fn copy(&mut self, from: &Path, to: &Path) -> anyhow::Result<()> {
        install(from, to, 0o755)?;
        self.copied.insert(to.to_owned(), from.to_owned());
        Ok(())
    }

    /// Copies files of one folder below the system's libraries to the same place in ours.
    fn bring(&mut self, folder: &str, files: &[&str]) -> anyhow::Result<()> {
        for file in files {
            let from = self.system().join(folder).join(file);
            self.copy(&from, &self.libraries().join(folder).join(file))?;
        }
        Ok(())
    }

    fn let_libraries_find_each_other(&self) -> anyhow::Result<()> {
        for file in self.copied.keys() {
            let folder = file.parent().unwrap_or(file);
            let path = format!("$ORIGIN/{}", way(folder, &self.libraries()));
            let path = path.trim_end_matches("/.").trim_end_matches('/');
            process::run(Command::new("patchelf").args(["--set-rpath", path]).arg(file))?;
        }
        Ok(())
    }

    fn let_webkit_find_its_processes(&self) -> anyhow::Result<()> {
        let library = self.libraries().join("libwebkit2gtk-4.1.so.0");
        let mut bytes = std::fs::read(&library).context("there is no libwebkit2gtk-4.1")?;
        let compiled_in = self.system().join("webkit2gtk-4.1").display().to_string();
        // As long as the other, for it is written over it: `/usr` becomes `././`.
        let relative = compiled_in.replacen("/usr", "././", 1);
        let replaced = replace(&mut bytes, compiled_in.as_bytes(), relative.as_bytes());
        ensure!(
            replaced >= 2,
            "libwebkit2gtk-4.1 has {replaced} places for its processes, where there should be two or more"
        );
        write(&library, &bytes, 0o755)
    }

    /// The lists in which libraries look their modules up, with names relative to the working folder.
    fn list_modules(&self) -> anyhow::Result<()> {
        for (program, modules, list) in [
            (
                "gdk-pixbuf-2.0/gdk-pixbuf-query-loaders",
                "gdk-pixbuf-2.0/2.10.0/loaders",
                "gdk-pixbuf-2.0/2.10.0/loaders.cache",
            ),
            ("libgtk-3-0/gtk-query-immodules-3.0", "gtk-3.0/3.0.0/immodules", "gtk-3.0/3.0.0/immodules.cache"),
        ] {
            let ours = files_below(&self.libraries().join(modules))?;
            let theirs = ours.iter().map(|module| self.system().join(modules).join(name(module)));
            let said = process::output(Command::new(self.system().join(program)).args(theirs))?;
            let lines = said.lines().filter(|line| !line.starts_with('#'));
            let said = lines.map(|line| line.replace("\"/usr/lib/", "\"lib/") + "\n").collect::<String>();
            write(&self.libraries().join(list), said.as_bytes(), 0o644)?;
        }
        Ok(())
    }

    /// What settings of GTK and of the desktop there are. GTK's dialogue for files ends the app without them.
    fn compile_schemas(&self) -> anyhow::Result<()> {
        let schemas = self.folder.join("usr/share/glib-2.0/schemas");
        for file in files_below(Path::new("/usr/share/glib-2.0/schemas"))? {
            let file_name = name(&file);
            let wanted = ["org.gtk.Settings.", "org.gnome.desktop."].iter().any(|begin| file_name.starts_with(begin));
            if wanted || file_name == "gschema.dtd" {
                install(&file, &schemas.join(file_name), 0o644)?;
            }
        }
        process::run(Command::new("glib-compile-schemas").arg("--strict").arg(&schemas))
    }

    /// What lies at the top: how to start, and what tools show of the AppImage.
    fn add_the_front(&self, tree: &Path) -> anyhow::Result<()> {
        let start =
            std::fs::read_to_string(workspace::root().join("packaging/linux/AppRun")).context("cannot read AppRun")?;
        write(&self.folder.join("AppRun"), start.replace("@TRIPLE@", &self.triple).as_bytes(), 0o755)?;
        let share = tree.join("usr/share");
        let desktop = format!("{ID}.desktop");
        install(&share.join("applications").join(&desktop), &self.folder.join(&desktop), 0o644)?;
        let icon = format!("{ID}.png");
        install(&share.join("icons/hicolor/256x256/apps").join(&icon), &self.folder.join(&icon), 0o644)?;
        std::os::unix::fs::symlink(&icon, self.folder.join(".DirIcon")).context("cannot link the icon")
    }
}

/// The texts that Debian has of the licences of what was copied.
fn keep_their_licences<'a>(packages: impl Iterator<Item = &'a String>, to: &Path) -> anyhow::Result<()> {
    for package in packages {
        let name = package.split(':').next().unwrap_or(package);
        let from = Path::new("/usr/share/doc").join(name).join("copyright");
        install(&from, &to.join(format!("{name}.copyright")), 0o644)?;
    }
    Ok(())
}

/// How to get from one folder to another, both below the same root.
fn way(from: &Path, to: &Path) -> String {
    let shared = from.iter().zip(to.iter()).take_while(|(one, other)| one == other).count();
    let up = from.iter().skip(shared).map(|_| "..".into());
    let down = to.iter().skip(shared).map(|part| part.to_string_lossy());
    let parts: Vec<std::borrow::Cow<'_, str>> = up.chain(down).collect();
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

/// Writes `new` over `old` wherever that is, and says how often that was.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) -> usize {
    assert_eq!(old.len(), new.len(), "BUG: nothing may move");
    let places: Vec<_> =
        (0..bytes.len().saturating_sub(old.len() - 1)).filter(|&at| bytes[at..].starts_with(old)).collect();
    for &at in &places {
        bytes[at..at + new.len()].copy_from_slice(new);
    }
    places.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_between_folders() {
        let way = |from: &str, to: &str| way(Path::new(from), Path::new(to));
        assert_eq!(way("/a/usr/bin", "/a/usr/lib/x"), "../lib/x");
        assert_eq!(way("/a/usr/lib/x/gio/modules", "/a/usr/lib/x"), "../..");
        assert_eq!(way("/a/usr/lib/x", "/a/usr/lib/x"), ".");
    }

    #[test]
    fn a_place_is_written_over_wherever_it_is() {
        let mut bytes = *b"\0/usr/lib/x\0more /usr/lib/x/y";
        assert_eq!(replace(&mut bytes, b"/usr/lib/x", b"././/lib/x"), 2);
        assert_eq!(&bytes, b"\0././/lib/x\0more ././/lib/x/y");
        assert_eq!(replace(&mut [], b"old", b"new"), 0);
    }
}
