//! What can be known of the NPU at work. What cannot is said to be unavailable, with the reason; no figure is made up.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::driver::{Clocks, Driver, Firmware, PowerMode, QUERY_CLOCKS, QUERY_FIRMWARE, QUERY_POWER_MODE};

/// A sensor of this kind shows how busy a column is.
const COLUMN_UTILISATION: u8 = 1;

/// Why a figure is not there. Prints as `unavailable: reason`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unavailable: {0}")]
pub struct Unavailable(pub String);

/// A figure, or why there is none.
pub type Reading<T> = Result<T, Unavailable>;

/// A context on the device, of any process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The process.
    pub pid: i64,
    /// Columns of the array that it has.
    pub columns: u32,
    /// Commands that were sent.
    pub submitted: u64,
    /// Commands that ended well.
    pub completed: u64,
    /// Commands that did not.
    pub errors: u64,
}

/// Memory that this process holds in the device's buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferBytes {
    /// All of it.
    pub total: u64,
    /// What the driver and XRT hold for themselves.
    pub internal: u64,
    /// What is taken of the device's heap.
    pub heap: u64,
}

/// One look at the NPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// Time during which a command of this process was outstanding, since it started. It says nothing of how busy the
    /// multipliers are. Where the driver does not count it, add up [`EncodeReport::busy`](amanuensis_whisper::EncodeReport).
    pub busy: Reading<Duration>,
    /// Mean utilisation of the columns, in per cent, by all processes.
    pub columns_percent: Reading<f64>,
    /// Power, in watts.
    pub power_watts: Reading<f64>,
    /// Temperature, in degrees Celsius.
    pub temperature_celsius: Reading<f64>,
    /// Clock of the array, in MHz.
    pub array_mhz: Reading<u32>,
    /// Clock of the controller, in MHz.
    pub controller_mhz: Reading<u32>,
    /// Power mode.
    pub power_mode: Reading<&'static str>,
    /// Version of the firmware.
    pub firmware: Reading<String>,
    /// Contexts on the device.
    pub contexts: Reading<Vec<Context>>,
    /// This process's buffers.
    pub buffers: Reading<BufferBytes>,
}

impl Telemetry {
    /// Looks at device `index`. Asks the driver, which wakes the device, only if `working` says that it is at work anyway, or if a
    /// person wants to know.
    pub fn sample(index: u32, working: bool) -> Self {
        let driver = if working {
            Driver::open(index).map_err(Unavailable)
        } else {
            Err(Unavailable("the NPU rests, and asking would wake it".to_owned()))
        };
        let sensors = with(&driver, Driver::sensors);
        let clocks = with(&driver, |driver| driver.ask::<Clocks>(QUERY_CLOCKS));
        let hwmon = hwmon(Path::new("/sys/class/hwmon"));
        let power = sensors.as_ref().map_err(Clone::clone).and_then(|sensors| {
            let sensor = sensors.iter().find(|sensor| sensor.kind != COLUMN_UTILISATION);
            let sensor = sensor.ok_or_else(|| Unavailable("the driver has no power sensor".to_owned()))?;
            Ok(f64::from(sensor.input) * 10_f64.powi(i32::from(sensor.unit_exponent)))
        });
        Self {
            busy: busy(Path::new("/proc/self/fdinfo")),
            columns_percent: sensors.and_then(|sensors| {
                let columns: Vec<f64> = sensors
                    .iter()
                    .filter(|sensor| sensor.kind == COLUMN_UTILISATION)
                    .map(|sensor| f64::from(sensor.input))
                    .collect();
                mean(&columns).ok_or_else(|| Unavailable("the driver has no sensors of the columns".to_owned()))
            }),
            // Reading a file of hwmon's does not wake the device.
            power_watts: from_hwmon(hwmon.as_deref(), "power1_input", 1e-6).or(power),
            temperature_celsius: from_hwmon(hwmon.as_deref(), "temp1_input", 1e-3),
            array_mhz: clocks.as_ref().map(|clocks| clocks.array.megahertz).map_err(Clone::clone),
            controller_mhz: clocks.map(|clocks| clocks.controller.megahertz),
            power_mode: with(&driver, |driver| driver.ask::<PowerMode>(QUERY_POWER_MODE)).map(|mode| {
                ["default", "low", "medium", "high", "turbo"].get(usize::from(mode.mode)).copied().unwrap_or("unknown")
            }),
            firmware: with(&driver, |driver| driver.ask::<Firmware>(QUERY_FIRMWARE)).map(|version| {
                let Firmware { major, minor, patch, build } = version;
                format!("{major}.{minor}.{patch}.{build}")
            }),
            contexts: with(&driver, Driver::contexts).map(|contexts| {
                let plain = contexts.iter().map(|context| Context {
                    pid: context.pid,
                    columns: context.columns,
                    submitted: context.submissions,
                    completed: context.completions,
                    errors: context.errors,
                });
                plain.collect()
            }),
            buffers: with(&driver, Driver::buffers).map(|usage| BufferBytes {
                total: usage.total,
                internal: usage.internal,
                heap: usage.heap,
            }),
        }
    }
}

