//! The recordings in their order, and what of it the page does not know yet.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::FileId;
use super::entry::Entry;
use crate::wire::Update;

/// Every change goes through it, so that none is kept from the page. The page is sent what changed: it may be a thousand files.
#[derive(Default)]
pub struct List {
    entries: Vec<Entry>,
    added: FileId,
    changed: Changed,
}

/// What the page does not know.
enum Changed {
    /// These files are not as they were, or are new at the end of the list.
    Some(BTreeSet<FileId>),
    /// Files left the list, or changed places.
    Order,
}

impl Default for Changed {
    fn default() -> Self {
        Self::Some(BTreeSet::new())
    }
}

impl List {
    /// All of them, in their order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// One of them.
    pub fn get(&self, id: FileId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, id: FileId) -> Option<&mut Entry> {
        let entry = self.entries.iter_mut().find(|entry| entry.id == id)?;
        if let Changed::Some(ids) = &mut self.changed {
            ids.insert(id);
        }
        Some(entry)
    }

    /// Puts a recording at the end.
    pub fn add(&mut self, path: PathBuf) -> &mut Entry {
        self.added += 1;
        if let Changed::Some(ids) = &mut self.changed {
            ids.insert(self.added);
        }
        self.entries.push_mut(Entry::new(self.added, path))
    }

    /// Leaves those in the list that are wanted.
    pub fn retain(&mut self, wanted: impl FnMut(&Entry) -> bool) {
        self.entries.retain(wanted);
        self.changed = Changed::Order;
    }

    /// Puts a file before another one, or at the end.
    pub fn put_before(&mut self, id: FileId, before: Option<FileId>) {
        let Some(from) = self.entries.iter().position(|entry| entry.id == id) else { return };
        let entry = self.entries.remove(from);
        let to = before.and_then(|before| self.entries.iter().position(|entry| entry.id == before));
        self.entries.insert(to.unwrap_or(self.entries.len()), entry);
        self.changed = Changed::Order;
    }

    /// All of it, for a page that knows nothing.
    pub fn whole(&self) -> Update {
        Update::Files { files: self.entries.iter().map(Entry::shown).collect() }
    }

    /// What the page does not know yet.
    pub fn take_news(&mut self) -> Vec<Update> {
        match std::mem::take(&mut self.changed) {
            Changed::Order => vec![self.whole()],
            // New ones are sent in the order of their numbers, which is that in which they were added.
            Changed::Some(ids) => {
                let entries = ids.into_iter().filter_map(|id| self.get(id));
                entries.map(|entry| Update::File { file: entry.shown() }).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{File, FileState};

    /// A page that is told of changes.
    fn apply(known: &mut Vec<File>, news: Vec<Update>) {
        for update in news {
            match update {
                Update::Files { files } => *known = files,
                Update::File { file } => match known.iter_mut().find(|known| known.id == file.id) {
                    Some(known) => *known = file,
                    None => known.push(file),
                },
                _ => unreachable!("BUG: the list tells of files"),
            }
        }
    }

    #[test]
    fn a_page_that_is_told_what_changed_knows_the_list() {
        let (mut list, mut known) = (List::default(), Vec::new());
        let step = |list: &mut List, known: &mut Vec<File>, updates: usize| {
            let news = list.take_news();
            assert_eq!(news.len(), updates);
            apply(known, news);
            assert_eq!(list.whole(), Update::Files { files: known.clone() });
            assert!(list.take_news().is_empty());
        };
        for name in ["/a.wav", "/b.wav", "/c.wav"] {
            list.add(name.into());
        }
        step(&mut list, &mut known, 3);
        list.get_mut(2).expect("it is there").state = FileState::Done;
        list.add("/d.wav".into());
        step(&mut list, &mut known, 2);
        list.put_before(4, Some(1));
        list.get_mut(1).expect("it is there").state = FileState::Cancelled;
        step(&mut list, &mut known, 1);
        list.retain(|entry| !entry.is_over());
        list.add("/e.wav".into());
        step(&mut list, &mut known, 1);
        assert_eq!(known.iter().map(|file| file.id).collect::<Vec<_>>(), [4, 3, 5]);
    }
}
