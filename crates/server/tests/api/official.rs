//! OpenAI's own client.

use std::path::Path;
use std::process::Command;

use crate::{Served, wav};

#[test]
fn the_openai_package_transcribes_in_every_format() {
    let Some(python) = std::env::var_os("AMANUENSIS_TEST_PYTHON") else {
        println!("skipped: AMANUENSIS_TEST_PYTHON names no Python with the openai package");
        return;
    };
    let served = Served::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("talk.wav");
    std::fs::write(&file, wav(1.2)).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/official.py");
    let output = Command::new(python)
        .arg(script)
        .arg(format!("http://{}/v1", served.address()))
        .arg(&file)
        .env("OPENAI_API_KEY", &served.token)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
}
