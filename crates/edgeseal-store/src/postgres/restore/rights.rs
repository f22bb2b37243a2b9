//! What others may do with a store: owner, rights and default privileges, carried over from the schema
//! that is replaced to the one that takes its place.
//!
//! Each right is granted by a statement of its own, so that one that cannot be granted is named and
//! takes none of the others with it.

use tokio_postgres::Client;

use crate::{copy::CopyStep, postgres::connect::SqlError};

/// Who has a right in `acl`.
const GRANTEE: &str = "CASE acl.grantee WHEN 0 THEN 'PUBLIC'
    ELSE quote_ident(pg_get_userbyid(acl.grantee)) END";
/// What follows, if they may pass it on.
const OPTION: &str = "CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END";

/// Default privileges in the schema $1, granted in $2: tables that are created there have them.
fn default_privileges() -> String {
    format!(
        "SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT %s ON %s TO %s%s',
             pg_get_userbyid(defaclrole), $2::text, acl.privilege_type,
             CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
                 WHEN 'f' THEN 'FUNCTIONS' ELSE 'TYPES' END, {GRANTEE}, {OPTION})
         FROM pg_default_acl CROSS JOIN LATERAL aclexplode(defaclacl) AS acl
         JOIN pg_namespace ON pg_namespace.oid = defaclnamespace WHERE nspname = $1"
    )
}

/// The owner of the schema $1, and the statements that give it the schema $2 and what is in it; nothing
/// if it has that already.
const OWNER: &str = "
    SELECT pg_get_userbyid(old.nspowner)::text,
        string_agg(format('ALTER %s OWNER TO %I', object.name, pg_get_userbyid(old.nspowner)), ';'
            ORDER BY object.place)
    FROM pg_namespace old JOIN pg_namespace new ON new.nspname = $2
    CROSS JOIN LATERAL (
        SELECT 1, format('SCHEMA %I', $2::text)
        UNION ALL
        SELECT 2, format('TABLE %I.%I', $2::text, relname) FROM pg_class
        WHERE relnamespace = new.oid AND relkind IN ('r', 'v')
        UNION ALL
        SELECT 3, format('FUNCTION %I.%I(%s)', $2::text, proname, oidvectortypes(proargtypes))
        FROM pg_proc WHERE pronamespace = new.oid) AS object (place, name)
    WHERE old.nspname = $1 AND old.nspowner <> new.nspowner
    GROUP BY old.nspowner";

/// Makes the rights in the schema $2 those of $1, of everything that is in both. What its owner may do
/// is not touched.
fn rights() -> String {
    format!(
        "WITH both_of AS (
             SELECT old.oid AS old, new.oid AS new FROM pg_namespace old, pg_namespace new
             WHERE old.nspname = $1 AND new.nspname = $2),
         object AS (
             SELECT format('SCHEMA %I', $2::text) AS name, new.nspowner AS owner,
                 coalesce(old.nspacl, acldefault('n', old.nspowner)) AS wanted,
                 coalesce(new.nspacl, acldefault('n', new.nspowner)) AS found
             FROM both_of JOIN pg_namespace old ON old.oid = both_of.old
             JOIN pg_namespace new ON new.oid = both_of.new
             UNION ALL
             SELECT format('TABLE %I.%I', $2::text, new.relname), new.relowner,
                 coalesce(old.relacl, acldefault('r', old.relowner)),
                 coalesce(new.relacl, acldefault('r', new.relowner))
             FROM both_of JOIN pg_class old ON old.relnamespace = both_of.old
             JOIN pg_class new ON new.relnamespace = both_of.new AND new.relname = old.relname
             WHERE old.relkind IN ('r', 'v')
             UNION ALL
             SELECT format('FUNCTION %I.%I(%s)', $2::text, new.proname,
                     oidvectortypes(new.proargtypes)), new.proowner,
                 coalesce(old.proacl, acldefault('f', old.proowner)),
                 coalesce(new.proacl, acldefault('f', new.proowner))
             FROM both_of JOIN pg_proc old ON old.pronamespace = both_of.old
             JOIN pg_proc new ON new.pronamespace = both_of.new AND new.proname = old.proname
                 AND oidvectortypes(new.proargtypes) = oidvectortypes(old.proargtypes)),
         statement (place, text) AS (
             SELECT DISTINCT 1, format('REVOKE ALL ON %s FROM %s', object.name, {GRANTEE})
             FROM object CROSS JOIN LATERAL aclexplode(found) AS acl
             WHERE wanted <> found AND acl.grantee <> owner
             UNION ALL
             SELECT 2, format('GRANT %s ON %s TO %s%s', acl.privilege_type, object.name,
                 {GRANTEE}, {OPTION})
             FROM object CROSS JOIN LATERAL aclexplode(wanted) AS acl
             WHERE wanted <> found AND acl.grantee <> owner
             UNION ALL
             SELECT 3, format('GRANT %s (%I) ON TABLE %I.%I TO %s%s', acl.privilege_type,
                 attname, $2::text, new.relname, {GRANTEE}, {OPTION})
             FROM both_of JOIN pg_class old ON old.relnamespace = both_of.old
             JOIN pg_class new ON new.relnamespace = both_of.new AND new.relname = old.relname
             JOIN pg_attribute ON attrelid = old.oid AND NOT attisdropped
             CROSS JOIN LATERAL aclexplode(attacl) AS acl
             WHERE acl.grantee <> new.relowner)
         SELECT text FROM statement ORDER BY place, text"
    )
}

/// Prepares an empty schema, so that what is created in it has the default privileges of another one.
pub(super) async fn prepare(
    client: &Client,
    schemas: (&str, &str),
    observe: &(dyn Fn(CopyStep) + Sync),
) -> Result<(), SqlError> {
    run(client, &default_privileges(), schemas, observe).await
}

/// Gives a schema the owner and the rights of another one.
pub(super) async fn carry_over(
    client: &Client,
    schemas: (&str, &str),
    observe: &(dyn Fn(CopyStep) + Sync),
) -> Result<(), SqlError> {
    if let Some(row) = client.query_opt(OWNER, &[&schemas.0, &schemas.1]).await? {
        let (owner, statements): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        if let Err(error) = client.batch_execute(&statements).await {
            let why = SqlError::from(error);
            let text = format!("the restored store does not belong to {owner}, as before: {why}");
            observe(CopyStep::Warning(text));
        }
    }
    run(client, &rights(), schemas, observe).await
}

/// Runs the statements that a query about two schemas returns.
async fn run(
    client: &Client,
    query: &str,
    (from, to): (&str, &str),
    observe: &(dyn Fn(CopyStep) + Sync),
) -> Result<(), SqlError> {
    for row in client.query(query, &[&from, &to]).await? {
        let statement: String = row.try_get(0)?;
        if let Err(error) = client.batch_execute(&statement).await {
            let why = SqlError::from(error);
            let text = format!("a right was not carried over: {statement}: {why}");
            observe(CopyStep::Warning(text));
        }
    }
    Ok(())
}
