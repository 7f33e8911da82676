//! A built program for the array as it lies on the disk: `manifest.json`, the xclbin, and a file of instructions for each dispatch.
//!
//! Configuration and instructions belong together: with the wrong ones a run "succeeds" and leaves zeros. So every file is there
//! with its hash, and the whole is made for one shape and one number format.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::design::Tile;
use crate::instructions::{ROWS_WORD, SOURCE_ROWS_WORD};
use crate::number::Format;
use crate::program::{Dispatch, Program, Shape};

/// Version of the manifest's own format.
const VERSION: u32 = 1;
/// The name of the manifest's file.
pub const MANIFEST_FILE: &str = "manifest.json";

/// What the instructions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Instructions {
    /// Descriptions, which the simulated and the virtual NPU understand and silicon does not.
    Described,
    /// Compiled by mlir-aie for the array.
    Compiled,
}

/// What a patched word counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Count {
    /// Mel frames of the window.
    Frames,
    /// Positions of the window.
    Positions,
}

/// A word that is written before the instructions run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// Its index.
    pub word: usize,
    /// What it holds.
    pub count: Count,
}

/// A file and its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashedFile {
    /// The name, relative to the manifest.
    pub file: String,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// Instructions of one dispatch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// The step's name.
    pub name: String,
    /// Rows for which the loops are made.
    pub rows: usize,
    /// The words, little-endian.
    #[serde(flatten)]
    pub file: HashedFile,
    /// Words that are written before they run.
    pub patches: Vec<Patch>,
}

/// What a built program says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub version: u32,
    /// What the instructions are.
    pub instructions: Instructions,
    /// Versions of the tools that built it.
    pub toolchain: BTreeMap<String, String>,
    /// The kernel's name in the xclbin.
    pub kernel: String,
    /// The array's configuration.
    pub xclbin: HashedFile,
    /// The encoder's dimensions.
    pub shape: Shape,
    /// The products' number format.
    pub format: Format,
    /// The design's tile.
    pub tile: Tile,
    /// The instructions.
    pub streams: Vec<Stream>,
}

/// Why a built program cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file cannot be read or written.
    #[error("the NPU's program is incomplete: {}: {source}; build it with kernels/npu/build.sh", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The manifest is none.
    #[error("{} is no manifest of an NPU program: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file is not the one that was built.
    #[error("{} is not the file that the manifest names: its hash differs; build the NPU's program again", path.display())]
    Hash {
        /// The file.
        path: PathBuf,
    },
    /// The program is for another model.
    #[error("the NPU's program is for another model: its {what} is {found}, the model's is {expected}")]
    OtherModel {
        /// What differs.
        what: &'static str,
        /// What the program has.
        found: String,
        /// What the model has.
        expected: String,
    },
    /// A dispatch has no instructions.
    #[error("the NPU's program has no instructions for {name} with {rows} rows; build it again")]
    MissingInstructions {
        /// The step.
        name: String,
        /// The rows.
        rows: usize,
    },
}

/// A program with its instructions, in memory.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// What it says about itself.
    pub manifest: Manifest,
    /// The xclbin's path. It is no file where the device needs none.
    pub xclbin: PathBuf,
    words: HashMap<(String, usize), Vec<u32>>,
}

