//! Who may ask: decided by the headers alone, before anything else is read.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;
use crate::routes::App;
use crate::settings::Access;

/// Refuses requests whose Host header is not this server's, and those that a web page of another origin makes.
///
/// A page can make the browser send requests to this machine. If it does so by a name of its own that it pointed at this machine
/// ("DNS rebinding"), the Host header says that name; else the Origin header says where the page is from.
pub(crate) async fn same_origin(State(app): State<App>, request: Request, next: Next) -> Response {
    match check_origin(request.headers(), request.uri(), &app.settings.host_names) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Refuses requests without the token.
pub(crate) async fn token(State(app): State<App>, request: Request, next: Next) -> Response {
    match check_token(request.headers(), &app.settings.access) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn check_origin(headers: &HeaderMap, uri: &Uri, names: &[String]) -> Result<(), ApiError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(ApiError::invalid(StatusCode::BAD_REQUEST, "The request needs one Host header."));
    };
    let host = host.to_str().unwrap_or_default();
    let asked = std::iter::once(host).chain(uri.authority().map(|authority| authority.as_str()));
    if !asked.into_iter().all(|authority| is_ours(authority, names)) {
        let message = "This server does not go by the name in the Host header; use localhost or an address in numbers, \
                       or start the server with this name among its host names.";
        return Err(ApiError::invalid(StatusCode::MISDIRECTED_REQUEST, message));
    }
    for origin in headers.get_all(header::ORIGIN) {
        let own = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        if !own.is_some_and(|own| own.eq_ignore_ascii_case(host)) {
            let message = "Web pages of another origin may not use this server; send the request from a program.";
            return Err(ApiError::invalid(StatusCode::FORBIDDEN, message));
        }
    }
    Ok(())
}

/// Whether `host:port` means this server: an address in numbers cannot be anybody's name.
fn is_ours(authority: &str, names: &[String]) -> bool {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn check_token(headers: &HeaderMap, access: &Access) -> Result<(), ApiError> {
    let Access::Token(token) = access else { return Ok(()) };
    let Some(shown) = headers.get(header::AUTHORIZATION) else {
        let message = "You didn't provide an API key; send the token of this server as `Authorization: Bearer TOKEN`.";
        return Err(ApiError::unauthorized(message));
    };
    let shown = shown.as_bytes();
    let right = shown.len() > 7 && shown[..7].eq_ignore_ascii_case(b"bearer ") && token.is(shown[7..].trim_ascii());
    if right {
        Ok(())
    } else {
        Err(ApiError::unauthorized("Incorrect API key provided; look it up in the token file."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(host: &[&str], origin: Option<&str>) -> Result<(), StatusCode> {
        let mut headers = HeaderMap::new();
        for host in host {
            headers.append(header::HOST, host.parse().unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        let names = ["desk.example".to_owned()];
        check_origin(&headers, &Uri::from_static("/health"), &names).map_err(|error| error.status)
    }

    #[test]
    fn names_of_this_machine_pass() {
        for host in ["localhost", "LOCALHOST:9050", "127.0.0.1:9050", "[::1]:9050", "192.168.1.5", "Desk.Example:80"] {
            assert_eq!(origin(&[host], None), Ok(()), "{host}");
        }
    }

    #[test]
    fn foreign_names_are_misdirected() {
        for host in
            ["evil.example", "localhost.evil.example:9050", "127.0.0.1.evil.example", "", ":9050", "127.0.0.1@evil"]
        {
            assert_eq!(origin(&[host], None), Err(StatusCode::MISDIRECTED_REQUEST), "{host}");
        }
        assert_eq!(origin(&[], None), Err(StatusCode::BAD_REQUEST));
        assert_eq!(origin(&["localhost", "evil.example"], None), Err(StatusCode::BAD_REQUEST));
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost".parse().unwrap());
        let proxied = Uri::from_static("http://evil.example/health");
        assert_eq!(check_origin(&headers, &proxied, &[]).unwrap_err().status, StatusCode::MISDIRECTED_REQUEST);
    }

    #[test]
    fn pages_of_other_origins_are_forbidden() {
        assert_eq!(origin(&["localhost:9050"], Some("http://localhost:9050")), Ok(()));
        for other in ["http://localhost:3000", "https://localhost:9050", "http://evil.example", "null"] {
            assert_eq!(origin(&["localhost:9050"], Some(other)), Err(StatusCode::FORBIDDEN), "{other}");
        }
    }

    #[test]
    fn the_token_must_be_right_to_the_letter() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("api-token");
        let token = crate::Token::load_or_create(&file).unwrap();
        let secret = std::fs::read_to_string(&file).unwrap().trim().to_owned();
        let access = Access::Token(token);
        let ask = |value: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            check_token(&headers, &access).is_ok()
        };
        assert!(ask(Some(&format!("Bearer {secret}"))) && ask(Some(&format!("bearer {secret}"))));
        let wrong =
            [secret.clone(), format!("Bearer {secret}0"), format!("Bearer {}", &secret[1..]), "Bearer ".to_owned()];
        assert!(!ask(None) && wrong.iter().all(|wrong| !ask(Some(wrong))));
    }
}
