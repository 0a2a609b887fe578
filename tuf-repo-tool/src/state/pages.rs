//! What is known of the upstream's pages.

use sqlx::Row;

use super::State;
use super::error::StateError;

/// What an upstream's page was when it was last mirrored: if it still is that, there is nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenPage {
    /// The upstream index.
    pub upstream: String,
    /// What was selected from the page.
    pub selection: String,
    /// The page's `ETag`.
    pub etag: String,
}

impl SeenPage {
    pub(crate) const fn new(upstream: String, selection: String, etag: String) -> Self {
        Self { upstream, selection, etag }
    }
}

impl State {
    /// What is known of a project's page upstream.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn seen_page(&self, project: &str) -> Result<Option<SeenPage>, StateError> {
        let read = async {
            let query =
                "select upstream, selection, etag from tuf_seen_page where repository = $1 and project = $2";
            let row =
                sqlx::query(query).bind(self.repository).bind(project).fetch_optional(&self.pool).await?;
            row.map(|row| {
                Ok(SeenPage::new(row.try_get("upstream")?, row.try_get("selection")?, row.try_get("etag")?))
            })
            .transpose()
        };
        read.await.map_err(|error| self.failed(error))
    }

    /// Remembers a project's page upstream, or forgets it.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn set_seen_page(&self, project: &str, page: Option<&SeenPage>) -> Result<(), StateError> {
        let query = match page {
            None => sqlx::query("delete from tuf_seen_page where repository = $1 and project = $2")
                .bind(self.repository)
                .bind(project),
            Some(page) => sqlx::query(
                "insert into tuf_seen_page (repository, project, upstream, selection, etag) values ($1, $2, $3, $4, $5)
                 on conflict (repository, project) do update
                 set upstream = excluded.upstream, selection = excluded.selection, etag = excluded.etag",
            )
            .bind(self.repository)
            .bind(project)
            .bind(&page.upstream)
            .bind(&page.selection)
            .bind(&page.etag),
        };
        query.execute(&self.pool).await.map(drop).map_err(|error| self.failed(error))
    }
}
