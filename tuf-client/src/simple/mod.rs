//! The Simple Repository API: project pages, read and written.
//!
//! Two page types, on purpose. [`Page`] is what some upstream index said: lenient, because indexes differ
//! in what they tell (PEP 503, 592, 629, 658, 691, 700, 714, 792). [`SignedPage`] is what a mirror signed:
//! strict, because an installer takes the hashes and sizes of files from it and nothing else vouches for
//! them. There is no way to make a [`SignedPage`] that [`SignedPage::parse`] would refuse.
//!
//! Nothing here does I/O, resolves a URL or knows about TUF metadata.

mod error;
mod filename;
mod html;
mod json;
mod name;
mod page;
mod render;
mod sha256;
mod signed;

#[cfg(test)]
mod tests;

pub use error::PageError;
pub use filename::{DistFile, DistKind, FileNameError};
pub use name::{NameError, ProjectName};
pub use page::{
    CoreMetadata, MAX_FILES, MAX_PAGE_BYTES, MAX_TEXT_BYTES, Page, PageFile, QUARANTINED, Yanked,
};
pub use render::API_VERSION;
pub use sha256::{Sha256, Sha256Error};
pub use signed::{Layout, SignedFile, SignedPage};
