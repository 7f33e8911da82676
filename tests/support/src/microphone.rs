//! A microphone without hardware: a PulseAudio server of its own, with a source that hears what is played into it.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{found, run};

/// How long a server may take to start. No test waits for it; it bounds a hang.
const START: Duration = Duration::from_secs(20);

/// A running sound server with one microphone, which is the default one. It ends with the value, or with the test.
#[derive(Debug)]
pub struct VirtualMicrophone {
    folder: TempDir,
    server: Option<Child>,
    plugged: Option<Plugged>,
}

#[derive(Debug)]
struct Plugged {
    /// Numbers of the modules that make it up, the newest last.
    modules: Vec<String>,
    /// A recorder that keeps the latency low: a sink that nobody listens to runs two seconds late.
    reader: Child,
    /// Throws away what it records.
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
        let mut microphone =
            Self { folder: tempfile::tempdir().expect("a temporary folder"), server: None, plugged: None };
        microphone.start_server();
        microphone.plug();
        Some(microphone)
    }

    /// What a program has to have in its environment to find this server and no other.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let folder = self.folder.path().display();
        [("PULSE_SERVER", format!("unix:{folder}/native")), ("PULSE_COOKIE", format!("{folder}/cookie"))]
    }

    /// Plays a WAV file into the microphone, to its end.
    pub fn play(&self, wav: &Path) {
        run(self.client("paplay").arg("--latency-msec=500").arg(wav));
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
            .args(["--latency-msec=20", "--device=virtual_microphone"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("parec starts");
        let mut recorded = reader.stdout.take().expect("it was asked for");
        // From the first sample on it is as quick as a real one.
        recorded.read_exact(&mut [0]).expect("the microphone gives sound");
        let drain = std::thread::spawn(move || _ = std::io::copy(&mut recorded, &mut std::io::sink()));
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

    fn start_server(&mut self) {
        let socket = self.folder.path().join("native");
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

/// Ends a child process and waits for it.
fn end(child: &mut Child) {
    // Either it runs and can be killed, or it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}
