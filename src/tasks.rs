//! Work beside the loop, on its thread. tokio makes the code of a task anew for each future, 4 kB each time (docs/performance.md): here all are of one kind.

use std::pin::Pin;

use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, LocalSet};

/// Work whose kind nobody needs to know.
pub type Task<'t> = Pin<Box<dyn Future<Output = ()> + 't>>;

/// Begins it, inside of [`block_on`].
pub fn spawn(work: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
    spawn_task(boxed(work))
}

#[inline(never)]
fn spawn_task(task: Task<'static>) -> JoinHandle<()> {
    tokio::task::spawn_local(task)
}

pub fn boxed<'t>(work: impl Future<Output = ()> + 't) -> Task<'t> {
    Box::pin(work)
}

/// Until it holds, which is looked at now and whenever all who wait for `changed` are notified.
pub async fn until(changed: &Notify, holds: impl Fn() -> bool) {
    loop {
        let mut notified = std::pin::pin!(changed.notified());
        notified.as_mut().enable();
        if holds() {
            return;
        }
        notified.await;
    }
}

/// Until it ends, with what it begins in `local`.
pub fn block_on<T>(runtime: &Runtime, local: &LocalSet, work: impl Future<Output = T>) -> T {
    let mut result = None;
    let task = boxed(async { result = Some(work.await) });
    block_on_task(runtime, local, task);
    result.expect("it has ended")
}

#[inline(never)]
fn block_on_task(runtime: &Runtime, local: &LocalSet, task: Task<'_>) {
    local.block_on(runtime, task);
}
