//! A server on this machine stands for the model hub, and misbehaves in every way that one can.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use amanuensis_models::download::{Patience, discard, unfinished};
use amanuensis_models::{DownloadError, Entry, Hub, Progress, Step, Stop};
use sha2::{Digest as _, Sha256};
use ureq::Proxy;

/// Longer than what the system holds of a connection that nobody reads.
const LENGTH: usize = 3_000_000;

/// The bytes of a model, as far as a download can tell.
fn content() -> &'static [u8] {
    static CONTENT: LazyLock<Vec<u8>> = LazyLock::new(noise);
    &CONTENT
}

fn noise() -> Vec<u8> {
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    b"lmgg".iter().copied().chain(noise).take(LENGTH).collect()
}

fn entry() -> Entry {
    let sha256 = Sha256::digest(content()).iter().map(|byte| format!("{byte:02x}")).collect();
    Entry { name: "little".to_owned(), bytes: LENGTH as u64, sha256, dims: None, address: None }
}

/// What the server does with a request. Of what is queued each is done once; when the queue is empty, it behaves.
#[derive(Clone)]
enum Act {
    /// Sends what is asked for.
    Behave,
    /// Sends this many bytes of it and ends the connection.
    Cut(usize),
    /// Sends this many bytes of it and nothing more, without an end.
    Stall(usize),
    /// Sends all of it, whatever is asked for.
    IgnoreRange,
    /// Sends other bytes of the same length.
    Lie,
    /// Answers with these lines and this body.
    Say(String, Vec<u8>),
}

fn say(head: &str) -> Act {
    Act::Say(head.to_owned(), Vec::new())
}

/// A server that is gone with the test's process.
struct Server {
    address: String,
    /// First lines and ranges of the requests.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(acts: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let acts = Arc::new(Mutex::new(acts.into_iter().collect()));
        let server = Self { address, asked: Arc::clone(&asked) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (asked, acts) = (Arc::clone(&asked), Arc::clone(&acts));
                // A client that goes away in the middle is part of the tests.
                std::thread::spawn(move || _ = answer(stream.unwrap(), &asked, &acts));
            }
        });
        server
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn hub(&self) -> Hub {
        hub(&[&self.address])
    }
}

fn answer(mut stream: TcpStream, asked: &Mutex<Vec<String>>, acts: &Mutex<VecDeque<Act>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut head = Vec::new();
    while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
        head.push(line);
    }
    let value = |name: &str| {
        let line = head.iter().find(|line| line.to_lowercase().starts_with(name))?;
        Some(line[name.len()..].trim().to_owned())
    };
    let (range, condition) = (value("range:"), value("if-range:"));
    let told = [head.first().cloned(), range.clone(), condition.clone()];
    asked.lock().unwrap().push(told.into_iter().flatten().collect::<Vec<_>>().join(" "));
    let act = acts.lock().unwrap().pop_front().unwrap_or(Act::Behave);
    let mut content = content().to_vec();
    if let Act::Say(head, body) = act {
        write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
        return stream.write_all(&body);
    }
    if matches!(act, Act::Lie) {
        content[LENGTH / 2] ^= 1;
    }
    let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let current = condition.is_none_or(|tag| tag == "\"one\"");
    let from = from.filter(|_| current && !matches!(act, Act::IgnoreRange));
    let status = match from {
        Some(from) => format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{LENGTH}", LENGTH - 1),
        None => "200 OK".to_owned(),
    };
    let rest = &content[from.unwrap_or(0)..];
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"one\"\r\nContent-Type: application/octet-stream\r\n\
         Connection: close\r\n\r\n",
        rest.len()
    )?;
    match act {
        Act::Cut(count) => stream.write_all(&rest[..count]),
        Act::Stall(count) => {
            stream.write_all(&rest[..count])?;
            // Until the other side has had enough.
            stream.read(&mut [0]).map(drop)
        }
        _ => stream.write_all(rest),
    }
}

