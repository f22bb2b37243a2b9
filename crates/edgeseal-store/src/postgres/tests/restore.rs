//! What a restore carries over besides the records, and what it removes.

use std::sync::Mutex;

use super::*;
use crate::{
    copy::CopyStep,
    sqlite::{SqliteSource, StoreBackup},
};

/// The user that owns the stores, and one that reads them.
const OWNER: &str = "restore_owner";
const READER: &str = "restore_reader";

/// A store's schema and the users of these tests.
struct World {
    server: Arc<PostgresServer>,
    schema: String,
    files: tempfile::TempDir,
}

impl World {
    /// With a store of the owner, which has one record.
    async fn new(schema: &str) -> Self {
        let world = Self {
            server: PostgresServer::shared(),
            schema: schema.to_owned(),
            files: tempfile::tempdir().unwrap(),
        };
        let roles = format!(
            "DO $$ BEGIN
                 CREATE ROLE {OWNER} LOGIN; CREATE ROLE {READER} LOGIN;
                 GRANT CREATE ON DATABASE postgres TO {OWNER};
             EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
             END $$"
        );
        world.run_as("edgeseal", &roles).await;
        let store = open_url(&world.url(OWNER)).await;
        commit(&store, [put("d/a", "1")]).await;
        world
    }

    fn url(&self, user: &str) -> String {
        let url = self.server.url(&self.schema);
        url.replace("edgeseal@", &format!("{user}@"))
    }

    async fn session(&self, user: &str) -> connect::Session {
        let url = self.url(user).parse().unwrap();
        Connector::new(url).unwrap().connect().await.unwrap()
    }

    async fn run_as(&self, user: &str, sql: &str) {
        let session = self.session(user).await;
        let done = session.client.batch_execute(sql).await;
        done.unwrap_or_else(|error| panic!("{sql}: {}", connect::SqlError::from(error)));
    }

    /// A text that the superuser reads.
    async fn read(&self, sql: &str) -> Option<String> {
        let session = self.session("edgeseal").await;
        let row = session.client.query_one(sql, &[]).await.unwrap();
        row.get(0)
    }

    async fn back_up(&self) -> SqliteSource {
        let source = PostgresCopy::snapshot(self.url(OWNER).parse().unwrap()).await;
        let file = self.files.path().join("backup.db");
        let copied = StoreBackup::of_database(&source.unwrap(), &file, &|_| {}).await;
        copied.unwrap().persist(&file).unwrap();
        SqliteSource::backup(&file).unwrap()
    }

    /// Restores a backup as this user; returns the schema that holds what was there, and warnings.
    async fn restore(&self, user: &str, backup: &SqliteSource) -> (Option<String>, Vec<String>) {
        let warnings = Mutex::new(Vec::new());
        let observe = |step| {
            if let CopyStep::Warning(text) = step {
                warnings.lock().unwrap().push(text);
            }
        };
        let url = self.url(user).parse().unwrap();
        // The connections of stores that were dropped end a moment later.
        let options = RestoreOptions {
            replace: true,
            live: true,
        };
        let restored = restore(&url, backup, options, now(), &observe).await;
        (restored.unwrap(), warnings.into_inner().unwrap())
    }

