//! A microphone without hardware: a PulseAudio server of its own, with a source that hears what is played into it.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{found, run};

/// How long a server may take to start. No test waits for it; it bounds a hang.
const START: Duration = Duration::from_secs(20);
/// How loud a sample is that is no rounding error of silence, of 32,768.
const SOUND: u16 = 100;
const LOOK: Duration = Duration::from_millis(2);
/// What records whether or not anybody listens: the reader, and the source that is made of the sink's monitor.
const RECORDERS: usize = 2;

/// A running sound server with one microphone, which is the default one. It ends with the value, or with the test.
#[derive(Debug)]
pub struct VirtualMicrophone {
    folder: TempDir,
    server: Option<Child>,
    plugged: Option<Plugged>,
    last_sound: Arc<Mutex<Option<Instant>>>,
}

/// A WAV file that is being played into a microphone.
#[derive(Debug)]
pub struct Playing(Child);

impl Playing {
    /// Returns at its end.
    ///
    /// # Panics
    /// It could not be played.
    pub fn wait(mut self) {
        assert!(self.0.wait().expect("paplay can be waited for").success(), "paplay failed");
    }
}

#[derive(Debug)]
struct Plugged {
    /// Numbers of the modules that make it up, the newest last.
    modules: Vec<String>,
    /// A recorder that keeps the latency low: a sink that nobody listens to runs two seconds late.
    reader: Child,
    /// Reads what it records, and notes when there was a sound.
    drain: JoinHandle<()>,
}

impl Plugged {
    fn end(mut self) {
        end(&mut self.reader);
        // It ends with what it reads from.
        let _ = self.drain.join();
    }
}

impl VirtualMicrophone {
    /// Name of the microphone in lists of devices.
    pub const NAME: &str = "VirtualMicrophone";

    /// Starts the server and plugs the microphone in. `None` where PulseAudio is not installed.
    ///
    /// # Panics
    /// PulseAudio is there but does not start.
    pub fn start() -> Option<Self> {
        if !["pulseaudio", "pactl", "paplay", "parec", "setpriv"].into_iter().all(found) {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut microphone = Self { folder, server: None, plugged: None, last_sound: Arc::default() };
        microphone.start_server();
        microphone.plug();
        Some(microphone)
    }

    /// What a program has to have in its environment to find this server and no other.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let folder = self.folder.path().display();
        [("PULSE_SERVER", format!("unix:{folder}/native")), ("PULSE_COOKIE", format!("{folder}/cookie"))]
    }

    /// Plugs in another microphone of this name, which stays until the server ends. It is not the default one.
    ///
    /// # Panics
    /// The sound server refuses.
    pub fn plug_another(&self, name: &str) {
        let load = |arguments: &[&str]| run(self.client("pactl").arg("load-module").args(arguments));
        let sink = format!("sink_name={name}_speech");
        load(&["module-null-sink", &sink, "rate=48000", "channels=1", "channel_map=mono"]);
        let (source, master) = (format!("source_name={name}"), format!("master={name}_speech.monitor"));
        let description = format!("source_properties=device.description={name}");
        load(&["module-remap-source", &source, &master, "channels=1", "channel_map=mono", &description]);
    }

    /// Makes the microphone of this name the default one.
    ///
    /// # Panics
    /// There is none.
    pub fn make_default(&self, name: &str) {
        run(self.client("pactl").args(["set-default-source", name]));
    }

    /// Plays a WAV file into the other microphone of this name, to its end.
    ///
    /// # Panics
    /// It cannot be played.
    pub fn play_into(&self, name: &str, wav: &Path) {
        run(self.client("paplay").arg(format!("--device={name}_speech")).arg("--latency-msec=500").arg(wav));
    }

    /// Plays a WAV file into the microphone, to its end.
    pub fn play(&self, wav: &Path) {
        self.begin(wav).wait();
    }

    /// Begins to play a WAV file into the microphone.
    ///
    /// # Panics
    /// paplay does not start.
    pub fn begin(&self, wav: &Path) -> Playing {
        let mut paplay = self.client("paplay");
        Playing(paplay.arg("--latency-msec=500").arg(wav).stdin(Stdio::null()).spawn().expect("setpriv starts"))
    }

    /// When the microphone heard a sound last, to some 20 ms.
    ///
    /// # Panics
    /// It never heard one.
    pub fn last_sound(&self) -> Instant {
        self.heard().expect("something was played")
    }

