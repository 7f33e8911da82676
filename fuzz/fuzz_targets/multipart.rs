//! An upload whose body is of any bytes.

#![no_main]

use amanuensis_fuzz::answer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let head = format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let answer = answer(&[head.as_bytes(), body], b"");
    assert!(answer.starts_with(b"HTTP/1.1 "), "every upload is answered");
    assert!(!answer.starts_with(b"HTTP/1.1 500"), "{}", String::from_utf8_lossy(&answer));
});
