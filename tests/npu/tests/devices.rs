//! The encoder on every device.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use amanuensis_backend_cpu::{CpuOptions, Precision};
use amanuensis_backend_npu::{Choice, Format, Machine, NpuOptions, Pace, Policy, open};
use amanuensis_npu_tests::conformance::{check, encode, similarity};
use amanuensis_npu_tests::launch::VirtualNpu;
use amanuensis_npu_tests::model::{self, spectrogram};
use amanuensis_whisper::{Dims, Encoder, Model, Weights};

const TWO: NonZeroUsize = NonZeroUsize::new(2).expect("two is not zero");

struct Fixture {
    folder: tempfile::TempDir,
    weights: Weights,
    cpu: Arc<dyn Model>,
}

fn fixture(dims: &Dims) -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.bin");
    model::write(&path, dims, 42).expect("written");
    let weights = Weights::open(&path).expect("our own model is one");
    let options = CpuOptions { precision: Precision::F32, threads: TWO };
    let cpu = amanuensis_backend_cpu::load(&weights, options).expect("it loads");
    Fixture { folder, weights, cpu }
}

fn simulated(fixture: &Fixture, format: Format, pace: Pace) -> Box<dyn Encoder> {
    let choice = Choice::Simulated { machine: Machine::default(), pace, threads: TWO };
    let options = NpuOptions { choice, format, policy: Policy::RequireNpu };
    open(&fixture.weights, Arc::clone(&fixture.cpu).encoder(), &options).expect("the simulation opens anywhere")
}

#[test]
fn the_cpu_conforms() {
    let fixture = fixture(&model::small());
    let int8 = CpuOptions { precision: Precision::Int8, threads: TWO };
    let int8 = amanuensis_backend_cpu::load(&fixture.weights, int8).expect("it loads");
    check(&mut *int8.encoder(), &mut *fixture.cpu.clone().encoder(), 0.99).expect("int8 conforms");
    check(&mut *fixture.cpu.clone().encoder(), &mut *fixture.cpu.encoder(), 0.999_999).expect("f32 conforms");
}

#[test]
fn the_simulated_npu_conforms() {
    // The second has narrow tiles, heads of 24 and a length that is no multiple of anything.
    for dims in [model::small(), model::dims(96, 4, 1, 37)] {
        let fixture = fixture(&dims);
        let mut encoder = simulated(&fixture, Format::Bfp16, Pace::Computed);
        assert_eq!(encoder.device().name, "npu-simulated");
        check(&mut *encoder, &mut *fixture.cpu.clone().encoder(), 0.999).expect("bfp16 conforms");
        let mut encoder = simulated(&fixture, Format::Int8, Pace::Computed);
        check(&mut *encoder, &mut *fixture.cpu.encoder(), 0.99).expect("int8 conforms");
    }
}

#[test]
fn the_simulated_npu_encodes_base_as_the_cpu_does() {
    let fixture = fixture(&model::base());
    let mel = spectrogram(3000, 80, 3);
    let expected = encode(&mut *fixture.cpu.clone().encoder(), &mel, 3000).expect("encoded");
    let began = std::time::Instant::now();
    let found = encode(&mut *simulated(&fixture, Format::Bfp16, Pace::Computed), &mel, 3000).expect("encoded");
    let close = similarity(&found, &expected);
    println!("similarity {close:.6} in {:.1} s", began.elapsed().as_secs_f64());
    assert!(close >= 0.999, "{close}");
}

#[test]
fn a_remembered_window_takes_the_predicted_time() {
    let fixture = fixture(&model::small());
    let mut encoder = simulated(&fixture, Format::Bfp16, Pace::Predicted);
    let mel = spectrogram(100, 80, 3);
    let computed = encode(&mut *encoder, &mel, 100).expect("encoded");
    assert_eq!(encode(&mut *encoder, &mel, 100).expect("encoded"), computed);
    let view = amanuensis_whisper::MelView::by_frame(&mel, 100, 80).expect("it is long enough");
    let mut out = vec![0.0; computed.len()];
    let report = encoder.encode(&[view], &mut [&mut out]).expect("encoded");
    assert_eq!(out, computed);
    // 17 dispatches of 50 microseconds at least, whatever this machine's speed is.
    assert!(report.busy.as_micros() >= 850 && report.busy.as_millis() < 20, "{:?}", report.busy);
}

