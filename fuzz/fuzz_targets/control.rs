//! A line of any text on the control socket, and settings of any JSON from the page.

#![no_main]

use amanuensis_control::Request;
use amanuensis_settings::Settings;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(request) = std::str::from_utf8(bytes).ok().and_then(Request::parse) {
        assert_eq!(Request::parse(&format!("{request}\n")), Some(request), "a request is read as it was written");
    }
    if let Ok(settings) = serde_json::from_slice::<Settings>(bytes) {
        let text = serde_json::to_vec(&settings).expect("settings can be written");
        assert_eq!(serde_json::from_slice::<Settings>(&text).expect("they can be read again"), settings);
    }
});
