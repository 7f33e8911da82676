//! A form with a recording in it, received into a file without a name.

use std::fs::File;
use std::path::{Path, PathBuf};

use axum::body::HttpBody;
use axum::extract::multipart::{Field, MultipartError, MultipartRejection};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::error::ApiError;
use crate::settings::Limits;

/// Bytes of a field that is no file.
const MOST_TEXT: usize = 64 << 10;
/// Fields of a form.
const MOST_FIELDS: usize = 64;
/// Bytes of a file's name, as much as file systems allow.
const MOST_NAME: usize = 255;

/// A received form.
#[derive(Debug, Default)]
pub(crate) struct Form {
    /// The recording, and what the client calls it.
    pub file: Option<(File, PathBuf)>,
    /// The other fields, in order.
    pub fields: Vec<(String, String)>,
}

impl Form {
    /// Receives a form. The recording goes to a temporary file that has no name: nobody else can open it, and nothing is left of it
    /// when it is closed, however that happens.
    ///
    /// # Errors
    /// The form is malformed, too large or too slow, or cannot be stored.
    pub async fn receive(request: Request, limits: &Limits) -> Result<Self, ApiError> {
        if request.body().size_hint().lower() > limits.body_bytes {
            return Err(ApiError::too_large(limits.body_bytes));
        }
        let form = Multipart::from_request(request, &()).await.map_err(|rejection| no_form(&rejection))?;
        timeout(limits.upload_time, Self::read(form, limits)).await.map_err(|_| slow())?
    }

    async fn read(mut form: Multipart, limits: &Limits) -> Result<Self, ApiError> {
        let mut received = Self::default();
        loop {
            let next = timeout(limits.pause, form.next_field()).await.map_err(|_| slow())?;
            let Some(mut field) = next.map_err(|error| malformed(&error, limits))? else { return Ok(received) };
            if received.fields.len() >= MOST_FIELDS {
                return Err(ApiError::invalid(StatusCode::BAD_REQUEST, "The form has too many fields."));
            }
            let Some(name) = field.name().map(str::to_owned) else {
                return Err(ApiError::invalid(StatusCode::BAD_REQUEST, "A field of the form has no name."));
            };
            if name != "file" {
                let text = read_text(&name, &mut field, limits).await?;
                received.fields.push((name, text));
                continue;
            }
            if received.file.is_some() {
                return Err(ApiError::field("file", "The form has more than one file; send one recording at a time."));
            }
            let called = file_name(field.file_name().unwrap_or_default());
            let file = store(&mut field, limits).await?;
            received.file = Some((file, called));
        }
    }
}

async fn chunk(field: &mut Field<'_>, limits: &Limits) -> Result<Option<axum::body::Bytes>, ApiError> {
    let chunk = timeout(limits.pause, field.chunk()).await.map_err(|_| slow())?;
    chunk.map_err(|error| malformed(&error, limits))
}

async fn read_text(name: &str, field: &mut Field<'_>, limits: &Limits) -> Result<String, ApiError> {
    let mut text = Vec::new();
    while let Some(chunk) = chunk(field, limits).await? {
        text.extend_from_slice(&chunk);
        if text.len() > MOST_TEXT {
            return Err(ApiError::field(name, format!("The field `{name}` is too long.")));
        }
    }
    String::from_utf8(text).map_err(|_| ApiError::field(name, format!("The field `{name}` is not UTF-8 text.")))
}

async fn store(field: &mut Field<'_>, limits: &Limits) -> Result<File, ApiError> {
    let cannot = |error: std::io::Error| {
        tracing::error!(%error, "cannot store an upload");
        let message = format!("The server cannot store the upload ({error}); make room on its disk and try again.");
        ApiError::server(StatusCode::INTERNAL_SERVER_ERROR, message)
    };
    let mut file = tokio::fs::File::from_std(tempfile::tempfile().map_err(cannot)?);
    while let Some(chunk) = chunk(field, limits).await? {
        file.write_all(&chunk).await.map_err(cannot)?;
    }
    file.flush().await.map_err(cannot)?;
    file.rewind().await.map_err(cannot)?;
    Ok(file.into_std().await)
}

/// The last part of the name, for messages and for the format that its ending hints at.
fn file_name(sent: &str) -> PathBuf {
    let last = sent.rsplit(['/', '\\']).next().unwrap_or_default();
    let printable: String = last.chars().filter(|letter| !letter.is_control()).collect();
    // The end is kept, for it has the ending.
    let from = (printable.len().saturating_sub(MOST_NAME)..).find(|at| printable.is_char_boundary(*at)).unwrap_or(0);
    let name = &printable[from..];
    Path::new(if name.is_empty() { "the upload" } else { name }).to_owned()
}

fn slow() -> ApiError {
    ApiError::too_slow("The upload did not arrive in time; send it again over a faster connection.")
}

fn no_form(rejection: &MultipartRejection) -> ApiError {
    let message =
        format!("{}; send a multipart/form-data form with the recording in its field `file`.", rejection.body_text());
    ApiError::invalid(StatusCode::BAD_REQUEST, message)
}

fn malformed(error: &MultipartError, limits: &Limits) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::too_large(limits.body_bytes);
    }
    let message = format!("The form cannot be read ({}); check how the client encodes it.", error.body_text());
    ApiError::invalid(StatusCode::BAD_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_stripped_of_folders() {
        let name = |sent: &str| file_name(sent).to_str().unwrap().to_owned();
        assert_eq!(name("talk.mp3"), "talk.mp3");
        assert_eq!(name("../../etc/talk.mp3"), "talk.mp3");
        assert_eq!(name("C:\\talks\\a.wav"), "a.wav");
        assert_eq!(name("a\nb\u{7}.wav"), "ab.wav");
        assert_eq!((name(""), name("a/")), ("the upload".to_owned(), "the upload".to_owned()));
        let long = name(&format!("{}.flac", "ü".repeat(400)));
        assert!(long.len() <= MOST_NAME && long.ends_with("ü.flac"));
    }
}
