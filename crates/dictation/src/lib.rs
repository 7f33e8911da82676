//! The dictation session: from a pressed button to committed words, with no user interface in it.
