//! The tables, and how a database gets them: `specs/state.md` says what is in them.

use std::sync::Arc;

use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor, Row};

use super::error::StateError;

/// The newest schema that this program knows, and the one it writes.
pub(super) const KNOWN: i64 = 3;

/// What the two databases do not say alike. Everything else is one SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The file in `state/`.
    Sqlite,
    /// A server.
    Postgres,
}

impl Dialect {
    /// How a transaction begins that will write.
    pub(super) const fn begin(self) -> &'static str {
        match self {
            // A transaction that begins by reading cannot wait for its turn to write.
            Self::Sqlite => "begin immediate",
            Self::Postgres => "begin",
        }
    }

    /// The database's clock, in milliseconds since 1970: now, not when the transaction began.
    pub(super) const fn now(self) -> &'static str {
        match self {
            Self::Sqlite => "cast((julianday('now') - 2440587.5) * 86400000 as bigint)",
            Self::Postgres => "cast(extract(epoch from clock_timestamp()) * 1000 as bigint)",
        }
    }

    /// Text that is compared and sorted by its bytes, as Rust does.
    const fn bytewise(self) -> &'static str {
        match self {
            Self::Sqlite => "text",
            Self::Postgres => "text collate \"C\"",
        }
    }

    /// Makes a table its own index.
    const fn clustered(self) -> &'static str {
        match self {
            Self::Sqlite => " without rowid",
            Self::Postgres => "",
        }
    }

    /// How many tables of ours there are that tell the schema: none or one.
    const fn has_schema(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "select count(*) as n from sqlite_master where type = 'table' and name = 'tuf_schema'"
            }
            Self::Postgres => "select count(*) as n from pg_class where oid = to_regclass('tuf_schema')",
        }
    }

    /// What each connection is told first.
    pub(super) const fn prepare(self) -> Option<&'static str> {
        match self {
            // Readers go on while a writer writes; 64 MiB of pages bound the memory of a bulk load, in which SQLite would
            // else write each page that a statement may have to undo into a file.
            Self::Sqlite => Some(
                "pragma busy_timeout = 30000; pragma journal_mode = wal; pragma synchronous = full; pragma cache_size = -65536; pragma temp_store = memory",
            ),
            Self::Postgres => None,
        }
    }
}

/// Schema 1: the file before it knew its version. PostgreSQL never had it.
const SCHEMA_1: &str = "
    create table if not exists staged (path text primary key, length bigint, sha256 text);
    create table if not exists page (project text primary key, upstream text not null, selection text not null, etag text not null);
";

/// Everything of schema 1 becomes the state of the repository `default`.
const FROM_1_TO_2: &str = "
    insert into tuf_repository (id, name, changes) values (1, 'default', 1);
    insert into tuf_staged_target (repository, path, length, sha256, change) select 1, path, length, sha256, 1 from staged;
    insert into tuf_seen_page (repository, project, upstream, selection, etag) select 1, project, upstream, selection, etag from page;
    drop table staged;
    drop table page;
";

fn schema_2(dialect: Dialect) -> String {
    let (text, clustered) = (dialect.bytewise(), dialect.clustered());
    format!(
        "create table tuf_repository (id bigint primary key, name text not null unique, root text, changes bigint not null);
         create table tuf_staged_target (
             repository bigint not null references tuf_repository (id),
             path {text} not null, length bigint, sha256 text, custom text, role text, change bigint not null,
             primary key (repository, path)){clustered};
         create table tuf_staged_edit (
             repository bigint not null references tuf_repository (id),
             position bigint not null, role text not null, edit text not null,
             primary key (repository, position));
         create table tuf_seen_page (
             repository bigint not null references tuf_repository (id),
             project {text} not null, upstream text not null, selection text not null, etag text not null,
             primary key (repository, project));
         create table tuf_lease (
             repository bigint primary key references tuf_repository (id),
             fence bigint not null, holder text not null, expires bigint not null,
             announced bigint not null, timestamp text);
         create table tuf_schema (version bigint not null);
         insert into tuf_schema (version) values (2);"
    )
}

