//! The image as a file system, by FUSE.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen, Request, Session,
};
use rustix::mount::UnmountFlags;

use crate::error::Error;
use crate::image::{Entry, Image, Kind};

/// Nothing ever changes: the kernel need not ask twice.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);
/// One unpacks while the other waits for the disk.
const THREADS: usize = 2;

/// A mounted image.
pub struct Mounted<'a> {
    folder: &'a Path,
    session: BackgroundSession,
}

impl<'a> Mounted<'a> {
    /// Mounts `image` on `folder`, which is there and empty.
    pub fn new(image: Image, folder: &'a Path) -> Result<Self, Error> {
        let mut config = Config::default();
        config.n_threads = Some(THREADS);
        config.mount_options = vec![
            MountOption::RO,
            MountOption::NoSuid,
            MountOption::NoDev,
            MountOption::FSName("appimage".to_owned()),
            MountOption::Subtype("appimage".to_owned()),
        ];
        let owner = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let session = Session::new(System { image, owner }, folder, &config).and_then(Session::spawn);
        Ok(Self { folder, session: session.map_err(Error::Mount)? })
    }

    /// Takes the image away: from new users at once, from those who still use it when they are done.
    pub fn unmount(self) -> io::Result<()> {
        match rustix::mount::unmount(self.folder, UnmountFlags::DETACH) {
            Ok(()) => self.session.join(),
            // Only root may. The library asks fusermount, which may too, and is as patient.
            Err(_) => self.session.umount_and_join(),
        }
    }
}

/// What answers the kernel.
struct System {
    image: Image,
    owner: (u32, u32),
}

impl System {
    fn entry(&self, number: INodeNo) -> Option<(usize, &Entry)> {
        let index = usize::try_from(number.0.checked_sub(INodeNo::ROOT.0)?).ok()?;
        Some((index, self.image.entries().get(index)?))
    }

    fn attributes(&self, index: usize) -> FileAttr {
        let entry = &self.image.entries()[index];
        let (kind, size) = match &entry.kind {
            Kind::Folder(_) => (FileType::Directory, 0),
            Kind::File(blocks) => (FileType::RegularFile, blocks.length),
            Kind::Link(target) => (FileType::Symlink, target.as_os_str().len() as u64),
        };
        let time = UNIX_EPOCH + Duration::from_secs(entry.modified.into());
        let (uid, gid) = self.owner;
        FileAttr {
            ino: number(index),
            size,
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm: entry.mode,
            nlink: 1,
            uid,
            gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

fn number(index: usize) -> INodeNo {
    INodeNo(index as u64 + INodeNo::ROOT.0)
}

impl Filesystem for System {
    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.entry(parent).and_then(|(_, entry)| match &entry.kind {
            Kind::Folder(names) => names.iter().find(|(known, _)| known == name),
            _ => None,
        });
        match found {
            Some(&(_, index)) => reply.entry(&FOR_EVER, &self.attributes(index), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match self.entry(ino) {
            Some((index, _)) => reply.attr(&FOR_EVER, &self.attributes(index)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn readlink(&self, _request: &Request, ino: INodeNo, reply: ReplyData) {
        match self.entry(ino) {
            Some((_, Entry { kind: Kind::Link(target), .. })) => reply.data(target.as_os_str().as_bytes()),
            _ => reply.error(Errno::EINVAL),
        }
    }

    fn open(&self, _request: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn read(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some((_, Entry { kind: Kind::File(blocks), .. })) = self.entry(ino) else {
            return reply.error(Errno::EISDIR);
        };
        match self.image.read(blocks, offset, size as usize) {
            Ok(bytes) => reply.data(&bytes),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn readdir(&self, _request: &Request, ino: INodeNo, _handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let Some((index, Entry { kind: Kind::Folder(names), parent, .. })) = self.entry(ino) else {
            return reply.error(Errno::ENOTDIR);
        };
        let here = [(OsStr::new("."), index), (OsStr::new(".."), *parent)];
        let all = here.into_iter().chain(names.iter().map(|(name, index)| (name.as_os_str(), *index)));
        for (position, (name, index)) in all.enumerate().skip(offset as usize) {
            if reply.add(number(index), position as u64 + 1, self.attributes(index).kind, name) {
                break;
            }
        }
        reply.ok();
    }
}
