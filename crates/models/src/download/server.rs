//! One question to a server: where redirects may lead, and what an answer means.

use std::io;
use std::time::Duration;

use ureq::http::{HeaderMap, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};
use url::{Host, Url};

use super::part::Origin;
use super::{DownloadError, Patience};

/// Most addresses that a server may send us on to.
const MOST_REDIRECTS: usize = 8;

/// Somebody who has models.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    proxy: Option<Proxy>,
    patience: Patience,
}

/// The file, from some byte on.
pub struct Answer {
    /// The bytes.
    pub body: Body,
    /// The first of them.
    pub from: u64,
    /// What to ask with for the rest.
    pub origin: Option<Origin>,
    /// Who sends it.
    pub host: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Refusal {
    /// It may be different in a while; the server may have said how long that is.
    Passing(DownloadError, Option<Duration>),
    /// Asking again would not help.
    Lasting(DownloadError),
    /// What is there already does not fit the server's file.
    Misfit,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The model's name, for sentences.
    pub name: &'a str,
    /// Length of the file.
    pub bytes: u64,
    /// Bytes that are there already.
    pub from: u64,
    /// Where they came from.
    pub origin: Option<&'a Origin>,
}

impl Client {
    pub fn new(proxy: Option<Proxy>, patience: Patience) -> Self {
        let agent = Agent::config_builder()
            .user_agent(concat!("amanuensis/", env!("CARGO_PKG_VERSION")))
            // A compressed answer has another length, and no place to go on from.
            .accept_encoding("identity")
            .proxy(proxy.clone())
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_recv_response(Some(patience.silence))
            .timeout_per_read(Some(patience.silence))
            .build()
            .new_agent();
        Self { agent, proxy, patience }
    }

    /// Asks for a file.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn ask(&self, address: &Url, question: Question<'_>) -> Result<Answer, Refusal> {
        let mut url = address.clone();
        for _ in 0..=MOST_REDIRECTS {
            let mut request = self.agent.get(url.as_str());
            if question.from > 0 {
                request = request.header(header::RANGE, format!("bytes={}-", question.from));
                // Another server's tag for the same file would only make it send all of it.
                if let Some(origin) = question.origin.filter(|origin| origin.address == address.as_str()) {
                    request = request.header(header::IF_RANGE, &origin.tag);
                }
            }
            let response = request.call().map_err(|error| self.trouble(&url, error))?;
            let (parts, body) = response.into_parts();
            let host = host_of(&url);
            let redirect = matches!(parts.status.as_u16(), 301 | 302 | 303 | 307 | 308);
            if !redirect {
                return read(parts.status, &parts.headers, address, question, host, body);
            }
            let next = text(&parts.headers, header::LOCATION).and_then(|next| url.join(next).ok());
            let allowed = |next: &Url| next.scheme() == "https" || (is_local(&url) && is_allowed(next));
            match next.filter(allowed) {
                Some(next) => url = next,
                None => return Err(Refusal::Lasting(DownloadError::Insecure { host })),
            }
        }
        Err(Refusal::Lasting(DownloadError::Redirects { host: host_of(address) }))
    }

    fn trouble(&self, url: &Url, error: ureq::Error) -> Refusal {
        let host = host_of(url);
        let through =
            self.proxy.as_ref().filter(|proxy| !url.as_str().parse().is_ok_and(|uri| proxy.is_no_proxy(&uri)));
        let told = |reason: String| match through {
            Some(proxy) => {
                let proxy = format!("{}:{}", proxy.host(), proxy.port());
                DownloadError::Proxy { proxy, host: host.clone(), reason }
            }
            None => DownloadError::Unreachable { host: host.clone(), reason },
        };
        Refusal::Passing(
            match error {
                ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                    told("it does not answer".to_owned())
                }
                ureq::Error::Timeout(_) => self.stalled(host),
                ureq::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => self.stalled(host),
                ureq::Error::HostNotFound => told("no machine of that name is known".to_owned()),
                ureq::Error::Io(error) => told(error.to_string()),
                // A certificate that does not fit is what a network looks like that wants a login first.
                error @ (ureq::Error::Rustls(_) | ureq::Error::Tls(_)) => {
                    return Refusal::Lasting(told(format!("the connection is not secure: {error}")));
                }
                error => told(error.to_string()),
            },
            None,
        )
    }

    /// What is said of a server that has gone silent.
    pub fn stalled(&self, host: String) -> DownloadError {
        DownloadError::Stalled { host, seconds: self.patience.silence.as_secs() }
    }

    /// What went wrong while the file was being received.
    pub fn broken(&self, host: &str, error: &io::Error) -> DownloadError {
        let timed_out = error.kind() == io::ErrorKind::TimedOut
            || error
                .get_ref()
                .and_then(|inner| inner.downcast_ref())
                .is_some_and(|inner| matches!(inner, ureq::Error::Timeout(_)));
        match timed_out {
            true => self.stalled(host.to_owned()),
            false => DownloadError::Unreachable { host: host.to_owned(), reason: error.to_string() },
        }
    }
}