/// Short waits, so that a test of them does not take long.
fn patience() -> Patience {
    Patience {
        connect: Duration::from_secs(5),
        silence: Duration::from_millis(400),
        pause: Duration::from_millis(10),
        longest_pause: Duration::from_millis(50),
        repetitions: 2,
    }
}

fn hub(mirrors: &[&str]) -> Hub {
    Hub::new(mirrors, None, patience()).unwrap()
}

fn download(hub: &Hub, folder: &Path) -> Result<(), DownloadError> {
    hub.download(&entry(), folder, &Stop::default(), &mut |_| ())
}

/// Nothing is there that could be taken for a model; what is left is the part, if anything.
fn assert_not_installed(folder: &Path) {
    let names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| name.to_str().unwrap().contains(".part")), "{names:?}");
}

fn assert_installed(folder: &Path) {
    let names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["ggml-little.bin"]);
    assert!(std::fs::read(folder.join("ggml-little.bin")).unwrap() == content());
}

/// The sentence of a download that fails for good, with nothing half-installed.
fn failure(acts: impl IntoIterator<Item = Act>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(acts);
    let error = download(&server.hub(), folder.path()).unwrap_err().to_string();
    assert_not_installed(folder.path());
    let host = server.address.trim_start_matches("http://");
    error.replace(host, "HOST").replace(folder.path().to_str().unwrap(), "FOLDER")
}

#[test]
fn a_model_is_installed_with_what_it_needs_and_asked_for_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let shelf = folder.path().join("not/there/yet");
    let server = Server::start([]);
    let mut told: Vec<Progress> = Vec::new();
    server.hub().download(&entry(), &shelf, &Stop::default(), &mut |progress| told.push(progress)).unwrap();
    assert_installed(&shelf);
    assert_eq!(shelf.join("ggml-little.bin").metadata().unwrap().permissions().mode() & 0o777, 0o644);
    let last = told.last().unwrap();
    assert_eq!((last.step, last.done, last.total), (Step::Receiving, LENGTH as u64, LENGTH as u64));
    assert!(told.is_sorted_by_key(|progress| progress.done));
    download(&server.hub(), &shelf).unwrap();
    assert_eq!(server.asked(), ["GET /ggml-little.bin HTTP/1.1"]);
}

#[test]
fn after_a_cut_it_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start([Act::Cut(1_000_000), Act::Cut(500_000)]);
    download(&server.hub(), folder.path()).unwrap();
    assert_installed(folder.path());
    let line = "GET /ggml-little.bin HTTP/1.1";
    let asked = [line.to_owned(), format!("{line} bytes=1000000- \"one\""), format!("{line} bytes=1500000- \"one\"")];
    assert_eq!(server.asked(), asked);
}

#[test]
fn after_a_pause_and_a_new_start_it_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start([]);
    let stop = Stop::default();
    let mut pause = |progress: Progress| {
        if progress.done > 0 {
            stop.stop();
        }
    };
    let error = server.hub().download(&entry(), folder.path(), &stop, &mut pause).unwrap_err();
    assert!(matches!(error, DownloadError::Stopped), "{error}");
    assert_not_installed(folder.path());
    let there = unfinished(&entry(), folder.path()).unwrap();
    assert!(there > 0 && there < LENGTH as u64);
    download(&server.hub(), folder.path()).unwrap();
    assert_installed(folder.path());
    assert_eq!(server.asked()[1], format!("GET /ggml-little.bin HTTP/1.1 bytes={there}- \"one\""));
}

#[test]
fn what_is_left_can_be_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ggml-little.bin.part"), "lmgg").unwrap();
    assert_eq!(unfinished(&entry(), folder.path()), Some(4));
    discard(&entry(), folder.path()).unwrap();
    discard(&entry(), folder.path()).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_server_that_ignores_the_range_sends_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start([Act::Cut(1_000_000), Act::IgnoreRange]);
    download(&server.hub(), folder.path()).unwrap();
    assert_installed(folder.path());
}

