//! A WebSocket whose frames are of any bytes.

#![no_main]

use amanuensis_fuzz::answer;
use libfuzzer_sys::fuzz_target;

const HEAD: &[u8] = b"GET /v1/realtime HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

fuzz_target!(|frames: &[u8]| {
    // Without a frame nobody closes the connection.
    if !frames.is_empty() {
        assert!(answer(&[HEAD], frames).starts_with(b"HTTP/1.1 101"), "the server is alive");
    }
});
