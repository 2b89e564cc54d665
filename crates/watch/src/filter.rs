//! Filters on the fields of documents, as the stage that the server applies.

use bson::{Bson, Document, doc};

use crate::Source;

/// What a field has to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition(Document);

/// Equal to a value.
pub fn eq(value: impl Into<Bson>) -> Condition {
    Condition(doc! {"$eq": value.into()})
}

/// Different from a value.
pub fn ne(value: impl Into<Bson>) -> Condition {
    Condition(doc! {"$ne": value.into()})
}

/// Greater than a value.
pub fn gt(value: impl Into<Bson>) -> Condition {
    Condition(doc! {"$gt": value.into()})
}

/// Greater than a value or equal to it.
pub fn gte(value: impl Into<Bson>) -> Condition {
    Condition(doc! {"$gte": value.into()})
}

/// Less than a value.
pub fn lt(value: impl Into<Bson>) -> Condition {
    Condition(doc! {"$lt": value.into()})
}

/// Less than a value or equal to it.
pub fn lte(value: impl Into<Bson>) -> Condition {
    Condition(doc! {"$lte": value.into()})
}

/// One of several values.
pub fn one_of<T: Into<Bson>>(values: impl IntoIterator<Item = T>) -> Condition {
    Condition(doc! {"$in": values.into_iter().map(Into::into).collect::<Vec<Bson>>()})
}

/// There, or not there.
pub fn exists(there: bool) -> Condition {
    Condition(doc! {"$exists": there})
}

impl Source {
    /// Only events whose `fullDocument` has such a field. Updates have that document only with a
    /// [`FullDocumentMode`](crate::FullDocumentMode), deletions never.
    #[must_use]
    pub fn where_field(mut self, path: &str, condition: Condition) -> Self {
        let mut filter = Document::new();
        filter.insert(format!("fullDocument.{path}"), condition.0);
        self.pipeline.push(doc! {"$match": filter});
        self
    }

    /// Only events for which an expression is true.
    #[must_use]
    pub fn where_expr(mut self, expression: impl Into<Bson>) -> Self {
        self.pipeline.push(doc! {"$match": {"$expr": expression.into()}});
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scope;

    #[test]
    fn filters_become_stages_in_their_order() {
        let source = Source::new(Scope::Cluster)
            .where_field("status", eq("paid"))
            .where_field("total", gte(10))
            .where_field("kind", one_of(["a", "b"]))
            .where_expr(doc! {"$gt": ["$fullDocument.a", "$fullDocument.b"]});
        assert_eq!(
            source.full_pipeline(),
            [
                doc! {"$match": {"fullDocument.status": {"$eq": "paid"}}},
                doc! {"$match": {"fullDocument.total": {"$gte": 10}}},
                doc! {"$match": {"fullDocument.kind": {"$in": ["a", "b"]}}},
                doc! {"$match": {"$expr": {"$gt": ["$fullDocument.a", "$fullDocument.b"]}}},
            ]
        );
    }
}
