//! Model files: which there are on this machine, which can be downloaded, and how fast each would be here.
//!
//! A model is a ggml `.bin` file or a folder as Hugging Face publishes it. Which there are is told by names and dates alone;
//! whether a file is a whole model is found out when it is loaded.

pub mod catalogue;
pub mod download;
pub mod shelf;
pub mod size;
pub mod speed;

pub use catalogue::{Entry, catalogue};
pub use download::{DownloadError, Hub, Progress, Step, Stop};

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Name of the model that comes with the program.
pub const DEMO: &str = "amanuensis-demo.en";
/// Names another file as the demo model.
pub const DEMO_VARIABLE: &str = "AMANUENSIS_DEMO_MODEL";

/// A model on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// What a person calls it, as "base.en" for `ggml-base.en.bin`.
    pub name: String,
    /// The file or folder.
    pub path: PathBuf,
    /// Whether it is the small model that comes with the program.
    pub demo: bool,
}

impl ModelFile {
    /// Length of its file, or of its folder's files; 0 of one that is gone.
    pub fn bytes(&self) -> u64 {
        match std::fs::read_dir(&self.path) {
            Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path().metadata().ok()?.len())).sum(),
            Err(_) => self.path.metadata().map_or(0, |metadata| metadata.len()),
        }
    }
}

/// Why there is no model to work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Nothing is installed, and the demo model is not where it should be.
    #[error(
        "no model is installed; take one in the window under Models or with `amanuensis models download small.en`, or put a ggml .bin file or a Hugging Face folder into {}",
        folder.display()
    )]
    NoneInstalled {
        /// Where models belong.
        folder: PathBuf,
    },
    /// No model has this name.
    #[error("no model is called \"{wanted}\"; give the path of one, or one of these names: {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        wanted: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A path leads nowhere.
    #[error("there is no model at {}; check the path", path.display())]
    Missing {
        /// What was asked for.
        path: PathBuf,
    },
}

/// Where the user's models lie: in [`data_folder`]`/models`.
pub fn folder() -> PathBuf {
    data_folder().join("models")
}

/// Where what the program keeps for the user lies: `$XDG_DATA_HOME/amanuensis`, usually `~/.local/share/amanuensis`.
pub fn data_folder() -> PathBuf {
    std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        // The specification tells to ignore what is not absolute.
        .filter(|path| path.is_absolute())
        .or_else(|| Some(std::env::home_dir()?.join(".local/share")))
        .unwrap_or_else(|| PathBuf::from("/usr/local/share"))
        .join("amanuensis")
}

/// The user's models, the one installed last first.
pub fn installed() -> Vec<ModelFile> {
    installed_in(&folder())
}

/// The model that comes with the program, where it is found: named by [`DEMO_VARIABLE`], beside the installed program, or in
/// the source tree that the program was built from.
pub fn demo() -> Option<ModelFile> {
    let file = format!("{DEMO}.bin");
    let named = std::env::var_os(DEMO_VARIABLE).map(PathBuf::from);
    let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.parent()?.to_owned()));
    let packaged = beside.map(|prefix| prefix.join("share/amanuensis").join(&file));
    let in_tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo").join(&file);
    let path = named.into_iter().chain(packaged).chain([in_tree]).find(|path| path.exists())?;
    Some(ModelFile { name: DEMO.to_owned(), path: path.canonicalize().unwrap_or(path), demo: true })
}

/// The model of this name or at this path; if none is wanted, the one installed last, or else the demo model.
///
/// # Errors
/// [`ModelError`].
pub fn choose(wanted: Option<&str>) -> Result<ModelFile, ModelError> {
    choose_from(wanted, installed(), demo(), &folder())
}

fn installed_in(folder: &Path) -> Vec<ModelFile> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<(SystemTime, ModelFile)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let metadata = path.metadata().ok()?;
            let is_model = if metadata.is_dir() { path.join("config.json").is_file() } else { has_ending(&path) };
            is_model.then(|| (metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), model_at(path)))
        })
        .collect();
    // By name where two are of the same moment, so that the order is always the same.
    found.sort_by(|(time, model), (other_time, other)| other_time.cmp(time).then_with(|| model.name.cmp(&other.name)));
    found.into_iter().map(|(_, model)| model).collect()
}

