//! A program that journals is killed at random moments; what it journaled more than a second before is there afterwards.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use amanuensis_journal::{Folder, Found, Head, Limits, Reader, Recorder};

/// Set in the program that is killed: where it journals.
const FOLDER: &str = "AMANUENSIS_TEST_JOURNAL";
const RATE: u32 = 16_000;
/// What a microphone hands over at a time.
const BLOCK: usize = RATE as usize / 50;
const KILLS: usize = 200;
const AT_ONCE: usize = 25;
/// The latest moment at which a program is killed.
const LATEST: Duration = Duration::from_millis(3_500);

/// Not silence, and never the same within any stretch that could be mistaken for another.
fn signal(index: usize) -> i16 {
    (index as u32).wrapping_mul(2_654_435_761).rotate_left(13) as u16 as i16
}

/// The program that is killed: journals the signal at the pace of a microphone, and says how much it has handed over.
#[test]
fn journal_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let head = Head { sample_rate: RATE, started: SystemTime::now(), take: u64::from(std::process::id()) };
    let path = Folder::new(folder).new_journal(&head);
    let mut recorder = Recorder::start(path, head, Limits::default(), |report| eprintln!("{report:?}")).unwrap();
    let began = Instant::now();
    let mut output = std::io::stdout();
    for block in 0.. {
        let samples: Vec<f32> =
            (block * BLOCK..(block + 1) * BLOCK).map(|index| f32::from(signal(index)) / 32_768.0).collect();
        recorder.push(&samples);
        if writeln!(output, "pushed {}", (block + 1) * BLOCK).is_err() {
            return;
        }
        let due = began + Duration::from_secs_f64((block + 1) as f64 * BLOCK as f64 / f64::from(RATE));
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// Random numbers from a seed, as many as a test needs.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64, https://prng.di.unimi.it/splitmix64.c
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

struct Victim {
    child: Child,
    folder: PathBuf,
    /// What it has handed over, and when that was known here, which is later than it was so.
    pushed: mpsc::Receiver<(Instant, usize)>,
}

impl Victim {
    fn start(folder: PathBuf) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "journal_until_killed", "--nocapture"]).env(FOLDER, &folder);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, pushed) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some(count) = line.strip_prefix("pushed ").and_then(|count| count.parse().ok()) {
                    let _ = sender.send((Instant::now(), count));
                }
            }
        });
        Self { child, folder, pushed }
    }

    /// Kills it, and returns how many samples it had handed over, and how many of them at least a second before.
    fn kill(&mut self) -> (usize, usize) {
        self.child.kill().unwrap();
        let killed = Instant::now();
        self.child.wait().unwrap();
        let pushed: Vec<_> = self.pushed.iter().collect();
        let mut old = pushed.iter().filter(|(when, _)| killed.duration_since(*when) >= Duration::from_secs(1));
        (pushed.last().map_or(0, |last| last.1), old.next_back().map_or(0, |last| last.1))
    }
}

fn recovered(folder: &Path) -> Vec<i16> {
    let Found { orphans, aside, unread } = Folder::new(folder.to_owned()).orphans();
    assert!(aside.is_empty() && unread.is_empty(), "{aside:?} {unread:?}");
    orphans
        .iter()
        .flat_map(|orphan| Reader::new(std::fs::File::open(&orphan.path).unwrap()).unwrap().read_to_end().unwrap())
        .collect()
}

#[test]
fn what_is_older_than_a_second_survives_a_kill_at_any_moment() {
    let seed = std::env::var("AMANUENSIS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("seed {seed}");
    let mut random = Random(seed);
    // In memory where that can be had: the programs are killed, not the machine, and a busy disk would only slow it down.
    let shared = Path::new("/dev/shm");
    let home = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.unwrap();
    let (mut old_samples, mut fresh_lost) = (0, 0);
    for round in 0..KILLS / AT_ONCE {
        let mut victims: Vec<(Instant, Victim)> = (0..AT_ONCE)
            .map(|index| {
                let after = Duration::from_millis(random.below(LATEST.as_millis() as u64));
                (Instant::now() + after, Victim::start(home.path().join(format!("{round}-{index}"))))
            })
            .collect();
        victims.sort_by_key(|(when, _)| *when);
        for (when, victim) in &mut victims {
            std::thread::sleep(when.saturating_duration_since(Instant::now()));
            let (pushed, old) = victim.kill();
            let samples = recovered(&victim.folder);
            assert!(samples.iter().enumerate().all(|(index, sample)| *sample == signal(index)), "only what was said");
            assert!(samples.len() >= old, "of {old} samples older than a second only {} are there", samples.len());
            old_samples += old;
            fresh_lost += pushed.saturating_sub(samples.len());
        }
    }
    assert!(old_samples > KILLS * RATE as usize / 4, "the kills came too early to show anything: {old_samples}");
    println!("{KILLS} kills: {old_samples} samples older than a second, none lost; {fresh_lost} younger ones lost");
}
