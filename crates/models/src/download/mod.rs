//! Fetches a model's file, as far as it is not there yet, and installs it once its hash is right.
//!
//! A download is one blocking call, for a thread of the caller's; [`Stop`] ends it between two reads. What has arrived lies in
//! `NAME.bin.part`, which is locked meanwhile, and is gone on from by the next call, from whichever server has the file: the
//! hash at the end decides whether the parts fit.

mod error;
mod part;
mod server;

use std::fmt;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ureq::Proxy;
use url::Url;

pub use error::DownloadError;
use part::Part;
use server::{Answer, Client, Question, Refusal};

use crate::catalogue::{Entry, REVISION};

/// Names another place that has Hugging Face's repositories, as Hugging Face's own tools do.
pub const HUB_VARIABLE: &str = "HF_ENDPOINT";
/// Names servers with copies of the files, tried before the hub: addresses with spaces between.
pub const MIRRORS_VARIABLE: &str = "AMANUENSIS_MODEL_MIRRORS";

const HUB: &str = "https://huggingface.co";
/// What is read at once.
const CHUNK: usize = 256 << 10;
/// First bytes of every ggml file.
const MAGIC: &[u8] = b"lmgg";
/// How often free space is looked at, in bytes received.
const SPACE_CHECK: u64 = 32 << 20;
/// How often the caller is told of progress.
const PROGRESS_PERIOD: Duration = Duration::from_millis(200);

/// How long is waited for what, and how often it is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the next byte.
    pub silence: Duration,
    /// Before the first repetition; twice as long before each further one.
    pub pause: Duration,
    /// Longest pause, even if a server asks for a longer one.
    pub longest_pause: Duration,
    /// Repetitions in a row that bring nothing, for each server.
    pub repetitions: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            silence: Duration::from_secs(30),
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            repetitions: 4,
        }
    }
}

/// Ends a download from another thread.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends it at the next read.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was told to end.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn check(&self) -> Result<(), DownloadError> {
        if self.is_stopped() { Err(DownloadError::Stopped) } else { Ok(()) }
    }
}

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// Bytes that are there.
    pub done: u64,
    /// Bytes of the whole.
    pub total: u64,
    /// Bytes a second, over the last seconds; none while nothing is received.
    pub rate: Option<f64>,
}

/// What a download does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It reads what is there from before.
    Checking,
    /// It receives.
    Receiving,
    /// It waits before it asks again.
    Waiting,
}

/// Where models come from.
pub struct Hub {
    mirrors: Vec<Url>,
    client: Client,
    patience: Patience,
    reserve: u64,
    free_space: FreeSpace,
}

type FreeSpace = Box<dyn Fn(&Path) -> std::io::Result<u64> + Send + Sync>;

impl fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Hub").field("mirrors", &self.mirrors).finish_non_exhaustive()
    }
}

impl Hub {
    /// The hub that the environment names, through the proxy that it names (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`).
    ///
    /// # Errors
    /// [`DownloadError::Address`].
    pub fn from_environment() -> Result<Self, DownloadError> {
        let text = |name| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
        let hub = text(HUB_VARIABLE).unwrap_or_else(|| HUB.to_owned());
        let official = format!("{}/ggerganov/whisper.cpp/resolve/{REVISION}", hub.trim_end_matches('/'));
        let mirrors = text(MIRRORS_VARIABLE).unwrap_or_default();
        let mirrors: Vec<&str> = mirrors.split_whitespace().chain([official.as_str()]).collect();
        Self::new(&mirrors, Proxy::try_from_env(), Patience::default())
    }

    /// A hub with these servers, each of which has all files; they are tried in this order.
    ///
    /// # Errors
    /// [`DownloadError::Address`].
    pub fn new(mirrors: &[&str], proxy: Option<Proxy>, patience: Patience) -> Result<Self, DownloadError> {
        Ok(Self {
            mirrors: mirrors.iter().map(|address| folder_address(address)).collect::<Result<_, _>>()?,
            client: Client::new(proxy, patience),
            patience,
            reserve: 200 << 20,
            free_space: Box::new(|folder| {
                let figures = rustix::fs::statvfs(folder)?;
                Ok(figures.f_bavail.saturating_mul(figures.f_frsize))
            }),
        })
    }

    /// The same hub, with another way to ask for free space and another reserve that is left of it.
    #[must_use]
    pub fn with_free_space(
        self,
        reserve: u64,
        free_space: impl Fn(&Path) -> std::io::Result<u64> + Send + Sync + 'static,
    ) -> Self {
        Self { reserve, free_space: Box::new(free_space), ..self }
    }

