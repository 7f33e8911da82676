//! Clients that are wrong, slow, greedy or not who they should be: the right status, and a server that lives on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use amanuensis_server::{Access, Limits, Server, Settings, StartError};
use amanuensis_test_support::Gate;
use serde_json::json;

use crate::client::{self, Answer, connect, content_type, form, read, request};
use crate::fake::Fake;
use crate::{Served, wav};

const PATH: &str = "/v1/audio/transcriptions";

/// Limits that a test can wait for.
fn short() -> Limits {
    Limits {
        head_time: Duration::from_millis(300),
        pause: Duration::from_millis(300),
        upload_time: Duration::from_millis(900),
        ..Limits::default()
    }
}

fn assert_alive(served: &Served) {
    assert_eq!(served.upload(PATH, &[("model", "fake")], &wav(1.2)).json()["text"], "Hello, world.");
    served.settle();
    let snapshot = served.engine.snapshot();
    assert!(snapshot.pools.iter().all(|pool| pool.in_use == 0), "{:?}", snapshot.pools);
}

/// The head of an upload that is never finished.
fn head(served: &Served, more: &str) -> String {
    let (address, bearer) = (served.address(), served.bearer());
    format!(
        "POST {PATH} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {bearer}\r\nContent-Type: {}\r\n{more}\r\n",
        content_type()
    )
}

fn send(served: &Served, bytes: &[u8]) -> Option<Answer> {
    let mut stream = connect(served.address());
    stream.write_all(bytes).unwrap();
    read(&mut stream)
}

#[test]
fn a_wrong_token_opens_nothing_but_what_is_public() {
    let served = Served::start();
    let wrong = format!("Bearer {}", "0".repeat(64));
    for path in ["/v1/models", "/v1/realtime", "/metrics", "/stats", "/stats/pipeline", "/platform", "/health/pipeline"]
    {
        for headers in [&[][..], &[("Authorization", wrong.as_str())], &[("Authorization", "Basic Og==")]] {
            let answer = request(served.address(), "GET", path, headers, &[]);
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{path}");
            assert_eq!(answer.json()["error"]["code"], "invalid_api_key");
        }
    }
    for path in ["/health", "/docs", "/openapi.json"] {
        assert_eq!(request(served.address(), "GET", path, &[], &[]).status, 200, "{path}");
    }
    let body = form(&[("model", "fake")], Some(("a.wav", &wav(1.0))));
    let headers = [("Content-Type", content_type())];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(request(served.address(), "POST", PATH, &headers, &body).status, 401);
    assert_alive(&served);
}

#[test]
fn foreign_hosts_and_origins_are_refused() {
    let served = Served::start();
    let (port, bearer) = (served.address().port(), served.bearer());
    let ask = |host: &str, origin: &str| {
        let lines = format!("Host: {host}\r\n{origin}Authorization: {bearer}\r\nConnection: close\r\n\r\n");
        send(&served, format!("GET /v1/models HTTP/1.1\r\n{lines}").as_bytes()).expect("an answer").status
    };
    assert_eq!(ask(&format!("localhost:{port}"), ""), 200);
    assert_eq!(ask(&format!("localhost:{port}"), &format!("Origin: http://localhost:{port}\r\n")), 200);
    assert_eq!(ask(&format!("rebound.example:{port}"), ""), 421);
    assert_eq!(ask(&format!("rebound.example:{port}"), &format!("Origin: http://rebound.example:{port}\r\n")), 421);
    assert_eq!(ask(&format!("localhost:{port}"), "Origin: https://page.example\r\n"), 403);
    assert_eq!(ask(&format!("localhost:{port}"), "Origin: null\r\n"), 403);
    // No page is ever told that it may read answers.
    let preflight = request(served.address(), "OPTIONS", PATH, &[("Origin", "https://page.example")], &[]);
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (403, None));
}

#[test]
fn beyond_loopback_there_has_to_be_a_token() {
    let served = Served::start();
    let mut settings = Settings::local(Access::Open);
    settings.address = "0.0.0.0:0".parse().unwrap();
    let refused = Server::start(served.engine.clone(), settings);
    assert!(matches!(refused, Err(StartError::OpenBeyondLoopback { .. })));
    let mut settings = Settings::local(Access::Open);
    settings.address.set_port(0);
    let open = Server::start(served.engine.clone(), settings).unwrap();
    assert_eq!(request(open.address(), "GET", "/v1/models", &[], &[]).status, 200);
}

