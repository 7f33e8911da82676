//! What goes wrong on demand.
//!
//! `AMANUENSIS_VIRTUAL_NPU_FAULT` is `kind`, `kind@n` (the n-th command, the first without a number) or `kind@n+` (that one and all after
//! it). Kinds that are no command's are always on: `memlock`, `permission`, `firmware`.

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The command never ends: waiting for it fails with ETIME.
    Timeout,
    /// The command ends as aborted.
    Abort,
    /// The context is gone: this command and all others on it are refused.
    LostContext,
    /// The driver refuses the command with EIO.
    Eio,
    /// The command ends well, and nothing was computed: instructions and configuration do not belong together.
    Zeros,
    /// The device's heap cannot be locked in memory.
    Memlock,
    /// The node may not be opened.
    Permission,
    /// The firmware's protocol is older than what contexts need.
    Firmware,
}

/// A fault with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    command: u64,
    lasting: bool,
}

impl Fault {
    /// The fault that the environment asks for.
    pub(crate) fn from_environment() -> Option<Self> {
        let text = std::env::var("AMANUENSIS_VIRTUAL_NPU_FAULT").ok().filter(|text| !text.is_empty())?;
        let fault = Self::parse(&text);
        if fault.is_none() {
            eprintln!("virtual NPU: AMANUENSIS_VIRTUAL_NPU_FAULT={text} is no fault that is known");
        }
        fault
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (kind, when) = text.split_once('@').unwrap_or((text, "1"));
        let kind = match kind {
            "timeout" => Kind::Timeout,
            "abort" => Kind::Abort,
            "lost-context" => Kind::LostContext,
            "eio" => Kind::Eio,
            "zeros" => Kind::Zeros,
            "memlock" => Kind::Memlock,
            "permission" => Kind::Permission,
            "firmware" => Kind::Firmware,
            _ => return None,
        };
        let lasting = when.ends_with('+');
        Some(Self { kind, command: when.trim_end_matches('+').parse().ok()?, lasting })
    }

    /// Whether the n-th command (from 1) is hit.
    pub(crate) fn hits(&self, command: u64) -> bool {
        command == self.command || self.lasting && command > self.command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_hit_when_they_should() {
        let once = Fault::parse("eio@3").expect("known");
        assert_eq!((1..=5).map(|n| once.hits(n)).collect::<Vec<_>>(), [false, false, true, false, false]);
        let lasting = Fault::parse("timeout@2+").expect("known");
        assert_eq!((1..=3).map(|n| lasting.hits(n)).collect::<Vec<_>>(), [false, true, true]);
        assert!(Fault::parse("memlock").is_some() && Fault::parse("fire").is_none() && Fault::parse("eio@x").is_none());
    }
}