    /// Downloads a model into a folder, unless it is there. It goes on from where an earlier download ended.
    ///
    /// # Errors
    /// [`DownloadError`]. Nothing lies under the model's name then.
    pub fn download(
        &self,
        entry: &Entry,
        folder: &Path,
        stop: &Stop,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), DownloadError> {
        let target = folder.join(entry.file_name());
        if target.exists() {
            return Ok(());
        }
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(folder)
            .map_err(|source| DownloadError::Disk { path: folder.to_owned(), source })?;
        let mut part = Part::open(&target, &entry.name)?;
        // Another program may have installed it while we waited for nothing but the lock.
        if target.exists() {
            return part.discard();
        }
        let mut fetch = Fetch { hub: self, entry, folder, stop, meter: Meter::new(entry.bytes, progress) };
        fetch.run(&mut part)?;
        part.install(&target)
    }

    fn addresses(&self, entry: &Entry) -> Result<Vec<Url>, DownloadError> {
        if let Some(address) = &entry.address {
            let url = Url::parse(address).ok().filter(server::is_allowed);
            return url.map(|url| vec![url]).ok_or_else(|| DownloadError::Address { address: address.clone() });
        }
        let file = entry.file_name();
        Ok(self.mirrors.iter().filter_map(|mirror| mirror.join(&file).ok()).collect())
    }
}

/// Bytes that an unfinished download of this model has left, if there is one.
pub fn unfinished(entry: &Entry, folder: &Path) -> Option<u64> {
    part::length_beside(&folder.join(entry.file_name()))
}

/// Throws away what an unfinished download has left.
///
/// # Errors
/// [`DownloadError::Busy`] while it goes on.
pub fn discard(entry: &Entry, folder: &Path) -> Result<(), DownloadError> {
    match unfinished(entry, folder) {
        Some(_) => Part::open(&folder.join(entry.file_name()), &entry.name)?.discard(),
        None => Ok(()),
    }
}

fn folder_address(address: &str) -> Result<Url, DownloadError> {
    let wrong = || DownloadError::Address { address: address.to_owned() };
    // Names of files are joined to it, which replaces what stands behind the last slash.
    let url = Url::parse(&format!("{}/", address.trim_end_matches('/'))).map_err(|_| wrong())?;
    if server::is_allowed(&url) { Ok(url) } else { Err(wrong()) }
}

/// A download under way.
struct Fetch<'a> {
    hub: &'a Hub,
    entry: &'a Entry,
    folder: &'a Path,
    stop: &'a Stop,
    meter: Meter<'a>,
}

