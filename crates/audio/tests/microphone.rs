//! Capture from a microphone that hears what is played into it, and that is pulled out and plugged in again.
//!
//! Which sound server is used is read from the environment, which belongs to a whole process: each test starts itself once more,
//! as the one who records.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use amanuensis_audio::{AudioFile, Capture, CaptureEvent, Playback, PlaybackEvent};
use amanuensis_test_support::{VirtualMicrophone, speak};

/// Names the folder in which the recorder writes what it hears.
const FOLDER: &str = "AMANUENSIS_TEST_RECORDING";
/// Names what the recorder plays to itself, if anything.
const PLAYED: &str = "AMANUENSIS_TEST_PLAYED";
/// Bounds a hang; no test waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Records until the file `stop` appears; everything that happens becomes a line in `events`, samples go into `samples`.
fn record(folder: &Path) {
    let capture = Capture::start(None).unwrap();
    let mut events = fs::File::create(folder.join("events")).unwrap();
    let mut samples = fs::File::create(folder.join("samples")).unwrap();
    let (sender, played) = std::sync::mpsc::channel();
    let mut play = std::env::var_os(PLAYED).map(|path| {
        move || Playback::start(path.into(), Duration::from_secs(1), move |event| sender.send(event).unwrap())
    });
    let mut playback = None;
    loop {
        for event in played.try_iter() {
            match event {
                PlaybackEvent::At(time) => writeln!(events, "at {}", time.as_millis()).unwrap(),
                other => writeln!(events, "{other:?}").unwrap(),
            }
        }
        if folder.join("stop").exists() {
            capture.stop();
        }
        let event = match capture.events().recv_timeout(Duration::from_millis(20)) {
            Ok(event) => event,
            Err(error) if error.is_timeout() => continue,
            Err(_) => return,
        };
        match event {
            CaptureEvent::Live { device, after } => {
                println!("live after {} ms", after.as_millis());
                writeln!(events, "live {device}").unwrap();
                // Not before: its beginning would not be heard.
                playback = playback.or_else(|| play.take().map(|play| play()));
            }
            CaptureEvent::Samples(new) => {
                let bytes: Vec<u8> = new.iter().flat_map(|sample| sample.to_le_bytes()).collect();
                samples.write_all(&bytes).unwrap();
            }
            CaptureEvent::Gap { length } => writeln!(events, "gap {length:?}").unwrap(),
            CaptureEvent::Lost(error) => writeln!(events, "lost: {error}").unwrap(),
            CaptureEvent::Failed(error) => writeln!(events, "failed: {error}").unwrap(),
        }
    }
}

/// The process that records.
struct Recorder {
    child: Child,
    folder: tempfile::TempDir,
}

impl Recorder {
    fn start(test: &str, microphone: &VirtualMicrophone) -> Self {
        Self::start_with(test, microphone, &[])
    }

