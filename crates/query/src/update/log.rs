//! What the operators wrote, in the order they wrote it (CS-2.4, CS-2.6).

use millstream_value::DocBuf;

use super::tree::Branch;

/// The writes below one object or array.
pub(crate) struct Log {
    array: bool,
    notes: Vec<(String, Note)>,
}

/// What happened to one field.
pub(crate) enum Note {
    /// It is gone.
    Removed,
    /// It existed and has a new value.
    Updated,
    /// It did not exist and was added at the end.
    Inserted,
    /// Something inside it changed.
    Within(Log),
}

impl Log {
    /// No writes yet.
    pub(crate) const fn new(array: bool) -> Self {
        Self { array, notes: Vec::new() }
    }

    /// Notes a write of the field `name` itself.
    pub(crate) fn leaf(&mut self, name: &str, note: Note) {
        match self.notes.iter_mut().find(|(known, _)| known == name) {
            // What was just added is reported as added, whatever is done to it later.
            Some((_, Note::Inserted)) if matches!(note, Note::Updated) => {}
            Some((_, known)) => *known = note,
            None => self.notes.push((name.to_owned(), note)),
        }
    }

    /// The notes below `name`; `None` if its whole value is already noted, so that nothing more needs to be.
    pub(crate) fn within(&mut self, name: &str, array: bool) -> Option<&mut Log> {
        let index = match self.notes.iter().position(|(known, _)| known == name) {
            Some(index) => index,
            None => {
                self.notes.push((name.to_owned(), Note::Within(Self::new(array))));
                self.notes.len() - 1
            }
        };
        match self.notes.get_mut(index) {
            Some((_, Note::Within(log))) => Some(log),
            _ => None,
        }
    }

    /// Notes a write at `path`; `arrays` says for each component whether it is an array's index.
    pub(crate) fn note(&mut self, path: &[String], arrays: &[bool], note: Note) {
        let Some((name, rest)) = path.split_first() else {
            return;
        };
        if rest.is_empty() {
            return self.leaf(name, note);
        }
        let arrays = arrays.get(1..).unwrap_or_default();
        if let Some(log) = self.within(name, arrays.first().copied().unwrap_or_default()) {
            log.note(rest, arrays, note);
        }
    }

    /// The delta in its stored form, with the values that `after` holds.
    pub(crate) fn write(&self, after: &Branch<'_>) -> DocBuf {
        if self.array { self.write_array(after) } else { self.write_object(after) }
    }

    fn write_object(&self, after: &Branch<'_>) -> DocBuf {
        let mut out = DocBuf::new();
        let (mut removed, mut updated, mut inserted) = (DocBuf::new(), DocBuf::new(), DocBuf::new());
        for (name, note) in &self.notes {
            match note {
                Note::Removed => removed.push(name, false),
                Note::Updated => updated.push_some(name, after.encoded(name)),
                Note::Inserted => inserted.push_some(name, after.encoded(name)),
                Note::Within(_) => continue,
            };
        }
        for (section, fields) in [("d", removed), ("u", updated), ("i", inserted)] {
            if !fields.as_doc().is_empty() {
                out.push(section, fields);
            }
        }
        for (name, note) in &self.notes {
            if let (Note::Within(log), Some(branch)) = (note, after.branch(name)) {
                out.push(&format!("s{name}"), log.write(branch));
            }
        }
        out
    }

    fn write_array(&self, after: &Branch<'_>) -> DocBuf {
        let mut out = DocBuf::new();
        out.push("a", true);
        let mut notes: Vec<_> = self.notes.iter().collect();
        notes.sort_by_key(|(name, _)| super::tree::array_index(name));
        for (name, note) in notes {
            match note {
                Note::Within(log) => {
                    if let Some(branch) = after.branch(name) {
                        out.push(&format!("s{name}"), log.write(branch));
                    }
                }
                Note::Removed | Note::Updated | Note::Inserted => {
                    out.push_some(&format!("u{name}"), after.encoded(name));
                }
            }
        }
        out
    }
}
