//! Devices that compute, as the page shows them.

use std::fmt::{self, Display};

use amanuensis_whisper::DeviceInfo;
use serde::Serialize;

/// A device that computes. The page has words for its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// What it is.
    pub kind: DeviceKind,
    /// Names that no language has words for, such as an instruction set; may be empty.
    pub detail: String,
    /// Threads that it computes with.
    pub threads: Option<u32>,
}

/// What a device is. Displayed, and in the history, it is the word that the page knows it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// The NPU.
    Npu,
    /// A program that stands for the NPU.
    NpuSimulated,
}

impl Display for DeviceKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(out)
    }
}

impl From<DeviceInfo> for Device {
    fn from(info: DeviceInfo) -> Self {
        let kind = match info.name.as_str() {
            "npu" => DeviceKind::Npu,
            "npu-simulated" => DeviceKind::NpuSimulated,
            _ => DeviceKind::Cpu,
        };
        // What a simulation says of itself, the page says in its own language.
        let detail = if kind == DeviceKind::NpuSimulated { String::new() } else { info.detail };
        Self { kind, detail, threads: info.threads.and_then(|threads| u32::try_from(threads.get()).ok()) }
    }
}
