//! What the app says outside its window, in the languages of the page: in the tray, in the desktop's notifications and dialogs,
//! and in documents.

use std::collections::HashMap;
use std::sync::LazyLock;

use amanuensis_settings::Language;

use crate::wire::Fault;

/// All of it, in one language.
#[derive(Debug, PartialEq, Eq)]
pub struct Words {
    /// The language's code.
    code: &'static str,
    /// Nothing is going on.
    pub ready: &'static str,
    /// Speech is waited for.
    pub listening: &'static str,
    /// It is recorded.
    pub recording: &'static str,
    /// It is written out.
    pub writing: &'static str,
    /// Begin a dictation.
    pub start: &'static str,
    /// End it.
    pub stop: &'static str,
    /// What the shortcut is for, as the desktop shows it.
    pub shortcut: &'static str,
    /// Show the window.
    pub show: &'static str,
    /// The title of the dialog in which recordings are chosen.
    pub open: &'static str,
    /// End the app.
    pub quit: &'static str,
    /// A file was written out.
    pub file_done: &'static str,
    /// A file could not be written out.
    pub file_failed: &'static str,
    /// The end of a document, if it is not the recording's end.
    pub unfinished: &'static str,
    /// A dictation could not be written out.
    pub dictation_failed: &'static str,
    /// A dictation could not be typed into the program in front.
    pub not_inserted: &'static str,
    /// Where it is then.
    pub on_clipboard: &'static str,
    /// Where it is if not even that was possible.
    pub in_window: &'static str,
}

const EN: Words = Words {
    code: "en",
    ready: "Ready",
    listening: "Listening for speech",
    recording: "Listening",
    writing: "Writing",
    start: "Start dictating",
    stop: "Stop dictating",
    shortcut: "Dictate with Amanuensis",
    show: "Show the window",
    open: "Open recordings",
    quit: "Quit",
    file_done: "Transcribed",
    file_failed: "Could not be transcribed.",
    unfinished: "The transcription was not finished.",
    dictation_failed: "Your dictation could not be written out",
    not_inserted: "Your dictation could not be typed",
    on_clipboard: "It is on the clipboard.",
    in_window: "It is in Amanuensis’s window.",
};

const DE: Words = Words {
    code: "de",
    ready: "Bereit",
    listening: "Wartet auf Sprache",
    recording: "Hört zu",
    writing: "Schreibt",
    start: "Diktat beginnen",
    stop: "Diktat beenden",
    shortcut: "Mit Amanuensis diktieren",
    show: "Fenster zeigen",
    open: "Aufnahmen öffnen",
    quit: "Beenden",
    file_done: "Transkribiert",
    file_failed: "Konnte nicht transkribiert werden.",
    unfinished: "Die Transkription wurde nicht beendet.",
    dictation_failed: "Ihr Diktat konnte nicht geschrieben werden",
    not_inserted: "Ihr Diktat konnte nicht eingefügt werden",
    on_clipboard: "Es ist in der Zwischenablage.",
    in_window: "Es steht im Fenster von Amanuensis.",
};

const ES: Words = Words {
    code: "es",
    ready: "Listo",
    listening: "A la espera de que hable",
    recording: "Escuchando",
    writing: "Escribiendo",
    start: "Empezar a dictar",
    stop: "Terminar de dictar",
    shortcut: "Dictar con Amanuensis",
    show: "Mostrar la ventana",
    open: "Abrir grabaciones",
    quit: "Salir",
    file_done: "Transcrito",
    file_failed: "No se ha podido transcribir.",
    unfinished: "La transcripción no se ha terminado.",
    dictation_failed: "No se ha podido escribir su dictado",
    not_inserted: "No se ha podido insertar su dictado",
    on_clipboard: "Está en el portapapeles.",
    in_window: "Está en la ventana de Amanuensis.",
};

const FR: Words = Words {
    code: "fr",
    ready: "Prêt",
    listening: "En attente de parole",
    recording: "À l’écoute",
    writing: "Transcription",
    start: "Commencer à dicter",
    stop: "Arrêter de dicter",
    shortcut: "Dicter avec Amanuensis",
    show: "Afficher la fenêtre",
    open: "Ouvrir des enregistrements",
    quit: "Quitter",
    file_done: "Transcrit",
    file_failed: "N’a pas pu être transcrit.",
    unfinished: "La transcription n’a pas été terminée.",
    dictation_failed: "Votre dictée n’a pas pu être écrite",
    not_inserted: "Votre dictée n’a pas pu être insérée",
    on_clipboard: "Elle est dans le presse-papiers.",
    in_window: "Elle est dans la fenêtre d’Amanuensis.",
};

