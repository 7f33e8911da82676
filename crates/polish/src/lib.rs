//! Lets a language model go over dictated text: one question to an API like OpenAI's, on this machine or elsewhere.
//!
//! Whatever goes wrong is an error, and whoever asked keeps the text as it was. Text leaves this machine encrypted or not at
//! all, and goes nowhere but to the address that was named: a redirection is not followed.

mod key;
mod keyring;

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use ureq::Agent;
use ureq::http::Uri;

pub use key::{Key, KeyError, KeyKeeper, Place, VARIABLE};

/// The longest answer that is read, in bytes.
const MOST_ANSWER_BYTES: u64 = 1 << 20;
/// An answer that is so many times longer than the text, or shorter, is no correction of it. This many bytes do not count.
const MOST_TIMES: usize = 3;
const LENIENT_BYTES: usize = 200;
/// How much of a server's complaint is repeated, in characters.
const COMPLAINT_CHARACTERS: usize = 200;

/// Whom to ask, and how.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Address of the API, up to and with `/v1`.
    pub endpoint: String,
    /// The model there.
    pub model: String,
    /// What the model is to do.
    pub prompt: String,
    /// For so long an answer is waited for, all in all.
    pub timeout: Duration,
}

/// Somebody who can be asked.
#[derive(Debug, Clone)]
pub struct Polisher {
    address: Uri,
    wanted: Wanted,
    key: Option<Key>,
    agent: Agent,
}

/// Why a text stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum PolishError {
    /// The address is none.
    #[error("\"{0}\" is no address of an API; it begins with http:// or https:// and usually ends with /v1")]
    Address(String),
    /// Text would leave this machine for everybody to read.
    #[error("text would go to {0} unencrypted; use https there, or a server on this machine")]
    Unencrypted(String),
    /// No answer in time, or no connection.
    #[error("{host} cannot be asked ({cause}); check that it runs, or switch the language model off in the settings")]
    Unreachable {
        /// Who was asked.
        host: String,
        /// What went wrong.
        cause: Box<ureq::Error>,
    },
    /// The server does not want to.
    #[error("{host} refused (status {status}: {complaint}); check the model's name and the key")]
    Refused {
        /// Who was asked.
        host: String,
        /// HTTP's number.
        status: u16,
        /// What the server said.
        complaint: String,
    },
    /// The answer is of no use.
    #[error("the answer of {host} is no corrected text: {what}; try another model or another instruction")]
    Useless {
        /// Who was asked.
        host: String,
        /// What it did instead.
        what: &'static str,
    },
}

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
}

impl Polisher {
    /// Whoever serves the model at the address, which is not asked yet.
    ///
    /// # Errors
    /// [`PolishError::Address`], [`PolishError::Unencrypted`].
    pub fn new(wanted: Wanted, key: Option<Key>) -> Result<Self, PolishError> {
        let wrong = || PolishError::Address(wanted.endpoint.clone());
        let address = format!("{}/chat/completions", wanted.endpoint.trim().trim_end_matches('/'));
        let address: Uri = address.parse().map_err(|_| wrong())?;
        let host = address.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        let here = is_loopback(host);
        match address.scheme_str() {
            Some("https") => {}
            Some("http") if here => {}
            Some("http") => return Err(PolishError::Unencrypted(host.to_owned())),
            _ => return Err(wrong()),
        }
        let mut config = Agent::config_builder()
            .timeout_global(Some(wanted.timeout))
            .http_status_as_error(false)
            // One that leads elsewhere would take text and key there.
            .max_redirects(0);
        if here {
            config = config.proxy(None);
        }
        Ok(Self { address, key, agent: config.build().into(), wanted })
    }

    /// The text as the model would have it. Blocks until it has answered, or for as long as was allowed.
    ///
    /// # Errors
    /// [`PolishError`]; the text is best left as it was.
    pub fn polish(&self, text: &str) -> Result<String, PolishError> {
        let host = || self.address.host().unwrap_or_default().to_owned();
        let question = json!({
            "model": self.wanted.model,
            "temperature": 0,
            "messages": [{ "role": "system", "content": self.wanted.prompt }, { "role": "user", "content": text }],
        });
        let mut request = self.agent.post(&self.address).header("Content-Type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {}", key.reveal()));
        }
        let useless = |what| PolishError::Useless { host: host(), what };
        let failed = |cause| match cause {
            ureq::Error::BodyExceedsLimit(_) => useless("it is far too long"),
            cause => PolishError::Unreachable { host: host(), cause: Box::new(cause) },
        };
        let mut answer = request.send(question.to_string()).map_err(failed)?;
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(MOST_ANSWER_BYTES).lossy_utf8(true).read_to_string();
        let body = body.map_err(failed)?;
        if !status.is_success() {
            return Err(PolishError::Refused { host: host(), status: status.as_u16(), complaint: complaint(&body) });
        }
        let answer: Answer = serde_json::from_str(&body).map_err(|_| useless("it is not as OpenAI's API has it"))?;
        let said = answer.choices.into_iter().next().and_then(|choice| choice.message.content).unwrap_or_default();
        match without_thoughts(&said) {
            "" => Err(useless("it is empty")),
            said if said.len() > text.len() * MOST_TIMES + LENIENT_BYTES => Err(useless("it is far too long")),
            said if said.len() * MOST_TIMES + LENIENT_BYTES < text.len() => Err(useless("it is far too short")),
            said => Ok(said.to_owned()),
        }
    }
}

/// What is said after what some models think aloud before.
fn without_thoughts(said: &str) -> &str {
    let said = said.trim();
    match said.strip_prefix("<think>") {
        Some(thoughts) => thoughts.split_once("</think>").map_or("", |(_, said)| said.trim()),
        None => said,
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// What a server says is wrong, in one line: OpenAI's error message where there is one.
fn complaint(body: &str) -> String {
    let json = serde_json::from_str::<serde_json::Value>(body).ok();
    let message = json.as_ref().and_then(|json| json["error"]["message"].as_str().or(json["error"].as_str()));
    let plain = message.unwrap_or(body).replace(char::is_control, " ");
    let words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { "it did not say why".to_owned() } else { words.chars().take(COMPLAINT_CHARACTERS).collect() }
}
