//! Repositories that were published by others, or by us before, taken over.

mod bucket;
mod damages;
mod peers;
