//! Schemas that a restore loads: how it marks them, and how those of one that was killed are found.
//!
//! The comment of such a schema names the connection of the process that loads it. The server ends that
//! connection with the process, however it ends, so one that is not there any more loads nothing.

use tokio_postgres::Client;

use crate::postgres::connect::SqlError;

/// The beginning of the comment.
const LOADED_BY: &str = "loaded by edgeseal restore, connection ";

/// What follows it: number and start of a connection. Numbers are used again.
const CONNECTION: &str = "active.pid || ' of ' || extract(epoch FROM active.backend_start)";

/// Creates an empty schema that this connection loads.
pub(super) async fn create(client: &Client, schema: &str) -> Result<(), SqlError> {
    let comment = comment(client, schema).await?;
    let create = format!("CREATE SCHEMA \"{schema}\"; {comment}");
    // One transaction, as several statements that are sent at once are.
    Ok(client.batch_execute(&create).await?)
}

/// Lets this connection go on with a schema that another one of this process has created.
pub(super) async fn take_over(client: &Client, schema: &str) -> Result<(), SqlError> {
    let comment = comment(client, schema).await?;
    Ok(client.batch_execute(&comment).await?)
}

async fn comment(client: &Client, schema: &str) -> Result<String, SqlError> {
    let select =
        format!("SELECT {CONNECTION} FROM pg_stat_activity active WHERE pid = pg_backend_pid()");
    let connection: String = client.query_one(&select, &[]).await?.try_get(0)?;
    Ok(format!(
        "COMMENT ON SCHEMA \"{schema}\" IS '{LOADED_BY}{connection}'"
    ))
}

/// The schemas with this prefix that nobody loads any more, and that this user may drop.
pub(super) async fn abandoned(client: &Client, prefix: &str) -> Result<Vec<String>, SqlError> {
    // The start of another user's connection may be hidden: then its number decides.
    let select = format!(
        "SELECT nspname::text FROM pg_namespace nsp
         CROSS JOIN LATERAL obj_description(nsp.oid, 'pg_namespace') AS comment
         WHERE starts_with(nspname::text, $1) AND starts_with(comment, '{LOADED_BY}')
             AND pg_has_role(nspowner, 'USAGE')
             AND NOT EXISTS (
                 SELECT FROM pg_stat_activity active
                 WHERE comment = '{LOADED_BY}' || {CONNECTION} OR active.backend_start IS NULL
                     AND starts_with(comment, '{LOADED_BY}' || active.pid || ' of '))"
    );
    let rows = client.query(&select, &[&prefix]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
