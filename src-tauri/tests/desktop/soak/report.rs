//! What it came to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use amanuensis_test_support::Random;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Unplugged,
    SoundServerRestarted,
    Suspended,
    DiskFull,
    WebProcessKilled,
    NetworkProcessKilled,
    AppKilled,
    AppKilledWhileWriting,
}

impl Fault {
    /// One of them, or none, every third time.
    pub fn draw(random: &mut Random, killing: bool, disk: bool) -> Option<Self> {
        let harmless = [Self::Unplugged, Self::SoundServerRestarted, Self::Suspended, Self::DiskFull];
        let deadly = [Self::WebProcessKilled, Self::NetworkProcessKilled, Self::AppKilled, Self::AppKilledWhileWriting];
        let faults: Vec<_> = harmless.into_iter().chain(deadly.into_iter().filter(|_| killing)).collect();
        let drawn = faults[random.below(faults.len() as u64) as usize];
        (random.below(3) > 0 && (drawn != Self::DiskFull || disk)).then_some(drawn)
    }
}

/// The processes at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub at: Duration,
    /// Which process the app is.
    pub app: u32,
    pub app_mib: u64,
    /// WebKit's processes together, and which they are.
    pub web_mib: u64,
    pub web: Vec<u32>,
    pub files: u64,
    pub threads: u64,
}

/// Everything that was done, and everything that was wrong.
#[derive(Debug, Default)]
pub struct Report {
    pub seed: u64,
    pub length: Duration,
    pub dictations: usize,
    /// Words that were spoken and are in the history, written or as sound.
    pub words: usize,
    pub kept_as_sound: usize,
    pub files: usize,
    pub requests: usize,
    pub busy: usize,
    pub hostile: usize,
    /// Requests that were under way while the app was killed or suspended.
    pub interrupted: usize,
    pub injected: BTreeMap<Fault, usize>,
    pub lost: Vec<String>,
    pub doubled: Vec<String>,
    /// Sound that is there as a whole and out of which the model makes something else: a virtual microphone on a busy machine
    /// has holes.
    pub misheard: Vec<String>,
    pub troubles: Vec<String>,
    pub leases: Option<u64>,
    pub samples: Vec<Sample>,
}

impl Report {
    /// A dictation is not in the history.
    pub fn lost(&mut self, said: &str, why: &str) {
        self.lost.push(format!("\"{said}\": {why}"));
    }

    /// Whatever must not be.
    pub fn faults_found(&self) -> Vec<String> {
        let mut found: Vec<String> = self.lost.iter().map(|lost| format!("lost: {lost}")).collect();
        found.extend(self.doubled.iter().map(|doubled| format!("twice: {doubled}")));
        found.extend(self.troubles.iter().cloned());
        if self.leases != Some(0) {
            found.push(format!("{:?} buffers are leased at the end", self.leases));
        }
        // Every hundredth may have a hole, and in a short time one.
        if self.misheard.len() > 1 + self.dictations / 20 {
            found.extend(self.misheard.iter().map(|misheard| format!("misheard: {misheard}")));
        }
        found
    }

    /// Of the process that lived longest, what was seen after its first quarter.
    fn steady(&self) -> Vec<&Sample> {
        let mut lives: BTreeMap<u32, Vec<&Sample>> = BTreeMap::new();
        for sample in &self.samples {
            lives.entry(sample.app).or_default().push(sample);
        }
        let longest = lives.into_values().max_by_key(Vec::len).unwrap_or_default();
        longest[longest.len() / 4..].to_vec()
    }
}

/// Growth in an hour by the line of least squares, and the mean distance from that line.
fn slope(samples: &[&Sample], value: impl Fn(&Sample) -> u64) -> (f64, f64) {
    let points: Vec<(f64, f64)> =
        samples.iter().map(|sample| (sample.at.as_secs_f64() / 3_600.0, value(sample) as f64)).collect();
    let count = points.len().max(1) as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let slope = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / spread.max(f64::MIN_POSITIVE);
    let off = points.iter().map(|(x, y)| (y - mean_y - slope * (x - mean_x)).abs()).sum::<f64>() / count;
    (slope, off)
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "| soak of {:.1} minutes, seed {} | |\n|---|---|", self.length.as_secs_f64() / 60.0, self.seed)?;
        writeln!(out, "| dictations | {} |", self.dictations)?;
        writeln!(out, "| files opened | {} |", self.files)?;
        writeln!(out, "| API requests answered with the right text | {} |", self.requests)?;
        writeln!(out, "| refused as busy | {} |", self.busy)?;
        writeln!(out, "| under way while the app was killed or suspended | {} |", self.interrupted)?;
        writeln!(out, "| hostile clients | {} |", self.hostile)?;
        let injected: Vec<_> = self.injected.iter().map(|(fault, count)| format!("{fault:?} {count}")).collect();
        let faults: usize = self.injected.values().sum();
        writeln!(out, "| faults injected | {faults}: {} |", injected.join(", "))?;
        writeln!(out, "| words found again | {} ({} dictations as sound) |", self.words, self.kept_as_sound)?;
        writeln!(out, "| dictations lost | {} |", self.lost.len())?;
        writeln!(out, "| dictations twice | {} |", self.doubled.len())?;
        writeln!(out, "| dictations whose sound is there but not understood | {} |", self.misheard.len())?;
        writeln!(out, "| other troubles | {} |", self.troubles.len())?;
        let leases = self.leases.map_or("not known".to_owned(), |leases| leases.to_string());
        writeln!(out, "| buffers leased at the end | {leases} |")?;
        let steady = self.steady();
        if let [first, .., last] = steady[..] {
            let minutes = (last.at - first.at).as_secs_f64() / 60.0;
            let line = |value: fn(&Sample) -> u64, unit: &str| {
                let (hour, off) = slope(&steady, value);
                format!("{} to {}{unit}, {hour:+.1}{unit} an hour, scattered by {off:.1}", value(first), value(last))
            };
            writeln!(out, "| one process after its first quarter | {minutes:.1} minutes |")?;
            writeln!(out, "| memory of the app | {} |", line(|sample| sample.app_mib, " MiB"))?;
            writeln!(out, "| descriptors | {} |", line(|sample| sample.files, ""))?;
            writeln!(out, "| threads | {} |", line(|sample| sample.threads, ""))?;
            writeln!(out, "| memory of WebKit | {} |", line(|sample| sample.web_mib, " MiB"))?;
        }
        writeln!(out, "\n| minute | app, MiB | WebKit, MiB | descriptors | threads | |\n|---|---|---|---|---|---|")?;
        let mut last: Option<&Sample> = None;
        for sample in self.samples.iter().step_by((self.samples.len() / 40).max(1)) {
            let new = last.is_some_and(|last| last.app != sample.app);
            let web = last.is_some_and(|last| last.web != sample.web);
            let note = if new {
                "another process"
            } else if web {
                "WebKit anew"
            } else {
                ""
            };
            let Sample { at, app_mib, web_mib, files, threads, .. } = sample;
            let minute = at.as_secs_f64() / 60.0;
            writeln!(out, "| {minute:.1} | {app_mib} | {web_mib} | {files} | {threads} | {note} |")?;
            last = Some(sample);
        }
        let lists = [("Lost", &self.lost), ("Twice", &self.doubled), ("Not understood", &self.misheard)];
        for (name, list) in lists.into_iter().chain([("Other troubles", &self.troubles)]) {
            if !list.is_empty() {
                writeln!(out, "\n{name}:\n")?;
                list.iter().try_for_each(|line| writeln!(out, "- {}", line.trim()))?;
            }
        }
        Ok(())
    }
}
