//! A JSON object, written field by field: the parts of an event go in as the text that they are already.

/// An object that grows.
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Self {
        Self("{".to_owned())
    }

    /// A field whose value is JSON already.
    pub(super) fn json(mut self, name: &str, value: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&text(name));
        self.0.push(':');
        self.0.push_str(value);
        self
    }

    /// The same, or null.
    pub(super) fn json_or_null(self, name: &str, value: Option<&str>) -> Self {
        self.json(name, value.unwrap_or("null"))
    }

    /// A text.
    pub(super) fn text(self, name: &str, value: &str) -> Self {
        self.json(name, &text(value))
    }

    /// A text, or null.
    pub(super) fn text_or_null(self, name: &str, value: Option<&str>) -> Self {
        self.json_or_null(name, value.map(text).as_deref())
    }

    /// A whole number.
    pub(super) fn number(self, name: &str, value: i64) -> Self {
        self.json(name, &value.to_string())
    }

    /// The whole object.
    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_separated_and_texts_escaped() {
        let object = Object::new().text("a\"b", "c\n").number("n", -1).text_or_null("x", None).json("d", "[1]");
        assert_eq!(object.end(), r#"{"a\"b":"c\n","n":-1,"x":null,"d":[1]}"#);
        assert_eq!(Object::new().end(), "{}");
    }
}
