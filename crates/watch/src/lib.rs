//! The client library of change streams: sources, checkpoints, delivery
