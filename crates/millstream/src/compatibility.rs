//! `millstream compatibility`: the page that says what of MongoDB is here, read off the program's own tables.

use std::fmt::Write;

use millstream_change::event::{Class, EVENT_TYPES, MadeBy};
use millstream_query::expression::{self, accumulator};
use millstream_query::stage::STAGES;
use millstream_query::{predicate, update};

/// The page in Markdown.
pub(crate) fn page() -> String {
    let mut out = String::from(
        "# Compatibility\n\n\
         What a MongoDB client finds here. This page is rendered from the program's own tables with\n\
         `cargo xtask compat --write`; do not edit it. Anything that is not listed is answered with MongoDB's own error.\n\n\
         The server reports version 8.0 and wire version 25, and shows itself as the primary of a replica set of one.\n",
    );
    section(&mut out, "Commands", "Every other name is `CommandNotFound` (59).");
    for (name, help) in millstream_server::commands() {
        line(&mut out, name, help);
    }
    section(&mut out, "Change events", "Expanded events need `showExpandedEvents`.");
    for event in EVENT_TYPES {
        let class = match (event.class, event.made_by) {
            (_, MadeBy::Definition(_)) => "of a view; expanded, on a database or everything",
            (Class::Classic, _) => "always shown",
            (Class::Expanded, _) => "expanded",
        };
        line(&mut out, event.name, class);
    }
    section(&mut out, "Stages", "Stages that MongoDB has and that are not built yet fail with `NotImplemented` (238).");
    for stage in STAGES.iter().filter(|stage| stage.built) {
        let places =
            [(stage.in_change_streams, "change streams"), (stage.in_updates, "updates"), (stage.in_facets, "`$facet`")];
        let places: Vec<&str> = places.iter().filter(|(here, _)| *here).map(|(_, place)| *place).collect();
        line(
            &mut out,
            stage.name,
            &if places.is_empty() { String::new() } else { format!("also in {}", places.join(", ")) },
        );
    }
    names(&mut out, "Stages not built", STAGES.iter().filter(|stage| !stage.built).map(|stage| stage.name));
    names(&mut out, "Query operators", predicate::operator_names());
    names(&mut out, "Update operators", update::operator_names());
    names(&mut out, "Expressions", expression::operator_names());
    names(&mut out, "Accumulators", accumulator::names());
    out
}

fn section(out: &mut String, title: &str, note: &str) {
    // Writing to a string cannot fail.
    let _ = write!(out, "\n## {title}\n\n{note}\n\n");
}

fn line(out: &mut String, name: &str, note: &str) {
    let _ = if note.is_empty() { writeln!(out, "- `{name}`") } else { writeln!(out, "- `{name}`: {note}") };
}

fn names<'n>(out: &mut String, title: &str, names: impl IntoIterator<Item = &'n str>) {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    let _ = write!(out, "\n## {title}\n\n{}\n", names.join(" "));
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_names_a_row_of_every_table() {
        let page = super::page();
        for name in ["findAndModify", "invalidate", "$match", "$elemMatch", "$inc", "$switch", "$push", "$merge"] {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
}