/// Turns busy times into shares: of the wall time, for how much a command of this process was outstanding.
#[derive(Debug, Clone, Copy, Default)]
pub struct BusyShare {
    last: Option<(Instant, Duration)>,
}

impl BusyShare {
    /// Takes the busy time up to `at`, and gives the share since the last call, from 0 to 1. `None` the first time.
    pub fn update(&mut self, at: Instant, busy: Duration) -> Option<f64> {
        let (then, before) = self.last.replace((at, busy))?;
        let wall = at.saturating_duration_since(then).as_secs_f64();
        (wall > 0.0).then(|| (busy.saturating_sub(before).as_secs_f64() / wall).min(1.0))
    }
}

fn with<T>(driver: &Reading<Driver>, question: impl Fn(&Driver) -> Result<T, String>) -> Reading<T> {
    driver.as_ref().map_err(Clone::clone).and_then(|driver| question(driver).map_err(Unavailable))
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Busy time of all descriptors of this process that are the NPU's.
fn busy(folder: &Path) -> Reading<Duration> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let texts = entries.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    let times: Vec<u64> = texts.filter_map(|text| busy_nanoseconds(&text)).collect();
    if times.is_empty() {
        return Err(Unavailable("no open descriptor of this process counts it".to_owned()));
    }
    Ok(Duration::from_nanos(times.iter().sum()))
}

fn busy_nanoseconds(fdinfo: &str) -> Option<u64> {
    let line = fdinfo.lines().find_map(|line| line.strip_prefix("drm-engine-amdxdna_accel_driver:"))?;
    line.trim().strip_suffix("ns")?.trim().parse().ok()
}

fn hwmon(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let named = |path: &PathBuf| std::fs::read_to_string(path.join("name")).is_ok_and(|name| name.trim() == "amdxdna");
    entries.map(|entry| entry.path()).find(named)
}

fn from_hwmon(folder: Option<&Path>, file: &str, factor: f64) -> Reading<f64> {
    let folder = folder.ok_or_else(|| Unavailable("the driver has no hwmon".to_owned()))?;
    let text = std::fs::read_to_string(folder.join(file)).map_err(|error| Unavailable(format!("{file}: {error}")))?;
    let value: f64 = text.trim().parse().map_err(|_| Unavailable(format!("{file} is no number")))?;
    Ok(value * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_npu_is_not_asked() {
        let telemetry = Telemetry::sample(0, false);
        let said = telemetry.firmware.expect_err("not asked").to_string();
        assert_eq!(said, "unavailable: the NPU rests, and asking would wake it");
    }

    #[test]
    fn busy_time_is_added_up_over_descriptors() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("3"), "pos:\t0\n").expect("written");
        assert!(busy(folder.path()).is_err());
        let text = "drm-driver:\tamdxdna_accel_driver\ndrm-engine-amdxdna_accel_driver:\t1500 ns\n";
        std::fs::write(folder.path().join("4"), text).expect("written");
        std::fs::write(folder.path().join("5"), text).expect("written");
        assert_eq!(busy(folder.path()), Ok(Duration::from_nanos(3000)));
    }

    #[test]
    fn shares_are_of_the_time_between_two_looks() {
        let mut share = BusyShare::default();
        let start = Instant::now();
        assert_eq!(share.update(start, Duration::from_secs(5)), None);
        assert_eq!(share.update(start + Duration::from_secs(2), Duration::from_secs(6)), Some(0.5));
        assert_eq!(share.update(start + Duration::from_secs(2), Duration::from_secs(6)), None);
        // A clock that was set back, or a counter that started anew, is nothing at all.
        assert_eq!(share.update(start + Duration::from_secs(4), Duration::ZERO), Some(0.0));
    }

    #[test]
    fn hwmon_is_found_by_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, kind) in [("hwmon0", "k10temp"), ("hwmon1", "amdxdna")] {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).expect("made");
            std::fs::write(path.join("name"), format!("{kind}\n")).expect("written");
            std::fs::write(path.join("power1_input"), "1234000\n").expect("written");
        }
        let found = hwmon(folder.path());
        assert_eq!(from_hwmon(found.as_deref(), "power1_input", 1e-6), Ok(1.234));
        assert!(from_hwmon(found.as_deref(), "temp1_input", 1e-3).is_err());
    }
}
