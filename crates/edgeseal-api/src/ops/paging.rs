//! Pages of a listing, as callers ask for them.

use crate::{code::Code, operation::Failure, request::Params};

/// Which page, from 1, of how many entries each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its number, from 1.
    pub number: usize,
    /// Entries of a page.
    pub size: usize,
}

/// The names that a family of operations has for number and size of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// `PageNumber` and `PageSize`.
    Page,
    /// `CurrentPage` and `ShowSize`.
    Show,
}

/// Why no page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPage {
    /// Out of range.
    #[error("{} must be a number from 1 to {PAGES_MAX}", .0.number())]
    Number(Spelling),
    /// Out of range.
    #[error("{} must be a number from 1 to {max}", spelling.size())]
    Size {
        /// How it is spelt.
        spelling: Spelling,
        /// The largest.
        max: usize,
    },
}

const PAGES_MAX: usize = 100_000;

impl Page {
    /// `PageNumber` and `PageSize`.
    ///
    /// # Errors
    /// [`BadPage`], the number first.
    pub fn of(params: &Params, default: usize, max: usize) -> Result<Self, BadPage> {
        Self::spelt(Spelling::Page, params, default, max)
    }

    /// As [`Page::of`], in another spelling.
    ///
    /// # Errors
    /// [`BadPage`], the number first.
    pub fn spelt(
        spelling: Spelling,
        params: &Params,
        default: usize,
        max: usize,
    ) -> Result<Self, BadPage> {
        let page = number(params, spelling.number(), 1, PAGES_MAX);
        let size = number(params, spelling.size(), default, max);
        Ok(Self {
            number: page.ok_or(BadPage::Number(spelling))?,
            size: size.ok_or(BadPage::Size { spelling, max })?,
        })
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

impl Spelling {
    const fn number(self) -> &'static str {
        match self {
            Self::Page => "PageNumber",
            Self::Show => "CurrentPage",
        }
    }

    const fn size(self) -> &'static str {
        match self {
            Self::Page => "PageSize",
            Self::Show => "ShowSize",
        }
    }
}

fn number(params: &Params, name: &str, default: usize, max: usize) -> Option<usize> {
    let Some(text) = params.given(name) else {
        return Some(default);
    };
    text.trim()
        .parse()
        .ok()
        .filter(|number| (1..=max).contains(number))
}

impl Failure for BadPage {
    fn code(&self) -> Code {
        match self {
            Self::Number(Spelling::Page) => Code::InvalidPageNumber,
            Self::Size {
                spelling: Spelling::Page,
                ..
            } => Code::InvalidPageSize,
            Self::Number(Spelling::Show) => Code::InvalidCurrentPage,
            Self::Size {
                spelling: Spelling::Show,
                ..
            } => Code::InvalidShowSize,
        }
    }

    fn detail(&self) -> Option<String> {
        Some(self.to_string())
    }
}