    fn start_with(test: &str, microphone: &VirtualMicrophone, environment: &[(&str, &Path)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .envs(microphone.environment())
            .envs(environment.iter().copied())
            .env(FOLDER, folder.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let recorder = Self { child, folder };
        recorder.wait(|recorder| recorder.events().contains("live"));
        recorder
    }

    fn events(&self) -> String {
        fs::read_to_string(self.folder.path().join("events")).unwrap_or_default()
    }

    fn samples(&self) -> Vec<f32> {
        let bytes = fs::read(self.folder.path().join("samples")).unwrap_or_default();
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    fn wait(&self, is_done: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_done(self) {
            assert!(Instant::now() < until, "{:?}, {} samples", self.events(), self.samples().len());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop(&mut self) -> Vec<f32> {
        fs::write(self.folder.path().join("stop"), "").unwrap();
        assert!(self.child.wait().unwrap().success());
        self.samples()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Either it runs and can be killed, or it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(wav: &Path) -> Vec<f32> {
    let mut samples = vec![0.0; 480_000];
    let count = AudioFile::open(wav).unwrap().read(&mut samples).unwrap();
    samples.truncate(count);
    samples
}

/// How like `played` the most similar stretch of `heard` is, as a correlation. Where its loudest moment could be is looked at.
fn likeness(played: &[f32], heard: &[f32]) -> f64 {
    let products =
        |one: &[f32], other: &[f32]| -> f64 { one.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let loudest = (0..played.len()).max_by(|a, b| played[*a].abs().total_cmp(&played[*b].abs())).unwrap();
    // A resampler may move the peak between samples.
    let is_peak = |around: &[f32]| around.iter().any(|sample| sample.abs() > 0.8 * played[loudest].abs());
    let own = products(played, played);
    (0..heard.len().saturating_sub(played.len()))
        .filter(|at| is_peak(&heard[at + loudest.saturating_sub(12)..=at + loudest]))
        .map(|at| {
            let stretch = &heard[at..at + played.len()];
            products(played, stretch) / (own * products(stretch, stretch)).sqrt().max(1e-9)
        })
        .fold(0.0, f64::max)
}

#[test]
fn what_is_played_is_heard_whole() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return record(&PathBuf::from(folder));
    }
    let Some(wav) = speak("Please send the report to the office before Friday.") else { return };
    let Some(microphone) = VirtualMicrophone::start() else { return };
    let mut recorder = Recorder::start("what_is_played_is_heard_whole", &microphone);
    let played = read(&wav);
    microphone.play(&wav);
    std::thread::sleep(Duration::from_millis(300));
    let likeness = likeness(&played, &recorder.stop());
    println!("correlation {likeness:.4}");
    // Less than 1, for resampling moves the samples by a fraction of their distance.
    if likeness < 0.95 && recorder.events().contains("gap") {
        println!("skipped: the sound server had too little time to be whole, which was told: {}", recorder.events());
        return;
    }
    assert!(likeness > 0.95, "{likeness}; {}", recorder.events());
    assert!(recorder.events().starts_with("live VirtualMicrophone\n"));
}

#[test]
fn a_microphone_that_was_pulled_out_is_heard_again_when_it_is_back() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return record(&PathBuf::from(folder));
    }
    let Some(wav) = speak("Yes.") else { return };
    let Some(mut microphone) = VirtualMicrophone::start() else { return };
    let test = "a_microphone_that_was_pulled_out_is_heard_again_when_it_is_back";
    let mut recorder = Recorder::start(test, &microphone);
    microphone.unplug();
    recorder.wait(|recorder| recorder.events().contains("lost"));
    let before = recorder.samples().len();
    microphone.plug();
    recorder.wait(|recorder| recorder.samples().len() > before);
    microphone.play(&wav);
    std::thread::sleep(Duration::from_millis(300));
    let heard = recorder.stop();
    let likeness = likeness(&read(&wav), &heard[before..]);
    assert!(likeness > 0.95 || recorder.events().contains("gap"), "{likeness}; {}", recorder.events());
    assert!(!recorder.events().contains("failed"), "{}", recorder.events());
}

#[test]
fn another_default_microphone_is_heard_by_the_next_recording_and_this_one_goes_on() {
    let test = "another_default_microphone_is_heard_by_the_next_recording_and_this_one_goes_on";
    if let Some(folder) = std::env::var_os(FOLDER) {
        return record(&PathBuf::from(folder));
    }
    let words = ["Please send the report.", "The office is closed on Friday.", "Nobody is there."].map(speak);
    let [Some(before), Some(after), Some(next)] = words else { return };
    let Some(microphone) = VirtualMicrophone::start() else { return };
    let whole = |played: &Path, heard: &[f32], events: &str| {
        let likeness = likeness(&read(played), heard);
        println!("correlation {likeness:.4}");
        assert!(likeness > 0.95 || events.contains("gap"), "{likeness}; {events}");
    };
    let mut recorder = Recorder::start(test, &microphone);
    microphone.play(&before);
    microphone.plug_another("other");
    microphone.make_default("other");
    // While a recording goes on, and as often as the user likes.
    microphone.make_default("virtual_microphone");
    microphone.make_default("other");
    microphone.play(&after);
    std::thread::sleep(Duration::from_millis(300));
    let (heard, events) = (recorder.stop(), recorder.events());
    whole(&before, &heard, &events);
    whole(&after, &heard, &events);
    assert!(!events.contains("lost") && !events.contains("failed"), "{events}");

    let mut recorder = Recorder::start(test, &microphone);
    microphone.play_into("other", &next);
    // A sink that only this recording listens to runs late.
    std::thread::sleep(Duration::from_secs(1));
    let (heard, events) = (recorder.stop(), recorder.events());
    whole(&next, &heard, &events);
    assert!(events.starts_with("live other\n"), "{events}");
}

#[test]
fn a_recording_is_played_from_where_it_was_asked_for() {
    let test = "a_recording_is_played_from_where_it_was_asked_for";
    if let Some(folder) = std::env::var_os(FOLDER) {
        return record(&PathBuf::from(folder));
    }
    let Some(wav) = speak("Please send the report to the office before Friday.") else { return };
    let Some(microphone) = VirtualMicrophone::start() else { return };
    let mut recorder = Recorder::start_with(test, &microphone, &[(PLAYED, &*wav)]);
    recorder.wait(|recorder| recorder.events().contains("Ended") || recorder.events().contains("Failed"));
    std::thread::sleep(Duration::from_millis(300));
    let (heard, events) = (recorder.stop(), recorder.events());
    let likeness = likeness(&read(&wav)[16_000..], &heard);
    println!("correlation {likeness:.4}");
    let times: Vec<u64> = events.lines().filter_map(|line| line.strip_prefix("at ")?.parse().ok()).collect();
    assert!(times.first().is_some_and(|time| (1_000..2_000).contains(time)), "{events}");
    assert!(times.is_sorted() && times.len() > 5, "{events}");
    if likeness < 0.95 {
        println!("skipped: the sound server had too little time to be whole");
        return;
    }
    assert!(events.contains("Ended"), "{events}");
}