const IT: Words = Words {
    code: "it",
    ready: "Pronto",
    listening: "In attesa che tu parli",
    recording: "In ascolto",
    writing: "Scrittura",
    start: "Inizia a dettare",
    stop: "Smetti di dettare",
    shortcut: "Detta con Amanuensis",
    show: "Mostra la finestra",
    open: "Apri registrazioni",
    quit: "Esci",
    file_done: "Trascritto",
    file_failed: "Non è stato possibile trascriverlo.",
    unfinished: "La trascrizione non è stata terminata.",
    dictation_failed: "Non è stato possibile scrivere la dettatura",
    not_inserted: "Non è stato possibile inserire la dettatura",
    on_clipboard: "È negli appunti.",
    in_window: "È nella finestra di Amanuensis.",
};

const PT: Words = Words {
    code: "pt",
    ready: "Pronto",
    listening: "Aguardando sua fala",
    recording: "Ouvindo",
    writing: "Escrevendo",
    start: "Começar a ditar",
    stop: "Parar de ditar",
    shortcut: "Ditar com o Amanuensis",
    show: "Mostrar a janela",
    open: "Abrir gravações",
    quit: "Sair",
    file_done: "Transcrito",
    file_failed: "Não pôde ser transcrito.",
    unfinished: "A transcrição não foi concluída.",
    dictation_failed: "Seu ditado não pôde ser escrito",
    not_inserted: "Seu ditado não pôde ser inserido",
    on_clipboard: "Está na área de transferência.",
    in_window: "Está na janela do Amanuensis.",
};

const ALL: [&Words; 6] = [&EN, &DE, &ES, &FR, &IT, &PT];

/// What the page says of faults, by the code of a language.
static FAULTS: LazyLock<HashMap<String, HashMap<Fault, String>>> = LazyLock::new(|| {
    let page = include_str!("../../ui/src/lib/i18n/words/faults.json");
    serde_json::from_str(page).expect("BUG: a test reads the same file")
});

impl Words {
    /// What went wrong and what to do about it, as the page says it.
    pub fn fault(&self, fault: Fault) -> &'static str {
        FAULTS.get(self.code).and_then(|said| said.get(&fault)).expect("BUG: the page has words for every fault")
    }
}

/// Those of the language that is set.
pub fn of(language: Language) -> &'static Words {
    match language {
        Language::System => of_system(),
        Language::En => &EN,
        Language::De => &DE,
        Language::Es => &ES,
        Language::Fr => &FR,
        Language::It => &IT,
        Language::Pt => &PT,
    }
}

/// Those of the language that the environment asks for; English, if it is none of the page's.
pub fn of_system() -> &'static Words {
    let asked = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
    of_locale(&asked.into_iter().find(|value| !value.is_empty()).unwrap_or_default())
}

/// Those of a locale, such as `pt_BR.UTF-8`.
fn of_locale(locale: &str) -> &'static Words {
    let code = locale.split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default();
    ALL.into_iter().find(|words| words.code == code).unwrap_or(&EN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_its_words_and_others_get_english() {
        assert_eq!(of(Language::De).quit, "Beenden");
        assert_eq!(of_locale("pt_BR.UTF-8"), &PT);
        assert_eq!([of_locale("nl_NL"), of_locale("C"), of_locale("")], [&EN; 3]);
        let all = ALL.map(|words| words.start);
        assert!(all.iter().enumerate().all(|(index, word)| !all[..index].contains(word)));
    }

    #[test]
    fn every_fault_is_said_in_every_language() {
        // `"missing" | "unreadable" | …`
        let all = <Fault as ts_rs::TS>::inline(&ts_rs::Config::default());
        let faults: Vec<_> = all.split(" | ").map(|word| Fault::of_word(word.trim_matches('"')).unwrap()).collect();
        for words in ALL {
            assert!(faults.iter().all(|fault| words.fault(*fault).ends_with('.')), "{}", words.code);
            assert_eq!(FAULTS[words.code].len(), faults.len());
        }
        assert_eq!(
            DE.fault(Fault::EmptyFile),
            "Die Datei ist leer. Nehmen Sie noch einmal auf, oder w\u{e4}hlen Sie eine andere."
        );
    }
}
