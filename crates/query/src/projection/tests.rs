//! What projections make of documents, by example.
