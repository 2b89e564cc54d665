//! String literals without a type, which take that of what they meet (SQL-4.10).

use millstream_flow::Datum;

use super::{Context, cast, interval, json, number, time_text};

/// What a literal reads as, for each class.
pub(crate) struct Reading {
    pub(crate) text: Datum,
    number: Option<Datum>,
    boolean: Option<Datum>,
    instant: Option<Datum>,
    timestamp: Option<Datum>,
    date: Option<Datum>,
    object_id: Option<Datum>,
    uuid: Option<Datum>,
    bytes: Option<Datum>,
    interval: Option<Datum>,
    time: Option<Datum>,
    json: Option<Datum>,
}

impl Reading {
    pub(crate) fn new(text: &str, context: &Context) -> Self {
        let trimmed = text.trim();
        let boolean = match trimmed.to_ascii_lowercase().as_str() {
            "true" => Some(Datum::Bool(true)),
            "false" => Some(Datum::Bool(false)),
            _ => None,
        };
        Self {
            text: Datum::text(text),
            number: number::parse(trimmed),
            boolean,
            instant: time_text::instant(trimmed, &context.time_zone).ok(),
            timestamp: time_text::timestamp(trimmed).ok(),
            date: time_text::date(trimmed).ok(),
            object_id: cast::object_id(trimmed).map(Datum::ObjectId),
            uuid: cast::uuid(trimmed).map(|bytes| Datum::Binary(4, bytes.into())),
            bytes: trimmed
                .starts_with("\\x")
                .then(|| cast::bytes(trimmed))
                .flatten()
                .map(|it| Datum::Binary(0, it.into())),
            interval: interval::parse(trimmed).ok().map(Datum::Interval),
            time: time_text::time(trimmed).ok(),
            json: if trimmed.starts_with('[') || trimmed.starts_with('{') { json::parse(trimmed).ok() } else { None },
        }
    }

    /// Everything that it may be stored as.
    pub(crate) fn stored(&self) -> Vec<&Datum> {
        let forms = [&self.number, &self.boolean, &self.instant, &self.object_id, &self.uuid];
        [&self.text].into_iter().chain(forms.into_iter().flatten()).collect()
    }

    /// As a value of the class of `other`, or as text.
    pub(crate) fn as_met(&self, other: &Datum) -> &Datum {
        let read = match other {
            Datum::Int(_) | Datum::Long(_) | Datum::Double(_) | Datum::Decimal(_) => &self.number,
            Datum::Bool(_) => &self.boolean,
            Datum::Instant(_) => &self.instant,
            Datum::Timestamp(_) => &self.timestamp,
            Datum::Date(_) => &self.date,
            Datum::ObjectId(_) => &self.object_id,
            Datum::Binary(4, _) => &self.uuid,
            Datum::Binary(..) => &self.bytes,
            Datum::Interval(_) => &self.interval,
            Datum::Time(_) => &self.time,
            _ => &None,
        };
        read.as_ref().unwrap_or(&self.text)
    }

    /// As an interval, which is what is added to times.
    pub(crate) fn as_interval(&self) -> &Datum {
        self.interval.as_ref().unwrap_or(&self.text)
    }

    /// As a number.
    pub(crate) fn as_number(&self) -> &Datum {
        self.number.as_ref().unwrap_or(&self.text)
    }

    /// As JSON, where that is a document or an array.
    pub(crate) fn as_json(&self) -> &Datum {
        self.json.as_ref().unwrap_or(&self.text)
    }
}
