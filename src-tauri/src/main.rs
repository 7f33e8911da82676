//! The desktop app.

use clap::Parser as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

fn main() {
    let levels = std::env::var("RUST_LOG").ok().and_then(|levels| levels.parse::<Targets>().ok());
    tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr))
        // Libraries report as errors what is answered for them in the window.
        .with(levels.unwrap_or_else(|| Targets::new().with_target("amanuensis", LevelFilter::INFO)))
        .init();
    if let Err(error) = amanuensis_app::run(amanuensis_app::Arguments::parse()) {
        eprintln!("amanuensis: {error}");
        std::process::exit(1);
    }
}
