//! How the server and its engine are doing: for a person, for a program, for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use amanuensis_engine::{Mode, Percentiles, Snapshot, StageFigures};
use amanuensis_pool::PoolStats;
use amanuensis_whisper::DeviceInfo;
use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::routes::App;

/// Prometheus' text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// What is counted for a request to no address, or by no usual method: others' words do not become labels.
const OTHER: &str = "other";

/// Answers by method, address and status.
#[derive(Default)]
pub(crate) struct Counters {
    answered: Mutex<BTreeMap<(&'static str, String, u16), u64>>,
    in_flight: AtomicUsize,
}

impl Counters {
    fn answered(&self) -> BTreeMap<(&'static str, String, u16), u64> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counts every answer, and the requests that wait for one.
pub(crate) async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    struct InFlight<'a>(&'a AtomicUsize);
    impl Drop for InFlight<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let counters = &app.counters;
    counters.in_flight.fetch_add(1, Ordering::Relaxed);
    let _in_flight = InFlight(&counters.in_flight);
    let path = request.extensions().get::<MatchedPath>().map_or(OTHER, MatchedPath::as_str).to_owned();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => OTHER,
    };
    let response = next.run(request).await;
    let key = (method, path, response.status().as_u16());
    *counters.answered.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
    response
}

#[derive(Serialize)]
pub(crate) struct Health {
    status: &'static str,
}

/// `GET /health`: whether the server takes requests.
pub(crate) async fn health(State(app): State<App>) -> (StatusCode, Json<Health>) {
    if app.is_stopping() {
        (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "stopping" }))
    } else {
        (StatusCode::OK, Json(Health { status: "ok" }))
    }
}

#[derive(Serialize)]
struct PipelineHealth {
    status: &'static str,
    queued: usize,
    queue_capacity: usize,
    stages: Vec<StageHealth>,
}

#[derive(Serialize)]
struct StageHealth {
    stage: &'static str,
    device: String,
    fallback: Option<String>,
    in_flight: usize,
    waiting: usize,
    errors: u64,
}

/// `GET /health/pipeline`: whether the engine takes requests, and what each stage is doing.
pub(crate) async fn health_pipeline(State(app): State<App>) -> Response {
    let snapshot = app.engine().snapshot();
    let (code, status) = match snapshot.queued {
        _ if app.is_stopping() => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        queued if queued >= snapshot.queue_capacity => (StatusCode::SERVICE_UNAVAILABLE, "full"),
        _ => (StatusCode::OK, "ok"),
    };
    let stages = snapshot.stages.into_iter().map(|stage| StageHealth {
        stage: stage.stage.name(),
        device: stage.device.name,
        fallback: stage.fallback.map(|reason| reason.text),
        in_flight: stage.in_flight,
        waiting: stage.waiting,
        errors: stage.errors,
    });
    let (queued, queue_capacity) = (snapshot.queued, snapshot.queue_capacity);
    (code, Json(PipelineHealth { status, queued, queue_capacity, stages: stages.collect() })).into_response()
}

#[derive(Serialize)]
pub(crate) struct Stats {
    uptime_s: f64,
    in_flight: usize,
    answers: Vec<Answers>,
    resident_bytes: Option<u64>,
    open_files: Option<u64>,
    requests: Requests,
}

#[derive(Serialize)]
struct Answers {
    method: &'static str,
    path: String,
    status: u16,
    count: u64,
}

#[derive(Serialize)]
struct Requests {
    submitted: u64,
    refused: u64,
    finished: u64,
    failed: u64,
    cancelled: u64,
    in_flight: usize,
    audio_s: f64,
    active_s: f64,
    realtime_factor: f64,
    queue_wait: Times,
    latency: Times,
}

#[derive(Serialize)]
struct Times {
    count: u64,
    mean_s: f64,
    p50_s: f64,
    p95_s: f64,
    p99_s: f64,
    max_s: f64,
}

