//! `amanuensis serve`.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use amanuensis_engine::Shutdown;
use amanuensis_server::{Access, DEFAULT_PORT, Limits, Server, Settings, Token, token_file};
use anyhow::Context as _;
use clap::Args;

use crate::speech::ModelArguments;

/// Transcribe for other programs, by OpenAI's API
///
/// Every client of that API works with the address that is printed and the token. The token is made at the first start and kept
/// in a file that only you can read. /docs describes the API. Ctrl-C ends when the requests in hand are done; Ctrl-C again ends
/// at once.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Address to listen on; one that other machines reach needs the token
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, short, value_name = "PORT", default_value_t = DEFAULT_PORT)]
    port: u16,
    /// File of the token [default: ~/.config/amanuensis/api-token]
    #[arg(long, value_name = "FILE", conflicts_with = "no_token")]
    token_file: Option<PathBuf>,
    /// Let every program on this machine in, without a token
    #[arg(long)]
    no_token: bool,
    /// Name by which clients call this machine, beside localhost and its addresses; may be given again
    #[arg(long, value_name = "NAME")]
    host_name: Vec<String>,
}

/// Serves until it is told to end.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (access, key) = if arguments.no_token {
        (Access::Open, "No token is asked for".to_owned())
    } else {
        let file = arguments.token_file.clone().map_or_else(token_file, Ok)?;
        (Access::Token(Token::load_or_create(&file)?), format!("The token is in {}", file.display()))
    };
    let settings = Settings {
        address: SocketAddr::new(arguments.address, arguments.port),
        access,
        host_names: arguments.host_name.clone(),
        limits: Limits::default(),
    };
    let (end, ends) = crossbeam_channel::bounded(1);
    let mut interrupted = false;
    ctrlc::set_handler(move || {
        if std::mem::replace(&mut interrupted, true) {
            // As of a program that Ctrl-C has ended.
            std::process::exit(130);
        }
        // There is room for the first; while the model is being loaded it waits there.
        let _ = end.try_send(());
    })
    .context("cannot listen for Ctrl-C")?;
    let engine = arguments.model.engine()?;
    let server = Server::start(engine.clone(), settings)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "Listening on http://{}/v1 with {}. {key}.", server.address(), engine.model_name())?;
    out.flush()?;
    ends.recv().context("nobody listens for Ctrl-C any more")?;
    drop(server);
    engine.shutdown(Shutdown::Cancel);
    Ok(ExitCode::SUCCESS)
}
