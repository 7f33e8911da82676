//! OpenAI's speech API on this machine: HTTP and a WebSocket over the engine that the app and the command line use too.
//!
//! [`Server::start`] takes an engine and [`Settings`] and serves on threads of its own until it is dropped. What may connect is
//! decided before a request is read: by the address, the Host and Origin headers, and a token.

mod body;
mod docs;
mod error;
mod figures;
mod guard;
mod realtime;
mod routes;
mod running;
mod server;
mod settings;
mod token;
mod transcribe;
mod upload;
mod wire;

pub use server::{Server, StartError};
pub use settings::{Access, DEFAULT_PORT, Limits, Settings};
pub use token::{Token, TokenError, token_file};
