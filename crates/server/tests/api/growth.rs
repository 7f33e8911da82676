//! A server that was used much is as small as one that was used little.

use std::time::Duration;

use serde_json::Value;

use crate::{Served, wav};

/// What the allocator may keep for itself.
const MOST_GROWTH_BYTES: u64 = 16 << 20;

/// Sends `count` recordings over four connections at a time.
fn transcribe(served: &Served, count: usize) {
    let file = wav(0.3);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..count / 4 {
                    let answer = served.upload("/v1/audio/transcriptions", &[("model", "fake")], &file);
                    assert_eq!(answer.status, 200, "{answer:?}");
                }
            });
        }
    });
    served.settle();
}

/// Memory and open files of this process, which is server and client both, as soon as no connection is left.
fn size(served: &Served) -> (u64, u64) {
    let stats = || -> Value { served.get("/stats").json() };
    let files = |stats: &Value| stats["open_files"].as_u64().unwrap();
    let mut now = stats();
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(20));
        let before = std::mem::replace(&mut now, stats());
        if files(&before) <= files(&now) {
            break;
        }
    }
    (now["resident_bytes"].as_u64().unwrap(), files(&now))
}

#[test]
fn a_thousand_requests_leave_nothing_behind() {
    let served = Served::start();
    transcribe(&served, 100);
    let (bytes_before, files_before) = size(&served);
    transcribe(&served, 1_000);
    let (bytes, files) = size(&served);
    assert!(files <= files_before, "{files_before} open files became {files}");
    assert!(bytes < bytes_before + MOST_GROWTH_BYTES, "{bytes_before} bytes became {bytes}");
    let snapshot = served.engine.snapshot();
    assert!(snapshot.pools.iter().all(|pool| pool.in_use == 0), "{:?}", snapshot.pools);
    assert_eq!((snapshot.requests.finished, snapshot.requests.in_flight), (1_100, 0));
    println!("{bytes_before} bytes and {files_before} files before, {bytes} and {files} after");
}
