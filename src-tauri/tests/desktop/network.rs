//! A dictation asks nobody: it runs in a network that leads nowhere, where the kernel counts who tries to leave it.

use std::process::{Command, Stdio};

use amanuensis_test_support::found;

/// Prints both counts, tries to leave by the old protocol and by the new one to show that it is counted, and prints them again.
const COUNT: &str = "cat /proc/net/snmp /proc/net/snmp6
echo > /dev/udp/198.51.100.1/9
echo > /dev/udp/2001:db8::1/9
cat /proc/net/snmp /proc/net/snmp6";

#[test]
fn a_dictation_sends_nothing() {
    if !["bash", "ip", "unshare"].into_iter().all(found) {
        return;
    }
    let in_own_network = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--net", "bash", "-c", script]);
        command
    };
    // The way to the machine itself, which the test's driver needs.
    let network = "ip link set lo up";
    if !in_own_network(network).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("skipped: this user may not make a network");
        return;
    }
    let this = std::env::current_exe().expect("a program knows where it lies");
    let dictation = "what_is_said_is_in_the_window_after_the_stop";
    let script = format!("{network} && '{}' --exact --nocapture {dictation} >&2 || exit 1\n{COUNT}", this.display());
    let output = in_own_network(&script).output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stderr);
    print!("{told}");
    assert!(told.contains("test result: ok. 1 passed"), "the dictation goes well in a network of its own");
    let counted = String::from_utf8_lossy(&output.stdout);
    let old: Vec<u64> = unroutable_v4(&counted);
    let new: Vec<u64> = unroutable_v6(&counted);
    assert_eq!(
        (old, new),
        (vec![0, 1], vec![0, 1]),
        "after the dictation; and after two attempts that were to be counted"
    );
}

/// The values of the column `OutNoRoutes` in the lines of `/proc/net/snmp`: one that names the columns, one with the values.
fn unroutable_v4(counted: &str) -> Vec<u64> {
    let lines: Vec<_> = counted.lines().filter_map(|line| line.strip_prefix("Ip: ")).collect();
    let value = |pair: &[&str]| {
        let column = pair[0].split(' ').position(|name| name == "OutNoRoutes")?;
        pair[1].split(' ').nth(column)?.parse().ok()
    };
    lines.chunks_exact(2).filter_map(value).collect()
}

fn unroutable_v6(counted: &str) -> Vec<u64> {
    let values = counted.lines().filter_map(|line| line.strip_prefix("Ip6OutNoRoutes"));
    values.filter_map(|value| value.trim().parse().ok()).collect()
}