#[test]
fn a_file_that_has_changed_on_the_server_is_asked_for_anew() {
    let folder = tempfile::tempdir().unwrap();
    let part = folder.path().join("ggml-little.bin.part");
    let server = Server::start([]);
    std::fs::write(&part, "lmgg of another file").unwrap();
    std::fs::write(
        folder.path().join("ggml-little.bin.part.origin"),
        format!("{}/ggml-little.bin\n\"old\"\n", server.address),
    )
    .unwrap();
    download(&server.hub(), folder.path()).unwrap();
    assert_installed(folder.path());
    assert_eq!(server.asked(), ["GET /ggml-little.bin HTTP/1.1 bytes=20- \"old\""]);
}

#[test]
fn parts_of_two_files_are_found_out_and_all_of_it_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ggml-little.bin.part"), "lmgg of another file").unwrap();
    let server = Server::start([]);
    download(&server.hub(), folder.path()).unwrap();
    assert_installed(folder.path());
    let line = "GET /ggml-little.bin HTTP/1.1";
    assert_eq!(server.asked(), [format!("{line} bytes=20-"), line.to_owned()]);
}

#[test]
fn a_part_that_is_too_long_is_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ggml-little.bin.part"), vec![1; LENGTH + 1]).unwrap();
    let server = Server::start([]);
    download(&server.hub(), folder.path()).unwrap();
    assert_installed(folder.path());
}

#[test]
fn a_wrong_hash_is_told_and_nothing_is_kept() {
    let error = failure([Act::Lie]);
    assert!(error.starts_with("the file that HOST sent is not little: its SHA-256 is "), "{error}");
    assert!(error.ends_with("it was thrown away, try again or use another server"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let error = failure([say("404 Not Found")]);
    assert_eq!(error, "HOST does not have little (any more); use another server, or a newer version of this program");
    assert!(failure([say("403 Forbidden")]).starts_with("HOST refuses to send the file (status 403)"));
}

#[test]
fn a_busy_server_is_asked_again_and_at_last_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start([say("503 Service Unavailable\r\nRetry-After: 0"), say("429 Too Many Requests")]);
    download(&server.hub(), folder.path()).unwrap();
    assert_installed(folder.path());
    let error = failure(vec![say("500 Oh"); 3]);
    assert_eq!(error, "HOST refuses to send the file (status 500); try again later, or use another server");
}

#[test]
fn a_silent_server_is_told_and_what_came_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(vec![Act::Stall(1_000_000), Act::Stall(0), Act::Stall(0), Act::Stall(0)]);
    let error = download(&server.hub(), folder.path()).unwrap_err();
    assert!(matches!(error, DownloadError::Stalled { .. }), "{error}");
    assert!(error.to_string().contains("has sent nothing for"), "{error}");
    assert_not_installed(folder.path());
    assert_eq!(unfinished(&entry(), folder.path()), Some(1_000_000));
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn nobody_at_the_address_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = download(&hub(&[&format!("http://{address}")]), folder.path()).unwrap_err();
    assert!(matches!(error, DownloadError::Unreachable { .. }), "{error}");
    assert!(
        error.to_string().ends_with("check the connection to the internet and start the download again"),
        "{error}"
    );
    assert_not_installed(folder.path());
}

