//! Which Amanuensis this is: one line, for `--version`, for the window, and for whoever reads a report of a mistake.

/// Whether this is no package, but was built from the sources as they lie there.
pub const FROM_SOURCE: bool = option_env!("AMANUENSIS_VERSION").is_none();

/// The version, without more.
pub const NUMBER: &str = env!("CARGO_PKG_VERSION");

/// The version, and the commit that a package was built from. A build that is no package says so.
pub const VERSION: &str = match option_env!("AMANUENSIS_VERSION") {
    Some(version) => version,
    None => concat!(env!("CARGO_PKG_VERSION"), " (built from source)"),
};
