//! `cargo xtask load`: many clients at once on the server, for a while. It must answer all of them and not grow.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;

use crate::process;
use crate::setup::{self, Consent, Purpose};
use crate::workspace::{self, Metadata};

/// What is said in the recording that all clients send.
const SAID: &str = "The meeting begins at nine.";
/// A client that was told to come again later does, but not later than this.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How long an answer may take: all clients wait for one engine.
const PATIENCE: Duration = Duration::from_secs(300);
/// The part of the time after which everything that is kept has been allocated.
const WARM_UP: f64 = 1.0 / 3.0;
/// Growth of resident memory after that which is the allocator's business.
const MOST_GROWTH_BYTES: u64 = 32 << 20;

/// How much is asked of the server.
#[derive(Args)]
pub struct Options {
    /// Clients at a time.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// Seconds during which they send.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Install what is missing without asking.
    #[arg(long)]
    yes: bool,
}

/// What the clients saw.
#[derive(Default)]
struct Seen {
    latencies: Vec<Duration>,
    busy: u64,
    errors: Vec<String>,
}

/// Builds the command with optimisation, lets the clients at it and prints what they saw. Returns whether all was well.
///
/// *Errors*: the machine could not be prepared, or the server could not be built or started.
pub fn run(options: &Options) -> anyhow::Result<bool> {
    let tools = setup::prepare(Purpose::Test, Consent::from_flag(options.yes))?;
    process::heading("load: build");
    let mut cargo = workspace::cargo();
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    process::run(tools.equip(&mut cargo).args(["build", "--locked", "--release", "--package", "amanuensis-cli"]))?;
    let target = Metadata::read()?.target_directory;
    // Into a file, for only there espeak-ng writes the length into the head.
    let wav = target.join("load.wav");
    process::run(Command::new("espeak-ng").arg("-w").arg(&wav).arg(SAID))?;
    let recording = std::fs::read(&wav).with_context(|| format!("cannot read {}", wav.display()))?;
    let server = Server::start(&target.join("release/amanuensis"))?;
    process::heading(&format!("load: {} clients for {} s", options.clients, options.seconds));
    let idle = server.size()?;
    let length = Duration::from_secs(options.seconds);
    let start = Instant::now();
    let end = start + length;
    let seen = Mutex::new(Seen::default());
    let (warm, loaded) = std::thread::scope(|scope| {
        for _ in 0..options.clients {
            scope.spawn(|| send_until(end, &server.address, &recording, &seen));
        }
        std::thread::sleep(length.mul_f64(WARM_UP));
        let warm = server.size();
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
        (warm, server.size())
    });
    // Longer than was asked for: the last answers were waited for.
    let elapsed = start.elapsed();
    // The clients are gone; their connections close within a moment.
    std::thread::sleep(Duration::from_secs(1));
    let sizes = [("idle", idle), ("warm", warm?), ("loaded", loaded?), ("after", server.size()?)];
    let seen = seen.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(report(seen, elapsed, &sizes))
}

fn report(mut seen: Seen, elapsed: Duration, sizes: &[(&str, Size); 4]) -> bool {
    seen.latencies.sort_unstable();
    let rate = seen.latencies.len() as f64 / elapsed.as_secs_f64();
    println!("{} answers ({rate:.2}/s), {} busy, {} errors", seen.latencies.len(), seen.busy, seen.errors.len());
    for error in seen.errors.iter().take(10) {
        println!("  error: {error}");
    }
    let at = |part: f64| percentile(&seen.latencies, part).as_secs_f64();
    println!("latency p50 {:.2} s, p95 {:.2} s, p99 {:.2} s, longest {:.2} s", at(0.5), at(0.95), at(0.99), at(1.0));
    for (name, size) in sizes {
        let mib = size.resident_bytes as f64 / (1 << 20) as f64;
        println!("{name:>6}: {mib:.1} MiB resident, {} open files, {} threads", size.files, size.threads);
    }
    let [(_, idle), (_, warm), (_, loaded), (_, after)] = sizes;
    let grew = loaded.resident_bytes.max(after.resident_bytes) > warm.resident_bytes + MOST_GROWTH_BYTES;
    let leaked = after.files > idle.files;
    if grew || leaked {
        println!("the server has grown");
    }
    !seen.latencies.is_empty() && seen.errors.is_empty() && !grew && !leaked
}

/// The smallest of the sorted `values` that is not exceeded by `part` of them.
fn percentile(values: &[Duration], part: f64) -> Duration {
    let index = (values.len() as f64 * part).ceil() as usize;
    values.get(index.saturating_sub(1)).copied().unwrap_or_default()
}

/// A server without a token, on a free port, that ends with its owner.
struct Server {
    child: Child,
    address: String,
}

/// What a process takes.
struct Size {
    resident_bytes: u64,
    files: usize,
    threads: u64,
}

