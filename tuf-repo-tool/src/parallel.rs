//! The same work on many things, in several threads and in bounded memory.

use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use crate::storage::Storage;

/// Requests to a server at the same time.
const REQUESTS: usize = 16;

/// How many threads are worth while: a server is waited for, a disk is not.
pub(crate) fn threads(storage: &dyn Storage) -> usize {
    match storage.local() {
        Some(_) => thread::available_parallelism().map_or(1, std::num::NonZero::get),
        None => REQUESTS,
    }
}

/// Works on each of the items, and hands the results to `take` on this thread, in no order. A few of them are in memory
/// at a time.
///
/// # Errors
/// The first that `take` gives: nothing is begun any more then.
pub(crate) fn each<T: Send, R: Send, E>(
    threads: usize,
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> R + Sync,
    take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let items = Mutex::new(items);
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        let (sender, done) = mpsc::sync_channel(threads);
        for _ in 0..threads {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                while let Some(item) = next() {
                    if sender.send(work(item)).is_err() {
                        // Nobody takes it any more.
                        break;
                    }
                }
            });
        }
        drop(sender);
        done.into_iter().try_for_each(take)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_worked_on_once_and_nothing_is_begun_after_a_failure() {
        for threads in [1, 3, 16] {
            let mut done = Vec::new();
            let all: Result<(), ()> = each(
                threads,
                0..1000_u32,
                |n| n * 2,
                |n| {
                    done.push(n / 2);
                    Ok(())
                },
            );
            done.sort_unstable();
            assert_eq!((all, done), (Ok(()), (0..1000).collect()));
            let begun = Mutex::new(0_usize);
            let failed = each(threads, 0..1000_u32, |_| *begun.lock().unwrap() += 1, |()| Err("enough"));
            assert_eq!(failed, Err("enough"));
            assert!(*begun.lock().unwrap() <= 2 * threads + 2, "what was on its way, and no more");
        }
    }
}
