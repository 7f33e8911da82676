//! What the machine's own sensors say of its processors: the power that they draw, and how hot they are.
//!
//! *Source*: <https://docs.kernel.org/power/powercap/powercap.html>, <https://docs.kernel.org/hwmon/sysfs-interface.html>.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::wire::Reading;

/// Drivers that measure the temperature of processors, the best first.
const THERMOMETERS: [&str; 5] = ["k10temp", "zenpower", "coretemp", "cpu_thermal", "acpitz"];

/// The sensors of a machine.
pub struct Sensors {
    root: PathBuf,
    /// When it was read last, and what the counter of energy stood at, in microjoules.
    energy: Option<(Instant, u64)>,
}

impl Default for Sensors {
    fn default() -> Self {
        Self { root: "/sys/class".into(), energy: None }
    }
}

impl Sensors {
    /// What all packages have drawn on average since the last reading, in watts. The first time there is nothing to compare
    /// with, and it reads as if there was no sensor.
    pub fn power(&mut self, now: Instant) -> Reading {
        let energy = match packages(&self.root.join("powercap")) {
            Ok(energy) => energy,
            Err(cause) => {
                self.energy = None;
                return unread(&cause);
            }
        };
        let Some((then, before)) = self.energy.replace((now, energy)) else { return Reading::Missing };
        let seconds = now.saturating_duration_since(then).as_secs_f64();
        // The counter begins again at its end, about once an hour.
        let Some(microjoules) = energy.checked_sub(before).filter(|_| seconds > 0.0) else { return Reading::Missing };
        Reading::Known { value: (microjoules as f64 / 1e6 / seconds) as f32 }
    }

    /// How hot the processors are, in degrees Celsius.
    pub fn temperature(&self) -> Reading {
        let monitors = folders(&self.root.join("hwmon")).unwrap_or_default();
        let named = |name: &str| {
            monitors
                .iter()
                .find(|folder| std::fs::read_to_string(folder.join("name")).is_ok_and(|is| is.trim() == name))
        };
        let Some(monitor) = THERMOMETERS.into_iter().find_map(named) else { return Reading::Missing };
        match number(&monitor.join("temp1_input")) {
            Ok(millidegrees) => Reading::Known { value: millidegrees as f32 / 1000.0 },
            Err(cause) => unread(&cause),
        }
    }
}

fn unread(cause: &io::Error) -> Reading {
    if cause.kind() == io::ErrorKind::PermissionDenied { Reading::Forbidden } else { Reading::Missing }
}

/// The energy of all packages, in microjoules. A package is `intel-rapl:0`, on AMD's processors too; its parts have two numbers.
fn packages(folder: &Path) -> io::Result<u64> {
    let is_package = |zone: &PathBuf| {
        let name = zone.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_prefix("intel-rapl:").is_some_and(|rest| !rest.contains(':'))
    };
    let zones: Vec<_> = folders(folder)?.into_iter().filter(is_package).collect();
    if zones.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    zones.iter().map(|zone| number(&zone.join("energy_uj"))).sum()
}

fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
}

fn number(file: &Path) -> io::Result<u64> {
    std::fs::read_to_string(file)?.trim().parse().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::Sensors;
    use crate::wire::Reading;

    fn write(root: &Path, file: &str, content: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    #[test]
    fn power_is_the_energy_of_all_packages_over_time() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let mut sensors = Sensors { root: root.to_owned(), energy: None };
        let start = Instant::now();
        assert_eq!(sensors.power(start), Reading::Missing);
        for (zone, energy) in [("intel-rapl:0", "1000000"), ("intel-rapl:1", "0"), ("intel-rapl:0:0", "7")] {
            write(root, &format!("powercap/{zone}/energy_uj"), energy);
        }
        assert_eq!(sensors.power(start), Reading::Missing, "there is nothing to compare with yet");
        write(root, "powercap/intel-rapl:0/energy_uj", "21000000\n");
        write(root, "powercap/intel-rapl:1/energy_uj", "10000000\n");
        assert_eq!(sensors.power(start + Duration::from_secs(2)), Reading::Known { value: 15.0 });
        write(root, "powercap/intel-rapl:0/energy_uj", "5");
        assert_eq!(sensors.power(start + Duration::from_secs(3)), Reading::Missing, "the counter began again");
    }

    #[test]
    fn the_temperature_is_that_of_the_processors() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let sensors = Sensors { root: root.to_owned(), energy: None };
        assert_eq!(sensors.temperature(), Reading::Missing);
        write(root, "hwmon/hwmon0/name", "nvme\n");
        write(root, "hwmon/hwmon0/temp1_input", "30000\n");
        assert_eq!(sensors.temperature(), Reading::Missing);
        write(root, "hwmon/hwmon1/name", "acpitz\n");
        write(root, "hwmon/hwmon1/temp1_input", "40000\n");
        write(root, "hwmon/hwmon2/name", "k10temp\n");
        write(root, "hwmon/hwmon2/temp1_input", "61500\n");
        assert_eq!(sensors.temperature(), Reading::Known { value: 61.5 });
    }
}
