//! What differs between languages: sounds of hesitation, and what punctuation marks are called.

use super::Word;

/// A mark, by how it stands between words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// At the end of the word before it.
    Closing(&'static str),
    /// At the beginning of the word after it.
    Opening(&'static str),
    /// Between two words, without spaces.
    Joining(&'static str),
}

impl Mark {
    pub(super) fn as_word(self) -> Word {
        let (core, glued_before, glued_after) = match self {
            Self::Closing(mark) => (mark, true, mark.ends_with('\n')),
            Self::Opening(mark) => (mark, false, true),
            Self::Joining(mark) => (mark, true, true),
        };
        Word { core: core.to_owned(), glued_before, glued_after, ..Word::default() }
    }

    pub(super) fn ends_sentence(self) -> bool {
        matches!(self, Self::Closing("." | "!" | "?" | "\n" | "\n\n"))
    }
}

/// Sounds of hesitation in a language, small and without punctuation. None where they are not known.
pub(super) fn fillers(language: &str) -> &'static [&'static str] {
    match language {
        "en" => &["um", "umm", "uh", "uhh", "uhm", "er", "erm", "hm", "hmm", "mm", "mmm"],
        "de" => &["\u{e4}h", "\u{e4}hm", "\u{f6}h", "\u{f6}hm", "hm", "hmm"],
        "fr" => &["euh", "heu", "hum", "hm"],
        "es" => &["eh", "em", "mmm", "hm"],
        "it" => &["eh", "ehm", "uhm", "mmm", "hm"],
        "pt" => &["\u{e9}h", "eh", "hum", "h\u{e3}", "hm"],
        _ => &[],
    }
}

/// Names of marks in a language, small, word by word. None where they are not known.
pub(super) fn marks(language: &str) -> &'static [(&'static [&'static str], Mark)] {
    use Mark::{Closing, Joining, Opening};
    match language {
        "en" => &[
            (&["full", "stop"], Closing(".")),
            (&["period"], Closing(".")),
            (&["comma"], Closing(",")),
            (&["question", "mark"], Closing("?")),
            (&["exclamation", "mark"], Closing("!")),
            (&["exclamation", "point"], Closing("!")),
            (&["colon"], Closing(":")),
            (&["semicolon"], Closing(";")),
            (&["semi", "colon"], Closing(";")),
            (&["ellipsis"], Closing("\u{2026}")),
            (&["hyphen"], Joining("-")),
            (&["open", "parenthesis"], Opening("(")),
            (&["close", "parenthesis"], Closing(")")),
            (&["open", "bracket"], Opening("(")),
            (&["close", "bracket"], Closing(")")),
            (&["open", "quote"], Opening("\u{201c}")),
            (&["close", "quote"], Closing("\u{201d}")),
            (&["new", "line"], Closing("\n")),
            (&["newline"], Closing("\n")),
            (&["new", "paragraph"], Closing("\n\n")),
        ],
        "de" => &[
            (&["punkt"], Closing(".")),
            (&["komma"], Closing(",")),
            (&["fragezeichen"], Closing("?")),
            (&["ausrufezeichen"], Closing("!")),
            (&["doppelpunkt"], Closing(":")),
            (&["semikolon"], Closing(";")),
            (&["strichpunkt"], Closing(";")),
            (&["bindestrich"], Joining("-")),
            (&["klammer", "auf"], Opening("(")),
            (&["klammer", "zu"], Closing(")")),
            (&["anf\u{fc}hrungszeichen", "auf"], Opening("\u{201e}")),
            (&["anf\u{fc}hrungszeichen", "zu"], Closing("\u{201c}")),
            (&["neue", "zeile"], Closing("\n")),
            (&["neuer", "absatz"], Closing("\n\n")),
        ],
        "fr" => &[
            (&["point"], Closing(".")),
            (&["virgule"], Closing(",")),
            (&["point", "dinterrogation"], Closing("\u{a0}?")),
            (&["point", "dexclamation"], Closing("\u{a0}!")),
            (&["deux", "points"], Closing("\u{a0}:")),
            (&["deuxpoints"], Closing("\u{a0}:")),
            (&["point", "virgule"], Closing("\u{a0};")),
            (&["pointvirgule"], Closing("\u{a0};")),
            (&["\u{e0}", "la", "ligne"], Closing("\n")),
            (&["nouveau", "paragraphe"], Closing("\n\n")),
        ],
        "es" => &[
            (&["punto"], Closing(".")),
            (&["coma"], Closing(",")),
            (&["dos", "puntos"], Closing(":")),
            (&["punto", "y", "coma"], Closing(";")),
            (&["abrir", "interrogaci\u{f3}n"], Opening("\u{bf}")),
            (&["cerrar", "interrogaci\u{f3}n"], Closing("?")),
            (&["abrir", "exclamaci\u{f3}n"], Opening("\u{a1}")),
            (&["cerrar", "exclamaci\u{f3}n"], Closing("!")),
            (&["guion"], Joining("-")),
            (&["gui\u{f3}n"], Joining("-")),
            (&["nueva", "l\u{ed}nea"], Closing("\n")),
            (&["nuevo", "p\u{e1}rrafo"], Closing("\n\n")),
        ],
        "it" => &[
            (&["punto"], Closing(".")),
            (&["virgola"], Closing(",")),
            (&["punto", "interrogativo"], Closing("?")),
            (&["punto", "esclamativo"], Closing("!")),
            (&["due", "punti"], Closing(":")),
            (&["punto", "e", "virgola"], Closing(";")),
            (&["trattino"], Joining("-")),
            (&["aperta", "parentesi"], Opening("(")),
            (&["chiusa", "parentesi"], Closing(")")),
            (&["a", "capo"], Closing("\n")),
            (&["nuova", "riga"], Closing("\n")),
            (&["nuovo", "paragrafo"], Closing("\n\n")),
        ],
        "pt" => &[
            (&["ponto"], Closing(".")),
            (&["ponto", "final"], Closing(".")),
            (&["v\u{ed}rgula"], Closing(",")),
            (&["ponto", "de", "interroga\u{e7}\u{e3}o"], Closing("?")),
            (&["ponto", "de", "exclama\u{e7}\u{e3}o"], Closing("!")),
            (&["dois", "pontos"], Closing(":")),
            (&["ponto", "e", "v\u{ed}rgula"], Closing(";")),
            (&["h\u{ed}fen"], Joining("-")),
            (&["abre", "par\u{ea}nteses"], Opening("(")),
            (&["fecha", "par\u{ea}nteses"], Closing(")")),
            (&["nova", "linha"], Closing("\n")),
            (&["novo", "par\u{e1}grafo"], Closing("\n\n")),
        ],
        _ => &[],
    }
}
