//! What is staged for the next publish: targets by path, and edits of roles in the order they were made.
//!
//! Each transaction that stages takes the repository's next number and writes it into its rows. It holds the
//! repository's row until it ends, so that numbers become visible in their order: whoever looks at a [`Mark`] first and at
//! the rows then can later clear what it saw, and never what somebody staged meanwhile.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use futures_util::{Stream, StreamExt, TryStreamExt};
use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};
use tuf_core::canonical::to_wire;
use tuf_core::{Hashes, Json, RoleName, TargetFile, TargetPath};

use super::State;
use super::error::StateError;
use crate::publish::{Change, Changes};

/// Rows of one statement: enough to hide its cost. The driver for SQLite looks for each parameter among all of them.
const BATCH: usize = 100;

/// Everything staged up to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(i64);

/// An edit of a role that waits for the next publish. The database does not look into it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StagedEdit {
    /// The role.
    pub role: String,
    /// Where it stands among all edits of the repository; rises with time, with gaps.
    pub position: u64,
    /// What to do, in JSON.
    pub edit: String,
}

/// Targets that are being staged: visible together after [`Staging::commit`], or, dropped before, not at all. Takes
/// memory for one batch of rows, however many there are.
#[derive(Debug)]
pub struct Staging<'a> {
    state: &'a State,
    transaction: Transaction<'static, Any>,
    change: i64,
    /// By path: one statement must not name a row twice, and writers that go by one order do not wait in a ring.
    rows: BTreeMap<String, Row>,
    full_batch: String,
}

/// A staged target, but for its path: length and sha256 (none of them: it goes), custom data, and the role asked for.
#[derive(Debug)]
struct Row {
    length: Option<i64>,
    sha256: Option<String>,
    custom: Option<String>,
    role: Option<String>,
}

/// Nothing is staged while this lives: whoever wants to waits.
#[derive(Debug)]
pub struct Held {
    mark: Mark,
    transaction: Transaction<'static, Any>,
}

impl Held {
    /// How far staging has come.
    #[must_use]
    pub const fn mark(&self) -> Mark {
        self.mark
    }

    /// Lets the others go on.
    ///
    /// # Errors
    /// [`StateError`]; then the connection is lost, and they go on as well.
    pub async fn end(self, state: &State) -> Result<(), StateError> {
        self.transaction.rollback().await.map_err(|error| state.failed(error))
    }
}

impl Staging<'_> {
    /// Adds a change, which replaces what was staged for this path before.
    ///
    /// # Errors
    /// [`StateError`]; [`StateError::Unstageable`] for a file without sha256 or over 2^63 bytes.
    pub async fn push(&mut self, path: &TargetPath, change: &Change) -> Result<(), StateError> {
        let unstageable = |reason| StateError::Unstageable { path: path.as_str().to_owned(), reason };
        let role = change.role.as_ref().map(|role| role.as_str().to_owned());
        let row = match &change.file {
            None => Row { length: None, sha256: None, custom: None, role },
            Some(file) => {
                let length =
                    i64::try_from(file.length).map_err(|_| unstageable("its length is over 2^63 bytes"))?;
                let sum = file.hashes.sha256().ok_or_else(|| unstageable("it has no sha256"))?;
                let custom = file.custom.as_ref().map(|custom| to_wire(custom.as_canonical()).into_owned());
                Row { length: Some(length), sha256: Some(HEXLOWER.encode(sum)), custom, role }
            }
        };
        self.rows.insert(path.as_str().to_owned(), row);
        if self.rows.len() == BATCH { self.flush().await } else { Ok(()) }
    }

    /// Makes everything that was pushed visible to the next publish.
    ///
    /// # Errors
    /// [`StateError`]; then nothing of it is staged.
    pub async fn commit(mut self) -> Result<(), StateError> {
        self.flush().await?;
        self.transaction.commit().await.map_err(|error| self.state.failed(error))
    }

    async fn flush(&mut self) -> Result<(), StateError> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(());
        }
        let sql = if rows.len() == BATCH { self.full_batch.clone() } else { insert(rows.len()) };
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(self.state.repository).bind(self.change);
        for (path, row) in rows {
            query = query.bind(path).bind(row.length).bind(row.sha256).bind(row.custom).bind(row.role);
        }
        query.execute(&mut *self.transaction).await.map(drop).map_err(|error| self.state.failed(error))
    }
}

