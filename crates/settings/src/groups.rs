//! The settings themselves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything that can be chosen. What a file does not say is as in the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS))]
#[serde(default, rename_all = "camelCase")]
pub struct Settings {
    /// The page.
    pub interface: Interface,
    /// Listening.
    pub dictation: Dictation,
    /// From what was heard to what is written.
    pub text: Text,
    /// Putting text into other programs.
    pub insertion: Insertion,
    /// The key that starts a dictation from anywhere.
    pub shortcut: Shortcut,
    /// What transcribes.
    pub model: Model,
    /// The local API for other programs.
    pub server: Server,
    /// What is kept of dictations.
    pub history: History,
    /// Recordings.
    pub files: Files,
    /// A language model that goes over what was dictated.
    pub post_processing: PostProcessing,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS), ts(rename = "InterfaceSettings"))]
#[serde(default, rename_all = "camelCase")]
pub struct Interface {
    /// What the page speaks.
    pub language: Language,
    /// Whether it is light or dark.
    pub theme: Theme,
    /// Whether the first-run guide was gone through or skipped.
    pub guided: bool,
    /// A small window shows what is dictated into other programs.
    pub overlay: bool,
    /// An icon in the tray, where the app lives on when its window is closed.
    pub tray: bool,
    /// The desktop tells what happens while the window is hidden.
    pub notifications: bool,
    /// The app starts with the session, without its window.
    pub autostart: bool,
}

impl Default for Interface {
    fn default() -> Self {
        Self {
            language: Language::default(),
            theme: Theme::default(),
            guided: false,
            overlay: true,
            tray: true,
            notifications: true,
            autostart: false,
        }
    }
}

/// What the page speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum Language {
    /// As the system.
    #[default]
    System,
    /// English.
    En,
    /// German.
    De,
    /// Spanish.
    Es,
    /// French.
    Fr,
    /// Italian.
    It,
    /// Portuguese.
    Pt,
}

/// Whether the page is light or dark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum Theme {
    /// As the system.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// Listening.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS), ts(rename = "DictationSettings"))]
#[serde(default, rename_all = "camelCase")]
pub struct Dictation {
    /// Id of the microphone; none for the system's default one.
    pub microphone: Option<String>,
    /// Code of the language that is spoken ("de"); none to find it out each time. Models for English only ignore it.
    pub language: Option<String>,
    /// Dictations begin and end by voice while this is on.
    pub hands_free: bool,
    /// The microphone stays open between dictations, so that the next begins with what was said just before the press.
    pub stand_by: bool,
    /// Words are shown while they are spoken. Off, the machine has less to do.
    pub live_text: bool,
    /// A sound when a dictation begins and one when it ends.
    pub sounds: bool,
}

impl Default for Dictation {
    fn default() -> Self {
        Self { microphone: None, language: None, hands_free: false, stand_by: false, live_text: true, sounds: false }
    }
}

/// From what was heard to what is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS), ts(rename = "TextSettings"))]
#[serde(default, rename_all = "camelCase")]
pub struct Text {
    /// Names and terms as they are to be spelt. At most 500, of 100 characters each; the model reads about the first 200
    /// words of them before it listens.
    pub vocabulary: Vec<String>,
    /// What sounds nearly like a term of the vocabulary becomes the term.
    pub correct_names: bool,
    /// Phrases that stand for something else: corrections and snippets. At most 500.
    pub replacements: Vec<Replacement>,
    /// "comma" is written as a comma, "new line" as one.
    pub spoken_punctuation: bool,
    /// Sounds of hesitation are left out.
    pub without_fillers: bool,
    /// Which words begin with a capital.
    pub capitals: Capitals,
    /// A dictation ends with a space, so that the next can follow.
    pub trailing_space: bool,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            vocabulary: Vec::new(),
            correct_names: true,
            replacements: Vec::new(),
            spoken_punctuation: false,
            without_fillers: false,
            capitals: Capitals::default(),
            trailing_space: true,
        }
    }
}

/// A phrase, and what is written for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS))]
#[serde(default, rename_all = "camelCase")]
pub struct Replacement {
    /// What is said; case and punctuation do not count. 1 to 200 characters.
    pub from: String,
    /// What is written, several lines if need be. At most 10,000 characters.
    pub to: String,
}

/// Which words begin with a capital.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum Capitals {
    /// Those that the model has begun so.
    #[default]
    AsHeard,
    /// Those that begin a sentence, too.
    Sentences,
}

/// Putting text into other programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS), ts(rename = "InsertionSettings"))]
#[serde(default, rename_all = "camelCase")]
pub struct Insertion {
    /// What is dictated is put where the cursor is.
    pub automatic: bool,
    /// The way that is tried first, by its word in the crate `insert`, for each desktop on which one was chosen, or found by the
    /// test of all. At most 50.
    pub ways: BTreeMap<String, String>,
    /// What was on the clipboard is put back after a paste.
    pub restore_clipboard: bool,
}

impl Default for Insertion {
    fn default() -> Self {
        Self { automatic: true, ways: BTreeMap::new(), restore_clipboard: true }
    }
}