    /// Whether a program other than the test records from the microphone.
    pub fn is_listened_to(&self) -> bool {
        run(self.client("pactl").args(["list", "short", "source-outputs"])).lines().count() > RECORDERS
    }

    /// Whether the microphone has heard a sound since then.
    pub fn heard_since(&self, then: Instant) -> bool {
        self.heard().is_some_and(|heard| heard > then)
    }

    /// Returns when the microphone hears the next sound.
    ///
    /// # Panics
    /// It stays quiet.
    pub fn wait_for_sound(&self) {
        let asked = Instant::now();
        while !self.heard_since(asked) {
            assert!(asked.elapsed() < START, "the microphone hears nothing");
            std::thread::sleep(LOOK);
        }
    }

    fn heard(&self) -> Option<Instant> {
        *self.last_sound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pulls the microphone out.
    pub fn unplug(&mut self) {
        let Some(plugged) = self.plugged.take() else { return };
        for module in plugged.modules.iter().rev() {
            run(self.client("pactl").args(["unload-module", module]));
        }
        plugged.end();
    }

    /// Plugs the microphone in again.
    pub fn plug(&mut self) {
        if self.plugged.is_some() {
            return;
        }
        let load = |arguments: &[&str]| run(self.client("pactl").arg("load-module").args(arguments));
        let sink = load(&["module-null-sink", "sink_name=speech", "rate=48000", "channels=1", "channel_map=mono"]);
        let description = format!("source_properties=device.description={}", Self::NAME);
        let source = load(&[
            "module-remap-source",
            "source_name=virtual_microphone",
            "master=speech.monitor",
            "channels=1",
            "channel_map=mono",
            "master_channel_map=mono",
            &description,
        ]);
        run(self.client("pactl").args(["set-default-sink", "speech"]));
        run(self.client("pactl").args(["set-default-source", "virtual_microphone"]));
        let mut reader = self
            .client("parec")
            .args(["--latency-msec=20", "--format=s16ne", "--device=virtual_microphone"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("parec starts");
        let mut recorded = reader.stdout.take().expect("it was asked for");
        // From the first sample on it is as quick as a real one.
        recorded.read_exact(&mut [0; 2]).expect("the microphone gives sound");
        let last_sound = Arc::clone(&self.last_sound);
        let drain = std::thread::spawn(move || listen(&mut recorded, &last_sound));
        self.plugged = Some(Plugged { modules: vec![sink, source], reader, drain });
    }

    /// Ends the sound server, as a crash would.
    pub fn kill_server(&mut self) {
        if let Some(plugged) = self.plugged.take() {
            plugged.end();
        }
        if let Some(mut server) = self.server.take() {
            end(&mut server);
        }
    }

    /// Ends the sound server and starts it again, with the microphone.
    pub fn restart_server(&mut self) {
        self.kill_server();
        self.start_server();
        self.plug();
    }

    fn start_server(&mut self) {
        let socket = self.folder.path().join("native");
        // One that was killed leaves it behind.
        let _ = std::fs::remove_file(&socket);
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log file");
        // It dies with this process, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "pulseaudio", "-n"]);
        command.arg(format!("--load=module-native-protocol-unix auth-anonymous=1 socket={}", socket.display()));
        command
            .args(["--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--realtime=no"])
            .args(["--high-priority=no", "--log-target=stderr", "--log-level=notice"])
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env("HOME", self.folder.path())
            .envs(self.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.server = Some(command.spawn().expect("setpriv starts"));
        let until = Instant::now() + START;
        let answers = || {
            let status = self.client("pactl").arg("info").stdout(Stdio::null()).stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        while !answers() {
            if Instant::now() > until {
                let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                panic!("PulseAudio does not answer: {log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", program]).envs(self.environment());
        command.env("XDG_RUNTIME_DIR", self.folder.path()).env("HOME", self.folder.path());
        command
    }
}

impl Drop for VirtualMicrophone {
    fn drop(&mut self) {
        self.kill_server();
    }
}

/// Reads samples to their end, and notes when there was one that can be heard.
fn listen(recorded: &mut impl Read, last_sound: &Mutex<Option<Instant>>) {
    let mut bytes = [0; 512];
    while recorded.read_exact(&mut bytes).is_ok() {
        let mut samples = bytes.chunks_exact(2).map(|pair| i16::from_ne_bytes([pair[0], pair[1]]));
        if samples.any(|sample| sample.unsigned_abs() > SOUND) {
            *last_sound.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }
}

/// Ends a child process and waits for it.
fn end(child: &mut Child) {
    // Either it runs and can be killed, or it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}
