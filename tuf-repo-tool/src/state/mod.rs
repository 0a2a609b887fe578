//! The state database: what is staged for the next publish, what is known of the upstream, and who may publish.
//! All of it can be made again from the published metadata, the operator's changes and the upstream; losing it costs
//! time, not safety.
//!
//! It is an SQLite file unless `state` in `tuf-repo.toml` names a PostgreSQL database ([`StateUrl`]), which several machines
//! and several repositories can share. `specs/state.md` has the tables.

mod error;
mod lease;
mod pages;
mod schema;
mod staged;
pub mod suite;
mod url;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use ring::digest;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyConnection, AnyPool, ConnectOptions, Connection, Executor, Row, Transaction};
use tuf_client::durable::{self, Access};

use crate::error::Error;
use schema::Dialect;

pub use error::StateError;
pub use lease::{Lease, Right};
pub use pages::SeenPage;
pub use staged::{Held, Mark, StagedEdit, Staging};
pub use url::{StateUrl, StateUrlError};

/// How long a command waits for a connection. A server that restarts is back by then.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// How long to wait before a busy file is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// The state of one repository.
#[derive(Clone, Debug)]
pub struct State {
    pool: AnyPool,
    dialect: Dialect,
    place: Arc<str>,
    name: Arc<str>,
    /// The number of this repository in the database.
    repository: i64,
}

impl State {
    /// Opens the database at `url`, or the file `state.db` in `directory`, and brings its tables up to date. What is
    /// missing is created, but for the server and its database.
    ///
    /// # Errors
    /// [`Error::State`], [`Error::File`].
    pub async fn open(url: Option<&StateUrl>, directory: &Path) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        let (dialect, place, options, name) = match url {
            Some(url) => (
                Dialect::Postgres,
                url.to_string(),
                AnyConnectOptions::from_url(&url.driver_url()),
                url.repository(),
            ),
            None => {
                durable::create_dirs(directory, Access::Private)?;
                let file = directory.join("state.db");
                let options = sqlite_url(&file)?.parse::<AnyConnectOptions>();
                (Dialect::Sqlite, file.display().to_string(), options, url::DEFAULT_NAME)
            }
        };
        let place: Arc<str> = place.into();
        let failed = |source| StateError::new(&place, source);
        let options = options.map_err(failed)?.disable_statement_logging();
        // The pool would retry whatever goes wrong here until its time is over, and then say only that.
        let connecting = tokio::time::timeout(CONNECT_WITHIN, AnyConnection::connect_with(&options)).await;
        let mut connection = connecting.map_err(|_| failed(sqlx::Error::PoolTimedOut))?.map_err(failed)?;
        prepare(&mut connection, dialect).await.map_err(failed)?;
        let repository = schema::bring_up(&mut connection, dialect, &place, name).await?;
        connection.close().await.map_err(failed)?;
        let pool = AnyPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(CONNECT_WITHIN)
            .after_connect(move |connection, _| Box::pin(prepare(connection, dialect)))
            .connect_lazy_with(options);
        Ok(Self { pool, dialect, place, name: name.into(), repository })
    }

    /// Sees to it that this state is that of the repository with this `1.root.json`: two repositories that share a name
    /// would sign each other's targets.
    ///
    /// # Errors
    /// [`StateError::Foreign`], [`StateError::Failed`] and its like.
    pub async fn bind(&self, first_root: &[u8]) -> Result<(), StateError> {
        let expected = HEXLOWER.encode(digest::digest(&digest::SHA256, first_root).as_ref());
        let mut found = self.root().await.map_err(|error| self.failed(error))?;
        if found.is_none() {
            let first = sqlx::query("update tuf_repository set root = $2 where id = $1 and root is null");
            let first = first.bind(self.repository).bind(&expected).execute(&self.pool).await;
            first.map_err(|error| self.failed(error))?;
            found = self.root().await.map_err(|error| self.failed(error))?;
        }
        match found {
            Some(found) if found != expected => Err(self.foreign(expected, found)),
            _ => Ok(()),
        }
    }

    /// Sees to it that no repository has this state yet.
    ///
    /// # Errors
    /// [`StateError::Foreign`], [`StateError::Failed`] and its like.
    pub(crate) async fn must_be_free(&self) -> Result<(), StateError> {
        match self.root().await.map_err(|error| self.failed(error))? {
            None => Ok(()),
            Some(found) => Err(self.foreign("none yet".to_owned(), found)),
        }
    }

    fn foreign(&self, expected: String, found: String) -> StateError {
        StateError::Foreign { place: Arc::clone(&self.place), name: self.name.to_string(), expected, found }
    }

    async fn root(&self) -> Result<Option<String>, sqlx::Error> {
        let query = sqlx::query("select root from tuf_repository where id = $1").bind(self.repository);
        query.fetch_one(&self.pool).await?.try_get("root")
    }

    /// Where it is: the file, or the URL with its password masked.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Begins a transaction that will write.
    async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        self.pool.begin_with(self.dialect.begin()).await
    }

    fn failed(&self, source: sqlx::Error) -> StateError {
        StateError::new(&self.place, source)
    }

    /// A row that this program never writes.
    fn damaged_row(&self, row: String, reason: impl ToString) -> StateError {
        StateError::Row { place: Arc::clone(&self.place), row, reason: reason.to_string() }
    }
}

/// Tells a connection what every connection is told. SQLite does not wait for its turn to change the journal's mode, as it
/// does for every other lock: of several that open a new file at once, all but one are told that it is busy.
async fn prepare(connection: &mut AnyConnection, dialect: Dialect) -> Result<(), sqlx::Error> {
    let Some(pragmas) = dialect.prepare() else { return Ok(()) };
    let give_up = tokio::time::Instant::now() + CONNECT_WITHIN;
    loop {
        match connection.execute(pragmas).await {
            Err(sqlx::Error::Database(error))
                if error.code().as_deref() == Some("5") && tokio::time::Instant::now() < give_up =>
            {
                tokio::time::sleep(ASK_AGAIN).await;
            }
            done => return done.map(drop),
        }
    }
}

fn sqlite_url(file: &Path) -> Result<String, Error> {
    let absolute = std::path::absolute(file).map_err(|error| Error::io("find", file, error))?;
    let url = ::url::Url::from_file_path(&absolute).map_err(|()| {
        Error::io("find", file, std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a path"))
    })?;
    Ok(format!("sqlite://{}?mode=rwc", url.path()))
}