impl Bundle {
    /// The program with described instructions, for the simulated and the virtual NPU.
    pub fn described(program: &Program) -> Self {
        let mut words = HashMap::new();
        let mut streams = Vec::new();
        for rows in program.row_counts() {
            for step in program.distinct_steps(2 * rows) {
                let mut patches = vec![Patch { word: ROWS_WORD, count: Count::Positions }];
                if let Dispatch::Gemm(gemm) = step.dispatch {
                    let convolution = gemm.source.lead > 0;
                    let count = if convolution { Count::Frames } else { Count::Positions };
                    patches.push(Patch { word: SOURCE_ROWS_WORD, count });
                    if step.name == "conv1" {
                        patches[0].count = Count::Frames;
                    }
                }
                let encoded = step.dispatch.encode();
                let file =
                    HashedFile { file: format!("{}-{rows}.bin", step.name), sha256: hash(&little_endian(&encoded)) };
                streams.push(Stream { name: step.name.to_owned(), rows, file, patches });
                words.insert((step.name.to_owned(), rows), encoded);
            }
        }
        let manifest = Manifest {
            version: VERSION,
            instructions: Instructions::Described,
            toolchain: BTreeMap::from([("amanuensis".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
            kernel: "MLIR_AIE".to_owned(),
            xclbin: HashedFile { file: "encoder.xclbin".to_owned(), sha256: String::new() },
            shape: program.shape(),
            format: program.format(),
            tile: program.tile(),
            streams,
        };
        Self { manifest, xclbin: PathBuf::new(), words }
    }

    /// Writes manifest and instructions beside an xclbin that is already in `folder` by the manifest's name.
    ///
    /// # Errors
    /// [`BundleError::Io`].
    pub fn write(&mut self, folder: &Path) -> Result<(), BundleError> {
        self.xclbin = folder.join(&self.manifest.xclbin.file);
        self.manifest.xclbin.sha256 = hash(&read(&self.xclbin)?);
        for stream in &self.manifest.streams {
            let words = &self.words[&(stream.name.clone(), stream.rows)];
            write(&folder.join(&stream.file.file), &little_endian(words))?;
        }
        let json = serde_json::to_vec_pretty(&self.manifest).expect("BUG: a manifest has nothing that JSON has not");
        write(&folder.join(MANIFEST_FILE), &json)
    }

    /// Reads the program in `folder` and checks every hash.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn open(folder: &Path) -> Result<Self, BundleError> {
        let path = folder.join(MANIFEST_FILE);
        let malformed = |reason: String| BundleError::Malformed { path: path.clone(), reason };
        let manifest: Manifest = serde_json::from_slice(&read(&path)?).map_err(|error| malformed(error.to_string()))?;
        if manifest.version != VERSION {
            return Err(malformed(format!("its version is {} where {VERSION} is known", manifest.version)));
        }
        let mut words = HashMap::new();
        for stream in &manifest.streams {
            let bytes = checked(folder, &stream.file)?;
            let (chunks, rest) = bytes.as_chunks::<4>();
            if !rest.is_empty() || stream.patches.iter().any(|patch| patch.word >= chunks.len()) {
                return Err(malformed(format!("{} is too short", stream.file.file)));
            }
            let stream_words = chunks.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
            words.insert((stream.name.clone(), stream.rows), stream_words);
        }
        checked(folder, &manifest.xclbin)?;
        let xclbin = folder.join(&manifest.xclbin.file);
        Ok(Self { manifest, xclbin, words })
    }

    /// Checks that the program is the one of this model, with all its instructions.
    ///
    /// # Errors
    /// [`BundleError::OtherModel`], [`BundleError::MissingInstructions`].
    pub fn check(&self, program: &Program) -> Result<(), BundleError> {
        let differs = |what, found: String, expected: String| {
            if found == expected { Ok(()) } else { Err(BundleError::OtherModel { what, found, expected }) }
        };
        let shown = |shape: Shape| {
            let Shape { mels, positions, width, heads, layers } = shape;
            format!("{layers} layers of {width} with {heads} heads, {positions} positions of {mels} mel bins")
        };
        differs("encoder", shown(self.manifest.shape), shown(program.shape()))?;
        differs("number format", self.manifest.format.name().into(), program.format().name().into())?;
        differs("tile", format!("{:?}", self.manifest.tile), format!("{:?}", program.tile()))?;
        for rows in program.row_counts() {
            for step in program.distinct_steps(2 * rows) {
                self.instructions(step.name, rows, 2 * rows)?;
            }
        }
        Ok(())
    }

    /// The instructions of a step for a window of `frames` frames.
    ///
    /// # Errors
    /// [`BundleError::MissingInstructions`].
    pub fn instructions(&self, name: &str, rows: usize, frames: usize) -> Result<Vec<u32>, BundleError> {
        let missing = || BundleError::MissingInstructions { name: name.to_owned(), rows };
        let mut words = self.words.get(&(name.to_owned(), rows)).ok_or_else(missing)?.clone();
        let mut streams = self.manifest.streams.iter();
        let stream = streams.find(|stream| stream.name == name && stream.rows == rows).ok_or_else(missing)?;
        for patch in &stream.patches {
            let count = match patch.count {
                Count::Frames => frames,
                Count::Positions => frames.div_ceil(2),
            };
            *words.get_mut(patch.word).ok_or_else(missing)? = u32::try_from(count).map_err(|_| missing())?;
        }
        Ok(words)
    }
}

fn little_endian(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, BundleError> {
    std::fs::read(path).map_err(|source| BundleError::Io { path: path.to_owned(), source })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    std::fs::write(path, bytes).map_err(|source| BundleError::Io { path: path.to_owned(), source })
}

fn checked(folder: &Path, file: &HashedFile) -> Result<Vec<u8>, BundleError> {
    // A manifest names files beside itself and nothing else.
    let path = folder.join(Path::new(&file.file).file_name().unwrap_or_default());
    let bytes = read(&path)?;
    if hash(&bytes) == file.sha256 { Ok(bytes) } else { Err(BundleError::Hash { path }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Program {
        let shape = Shape { mels: 80, positions: 1500, width: 384, heads: 6, layers: 4 };
        Program::new(shape, Format::Bfp16).expect("tiny fits")
    }

    fn written() -> (tempfile::TempDir, Bundle) {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("encoder.xclbin"), b"configuration").expect("written");
        let mut bundle = Bundle::described(&program());
        bundle.write(folder.path()).expect("written");
        (folder, bundle)
    }

    #[test]
    fn a_program_is_read_as_it_was_written() {
        let (folder, bundle) = written();
        let read = Bundle::open(folder.path()).expect("read");
        assert_eq!(read.manifest, bundle.manifest);
        read.check(&program()).expect("the same model");
        for step in program().distinct_steps(501) {
            let words = read.instructions(step.name, 384, 501).expect("there");
            assert_eq!(Dispatch::decode(&words), Ok(step.dispatch), "{}", step.name);
        }
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let (folder, _) = written();
        let error = |folder: &tempfile::TempDir| Bundle::open(folder.path()).expect_err("damaged").to_string();
        std::fs::write(folder.path().join("encoder.xclbin"), b"another configuration").expect("written");
        assert!(error(&folder).contains("its hash differs"));
        let (folder, _) = written();
        std::fs::remove_file(folder.path().join("mlp_up-768.bin")).expect("removed");
        assert!(error(&folder).contains("mlp_up-768.bin"));
        let (folder, mut bundle) = written();
        bundle.manifest.streams.retain(|stream| stream.name != "attention");
        bundle.write(folder.path()).expect("written");
        let missing = Bundle::open(folder.path()).expect("whole").check(&program()).expect_err("no attention");
        assert!(missing.to_string().contains("no instructions for attention"), "{missing}");
        let other = Program::new(Shape { layers: 5, ..program().shape() }, Format::Bfp16).expect("fits");
        let error = Bundle::described(&program()).check(&other).expect_err("another model").to_string();
        assert!(error.contains("4 layers") && error.contains("5 layers"), "{error}");
        std::fs::write(folder.path().join(MANIFEST_FILE), "{}").expect("written");
        assert!(Bundle::open(folder.path()).expect_err("none").to_string().contains("no manifest"));
    }
}
