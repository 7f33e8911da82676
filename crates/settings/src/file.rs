//! The file of the settings.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;

use crate::migrate::{STEPS, migrate};
use crate::{OutOfBounds, Settings, date};

/// The version that is written. Older ones are read too.
const VERSION: usize = STEPS.len() + 1;
/// The largest file that is read, in bytes: full lists of replacements, each as long as it may be, are smaller.
const MOST_BYTES: u64 = 64 << 20;

/// Why settings cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("the settings at {} cannot be read: {cause}; check who may read them", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// It cannot be written.
    #[error("the settings cannot be kept at {}: {cause}; they hold until the app is closed", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// It is no file of settings.
    #[error("{} holds no settings of this app: {cause}; choose a file that was exported", path.display())]
    NotSettings {
        /// The file.
        path: PathBuf,
        /// Where it is wrong.
        cause: serde_json::Error,
    },
    /// It was written by a later version of the app.
    #[error("{} was written by a newer version of the app; update it to use these settings", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// A value is not possible.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
}

/// The settings' own file.
#[derive(Debug, Clone)]
pub struct Store {
    path: PathBuf,
}

/// What a file gave.
#[derive(Debug)]
pub struct Opened {
    /// What is in the file; the defaults where there was none.
    pub settings: Settings,
    /// The file that could not be used.
    pub discarded: Option<Discarded>,
}

/// A file that could not be used and was kept aside.
#[derive(Debug, thiserror::Error)]
#[error("your settings could not be used and are as at the beginning: {cause} {}", whereabouts(.kept.as_ref()))]
pub struct Discarded {
    /// Why.
    pub cause: SettingsError,
    /// Where it lies now; none if it could not be moved.
    pub kept: Option<PathBuf>,
}

fn whereabouts(kept: Option<&PathBuf>) -> String {
    kept.map_or_else(String::new, |path| format!("(The old file is now {}.)", path.display()))
}

/// Where the app's settings lie: `$XDG_CONFIG_HOME/amanuensis`, usually `~/.config/amanuensis`.
pub fn folder() -> PathBuf {
    std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        // The specification tells to ignore what is not absolute.
        .filter(|path| path.is_absolute())
        .or_else(|| Some(std::env::home_dir()?.join(".config")))
        .unwrap_or_else(|| PathBuf::from("/etc"))
        .join("amanuensis")
}

impl Store {
    /// A file beside that of the settings.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.path.with_file_name(name)
    }
}

impl Default for Store {
    /// The user's.
    fn default() -> Self {
        Self::at(folder().join("settings.json"))
    }
}

impl Store {
    /// The settings in this file, which need not be there yet.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads the settings. A file that cannot be used is moved aside, so that nothing overwrites it; `now` becomes part of its
    /// new name.
    pub fn open(&self, now: SystemTime) -> Opened {
        match read(&self.path) {
            Ok(settings) => Opened { settings, discarded: None },
            Err(SettingsError::Read { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                Opened { settings: Settings::default(), discarded: None }
            }
            Err(cause) => {
                let why = if matches!(cause, SettingsError::Newer { .. }) { "newer" } else { "corrupt" };
                // A clock that was set back may come by the same second again.
                let mut names = (0..).map(|later| {
                    let mut name = self.path.file_name().unwrap_or_default().to_owned();
                    name.push(format!(".{why}-{}", date::stamp(now + Duration::from_secs(later))));
                    self.path.with_file_name(name)
                });
                let aside = names.find(|name| !name.exists()).expect("BUG: seconds have no end");
                let kept = fs::rename(&self.path, &aside).is_ok().then_some(aside);
                Opened { settings: Settings::default(), discarded: Some(Discarded { cause, kept }) }
            }
        }
    }

    /// Writes the settings, so that the file is the old one or the new one at any moment, and nobody else's to read.
    ///
    /// # Errors
    /// [`SettingsError::OutOfBounds`], [`SettingsError::Write`].
    pub fn save(&self, settings: &Settings) -> Result<(), SettingsError> {
        settings.check()?;
        if let Some(folder) = self.path.parent() {
            private_folder(folder).map_err(|cause| SettingsError::Write { path: self.path.clone(), cause })?;
        }
        write(&self.path, settings)
    }
}

/// Reads settings that somebody exported.
///
/// # Errors
/// [`SettingsError`].
pub fn import(path: &Path) -> Result<Settings, SettingsError> {
    read(path)
}

/// Writes settings for somebody to keep.
///
/// # Errors
/// [`SettingsError::Write`].
pub fn export(settings: &Settings, path: &Path) -> Result<(), SettingsError> {
    write(path, settings)
}

fn read(path: &Path) -> Result<Settings, SettingsError> {
    let io = |cause| SettingsError::Read { path: path.to_owned(), cause };
    let wrong = |cause| SettingsError::NotSettings { path: path.to_owned(), cause };
    let length = fs::metadata(path).map_err(io)?.len();
    if length > MOST_BYTES {
        return Err(wrong(serde::de::Error::custom("it is too large")));
    }
    let mut content: Value = serde_json::from_slice(&fs::read(path).map_err(io)?).map_err(wrong)?;
    let version = content.get("version").and_then(Value::as_u64);
    let version =
        version.filter(|version| *version > 0).ok_or_else(|| wrong(serde::de::Error::missing_field("version")))?;
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    if version > VERSION {
        return Err(SettingsError::Newer { path: path.to_owned() });
    }
    migrate(&mut content, version, STEPS);
    let settings: Settings = serde_json::from_value(content).map_err(wrong)?;
    settings.check()?;
    Ok(settings)
}

fn write(path: &Path, settings: &Settings) -> Result<(), SettingsError> {
    #[derive(Serialize)]
    struct Content<'a> {
        version: usize,
        #[serde(flatten)]
        settings: &'a Settings,
    }
    let mut text = serde_json::to_string_pretty(&Content { version: VERSION, settings })
        .expect("BUG: settings have names for keys and can be written");
    text.push('\n');
    replace(path, text.as_bytes()).map_err(|cause| SettingsError::Write { path: path.to_owned(), cause })
}

