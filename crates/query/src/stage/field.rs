//! Reading and writing a dotted path of documents, without going into arrays.

use millstream_value::{Doc, DocBuf, Value};

/// The value at `path`.
pub(super) fn get<'a>(doc: Doc<'a>, path: &[String]) -> Option<Value<'a>> {
    let (last, holders) = path.split_last()?;
    let holder = holders.iter().try_fold(doc, |doc, name| doc.doc(name))?;
    holder.get(last)
}

/// `doc` with `value` at `path`, or without a field there. What is in the way and no document is replaced by one.
pub(super) fn with(doc: Doc<'_>, path: &[String], value: Option<&Value<'_>>) -> DocBuf {
    let mut out = DocBuf::with_capacity(doc.as_bytes().len());
    let Some((name, rest)) = path.split_first() else {
        return out;
    };
    let mut found = false;
    for element in doc.elements() {
        if found || element.key() != name {
            out.push_element(element);
            continue;
        }
        found = true;
        put(&mut out, name, element.as_doc().unwrap_or(Doc::empty()), rest, value);
    }
    if !found && value.is_some() {
        put(&mut out, name, Doc::empty(), rest, value);
    }
    out
}

fn put(out: &mut DocBuf, name: &str, holder: Doc<'_>, rest: &[String], value: Option<&Value<'_>>) {
    if rest.is_empty() {
        out.push_some(name, value.map(Value::borrowed));
    } else {
        out.push(name, with(holder, rest, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    #[test]
    fn paths_go_through_documents() {
        let before = millstream_value::from_bson_document(&doc! {"a": {"b": 1}, "c": [1]});
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(get(before.as_doc(), &path("a.b")), Some(Value::Int32(1)));
        assert_eq!(get(before.as_doc(), &path("c.0")), None);
        let set =
            |at: &str, value| millstream_value::to_bson_document(with(before.as_doc(), &path(at), value).as_doc());
        let two = Value::Int32(2);
        assert_eq!(set("a.b", Some(&two)), doc! {"a": {"b": 2}, "c": [1]});
        assert_eq!(set("a.b", None), doc! {"a": {}, "c": [1]});
        assert_eq!(set("x.y", Some(&two)), doc! {"a": {"b": 1}, "c": [1], "x": {"y": 2}});
        assert_eq!(set("x.y", None), doc! {"a": {"b": 1}, "c": [1]});
    }
}
