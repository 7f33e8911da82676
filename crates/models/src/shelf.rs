//! Adds files that are on this machine already to the user's models, and deletes models.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use amanuensis_whisper::{WeightError, Weights};

use crate::{ModelFile, model_at, name_of};

/// How a file becomes one of the user's models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It is copied: the original may go.
    Copy,
    /// A link leads to it: no room is taken, and the model is gone when the original is.
    Link,
}

/// Why a model is not added or not deleted. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The file is no model that can be read.
    #[error(transparent)]
    NotAModel(#[from] WeightError),
    /// There is one of this name.
    #[error("a model called {name} is installed already; delete it first, or rename the file")]
    Exists {
        /// The name.
        name: String,
    },
    /// It does not lie among the user's models.
    #[error("{name} is not one of the models that you installed, and stays where it is: {}", path.display())]
    NotYours {
        /// The model.
        name: String,
        /// Where it lies.
        path: PathBuf,
    },
    /// A file cannot be written or removed.
    #[error("cannot change {}: {source}; check that there is room and that you may write to it", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Adds a model that lies elsewhere, once it has been read from front to back of its list of tensors.
///
/// # Errors
/// [`ShelfError`].
pub fn add(source: &Path, folder: &Path, keep: Keep) -> Result<ModelFile, ShelfError> {
    Weights::open(source)?;
    let disk = |path: &Path| {
        let path = path.to_owned();
        move |source| ShelfError::Disk { path, source }
    };
    let source = source.canonicalize().map_err(disk(source))?;
    let name = name_of(&source);
    let target = folder.join(source.file_name().unwrap_or_default());
    if fs::symlink_metadata(&target).is_ok() || crate::installed_in(folder).iter().any(|model| model.name == name) {
        return Err(ShelfError::Exists { name });
    }
    fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(disk(folder))?;
    match keep {
        Keep::Link => std::os::unix::fs::symlink(&source, &target).map_err(disk(&target))?,
        Keep::Copy => {
            let unfinished = folder.join(format!(".{name}.copy"));
            let copied = copy(&source, &unfinished).and_then(|()| fs::rename(&unfinished, &target));
            if let Err(error) = copied {
                let _ = remove(&unfinished);
                return Err(disk(&target)(error));
            }
        }
    }
    Ok(model_at(target))
}

/// Deletes one of the user's models; of one that is linked, the link.
///
/// # Errors
/// [`ShelfError`].
pub fn delete(model: &ModelFile, folder: &Path) -> Result<(), ShelfError> {
    if model.demo || model.path.parent() != Some(folder) {
        return Err(ShelfError::NotYours { name: model.name.clone(), path: model.path.clone() });
    }
    remove(&model.path).map_err(|source| ShelfError::Disk { path: model.path.clone(), source })
}

/// Copies a file, or a folder's files, onto the disk. The folders of models have no folders in them that matter.
fn copy(source: &Path, target: &Path) -> io::Result<()> {
    let _ = remove(target);
    if !source.is_dir() {
        fs::copy(source, target)?;
        return File::open(target)?.sync_all();
    }
    fs::create_dir(target)?;
    for entry in fs::read_dir(source)? {
        let entry = entry?.path();
        if let Some(name) = entry.file_name().filter(|_| entry.is_file()) {
            copy(&entry, &target.join(name))?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::installed_in;

    /// The demo model under another name, so that it is not taken for itself.
    fn original(folder: &Path) -> Option<PathBuf> {
        let Some(demo) = crate::demo() else {
            println!("skipped: the demo model is not there");
            return None;
        };
        let path = folder.join("ggml-mine.en.bin");
        fs::copy(demo.path, &path).unwrap();
        Some(path)
    }

    #[test]
    fn a_file_is_copied_or_linked_once_and_deleted_alone() {
        let (elsewhere, shelf) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let Some(original) = original(elsewhere.path()) else { return };
        for keep in [Keep::Copy, Keep::Link] {
            let added = add(&original, shelf.path(), keep).unwrap();
            assert_eq!((added.name.as_str(), installed_in(shelf.path())), ("mine.en", vec![added.clone()]));
            assert_eq!(added.path.is_symlink(), keep == Keep::Link);
            let again = add(&original, shelf.path(), keep).unwrap_err().to_string();
            assert!(again.starts_with("a model called mine.en is installed already"), "{again}");
            delete(&added, shelf.path()).unwrap();
            assert_eq!(fs::read_dir(shelf.path()).unwrap().count(), 0);
            assert!(original.exists());
        }
    }

    #[test]
    fn what_is_no_model_is_not_added_and_what_is_elsewhere_is_not_deleted() {
        let (elsewhere, shelf) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let page = elsewhere.path().join("ggml-page.bin");
        fs::write(&page, "<html>").unwrap();
        let error = add(&page, shelf.path(), Keep::Copy).unwrap_err().to_string();
        assert!(error.contains("is not a Whisper model"), "{error}");
        assert_eq!(fs::read_dir(shelf.path()).unwrap().count(), 0);
        let error = delete(&model_at(page.clone()), shelf.path()).unwrap_err().to_string();
        assert!(error.starts_with("page is not one of the models that you installed"), "{error}");
        assert!(page.exists());
    }
}
