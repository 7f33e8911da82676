//! What a client is told when its request fails: a status, and OpenAI's JSON around one sentence.

use std::time::Duration;

use amanuensis_engine::{RequestError, SubmitError};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::wire;

/// A refused or failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<String>,
    message: String,
    retry_after: Option<Duration>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, code: Option<&'static str>, message: impl Into<String>) -> Self {
        Self { status, kind, code, param: None, message: message.into(), retry_after: None }
    }

    /// The request itself is wrong.
    pub fn invalid(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, "invalid_request_error", None, message)
    }

    /// One field of the request is wrong.
    pub fn field(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(name.into()), ..Self::invalid(StatusCode::BAD_REQUEST, message) }
    }

    /// The token is missing or wrong.
    pub fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", Some("invalid_api_key"), message)
    }

    /// There is no such model.
    pub fn no_such_model(asked: &str, loaded: &str) -> Self {
        let message =
            format!("The model `{asked}` does not exist here; use `{loaded}`, or `whisper-1`, which means the same.");
        let error = Self::new(StatusCode::NOT_FOUND, "invalid_request_error", Some("model_not_found"), message);
        Self { param: Some("model".to_owned()), ..error }
    }

    /// The body is larger than is taken.
    pub fn too_large(limit: u64) -> Self {
        let message = format!(
            "Maximum content size limit ({limit}) exceeded; send a shorter recording or one in a smaller format."
        );
        Self::invalid(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// The client was too slow.
    pub fn too_slow(message: &str) -> Self {
        Self::invalid(StatusCode::REQUEST_TIMEOUT, message)
    }

    /// There is no room at the moment.
    pub fn busy(message: impl Into<String>, retry_after: Duration) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "requests", Some("rate_limit_exceeded"), message);
        Self { retry_after: Some(retry_after), ..error }
    }

    /// The server is at fault.
    pub fn server(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, "server_error", None, message)
    }

    /// The JSON object.
    pub fn body(&self) -> wire::ErrorBody<'_> {
        wire::ErrorBody {
            error: wire::Error {
                message: &self.message,
                kind: self.kind,
                param: self.param.as_deref(),
                code: self.code,
            },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        if let Some(after) = self.retry_after {
            // Whole seconds, rounded up: a client that comes too early is refused again.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Busy { retry_after, .. } => Self::busy(error.to_string(), retry_after),
            SubmitError::ShuttingDown => Self::server(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        }
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let message = error.to_string();
        match error {
            RequestError::Source(_) => Self::field("file", message),
            RequestError::Decode(_) => Self::invalid(StatusCode::BAD_REQUEST, message),
            RequestError::Deadline { .. } => Self::server(StatusCode::GATEWAY_TIMEOUT, message),
            // Nobody but the server itself can have done it: a client that cancels has gone.
            RequestError::Cancelled => Self::server(StatusCode::SERVICE_UNAVAILABLE, message),
            RequestError::Backend(_) | RequestError::StageDied { .. } => {
                Self::server(StatusCode::INTERNAL_SERVER_ERROR, message)
            }
        }
    }
}
