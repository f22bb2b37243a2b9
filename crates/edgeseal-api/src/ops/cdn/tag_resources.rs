//! `TagResources`, `UntagResources` and `ListTagResources`: tags of domains. In the DCDN the first
//! two are `TagDcdnResources` and `UntagDcdnResources`.

use edgeseal_core::{
    DomainPattern, Timestamp,
    domain::{Domain, Environment},
};
use edgeseal_store::{
    catalog::Pagination,
    filter::{DomainCondition, DomainFilter, is_tag},
};
use serde::Serialize;

use super::{
    domain_lookup::{self, DomainError},
    tags::{self, InvalidTags, TAGS_MAX},
};
use crate::{
    authorize::Authorized,
    context::Context,
    domain_list::{DomainList, InvalidDomainList, NAMES_MAX},
    error::{StoreError, api_error},
    indexed_params::MissingIndex,
    operation::{EmptyReply, Input, Operation, Success},
    request::ParamMap,
    sanitize::sanitize,
};

/// `TagResources`.
pub struct TagResources;

/// `UntagResources`.
pub struct UntagResources;

/// `ListTagResources`.
pub struct ListTagResources;

/// The only resource type with tags.
const DOMAIN: &str = "DOMAIN";
/// Most domains of one response.
const PAGE: usize = 100;

/// The tags to remove.
pub struct UntagParams {
    names: Vec<DomainPattern>,
    /// All if empty.
    keys: Vec<String>,
}

/// The tags to list.
pub struct ListParams {
    names: Vec<DomainPattern>,
    tags: Vec<(String, String)>,
    /// Number of domains in earlier responses.
    skip: usize,
}

/// Tags, in the wrappers that the SDKs expect.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    /// For the next call; empty in the last response.
    next_token: String,
    tag_resources: Listed,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    tag_resource: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    resource_id: String,
    resource_type: &'static str,
    tag_key: String,
    tag_value: String,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No ResourceType.
    #[error("name the type of the resources in ResourceType: {DOMAIN}")]
    NoType,
    /// No such ResourceType.
    #[error("ResourceType is {given:?}; use {DOMAIN}")]
    Type {
        /// The value given.
        given: String,
    },
    /// No domains.
    #[error("name the domains in ResourceId.1, ResourceId.2 and so on")]
    NoResource,
    /// More domains than a call may name.
    #[error("{count} domains are named; at most {NAMES_MAX} are accepted")]
    TooManyResources {
        /// How many.
        count: usize,
    },
    /// An index is missing in the list of domains.
    #[error(transparent)]
    ResourceGap(MissingIndex),
    /// No tags.
    #[error("give the tags in Tag.1.Key, Tag.1.Value and so on")]
    NoTag,
    /// No tags to remove.
    #[error("name the tags in TagKey.1 and so on, or set All=true")]
    NoTagKey,
    /// More tags than a domain may have.
    #[error("{name} would have {count} tags; at most {TAGS_MAX} are accepted")]
    TooManyTags {
        /// The domain.
        name: DomainPattern,
        /// How many.
        count: usize,
    },
    /// Invalid tags.
    #[error(transparent)]
    Tags(#[from] InvalidTags),
    /// Not a token from an earlier response.
    #[error("NextToken is not from an earlier response")]
    Token,
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for TagResources {
    type Params = (Vec<DomainPattern>, Vec<(String, String)>);
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, domains }: Input<'_>) -> Result<Self::Params, Error> {
        let names = required_domains(domains, params)?;
        let tags = tags::parse_tags(params, "Tag")?;
        if tags.is_empty() {
            return Err(Error::NoTag);
        }
        Ok((names, tags))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (names, tags): Self::Params,
    ) -> Result<Success<EmptyReply>, Error> {
        let tag = |domain: &mut Domain, now: Timestamp| {
            for (key, value) in &tags {
                domain.tags.retain(|(have, _)| have != key);
                domain.tags.push((key.clone(), value.clone()));
            }
            domain.tags.sort();
            domain.modified = now;
            match domain.tags.len() {
                count if count > TAGS_MAX => Err(Error::TooManyTags {
                    name: domain.name.clone(),
                    count,
                }),
                _ => Ok(()),
            }
        };
        change(context, call, &names, tag).await
    }
}

impl Operation for UntagResources {
    type Params = UntagParams;
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, domains }: Input<'_>) -> Result<UntagParams, Error> {
        let names = required_domains(domains, params)?;
        let keys = tags::keys(params)?;
        let all = params.flag("All") == Ok(true);
        // Removing all tags for an empty list would be a guess.
        if keys.is_empty() && !all {
            return Err(Error::NoTagKey);
        }
        Ok(UntagParams { names, keys })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        taken: UntagParams,
    ) -> Result<Success<EmptyReply>, Error> {
        let untag = |domain: &mut Domain, now: Timestamp| {
            domain
                .tags
                .retain(|(key, _)| !taken.keys.is_empty() && !taken.keys.contains(key));
            domain.modified = now;
            Ok(())
        };
        change(context, call, &taken.names, untag).await
    }
}

