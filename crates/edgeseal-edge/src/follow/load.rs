//! A cold start: what the replica holds becomes what is served, before the store is asked.

use super::{Holdings, prepare::load};
use crate::replica::{Replica, ReplicaError, Standing};

/// Serves everything in `replica` that reads. What does not read is left out, and the cursor is
/// forgotten, so that the store is asked for everything; a file that breaks while it is read is
/// moved aside.
///
/// # Errors
/// [`ReplicaError`] if not even an empty replica can be made.
pub(crate) fn load_replica(
    holdings: &Holdings,
    mut replica: Replica,
) -> Result<(Replica, Standing), ReplicaError> {
    match load_all(holdings, &mut replica) {
        Ok(standing) => Ok((replica, standing)),
        Err(why) => {
            tracing::error!(
                error = &why as &dyn std::error::Error,
                "the replica broke while it was read; it is moved aside, and the store is asked \
                 for everything"
            );
            // What was loaded until then is good, and is served until the listing ends.
            let replica = replica.replace(holdings.environment())?;
            Ok((replica, Standing::default()))
        }
    }
}

fn load_all(holdings: &Holdings, replica: &mut Replica) -> Result<Standing, ReplicaError> {
    for (digest, der) in replica.issuers()? {
        holdings.keep_issuer(digest, der);
    }
    for (name, why) in replica.quarantine()? {
        holdings.quarantine().put(&name, &why);
    }
    let mut unreadable = 0_u64;
    replica.visit(|row| {
        let loaded = match &row {
            Ok(row) => load(holdings, row),
            Err(_) => None,
        };
        if loaded.is_none() {
            unreadable += 1;
            let name = row.map_or_else(|row| row.name, |row| row.name.to_string());
            tracing::error!(domain.name = name, "a row of the replica does not read");
        }
    })?;
    if unreadable > 0 {
        replica.forget_cursor()?;
    }
    let standing = replica.standing()?;
    tracing::info!(
        domains = holdings.index().len(),
        unreadable,
        "the last good state was loaded"
    );
    Ok(standing)
}
