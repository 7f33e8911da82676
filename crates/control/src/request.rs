//! What the app can be asked for, and how that is written in one line.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

/// What the app is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Start dictating or, while dictating, stop.
    Toggle,
    /// Start dictating.
    Start,
    /// Stop dictating; what was said is written out.
    Stop,
    /// Throw away what is being dictated.
    Cancel,
    /// Bring the window to the front.
    Show,
    /// Bring the window to the front, with the dialog that chooses recordings.
    Choose,
    /// Transcribe these recordings. The paths are absolute.
    Open(Vec<PathBuf>),
}

/// One word; after `open` the paths, each behind a tab, with `%` and whatever could end it written as `%XX`.
impl fmt::Display for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Toggle => out.write_str("toggle"),
            Self::Start => out.write_str("start"),
            Self::Stop => out.write_str("stop"),
            Self::Cancel => out.write_str("cancel"),
            Self::Show => out.write_str("show"),
            Self::Choose => out.write_str("choose"),
            Self::Open(paths) => {
                out.write_str("open")?;
                for path in paths {
                    out.write_str("\t")?;
                    for &byte in path.as_os_str().as_bytes() {
                        match byte {
                            b' '..=b'~' if byte != b'%' => write!(out, "{}", char::from(byte))?,
                            _ => write!(out, "%{byte:02X}")?,
                        }
                    }
                }
                Ok(())
            }
        }
    }
}

impl Request {
    /// Reads what [`Display`](fmt::Display) writes. `None` if the line says nothing that is known.
    pub fn parse(line: &str) -> Option<Self> {
        let mut fields = line.trim_end_matches(['\n', '\r']).split('\t');
        let request = match fields.next()? {
            "toggle" => Self::Toggle,
            "start" => Self::Start,
            "stop" => Self::Stop,
            "cancel" => Self::Cancel,
            "show" => Self::Show,
            "choose" => Self::Choose,
            "open" => return fields.map(unescape).collect::<Option<_>>().map(Self::Open),
            _ => return None,
        };
        fields.next().is_none().then_some(request)
    }
}

fn unescape(field: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                (digit(rest.next()?)? * 16 + digit(rest.next()?)?) as u8
            }
            _ => byte,
        });
    }
    Some(PathBuf::from(OsString::from_vec(bytes)))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;
    use std::path::PathBuf;

    use super::Request;

    #[test]
    fn every_request_is_one_line_and_is_read_back() {
        let odd = PathBuf::from(OsString::from_vec(b"/a\n\t%41 \xff\0b/\xe2\x82\xac.wav".to_vec()));
        let requests = [
            Request::Toggle,
            Request::Start,
            Request::Stop,
            Request::Cancel,
            Request::Show,
            Request::Choose,
            Request::Open(vec![]),
            Request::Open(vec!["/talk.flac".into(), odd]),
        ];
        for request in requests {
            let line = request.to_string();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(Request::parse(&format!("{line}\n")), Some(request));
        }
    }

    #[test]
    fn what_is_no_request_is_none() {
        for line in ["", "toggle twice", "toggle\tx", "TOGGLE", "open\t%4", "open\t%zz", "open\t%\u{e9}1"] {
            assert_eq!(Request::parse(line), None, "{line}");
        }
    }
}
