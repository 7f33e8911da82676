//! The real window on a display of its own: Xvfb, a window manager, a message bus, a microphone and a WebDriver.
//!
//! Everything ends with the value, or with the test's process, however that ends.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use amanuensis_settings::{Settings, Store};
use amanuensis_test_support::{Program, VirtualMicrophone, found, portal};
use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::wd::WindowHandle;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::STATUS;

/// How long anything may take to start. No test waits for it; it bounds a hang.
const START: Duration = Duration::from_secs(30);
/// How long the window may take to show what is waited for, on a machine that does other things too.
pub const SHOW: Duration = Duration::from_secs(60);
/// WebKitGTK's driver now and then loses the program that it started; a second attempt finds it.
const ATTEMPTS: usize = 3;

/// What the driver is asked to start.
pub type Capabilities = serde_json::Map<String, serde_json::Value>;

/// The window and all that it stands on.
pub struct Stage {
    /// Drives the window.
    pub page: Client,
    capabilities: Capabilities,
    // In the order in which they have to end.
    driver: Option<Program>,
    scene: Scene,
}

/// What the app stands on: a display, a window manager, a message bus, a microphone and a home.
pub struct Scene {
    /// What the app listens to.
    pub microphone: VirtualMicrophone,
    /// Files of the test.
    pub folder: TempDir,
    environment: Vec<(&'static str, String)>,
    // In the order in which they have to end.
    _manager: Program,
    _bus: Program,
    _display: Program,
}

impl std::ops::Deref for Stage {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl std::ops::DerefMut for Stage {
    fn deref_mut(&mut self) -> &mut Scene {
        &mut self.scene
    }
}

/// How the app is started.
#[derive(Default)]
pub struct Setting<'a> {
    /// Arguments of the app.
    pub arguments: Vec<&'a str>,
    /// Further environment of the app.
    pub environment: Vec<(&'static str, String)>,
    /// What is set, beside that the guide was gone through.
    pub settings: Settings,
    /// Whether there is no microphone.
    pub deaf: bool,
    /// Nothing is set, as before the app was ever started.
    pub first_start: bool,
}

impl Stage {
    /// Opens the window. `None` where a program is missing, which has been printed.
    ///
    /// # Panics
    /// Something is there but does not work.
    pub async fn open(setting: Setting<'_>) -> Option<Self> {
        if !["WebKitWebDriver", "unshare"].into_iter().all(found) {
            return None;
        }
        let capabilities = capabilities(&setting.arguments);
        let mut scene = Scene::open(setting)?;
        scene.environment.push(("TAURI_WEBVIEW_AUTOMATION", "true".to_owned()));
        let (driver, page) = start_app(&scene.environment, &capabilities).await;
        Some(Self { page, capabilities, driver: Some(driver), scene })
    }

    /// Kills the app and all its processes in the middle of what they do, as a machine does that has no memory left.
    pub fn kill(&mut self) {
        self.driver = None;
    }

    /// Starts the app again, with the files that it left behind.
    pub async fn open_again(&mut self) {
        let (driver, page) = start_app(&self.environment, &self.capabilities).await;
        (self.driver, self.page) = (Some(driver), page);
    }