#[test]
fn redirects_are_followed_but_not_for_ever_and_not_to_where_anybody_can_listen() {
    let folder = tempfile::tempdir().unwrap();
    let other = Server::start([Act::Cut(1_000_000)]);
    let there = || say(&format!("302 Found\r\nLocation: {}/blob", other.address));
    let server = Server::start([say("307 Temporary Redirect\r\nLocation: /elsewhere"), there(), there()]);
    download(&server.hub(), folder.path()).unwrap();
    assert_installed(folder.path());
    assert_eq!(other.asked()[1], "GET /blob HTTP/1.1 bytes=1000000- \"one\"");

    let error = failure(vec![say("302 Found\r\nLocation: /ggml-little.bin"); 20]);
    assert_eq!(
        error,
        "HOST sends the download from one address to the next without end; try again later, or use another server"
    );
    for wrong in ["302 Found\r\nLocation: http://192.0.2.1/a", "302 Found\r\nLocation: file:///etc/passwd", "302 Found"]
    {
        let error = failure([say(wrong)]);
        assert!(error.starts_with("HOST sends the download on to an address that is not secure"), "{error}");
    }
}

#[test]
fn addresses_that_anybody_can_listen_to_are_refused() {
    for address in ["http://huggingface.co/models", "ftp://127.0.0.1/", "models"] {
        let error = Hub::new(&[address], None, patience()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{address} is not an address")), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let entry = Entry { address: Some("http://192.0.2.1/a.bin".to_owned()), ..entry() };
    let error =
        hub(&["http://127.0.0.1:1"]).download(&entry, folder.path(), &Stop::default(), &mut |_| ()).unwrap_err();
    assert!(matches!(error, DownloadError::Address { .. }), "{error}");
}

#[test]
fn a_page_instead_of_the_file_is_recognised() {
    let page = b"<!doctype html><title>Log in</title>".to_vec();
    let portals = [
        Act::Say("200 OK\r\nContent-Type: text/html; charset=utf-8".to_owned(), page.clone()),
        Act::Say("200 OK\r\nContent-Encoding: gzip".to_owned(), page.clone()),
        say("511 Network Authentication Required"),
        // Of the right length, without saying what it is.
        Act::Say("200 OK".to_owned(), page.into_iter().cycle().take(LENGTH).collect()),
    ];
    for portal in portals {
        let error = failure([portal]);
        assert!(
            error.starts_with("a page came from HOST instead of the model; if this network wants you to log in"),
            "{error}"
        );
    }
}

#[test]
fn a_file_of_another_length_is_refused_before_it_is_received() {
    let error = failure([Act::Say("200 OK".to_owned(), b"lmgg".to_vec())]);
    assert_eq!(error, "HOST has another file under the name little: 4 bytes, not 3000000; use another server");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ggml-little.bin.part"), "lmgg").unwrap();
    let other = Act::Say("206 Partial Content\r\nContent-Range: bytes 4-8/9".to_owned(), b"12345".to_vec());
    let error = download(&Server::start([other]).hub(), folder.path()).unwrap_err();
    assert!(matches!(error, DownloadError::WrongSize { found: 9, .. }), "{error}");
    assert_not_installed(folder.path());
}

#[test]
fn a_range_that_was_not_asked_for_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ggml-little.bin.part"), &content()[..1000]).unwrap();
    let other =
        Act::Say(format!("206 Partial Content\r\nContent-Range: bytes 0-99/{LENGTH}"), content()[..100].to_vec());
    let server = Server::start([other, say("416 Range Not Satisfiable")]);
    download(&server.hub(), folder.path()).unwrap();
    assert_installed(folder.path());
    let error = failure(vec![say("416 Range Not Satisfiable"); 3]);
    assert!(error.contains("refuses to send the file (status 416)"), "{error}");
}

#[test]
fn the_next_server_is_asked_where_one_fails_and_goes_on_where_that_one_was() {
    let folder = tempfile::tempdir().unwrap();
    let broken = Server::start([Act::Cut(1_000_000), say("500 Oh"), say("500 Oh"), say("500 Oh")]);
    let empty = Server::start([say("404 Not Found")]);
    let good = Server::start([]);
    let mirror = format!("{}/copies/", good.address);
    download(&hub(&[&broken.address, &empty.address, &mirror]), folder.path()).unwrap();
    assert_installed(folder.path());
    assert_eq!(good.asked(), ["GET /copies/ggml-little.bin HTTP/1.1 bytes=1000000-"]);
}

#[test]
fn without_room_nothing_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start([]);
    let full = server.hub().with_free_space(1_000_000, |_| Ok(3_999_999));
    let error =
        download(&full, folder.path()).unwrap_err().to_string().replace(folder.path().to_str().unwrap(), "FOLDER");
    assert_eq!(
        error,
        "there is not enough room in FOLDER: 4 MB are needed and 4 MB are free; make room and start the download again"
    );
    assert!(server.asked().is_empty());
    assert_not_installed(folder.path());
    download(&server.hub().with_free_space(1_000_000, |_| Ok(4_000_000)), folder.path()).unwrap();
    assert_installed(folder.path());
}

