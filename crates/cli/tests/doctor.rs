//! `amanuensis doctor` on a machine that most likely has no NPU.

use std::process::Command;

#[test]
fn the_chain_is_printed_with_the_first_broken_link() {
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_amanuensis"));
    let output = doctor.arg("doctor").output().expect("the command starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    for link in ["kernel module", "node", "permission", "locked memory", "firmware", "shim", "XRT", "program"] {
        assert!(said.lines().any(|line| line.starts_with(link)), "no {link} in:\n{said}");
    }
    assert!(said.contains("The NPU can be used.") || said.contains("First broken: "), "{said}");
    // Which ways into other programs there are to try depends on the desktop: where there is none, there is none to try.
    for part in ["other programs", "bindsym --no-repeat Mod4+d exec amanuensis toggle"] {
        assert!(said.contains(part), "no {part} in:\n{said}");
    }
}
