//! Pages of a listing.

use crate::{error::api_error, request::ParamMap};

/// A page, from 1, and the number of entries per page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its number, from 1.
    pub number: usize,
    /// Entries per page.
    pub size: usize,
}

/// The parameter names of page number and size in a family of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageParamNames {
    /// `PageNumber` and `PageSize`.
    Numbered,
    /// `CurrentPage` and `ShowSize`.
    CurrentShow,
}

/// Why a page is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPage {
    /// Out of range.
    #[error("{} must be a number from 1 to {PAGES_MAX}", .0.number())]
    Number(PageParamNames),
    /// Out of range.
    #[error("{} must be a number from 1 to {max}", names.size())]
    Size {
        /// The parameter names.
        names: PageParamNames,
        /// The largest allowed size.
        max: usize,
    },
}

const PAGES_MAX: usize = 100_000;

impl Page {
    /// `PageNumber` and `PageSize`.
    ///
    /// # Errors
    /// [`InvalidPage`], the number first.
    pub fn parse(params: &ParamMap, default: usize, max: usize) -> Result<Self, InvalidPage> {
        Self::parse_with(PageParamNames::Numbered, params, default, max)
    }

    /// Like [`Page::parse`], with other parameter names.
    ///
    /// # Errors
    /// [`InvalidPage`], the number first.
    pub fn parse_with(
        names: PageParamNames,
        params: &ParamMap,
        default: usize,
        max: usize,
    ) -> Result<Self, InvalidPage> {
        let page = number(params, names.number(), 1, PAGES_MAX);
        let size = number(params, names.size(), default, max);
        Ok(Self {
            number: page.ok_or(InvalidPage::Number(names))?,
            size: size.ok_or(InvalidPage::Size { names, max })?,
        })
    }

    /// The entries of `all` that are on this page.
    pub fn of<T>(self, all: Vec<T>) -> impl Iterator<Item = T> {
        let skipped = (self.number - 1).saturating_mul(self.size);
        all.into_iter().skip(skipped).take(self.size)
    }
}

impl Default for Page {
    fn default() -> Self {
        Self {
            number: 1,
            size: 20,
        }
    }
}

impl PageParamNames {
    const fn number(self) -> &'static str {
        match self {
            Self::Numbered => "PageNumber",
            Self::CurrentShow => "CurrentPage",
        }
    }

    const fn size(self) -> &'static str {
        match self {
            Self::Numbered => "PageSize",
            Self::CurrentShow => "ShowSize",
        }
    }
}

fn number(params: &ParamMap, name: &str, default: usize, max: usize) -> Option<usize> {
    let Some(text) = params.get_non_empty(name) else {
        return Some(default);
    };
    text.trim()
        .parse()
        .ok()
        .filter(|number| (1..=max).contains(number))
}

api_error!(InvalidPage {
    Number(PageParamNames::Numbered) => InvalidPageNumber,
    Size { names: PageParamNames::Numbered, .. } => InvalidPageSize,
    Number(PageParamNames::CurrentShow) => InvalidCurrentPage,
    Size { names: PageParamNames::CurrentShow, .. } => InvalidShowSize,
});
