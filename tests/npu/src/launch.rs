//! Starting a program on the virtual NPU: a private view of `/sys` and `/dev/accel`, the real XRT, and the library that answers it.

use std::path::{Path, PathBuf};
use std::process::Command;

use amanuensis_backend_npu::{Format, program_name, shape_of};
use amanuensis_npu_kernels::manifest::Bundle;
use amanuensis_npu_kernels::program::Program;
use amanuensis_whisper::Dims;
use anyhow::{Context, bail, ensure};

/// Names the folder of XRT, before the one that `cargo xtask xrt` fills.
const ROOT_VARIABLE: &str = "AMANUENSIS_XRT_ROOT";

/// Puts the view in its place; run as root of a mount namespace. Arguments: the view, then the command.
const SCRIPT: &str = r#"
set -e
view=$1
shift
mount --rbind "$view/sys" /sys
# A /dev of our own, for the real one must not get a folder that outlives us.
mount -t tmpfs tmpfs /mnt
mkdir /mnt/accel
mount --rbind "$view/dev/accel" /mnt/accel
for name in null zero full random urandom tty shm pts dri snd; do
    if [ -d /dev/$name ]; then
        mkdir /mnt/$name
    elif [ -e /dev/$name ]; then
        : > /mnt/$name
    else
        continue
    fi
    mount --rbind /dev/$name /mnt/$name
done
for name in fd stdin stdout stderr; do
    cp -P /dev/$name /mnt/ 2>/dev/null || true
done
mount --rbind /mnt /dev
exec "$@"
"#;

/// The device's place on the bus.
const BUS: &str = "0000:c5:00.1";

/// The kernel of the xclbin, with the arguments that every dispatch has.
const KERNELS: &str = r#"{"ps-kernels":{"kernels":[{"name":"MLIR_AIE","type":"dpu",
"extended-data":{"subtype":"DPU","functional":"0","dpu_kernel_id":"0x901"},"arguments":[
{"name":"opcode","address-qualifier":"SCALAR","type":"uint64_t","offset":"0x00"},
{"name":"instructions","memory-connection":"SRAM","address-qualifier":"GLOBAL","type":"char *","offset":"0x08"},
{"name":"words","address-qualifier":"SCALAR","type":"uint32_t","offset":"0x10"},
{"name":"weights","memory-connection":"HOST","address-qualifier":"GLOBAL","type":"void*","offset":"0x14"},
{"name":"workspace","memory-connection":"HOST","address-qualifier":"GLOBAL","type":"void*","offset":"0x1c"},
{"name":"spectrogram","memory-connection":"HOST","address-qualifier":"GLOBAL","type":"void*","offset":"0x24"},
{"name":"result","memory-connection":"HOST","address-qualifier":"GLOBAL","type":"void*","offset":"0x2c"}],
"instances":[{"name":"MLIRAIE"}]}]}}"#;
const MEMORIES: &str = r#"{"mem_topology":{"m_count":"2","m_mem_data":[
{"m_type":"MEM_DRAM","m_used":"1","m_sizeKB":"0x10000","m_tag":"HOST","m_base_address":"0x4000000"},
{"m_type":"MEM_DRAM","m_used":"1","m_sizeKB":"0xc000","m_tag":"SRAM","m_base_address":"0x4000000"}]}}"#;
const PARTITION: &str = r#"{"aie_partition":{"name":"QoS","operations_per_cycle":"2048","inference_fingerprint":"1",
"pre_post_fingerprint":"1","partition":{"column_width":8,"start_columns":[0]},
"PDIs":[{"uuid":"00000000-0000-0000-0000-000000008c5a","file_name":"./design.pdi","cdo_groups":[
{"name":"DPU","type":"PRIMARY","pdi_id":"0x01","dpu_kernel_ids":["0x901"],"pre_cdo_groups":["0xC1"]}]}]}}"#;

/// The real XRT with the virtual NPU beneath it.
#[derive(Debug)]
pub struct VirtualNpu {
    root: PathBuf,
    preload: PathBuf,
    /// `/sys` and `/dev/accel` as a process on the virtual NPU sees them.
    view: tempfile::TempDir,
    /// Whether the view can be mounted; else the preloaded library rewrites paths.
    private_mounts: bool,
}

