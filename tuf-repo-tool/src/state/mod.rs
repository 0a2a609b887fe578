//! The state database: what is staged for the next publish, and what is known of the upstream. All of it
//! can be made again from the published metadata and the upstream; losing it costs time, not safety.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, Executor, Row};
use tuf_client::durable::{self, Access};
use tuf_core::{Hashes, TargetFile, TargetPath};

use crate::error::Error;
use crate::publish::Changes;

/// One SQL for SQLite and PostgreSQL.
const SCHEMA: &str = "
    create table if not exists staged (path text primary key, length bigint, sha256 text);
    create table if not exists page (project text primary key, upstream text not null, selection text not null, etag text not null);
";

/// The state of one repository.
#[derive(Clone, Debug)]
pub struct State {
    pool: AnyPool,
    path: PathBuf,
}

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
    /// Opens the database in `directory`, which is created if missing.
    ///
    /// # Errors
    /// [`Error::State`], [`Error::File`].
    pub async fn open(directory: &Path) -> Result<Self, Error> {
        durable::create_dirs(directory, Access::Private)?;
        let path = directory.join("state.db");
        let failed = |source| Error::State { path: path.clone(), source };
        sqlx::any::install_default_drivers();
        let url =
            url::Url::from_file_path(std::path::absolute(&path).map_err(|e| Error::io("find", &path, e))?)
                .map_err(|()| failed(sqlx::Error::PoolClosed))?;
        let url = format!("sqlite://{}?mode=rwc", url.path());
        let pool = AnyPoolOptions::new().max_connections(1).connect(&url).await.map_err(failed)?;
        pool.execute(SCHEMA).await.map_err(failed)?;
        Ok(Self { pool, path })
    }

    fn failed(&self, source: sqlx::Error) -> Error {
        Error::State { path: self.path.clone(), source }
    }

    /// Adds changes to what is staged; a later change to a path replaces the earlier one.
    ///
    /// # Errors
    /// [`Error::State`].
    pub async fn stage(&self, changes: &Changes) -> Result<(), Error> {
        let run = async {
            let mut transaction = self.pool.begin().await?;
            for (path, file) in changes.iter() {
                sqlx::query(
                    "insert into staged (path, length, sha256) values ($1, $2, $3)
                     on conflict (path) do update set length = excluded.length, sha256 = excluded.sha256",
                )
                .bind(path.as_str())
                .bind(file.and_then(|file| i64::try_from(file.length).ok()))
                .bind(file.and_then(|file| file.hashes.sha256()).map(|sum| HEXLOWER.encode(sum)))
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await
        };
        run.await.map_err(|error| self.failed(error))
    }

    /// Everything that is staged.
    ///
    /// # Errors
    /// [`Error::State`].
    pub async fn staged(&self) -> Result<Changes, Error> {
        let rows = sqlx::query("select path, length, sha256 from staged order by path")
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        let mut changes = Changes::default();
        for row in rows {
            let read = || -> Result<_, sqlx::Error> {
                let path: String = row.try_get("path")?;
                let path = TargetPath::new(path).map_err(|error| sqlx::Error::Decode(error.into()))?;
                let length: Option<i64> = row.try_get("length")?;
                let sha256: Option<String> = row.try_get("sha256")?;
                let sum = sha256
                    .and_then(|hex| HEXLOWER.decode(hex.as_bytes()).ok())
                    .and_then(|sum| <[u8; 32]>::try_from(sum).ok());
                let length = length.and_then(|length| u64::try_from(length).ok());
                Ok((
                    path,
                    length.zip(sum).map(|(length, sum)| TargetFile::new(length, Hashes::sha256_only(sum))),
                ))
            };
            match read().map_err(|error| self.failed(error))? {
                (path, Some(file)) => changes.set(path, file),
                (path, None) => changes.remove(path),
            }
        }
        Ok(changes)
    }

    /// Forgets staged changes of these paths.
    ///
    /// # Errors
    /// [`Error::State`].
    pub async fn unstage(&self, paths: &[&TargetPath]) -> Result<(), Error> {
        let run = async {
            let mut transaction = self.pool.begin().await?;
            for path in paths {
                sqlx::query("delete from staged where path = $1")
                    .bind(path.as_str())
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await
        };
        run.await.map_err(|error| self.failed(error))
    }

    /// Forgets staged changes that were published.
    ///
    /// # Errors
    /// [`Error::State`].
    pub async fn clear_staged(&self) -> Result<(), Error> {
        let cleared = self.pool.execute("delete from staged").await;
        cleared.map(drop).map_err(|error| self.failed(error))
    }

    /// What is known of a project's page upstream.
    ///
    /// # Errors
    /// [`Error::State`].
    pub async fn seen_page(&self, project: &str) -> Result<Option<SeenPage>, Error> {
        let read = async {
            let row = sqlx::query("select upstream, selection, etag from page where project = $1")
                .bind(project)
                .fetch_optional(&self.pool)
                .await?;
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
    /// [`Error::State`].
    pub async fn set_seen_page(&self, project: &str, page: Option<&SeenPage>) -> Result<(), Error> {
        let query = match page {
            None => sqlx::query("delete from page where project = $1").bind(project),
            Some(page) => sqlx::query(
                "insert into page (project, upstream, selection, etag) values ($1, $2, $3, $4)
                 on conflict (project) do update
                 set upstream = excluded.upstream, selection = excluded.selection, etag = excluded.etag",
            )
            .bind(project)
            .bind(&page.upstream)
            .bind(&page.selection)
            .bind(&page.etag),
        };
        query.execute(&self.pool).await.map(drop).map_err(|error| self.failed(error))
    }
}
