//! What the application of the demo writes.

use bson::{Document, doc};
use mongodb::Database;

/// One write, before it is done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Write {
    /// The collection.
    pub(crate) collection: &'static str,
    /// What to do to it.
    pub(crate) action: Action,
}

/// What a write does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    Insert(Document),
    Update { id: String, change: Document },
    Delete { id: String },
}

/// What was made up for a turn of the story.
const MODELS: &[&str] = &["churn", "fraud", "price", "demand"];

/// The story, turn by turn: a model is trained, its accuracy is measured, it goes live, it
/// answers, and old answers are deleted. `turn` counts from 0; equal turns are equal writes.
pub(crate) fn write(turn: u64) -> Write {
    let round = turn / STEPS;
    let number = usize::try_from(round).unwrap_or(0) % MODELS.len();
    let name = MODELS.get(number).copied().unwrap_or("churn");
    let version = round / 4 + 1;
    let model = format!("{name}-v{version}");
    let prediction = |n: u64| format!("{model}-{n}");
    let accuracy = 0.80 + (round % 17) as f64 / 100.0;
    match turn % STEPS {
        0 => insert("models", doc! {"_id": &model, "status": "training", "features": 24}),
        1 => insert("metrics", doc! {"_id": format!("{model}-accuracy"), "model": &model, "accuracy": accuracy}),
        2 => update("models", &model, doc! {"$set": {"status": "live", "accuracy": accuracy}}),
        step @ 3..=5 => {
            let score = ((round * 31 + step * 17) % 100) as f64 / 100.0;
            insert("predictions", doc! {"_id": prediction(step), "model": &model, "score": score})
        }
        6 => update("metrics", &format!("{model}-accuracy"), doc! {"$inc": {"predictions": 3}}),
        7 => update("predictions", &prediction(4), doc! {"$set": {"confirmed": true}}),
        _ => Write { collection: "predictions", action: Action::Delete { id: prediction(3) } },
    }
}

/// Writes in one round of the story.
const STEPS: u64 = 9;

impl Write {
    /// The `operationType` of its event.
    pub(crate) fn operation(&self) -> &'static str {
        match self.action {
            Action::Insert(_) => "insert",
            Action::Update { .. } => "update",
            Action::Delete { .. } => "delete",
        }
    }

    /// The call, as a person would write it.
    pub(crate) fn show(&self) -> String {
        let collection = self.collection;
        match &self.action {
            Action::Insert(document) => format!("{collection}.insertOne({})", json(document)),
            Action::Update { id, change } => format!("{collection}.updateOne({id}, {})", json(change)),
            Action::Delete { id } => format!("{collection}.deleteOne({id})"),
        }
    }

    /// Does it.
    pub(crate) async fn perform(&self, database: &Database) -> mongodb::error::Result<()> {
        let collection = database.collection::<Document>(self.collection);
        match &self.action {
            Action::Insert(document) => collection.insert_one(document).await.map(drop),
            Action::Update { id, change } => collection.update_one(doc! {"_id": id}, change.clone()).await.map(drop),
            Action::Delete { id } => collection.delete_one(doc! {"_id": id}).await.map(drop),
        }
    }
}

fn insert(collection: &'static str, document: Document) -> Write {
    Write { collection, action: Action::Insert(document) }
}

fn update(collection: &'static str, id: &str, change: Document) -> Write {
    Write { collection, action: Action::Update { id: id.to_owned(), change } }
}

fn json(document: &Document) -> String {
    bson::RawDocumentBuf::try_from(document)
        .map(|raw| millstream_watch::to_json(&raw, millstream_watch::JsonMode::Relaxed))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every write must make exactly one event: keys are new when inserted, there when changed.
    #[test]
    fn every_write_changes_something() {
        let mut there = BTreeSet::new();
        for turn in 0..2000 {
            let write = write(turn);
            match &write.action {
                Action::Insert(document) => {
                    let id = document.get_str("_id").unwrap().to_owned();
                    assert!(there.insert((write.collection, id)), "{turn}: {write:?}");
                }
                Action::Update { id, .. } => {
                    assert!(there.contains(&(write.collection, id.clone())), "{turn}: {write:?}");
                }
                Action::Delete { id } => {
                    assert!(there.remove(&(write.collection, id.clone())), "{turn}: {write:?}");
                }
            }
        }
    }

    #[test]
    fn writes_are_shown_as_calls() {
        assert_eq!(write(0).show(), r#"models.insertOne({"_id":"churn-v1","status":"training","features":24})"#);
        assert_eq!(write(8).show(), "predictions.deleteOne(churn-v1-3)");
        assert_eq!(write(8).operation(), "delete");
    }
}
