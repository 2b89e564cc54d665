//! One stay of a process in a group: it renews its lease, sees the others, and ends those who do not renew theirs.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::coordination::{Coordination, Progress, View};
use super::lease::{Lease, Observed};
use crate::Result;

/// What a session has last learnt.
#[derive(Debug, Clone)]
pub(super) enum Sight {
    Nothing,
    View(Arc<View>),
    /// It did not renew in time, and the others have ended it.
    Expelled,
}

pub(super) struct Session {
    /// The member's name for this stay; the next one has another, so that nothing old is taken for new.
    pub(super) id: String,
    pub(super) lease: Arc<Lease>,
    pub(super) sights: watch::Receiver<Sight>,
    pub(super) progress: Arc<Mutex<Progress>>,
    task: JoinHandle<()>,
}

impl Session {
    pub(super) async fn join(
        coordination: &Coordination,
        name: &str,
        length: Duration,
        partitions: u32,
    ) -> Result<Self> {
        let id = format!("{name}:{:08x}", rand::random::<u32>());
        let sent = Instant::now();
        coordination.join(&id, length).await?;
        let lease = Arc::new(Lease::new(sent, length));
        let (tell, sights) = watch::channel(Sight::Nothing);
        let progress = Arc::new(Mutex::new(Progress::default()));
        let stay = Stay {
            coordination: coordination.clone(),
            id: id.clone(),
            lease: Arc::clone(&lease),
            progress: Arc::clone(&progress),
            partitions,
            tell,
        };
        Ok(Self { id, lease, sights, progress, task: tokio::spawn(stay.run()) })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Stay {
    coordination: Coordination,
    id: String,
    lease: Arc<Lease>,
    progress: Arc<Mutex<Progress>>,
    partitions: u32,
    tell: watch::Sender<Sight>,
}

impl Stay {
    async fn run(self) {
        tokio::select! {
            () = self.renew() => {}
            () = self.look() => {}
        }
        self.lease.end();
        self.tell.send_replace(Sight::Expelled);
    }

    /// Three times as often as necessary. Ends when the member is none any more.
    async fn renew(&self) {
        let length = self.lease.length();
        loop {
            let sent = Instant::now();
            let progress = self.progress.lock().clone();
            let pause = match timeout(length, self.coordination.renew(&self.id, &progress)).await {
                Ok(Ok(true)) => {
                    self.lease.renewed(sent);
                    length / 3
                }
                Ok(Ok(false)) => return,
                Ok(Err(error)) => {
                    tracing::warn!(member = %self.id, "the lease could not be renewed: {error}");
                    length / 12
                }
                Err(_) => length / 12,
            };
            sleep(pause).await;
        }
    }

    /// Looks at the others, twice a renewal, and just when one of them is overdue.
    async fn look(&self) {
        let length = self.lease.length();
        let mut observed = Observed::new(length / 2);
        loop {
            let began = Instant::now();
            let mut again = began + length / 6;
            match timeout(length, self.coordination.look(self.partitions)).await {
                Ok(Ok(view)) => {
                    let overdue = observed.look(Instant::now(), view.watched(&self.id, length));
                    let mut changed = false;
                    for member in overdue {
                        changed |= self.expel(&member.id, member.beat).await;
                    }
                    if changed {
                        continue;
                    }
                    self.tell.send_replace(Sight::View(Arc::new(view)));
                    let due = observed.next_due().map(|due| due.max(began + length / 60));
                    again = due.map_or(again, |due| due.min(again));
                }
                Ok(Err(error)) => tracing::debug!(member = %self.id, "the group could not be looked at: {error}"),
                Err(_) => {}
            }
            sleep_until(again).await;
        }
    }

    async fn expel(&self, member: &str, beat: Option<i64>) -> bool {
        match self.coordination.expel(member, beat).await {
            Ok(false) => false,
            Ok(true) => {
                tracing::warn!(by = %self.id, member, "a member has not renewed its lease, others take its partitions");
                true
            }
            Err(error) => {
                tracing::debug!(member, "a member that does not renew could not be removed: {error}");
                false
            }
        }
    }
}
