//! The chain from the kernel's driver to checked results, link by link.

use amanuensis_npu_kernels::manifest::{Bundle, Instructions};
use amanuensis_xrt_sys::{LoadError, Xrt};

use crate::driver::{Driver, Firmware, QUERY_FIRMWARE};
use crate::{checks, xrt};

/// What a small model's buffers take.
const SMALL_MODEL_BYTES: usize = 64 << 20;

/// How a link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Whole. The text says what was found.
    Ok(String),
    /// Broken. The text says what is wrong and what to do.
    Broken(String),
    /// Not known. The text says why.
    Unknown(String),
}

/// One link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: &'static str,
    /// How it is.
    pub state: State,
}

/// Looks at every link, the lowest first. What to do is what the first broken one says.
pub fn diagnose() -> Vec<Link> {
    let mut links = Vec::new();
    let mut add = |name, state| links.push(Link { name, state });
    let judged = |outcome: Result<(), String>, well: String| match outcome {
        Ok(()) => State::Ok(well),
        Err(broken) => State::Broken(broken),
    };
    add("kernel module", judged(checks::module(), "amdxdna is loaded".to_owned()));
    let path = checks::node_path(0);
    let there = std::fs::exists(&path).unwrap_or(false);
    let node = Driver::open(0);
    if there {
        add("node", State::Ok(path.display().to_string()));
        add("permission", judged(node.as_ref().map(|_| ()).map_err(Clone::clone), "it may be opened".to_owned()));
    } else {
        add("node", State::Broken(node.as_ref().err().cloned().unwrap_or_default()));
        add("permission", State::Unknown("there is no node to open".to_owned()));
    }
    add(
        "locked memory",
        judged(checks::memory(SMALL_MODEL_BYTES).map_err(|error| error.text), "enough may be locked".to_owned()),
    );
    let firmware = node.map_err(|_| "the node cannot be opened".to_owned());
    let firmware = firmware.and_then(|driver| driver.ask::<Firmware>(QUERY_FIRMWARE));
    add(
        "firmware",
        match firmware {
            Ok(Firmware { major, minor, patch, build }) => State::Ok(format!("{major}.{minor}.{patch}.{build}")),
            Err(reason) => State::Unknown(reason),
        },
    );
    let loaded = Xrt::load();
    let (shim, version) = match &loaded {
        Ok(xrt) => {
            let (major, minor) = xrt.version();
            (State::Ok(xrt.path().display().to_string()), State::Ok(format!("{major}.{minor}")))
        }
        Err(error @ (LoadError::NoShim | LoadError::OtherShim { .. })) => {
            (State::Broken(error.to_string()), State::Unknown("only the shim can ask XRT".to_owned()))
        }
        Err(error @ (LoadError::NoXrt { .. } | LoadError::OldXrt { .. })) => {
            (State::Ok("it is there".to_owned()), State::Broken(error.to_string()))
        }
    };
    add("shim", shim);
    add("XRT", version);
    add("program", programs());
    add("self-check", State::Unknown("it is made when a model is loaded onto the NPU".to_owned()));
    links
}

/// The programs that are installed, each with its hashes checked.
fn programs() -> State {
    let folders = xrt::program_folders();
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let mut found = Vec::new();
    for entry in entries.filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        match Bundle::open(&entry.path()) {
            Ok(bundle) if bundle.manifest.instructions == Instructions::Compiled => found.push(name),
            Ok(_) => found.push(format!("{name} (for the virtual NPU only)")),
            Err(error) => return State::Broken(error.to_string()),
        }
    }
    if found.is_empty() {
        let places: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        return State::Broken(format!(
            "no program for the NPU is installed in {}; none is published yet, see kernels/npu/build.sh",
            places.join(" or ")
        ));
    }
    State::Ok(found.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_is_there_once_and_says_something() {
        let links = diagnose();
        let names: Vec<_> = links.iter().map(|link| link.name).collect();
        let expected = [
            "kernel module",
            "node",
            "permission",
            "locked memory",
            "firmware",
            "shim",
            "XRT",
            "program",
            "self-check",
        ];
        assert_eq!(names, expected);
        for Link { name, state } in links {
            let (State::Ok(text) | State::Broken(text) | State::Unknown(text)) = state;
            assert!(!text.is_empty(), "{name}");
        }
    }
}