impl From<&Percentiles> for Times {
    fn from(of: &Percentiles) -> Self {
        Self {
            count: of.count,
            mean_s: of.mean.as_secs_f64(),
            p50_s: of.p50.as_secs_f64(),
            p95_s: of.p95.as_secs_f64(),
            p99_s: of.p99.as_secs_f64(),
            max_s: of.max.as_secs_f64(),
        }
    }
}

impl From<&Snapshot> for Requests {
    fn from(of: &Snapshot) -> Self {
        let requests = &of.requests;
        Self {
            submitted: requests.submitted,
            refused: requests.refused,
            finished: requests.finished,
            failed: requests.failed,
            cancelled: requests.cancelled,
            in_flight: requests.in_flight,
            audio_s: requests.audio.as_secs_f64(),
            active_s: requests.active.as_secs_f64(),
            realtime_factor: requests.realtime_factor(),
            queue_wait: (&requests.queue_wait).into(),
            latency: (&requests.latency).into(),
        }
    }
}

/// `GET /stats`: what the server answered, and how long the engine took over it.
pub(crate) async fn stats(State(app): State<App>) -> Json<Stats> {
    let answers = app.counters.answered().into_iter();
    Json(Stats {
        uptime_s: app.started.elapsed().as_secs_f64(),
        in_flight: app.counters.in_flight.load(Ordering::Relaxed),
        answers: answers.map(|((method, path, status), count)| Answers { method, path, status, count }).collect(),
        resident_bytes: resident_bytes(),
        open_files: open_files(),
        requests: (&app.engine().snapshot()).into(),
    })
}

#[derive(Serialize)]
pub(crate) struct PipelineStats {
    model: String,
    mode: &'static str,
    uptime_s: f64,
    queued: usize,
    queue_capacity: usize,
    requests: Requests,
    stages: Vec<StageStats>,
    pools: Vec<PoolFigures>,
}

#[derive(Serialize)]
struct StageStats {
    stage: &'static str,
    workers: usize,
    device: Device,
    fallback: Option<String>,
    count: u64,
    errors: u64,
    in_flight: usize,
    waiting: usize,
    busy_s: f64,
    wait: Times,
    service: Times,
}

#[derive(Serialize)]
struct Device {
    name: String,
    detail: String,
}

impl From<DeviceInfo> for Device {
    fn from(of: DeviceInfo) -> Self {
        Self { detail: of.to_string(), name: of.name }
    }
}

impl From<StageFigures> for StageStats {
    fn from(of: StageFigures) -> Self {
        Self {
            stage: of.stage.name(),
            workers: of.workers,
            count: of.count,
            errors: of.errors,
            in_flight: of.in_flight,
            waiting: of.waiting,
            busy_s: of.busy.as_secs_f64(),
            wait: (&of.wait).into(),
            service: (&of.service).into(),
            device: of.device.into(),
            fallback: of.fallback.map(|reason| reason.text),
        }
    }
}

#[derive(Serialize)]
struct PoolFigures {
    name: &'static str,
    capacity: usize,
    in_use: usize,
    high_water: usize,
    bytes: usize,
}

/// `GET /stats/pipeline`: every figure of the engine.
pub(crate) async fn stats_pipeline(State(app): State<App>) -> Json<PipelineStats> {
    let snapshot = app.engine().snapshot();
    let pools = snapshot.pools.iter().map(|pool| PoolFigures {
        name: pool.name,
        capacity: pool.capacity,
        in_use: pool.in_use,
        high_water: pool.high_water,
        bytes: pool.bytes,
    });
    Json(PipelineStats {
        requests: (&snapshot).into(),
        pools: pools.collect(),
        model: snapshot.model,
        mode: match snapshot.mode {
            Mode::Pipelined => "pipelined",
            Mode::Sequential => "sequential",
        },
        uptime_s: snapshot.uptime.as_secs_f64(),
        queued: snapshot.queued,
        queue_capacity: snapshot.queue_capacity,
        stages: snapshot.stages.into_iter().map(StageStats::from).collect(),
    })
}

#[derive(Serialize)]
pub(crate) struct Platform {
    version: &'static str,
    os: &'static str,
    architecture: &'static str,
    cores: usize,
    model: String,
    multilingual: bool,
    device: Device,
}

