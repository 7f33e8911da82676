//! `cargo xtask test`: everything that can be wrong, found in one run.

use std::ops::AddAssign;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;

use crate::setup::{self, Consent, Purpose, Tools};
use crate::workspace;
use crate::{process, tidy};

/// How many tests ended how.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// Prepares the machine, runs every check and every test, and ends with the line `N passed, N failed, N skipped`.
///
/// A step that cannot even start counts as one failed test; the steps after it run all the same.
/// Returns whether nothing failed.
///
/// *Errors*: the machine could not be prepared, or the UI not be built, without which the app does not compile.
pub fn run(consent: Consent) -> anyhow::Result<bool> {
    let tools = setup::prepare(Purpose::Test, consent)?;
    setup::build_ui(&tools)?;
    let steps: [(&str, Step); 5] = [
        ("tidy", |tools| tidy::check(tools).map(Count::of_check)),
        ("ui: types", |tools| process::run(&mut tools.npm_script("check", &[])).map(|()| Count::of_check(true))),
        ("ui: tests", ui_tests),
        ("rust: tests", rust_tests),
        ("rust: examples in the documentation", doc_tests),
    ];
    let mut total = Count::default();
    let mut times = Vec::new();
    let has_ui = workspace::root().join("ui").is_dir();
    for (name, step) in steps.into_iter().filter(|(name, _)| has_ui || !name.starts_with("ui:")) {
        process::heading(name);
        let start = Instant::now();
        total += step(&tools).unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            Count { failed: 1, ..Count::default() }
        });
        times.push(format!("{name} {:.0} s", start.elapsed().as_secs_f64()));
    }
    println!("\nTime: {}", times.join(", "));
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    Ok(total.failed == 0)
}

type Step = fn(&Tools) -> anyhow::Result<Count>;

impl Count {
    fn of_check(passed: bool) -> Self {
        if passed { Self { passed: 1, ..Self::default() } } else { Self { failed: 1, ..Self::default() } }
    }
}

fn ui_tests(tools: &Tools) -> anyhow::Result<Count> {
    let report = workspace::root().join("ui/node_modules/.test-report.json");
    remove(&report)?;
    let output = format!("--outputFile.json={}", report.display());
    // A failing test is counted from the report; only a missing report is an error.
    let ran = process::run(&mut tools.npm_script("test", &["--reporter=default", "--reporter=json", &output]));
    let Ok(json) = std::fs::read_to_string(&report) else {
        ran?;
        anyhow::bail!("vitest wrote no report");
    };
    let count = count_vitest(&json)?;
    if count.failed == 0 {
        ran?;
    }
    Ok(count)
}

fn count_vitest(json: &str) -> anyhow::Result<Count> {
    let report: serde_json::Value = serde_json::from_str(json).context("cannot read vitest's report")?;
    let number = |name: &str| report[name].as_u64().with_context(|| format!("vitest's report lacks {name}"));
    Ok(Count {
        passed: number("numPassedTests")?,
        failed: number("numFailedTests")?,
        skipped: number("numPendingTests")? + number("numTodoTests")?,
    })
}

fn rust_tests(tools: &Tools) -> anyhow::Result<Count> {
    // nextest keeps its reports in the checkout, wherever cargo builds.
    let report = workspace::root().join("target/nextest/default/junit.xml");
    remove(&report)?;
    let mut cargo = workspace::cargo();
    tools.equip(&mut cargo).args(["nextest", "run", "--workspace", "--locked", "--no-tests=fail"]);
    let ran = process::run(&mut cargo);
    let Ok(xml) = std::fs::read_to_string(&report) else {
        ran?;
        anyhow::bail!("nextest wrote no report");
    };
    let (count, reasons) = count_junit(&xml)?;
    for reason in reasons {
        println!("  {reason}");
    }
    if count.failed == 0 {
        ran?;
    }
    Ok(count)
}

/// Counts from a JUnit report. A test that printed a line `skipped: reason` is skipped, whatever its outcome says;
/// the second part of the answer is one line for each of these.
fn count_junit(xml: &str) -> anyhow::Result<(Count, Vec<String>)> {
    let document = roxmltree::Document::parse(xml).context("cannot read nextest's report")?;
    let mut count = Count::default();
    let mut reasons = Vec::new();
    for case in document.descendants().filter(|node| node.has_tag_name("testcase")) {
        let failed = case.children().any(|node| node.has_tag_name("failure") || node.has_tag_name("error"));
        let printed = case.children().filter(|node| node.has_tag_name("system-out") || node.has_tag_name("system-err"));
        let reason =
            printed.filter_map(|node| node.text()).flat_map(str::lines).find(|line| line.starts_with("skipped: "));
        match (failed, reason) {
            (true, _) => count.failed += 1,
            (false, Some(reason)) => {
                count.skipped += 1;
                reasons.push(format!("{}: {reason}", case.attribute("name").unwrap_or("?")));
            }
            (false, None) => count.passed += 1,
        }
    }
    Ok((count, reasons))
}

fn doc_tests(tools: &Tools) -> anyhow::Result<Count> {
    let mut cargo = workspace::cargo();
    tools.equip(&mut cargo).args(["test", "--quiet", "--doc", "--workspace", "--locked", "--no-fail-fast"]);
    let mut count = Count::default();
    let well = process::watch(&mut cargo, |line| {
        if let Some(found) = count_libtest(line) {
            count += found;
        }
    })?;
    anyhow::ensure!(well || count.failed > 0, "the examples could not be built");
    Ok(count)
}

/// Reads libtest's last line: `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; …`.
fn count_libtest(line: &str) -> Option<Count> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number =
        |what: &str| numbers.split("; ").find_map(|part| part.trim().strip_suffix(what)?.trim().parse::<u64>().ok());
    Some(Count { passed: number("passed")?, failed: number("failed")?, skipped: number("ignored")? })
}

fn remove(file: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove the old report {}", file.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junit_is_counted_with_the_tests_that_said_skipped() {
        let xml = r#"<?xml version="1.0"?><testsuites><testsuite name="a">
            <testcase name="fine"><system-out>hello
not skipped: this is in the middle of a line</system-out></testcase>
            <testcase name="lacks"><system-out>x
skipped: no NPU here</system-out></testcase>
            <testcase name="bad"><failure type="test failure"/><system-err>skipped: too late</system-err></testcase>
            <testcase name="crash"><error/></testcase></testsuite></testsuites>"#;
        let (count, reasons) = count_junit(xml).unwrap();
        assert_eq!(count, Count { passed: 1, failed: 2, skipped: 1 });
        assert_eq!(reasons, ["lacks: skipped: no NPU here"]);
    }

    #[test]
    fn libtest_and_vitest_are_counted() {
        let line = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s";
        assert_eq!(count_libtest(line), Some(Count { passed: 3, failed: 2, skipped: 1 }));
        assert_eq!(count_libtest("test foo ... ok"), None);
        let json = r#"{"numPassedTests":5,"numFailedTests":1,"numPendingTests":2,"numTodoTests":1}"#;
        assert_eq!(count_vitest(json).unwrap(), Count { passed: 5, failed: 1, skipped: 3 });
        assert!(count_vitest("{}").is_err());
    }
}
