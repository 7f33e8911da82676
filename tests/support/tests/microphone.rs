//! The virtual microphone hears what is played into it, and can be pulled out.

use std::process::{Command, Stdio};

use amanuensis_test_support::{VirtualMicrophone, speak};

fn sources(microphone: &VirtualMicrophone) -> String {
    let output = Command::new("pactl").args(["list", "short", "sources"]).envs(microphone.environment()).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn what_is_played_is_heard_until_the_plug_is_pulled() {
    let (Some(wav), Some(mut microphone)) = (speak("one two three"), VirtualMicrophone::start()) else { return };
    let mut recorder = Command::new("parec")
        .args(["--format=s16le", "--rate=16000", "--channels=1", "--latency-msec=20"])
        .envs(microphone.environment())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    microphone.play(&wav);
    recorder.kill().unwrap();
    let recorded = recorder.wait_with_output().unwrap().stdout;
    let loudest = recorded.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]).unsigned_abs()).max();
    assert!(loudest.unwrap_or(0) > 3_000, "{loudest:?} of {} bytes", recorded.len());

    assert!(sources(&microphone).contains("virtual_microphone"));
    microphone.unplug();
    assert_eq!(sources(&microphone), "");
    microphone.plug();
    assert!(sources(&microphone).contains("virtual_microphone"));
}