impl Fetch<'_> {
    /// Fills the part until it is the file.
    fn run(&mut self, part: &mut Part) -> Result<(), DownloadError> {
        part.read(self.stop, |done| self.meter.at(Step::Checking, done))?;
        // One byte too many, or whatever was there before it: it is not of this file.
        if part.length() > self.entry.bytes {
            part.restart(None)?;
        }
        self.check_space(part)?;
        let mut failure = None;
        for address in self.hub.addresses(self.entry)? {
            match self.fetch_from(&address, part) {
                Ok(()) => return Ok(()),
                // These do not depend on who is asked.
                Err(error @ (DownloadError::Stopped | DownloadError::NoSpace { .. } | DownloadError::Disk { .. })) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::info!("{error}");
                    failure = Some(error);
                }
            }
        }
        Err(failure.expect("BUG: a hub has at least one server"))
    }

    fn fetch_from(&mut self, address: &Url, part: &mut Part) -> Result<(), DownloadError> {
        let (mut failures, mut restarts) = (0, 0);
        loop {
            self.stop.check()?;
            let (before, from_before) = (part.length(), part.length() > 0);
            let refusal = match self.attempt(address, part) {
                Ok(host) => {
                    let found = part.sha256();
                    if found == self.entry.sha256 {
                        return Ok(());
                    }
                    part.restart(None)?;
                    let name = self.entry.name.clone();
                    // Parts of two files may have come together: then one from the start is right.
                    match from_before && restarts == 0 {
                        true => Refusal::Misfit,
                        false => return Err(DownloadError::WrongHash { host, name, found }),
                    }
                }
                Err(refusal) => refusal,
            };
            match refusal {
                Refusal::Lasting(error) => return Err(error),
                Refusal::Misfit if restarts < 2 => {
                    restarts += 1;
                    part.restart(None)?;
                }
                Refusal::Misfit => {
                    let host = address.host_str().unwrap_or_default().to_owned();
                    return Err(DownloadError::Refused { host, status: 416 });
                }
                Refusal::Passing(error, wait) => {
                    failures = if part.length() > before { 0 } else { failures + 1 };
                    if failures > self.hub.patience.repetitions {
                        return Err(error);
                    }
                    tracing::info!("{error}");
                    self.pause(wait, failures, part.length())?;
                }
            }
        }
    }

    /// Asks once and receives as much as comes: all of it, or this is an error. Returns who sent it.
    fn attempt(&mut self, address: &Url, part: &mut Part) -> Result<String, Refusal> {
        let Entry { name, bytes, .. } = self.entry;
        if part.length() == *bytes {
            return Ok(address.host_str().unwrap_or_default().to_owned());
        }
        let question = Question { name, bytes: *bytes, from: part.length(), origin: part.origin() };
        let Answer { body, from, origin, host } = self.hub.client.ask(address, question)?;
        if from == 0 {
            part.restart(origin).map_err(Refusal::Lasting)?;
        }
        let mut body = body.into_reader();
        let mut chunk = vec![0; CHUNK];
        let mut checked = part.length();
        while part.length() < *bytes {
            self.stop.check().map_err(Refusal::Lasting)?;
            let room = usize::try_from(bytes - part.length()).unwrap_or(CHUNK).min(CHUNK);
            let count = match body.read(&mut chunk[..room]) {
                Ok(0) => {
                    let reason = "it ended the connection too early".to_owned();
                    return Err(Refusal::Passing(DownloadError::Unreachable { host, reason }, None));
                }
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Refusal::Passing(self.hub.client.broken(&host, &error), None)),
            };
            let begins_wrong = |wanted: usize| chunk[..count.min(wanted)] != MAGIC[..count.min(wanted)];
            if part.length() == 0 && begins_wrong(MAGIC.len()) {
                return Err(Refusal::Lasting(DownloadError::NotTheFile { host }));
            }
            if part.length() - checked >= SPACE_CHECK {
                checked = part.length();
                self.check_space(part).map_err(Refusal::Lasting)?;
            }
            part.append(&chunk[..count]).map_err(|error| Refusal::Lasting(self.full(error, part)))?;
            self.meter.at(Step::Receiving, part.length());
        }
        Ok(host)
    }

    /// Waits before the next attempt.
    fn pause(&mut self, asked: Option<Duration>, failures: u32, done: u64) -> Result<(), DownloadError> {
        let Patience { pause, longest_pause, .. } = self.hub.patience;
        let usual = pause.saturating_mul(1 << failures.saturating_sub(1).min(8));
        let until = Instant::now() + asked.unwrap_or(usual).min(longest_pause);
        self.meter.at(Step::Waiting, done);
        while let Some(rest) = until.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) {
            self.stop.check()?;
            std::thread::sleep(rest.min(Duration::from_millis(100)));
        }
        Ok(())
    }

    fn check_space(&self, part: &Part) -> Result<(), DownloadError> {
        let needed = self.entry.bytes - part.length() + self.hub.reserve;
        match (self.hub.free_space)(self.folder) {
            Ok(free) if free < needed => Err(DownloadError::NoSpace { folder: self.folder.to_owned(), needed, free }),
            // Where it cannot be asked for, writing will tell.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn full(&self, error: DownloadError, part: &Part) -> DownloadError {
        match error {
            DownloadError::Disk { source, .. }
                if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
            {
                let free = (self.hub.free_space)(self.folder).unwrap_or(0);
                let needed = self.entry.bytes - part.length() + self.hub.reserve;
                DownloadError::NoSpace { folder: self.folder.to_owned(), needed, free }
            }
            error => error,
        }
    }
}

/// Tells of progress, now and then.
struct Meter<'a> {
    total: u64,
    tell: &'a mut dyn FnMut(Progress),
    told: Option<(Step, Instant)>,
    /// When the stretch began over which the rate is measured, and what was there.
    since: Option<(Instant, u64)>,
    rate: Option<f64>,
}

impl<'a> Meter<'a> {
    fn new(total: u64, tell: &'a mut dyn FnMut(Progress)) -> Self {
        Self { total, tell, told: None, since: None, rate: None }
    }

    fn at(&mut self, step: Step, done: u64) {
        let now = Instant::now();
        let early = |(told, at): (Step, Instant)| told == step && now < at + PROGRESS_PERIOD;
        if self.told.is_some_and(early) && done < self.total {
            return;
        }
        self.told = Some((step, now));
        if step != Step::Receiving {
            (self.since, self.rate) = (None, None);
        } else {
            let (since, before) = *self.since.get_or_insert((now, done));
            let during = now.duration_since(since).as_secs_f64();
            if during >= 1.0 {
                let rate = done.saturating_sub(before) as f64 / during;
                // The newest second counts a third: steady enough to read, quick enough to be true.
                self.rate = Some(self.rate.map_or(rate, |known| known + (rate - known) / 3.0));
                self.since = Some((now, done));
            }
        }
        (self.tell)(Progress { step, done, total: self.total, rate: self.rate });
    }
}