/// A repository has more than one lease: the one that it had is the publisher's.
const FROM_2_TO_3: &str = "
    create table tuf_lease_3 (
        repository bigint not null references tuf_repository (id), name text not null,
        fence bigint not null, holder text not null, expires bigint not null,
        announced bigint not null, timestamp text,
        primary key (repository, name));
    insert into tuf_lease_3 (repository, name, fence, holder, expires, announced, timestamp)
        select repository, 'publish', fence, holder, expires, announced, timestamp from tuf_lease;
    drop table tuf_lease;
    alter table tuf_lease_3 rename to tuf_lease;
    update tuf_schema set version = 3;
";

/// Brings the database to [`KNOWN`], and returns the number of the repository with this name, which it gets now if it
/// has none. Takes no lock where there is nothing to do.
pub(super) async fn bring_up(
    connection: &mut AnyConnection,
    dialect: Dialect,
    place: &Arc<str>,
    name: &str,
) -> Result<i64, StateError> {
    let failed = |source| StateError::new(place, source);
    if version(connection, dialect, place).await? == Some(KNOWN)
        && let Some(id) = repository(connection, name).await.map_err(failed)?
    {
        return Ok(id);
    }
    let mut transaction = connection.begin_with(dialect.begin()).await.map_err(failed)?;
    if dialect == Dialect::Postgres {
        // Of several that come first together, one makes the tables. Ends with the transaction.
        let locked = "select count(*) as n from pg_advisory_xact_lock(6075990427)";
        transaction.execute(locked).await.map_err(failed)?;
    }
    let version = version(&mut transaction, dialect, place).await?;
    upgrade(&mut transaction, dialect, version).await.map_err(failed)?;
    let insert = "insert into tuf_repository (id, name, changes)
        select coalesce(max(id), 0) + 1, $1, 0 from tuf_repository where true on conflict (name) do nothing";
    sqlx::query(insert).bind(name).execute(&mut *transaction).await.map_err(failed)?;
    let id = repository(&mut transaction, name).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    id.ok_or_else(|| failed(sqlx::Error::RowNotFound))
}

/// The schema of the database; none before it has tables, or in a file of schema 1.
async fn version(
    connection: &mut AnyConnection,
    dialect: Dialect,
    place: &Arc<str>,
) -> Result<Option<i64>, StateError> {
    let failed = |source| StateError::new(place, source);
    let row = connection.fetch_one(dialect.has_schema()).await.map_err(failed)?;
    if row.try_get::<i64, _>("n").map_err(failed)? == 0 {
        return Ok(None);
    }
    let row = connection.fetch_one("select version from tuf_schema").await.map_err(failed)?;
    let found = row.try_get("version").map_err(failed)?;
    if found > KNOWN {
        return Err(StateError::Newer { place: Arc::clone(place), found, known: KNOWN });
    }
    Ok(Some(found))
}

async fn upgrade(
    connection: &mut AnyConnection,
    dialect: Dialect,
    version: Option<i64>,
) -> Result<(), sqlx::Error> {
    if version.is_none() {
        connection.execute(AssertSqlSafe(schema_2(dialect))).await?;
        if dialect == Dialect::Sqlite {
            connection.execute(SCHEMA_1).await?;
            connection.execute(FROM_1_TO_2).await?;
        }
    }
    if version.is_none_or(|version| version < KNOWN) {
        connection.execute(FROM_2_TO_3).await?;
    }
    Ok(())
}

async fn repository(connection: &mut AnyConnection, name: &str) -> Result<Option<i64>, sqlx::Error> {
    let found = sqlx::query("select id from tuf_repository where name = $1").bind(name);
    found.fetch_optional(connection).await?.map(|row| row.try_get("id")).transpose()
}