impl Server {
    fn start(program: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--port", "0", "--no-token"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let mut line = String::new();
        let stdout = child.stdout.take().expect("BUG: the lines above asked for a pipe");
        let read = BufReader::new(stdout).read_line(&mut line);
        // From here on it is ended, whatever happens.
        let mut server = Self { child, address: String::new() };
        read?;
        println!("{}", line.trim());
        let rest = line.strip_prefix("Listening on http://").context("the server did not start")?;
        server.address = rest.split('/').next().unwrap_or_default().to_owned();
        Ok(server)
    }

    fn size(&self) -> anyhow::Result<Size> {
        let folder = format!("/proc/{}", self.child.id());
        let status = std::fs::read_to_string(format!("{folder}/status")).context("the server has ended")?;
        let number = |name: &str| -> Option<u64> {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            value.split_whitespace().next()?.parse().ok()
        };
        Ok(Size {
            resident_bytes: number("VmRSS:").context("the system does not tell the size of a process")? * 1024,
            threads: number("Threads:").unwrap_or_default(),
            files: std::fs::read_dir(format!("{folder}/fd"))?.count(),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One client: sends the recording again and again over one connection.
fn send_until(end: Instant, address: &str, recording: &[u8], seen: &Mutex<Seen>) {
    let record =
        |change: &dyn Fn(&mut Seen)| change(&mut seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    let mut client = Client::connect(address);
    while Instant::now() < end {
        let start = Instant::now();
        match client
            .as_mut()
            .map_err(|error| format!("{error:#}"))
            .and_then(|client| client.transcribe(address, recording).map_err(|error| format!("{error:#}")))
        {
            Ok(Answer { status: 200, .. }) => record(&|seen| seen.latencies.push(start.elapsed())),
            Ok(Answer { status: 429, retry_after: Some(after), .. }) => {
                record(&|seen| seen.busy += 1);
                std::thread::sleep(after.min(LONGEST_WAIT));
            }
            Ok(answer) => record(&|seen| seen.errors.push(format!("{} {}", answer.status, answer.body))),
            Err(error) => {
                record(&|seen| seen.errors.push(error.clone()));
                std::thread::sleep(Duration::from_millis(100));
                client = Client::connect(address);
            }
        }
    }
}

/// A connection that is used for many requests.
struct Client(BufReader<TcpStream>);

struct Answer {
    status: u16,
    retry_after: Option<Duration>,
    body: String,
}

impl Client {
    fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).context("cannot connect")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    fn transcribe(&mut self, address: &str, recording: &[u8]) -> anyhow::Result<Answer> {
        let part = |name: &str| format!("--cut\r\nContent-Disposition: form-data; name={name}\r\n\r\n");
        let before = format!("{}whisper-1\r\n{}", part("model"), part("file; filename=said.wav"));
        let after = "\r\n--cut--\r\n";
        let head = format!(
            "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: {address}\r\n\
             Content-Type: multipart/form-data; boundary=cut\r\nContent-Length: {}\r\n\r\n",
            before.len() + recording.len() + after.len()
        );
        let request = [head.as_bytes(), before.as_bytes(), recording, after.as_bytes()].concat();
        self.0.get_mut().write_all(&request).context("cannot send")?;
        self.read().context("cannot read the answer")
    }

    fn read(&mut self) -> anyhow::Result<Answer> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut answer = Answer { status: status.context("no status")?, retry_after: None, body: String::new() };
        let mut length = 0;
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().context("no length")?,
                "retry-after" => answer.retry_after = value.parse().ok().map(Duration::from_secs),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        answer.body = String::from_utf8(body)?;
        Ok(answer)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            bail!("the server hung up");
        }
        Ok(line.trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(resident_mib: u64, files: usize) -> Size {
        Size { resident_bytes: resident_mib << 20, files, threads: 9 }
    }

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        let at = |part| percentile(&values, part).as_millis();
        assert_eq!((at(0.5), at(0.99), at(1.0)), (50, 99, 100));
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn errors_and_growth_are_failures() {
        let second = Duration::from_secs(1);
        let fine = || Seen { latencies: vec![second], busy: 3, errors: vec![] };
        let steady =
            [("idle", size(50, 10)), ("warm", size(90, 42)), ("loaded", size(95, 42)), ("after", size(90, 10))];
        assert!(report(fine(), second, &steady));
        assert!(!report(Seen { errors: vec!["500".to_owned()], ..fine() }, second, &steady));
        assert!(!report(Seen::default(), second, &steady));
        let grown =
            [("idle", size(50, 10)), ("warm", size(90, 42)), ("loaded", size(180, 42)), ("after", size(90, 10))];
        assert!(!report(fine(), second, &grown));
        let leaked =
            [("idle", size(50, 10)), ("warm", size(90, 42)), ("loaded", size(95, 42)), ("after", size(90, 11))];
        assert!(!report(fine(), second, &leaked));
    }
}