/// What runs on the virtual NPU, or `None` where there is none: the test is then skipped.
fn virtual_npu() -> Option<VirtualNpu> {
    VirtualNpu::prepare().inspect_err(|reason| println!("skipped: {reason:#}")).ok()
}

struct Virtual {
    npu: VirtualNpu,
    fixture: Fixture,
    programs: PathBuf,
}

impl Virtual {
    fn new(dims: &Dims, format: Format) -> Option<Self> {
        let npu = virtual_npu()?;
        let fixture = fixture(dims);
        let programs = fixture.folder.path().join("programs");
        npu.write_program(&programs, dims, format).expect("the program is written");
        Some(Self { npu, fixture, programs })
    }

    fn program(&self) -> PathBuf {
        let entries = std::fs::read_dir(&self.programs).expect("the folder is there");
        entries.flatten().next().expect("a program is in it").path()
    }

    fn exercise(&self, task: &str, variables: &[(&str, &str)]) -> Output {
        let mut command = self.npu.command(Path::new(env!("CARGO_BIN_EXE_exercise")));
        command.arg(task).arg(self.fixture.folder.path().join("model.bin")).arg(self.program());
        for (name, value) in variables {
            command.env(name, value);
        }
        command.output().expect("unshare starts")
    }

    fn expect(&self, task: &str, variables: &[(&str, &str)]) -> String {
        succeeded(&self.exercise(task, variables))
    }
}

fn succeeded(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    out.into_owned()
}

#[test]
fn the_real_xrt_over_the_virtual_npu_conforms() {
    let Some(virtual_npu) = Virtual::new(&model::small(), Format::Bfp16) else { return };
    let output = virtual_npu.exercise("conform", &[("AMANUENSIS_VIRTUAL_NPU_LOG", "1")]);
    let said = succeeded(&output);
    assert!(said.starts_with("npu: virtual NPU, bfp16, XRT 2.25") && said.ends_with("it conforms\n"), "{said}");
    // The weights, the window that had to be gathered, and the one that begins on a page, with its result.
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(log.matches("of the caller's memory").count(), 4, "{log}");
}

#[test]
fn the_virtual_npu_needs_no_private_mounts() {
    let Some(mut virtual_npu) = Virtual::new(&model::small(), Format::Bfp16) else { return };
    virtual_npu.npu.without_private_mounts();
    let said = virtual_npu.expect("conform", &[]);
    assert!(said.starts_with("npu: virtual NPU") && said.ends_with("it conforms\n"), "{said}");
    let said = virtual_npu.expect("telemetry", &[]);
    assert!(!said.contains("Unavailable"), "{said}");
}

#[test]
fn the_real_xrt_over_the_virtual_npu_encodes_base_as_the_cpu_does() {
    let Some(virtual_npu) = Virtual::new(&model::base(), Format::Bfp16) else { return };
    let said = virtual_npu.expect("once", &[]);
    println!("{said}");
    let close = said.lines().find_map(|line| line.strip_prefix("similarity ")).and_then(|text| text.parse().ok());
    let close: f64 = close.expect("it says how similar");
    assert!(close >= 0.999, "{close}");
}

#[test]
fn a_thousand_requests_leave_no_buffer() {
    let Some(virtual_npu) = Virtual::new(&model::dims(64, 1, 1, 16), Format::Bfp16) else { return };
    println!("{}", virtual_npu.expect("thousand", &[]));
}

#[test]
fn a_deep_encoder_is_sent_in_chains_that_the_driver_takes() {
    let Some(virtual_npu) = Virtual::new(&model::dims(64, 1, 20, 16), Format::Bfp16) else { return };
    let output = virtual_npu.exercise("once", &[("AMANUENSIS_VIRTUAL_NPU_LOG", "1")]);
    println!("{}", succeeded(&output));
    // 143 dispatches, of which XRT puts 24 into a chain; the driver's buffer for one holds 4 KB. Encoded twice: to check, and once.
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(log.matches("virtual NPU: command ").count(), 2 * 6, "{log}");
}