#[test]
fn a_taken_port_is_named() {
    let served = Served::start();
    let mut settings = Settings::local(Access::Open);
    settings.address = served.address();
    let error = Server::start(served.engine.clone(), settings).unwrap_err().to_string();
    assert!(error.contains(&served.address().to_string()) && error.contains("another port"), "{error}");
}

#[test]
fn malformed_forms_are_refused() {
    let served = Served::start();
    let whole = form(&[("model", "fake")], Some(("a.wav", &wav(1.0))));
    let cut = &whole[..whole.len() - 40];
    let binary: Vec<u8> = (0..=255).cycle().take(5_000).collect();
    let unnamed = b"------boundary\r\nContent-Disposition: form-data\r\n\r\nx\r\n------boundary--\r\n";
    let endless_head = [b"------boundary\r\nContent-Disposition: ".as_slice(), &[b'x'; 100_000]].concat();
    let many = form(&[("prompt", ""); 100], None);
    let not_text =
        [&b"------boundary\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n\xff\xfe\r\n"[..], &whole]
            .concat();
    let long = form(&[("prompt", &"x".repeat(100_000))], None);
    let cases: [(&str, &[u8]); 9] = [
        ("nothing", b" "),
        ("cut off", cut),
        ("binary", &binary),
        ("unnamed", unnamed),
        ("endless head", &endless_head),
        ("too many fields", &many),
        ("not text", &not_text),
        ("too long", &long),
        ("two files", &[&whole[..whole.len() - 18], &whole].concat()),
    ];
    for (case, body) in cases {
        let answer = served.send_form(PATH, body);
        assert_eq!(answer.status, 400, "{case}: {answer:?}");
        assert!(!answer.error().is_empty(), "{case}");
    }
    let bearer = served.bearer();
    for kind in ["application/json", "multipart/form-data", "multipart/form-data; boundary=", ""] {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
        let answer = request(served.address(), "POST", PATH, &headers, &whole);
        assert_eq!(answer.status, 400, "{kind}: {answer:?}");
    }
    assert_alive(&served);
}

#[test]
fn what_is_no_recording_is_refused() {
    let served = Served::start();
    let noise: Vec<u8> = (0..50_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let whole = wav(1.0);
    for (case, file) in
        [("empty", &b""[..]), ("text", b"this is no sound"), ("noise", &noise), ("a head only", &whole[..20])]
    {
        let answer = served.upload(PATH, &[("model", "fake")], file);
        assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!("file")), "{case}: {answer:?}");
        assert!(case == "a head only" || answer.error().contains("talk.wav"), "{case}: {}", answer.error());
    }
    assert_alive(&served);
}

#[test]
fn a_body_of_200_mb_is_refused_before_it_is_read() {
    let served = Served::start();
    // By its announced length: the answer is there before a byte of the body is.
    let mut stream = connect(served.address());
    stream.write_all(head(&served, "Content-Length: 200000000\r\nConnection: close\r\n").as_bytes()).unwrap();
    let answer = read(&mut stream).expect("an answer");
    assert_eq!(answer.status, 413);
    assert!(answer.error().contains("104857600"), "{}", answer.error());
    // A client that sends it all the same gets to read the answer.
    let mut stream = connect(served.address());
    stream.write_all(head(&served, "Content-Length: 200000000\r\nConnection: close\r\n").as_bytes()).unwrap();
    let block = vec![b'x'; 1 << 20];
    for _ in 0..200 {
        if stream.write_all(&block).is_err() {
            break;
        }
    }
    assert_eq!(read(&mut stream).expect("an answer").status, 413);
    assert_alive(&served);
}