/// The statement that stages so many rows.
fn insert(rows: usize) -> String {
    let values: Vec<String> = (0..rows)
        .map(|row| 5 * row)
        .map(|n| format!("($1, ${}, ${}, ${}, ${}, ${}, $2)", n + 3, n + 4, n + 5, n + 6, n + 7))
        .collect();
    format!(
        "insert into tuf_staged_target (repository, path, length, sha256, custom, role, change) values {}
         on conflict (repository, path) do update
         set length = excluded.length, sha256 = excluded.sha256, custom = excluded.custom, role = excluded.role,
             change = excluded.change",
        values.join(", ")
    )
}

impl State {
    /// Begins to stage targets.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn staging(&self) -> Result<Staging<'_>, StateError> {
        let begun = async {
            let mut transaction = self.begin().await?;
            let change = self.next_change(&mut transaction).await?;
            Ok((transaction, change))
        };
        let (transaction, change) = begun.await.map_err(|error| self.failed(error))?;
        Ok(Staging { state: self, transaction, change, rows: BTreeMap::new(), full_batch: insert(BATCH) })
    }

    /// The number of a transaction that stages; from here to its end it is the only one.
    async fn next_change(&self, transaction: &mut Transaction<'static, Any>) -> Result<i64, sqlx::Error> {
        let next = "update tuf_repository set changes = changes + 1 where id = $1 returning changes";
        sqlx::query(next).bind(self.repository).fetch_one(&mut **transaction).await?.try_get("changes")
    }

    /// Adds changes to what is staged, all or none; a later change to a path replaces the earlier one.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn stage(&self, changes: &Changes) -> Result<(), StateError> {
        let mut staging = self.staging().await?;
        for (path, change) in changes.targets() {
            staging.push(path, change).await?;
        }
        staging.commit().await
    }

    /// How far staging has come. Taken before [`State::staged`] and [`State::edits`], it says what they have seen at least.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn mark(&self) -> Result<Mark, StateError> {
        let query = sqlx::query("select changes from tuf_repository where id = $1").bind(self.repository);
        let row = query.fetch_one(&self.pool).await.map_err(|error| self.failed(error))?;
        row.try_get("changes").map(Mark).map_err(|error| self.failed(error))
    }

    /// Keeps all others from staging, for a moment.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn hold(&self) -> Result<Held, StateError> {
        let held = async {
            let mut transaction = self.begin().await?;
            let lock = "update tuf_repository set changes = changes where id = $1 returning changes";
            let row = sqlx::query(lock).bind(self.repository).fetch_one(&mut *transaction).await?;
            Ok(Held { mark: Mark(row.try_get("changes")?), transaction })
        };
        held.await.map_err(|error| self.failed(error))
    }

    /// All targets that are staged.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn staged(&self) -> Result<Changes, StateError> {
        let mut changes = Changes::default();
        let mut rows = std::pin::pin!(self.staged_rows());
        while let Some((path, change)) = rows.try_next().await? {
            changes.change(path, change.file, change.role);
        }
        Ok(changes)
    }

    /// Everything that is staged by path, in the order of its bytes, row by row: as it was when this began, in memory that
    /// does not depend on its number.
    pub fn staged_rows(&self) -> impl Stream<Item = Result<(TargetPath, Change), StateError>> + Send + '_ {
        sqlx::query("select path, length, sha256, custom, role from tuf_staged_target where repository = $1 order by path")
            .bind(self.repository)
            .fetch(&self.pool)
            .map(|row| self.staged_row(&row.map_err(|error| self.failed(error))?))
    }

    fn staged_row(&self, row: &AnyRow) -> Result<(TargetPath, Change), StateError> {
        let text = |name: &str| row.try_get::<Option<String>, _>(name).map_err(|error| self.failed(error));
        let path: String = row.try_get("path").map_err(|error| self.failed(error))?;
        let length: Option<i64> = row.try_get("length").map_err(|error| self.failed(error))?;
        let damaged = |reason: &str| self.damaged_row(format!("staged target {path:?}"), reason);
        let mut file = match (length, text("sha256")?) {
            (None, None) => None,
            (Some(length), Some(sum)) => {
                let length = u64::try_from(length).map_err(|_| damaged("its length is negative"))?;
                let sum = HEXLOWER.decode(sum.as_bytes()).ok().and_then(|sum| <[u8; 32]>::try_from(sum).ok());
                let sum = sum.ok_or_else(|| damaged("its sha256 is not 64 hex digits"))?;
                Some(TargetFile::new(length, Hashes::sha256_only(sum)))
            }
            _ => return Err(damaged("it has a length or a sha256, and not both")),
        };
        if let (Some(file), Some(custom)) = (&mut file, text("custom")?) {
            file.custom = Some(Json::parse(custom.as_bytes()).map_err(|error| damaged(&error.to_string()))?);
        }
        let role = text("role")?.map(|role| RoleName::new(&role)).transpose();
        let role = role.map_err(|error| damaged(&error.to_string()))?;
        let path = TargetPath::new(&*path).map_err(|error| damaged(&error.to_string()))?;
        Ok((path, Change { file, role }))
    }

    /// Forgets staged changes of these paths.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn unstage(&self, paths: &[&TargetPath]) -> Result<(), StateError> {
        let run = async {
            let mut transaction = self.begin().await?;
            for paths in paths.chunks(BATCH) {
                let list: Vec<String> = (0..paths.len()).map(|n| format!("${}", n + 2)).collect();
                let sql = format!(
                    "delete from tuf_staged_target where repository = $1 and path in ({})",
                    list.join(", ")
                );
                let mut query = sqlx::query(AssertSqlSafe(sql)).bind(self.repository);
                for path in paths {
                    query = query.bind(path.as_str());
                }
                query.execute(&mut *transaction).await?;
            }
            transaction.commit().await
        };
        run.await.map_err(|error| self.failed(error))
    }

    /// Forgets staged targets that were published: those staged up to `mark`.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn clear_staged(&self, mark: Mark) -> Result<(), StateError> {
        self.clear("delete from tuf_staged_target where repository = $1 and change <= $2", mark).await
    }

    /// Adds an edit of a role to what is staged.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn stage_edit(&self, role: &str, edit: &str) -> Result<(), StateError> {
        let run = async {
            let mut transaction = self.begin().await?;
            let position = self.next_change(&mut transaction).await?;
            sqlx::query(
                "insert into tuf_staged_edit (repository, position, role, edit) values ($1, $2, $3, $4)",
            )
            .bind(self.repository)
            .bind(position)
            .bind(role)
            .bind(edit)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await
        };
        run.await.map_err(|error| self.failed(error))
    }

    /// All staged edits, in the order they were made.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn edits(&self) -> Result<Vec<StagedEdit>, StateError> {
        let query =
            "select role, position, edit from tuf_staged_edit where repository = $1 order by position";
        let rows = sqlx::query(query).bind(self.repository).fetch_all(&self.pool).await;
        let read = |row: AnyRow| {
            let position: i64 = row.try_get("position").map_err(|error| self.failed(error))?;
            let position = u64::try_from(position)
                .map_err(|error| self.damaged_row(format!("staged edit {position}"), error))?;
            let column = |name: &str| row.try_get(name).map_err(|error| self.failed(error));
            Ok(StagedEdit { role: column("role")?, position, edit: column("edit")? })
        };
        rows.map_err(|error| self.failed(error))?.into_iter().map(read).collect()
    }

    /// Forgets staged edits that were published: those made up to `mark`.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn clear_edits(&self, mark: Mark) -> Result<(), StateError> {
        self.clear("delete from tuf_staged_edit where repository = $1 and position <= $2", mark).await
    }

    /// Forgets the staged edits at these positions.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn unstage_edits(&self, positions: &[u64]) -> Result<(), StateError> {
        let run = async {
            let mut transaction = self.begin().await?;
            for position in positions {
                sqlx::query("delete from tuf_staged_edit where repository = $1 and position = $2")
                    .bind(self.repository)
                    .bind(i64::try_from(*position).unwrap_or(i64::MAX))
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await
        };
        run.await.map_err(|error| self.failed(error))
    }

    async fn clear(&self, delete: &'static str, mark: Mark) -> Result<(), StateError> {
        let cleared = sqlx::query(delete).bind(self.repository).bind(mark.0).execute(&self.pool).await;
        cleared.map(drop).map_err(|error| self.failed(error))
    }
}
