//! What values are possible.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;

use crate::Settings;

/// What a value has to keep to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bounds {
    /// A number in this range, in this unit.
    Number(RangeInclusive<u16>, &'static str),
    /// A text of this many characters.
    Characters(RangeInclusive<usize>),
    /// A list of at most this many entries.
    Entries(usize),
    /// Something else, in words.
    Form(&'static str),
}

/// A value that is not possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the setting {field} has to be {bounds}; change it and try again")]
pub struct OutOfBounds {
    /// Its name, with that of its group: `server.port`.
    pub field: &'static str,
    /// What it has to keep to.
    pub bounds: Bounds,
}

impl fmt::Display for Bounds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(range, "") => write!(out, "a number from {} to {}", range.start(), range.end()),
            Self::Number(range, unit) => write!(out, "from {} to {} {unit}", range.start(), range.end()),
            Self::Characters(range) if *range.start() == 0 => write!(out, "at most {} characters long", range.end()),
            Self::Characters(range) => write!(out, "{} to {} characters long", range.start(), range.end()),
            Self::Entries(most) => write!(out, "a list of at most {most} entries"),
            Self::Form(words) => out.write_str(words),
        }
    }
}

impl Settings {
    /// Whether every value is possible.
    ///
    /// # Errors
    /// [`OutOfBounds`], for the first that is not.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        use Bounds::{Characters, Entries, Form, Number};
        let hold = |field, holds: bool, bounds| if holds { Ok(()) } else { Err(OutOfBounds { field, bounds }) };
        let number = |field, value: Option<u16>, range: RangeInclusive<u16>, unit| {
            hold(field, value.is_none_or(|value| range.contains(&value)), Number(range, unit))
        };
        let text = |field, value: &str, range: RangeInclusive<usize>| {
            hold(field, range.contains(&value.chars().count()), Characters(range))
        };
        let choice = |field, value: Option<&String>, most| value.map_or(Ok(()), |value| text(field, value, 1..=most));
        let list = |field, length, most| hold(field, length <= most, Entries(most));

        choice("dictation.microphone", self.dictation.microphone.as_ref(), 500)?;
        choice("dictation.language", self.dictation.language.as_ref(), 10)?;
        list("text.vocabulary", self.text.vocabulary.len(), 500)?;
        for term in &self.text.vocabulary {
            text("text.vocabulary", term, 1..=100)?;
        }
        list("text.replacements", self.text.replacements.len(), 500)?;
        for replacement in &self.text.replacements {
            text("text.replacements.from", &replacement.from, 1..=200)?;
            text("text.replacements.to", &replacement.to, 0..=10_000)?;
        }
        list("insertion.ways", self.insertion.ways.len(), 50)?;
        for (desktop, way) in &self.insertion.ways {
            text("insertion.ways", desktop, 1..=200)?;
            text("insertion.ways", way, 1..=40)?;
        }
        choice("shortcut.keys", self.shortcut.keys.as_ref(), 60)?;
        choice("model.name", self.model.name.as_ref(), 4096)?;
        number("model.restMinutes", self.model.rest_minutes, 1..=1440, "minutes")?;
        number("server.port", Some(self.server.port), 1024..=65535, "")?;
        number("history.keepDays", self.history.keep_days, 1..=3650, "days")?;
        number("history.mostGb", self.history.most_gb, 1..=1000, "gigabytes")?;
        if let Some(folder) = &self.files.watched_folder {
            let absolute = Path::new(folder).is_absolute() && folder.len() <= 4096;
            hold("files.watchedFolder", absolute, Form("the whole path of a folder, from / on"))?;
        }
        let after = &self.post_processing;
        text("postProcessing.endpoint", &after.endpoint, 0..=500)?;
        text("postProcessing.model", &after.model, 0..=200)?;
        text("postProcessing.prompt", &after.prompt, 0..=4000)?;
        number("postProcessing.timeoutS", Some(after.timeout_s), 1..=120, "seconds")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Replacement;

    fn fault(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = Settings::default();
        change(&mut settings);
        settings.check().unwrap_err().to_string()
    }

    #[test]
    fn the_default_is_possible() {
        assert_eq!(Settings::default().check(), Ok(()));
    }

    #[test]
    fn what_is_not_is_named_with_its_bounds() {
        assert_eq!(
            fault(|settings| settings.server.port = 80),
            "the setting server.port has to be a number from 1024 to 65535; change it and try again"
        );
        assert_eq!(
            fault(|settings| settings.history.keep_days = Some(0)),
            "the setting history.keepDays has to be from 1 to 3650 days; change it and try again"
        );
        let empty = Replacement { from: String::new(), to: "x".into() };
        assert!(fault(|settings| settings.text.replacements.push(empty)).contains("replacements.from"));
        assert!(fault(|settings| settings.text.vocabulary = vec!["a".into(); 501]).contains("at most 500 entries"));
        assert!(fault(|settings| settings.files.watched_folder = Some("here".into())).contains("from / on"));
        assert!(fault(|settings| settings.post_processing.timeout_s = 0).contains("1 to 120 seconds"));
    }
}