    /// Goes on in the window that is not `this`, as soon as there is one.
    ///
    /// # Panics
    /// There is none.
    pub async fn enter_other_window(&self, this: &WindowHandle) {
        let until = Instant::now() + SHOW;
        loop {
            let windows = self.page.windows().await.expect("windows");
            if let Some(other) = windows.into_iter().find(|window| window != this) {
                return self.page.switch_to_window(other).await.expect("it can be driven");
            }
            assert!(Instant::now() < until, "there is no other window");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until `selector` finds something the text of which `fits`, and returns that text.
    ///
    /// # Panics
    /// It never comes; the window's text is part of the message.
    pub async fn wait_for(&self, selector: &str, fits: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + SHOW;
        loop {
            for element in self.page.find_all(Locator::Css(selector)).await.unwrap_or_default() {
                // It may have vanished between the two questions.
                let text = element.text().await.unwrap_or_default();
                if fits(&text) {
                    return text;
                }
            }
            if Instant::now() > until {
                panic!("`{selector}` never showed what was waited for. The window says:\n{}", self.everything().await);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// The button of this name, as a screen reader says it.
    pub async fn button(&self, name: &str) -> Element {
        let selector = format!("button[aria-label='{name}']");
        self.page.wait().at_most(SHOW).for_element(Locator::Css(&selector)).await.expect("the button is there")
    }

    /// Presses the button of this name.
    pub async fn press(&self, name: &str) {
        self.button(name).await.click().await.expect("the button can be pressed");
    }

    /// Starts a dictation with the window's button, and says something into it.
    pub async fn dictate(&self, voice: &Path) {
        self.press("Start dictating").await;
        self.wait_for(STATUS, |text| text.starts_with("Listening")).await;
        self.microphone.play(voice);
    }

    /// Presses the button on which this stands.
    pub async fn press_text(&self, text: &str) {
        let path = format!("//button[normalize-space()='{text}']");
        let button = self.page.wait().at_most(SHOW).for_element(Locator::XPath(&path)).await;
        button.expect("the button is there").click().await.expect("the button can be pressed");
    }

    /// Lets axe-core, the source of which is `rules`, look at the page as it is drawn.
    ///
    /// # Panics
    /// A rule is broken; the message says which one, and where.
    pub async fn check_accessibility(&self, rules: &str) {
        let script = format!(
            "{rules}; return axe.run(document).then(({{ violations }}) => violations.flatMap((violation) => \
             violation.nodes.map((node) => `${{violation.id}}: ${{node.html}} ${{node.failureSummary}}`)))"
        );
        let broken = self.page.execute(&script, Vec::new()).await.expect("axe-core runs");
        assert_eq!(broken, json!([]));
    }

    /// Moves the focus forwards until it is on the button of this name.
    ///
    /// # Panics
    /// It never gets there.
    pub async fn tab_to(&self, name: &str) {
        self.button(name).await;
        for _ in 0..20 {
            let focused = self.page.active_element().await.expect("something has the focus");
            if focused.attr("aria-label").await.ok().flatten().as_deref() == Some(name) {
                return;
            }
            self.type_key(Key::Tab.into()).await;
        }
        panic!("the Tab key never leads to `{name}`");
    }

    /// Presses a key and lets go of it.
    pub async fn type_key(&self, key: char) {
        let keys = KeyActions::new("keyboard".to_owned())
            .then(KeyAction::Down { value: key })
            .then(KeyAction::Up { value: key });
        self.page.perform_actions(keys).await.expect("a key can be pressed");
    }

    /// Waits until dictation can begin.
    pub async fn ready(&self) {
        self.page
            .wait()
            .at_most(SHOW)
            .for_element(Locator::Css("button[aria-label='Start dictating']:enabled"))
            .await
            .expect("the model is read");
    }

    /// All text of the window.
    pub async fn everything(&self) -> String {
        match self.page.find(Locator::Css("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(error) => error.to_string(),
        }
    }

    /// Writes a picture of the page into the folder that `AMANUENSIS_SHOTS` names, if it does.
    pub async fn shoot(&self, name: &str) {
        if let Some(folder) = std::env::var_os("AMANUENSIS_SHOTS") {
            let painted = "return document.fonts.ready.then(() => new Promise((done) => requestAnimationFrame(() => \
                           requestAnimationFrame(() => done(true)))))";
            self.page.execute(painted, Vec::new()).await.expect("the page is painted");
            let png = self.page.screenshot().await.expect("a picture");
            let file = PathBuf::from(folder).join(name).with_extension("png");
            std::fs::create_dir_all(file.parent().expect("it lies in the folder")).expect("a folder can be made");
            std::fs::write(file, png).expect("a file can be written");
        }
    }

    /// Closes the window as a user would, so that the app ends by itself.
    pub async fn close(self) {
        let _ = timeout(START, self.page.clone().close()).await;
    }
}

impl Scene {
    /// Sets everything up, and starts no app. `None` where a program is missing, which has been printed.
    ///
    /// # Panics
    /// Something is there but does not work.
    pub fn open(setting: Setting<'_>) -> Option<Self> {
        if !["Xvfb", "dbus-daemon", "openbox", "setpriv"].into_iter().all(found) {
            return None;
        }
        let mut microphone = VirtualMicrophone::start()?;
        if setting.deaf {
            microphone.unplug();
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = folder.path().display().to_string();
        let mut environment = vec![
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("LANG", "C.UTF-8".to_owned()),
            ("HOME", home.clone()),
            ("XDG_RUNTIME_DIR", home.clone()),
            ("XDG_DATA_HOME", format!("{home}/data")),
            ("XDG_CONFIG_HOME", format!("{home}/config")),
            ("XDG_CACHE_HOME", format!("{home}/cache")),
            ("GDK_BACKEND", "x11".to_owned()),
            ("LIBGL_ALWAYS_SOFTWARE", "1".to_owned()),
            ("NO_AT_BRIDGE", "1".to_owned()),
        ];
        if std::env::var_os("AMANUENSIS_SHOTS").is_some() {
            // Of a page at rest WebKit gives a picture only where it draws with the graphics card.
            environment.push(("WEBKIT_DISABLE_COMPOSITING_MODE", "0".to_owned()));
        }
        // For pictures of the dark look.
        environment.extend(std::env::var("GTK_THEME").map(|theme| ("GTK_THEME", theme)));
        environment.extend(microphone.environment());
        if !setting.first_start {
            let mut settings = setting.settings;
            settings.interface.guided = true;
            let store = Store::at(folder.path().join("config/amanuensis/settings.json"));
            store.save(&settings).expect("settings can be written");
        }
        environment.extend(setting.environment);

        let mut display = Command::new("Xvfb");
        display.args(["-displayfd", "1", "-screen", "0", "1280x1024x24", "-nolisten", "tcp"]);
        let mut display = Program::start(display.envs(environment.clone()));
        environment.push(("DISPLAY", format!(":{}", display.first_line())));

        let mut bus = Command::new("dbus-daemon");
        bus.args(["--nofork", "--print-address=1"]).arg(format!("--config-file={}", portal::BUS));
        let mut bus = Program::start(bus.envs(environment.clone()));
        environment.push(("DBUS_SESSION_BUS_ADDRESS", bus.first_line()));

        let manager = Program::start(Command::new("openbox").envs(environment.clone()));

        Some(Self { microphone, folder, environment, _manager: manager, _bus: bus, _display: display })
    }

    /// Starts the app without a driver. It ends with the value.
    pub fn start_app(&self, arguments: &[&str]) -> Program {
        Program::start(Command::new(app()).args(arguments).envs(self.environment.iter().cloned()))
    }

    /// Starts the app a second time, as a key binding or a file manager would, and waits for its end.
    pub fn app_again(&self, arguments: &[&str]) {
        let app = app();
        let environment = self.environment.iter().filter(|(name, _)| *name != "TAURI_WEBVIEW_AUTOMATION").cloned();
        let status = Command::new(app).args(arguments).env_clear().envs(environment).status();
        assert!(status.expect("the app starts").success());
    }

    /// What other programs on this display are to be started with.
    pub fn environment(&self) -> &[(&'static str, String)] {
        &self.environment
    }

    /// The display's name, for programs that draw on it too.
    pub fn display(&self) -> &str {
        self.variable("DISPLAY")
    }

    /// The address of the message bus.
    pub fn bus(&self) -> &str {
        self.variable("DBUS_SESSION_BUS_ADDRESS")
    }

    fn variable(&self, wanted: &str) -> &str {
        let found = self.environment.iter().find(|(name, _)| *name == wanted);
        &found.expect("BUG: every stage has a display and a bus").1
    }
}

/// The app: the one that was built with these tests, or a packaged one.
pub fn app() -> PathBuf {
    std::env::var_os("AMANUENSIS_TEST_APP").map_or_else(|| env!("CARGO_BIN_EXE_amanuensis-app").into(), PathBuf::from)
}

/// The rules for [`Stage::check_accessibility`]. `None` where they are missing, which has been printed.
pub fn accessibility_rules() -> Option<String> {
    let file = repository("ui/node_modules/axe-core/axe.min.js");
    let rules = std::fs::read_to_string(&file).ok();
    if rules.is_none() {
        println!("skipped: {} is not there; `cargo xtask setup` puts it there", file.display());
    }
    rules
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("BUG: the package lies in the repository").join(path)
}

/// A connector without encryption: the driver is on this machine.
fn hyper_util_connector() -> hyper_util::client::legacy::connect::HttpConnector {
    hyper_util::client::legacy::connect::HttpConnector::new()
}

/// What the driver is to start: the app, with these arguments.
pub fn capabilities(arguments: &[&str]) -> Capabilities {
    let options = json!({ "binary": app(), "args": arguments });
    let capabilities = [("browserName", json!("wry")), ("webkitgtk:browserOptions", options)];
    capabilities.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Starts the app under a driver.
///
/// # Panics
/// It cannot be driven.
pub async fn start_app(environment: &[(&'static str, String)], capabilities: &Capabilities) -> (Program, Client) {
    for attempt in 1..=ATTEMPTS {
        let (driver, address) = start_driver(environment);
        let mut builder = ClientBuilder::new(hyper_util_connector());
        builder.capabilities(capabilities.clone());
        match timeout(START, builder.connect(&address)).await {
            Ok(Ok(page)) => return (driver, page),
            Ok(Err(error)) => eprintln!("attempt {attempt}: {error}"),
            Err(_) => eprintln!("attempt {attempt}: no session after {START:?}"),
        }
    }
    panic!("the window could not be driven in {ATTEMPTS} attempts");
}

/// Starts WebKit's driver, and with it whatever the app starts, in processes that cannot outlive it.
fn start_driver(environment: &[(&'static str, String)]) -> (Program, String) {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
    let mut command = Command::new("unshare");
    command.args(own_processes()).arg("WebKitWebDriver").arg(format!("--port={port}"));
    let driver = Program::start(command.envs(environment.iter().cloned()));
    let until = Instant::now() + START;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "WebKitWebDriver does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
    (driver, format!("http://127.0.0.1:{port}"))
}

/// What makes `unshare` end all descendants with it, as far as this user may.
fn own_processes() -> &'static [&'static str] {
    const WAYS: [&[&str]; 3] = [
        &["--pid", "--fork", "--kill-child", "--mount-proc"],
        &["--user", "--map-current-user", "--pid", "--fork", "--kill-child", "--mount-proc"],
        &["--fork", "--kill-child"],
    ];
    let works = |way: &&&[&str]| {
        let mut trial = Command::new("unshare");
        trial.args(**way).arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    WAYS.iter().find(works).expect("one of the ways asks for no right")
}
