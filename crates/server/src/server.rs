//! The threads that serve, from the first connection to the last.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use amanuensis_engine::Engine;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::error::ApiError;
use crate::routes::{self, App};
use crate::settings::{Access, Settings};

/// Threads for connections; what computes has its own.
const IO_THREADS: usize = 2;
/// Bytes of a request's head.
const MOST_HEAD_BYTES: usize = 32 << 10;
/// How long to wait when the system has no more file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}: {source}; choose another port or address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others could use the server without a token.
    #[error("{address} can be reached from other machines: without a token, listen on 127.0.0.1 only")]
    OpenBeyondLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The system refuses threads.
    #[error("the server cannot start its threads ({0}); close other programs and try again")]
    Threads(std::io::Error),
}

/// A running server. Dropping it stops it: requests in hand get some time to finish, then its threads are joined.
pub struct Server {
    address: SocketAddr,
    app: App,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Starts to serve `engine`. When this returns, connections are accepted.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(engine: Engine, settings: Settings) -> Result<Self, StartError> {
        let address = settings.address;
        if matches!(settings.access, Access::Open) && !address.ip().is_loopback() {
            return Err(StartError::OpenBeyondLoopback { address });
        }
        let listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let (stop, stopping) = watch::channel(false);
        let limits = &settings.limits;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(IO_THREADS)
            .thread_name("server-io")
            // Each request at the engine is waited for by one, and a few read and write files.
            .max_blocking_threads(limits.recordings + limits.sessions + 16)
            .enable_all()
            .build()
            .map_err(StartError::Threads)?;
        let app = App::new(engine, settings, stopping);
        let served = app.clone();
        let thread = std::thread::Builder::new()
            .name("server".to_owned())
            .spawn(move || {
                runtime.block_on(serve(listener, served));
                // Blocking threads end with the engine's requests, which were cancelled with their clients.
                runtime.shutdown_background();
            })
            .map_err(StartError::Threads)?;
        tracing::info!(%address, "the server listens");
        Ok(Self { address, app, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New requests go to this engine from now on.
    pub fn use_engine(&self, engine: Engine) {
        self.app.use_engine(engine);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The receiver is gone only if the thread is.
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the server's thread broke down");
        }
    }
}

/// Accepts connections until the server is stopped, then gives those in hand the time that is theirs.
async fn serve(listener: TcpListener, app: App) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot listen"),
    };
    let limits = app.settings.limits.clone();
    let places = Arc::new(Semaphore::new(limits.connections));
    let router = routes::router(app.clone());
    let mut connections = JoinSet::new();
    let accepting = async {
        loop {
            let place = Arc::clone(&places).acquire_owned().await.expect("BUG: nobody closes it");
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (router, app) = (router.clone(), app.clone());
                    connections.spawn(async move {
                        connection(stream, router, &app).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        () = accepting => {}
        () = app.stopped() => {}
    }
    drop(listener);
    let all = async {
        while connections.join_next().await.is_some() {}
        // Connections that became live sessions are counted by these.
        let _ = app.sessions.acquire_many(u32::try_from(limits.sessions).unwrap_or(u32::MAX)).await;
    };
    if tokio::time::timeout(limits.grace, all).await.is_err() {
        tracing::warn!("requests were cut off");
    }
}

/// Serves one connection to its end.
async fn connection(stream: TcpStream, router: Router, app: &App) {
    let limits = &app.settings.limits;
    // Neither setting is needed for it to work.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(limits.write_time));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(MOST_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    let result = tokio::select! {
        result = &mut connection => result,
        () = app.stopped() => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    let Err(error) = result else { return };
    tracing::debug!(%error, "a connection ended early");
    if error.is_timeout()
        && let Some(parts) = connection.into_parts()
        && !parts.read_buf.is_empty()
    {
        // Half a head had come: the client is slow, not idle.
        let _ = tokio::time::timeout(limits.write_time, parts.io.into_inner().write_all(&late())).await;
    }
}

/// The answer to a request whose head never came to its end.
fn late() -> Vec<u8> {
    let error = ApiError::too_slow("The head of the request did not arrive in time.");
    let body = serde_json::to_vec(&error.body()).expect("BUG: it has string keys");
    let mut answer = Vec::new();
    let head = "HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close";
    // Writing to memory does not fail.
    let _ = write!(answer, "{head}\r\ncontent-length: {}\r\n\r\n", body.len());
    answer.extend(body);
    answer
}