impl Operation for ListTagResources {
    type Params = ListParams;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, domains }: Input<'_>) -> Result<ListParams, Error> {
        let token = params.get_non_empty("NextToken").map_or(Ok(0), str::parse);
        Ok(ListParams {
            names: resources(domains, params)?,
            tags: tags::parse_filter(params),
            skip: token.map_err(|_| Error::Token)?,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: ListParams,
    ) -> Result<Success<Reply>, Error> {
        if !wanted.names.is_empty() {
            let mut rows = Vec::new();
            for name in &wanted.names {
                let domain = domain_lookup::find(&context.catalog, call.account(), name).await?;
                rows.extend(wanted.rows(&domain));
            }
            return Ok(Success::read(Reply::of(rows, String::new())));
        }
        let condition = match &wanted.tags[..] {
            [] => DomainCondition::Tagged,
            tags => DomainCondition::Tag(tags.to_vec()),
        };
        let listing = context.catalog.domains_where(
            call.account(),
            DomainFilter::of(condition),
            Pagination {
                offset: wanted.skip,
                limit: PAGE,
            },
        );
        let listing = listing.await.map_err(StoreError::from)?;
        let shown = wanted.skip.saturating_add(PAGE);
        let next = if shown < listing.total {
            shown.to_string()
        } else {
            String::new()
        };
        let domains = listing.items.iter();
        let rows = domains.flat_map(|domain| wanted.rows(domain)).collect();
        Ok(Success::read(Reply::of(rows, next)))
    }
}

/// Whether a tag matches the filter; an empty filter matches all.
pub(super) fn matches_filter(wanted: &[(String, String)], key: &str, value: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|tag| is_tag(tag, key, value))
}

impl ListParams {
    fn rows(&self, domain: &Domain) -> Vec<Row> {
        let tags = domain.tags.iter();
        let tags = tags.filter(|(key, value)| matches_filter(&self.tags, key, value));
        tags.map(|(key, value)| Row {
            resource_id: domain.name.to_string(),
            resource_type: DOMAIN,
            tag_key: key.clone(),
            tag_value: value.clone(),
        })
        .collect()
    }
}

impl Reply {
    const fn of(tag_resource: Vec<Row>, next_token: String) -> Self {
        Self {
            next_token,
            tag_resources: Listed { tag_resource },
        }
    }
}

/// The named domains, at least one.
///
/// # Errors
/// [`Error`] of the resource type and of the list.
pub(super) fn required_domains(
    domains: &DomainList,
    params: &ParamMap,
) -> Result<Vec<DomainPattern>, Error> {
    let names = resources(domains, params)?;
    if names.is_empty() {
        return Err(Error::NoResource);
    }
    Ok(names)
}

/// The named domains, after the resource type is checked.
fn resources(domains: &DomainList, params: &ParamMap) -> Result<Vec<DomainPattern>, Error> {
    let given = params.get_non_empty("ResourceType").ok_or(Error::NoType)?;
    if !given.eq_ignore_ascii_case(DOMAIN) {
        return Err(Error::Type {
            given: sanitize(given),
        });
    }
    domains.optional_names().map_err(|error| match error {
        InvalidDomainList::Empty { .. } => Error::NoResource,
        InvalidDomainList::TooMany { count } => Error::TooManyResources { count },
        InvalidDomainList::Gap(gap) => Error::ResourceGap(gap),
        InvalidDomainList::Malformed(error) => Error::Domain(error.into()),
    })
}

async fn change(
    context: &Context,
    call: &Authorized,
    names: &[DomainPattern],
    decide: impl Fn(&mut Domain, Timestamp) -> Result<(), Error> + Send + Sync,
) -> Result<Success<EmptyReply>, Error> {
    let (owner, environment) = (Some(call.account()), Environment::Production);
    let changed =
        domain_lookup::update_each(context, &call.audit, owner, names, environment, decide);
    Ok(Success::changed(changed.await?))
}

api_error!(Error {
    NoType => MissingResourceType,
    Type => InvalidResourceType,
    NoResource => MissingResourceId,
    TooManyResources | ResourceGap => InvalidResourceId,
    NoTag => MissingTag,
    NoTagKey => MissingTagKey,
    TooManyTags => TooManyTags,
    Tags(InvalidTags),
    Token => InvalidNextToken,
    Domain(DomainError),
    Store(StoreError),
});
