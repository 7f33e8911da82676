//! Every address of the API, and what stands before it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use amanuensis_engine::Engine;
use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Redirect;
use axum::routing::{get, post};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::error::ApiError;
use crate::figures::Counters;
use crate::settings::Settings;
use crate::transcribe::ALIAS;
use crate::wire::{Model, ModelList};
use crate::{body, docs, figures, guard, realtime, transcribe};

/// When a client should come again that found all places taken.
const PLACES_RETRY: Duration = Duration::from_secs(2);

/// What all requests share.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    engine: RwLock<Engine>,
    pub settings: Settings,
    pub started: Instant,
    started_at: SystemTime,
    pub counters: Counters,
    recordings: Arc<Semaphore>,
    /// One for each live session.
    pub sessions: Arc<Semaphore>,
    /// Becomes true when the server stops.
    stopping: watch::Receiver<bool>,
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    pub fn new(engine: Engine, settings: Settings, stopping: watch::Receiver<bool>) -> Self {
        Self(Arc::new(Shared {
            engine: RwLock::new(engine),
            started: Instant::now(),
            started_at: SystemTime::now(),
            counters: Counters::default(),
            recordings: Arc::new(Semaphore::new(settings.limits.recordings)),
            sessions: Arc::new(Semaphore::new(settings.limits.sessions)),
            stopping,
            settings,
        }))
    }

    /// The engine of the moment.
    pub fn engine(&self) -> Engine {
        self.engine.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// New requests go to another engine; those in hand stay with theirs.
    pub fn use_engine(&self, engine: Engine) {
        *self.engine.write().unwrap_or_else(PoisonError::into_inner) = engine;
    }

    /// Whether the server was told to stop.
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits until the server is told to stop.
    pub async fn stopped(&self) {
        // It fails only if the sender is gone, and with it the server.
        let _ = self.stopping.clone().wait_for(|stop| *stop).await;
    }

    /// A place for one recording, from its upload to its answer.
    pub fn recording_place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let place = Arc::clone(&self.recordings).try_acquire_owned();
        place.map_err(|_| ApiError::busy("Too many recordings are being worked on; try again soon.", PLACES_RETRY))
    }

    /// A place for one live session.
    pub fn session_place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let place = Arc::clone(&self.sessions).try_acquire_owned();
        place
            .map_err(|_| ApiError::busy("Too many live sessions are open; try again when one has ended.", PLACES_RETRY))
    }
}

/// The whole API.
pub(crate) fn router(app: App) -> Router {
    let body_bytes = usize::try_from(app.settings.limits.body_bytes).unwrap_or(usize::MAX);
    let guarded = Router::new()
        .route("/v1/audio/transcriptions", post(transcribe::transcriptions))
        .route("/v1/audio/translations", post(transcribe::translations))
        .route("/v1/models", get(models))
        .route("/v1/models/{model}", get(model))
        .route("/v1/realtime", get(realtime::connect))
        .route("/health/pipeline", get(figures::health_pipeline))
        .route("/stats", get(figures::stats))
        .route("/stats/pipeline", get(figures::stats_pipeline))
        .route("/platform", get(figures::platform))
        .route("/metrics", get(figures::metrics))
        .route_layer(from_fn_with_state(app.clone(), guard::token));
    // These tell nothing that is not in the source code.
    let open = Router::new()
        .route("/", get(|| async { Redirect::temporary("/docs") }))
        .route("/docs", get(docs::page))
        .route("/openapi.json", get(docs::openapi))
        .route("/health", get(figures::health));
    guarded
        .merge(open)
        .fallback(|| async {
            ApiError::invalid(StatusCode::NOT_FOUND, "There is nothing here; /docs lists what there is.")
        })
        .method_not_allowed_fallback(|| async {
            ApiError::invalid(StatusCode::METHOD_NOT_ALLOWED, "This address does not take this method; see /docs.")
        })
        .layer(from_fn_with_state(app.clone(), guard::same_origin))
        .layer(from_fn(body::read_out))
        .layer(from_fn_with_state(app.clone(), figures::count))
        .layer(DefaultBodyLimit::max(body_bytes))
        .with_state(app)
}

async fn models(State(app): State<App>) -> Json<ModelList> {
    let own = app.engine().model_name().to_owned();
    let names = [own, ALIAS.to_owned()];
    Json(ModelList::of(names.into_iter().map(|name| Model::of(name, started_at(&app))).collect()))
}

async fn model(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Model>, ApiError> {
    transcribe::check_model(&name, &app.engine())?;
    Ok(Json(Model::of(name, started_at(&app))))
}

/// What OpenAI calls the time of a model's creation: here, since when it is to be had.
fn started_at(app: &App) -> u64 {
    app.started_at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
