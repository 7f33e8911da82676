//! The squashfs image behind the program: a tree of entries, any part of any file, and all of it unpacked.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{self, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use amanuensis_appimage::elf::Elf;
use backhand::{FilesystemReader, InnerNode, SquashfsFileReader};

use crate::error::Error;

/// Where the program finds itself, also when its file was renamed since.
pub const OWN_FILE: &str = "/proc/self/exe";

/// How many unpacked blocks are kept: 4 MiB at the usual 128 KiB each. The kernel keeps what was read, so that this serves
/// only neighbours that come one after the other, and small files that share a block.
const KEPT_BLOCKS: usize = 32;

/// A file, a folder or a link of the image.
pub struct Entry {
    /// Relative to the image's root, which is empty.
    pub path: PathBuf,
    /// The folder it is in; the root is in itself.
    pub parent: usize,
    /// The permission bits.
    pub mode: u16,
    /// Seconds since 1970.
    pub modified: u32,
    /// What it is.
    pub kind: Kind,
}

/// What an entry is.
pub enum Kind {
    /// Names and their entries.
    Folder(Vec<(OsString, usize)>),
    /// Bytes.
    File(Blocks),
    /// Where it leads.
    Link(PathBuf),
}

/// Where the bytes of a file are.
pub struct Blocks {
    /// How many bytes there are.
    pub length: u64,
    /// Where in the image the first block begins.
    start: u64,
    /// The blocks that belong to this file only.
    own: Vec<Stored>,
    /// The block that holds the end of the file among those of others, and where in it.
    shared: Option<(u64, Stored, usize)>,
}

/// A block as it is stored.
#[derive(Clone, Copy)]
struct Stored {
    bytes: u32,
    packed: bool,
}

/// An open image. Any number of threads may read.
pub struct Image {
    file: File,
    offset: u64,
    block_bytes: u64,
    entries: Vec<Entry>,
    kept: Mutex<VecDeque<(u64, Arc<[u8]>)>>,
}

impl Image {
    /// Opens the image behind this program.
    pub fn own() -> Result<Self, Error> {
        let file = File::open(OWN_FILE).map_err(Error::Own)?;
        let offset = Elf::read(&file)?.end;
        let reader = BufReader::new(File::open(OWN_FILE).map_err(Error::Own)?);
        let system = FilesystemReader::from_reader_with_offset(reader, offset)
            .map_err(|error| Error::Image(error.to_string()))?;
        let entries = entries(&system)?;
        Ok(Self { file, offset, block_bytes: system.block_size.into(), entries, kept: Mutex::default() })
    }

    /// Every entry; the root comes first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// At most `length` bytes of a file from `offset` on; fewer at its end only.
    pub fn read(&self, blocks: &Blocks, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let end = offset.saturating_add(length as u64).min(blocks.length);
        let mut bytes = Vec::with_capacity(end.saturating_sub(offset) as usize);
        let mut position = offset;
        while position < end {
            let index = (position / self.block_bytes) as usize;
            let within = (position % self.block_bytes) as usize;
            let wanted = (end - position).min(self.block_bytes - within as u64) as usize;
            let (at, stored, first) = match blocks.own.get(index) {
                Some(&stored) => {
                    let before: u64 = blocks.own[..index].iter().map(|block| u64::from(block.bytes)).sum();
                    (blocks.start + before, stored, within)
                }
                None => {
                    let (at, stored, first) = blocks.shared.ok_or_else(damaged)?;
                    (at, stored, first + within)
                }
            };
            if stored.bytes == 0 {
                // A hole: zeros that were not stored.
                bytes.resize(bytes.len() + wanted, 0);
            } else {
                let block = self.block(at, stored)?;
                bytes.extend_from_slice(block.get(first..first + wanted).ok_or_else(damaged)?);
            }
            position += wanted as u64;
        }
        Ok(bytes)
    }

