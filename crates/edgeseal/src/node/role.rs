//! What a process does.

/// Which parts a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// `edgeseal serve`: API and edge.
    Serve,
    /// `edgeseal api`: no edge.
    Api,
}

impl Role {
    pub(crate) const fn has_edge(self) -> bool {
        matches!(self, Self::Serve)
    }

    /// The name of the command.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Api => "api",
        }
    }
}