/// Puts a file in the place of another at once. Its mode is 0600, as that of every temporary file.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
    fresh.write_all(content)?;
    fresh.as_file().sync_all()?;
    fresh.persist(path)?;
    File::open(folder)?.sync_all()
}

/// Makes the folder, where there is none, and lets nobody else look into it.
fn private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;
    use crate::{DevicePolicy, Replacement, Theme};

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_795_651_530)
    }

    fn store(folder: &tempfile::TempDir) -> Store {
        Store::at(folder.path().join("amanuensis/settings.json"))
    }

    fn chosen() -> Settings {
        let mut settings = Settings::default();
        settings.interface.theme = Theme::Dark;
        settings.text.vocabulary = vec!["Nyström".into()];
        settings.text.replacements = vec![Replacement { from: "my address".into(), to: "1 Main Street\nTown".into() }];
        settings.model.device = DevicePolicy::NpuWithFallback;
        settings
    }

    #[test]
    fn without_a_file_everything_is_as_at_the_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let opened = store(&folder).open(now());
        assert_eq!(opened.settings, Settings::default());
        assert!(opened.discarded.is_none());
    }

    #[test]
    fn what_was_saved_is_read_again_and_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        store.save(&Settings::default()).unwrap();
        store.save(&chosen()).unwrap();
        assert_eq!(store.open(now()).settings, chosen());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.path), 0o600);
        assert_eq!(mode(store.path.parent().unwrap()), 0o700);
        let names: Vec<_> = fs::read_dir(store.path.parent().unwrap()).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file is left: {names:?}");
    }

    #[test]
    fn a_file_that_says_little_is_completed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.json");
        fs::write(&path, r#"{ "version": 1, "server": { "port": 9999 }, "unheardOf": true }"#).unwrap();
        let mut expected = Settings::default();
        expected.server.port = 9999;
        assert_eq!(Store::at(path).open(now()).settings, expected);
    }

    #[test]
    fn what_cannot_be_used_is_kept_aside_and_told() {
        let bad = [
            ("", "corrupt", "EOF"),
            ("{ \"version\": 1, \"server\": { \"port\": ", "corrupt", "EOF"),
            ("[]", "corrupt", "version"),
            ("{ \"version\": 1, \"server\": 7 }", "corrupt", "Server"),
            ("{ \"version\": 1, \"server\": { \"port\": 70000 } }", "corrupt", "70000"),
            ("{ \"version\": 1, \"server\": { \"port\": 80 } }", "corrupt", "server.port"),
            ("{ \"version\": 99 }", "newer", "newer version"),
        ];
        for (content, why, said) in bad {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("settings.json");
            fs::write(&path, content).unwrap();
            let opened = Store::at(path.clone()).open(now());
            assert_eq!(opened.settings, Settings::default());
            let discarded = opened.discarded.unwrap();
            let aside = folder.path().join(format!("settings.json.{why}-20261126-000530"));
            assert_eq!(discarded.kept.as_ref(), Some(&aside));
            assert_eq!(fs::read_to_string(aside).unwrap(), content);
            assert!(!path.exists());
            let sentence = discarded.to_string();
            assert!(sentence.contains(said) && !sentence.contains('\n'), "{sentence}");
        }
    }

    #[test]
    fn of_two_bad_files_in_the_same_second_both_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.json");
        // The clock may have been set back in between.
        let kept = ["Dear diary", "Dear Sir"].map(|content| {
            fs::write(&path, content).unwrap();
            Store::at(path.clone()).open(now()).discarded.unwrap().kept.unwrap()
        });
        assert_eq!(kept.map(|path| fs::read_to_string(path).unwrap()), ["Dear diary", "Dear Sir"]);
    }

    #[test]
    fn impossible_values_are_not_saved() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.server.port = 1;
        assert!(matches!(store(&folder).save(&settings), Err(SettingsError::OutOfBounds(_))));
        assert!(!store(&folder).path.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("amanuensis"), "a file").unwrap();
        let sentence = store(&folder).save(&Settings::default()).unwrap_err().to_string();
        assert!(
            sentence.contains("amanuensis/settings.json") && sentence.contains("until the app is closed"),
            "{sentence}"
        );
    }

    #[test]
    fn what_is_exported_can_be_imported() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.json");
        export(&chosen(), &path).unwrap();
        assert_eq!(import(&path).unwrap(), chosen());
        let sentence = import(Path::new("/nowhere/mine.json")).unwrap_err().to_string();
        assert!(sentence.contains("/nowhere/mine.json"), "{sentence}");
    }

    proptest! {
        // Each case waits for the disk.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn no_bytes_are_ever_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("settings.json");
            fs::write(&path, bytes).unwrap();
            let _ = Store::at(path).open(now());
        }

        #[test]
        fn any_text_survives(words in "\\PC{1,80}", to in "(?s).{0,200}") {
            let folder = tempfile::tempdir().unwrap();
            let mut settings = Settings::default();
            settings.text.vocabulary.push(words.clone());
            settings.text.replacements.push(Replacement { from: words, to });
            store(&folder).save(&settings).unwrap();
            prop_assert_eq!(store(&folder).open(now()).settings, settings);
        }
    }
}