/// A disk of two megabytes, on which a file of three does not find room although the system said that it would.
#[test]
fn a_disk_that_fills_up_is_told_and_the_download_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = |words: &[&str]| {
        let done = std::process::Command::new(words[0]).args(&words[1..]).arg(&disk).output();
        done.is_ok_and(|output| output.status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs"]) {
        println!("skipped: this user may not mount a disk");
        return;
    }
    let server = Server::start([]);
    let error = download(&server.hub().with_free_space(0, |_| Ok(u64::MAX)), &disk);
    let kept = unfinished(&entry(), &disk);
    let grown = mount(&["mount", "-o", "remount,size=8m"]);
    let again = download(&server.hub().with_free_space(0, |_| Ok(u64::MAX)), &disk);
    let whole = std::fs::read(disk.join("ggml-little.bin"));
    assert!(mount(&["umount"]) && grown);
    assert!(matches!(error, Err(DownloadError::NoSpace { .. })), "{error:?}");
    assert!(kept.is_some_and(|kept| kept > 1_000_000), "{kept:?}");
    again.unwrap();
    assert!(whole.unwrap() == content());
}

#[test]
fn two_do_not_download_the_same_model_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start([Act::Stall(1_000_000)]);
    let (hub, second) = (server.hub(), AtomicBool::new(false));
    let mut other = None;
    hub.download(&entry(), folder.path(), &Stop::default(), &mut |progress| {
        if progress.step == Step::Receiving && !second.swap(true, Ordering::Relaxed) {
            other = Some(download(&hub, folder.path()));
            assert!(matches!(discard(&entry(), folder.path()), Err(DownloadError::Busy { .. })));
        }
    })
    .unwrap();
    let error = other.unwrap().unwrap_err().to_string();
    assert!(error.starts_with("little is being downloaded by another program or window already"), "{error}");
    assert_installed(folder.path());
}

/// Lets connections through to where it is told, and counts them.
fn proxy(allow: bool) -> (Proxy, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut client = stream.unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            let target = first.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            if !allow {
                client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n").unwrap();
                continue;
            }
            let mut server = TcpStream::connect(target).unwrap();
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || _ = std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || _ = std::io::copy(&mut server, &mut client));
        }
    });
    (proxy, count)
}

#[test]
fn a_proxy_is_used_and_blamed_where_it_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start([]);
    let (open, count) = proxy(true);
    download(&Hub::new(&[&server.address], Some(open), patience()).unwrap(), folder.path()).unwrap();
    assert_installed(folder.path());
    assert_eq!(count.load(Ordering::Relaxed), 1);

    let folder = tempfile::tempdir().unwrap();
    let (closed, _) = proxy(false);
    let error = download(&Hub::new(&[&server.address], Some(closed), patience()).unwrap(), folder.path()).unwrap_err();
    assert!(matches!(error, DownloadError::Proxy { .. }), "{error}");
    assert!(error.to_string().contains("check HTTPS_PROXY"), "{error}");
    assert_not_installed(folder.path());
}

#[test]
fn the_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = download(&hub(&["http://127.0.0.1:1"]), &file.join("models")).unwrap_err().to_string();
    assert!(error.starts_with("cannot write ") && error.contains("/file/models"), "{error}");
}
