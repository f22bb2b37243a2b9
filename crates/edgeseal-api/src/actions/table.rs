//! All implemented actions, and how a product declares its own.

use std::sync::LazyLock;

use super::Action;
use crate::ops::{cas, cdn, dcdn, edgeseal, ram, sts};

pub(crate) const CDN: &str = "2018-05-10";
pub(crate) const CDN_2014: &str = "2014-11-11";
pub(crate) const DCDN: &str = "2018-01-15";
pub(crate) const CAS: &str = "2020-04-07";
pub(crate) const CAS_2018: &str = "2018-07-13";
pub(crate) const CAS_2018_08: &str = "2018-08-13";
pub(crate) const RAM: &str = "2015-05-01";
pub(crate) const STS: &str = "2015-04-01";
pub(crate) const EDGESEAL: &str = "2026-12-01";

/// The actions of a product, one row each: version, name, resource and the parameter that names it,
/// scope, operation. Rate, access and permission are in `spec/actions.tsv`.
macro_rules! actions {
    ($(
        $version:ident $name:literal $resource:ident($resource_param:literal) $($scope:ident)?
            => $op:ty;
    )+) => {
        /// The actions of the product.
        pub(crate) fn actions() -> Vec<$crate::actions::Action> {
            vec![$(
                $crate::actions::action!(
                    $version $name $resource($resource_param) $($scope)? => $op
                )
            ),+]
        }
    };
}

macro_rules! action {
    // The call is unsigned, so no policy of a caller is evaluated.
    ($version:ident $name:literal unsigned($resource_param:literal) => $op:ty) => {
        $crate::actions::Action {
            resource_param: $resource_param,
            ..$crate::actions::Action::new(
                ($crate::actions::table::$version, $name),
                $crate::actions::error_codes::<$crate::operation::UnsignedCall, $op>,
                $crate::operation::Handler::Unsigned($crate::operation::handle_unsigned::<$op>),
            )
        }
    };
    (
        $version:ident $name:literal $resource:ident($resource_param:literal) $scope:ident
            => $op:ty
    ) => {
        $crate::actions::Action {
            resource: $crate::actions::ResourceKind::$resource,
            resource_param: $resource_param,
            scope: edgeseal_core::policy::Scope::$scope,
            has_dry_run: <$op as $crate::operation::Operation>::HAS_DRY_RUN,
            ..$crate::actions::Action::new(
                ($crate::actions::table::$version, $name),
                $crate::actions::error_codes::<$crate::authorize::Authorized, $op>,
                $crate::operation::Handler::Signed($crate::operation::handle::<$op>),
            )
        }
    };
}
pub(crate) use {action, actions};

/// All implemented actions.
pub static ACTIONS: LazyLock<Vec<Action>> = LazyLock::new(|| {
    [
        cdn::actions(),
        dcdn::actions(),
        cas::actions(),
        ram::actions(),
        sts::actions(),
        edgeseal::actions(),
    ]
    .into_iter()
    .flatten()
    .collect()
});
