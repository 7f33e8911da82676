//! The desktop app.

use clap::Parser as _;

fn main() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    if let Err(error) = amanuensis_app::run(amanuensis_app::Arguments::parse()) {
        eprintln!("amanuensis: {error}");
        std::process::exit(1);
    }
}