/// Where models may come from: over TLS, or from this machine.
pub fn is_allowed(url: &Url) -> bool {
    (url.scheme() == "https" && url.has_host()) || is_local(url)
}

fn is_local(url: &Url) -> bool {
    url.scheme() == "http"
        && match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
}

fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or("the server");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn read(
    status: StatusCode,
    headers: &HeaderMap,
    address: &Url,
    question: Question<'_>,
    host: String,
    body: Body,
) -> Result<Answer, Refusal> {
    let name = question.name.to_owned();
    match status.as_u16() {
        200 | 206 => {}
        404 | 410 => return Err(Refusal::Lasting(DownloadError::NotFound { host, name })),
        416 => return Err(Refusal::Misfit),
        // "Network Authentication Required" is for networks that want a login.
        511 => return Err(Refusal::Lasting(DownloadError::NotTheFile { host })),
        408 | 429 | 500..=599 => {
            return Err(Refusal::Passing(DownloadError::Refused { host, status: status.as_u16() }, wait(headers)));
        }
        status => return Err(Refusal::Lasting(DownloadError::Refused { host, status })),
    }
    let is_page = text(headers, header::CONTENT_TYPE).is_some_and(|kind| kind.trim_start().starts_with("text/"));
    let is_encoded =
        text(headers, header::CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity"));
    if is_page || is_encoded {
        return Err(Refusal::Lasting(DownloadError::NotTheFile { host }));
    }
    let (from, total) = if status == StatusCode::PARTIAL_CONTENT {
        let range = text(headers, header::CONTENT_RANGE).and_then(content_range);
        match range {
            Some((from, total)) if from == question.from => (from, total),
            _ => return Err(Refusal::Misfit),
        }
    } else {
        (0, body.content_length())
    };
    if let Some(found) = total.filter(|total| *total != question.bytes) {
        return Err(Refusal::Lasting(DownloadError::WrongSize { host, name, expected: question.bytes, found }));
    }
    // A weak tag does not promise the same bytes.
    let tag = text(headers, header::ETAG).filter(|tag| !tag.starts_with("W/"));
    let origin = tag.map(|tag| Origin { address: address.to_string(), tag: tag.to_owned() });
    Ok(Answer { body, from, origin, host })
}

/// First byte and length of the whole, of `bytes 100-199/200`.
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (from, _) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((from.parse().ok()?, total))
}

/// How long a server asks to be left alone. Some send a date instead of seconds, and get the usual wait.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    text(headers, header::RETRY_AFTER)?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_come_over_tls_or_from_this_machine() {
        for (address, allowed) in [
            ("https://huggingface.co/a", true),
            ("http://127.0.0.1:8000/a", true),
            ("http://[::1]:8000/a", true),
            ("http://localhost/a", true),
            ("http://huggingface.co/a", false),
            ("http://localhost.example.org/a", false),
            ("file:///etc/passwd", false),
            ("ftp://127.0.0.1/a", false),
        ] {
            assert_eq!(is_allowed(&Url::parse(address).unwrap()), allowed, "{address}");
        }
    }

    #[test]
    fn ranges_are_read_as_the_standard_has_them() {
        assert_eq!(content_range("bytes 100-199/200"), Some((100, Some(200))));
        assert_eq!(content_range("bytes 100-199/*"), Some((100, None)));
        for nonsense in ["", "bytes", "bytes */200", "bytes a-b/c", "lines 1-2/3"] {
            assert_eq!(content_range(nonsense), None, "{nonsense}");
        }
    }
}
