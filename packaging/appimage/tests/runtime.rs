//! A small AppImage, and all that the specification promises of one.

use std::fs::{File, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use amanuensis_appimage::{MAGIC, PackError, pack};
use amanuensis_test_support::found;
use tempfile::TempDir;

const RUNTIME: &str = env!("CARGO_BIN_EXE_appimage-runtime");
const UPDATES: &str = "zsync|https://example.org/Amanuensis.AppImage.zsync";
/// How long anything may take that is waited for. It bounds a hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the test's AppImage runs: says how it was started, and ends as it is told.
const APP: &str = r#"#!/bin/sh
echo "dir=$APPDIR"
echo "image=$APPIMAGE"
echo "name=$ARGV0"
echo "from=$OWD"
for word in "$@"; do echo "word=$word"; done
case "$1" in
    wait) echo "self=$$"; exec sleep 60 ;;
    leave) sleep 1 >/dev/null 2>&1 & ;;
esac
exit 7
"#;

/// An AppImage in a folder of its own, and what is in it.
struct Sample {
    folder: TempDir,
    tree: PathBuf,
    file: PathBuf,
}

impl Sample {
    /// `None` where the tools are missing, which has been printed.
    fn make() -> Option<Self> {
        if !found("mksquashfs") {
            return None;
        }
        // A name that is not ASCII and has a space, as a home may.
        let folder = tempfile::Builder::new().prefix("bœuf à la ").tempdir().unwrap();
        let tree = folder.path().join("tree");
        std::fs::create_dir_all(tree.join("usr/share/nothing")).unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(tree.join(name), bytes).unwrap();
        write("AppRun", APP.as_bytes());
        std::fs::set_permissions(tree.join("AppRun"), Permissions::from_mode(0o755)).unwrap();
        // Blocks of its own and an end that shares one, a hole, bytes that cannot be packed, and nothing at all.
        let text: Vec<u8> = (0..200_000_u32).flat_map(|number| number.to_le_bytes()).collect();
        write("usr/long.bin", &text);
        write("usr/short.txt", b"short\n");
        write("usr/empty", b"");
        write("usr/share/größe.txt", b"sized\n");
        let holey = File::create(tree.join("usr/holey.bin")).unwrap();
        holey.write_all_at(b"end", 1 << 20).unwrap();
        let mut noise = 1_u64;
        let mut random = || {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (noise >> 56) as u8
        };
        write("usr/noise.bin", &(0..300_000).map(|_| random()).collect::<Vec<u8>>());
        std::os::unix::fs::symlink("usr/short.txt", tree.join("link.txt")).unwrap();
        let image = folder.path().join("image.squashfs");
        let mut tool = Command::new("mksquashfs");
        tool.arg(&tree).arg(&image).args(["-comp", "zstd", "-root-owned", "-noappend", "-quiet", "-no-progress"]);
        assert!(tool.status().unwrap().success());
        let file = folder.path().join("Sample.AppImage");
        pack(Path::new(RUNTIME), &image, UPDATES, &file).unwrap();
        std::fs::create_dir(folder.path().join("tmp")).unwrap();
        Some(Self { folder, tree, file })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.file);
        command.args(arguments).current_dir(self.folder.path()).env("TMPDIR", self.temporary());
        command.env_remove("APPIMAGE_EXTRACT_AND_RUN");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What is printed by a command that has to succeed.
    fn printed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn temporary(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    /// Waits until nothing is left of what the runtime made for the app.
    fn assert_cleaned_up(&self) {
        let left =
            || std::fs::read_dir(self.temporary()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        let until = Instant::now() + PATIENCE;
        while !left().is_empty() {
            assert!(Instant::now() < until, "left behind: {:?}", left());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whether this machine lets this user mount.
fn has_fuse() -> bool {
    let there = File::options().read(true).write(true).open("/dev/fuse").is_ok();
    if !there {
        println!("skipped: /dev/fuse cannot be opened");
    }
    there
}

fn assert_same_tree(one: &Path, other: &Path) {
    let compared = Command::new("diff").args(["-r", "--no-dereference"]).args([one, other]).output().unwrap();
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stdout));
}

fn lines_of(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// How the app says it was started, apart from where its files were.
fn assert_started(sample: &Sample, output: &Output) {
    let lines = lines_of(output);
    let has = |line: String| assert!(lines.contains(&line), "no {line} in {output:?}");
    has(format!("image={}", sample.file.display()));
    has(format!("name={}", sample.file.display()));
    has(format!("from={}", sample.folder.path().display()));
    has("word=two words".to_owned());
    assert_eq!(output.status.code(), Some(7), "{output:?}");
}

#[test]
fn the_file_is_what_tools_expect() {
    let Some(sample) = Sample::make() else { return };
    let file = File::open(&sample.file).unwrap();
    let mut magic = [0; 3];
    file.read_exact_at(&mut magic, 8).unwrap();
    assert_eq!(&magic, MAGIC);

    let offset: u64 = sample.printed(&["--appimage-offset"]).trim().parse().unwrap();
    assert_eq!(offset, std::fs::metadata(RUNTIME).unwrap().len());
    let mut image = [0; 4];
    file.read_exact_at(&mut image, offset).unwrap();
    assert_eq!(&image, b"hsqs");

    assert_eq!(sample.printed(&["--appimage-updateinformation"]), format!("{UPDATES}\n"));
    assert_eq!(sample.printed(&["--appimage-signature"]), "\n");
    assert!(sample.printed(&["--appimage-help"]).contains("--appimage-extract-and-run"));
    assert!(sample.printed(&["--appimage-version"]).contains(env!("CARGO_PKG_VERSION")));
    let unknown = sample.run(&["--appimage-surprise"]);
    assert_eq!(unknown.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("--appimage-help"));
}

#[test]
fn another_reader_of_squashfs_agrees() {
    let Some(sample) = Sample::make() else { return };
    if !found("unsquashfs") {
        return;
    }
    let offset = sample.printed(&["--appimage-offset"]);
    let other = sample.folder.path().join("other");
    let mut tool = Command::new("unsquashfs");
    tool.args(["-quiet", "-no-progress", "-offset", offset.trim(), "-dest"]).arg(&other).arg(&sample.file);
    assert!(tool.stdout(Stdio::null()).status().unwrap().success());
    assert_same_tree(&sample.tree, &other);
}

#[test]
fn all_files_and_chosen_ones_are_unpacked() {
    let Some(sample) = Sample::make() else { return };
    let unpacked = sample.folder.path().join("squashfs-root");
    sample.printed(&["--appimage-extract"]);
    assert_same_tree(&sample.tree, &unpacked);
    let mode = std::fs::metadata(unpacked.join("AppRun")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    // Again, over what is there.
    sample.printed(&["--appimage-extract"]);
    assert_same_tree(&sample.tree, &unpacked);

    std::fs::remove_dir_all(&unpacked).unwrap();
    assert!(sample.printed(&["--appimage-extract", "usr/*.txt"]).starts_with("1 files"));
    assert_eq!(std::fs::read(unpacked.join("usr/short.txt")).unwrap(), b"short\n");
    assert!(!unpacked.join("AppRun").exists());
}

#[test]
fn the_app_runs_unpacked() {
    let Some(sample) = Sample::make() else { return };
    assert_started(&sample, &sample.run(&["--appimage-extract-and-run", "say", "two words"]));
    sample.assert_cleaned_up();
    let by_environment = sample.command(&["say", "two words"]).env("APPIMAGE_EXTRACT_AND_RUN", "1").output().unwrap();
    assert_started(&sample, &by_environment);
    assert!(by_environment.stderr.is_empty(), "{by_environment:?}");
    sample.assert_cleaned_up();
}

#[test]
fn the_app_runs_mounted() {
    let Some(sample) = Sample::make() else { return };
    if !has_fuse() {
        return;
    }
    let output = sample.run(&["say", "two words"]);
    assert_started(&sample, &output);
    assert!(lines_of(&output)[0].contains("/.mount_"), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    sample.assert_cleaned_up();
    // A program that it leaves behind keeps the files for as long as it runs.
    assert_eq!(sample.run(&["leave"]).status.code(), Some(7));
    sample.assert_cleaned_up();
}

#[test]
fn without_fuse_the_app_runs_all_the_same() {
    let Some(sample) = Sample::make() else { return };
    // Of a device there is nothing left below another.
    let mut hidden = Command::new("unshare");
    hidden
        .args(["--mount", "sh", "-c", "mount --bind /dev/null /dev/fuse && \"$0\" say 'two words'"])
        .arg(&sample.file);
    hidden.current_dir(sample.folder.path()).env("TMPDIR", sample.temporary()).env_remove("APPIMAGE_EXTRACT_AND_RUN");
    let output = hidden.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("unshare:") || said.contains("mount:") {
        println!("skipped: this user cannot hide /dev/fuse");
        return;
    }
    assert_started(&sample, &output);
    assert!(said.contains("FUSE"), "{said}");
    sample.assert_cleaned_up();
}

#[test]
fn a_mount_lasts_until_it_is_ended() {
    let Some(sample) = Sample::make() else { return };
    if !has_fuse() {
        return;
    }
    let mut mount = sample.command(&["--appimage-mount"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(mount.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let folder = Path::new(line.trim_end());
    assert_same_tree(&sample.tree, folder);
    assert!(std::fs::write(folder.join("usr/new"), "").is_err());
    mount.kill().unwrap();
    mount.wait().unwrap();
    sample.assert_cleaned_up();
}

#[test]
fn the_app_is_the_process_that_was_started() {
    let Some(sample) = Sample::make() else { return };
    let mut app = sample.command(&["wait"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(app.stdout.take().unwrap()).lines();
    let own = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("self=").map(str::to_owned)).unwrap();
    assert_eq!(own, app.id().to_string());
    // Were it not, a signal would end the runtime and leave the app.
    app.kill().unwrap();
    app.wait().unwrap();
    sample.assert_cleaned_up();
}

#[test]
fn a_damaged_file_is_a_sentence() {
    let Some(sample) = Sample::make() else { return };
    let offset: u64 = sample.printed(&["--appimage-offset"]).trim().parse().unwrap();
    File::options().write(true).open(&sample.file).unwrap().set_len(offset + 200).unwrap();
    for way in [&["--appimage-extract"][..], &["--appimage-extract-and-run"], &["say"]] {
        let output = sample.run(way);
        assert_eq!(output.status.code(), Some(127), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("download the AppImage again"), "{output:?}");
    }
    sample.assert_cleaned_up();
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let Some(sample) = Sample::make() else { return };
    let image = sample.folder.path().join("image.squashfs");
    let again = sample.folder.path().join("Again.AppImage");
    pack(Path::new(RUNTIME), &image, UPDATES, &again).unwrap();
    assert!(std::fs::read(&again).unwrap() == std::fs::read(&sample.file).unwrap());
}

#[test]
fn what_cannot_be_packed_is_refused() {
    let Some(sample) = Sample::make() else { return };
    let image = sample.folder.path().join("image.squashfs");
    let to = sample.folder.path().join("Refused.AppImage");
    let runtime = Path::new(RUNTIME);
    assert!(matches!(pack(runtime, runtime, "", &to), Err(PackError::NotSquashfs(_))));
    assert!(matches!(pack(&image, &image, "", &to), Err(PackError::Runtime { .. })));
    assert!(matches!(pack(&sample.file, &image, "", &to), Err(PackError::Excess { .. })));
    let long = "x".repeat(2000);
    assert!(matches!(pack(runtime, &image, &long, &to), Err(PackError::UpdateInformation { bytes: 2000, room: 1024 })));
    assert!(!to.exists());
}