/// The key that starts a dictation from anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS), ts(rename = "ShortcutSettings"))]
#[serde(default, rename_all = "camelCase")]
pub struct Shortcut {
    /// Names of keys with `+` between them, as "Ctrl+Alt+Space"; none for no shortcut. At most 60 characters.
    pub keys: Option<String>,
    /// What the keys do.
    pub mode: ShortcutMode,
}

impl Default for Shortcut {
    fn default() -> Self {
        Self { keys: Some("Ctrl+Alt+Space".to_owned()), mode: ShortcutMode::default() }
    }
}

/// What the keys of the shortcut do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum ShortcutMode {
    /// One press begins, another ends.
    #[default]
    Toggle,
    /// It is recorded while they are held.
    Hold,
}

/// What transcribes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS), ts(rename = "ModelSettings"))]
#[serde(default, rename_all = "camelCase")]
pub struct Model {
    /// Name or path of the model; none for the one installed last.
    pub name: Option<String>,
    /// Which device encodes.
    pub device: DevicePolicy,
    /// How the NPU computes.
    pub npu_format: NpuFormat,
    /// Minutes without a request after which the model's memory is given back; none for never. 1 to 1440.
    pub rest_minutes: Option<u16>,
}

impl Model {
    /// Whether what is opened by these settings would do for the others too.
    pub fn opens_as(&self, other: &Self) -> bool {
        (&self.name, self.device, self.npu_format) == (&other.name, other.device, other.npu_format)
    }
}

/// Which device encodes. All else is the CPU's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum DevicePolicy {
    /// The NPU where there is one with a program for the model, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The NPU; without one, nothing is transcribed.
    NpuRequired,
    /// The NPU; the CPU for what the NPU fails at, with the reason shown.
    NpuWithFallback,
    /// A program that computes what the NPU would, at the pace that a model of it predicts.
    SimulatedNpu,
}

/// How the NPU computes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum NpuFormat {
    /// Block floating point of 16 bits.
    #[default]
    Bfp16,
    /// Integers of 8 bits: faster, and less exact.
    Int8,
}

/// The local API for other programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS), ts(rename = "ServerSettings"))]
#[serde(default, rename_all = "camelCase")]
pub struct Server {
    /// It runs while the app does.
    pub on: bool,
    /// Port on the loopback interface. 1024 to 65535.
    pub port: u16,
    /// Programs on this machine need no token. Any program of any user may then use it.
    pub without_token: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self { on: false, port: 9050, without_token: false }
    }
}

/// What is kept of dictations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS), ts(rename = "HistorySettings"))]
#[serde(default, rename_all = "camelCase")]
pub struct History {
    /// Texts are kept. Off, nothing is written down anywhere.
    pub on: bool,
    /// The sound is kept with the text.
    pub keep_audio: bool,
    /// Days after which a dictation is deleted, unless it is pinned; none for never. 1 to 3650.
    pub keep_days: Option<u16>,
    /// Gigabytes (10^9 bytes) that sound may take; then the oldest goes, unless it is pinned. None for no bound. 1 to 1000.
    pub most_gb: Option<u16>,
}

impl Default for History {
    fn default() -> Self {
        Self { on: true, keep_audio: true, keep_days: None, most_gb: Some(5) }
    }
}

/// Recordings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS), ts(rename = "FilesSettings"))]
#[serde(default, rename_all = "camelCase")]
pub struct Files {
    /// Whatever recording is put into this folder is transcribed, and its text written beside it. An absolute path.
    pub watched_folder: Option<String>,
    /// What is written there.
    pub format: FileFormat,
}

/// Kinds of documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum FileFormat {
    /// Plain text.
    #[default]
    Txt,
    /// Subtitles.
    Srt,
    /// Subtitles for the web.
    Vtt,
    /// Everything, for programs.
    Json,
    /// A table.
    Csv,
    /// For word processors.
    Docx,
    /// Markdown.
    Md,
}

/// A language model that goes over what was dictated. It sees the text and never the sound. A key that it asks for does not lie
/// among the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "types", derive(ts_rs::TS), ts(rename = "PostProcessingSettings"))]
#[serde(default, rename_all = "camelCase")]
pub struct PostProcessing {
    /// Text is sent there.
    pub on: bool,
    /// Address of an API like OpenAI's, up to and with `/v1`. `http` is for this machine only, `https` for others.
    /// At most 500 characters.
    pub endpoint: String,
    /// Name of the model there. At most 200 characters.
    pub model: String,
    /// What the model is told to do. At most 4,000 characters.
    pub prompt: String,
    /// Seconds after which the text stays as it was. 1 to 120.
    pub timeout_s: u16,
}

impl Default for PostProcessing {
    fn default() -> Self {
        Self {
            on: false,
            endpoint: "http://127.0.0.1:11434/v1".to_owned(),
            model: String::new(),
            prompt:
                "Correct the punctuation and obvious slips of this dictated text. Keep its language and its words. \
                     Answer with the text and nothing else."
                    .to_owned(),
            timeout_s: 20,
        }
    }
}