/// `GET /platform`: what all this runs on.
pub(crate) async fn platform(State(app): State<App>) -> Json<Platform> {
    let engine = app.engine();
    Json(Platform {
        version: env!("CARGO_PKG_VERSION"),
        os: std::env::consts::OS,
        architecture: std::env::consts::ARCH,
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get()),
        model: engine.model_name().to_owned(),
        multilingual: engine.dims().is_multilingual(),
        device: engine.device().into(),
    })
}

/// `GET /metrics`: the same figures, for Prometheus.
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let mut page = Page::default();
    http_metrics(&mut page, &app);
    let snapshot = app.engine().snapshot();
    request_metrics(&mut page, &snapshot);
    stage_metrics(&mut page, &snapshot);
    ([(header::CONTENT_TYPE, PROMETHEUS)], page.0).into_response()
}

fn http_metrics(page: &mut Page, app: &App) {
    page.family("amanuensis_http_responses_total", "counter", "Answers of the server.");
    for ((method, path, status), count) in app.counters.answered() {
        let status = status.to_string();
        let labels = [("method", method), ("path", &path), ("status", &status)];
        page.value("amanuensis_http_responses_total", &labels, count as f64);
    }
    let in_flight = app.counters.in_flight.load(Ordering::Relaxed) as f64;
    page.one("amanuensis_http_requests_in_flight", "gauge", "Requests that wait for an answer.", in_flight);
    page.one(
        "amanuensis_uptime_seconds",
        "gauge",
        "Since the server was started.",
        app.started.elapsed().as_secs_f64(),
    );
    if let Some(bytes) = resident_bytes() {
        page.one("process_resident_memory_bytes", "gauge", "Resident memory of the process.", bytes as f64);
    }
    if let Some(files) = open_files() {
        page.one("process_open_fds", "gauge", "Open file descriptors of the process.", files as f64);
    }
}

fn request_metrics(page: &mut Page, snapshot: &Snapshot) {
    let requests = &snapshot.requests;
    page.one(
        "amanuensis_requests_submitted_total",
        "counter",
        "Requests that the engine took.",
        requests.submitted as f64,
    );
    page.family("amanuensis_requests_total", "counter", "Requests that are over, and those that were refused.");
    let outcomes = [
        ("finished", requests.finished),
        ("failed", requests.failed),
        ("cancelled", requests.cancelled),
        ("refused", requests.refused),
    ];
    for (outcome, count) in outcomes {
        page.value("amanuensis_requests_total", &[("outcome", outcome)], count as f64);
    }
    page.one("amanuensis_requests_in_flight", "gauge", "Requests that are worked on.", requests.in_flight as f64);
    page.one("amanuensis_queue_depth", "gauge", "Requests that wait to be started.", snapshot.queued as f64);
    page.one("amanuensis_queue_capacity", "gauge", "Requests that may wait.", snapshot.queue_capacity as f64);
    page.one(
        "amanuensis_audio_seconds_total",
        "counter",
        "Length of finished recordings.",
        requests.audio.as_secs_f64(),
    );
    let active = requests.active.as_secs_f64();
    page.one("amanuensis_active_seconds_total", "counter", "Time with a request to work on.", active);
    page.family("amanuensis_request_queue_wait_seconds", "summary", "From submission to the start.");
    page.summary("amanuensis_request_queue_wait_seconds", &[], &requests.queue_wait);
    page.family("amanuensis_request_latency_seconds", "summary", "From submission to the end.");
    page.summary("amanuensis_request_latency_seconds", &[], &requests.latency);
}

