//! Which Amanuensis this is: one line, for `--version`, for the window, and for whoever reads a report of a mistake.

/// The version, and the commit that a package was built from. A build that is no package says so.
pub const VERSION: &str = match option_env!("AMANUENSIS_VERSION") {
    Some(version) => version,
    None => concat!(env!("CARGO_PKG_VERSION"), " (built from source)"),
};
