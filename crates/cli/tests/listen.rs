//! `amanuensis listen` and `devices` with a microphone that hears what espeak-ng says.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use amanuensis_test_support::{VirtualMicrophone, assert_understood, speak};

const SAID: &str = "Please send the report to Alice before Friday.";

fn amanuensis(microphone: &VirtualMicrophone, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amanuensis"));
    command.args(arguments).stdin(Stdio::null()).envs(microphone.environment()).env_remove("RUST_LOG");
    command
}

/// A running `listen`, whose microphone is live.
struct Listening {
    child: Child,
    /// Reads what it says from then on.
    remarks: JoinHandle<String>,
}

impl Listening {
    fn start(microphone: &VirtualMicrophone, arguments: &[&str]) -> Self {
        let mut child = amanuensis(microphone, &["listen"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut remarks = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        remarks.read_line(&mut line).unwrap();
        assert!(line.contains(VirtualMicrophone::NAME), "{line}");
        let remarks = std::thread::spawn(move || {
            let mut rest = String::new();
            remarks.read_to_string(&mut rest).unwrap();
            rest
        });
        Self { child, remarks }
    }

    fn interrupt(&self) {
        let status = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Exit code, text and remarks.
    fn end(self) -> (Option<i32>, String, String) {
        let output = self.child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), self.remarks.join().unwrap())
    }
}

fn prepare() -> Option<VirtualMicrophone> {
    if amanuensis_models::demo().is_none() {
        println!("skipped: the demo model is not there");
        return None;
    }
    VirtualMicrophone::start()
}

#[test]
fn what_is_said_is_written_until_it_is_interrupted() {
    let (Some(microphone), Some(wav)) = (prepare(), speak(SAID)) else { return };
    let listening = Listening::start(&microphone, &[]);
    microphone.play(&wav);
    listening.interrupt();
    let (code, text, remarks) = listening.end();
    assert_eq!((code, remarks.as_str()), (Some(0), ""));
    assert_understood(SAID, &text);
}

#[test]
fn silence_says_so_and_writes_nothing() {
    let Some(microphone) = prepare() else { return };
    let (code, text, remarks) = Listening::start(&microphone, &["--seconds", "2"]).end();
    assert_eq!((code, text.as_str(), remarks.as_str()), (Some(0), "", "No speech was heard.\n"));
}

#[test]
fn a_microphone_that_goes_away_keeps_what_was_said() {
    let (Some(mut microphone), Some(wav)) = (prepare(), speak(SAID)) else { return };
    let listening = Listening::start(&microphone, &[]);
    microphone.play(&wav);
    microphone.unplug();
    let (code, text, remarks) = listening.end();
    assert_eq!(code, Some(1));
    assert_understood(SAID, &text);
    assert!(remarks.contains("the microphone went away") && remarks.contains("is written"), "{remarks}");

    microphone.plug();
    let listening = Listening::start(&microphone, &[]);
    microphone.play(&wav);
    microphone.kill_server();
    let (code, text, remarks) = listening.end();
    assert_eq!(code, Some(1));
    assert_understood(SAID, &text);
    assert!(remarks.contains("the microphone went away"), "{remarks}");
}

#[test]
fn microphones_are_listed_and_chosen_by_name() {
    let Some(mut microphone) = VirtualMicrophone::start() else { return };
    let output = amanuensis(&microphone, &["devices"]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let (microphones, npu) = printed.split_once("\nNPU: ").unwrap();
    assert_eq!(microphones, "Microphones:\n* VirtualMicrophone\tpulseaudio:virtual_microphone");
    assert!(npu.starts_with("available") || npu.starts_with("not available: "), "{npu}");

    if amanuensis_models::demo().is_some() {
        for name in ["virtualmic", "pulseaudio:virtual_microphone"] {
            let (code, ..) = Listening::start(&microphone, &["--microphone", name, "--seconds", "1"]).end();
            assert_eq!(code, Some(0));
        }
    }
    let output = amanuensis(&microphone, &["listen", "--microphone", "other"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("the microphone \"other\" is not there"), "{said}");

    microphone.unplug();
    let output = amanuensis(&microphone, &["devices"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("amanuensis: no microphone was found"), "{said}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.starts_with("NPU: "), "{printed}");
}

#[test]
fn without_a_microphone_there_is_one_sentence() {
    let Some(mut microphone) = prepare() else { return };
    microphone.unplug();
    let output = amanuensis(&microphone, &["listen"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("amanuensis: no microphone was found"), "{said}");
}
