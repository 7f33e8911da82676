//! What several fuzz targets need.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use amanuensis_backends::Choice;
use amanuensis_engine::{Engine, Settings as EngineSettings};
use amanuensis_models::ModelFile;
use amanuensis_server::{Access, Server, Settings};
use amanuensis_whisper::Weights;

/// Where files are made: in memory.
const MEMORY: &str = "/dev/shm";
/// Answers are read up to here.
const MOST_ANSWER_BYTES: u64 = 1 << 16;

/// A file with these bytes that has no name.
pub fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile_in(MEMORY).expect("memory can be written");
    file.write_all(bytes).expect("memory can be written");
    std::io::Seek::rewind(&mut file).expect("a file in memory can be rewound");
    file
}

/// A folder that is gone when it is dropped.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(MEMORY).expect("memory can be written")
}

/// Looks at everything that a model's file says.
pub fn read_model(path: &Path) {
    let Ok(weights) = Weights::open(path) else { return };
    let text = "Hello, wörld \u{1F600}";
    let tokens = weights.tokenizer().encode(text);
    weights.tokenizer().decode(&tokens);
    for (name, shape) in amanuensis_whisper::expected_tensors(weights.dims()) {
        let tensor = weights.tensor(&name).expect("an opened model has all its tensors");
        assert_eq!(tensor.len(), shape.iter().product::<usize>());
        tensor.to_f32();
    }
}

/// A server on the demo model, started once.
fn server() -> SocketAddr {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models/demo/amanuensis-demo.en.bin");
        let file = ModelFile { name: "demo".to_owned(), path, demo: true };
        let speech = amanuensis_backends::open(&file, &Choice::Auto).expect("the demo model can be opened");
        let engine = Engine::start(speech, EngineSettings::default()).expect("the engine starts");
        let mut settings = Settings::local(Access::Open);
        settings.address.set_port(0);
        Server::start(engine, settings).expect("some port is free")
    });
    server.address()
}

/// Sends bytes to the server, and says what it answers, up to a limit, before it closes the connection or falls silent.
pub fn answer(parts: &[&[u8]]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server()).expect("the server is alive");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
    for part in parts {
        // It may have closed the connection already: that is an answer too.
        if stream.write_all(part).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.take(MOST_ANSWER_BYTES).read_to_end(&mut answer);
    answer
}
