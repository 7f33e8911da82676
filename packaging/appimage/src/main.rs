//! The program at the front of an AppImage: gives the app its files and starts it.
//!
//! It links to nothing and needs nothing but `/proc`: with FUSE the image is mounted, without it unpacked into a temporary
//! folder, which is removed when the app ends.

mod error;
mod image;
mod keeper;
mod mount;
mod pattern;
mod sections;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use amanuensis_appimage::elf::Elf;
use amanuensis_appimage::{SIGNATURE, UPDATE_INFORMATION};

use error::Error;
use image::{Image, OWN_FILE};
use keeper::{Kept, Way};

/// Unpacks instead of mounting, wherever it is set to something other than nothing and 0.
const UNPACK: &str = "APPIMAGE_EXTRACT_AND_RUN";
/// Where `--appimage-extract` unpacks to, in the current folder. The specification's word.
const UNPACKED: &str = "squashfs-root";

const HELP: &str = "\
Options that every AppImage has. All others go to the app.

  --appimage-extract [PATTERN]   unpack the files, or those that fit, into squashfs-root
  --appimage-extract-and-run     unpack into a temporary folder instead of mounting, and run the app
                                 (so does APPIMAGE_EXTRACT_AND_RUN=1)
  --appimage-mount               mount the files, print where, and wait to be ended
  --appimage-offset              print where in this file the squashfs image begins
  --appimage-updateinformation   print where newer versions are found
  --appimage-signature           print the signature embedded in this file
  --appimage-version             print the version of this program
  --appimage-help                print this";

fn main() -> ExitCode {
    sections::keep();
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    match run(&name, arguments.collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("AppImage: {error}");
            // What a shell says when it cannot start a program.
            ExitCode::from(127)
        }
    }
}

/// Does what is asked for. If that is to run the app, the app takes this process over, and only failure returns.
fn run(name: &OsStr, arguments: Vec<OsString>) -> Result<(), Error> {
    let word = arguments.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    match word.as_ref() {
        keeper::WORD => {
            let way = arguments.get(1).and_then(|word| Way::from_word(word));
            keeper::keep(way.ok_or_else(|| Error::Unknown(word.into_owned()))?)
        }
        "--appimage-help" => {
            println!("{HELP}");
            Ok(())
        }
        "--appimage-version" => {
            println!("{} {}", env!("CARGO_BIN_NAME"), env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        "--appimage-offset" => {
            println!("{}", Elf::read(&File::open(OWN_FILE).map_err(Error::Own)?)?.end);
            Ok(())
        }
        "--appimage-updateinformation" | "--appimage-updateinfo" => print_section(UPDATE_INFORMATION),
        "--appimage-signature" => print_section(SIGNATURE),
        "--appimage-extract" => {
            let pattern = arguments.get(1).map(|pattern| pattern.to_string_lossy());
            let chosen = |path: &Path| pattern.as_ref().is_none_or(|pattern| pattern::fits(pattern, path));
            let files = Image::own()?.unpack(Path::new(UNPACKED), chosen)?;
            println!("{files} files in {UNPACKED}");
            Ok(())
        }
        "--appimage-mount" => {
            let kept = Kept::start(Way::Mount)?;
            println!("{}", kept.folder.display());
            // Whatever ends this process closes the pipe, which ends the mount.
            loop {
                std::thread::park();
            }
        }
        "--appimage-extract-and-run" => start(name, &arguments[1..], Kept::start(Way::Unpack)?),
        unknown if unknown.starts_with("--appimage-") => Err(Error::Unknown(unknown.to_owned())),
        _ if std::env::var_os(UNPACK).is_some_and(|value| !value.is_empty() && value != "0") => {
            start(name, &arguments, Kept::start(Way::Unpack)?)
        }
        _ => {
            let kept = Kept::start(Way::Mount).or_else(|error| {
                eprintln!("AppImage: {error}. The files are unpacked instead, which takes a moment.");
                Kept::start(Way::Unpack)
            })?;
            start(name, &arguments, kept)
        }
    }
}

fn print_section(name: &str) -> Result<(), Error> {
    let file = File::open(OWN_FILE).map_err(Error::Own)?;
    let mut text = Elf::read(&file)?.text(&file, name)?;
    text.push(b'\n');
    // Whoever read our output has gone. There is nobody to tell.
    let _ = std::io::stdout().write_all(&text);
    Ok(())
}

/// Lets the app take this process over.
fn start(name: &OsStr, arguments: &[OsString], kept: Kept) -> Result<(), Error> {
    let own: PathBuf = std::fs::read_link(OWN_FILE).map_err(Error::Own)?;
    let folder = kept.hand_on()?;
    let path = folder.join("AppRun");
    let mut app = Command::new(&path);
    app.args(arguments).env("APPIMAGE", own).env("APPDIR", &folder).env("ARGV0", name);
    if let Ok(folder) = std::env::current_dir() {
        app.env("OWD", folder);
    }
    Err(Error::AppRun { path, source: app.exec() })
}