#[test]
fn a_low_limit_on_locked_memory_is_found_before_xrt_runs_into_it() {
    let Some(virtual_npu) = Virtual::new(&model::small(), Format::Bfp16) else { return };
    let inner = virtual_npu.npu.command(Path::new(env!("CARGO_BIN_EXE_exercise")));
    // As a user without the right to exceed it.
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock", "--", "prlimit", "--memlock=8388608:8388608"]);
    command.arg("--").arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.arg("fallback").arg(virtual_npu.fixture.folder.path().join("model.bin")).arg(virtual_npu.program());
    let Ok(output) = command.output() else { return println!("skipped: setpriv is not installed") };
    if !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("setpriv") {
        return println!("skipped: privileges cannot be dropped here");
    }
    let said = succeeded(&output);
    assert_eq!(said.matches("MiB of memory locked, and you may lock 8 MiB; add the line").count(), 4, "{said}");
}

#[test]
fn every_fault_ends_in_the_right_results_and_a_reason() {
    let Some(virtual_npu) = Virtual::new(&model::small(), Format::Bfp16) else { return };
    let run = |task: &str, fault: &str| virtual_npu.expect(task, &[("AMANUENSIS_VIRTUAL_NPU_FAULT", fault)]);
    // The first command is the self-check's, the second the first window's.
    for once in ["timeout@2", "abort@2", "lost-context@2", "eio@2"] {
        let said = run("fallback", once);
        println!("{once}:\n{said}");
        assert_eq!(said.matches(": npu: \n").count(), 4, "{once}: the NPU was not brought back:\n{said}");
    }
    for lasting in ["timeout@2+", "abort@3+", "lost-context@2+", "eio@4+"] {
        let said = run("fallback", lasting);
        println!("{lasting}:\n{said}");
        assert!(said.contains("window 3: cpu: the NPU failed: XRT could not"), "{lasting}:\n{said}");
        assert_eq!(said.lines().count(), 4, "{lasting}: a window was lost:\n{said}");
        let said = run("required", lasting);
        assert!(said.contains("failed: npu failed: the NPU failed"), "{lasting}:\n{said}");
    }
    for (always, reason) in [
        ("zeros@1+", "the NPU's results differ from the CPU's"),
        ("memlock", "memlock unlimited"),
        ("permission", "usermod -aG render"),
        ("firmware", "firmware is probably older"),
        ("eio@1+", "XRT could not run the encoder"),
    ] {
        let said = run("fallback", always);
        println!("{always}:\n{said}");
        assert_eq!(said.matches(": cpu: ").count(), 4, "{always}:\n{said}");
        assert!(said.contains(reason), "{always}: no reason:\n{said}");
        let said = run("required", always);
        assert!(said.starts_with("refused: ") && said.contains(reason), "{always}:\n{said}");
    }
}

#[test]
fn what_is_missing_is_said_and_the_cpu_does_the_work() {
    let Some(mut virtual_npu) = Virtual::new(&model::small(), Format::Bfp16) else { return };
    let check = |virtual_npu: &Virtual, variables: &[(&str, &str)], reason: &str| {
        let said = virtual_npu.expect("fallback", variables);
        assert_eq!(said.matches(": cpu: ").count(), 4, "{said}");
        assert!(said.contains(reason), "{reason}:\n{said}");
    };
    check(&virtual_npu, &[("AMANUENSIS_XRT_SHIM", "/nowhere/shim.so")], "the NPU's shim");
    // Without the variable it could be silicon.
    let mut command = virtual_npu.npu.command(Path::new(env!("CARGO_BIN_EXE_exercise")));
    command
        .env_remove("AMANUENSIS_VIRTUAL_NPU")
        .arg("fallback")
        .arg(virtual_npu.fixture.folder.path().join("model.bin"));
    let said = succeeded(&command.arg(virtual_npu.program()).output().expect("it starts"));
    assert!(said.contains("cpu: the NPU's program is for the virtual NPU only"), "{said}");
    let program = virtual_npu.program();
    let (whole, xclbin) = (program.join("qkv-384.bin"), program.join("encoder.xclbin"));
    let saved = std::fs::read(&xclbin).expect("it is there");
    std::fs::write(&xclbin, b"another").expect("written");
    check(&virtual_npu, &[], "its hash differs");
    std::fs::write(&xclbin, saved).expect("written");
    std::fs::remove_file(whole).expect("removed");
    check(&virtual_npu, &[], "the NPU's program is incomplete");
    virtual_npu.npu.remove_device().expect("removed");
    check(&virtual_npu, &[], "no NPU that Linux knows");
}