    /// Owner and rights of everything in a schema.
    async fn rights(&self, schema: &str) -> Vec<String> {
        let sql = format!(
            "WITH ns AS (SELECT * FROM pg_namespace WHERE nspname = '{schema}'),
             line (text) AS (
                 SELECT 'schema ' || right_::text FROM ns, unnest(nspacl) AS right_
                 UNION ALL
                 SELECT relname || ' ' || right_::text FROM ns
                 JOIN pg_class ON relnamespace = ns.oid,
                     unnest(coalesce(relacl, acldefault('r', relowner))) AS right_
                 WHERE relkind IN ('r', 'v')
                 UNION ALL
                 SELECT relname || '.' || attname || ' ' || right_::text FROM ns
                 JOIN pg_class ON relnamespace = ns.oid JOIN pg_attribute ON attrelid = pg_class.oid,
                     unnest(attacl) AS right_
                 UNION ALL
                 SELECT proname || ' ' || right_::text FROM ns JOIN pg_proc ON pronamespace = ns.oid,
                     unnest(coalesce(proacl, acldefault('f', proowner))) AS right_
                 UNION ALL
                 SELECT concat_ws(' ', 'default', defaclrole::regrole, defaclobjtype, right_)
                 FROM ns JOIN pg_default_acl ON defaclnamespace = ns.oid, unnest(defaclacl) AS right_)
             SELECT string_agg(text, E'\\n' ORDER BY text) FROM line"
        );
        let found = self.read(&sql).await.unwrap();
        found.lines().map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_in_a_schema_are_carried_over_by_a_restore() {
    let world = World::new("rights").await;
    world
        .run_as(
            OWNER,
            &format!(
                "GRANT USAGE ON SCHEMA rights TO {READER};
                 GRANT SELECT ON audit TO {READER};
                 GRANT SELECT, TRIGGER ON history TO {READER} WITH GRANT OPTION;
                 GRANT SELECT (key, changed) ON entry TO PUBLIC;
                 REVOKE EXECUTE ON FUNCTION sweep_1 FROM PUBLIC;
                 GRANT EXECUTE ON FUNCTION sweep_1 TO {READER};
                 ALTER DEFAULT PRIVILEGES IN SCHEMA rights GRANT SELECT ON TABLES TO {READER};"
            ),
        )
        .await;
    // What the owner may not set.
    let of_another = "ALTER DEFAULT PRIVILEGES IN SCHEMA rights GRANT DELETE ON TABLES TO PUBLIC";
    world.run_as("edgeseal", of_another).await;
    let backup = world.back_up().await;
    let (aside, warnings) = world.restore(OWNER, &backup).await;
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}")
    };
    let lost = "a right was not carried over: ALTER DEFAULT PRIVILEGES FOR ROLE edgeseal";
    assert!(warning.starts_with(lost), "{warning}");

    let mut wanted = world.rights(&aside.unwrap()).await;
    wanted.retain(|right| !right.starts_with("default edgeseal "));
    assert_eq!(world.rights("rights").await, wanted);
    let of_reader = wanted.iter().filter(|right| right.contains(READER));
    assert_eq!(of_reader.count(), 5, "{wanted:?}");
    world.run_as(READER, "SELECT FROM rights.audit").await;
    // And again: nothing of the first restore remains.
    let (_, warnings) = world.restore(OWNER, &backup).await;
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(world.rights("rights").await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_an_administrator_restores_stays_its_owner_s() {
    let world = World::new("owned").await;
    let backup = world.back_up().await;
    let (aside, warnings) = world.restore("edgeseal", &backup).await;
    assert_eq!(warnings, Vec::<String>::new());
    let wanted = world.rights(&aside.unwrap()).await;
    assert_eq!(world.rights("owned").await, wanted);
    let owner = "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'owned'";
    assert_eq!(world.read(owner).await.as_deref(), Some(OWNER));
    let store = open_url(&world.url(OWNER)).await;
    commit(&store, [put("d/b", "1")]).await;
    let keys: Vec<String> = state(&store).await.into_keys().collect();
    assert_eq!(keys, ["d/a", "d/b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_schema_keeps_what_the_operator_has_prepared() {
    let world = World::new("prepared").await;
    let backup = world.back_up().await;
    let prepare = format!(
        "DROP SCHEMA prepared CASCADE;
         CREATE SCHEMA prepared AUTHORIZATION {OWNER};
         GRANT USAGE ON SCHEMA prepared TO {READER};
         ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA prepared
             GRANT SELECT ON TABLES TO {READER};
         CREATE SCHEMA prepared_restore_abcdefgh AUTHORIZATION {OWNER};
         COMMENT ON SCHEMA prepared_restore_abcdefgh IS 'of the operator'"
    );
    world.run_as("edgeseal", &prepare).await;
    let (aside, warnings) = world.restore(OWNER, &backup).await;
    assert_eq!((aside, warnings), (None, Vec::new()));
    world.run_as(READER, "SELECT FROM prepared.entry").await;
    let rights = world.rights("prepared").await;
    let default = format!("default {OWNER} r {READER}=r/{OWNER}");
    assert!(rights.contains(&default), "{rights:?}");
    let theirs =
        "SELECT obj_description('prepared_restore_abcdefgh'::regnamespace, 'pg_namespace')";
    assert_eq!(world.read(theirs).await.as_deref(), Some("of the operator"));
}
