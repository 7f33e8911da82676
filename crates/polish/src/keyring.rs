//! The desktop's keyring: the Secret Service on the session's bus, as GNOME's keyring, KDE's wallet and KeePassXC offer it.
//!
//! A keyring may ask the user for its password, in a dialog of its own, so everything here has a time limit. Whoever looks for a
//! keyring where there is none, or no bus, learns so at once.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use async_io::Timer;
use futures_util::future::{Either, select};
use secret_service::{EncryptionType, Error, Item, SecretService};
use zbus::connection::{Builder, Connection};

use crate::KeyError;

/// How people see the key in the programs that show keyrings.
const LABEL: &str = "Amanuensis: key of the language model";
/// By what it is found again.
const ATTRIBUTES: [(&str, &str); 2] = [("application", "amanuensis"), ("secret", "llm-key")];
/// So long a keyring may take for what it need not ask anybody about.
const ANSWER: Duration = Duration::from_secs(5);
/// Where a keyring may be.
#[derive(Debug, Clone)]
pub(crate) struct Keyring {
    /// Address of another bus than the session's.
    pub(crate) bus: Option<String>,
    /// So long its user may take to unlock it.
    pub(crate) patience: Duration,
}

impl Keyring {
    /// Whether the key is there, locked away or not. Nobody is asked for a password.
    pub(crate) fn holds(&self) -> Result<bool, KeyError> {
        self.ask(ANSWER, KeyError::Silent, async |service| {
            let found = service.search_items(HashMap::from(ATTRIBUTES)).await?;
            Ok(!(found.unlocked.is_empty() && found.locked.is_empty()))
        })
        .map(Option::unwrap_or_default)
    }

    /// The key, if it is there.
    pub(crate) fn read(&self) -> Result<Option<Vec<u8>>, KeyError> {
        self.ask(self.patience, KeyError::Locked, async |service| match items(service).await?.first() {
            Some(item) => Ok(Some(unlocked(item).await?.get_secret().await?)),
            None => Ok(None),
        })
        .map(Option::flatten)
    }

    /// Keeps a key instead of the one that was there, and reads it back. Returns whether there is a keyring that could.
    pub(crate) fn keep(&self, secret: &[u8]) -> Result<bool, KeyError> {
        self.ask(self.patience, KeyError::Locked, async |service| {
            let collection = match service.get_default_collection().await {
                Err(Error::NoResult) => return Ok(false),
                collection => collection?,
            };
            if collection.is_locked().await? {
                collection.unlock().await?;
            }
            let item = collection.create_item(LABEL, HashMap::from(ATTRIBUTES), secret, true, "text/plain").await?;
            if item.get_secret().await? == secret { Ok(true) } else { Err(Error::NoResult) }
        })
        .map(Option::unwrap_or_default)
    }

    /// Deletes the key, if it is there.
    pub(crate) fn forget(&self) -> Result<(), KeyError> {
        self.ask(self.patience, KeyError::Locked, async |service| {
            for item in items(service).await? {
                unlocked(&item).await?.delete().await?;
            }
            Ok(())
        })
        .map(Option::unwrap_or_default)
    }

    /// What the keyring answers within the limit; `late` after that, when it is let go of, and with the connection the dialog that
    /// was open. None if there is no keyring that lets anybody in.
    fn ask<T>(
        &self,
        limit: Duration,
        late: KeyError,
        question: impl AsyncFnOnce(&SecretService<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, KeyError> {
        let connect = async {
            let bus = match &self.bus {
                Some(address) => Builder::address(address.as_str())?.build().await?,
                None => Connection::session().await?,
            };
            // KDE's wallet cannot agree on a key where libqca-qt5-2-plugins is missing, and says so in a way of its own.
            match SecretService::connect_with_existing(EncryptionType::Dh, bus.clone()).await {
                Err(_) => SecretService::connect_with_existing(EncryptionType::Plain, bus).await,
                encrypted => encrypted,
            }
        };
        async_io::block_on(async {
            let Some(connected) = within(ANSWER, connect).await else { return Err(KeyError::Silent) };
            let Ok(service) = connected else { return Ok(None) };
            match within(limit, question(&service)).await {
                Some(Ok(answer)) => Ok(Some(answer)),
                Some(Err(Error::Prompt | Error::Locked)) => Err(KeyError::Locked),
                Some(Err(error)) => Err(KeyError::Keyring(Box::new(error))),
                None => Err(late),
            }
        })
    }
}

/// What the keyring has of ours, that which need not be unlocked first.
async fn items<'a>(service: &'a SecretService<'_>) -> Result<Vec<Item<'a>>, Error> {
    let found = service.search_items(HashMap::from(ATTRIBUTES)).await?;
    Ok(found.unlocked.into_iter().chain(found.locked).collect())
}

/// An item that can be read; the user may be asked for that.
async fn unlocked<'a, 'b>(item: &'b Item<'a>) -> Result<&'b Item<'a>, Error> {
    if item.is_locked().await? {
        item.unlock().await?;
    }
    Ok(item)
}

/// What comes of something in time.
async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(work), Timer::after(limit)).await {
        Either::Left((result, _)) => Some(result),
        Either::Right(_) => None,
    }
}