fn choose_from(
    wanted: Option<&str>,
    installed: Vec<ModelFile>,
    demo: Option<ModelFile>,
    folder: &Path,
) -> Result<ModelFile, ModelError> {
    let mut known = installed.into_iter().chain(demo);
    let Some(wanted) = wanted else {
        return known.next().ok_or_else(|| ModelError::NoneInstalled { folder: folder.to_owned() });
    };
    let name = name_of(Path::new(wanted));
    let known: Vec<ModelFile> = known.collect();
    let path = Path::new(wanted);
    let is_path = path.components().count() > 1 || has_ending(path);
    if is_path && path.exists() {
        return Ok(model_at(path.to_owned()));
    }
    let named = |model: &&ModelFile| path.components().count() == 1 && model.name.eq_ignore_ascii_case(&name);
    if let Some(model) = known.iter().find(named) {
        return Ok(model.clone());
    }
    if path.is_dir() {
        return Ok(model_at(path.to_owned()));
    }
    if is_path || known.is_empty() {
        return Err(ModelError::Missing { path: path.to_owned() });
    }
    Err(ModelError::Unknown { wanted: wanted.to_owned(), known: known.into_iter().map(|model| model.name).collect() })
}

fn model_at(path: PathBuf) -> ModelFile {
    ModelFile { name: name_of(&path), path, demo: false }
}

fn has_ending(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("bin"))
}

/// The file's name without what every model file has: `ggml-` in front, `.bin` at the end.
fn name_of(path: &Path) -> String {
    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let stem = if has_ending(path) { &file[..file.len() - ".bin".len()] } else { &file };
    stem.strip_prefix("ggml-").unwrap_or(stem).to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::Duration;

    use super::*;

    /// A folder with two models and things that are none, the model `small` newer than `base.en`.
    fn shelf() -> tempfile::TempDir {
        let shelf = tempfile::tempdir().unwrap();
        let path = shelf.path();
        for name in ["ggml-base.en.bin", "notes.txt", "half.bin.part"] {
            File::create(path.join(name)).unwrap();
        }
        fs::create_dir(path.join("empty")).unwrap();
        fs::create_dir(path.join("small")).unwrap();
        File::create(path.join("small/config.json")).unwrap();
        let old = SystemTime::now() - Duration::from_secs(1_000);
        File::options().write(true).open(path.join("ggml-base.en.bin")).unwrap().set_modified(old).unwrap();
        shelf
    }

    fn demo() -> ModelFile {
        ModelFile { name: DEMO.to_owned(), path: "/demo.bin".into(), demo: true }
    }

    fn chosen(shelf: &Path, wanted: Option<&str>) -> Result<ModelFile, ModelError> {
        choose_from(wanted, installed_in(shelf), Some(demo()), shelf)
    }

    #[test]
    fn models_are_found_the_newest_first() {
        let shelf = shelf();
        let names: Vec<String> = installed_in(shelf.path()).into_iter().map(|model| model.name).collect();
        assert_eq!(names, ["small", "base.en"]);
        assert_eq!(installed_in(Path::new("/nowhere")), []);
    }

    #[test]
    fn the_newest_is_taken_and_the_demo_model_where_there_is_none() {
        let shelf = shelf();
        assert_eq!(chosen(shelf.path(), None).unwrap().name, "small");
        assert!(chosen(Path::new("/nowhere"), None).unwrap().demo);
        let error = choose_from(None, Vec::new(), None, Path::new("/models")).unwrap_err();
        assert!(error.to_string().ends_with("into /models"), "{error}");
    }

    #[test]
    fn a_model_is_wanted_by_name_by_file_name_or_by_path() {
        let shelf = shelf();
        let file = shelf.path().join("ggml-base.en.bin");
        for wanted in ["base.en", "BASE.EN", "ggml-base.en", "ggml-base.en.bin", file.to_str().unwrap()] {
            assert_eq!(chosen(shelf.path(), Some(wanted)).unwrap().path, file, "{wanted}");
        }
        assert_eq!(chosen(shelf.path(), Some(DEMO)).unwrap(), demo());
        let folder = shelf.path().join("small");
        assert_eq!(chosen(Path::new("/nowhere"), folder.to_str()).unwrap().name, "small");
    }

    #[test]
    fn what_is_not_there_is_named() {
        let shelf = shelf();
        let error = chosen(shelf.path(), Some("huge")).unwrap_err().to_string();
        assert_eq!(
            error,
            "no model is called \"huge\"; give the path of one, or one of these names: small, base.en, amanuensis-demo.en"
        );
        let error = chosen(shelf.path(), Some("/nowhere/base.en")).unwrap_err().to_string();
        assert_eq!(error, "there is no model at /nowhere/base.en; check the path");
    }
}
