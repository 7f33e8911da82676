//! Whether the app starts with the session, by a file that all desktops know.
//!
//! *Source*: <https://specifications.freedesktop.org/autostart-spec/latest/>.

use std::io;
use std::path::{Path, PathBuf};

/// Why the app will not start with the session, or still will.
#[derive(Debug, thiserror::Error)]
#[error("what starts with your session could not be changed: {cause}; check who may write to {}", file.display())]
pub struct AutostartError {
    file: PathBuf,
    pub(super) cause: io::Error,
}

/// Lets the app start with the session from now on, or no longer.
///
/// # Errors
/// [`AutostartError`].
pub fn set(on: bool) -> Result<(), AutostartError> {
    let config = amanuensis_settings::folder();
    let folder = config.parent().unwrap_or(&config).join("autostart");
    // An AppImage lies elsewhere each time that it runs; the variable says where it is itself.
    let program = std::env::var_os("APPIMAGE").map(PathBuf::from).map_or_else(std::env::current_exe, Ok);
    let file = folder.join("org.amanuensis.Amanuensis.desktop");
    program
        .and_then(|program| write(&file, on.then_some(program.as_path())))
        .map_err(|cause| AutostartError { file, cause })
}

fn write(file: &Path, program: Option<&Path>) -> io::Result<()> {
    match program {
        Some(program) => {
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let program = quoted(&program.to_string_lossy());
            let entry = format!("[Desktop Entry]\nType=Application\nName=Amanuensis\nExec={program} --background\n");
            // As it is already, it is left alone: a desktop may watch the folder.
            if std::fs::read_to_string(file).is_ok_and(|before| before == entry) {
                return Ok(());
            }
            std::fs::write(file, entry)
        }
        None => match std::fs::remove_file(file) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
            _ => Ok(()),
        },
    }
}

/// A path as it stands in `Exec`: quoted, and what the quotes do not protect escaped twice, for the file and for the command.
fn quoted(path: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in path.chars() {
        match letter {
            '\\' => quoted.push_str(r"\\\\"),
            '"' | '`' | '$' => {
                quoted.push_str(r"\\");
                quoted.push(letter);
            }
            '%' => quoted.push_str("%%"),
            letter => quoted.push(letter),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_comes_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("autostart/app.desktop");
        let program = PathBuf::from("/home/me/My Apps/Amanuensis.AppImage");
        write(&file, None).unwrap();
        write(&file, Some(&program)).unwrap();
        let entry = std::fs::read_to_string(&file).unwrap();
        assert!(entry.contains("\nExec=\"/home/me/My Apps/Amanuensis.AppImage\" --background\n"), "{entry}");
        write(&file, None).unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn a_path_is_one_word_whatever_is_in_it() {
        assert_eq!(quoted("/a b/100%"), "\"/a b/100%%\"");
        assert_eq!(quoted("/a$b\\c"), r#""/a\\$b\\\\c""#);
    }
}