    fn block(&self, at: u64, stored: Stored) -> io::Result<Arc<[u8]>> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, block)) = kept().iter().find(|(known, _)| *known == at) {
            return Ok(Arc::clone(block));
        }
        let mut bytes = vec![0; stored.bytes as usize];
        self.file.read_exact_at(&mut bytes, self.offset + at)?;
        if stored.packed {
            bytes = zstd::bulk::decompress(&bytes, self.block_bytes as usize)?;
        }
        let block: Arc<[u8]> = bytes.into();
        let mut kept = kept();
        kept.push_front((at, Arc::clone(&block)));
        kept.truncate(KEPT_BLOCKS);
        Ok(block)
    }

    /// Unpacks all that `chosen` chooses, and the folders above it, into `folder`. Says how many files that were.
    pub fn unpack(&self, folder: &Path, chosen: impl Fn(&Path) -> bool) -> Result<usize, Error> {
        let write =
            |path: &Path, done: io::Result<()>| done.map_err(|source| Error::Write { path: folder.join(path), source });
        let mut files = Vec::new();
        for entry in self.entries.iter().filter(|entry| chosen(&entry.path)) {
            let to = folder.join(&entry.path);
            let parent = if let Kind::Folder(_) = entry.kind { &to } else { to.parent().unwrap_or(folder) };
            write(&entry.path, std::fs::create_dir_all(parent))?;
            match &entry.kind {
                Kind::Folder(_) => {}
                Kind::Link(target) => {
                    // From an earlier time. If it cannot be removed, the next step says so.
                    let _ = std::fs::remove_file(&to);
                    write(&entry.path, std::os::unix::fs::symlink(target, &to))?;
                }
                Kind::File(blocks) => files.push((entry, blocks)),
            }
        }
        let next = AtomicUsize::new(0);
        let work = || -> Result<(), Error> {
            while let Some((entry, blocks)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                write(&entry.path, self.unpack_file(&folder.join(&entry.path), entry.mode, blocks))?;
            }
            Ok(())
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("BUG: unpacking does not panic"))
        })?;
        Ok(files.len())
    }

    fn unpack_file(&self, to: &Path, mode: u16, blocks: &Blocks) -> io::Result<()> {
        let mut file = File::create(to)?;
        let mut position = 0;
        while position < blocks.length {
            let bytes = self.read(blocks, position, self.block_bytes as usize)?;
            file.write_all(&bytes)?;
            position += bytes.len() as u64;
        }
        file.set_permissions(Permissions::from_mode(mode.into()))
    }
}

/// Makes a tree of the flat list that the library gives.
fn entries(system: &FilesystemReader<'_>) -> Result<Vec<Entry>, Error> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut folders = HashMap::new();
    // A folder sorts before what is in it.
    let mut nodes: Vec<_> = system.files().collect();
    nodes.sort();
    for node in nodes {
        let path = node.fullpath.strip_prefix("/").unwrap_or(&node.fullpath).to_owned();
        if path.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(Error::Image(format!("it has a file {}", path.display())));
        }
        let kind = match &node.inner {
            InnerNode::Dir(_) => Kind::Folder(Vec::new()),
            InnerNode::Symlink(link) => Kind::Link(link.link.clone()),
            InnerNode::File(file) => Kind::File(blocks(system, file)?),
            // Devices, pipes and sockets have no place in an app.
            _ => continue,
        };
        let index = entries.len();
        let mut parent = index;
        if let (Some(above), Some(name)) = (path.parent(), path.file_name()) {
            parent = *folders.get(above).ok_or_else(|| Error::Image(format!("{} is nowhere", path.display())))?;
            if let Kind::Folder(names) = &mut entries[parent].kind {
                names.push((name.to_owned(), index));
            }
        }
        if let Kind::Folder(_) = kind {
            folders.insert(path.clone(), index);
        }
        entries.push(Entry { path, parent, mode: node.header.permissions & 0o7777, modified: node.header.mtime, kind });
    }
    Ok(entries)
}

fn blocks(system: &FilesystemReader<'_>, file: &SquashfsFileReader) -> Result<Blocks, Error> {
    const NO_FRAGMENT: usize = u32::MAX as usize;
    let shared = match file.frag_index() {
        NO_FRAGMENT => None,
        index => {
            let fragment = system.fragments.as_ref().and_then(|all| all.get(index));
            let fragment = fragment.ok_or_else(|| Error::Image("it lacks a fragment".to_owned()))?;
            let stored = Stored { bytes: fragment.size.size(), packed: !fragment.size.uncompressed() };
            Some((fragment.start, stored, file.block_offset() as usize))
        }
    };
    let own = file.block_sizes().iter().map(|size| Stored { bytes: size.size(), packed: !size.uncompressed() });
    Ok(Blocks { length: file.file_len() as u64, start: file.blocks_start(), own: own.collect(), shared })
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the image inside is damaged")
}
