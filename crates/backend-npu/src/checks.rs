//! What has to be true before the NPU is opened, and what to do where it is not.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::PathBuf;

use amanuensis_whisper::{Fallback, Obstacle};
use amanuensis_xrt_sys::Error;

/// What XRT locks for the device's own heap, and what it needs besides.
const XRT_LOCKS_BYTES: usize = (64 + 16) << 20;
/// Bit of the capability to lock memory beyond the limit.
const CAP_IPC_LOCK: u32 = 14;
const MIB: usize = 1 << 20;

/// The line that lifts the limit on locked memory, and where it goes.
pub(crate) const MEMLOCK_HINT: &str = "add the line `* - memlock unlimited` to /etc/security/limits.d/99-amanuensis.conf \
     and log in again (for a systemd service: LimitMEMLOCK=infinity)";

/// The device's node.
pub(crate) fn node_path(index: u32) -> PathBuf {
    PathBuf::from(format!("/dev/accel/accel{index}"))
}

/// Whether the driver is loaded.
pub(crate) fn module() -> Result<(), String> {
    if std::fs::exists("/sys/module/amdxdna").unwrap_or(false) {
        return Ok(());
    }
    Err("the kernel module amdxdna is not loaded; on a machine with a Ryzen AI NPU, `sudo modprobe amdxdna` loads it (Linux 6.14 \
         or newer has it)"
        .to_owned())
}

/// Opens the device's node.
///
/// *Errors*: what stands in the way, and what to do.
pub(crate) fn open_node(index: u32) -> Result<File, Fallback> {
    let path = node_path(index);
    let node = path.display();
    OpenOptions::new().read(true).write(true).open(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Fallback::new(
            Obstacle::Absent,
            format!(
                "this machine has no NPU that Linux knows: {node} is not there; see `journalctl -k -g amdxdna` for what the driver says"
            ),
        ),
        ErrorKind::PermissionDenied => Fallback::new(
            Obstacle::Forbidden,
            format!("you may not open {node}; `sudo usermod -aG render $USER` puts you into its group, then log in again"),
        ),
        _ => Fallback::new(Obstacle::Failed, format!("{node} cannot be opened: {error}")),
    })
}

/// Whether the device's node is there and may be opened.
pub(crate) fn node(index: u32) -> Result<(), Fallback> {
    open_node(index).map(drop)
}

/// Whether so many bytes of ours, and XRT's own, can be locked. Raises the soft limit where the hard one allows.
pub(crate) fn memory(bytes: usize) -> Result<(), Fallback> {
    let needed = XRT_LOCKS_BYTES + bytes;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls take a pointer to a structure of ours.
    let allowed = unsafe {
        if libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) != 0 {
            return Ok(());
        }
        if limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit);
            libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit);
        }
        limit.rlim_cur
    };
    judge_memory(needed, allowed, may_exceed(&std::fs::read_to_string("/proc/self/status").unwrap_or_default()))
}

fn judge_memory(needed: usize, allowed: u64, exempt: bool) -> Result<(), Fallback> {
    if exempt || allowed >= needed as u64 {
        return Ok(());
    }
    let (needed, allowed) = (needed.div_ceil(MIB), allowed / MIB as u64);
    let text = format!("the NPU needs {needed} MiB of memory locked, and you may lock {allowed} MiB; {MEMLOCK_HINT}");
    Err(Fallback::new(Obstacle::LockedMemory, text))
}

/// Whether `/proc/self/status` shows the capability to lock memory beyond the limit.
fn may_exceed(status: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> CAP_IPC_LOCK & 1 == 1)
}

/// What XRT's error means, with what to do where the cause is known.
pub(crate) fn explain(error: &Error) -> Fallback {
    let text = error.to_string();
    if text.contains("err=-11") || text.contains("Resource temporarily unavailable") || error.number == libc::EAGAIN {
        return Fallback::new(
            Obstacle::LockedMemory,
            format!("{text}: not enough memory may be locked; {MEMLOCK_HINT}"),
        );
    }
    if error.number == libc::EACCES || text.contains("Permission denied") {
        let text = format!("{text}; `sudo usermod -aG render $USER` allows it after the next login");
        return Fallback::new(Obstacle::Forbidden, text);
    }
    if error.number == libc::EOPNOTSUPP || error.number == libc::EINVAL {
        let text = format!("{text}; the driver or the NPU's firmware is probably older than this XRT: update both");
        return Fallback::new(Obstacle::Firmware, text);
    }
    Fallback::new(Obstacle::Failed, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_on_locked_memory_is_judged_with_the_line_to_add() {
        assert_eq!(judge_memory(80 << 20, u64::MAX, false), Ok(()));
        assert_eq!(judge_memory(80 << 20, 8 << 20, true), Ok(()));
        let Fallback { obstacle, text: said } = judge_memory(80 << 20, 8 << 20, false).expect_err("too little");
        assert_eq!(obstacle, Obstacle::LockedMemory);
        assert!(said.contains("80 MiB") && said.contains("8 MiB") && said.contains("memlock unlimited"), "{said}");
    }

    #[test]
    fn root_may_lock_what_it_likes() {
        assert!(may_exceed("Name:\tx\nCapEff:\t000001ffffffffff\n"));
        assert!(!may_exceed("Name:\tx\nCapEff:\t0000000000000000\n"));
        assert!(!may_exceed(""));
    }
}