#[test]
fn a_body_without_a_length_is_cut_off_at_the_limit() {
    let served = Served::with(Fake::default(), 100, Limits { body_bytes: 1 << 20, ..Limits::default() });
    let mut stream = connect(served.address());
    stream.write_all(head(&served, "Transfer-Encoding: chunked\r\nConnection: close\r\n").as_bytes()).unwrap();
    let mut body = form(&[], Some(("a.wav", &vec![0; 4 << 20])));
    body.truncate(3 << 20);
    stream.write_all(format!("{:x}\r\n", body.len()).as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    stream.write_all(b"\r\n0\r\n\r\n").unwrap();
    assert_eq!(read(&mut stream).expect("an answer").status, 413);
    assert_alive(&served);
}

#[test]
fn absurd_lengths_are_refused() {
    let served = Served::start();
    for (length, status) in [
        // What no 64-bit number can count is the head's fault.
        ("18446744073709551615", 431),
        ("18446744073709551000", 413),
        ("9223372036854775807", 413),
        ("99999999999999999999999999", 400),
        ("-1", 400),
        ("ten", 400),
    ] {
        let answer =
            send(&served, head(&served, &format!("Content-Length: {length}\r\nConnection: close\r\n")).as_bytes());
        assert_eq!(answer.expect("an answer").status, status, "{length}");
    }
    let two = "Content-Length: 5\r\nContent-Length: 6\r\nConnection: close\r\n";
    assert_eq!(send(&served, head(&served, two).as_bytes()).expect("an answer").status, 400);
    let endless = format!("X-Long: {}\r\n", "x".repeat(1 << 20));
    let mut stream = connect(served.address());
    // The server may stop listening before all of it is sent.
    let _ = stream.write_all(head(&served, &endless).as_bytes());
    assert!(read(&mut stream).is_none_or(|answer| answer.status == 431), "a head without end");
    assert_eq!(send(&served, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").expect("an answer").status, 400);
    assert_alive(&served);
}

#[test]
fn slow_heads_are_cut_off() {
    let served = Served::with(Fake::default(), 100, short());
    let mut slow = connect(served.address());
    let started = std::time::Instant::now();
    for byte in head(&served, "").bytes() {
        if slow.write_all(&[byte]).is_err() || started.elapsed() > Duration::from_secs(2) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let answer = read(&mut slow).expect("an answer");
    assert_eq!((answer.status, answer.error().is_empty()), (408, false));
    // One that says nothing at all is hung up on without a word.
    assert!(read(&mut connect(served.address())).is_none());
    assert_alive(&served);
}

#[test]
fn slow_bodies_are_cut_off() {
    let served = Served::with(Fake::default(), 100, short());
    let whole = form(&[("model", "fake")], Some(("a.wav", &wav(1.0))));
    let start = [
        head(&served, &format!("Content-Length: {}\r\nConnection: close\r\n", whole.len())).as_bytes(),
        &whole[..3_000],
    ]
    .concat();
    let answer = send(&served, &start).expect("an answer");
    assert_eq!((answer.status, answer.error().is_empty()), (408, false));
    // A byte now and then does not help: the whole has its limit too.
    let mut drip = connect(served.address());
    drip.write_all(&start).unwrap();
    let mut sender = drip.try_clone().unwrap();
    let dripping = std::thread::spawn(move || {
        while sender.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert_eq!(read(&mut drip).expect("an answer").status, 408);
    drop(drip);
    dripping.join().unwrap();
    assert_alive(&served);
}

#[test]
fn many_slow_clients_keep_nobody_out_for_long() {
    let served = Served::with(Fake::default(), 100, Limits { connections: 8, ..short() });
    let slow: Vec<TcpStream> = (0..32)
        .map(|_| {
            let mut stream = connect(served.address());
            stream.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
            stream
        })
        .collect();
    assert_alive(&served);
    drop(slow);
}

#[test]
fn a_client_that_takes_no_answers_is_hung_up_on() {
    let limits = Limits { connections: 1, write_time: Duration::from_millis(500), ..Limits::default() };
    let served = Served::with(Fake::default(), 100, limits);
    let mut greedy = TcpStream::connect(served.address()).unwrap();
    greedy.set_nonblocking(true).unwrap();
    // Far more than the system keeps for a connection.
    let ask = format!("GET /openapi.json HTTP/1.1\r\nHost: {}\r\n\r\n", served.address()).repeat(2_000);
    let mut sent = 0;
    while let Ok(count) = greedy.write(&ask.as_bytes()[sent..])
        && count > 0
    {
        sent += count;
    }
    assert!(sent > 50_000, "{sent} bytes of questions");
    // There is room for one connection: the next is served when the first is given up.
    assert_alive(&served);
    drop(greedy);
}

#[test]
fn a_full_queue_says_when_to_come_again() {
    let gate = Gate::default();
    let served = Served::with(Fake { gate: gate.clone(), ..Fake::default() }, 2, Limits::default());
    gate.shut();
    std::thread::scope(|scope| {
        // One after the other: of many at once most would be refused before the first stage has taken the others.
        let mut asking = Vec::new();
        let mut ask_until = |enough: &dyn Fn(&[ScopedJoinHandle<'_, Answer>]) -> bool| {
            while !enough(&asking) {
                assert!(asking.len() < 100, "it takes everything");
                asking.push(scope.spawn(|| served.upload(PATH, &[("model", "fake")], &wav(1.2))));
                std::thread::sleep(Duration::from_millis(30));
            }
        };
        // While nothing moves on, it gets full and stays so.
        ask_until(&|_| served.get("/health/pipeline").status != 200);
        ask_until(&|asking| asking.iter().any(ScopedJoinHandle::is_finished));
        let health = served.get("/health/pipeline");
        assert_eq!((health.status, &health.json()["status"]), (503, &json!("full")));
        // Others are still answered.
        assert_eq!(served.get("/v1/models").status, 200);
        gate.open();
        let answers: Vec<Answer> = asking.into_iter().map(|asking| asking.join().unwrap()).collect();
        let (fine, busy): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert!(fine.len() >= 3 && !busy.is_empty(), "{} fine, {} busy", fine.len(), busy.len());
        for answer in busy {
            assert_eq!((answer.status, &answer.json()["error"]["code"]), (429, &json!("rate_limit_exceeded")));
            let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=3600).contains(&after), "{after}");
        }
    });
    assert_alive(&served);
}

#[test]
fn more_recordings_than_there_are_places_for_are_refused() {
    let gate = Gate::default();
    let limits = Limits { recordings: 1, ..Limits::default() };
    let served = Served::with(Fake { gate: gate.clone(), ..Fake::default() }, 100, limits);
    gate.shut();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| served.upload(PATH, &[("model", "fake")], &wav(1.2)));
        while served.engine.snapshot().requests.submitted == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let second = served.upload(PATH, &[("model", "fake")], &wav(1.2));
        assert_eq!((second.status, second.header("retry-after").is_some()), (429, true));
        gate.open();
        assert_eq!(first.join().unwrap().status, 200);
    });
    assert_alive(&served);
}

#[test]
fn a_client_that_goes_away_takes_its_request_with_it() {
    let gate = Gate::default();
    let served = Served::with(Fake { gate: gate.clone(), ..Fake::default() }, 100, Limits::default());
    gate.shut();
    for fields in [&[("model", "fake")][..], &[("model", "fake"), ("stream", "true")]] {
        let body = form(fields, Some(("a.wav", &wav(1.2))));
        let submitted = served.engine.snapshot().requests.submitted;
        let mut stream = connect(served.address());
        stream.write_all(head(&served, &format!("Content-Length: {}\r\n", body.len())).as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        while served.engine.snapshot().requests.submitted == submitted {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    // The streams are dropped by now. Cancelled requests end when the gate lets their window through.
    std::thread::sleep(Duration::from_millis(200));
    gate.open();
    served.settle();
    let requests = served.engine.snapshot().requests;
    assert_eq!((requests.finished, requests.cancelled), (0, 2));
    assert_alive(&served);
}

#[test]
fn an_answer_that_comes_too_late_is_given_up() {
    let gate = Gate::default();
    let limits = Limits { answer_time: Duration::from_millis(200), ..Limits::default() };
    let served = Served::with(Fake { gate: gate.clone(), ..Fake::default() }, 100, limits);
    gate.shut();
    std::thread::scope(|scope| {
        let late = scope.spawn(|| served.upload(PATH, &[("model", "fake")], &wav(1.2)));
        std::thread::sleep(Duration::from_millis(400));
        gate.open();
        assert_eq!(late.join().unwrap().status, 504);
    });
}

#[test]
fn requests_in_hand_are_finished_when_the_server_stops() {
    let gate = Gate::default();
    let mut served = Served::with(Fake { gate: gate.clone(), ..Fake::default() }, 100, Limits::default());
    gate.shut();
    let body = form(&[("model", "fake")], Some(("a.wav", &wav(1.2))));
    let (address, bearer) = (served.address(), served.bearer());
    let asking = std::thread::spawn(move || {
        let headers = [("Authorization", bearer), ("Content-Type", content_type())];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        request(address, "POST", PATH, &headers, &body)
    });
    while served.engine.snapshot().requests.submitted == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    // An idle connection does not hold up the end.
    let mut idle = connect(address);
    idle.write_all(format!("GET /health HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let opener = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        gate.open();
    });
    served.stop();
    opener.join().unwrap();
    assert_eq!(asking.join().unwrap().json()["text"], "Hello, world.");
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn a_request_that_does_not_end_is_cut_off_after_the_grace() {
    let gate = Gate::default();
    let limits = Limits { grace: Duration::from_millis(200), ..Limits::default() };
    let mut served = Served::with(Fake { gate: gate.clone(), ..Fake::default() }, 100, limits);
    gate.shut();
    let body = form(&[("model", "fake")], Some(("a.wav", &wav(1.2))));
    let mut stream = connect(served.address());
    stream.write_all(head(&served, &format!("Content-Length: {}\r\n", body.len())).as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    while served.engine.snapshot().requests.submitted == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    served.stop();
    assert!(client::read(&mut stream).is_none());
    gate.open();
    served.settle();
    assert_eq!(served.engine.snapshot().requests.cancelled, 1);
}
