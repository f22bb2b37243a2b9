//! The failure of a store.

/// The store failed: disk, network, a corrupt record. Opaque on purpose; the log shows the causes.
#[derive(Debug, thiserror::Error)]
#[error("store failure: {operation}")]
pub struct Fault {
    /// The operation that failed.
    pub operation: &'static str,
    /// The cause.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Fault {
    /// Whether a record cannot be decoded: the store itself works.
    #[must_use]
    pub fn is_undecodable(&self) -> bool {
        self.operation.starts_with("decode ")
    }

    /// What failed and why, on one line, for the operator.
    #[must_use]
    pub fn explain(&self) -> String {
        match &self.cause {
            Some(cause) => format!("{}: {cause}", self.operation),
            None => self.operation.to_owned(),
        }
    }

    /// A failure without an underlying error.
    #[must_use]
    pub const fn new(what: &'static str) -> Self {
        Self {
            operation: what,
            cause: None,
        }
    }

    /// A failure with its cause, for `map_err`.
    pub fn of<E: std::error::Error + Send + Sync + 'static>(
        what: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |cause| Self {
            operation: what,
            cause: Some(Box::new(cause)),
        }
    }
}
