//! Mirroring PyPI, or any index that speaks the Simple Repository API.

mod files;
pub mod pip_settings;
pub mod select;
mod sync;
mod upstream;
pub mod wheel_metadata;

pub use sync::{Event, Progress, ProjectReport, Report, sync};
pub(crate) use sync::{MAX_PAGE, project_of};
pub use upstream::{Upstream, UpstreamError};
