//! A settings file of any bytes: it is used, or kept aside, and what is saved can be read again.

#![no_main]

use std::time::SystemTime;

use amanuensis_fuzz::folder;
use amanuensis_settings::Store;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let folder = folder();
    let path = folder.path().join("settings.json");
    std::fs::write(&path, bytes).expect("it is in memory");
    let store = Store::at(path);
    let opened = store.open(SystemTime::UNIX_EPOCH);
    if let Some(discarded) = &opened.discarded {
        let kept = discarded.kept.as_ref().expect("it can be renamed");
        assert_eq!(std::fs::read(kept).expect("it is there"), bytes);
    }
    store.save(&opened.settings).expect("what was accepted can be saved");
    assert_eq!(store.open(SystemTime::UNIX_EPOCH).settings, opened.settings);
});
