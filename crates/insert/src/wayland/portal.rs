//! Text typed by the desktop itself, as its portal for remote control does it for whoever the user has allowed it.
//!
//! The desktop asks once. What it answers with a yes, a token, is kept in a file, and stands for the answer from then on; each use
//! brings the next one.
//!
//! *Source*: <https://flatpak.github.io/xdg-desktop-portal/docs/doc-org.freedesktop.portal.RemoteDesktop.html>.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use ashpd::desktop::remote_desktop::{DeviceType, KeyState, RemoteDesktop, SelectDevicesOptions};
use ashpd::desktop::{PersistMode, Session};
use ashpd::zbus::block_on;
use ashpd::zbus::connection::{Builder, Connection};

use super::Keys;
use crate::keysym::of_char;
use crate::{InsertError, Way};

/// How long somebody may think about the desktop's question, and the portal about anything else.
const ANSWER: Duration = Duration::from_secs(90);
const CALL: Duration = Duration::from_secs(10);
const SHIFT: u32 = 0xffe1;
const INSERT: u32 = 0xff63;

const NEEDS: InsertError = InsertError::NotHere { needs: "a portal that lets programs type, like GNOME's or Plasma's" };

/// Where the portal is, and what it has allowed.
#[derive(Debug, Clone)]
pub struct Place {
    /// Address of the message bus; none for the session's.
    pub bus: Option<String>,
    /// The file of the token.
    pub token: Option<PathBuf>,
}

impl Place {
    /// Whether the desktop has such a portal, and was asked. Never asks.
    pub fn check(&self) -> Result<(), InsertError> {
        block_on(self.remote())?;
        self.kept().map(|_| ()).ok_or(InsertError::NotAsked)
    }

    /// Opens it. The user is asked only if `may_ask`.
    pub fn open(&self, may_ask: bool) -> Result<Portal, InsertError> {
        let token = self.kept();
        if token.is_none() && !may_ask {
            block_on(self.remote())?;
            return Err(InsertError::NotAsked);
        }
        let (done, opened) = sync_channel(1);
        let place = self.clone();
        let work = move || {
            // Nobody waits for it any more if it took too long, and the session ends with it.
            let _ = done.send(block_on(place.start(token.as_deref())));
        };
        std::thread::Builder::new().name("portal".into()).spawn(work).map_err(refused)?;
        opened.recv_timeout(ANSWER).unwrap_or_else(|_| Err(refused("it does not answer")))
    }

    async fn remote(&self) -> Result<RemoteDesktop, InsertError> {
        let bus = match &self.bus {
            Some(address) => Builder::address(address.as_str()),
            None => Builder::session(),
        };
        let bus: Connection = match bus.map(|builder| builder.method_timeout(CALL)) {
            Ok(builder) => builder.build().await.map_err(|_| NEEDS)?,
            Err(_) => return Err(NEEDS),
        };
        let remote = RemoteDesktop::with_connection(bus).await.map_err(|_| NEEDS)?;
        // That this succeeded says nothing: only what it can do shows that there is a portal.
        let devices = remote.available_device_types().await.map_err(|_| NEEDS)?;
        if devices.contains(DeviceType::Keyboard) { Ok(remote) } else { Err(NEEDS) }
    }

    async fn start(&self, token: Option<&str>) -> Result<Portal, InsertError> {
        let remote = self.remote().await?;
        let session = remote.create_session(Default::default()).await.map_err(refused)?;
        let devices = SelectDevicesOptions::default()
            .set_devices(ashpd::enumflags2::BitFlags::from(DeviceType::Keyboard))
            .set_persist_mode(PersistMode::ExplicitlyRevoked)
            .set_restore_token(token);
        let selected = remote.select_devices(&session, devices).await.and_then(|request| request.response());
        selected.map_err(refused)?;
        let started = remote.start(&session, None, Default::default()).await.and_then(|request| request.response());
        let portal = Portal { remote, session };
        match started {
            Ok(started) if started.devices().contains(DeviceType::Keyboard) => {
                // Without one the desktop asks again the next time.
                if let Some(token) = started.restore_token() {
                    self.keep(token);
                }
                Ok(portal)
            }
            Ok(_) => Err(refused("it lends no keyboard")),
            Err(cause) => {
                // It is not asked again and again: a test asks.
                self.forget();
                Err(refused(cause))
            }
        }
    }

    fn kept(&self) -> Option<String> {
        let token = fs::read_to_string(self.token.as_ref()?).ok()?;
        Some(token.trim().to_owned()).filter(|token| !token.is_empty())
    }

    fn keep(&self, token: &str) {
        let Some(path) = &self.token else { return };
        let keep = || -> std::io::Result<()> {
            let folder = path.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder)?;
            // Nobody else may read it, or find half of it.
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(token.as_bytes())?;
            file.persist(path)?;
            Ok(())
        };
        if let Err(error) = keep() {
            tracing::warn!(%error, path = %path.display(), "the desktop will ask again");
        }
    }

    fn forget(&self) {
        if let Some(path) = &self.token {
            // There may be none.
            let _ = fs::remove_file(path);
        }
    }
}

/// A session in which the desktop presses keys for us.
pub struct Portal {
    remote: RemoteDesktop,
    session: Session<RemoteDesktop>,
}

impl Portal {
    async fn key(&self, keysym: u32, state: KeyState) -> Result<(), InsertError> {
        let keysym = i32::try_from(keysym).map_err(refused)?;
        let pressed = self.remote.notify_keyboard_keysym(&self.session, keysym, state, Default::default()).await;
        pressed.map_err(refused)
    }
}

impl Way for Portal {
    fn insert(&mut self, text: &str) -> Result<(), InsertError> {
        block_on(async {
            for character in text.chars() {
                let keysym = of_char(character);
                self.key(keysym, KeyState::Pressed).await?;
                self.key(keysym, KeyState::Released).await?;
            }
            Ok(())
        })
    }
}

impl Keys for Portal {
    fn paste(&mut self) -> Result<(), InsertError> {
        block_on(async {
            let pressed = match self.key(SHIFT, KeyState::Pressed).await {
                Ok(()) => self.key(INSERT, KeyState::Pressed).await,
                Err(error) => Err(error),
            };
            // Whatever happened: no key stays down.
            let insert = self.key(INSERT, KeyState::Released).await;
            let shift = self.key(SHIFT, KeyState::Released).await;
            pressed.and(insert).and(shift)
        })
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        // The desktop shows that its keyboard is lent as long as it is.
        if let Err(error) = block_on(self.session.close()) {
            tracing::debug!(%error, "the session had ended");
        }
    }
}

fn refused(cause: impl std::fmt::Display) -> InsertError {
    InsertError::Refused { cause: cause.to_string() }
}
