//! The arguments of one setting, as the files of the functions read them.

use edgeseal_core::delivery::Setting;

use super::InvalidFunctions;
use crate::{ops::cdn::wire_names::WireName as _, sanitize::sanitize};

/// The arguments of a setting of a function that the edge supports.
#[derive(Clone, Copy)]
pub(super) struct Arguments<'a> {
    function: &'static str,
    given: &'a [(String, String)],
}

impl<'a> Arguments<'a> {
    pub(super) fn of(function: &'static str, setting: &'a Setting) -> Self {
        let given = &setting.arguments;
        Self { function, given }
    }

    /// An argument; `None` if it is absent or empty.
    pub(super) fn text(self, argument: &str) -> Option<&'a str> {
        let found = self.given.iter().find(|(name, _)| name == argument);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// An argument that is on or off; `None` if it is absent or empty.
    ///
    /// # Errors
    /// [`InvalidFunctions::Argument`] if it is anything else.
    pub(super) fn flag(self, argument: &'static str) -> Result<Option<bool>, InvalidFunctions> {
        let Some(given) = self.text(argument) else {
            return Ok(None);
        };
        let invalid = || self.invalid(argument, "on or off");
        bool::from_wire_name(given).map(Some).ok_or_else(invalid)
    }

    /// Whether an argument is on; `false` for an invalid value.
    pub(super) fn is_on(self, argument: &'static str) -> bool {
        matches!(self.flag(argument), Ok(Some(true)))
    }

    /// The error of an argument with an invalid value.
    pub(super) fn invalid(
        self,
        argument: &'static str,
        expected: &'static str,
    ) -> InvalidFunctions {
        InvalidFunctions::Argument {
            function: self.function,
            argument,
            given: sanitize(self.text(argument).unwrap_or_default()),
            expected,
        }
    }
}