#[test]
fn a_machine_without_xrt_or_npu_works_on_the_cpu_and_says_why() {
    let fixture = fixture(&model::small());
    let mut command = Command::new(env!("CARGO_BIN_EXE_exercise"));
    command.arg("fallback").arg(fixture.folder.path().join("model.bin")).arg(fixture.folder.path());
    let said = succeeded(&command.output().expect("it starts"));
    assert_eq!(said.matches(": cpu: ").count(), 4, "{said}");
}

#[test]
fn an_xrt_that_lacks_what_the_shim_calls_is_told_apart_from_none() {
    let Some(virtual_npu) = Virtual::new(&model::small(), Format::Bfp16) else { return };
    // As Debian 12's: the same file name, and none of the functions.
    let folder = virtual_npu.fixture.folder.path();
    std::fs::write(folder.join("old.c"), "int nothing;\n").expect("written");
    let old = folder.join("libxrt_coreutil.so.2");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&old).arg(folder.join("old.c")).status();
    if !built.is_ok_and(|status| status.success()) {
        println!("skipped: there is no C compiler");
        return;
    }
    let said = succeeded(
        &virtual_npu
            .npu
            .command_with(folder, Path::new(env!("CARGO_BIN_EXE_exercise")))
            .arg("diagnose")
            .output()
            .expect("it starts"),
    );
    println!("{said}");
    assert!(said.contains("XRT: Broken(\"AMD's XRT 2.25 or newer is not installed ("), "{said}");
    assert!(said.contains("undefined symbol"), "{said}");
}

#[test]
fn debian_12s_xrt_is_refused_in_a_sentence_and_the_cpu_does_the_work() {
    let Some(virtual_npu) = Virtual::new(&model::small(), Format::Bfp16) else { return };
    let Some(old) = virtual_npu.npu.old_libraries() else {
        return println!("skipped: XRT 2.13 is not there; `cargo xtask xrt` unpacks it");
    };
    let run = |task: &str| {
        let mut command = virtual_npu.npu.command_with(&old, Path::new(env!("CARGO_BIN_EXE_exercise")));
        command.arg(task).arg(virtual_npu.fixture.folder.path().join("model.bin")).arg(virtual_npu.program());
        succeeded(&command.output().expect("it starts"))
    };
    let said = run("fallback");
    println!("{said}");
    assert_eq!(said.matches(": cpu: AMD's XRT 2.25 or newer is not installed (").count(), 4, "{said}");
    assert!(run("diagnose").contains("XRT: Broken(\"AMD's XRT 2.25 or newer is not installed ("));
}

#[test]
fn telemetry_and_diagnosis_read_the_virtual_device() {
    let Some(virtual_npu) = Virtual::new(&model::small(), Format::Bfp16) else { return };
    let said = virtual_npu.expect("telemetry", &[]);
    println!("{said}");
    for part in ["1.234", "43.0", "1800", "1267", "\"1.1.2.65\"", "columns: 8"] {
        assert!(said.contains(part), "no {part} in:\n{said}");
    }
    assert!(!said.contains("Unavailable"), "{said}");
    let programs = virtual_npu.programs.display().to_string();
    let said = virtual_npu.expect("diagnose", &[("AMANUENSIS_NPU_PROGRAM", &programs)]);
    println!("{said}");
    for link in ["kernel module", "node", "permission", "firmware", "shim", "XRT", "program"] {
        assert!(said.contains(&format!("{link}: Ok(")), "{link} in:\n{said}");
    }
}
