//! What can go wrong, by what the user can do about it. The page has a sentence with a next step for each.

use std::fmt::{self, Display};

use serde::de::IntoDeserializer as _;
use serde::{Deserialize, Serialize};

/// Why something is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// What it is, which the page has words for.
    pub fault: Fault,
    /// What a library or the system had to say about it, in English: a sentence, which may be empty.
    pub detail: String,
}

/// All that can go wrong. Displayed, and in the history, it is the word that the page knows it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// A file is not there.
    Missing,
    /// A file may not or cannot be read.
    Unreadable,
    /// A file may not or cannot be written.
    Unwritable,
    /// There is no room.
    DiskFull,
    /// Something has the name already.
    NameTaken,

    /// A recording has no bytes.
    EmptyFile,
    /// A file is no recording.
    NotARecording,
    /// There are pictures without sound.
    NoSoundTrack,
    /// The sound is coded in a way that is not known.
    UnknownCoding,
    /// A recording broke off while it was written or copied.
    CutOff,
    /// A recording is damaged from some place on.
    DamagedRecording,

    /// The engine, or the device that it works on, failed.
    EngineFailed,
    /// The model does not know the language.
    UnknownLanguage,
    /// Nobody was left to write down the rest.
    NotToTheEnd,
    /// The system gives no more threads.
    TooBusy,

    /// No model is installed.
    NoModel,
    /// The model that was asked for is not there.
    ModelGone,
    /// A file is no model.
    NotAModel,
    /// A model is damaged, or lacks a part.
    DamagedModel,
    /// The NPU cannot be used with this model.
    NpuUnusable,
    /// There is no NPU.
    NoNpu,
    /// The user may not open the NPU.
    NpuForbidden,
    /// The user may not lock as much memory as the NPU needs.
    NpuMemory,
    /// XRT is not installed, or too old.
    NoXrt,
    /// The NPU's driver or firmware is too old.
    NpuOutdated,
    /// The NPU's program is missing, damaged or not for it.
    NoNpuProgram,
    /// The NPU computes something else than the processor.
    NpuWrong,
    /// The NPU failed.
    NpuFailed,
    /// A model lies where only the system may change it.
    NotYourModel,

    /// Somebody else downloads the same.
    AlreadyComing,
    /// No server answers.
    NoConnection,
    /// The proxy does not let us through.
    ProxyRefuses,
    /// Nothing came for a while.
    Stalled,
    /// The server does not have it.
    NotOnServer,
    /// The server does not give it, or not in a way that can be taken.
    ServerRefuses,
    /// A page came in its place.
    PageInstead,
    /// What came, or would come, is another file.
    WrongFile,

    /// A file holds no settings.
    NotSettings,
    /// A later version wrote it.
    Newer,
    /// A setting has a value that it cannot have.
    OutOfBounds,
    /// The port is not to be had.
    PortTaken,
    /// Others may read a secret.
    Exposed,
    /// What is kept as the token is none.
    BadToken,
    /// What is kept as the key is none.
    BadKey,
    /// Nobody has unlocked the keyring.
    KeyringLocked,
    /// The keyring does not answer, or fails.
    KeyringFails,

    /// An entry of the history was deleted meanwhile.
    EntryGone,
    /// The history's database fails.
    DatabaseFails,
    /// The disk fails.
    DiskFails,
    /// The disk is slower than speech.
    DiskSlow,
    /// Recordings take all that they may.
    RecordingsFull,

    /// No microphone can be opened.
    NoMicrophone,
    /// The microphone went away.
    MicrophoneGone,
    /// There is nothing to play on.
    NoLoudspeaker,
    /// The clipboard does not take a text.
    NoClipboard,

    /// A folder is not there, or may not be read.
    FolderUnseen,
    /// Another program watches the folder.
    FolderTaken,

    /// There are no such keys.
    UnknownKeys,
    /// The keys type something.
    KeyTypes,
    /// The keyboard lacks the key.
    NoSuchKey,
    /// Another program has the keys.
    KeysTaken,
    /// The desktop gives programs no keys.
    NoKeysHere,
    /// No display can be reached.
    NoDisplay,

    /// The way belongs to another kind of desktop.
    NotOnThisDesktop,
    /// This desktop has no way at all.
    NoWay,
    /// The desktop has to ask the user first.
    NotAsked,
    /// The desktop, or the user, does not want it.
    DesktopRefuses,
    /// No window takes keys.
    NoFocus,
    /// The text cannot be typed as keys there.
    KeysUnusable,
    /// The program in front hangs.
    ProgramHangs,
    /// The program in front did not fetch the text.
    NotFetched,
    /// Another program took the clipboard.
    ClipboardTaken,
    /// Not all of a text arrived.
    TextLost,
    /// The window of the test was hidden.
    TestHidden,

    /// An address is none.
    BadAddress,
    /// Text would be sent for everybody to read.
    Unencrypted,
    /// The language model does not answer.
    NoAnswer,
    /// The language model's server does not want to.
    NotServed,
    /// The language model says something else.
    UselessAnswer,
}

impl Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(out)
    }
}

impl Fault {
    /// The fault of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        let word: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = word.into_deserializer();
        Self::deserialize(word).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Fault;

    #[test]
    fn a_fault_is_known_by_its_word() {
        assert_eq!(Fault::NotToTheEnd.to_string(), "notToTheEnd");
        assert_eq!(Fault::of_word("notToTheEnd"), Some(Fault::NotToTheEnd));
        assert_eq!(Fault::of_word("whatever"), None);
    }
}