fn stage_metrics(page: &mut Page, snapshot: &Snapshot) {
    type Figure = (&'static str, &'static str, &'static str, fn(&StageFigures) -> f64);
    let figures: [Figure; 6] = [
        ("amanuensis_stage_windows_total", "counter", "Windows that went through a stage.", |of| of.count as f64),
        ("amanuensis_stage_errors_total", "counter", "Windows that failed in a stage.", |of| of.errors as f64),
        ("amanuensis_stage_in_flight", "gauge", "Windows that a stage works on.", |of| of.in_flight as f64),
        ("amanuensis_stage_waiting", "gauge", "Windows that wait for a stage.", |of| of.waiting as f64),
        ("amanuensis_stage_workers", "gauge", "Threads of a stage.", |of| of.workers as f64),
        ("amanuensis_stage_busy_seconds_total", "counter", "Time that a stage's device worked.", |of| {
            of.busy.as_secs_f64()
        }),
    ];
    for (name, kind, help, figure) in figures {
        page.family(name, kind, help);
        for stage in &snapshot.stages {
            page.value(name, &[("stage", stage.stage.name())], figure(stage));
        }
    }
    type Distribution = (&'static str, &'static str, fn(&StageFigures) -> &Percentiles);
    let distributions: [Distribution; 2] = [
        ("amanuensis_stage_wait_seconds", "How long windows waited for a stage.", |of| &of.wait),
        ("amanuensis_stage_service_seconds", "How long a stage worked on a window.", |of| &of.service),
    ];
    for (name, help, distribution) in distributions {
        page.family(name, "summary", help);
        for stage in &snapshot.stages {
            page.summary(name, &[("stage", stage.stage.name())], distribution(stage));
        }
    }
    page.family("amanuensis_stage_device_info", "gauge", "The device that does a stage's work.");
    for stage in &snapshot.stages {
        let device = &stage.device;
        let detail = device.to_string();
        let labels = [("stage", stage.stage.name()), ("device", &device.name), ("detail", &detail)];
        page.value("amanuensis_stage_device_info", &labels, 1.0);
    }
    type PoolFigure = (&'static str, &'static str, fn(&PoolStats) -> f64);
    let figures: [PoolFigure; 3] = [
        ("amanuensis_pool_capacity", "Buffers that a pool may have.", |of| of.capacity as f64),
        ("amanuensis_pool_in_use", "Buffers of a pool that are leased.", |of| of.in_use as f64),
        ("amanuensis_pool_bytes", "Memory of a pool.", |of| of.bytes as f64),
    ];
    for (name, help, figure) in figures {
        page.family(name, "gauge", help);
        for pool in &snapshot.pools {
            page.value(name, &[("pool", pool.name)], figure(pool));
        }
    }
}

/// A page in Prometheus' text format. *Source*: <https://prometheus.io/docs/instrumenting/exposition_formats/>
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.value(name, &[], value);
    }

    fn summary(&mut self, name: &str, labels: &[(&str, &str)], of: &Percentiles) {
        for (quantile, value) in [("0.5", of.p50), ("0.95", of.p95), ("0.99", of.p99), ("1", of.max)] {
            let labels: Vec<_> = labels.iter().copied().chain([("quantile", quantile)]).collect();
            self.value(name, &labels, value.as_secs_f64());
        }
        self.value(&format!("{name}_sum"), labels, of.mean.as_secs_f64() * of.count as f64);
        self.value(&format!("{name}_count"), labels, of.count as f64);
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

fn open_files() -> Option<u64> {
    // Without the one that the counting itself holds open.
    Some((std::fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut page = Page::default();
        page.value("name", &[("a", "x\"y\\z\n"), ("b", "")], 0.5);
        page.value("other", &[], 3.0);
        assert_eq!(page.0, "name{a=\"x\\\"y\\\\z\\n\",b=\"\"} 0.5\nother 3\n");
    }

    #[test]
    fn a_summary_has_its_sum_and_its_count() {
        let mut page = Page::default();
        let mean = Duration::from_millis(500);
        page.summary("t", &[("stage", "mel")], &Percentiles { count: 4, mean, p50: mean, ..Percentiles::default() });
        assert!(page.0.starts_with("t{stage=\"mel\",quantile=\"0.5\"} 0.5\n"), "{}", page.0);
        assert!(page.0.ends_with("t_sum{stage=\"mel\"} 2\nt_count{stage=\"mel\"} 4\n"), "{}", page.0);
    }

    #[test]
    fn the_process_knows_itself() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 100_000));
        assert!(open_files().is_some_and(|files| files >= 3));
    }
}