impl VirtualNpu {
    /// Finds XRT and builds the library to preload. `Err` holds what is missing, as a sentence.
    ///
    /// # Errors
    /// A reason to skip what needs the virtual NPU: XRT is not there.
    pub fn prepare() -> anyhow::Result<Self> {
        let root = root()?;
        let library = root.join("usr/lib/x86_64-linux-gnu/libxrt_coreutil.so.2");
        ensure!(library.exists(), "XRT is not in {}; `cargo xtask xrt` puts it there", root.display());
        let private = namespace().args(["--", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
        let private_mounts = private.is_ok_and(|output| output.status.success());
        let view = tempfile::tempdir()?;
        write_view(view.path()).context("cannot write the view of the virtual NPU")?;
        Ok(Self { root, preload: build_preload()?, view, private_mounts })
    }

    /// Takes the device away.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove_device(&mut self) -> anyhow::Result<()> {
        std::fs::remove_file(self.view.path().join("dev/accel/accel0"))?;
        std::fs::remove_dir_all(self.view.path().join("sys/bus/pci"))?;
        Ok(std::fs::remove_dir_all(self.view.path().join("sys/module"))?)
    }

    /// Does without private mounts, as on a system that grants none.
    pub fn without_private_mounts(&mut self) {
        self.private_mounts = false;
    }

    fn libraries(&self) -> PathBuf {
        self.root.join("usr/lib/x86_64-linux-gnu")
    }

    /// The libraries of Debian 12's XRT 2.13, if they are there.
    pub fn old_libraries(&self) -> Option<PathBuf> {
        let folder = self.root.with_file_name("xrt-2.13").join("usr/lib/x86_64-linux-gnu");
        folder.join("libxrt_coreutil.so.2").exists().then_some(folder)
    }

    /// `program` on the virtual NPU.
    pub fn command(&self, program: &Path) -> Command {
        self.command_with(&self.libraries(), program)
    }

    /// `program` on the virtual NPU, with the libraries of `first` before XRT's own.
    pub fn command_with(&self, first: &Path, program: &Path) -> Command {
        let loader = self.libraries().join("ld-linux-x86-64.so.2");
        let mut command = if self.private_mounts {
            let mut command = namespace();
            command.args(["--", "sh", "-c", SCRIPT, "virtual-npu"]).arg(self.view.path()).arg(loader);
            command
        } else {
            let mut command = Command::new(loader);
            command.env("AMANUENSIS_VIRTUAL_NPU_ROOT", self.view.path());
            command
        };
        command.arg("--preload").arg(&self.preload).arg("--library-path");
        command.arg(format!("{}:{}", first.display(), self.libraries().display()));
        command.arg(program).env("AMANUENSIS_VIRTUAL_NPU", "1");
        command
    }

    /// Writes an encoder's program for the virtual NPU below `folder`, where its name says, and returns its folder.
    ///
    /// # Errors
    /// XRT's xclbinutil fails, or a file cannot be written.
    pub fn write_program(&self, folder: &Path, dims: &Dims, format: Format) -> anyhow::Result<PathBuf> {
        let program = Program::new(shape_of(dims), format)?;
        let folder = folder.join(program_name(&program.shape(), format));
        std::fs::create_dir_all(&folder)?;
        let parts = tempfile::tempdir()?;
        for (name, text) in [
            ("kernels.json", KERNELS),
            ("memories.json", MEMORIES),
            ("partition.json", PARTITION),
            ("design.pdi", "described, not configured"),
        ] {
            std::fs::write(parts.path().join(name), text)?;
        }
        let mut bundle = Bundle::described(&program);
        let libraries = self.libraries();
        let output = Command::new(libraries.join("ld-linux-x86-64.so.2"))
            .arg("--library-path")
            .arg(&libraries)
            .arg(self.root.join("usr/bin/xclbinutil"))
            .args(["--add-replace-section", "MEM_TOPOLOGY:JSON:memories.json", "--add-kernel", "kernels.json"])
            .args(["--add-replace-section", "AIE_PARTITION:JSON:partition.json", "--force", "--output"])
            .arg(folder.join(&bundle.manifest.xclbin.file))
            .current_dir(parts.path())
            .output()
            .context("cannot start xclbinutil")?;
        if !output.status.success() {
            bail!("xclbinutil failed:\n{}", String::from_utf8_lossy(&output.stdout));
        }
        bundle.write(&folder)?;
        Ok(folder)
    }
}

/// Writes what the driver and the PCI bus show of the device.
fn write_view(view: &Path) -> std::io::Result<()> {
    let device = view.join("sys/devices/pci0000:00").join(BUS);
    let (bus, hwmon) = (view.join("sys/bus/pci"), view.join("sys/class/hwmon/hwmon0"));
    let (drivers, devices, module) =
        (bus.join("drivers/amdxdna"), bus.join("devices"), view.join("sys/module/amdxdna"));
    for folder in [&device.join("accel/accel0"), &drivers, &devices, &module, &hwmon, &view.join("dev/accel")] {
        std::fs::create_dir_all(folder)?;
    }
    std::os::unix::fs::symlink(format!("../../../../devices/pci0000:00/{BUS}"), drivers.join(BUS))?;
    std::os::unix::fs::symlink(format!("../../../devices/pci0000:00/{BUS}"), devices.join(BUS))?;
    for (folder, file, text) in [
        (&device, "vendor", "0x1022"),
        (&device, "device", "0x17f0"),
        (&device, "revision", "0x11"),
        (&device, "class", "0x118000"),
        (&device, "subsystem_vendor", "0x1022"),
        (&device, "subsystem_device", "0x17f0"),
        (&device, "device_type", "0"),
        (&device, "vbnv", "virtual NPU"),
        (&device, "fw_version", "1.1.2.65"),
        (&module, "version", "2.25"),
        (&hwmon, "name", "amdxdna"),
        (&hwmon, "power1_input", "1234000"),
        (&hwmon, "temp1_input", "43000"),
    ] {
        std::fs::write(folder.join(file), format!("{text}\n"))?;
    }
    std::fs::write(view.join("dev/accel/accel0"), "")
}

/// `unshare`, with a private view of mounts; as root of a user namespace where we are not root.
fn namespace() -> Command {
    let mut command = Command::new("unshare");
    command.arg("--mount");
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if !root {
        command.args(["--user", "--map-root-user"]);
    }
    command
}

fn root() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os(ROOT_VARIABLE) {
        return Ok(PathBuf::from(named));
    }
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("amanuensis/xrt"))
}

/// Builds the library: a test that preloads it cannot have it as a dependency, for then it would be linked.
fn build_preload() -> anyhow::Result<PathBuf> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--locked", "--package", "amanuensis-virtual-npu", "--message-format=json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "the virtual NPU cannot be built:\n{}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let files = lines.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok()).filter_map(|message| {
        let ours = message["target"]["name"] == "amanuensis_virtual_npu";
        ours.then(|| message["filenames"][0].as_str().map(PathBuf::from)).flatten()
    });
    files.into_iter().next().context("cargo does not say where it built the virtual NPU")
}
