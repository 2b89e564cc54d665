//! Redis forgets what has changed: a product that is read again comes from the database.
//!
//! Forgetting twice does no harm, so at least once is enough. The position is in Redis as well: a Redis that has lost
//! everything has no stale products either.

use millstream_watch::{ChangeStreams, Event, RedisCheckpoint, Settings, SourceId};

use crate::{Error, Result, run_until_stopped};

pub(crate) async fn run(streams: &ChangeStreams, uri: &str) -> Result<()> {
    let redis = redis::Client::open(uri)?.get_multiplexed_async_connection().await?;
    let watch = streams
        .watch_collection("shop", "products")
        .operations(["update", "replace", "delete"])
        // Products do not wait for one another; those of one product stay in their order.
        .settings(Settings { concurrency: 8, ..Settings::default() });
    let source = SourceId::new(streams.connection(), watch.source());
    let handle = watch
        .checkpoint(RedisCheckpoint::new(uri, "cache-invalidation", source)?)
        .for_each(move |event: Event| {
            let mut redis = redis.clone();
            async move {
                let key = event.document_key().and_then(|key| key.get_i32("_id").ok()).unwrap_or_default();
                redis::cmd("DEL").arg(format!("product:{key}")).exec_async(&mut redis).await?;
                println!("forgot product:{key}");
                Ok::<_, Error>(())
            }
        })
        .await?;
    run_until_stopped(handle).await
}
