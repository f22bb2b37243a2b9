//! Relative links and anchors of every document, as GitHub resolves them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
    process::Command,
};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::{path, read_document};

/// What links of other documents need to know of one.
#[derive(Default)]
struct Page {
    links: Vec<String>,
    anchors: BTreeSet<String>,
}

impl Page {
    fn of(text: &str) -> Self {
        let mut page = Self::default();
        let mut repeats: BTreeMap<String, usize> = BTreeMap::new();
        let mut heading = None;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    let slug = slug(&heading.take().unwrap());
                    let count = repeats.entry(slug.clone()).or_default();
                    page.anchors.insert(match *count {
                        0 => slug,
                        repeat => format!("{slug}-{repeat}"),
                    });
                    *count += 1;
                }
                Event::Html(html) | Event::InlineHtml(html) => {
                    let ids = html.split("id=\"").skip(1);
                    let ids = ids.filter_map(|rest| rest.split_once('"'));
                    page.anchors.extend(ids.map(|(id, _)| id.to_owned()));
                }
                _ => {}
            }
        }
        page
    }
}

/// The anchor that GitHub gives to a heading.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c),
        _ => None,
    });
    kept.collect::<String>().to_lowercase()
}

/// The Markdown files that git tracks or would track.
fn documents() -> Vec<String> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others"]);
    git.args(["--exclude-standard", "--", "*.md"]);
    let output = git.current_dir(path("")).output().unwrap();
    assert!(output.status.success(), "git ls-files");
    let names = String::from_utf8(output.stdout).unwrap();
    let names = names.split_terminator('\0').map(str::to_owned);
    names.filter(|name| path(name).exists()).collect()
}

/// A path below the root of the repository without `.` and `..`, or `None` if it leads out of it.
fn normal(relative: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for component in relative.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => {
                if !normal.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(normal)
}

fn is_external(link: &str) -> bool {
    link.split_once(':')
        .is_some_and(|(scheme, _)| scheme.chars().all(|c| c.is_ascii_alphanumeric()))
}

/// The file that a link in this document leads to, and the anchor in it; no file if it leads out of
/// the repository.
fn target<'a>(link: &'a str, from: &str) -> (Option<PathBuf>, &'a str) {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    if file.is_empty() {
        return (Some(PathBuf::from(from)), anchor);
    }
    let base = Path::new(from).parent().unwrap();
    (normal(&base.join(file)), anchor)
}

/// Why a link in this document leads nowhere.
fn broken(link: &str, from: &str, pages: &BTreeMap<PathBuf, Page>) -> Option<&'static str> {
    let (target, anchor) = target(link, from);
    let Some(target) = target else {
        return Some("leads out of the repository");
    };
    if !path("").join(&target).exists() {
        return Some("no such file");
    }
    if anchor.is_empty() {
        return None;
    }
    match pages.get(&target) {
        Some(page) if page.anchors.contains(anchor) => None,
        Some(_) => Some("no such anchor"),
        None => Some("an anchor in a file that is no document"),
    }
}

fn pages(names: &[String]) -> BTreeMap<PathBuf, Page> {
    let page = |name: &String| (PathBuf::from(name), Page::of(&read_document(name)));
    names.iter().map(page).collect()
}

/// The index of the documents and that of the decisions lead to all of them.
#[test]
fn every_page_is_in_an_index() {
    let names = documents();
    let pages = pages(&names);
    let mut listed = BTreeSet::new();
    for index in ["docs/README.md", "docs/decisions/README.md"] {
        let links = &pages[Path::new(index)].links;
        listed.extend(links.iter().filter_map(|link| target(link, index).0));
    }
    let below_docs = names.iter().filter(|name| name.starts_with("docs/"));
    let unlisted: Vec<_> = below_docs
        .filter(|name| *name != "docs/README.md" && !listed.contains(Path::new(name)))
        .collect();
    assert!(unlisted.is_empty(), "in no index: {unlisted:?}");
}

#[test]
fn every_relative_link_resolves() {
    let names = documents();
    let pages = pages(&names);
    let mut checked = 0;
    let mut wrong = Vec::new();
    for name in &names {
        let links = &pages[Path::new(name)].links;
        for link in links.iter().filter(|link| !is_external(link)) {
            checked += 1;
            if let Some(why) = broken(link, name, &pages) {
                wrong.push(format!("{name}: {link}: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 100, "only {checked} relative links were found");
}

#[test]
fn links_that_lead_nowhere() {
    let text = "# One `two` & three\n\n## Same\n\n## Same\n\n<a id=\"A.b\"></a>\n\n\
                [x](#same) `[no](nowhere.md)`\n";
    let page = Page::of(text);
    assert_eq!(page.links, ["#same"]);
    let pages = BTreeMap::from([(PathBuf::from("spec/README.md"), page)]);
    for (link, expected) in [
        ("#one-two--three", None),
        ("#same-1", None),
        ("#same-2", Some("no such anchor")),
        ("#A.b", None),
        ("../spec/./README.md#same", None),
        ("../Cargo.toml", None),
        ("absent.md", Some("no such file")),
        ("../../absent.md", Some("leads out of the repository")),
        (
            "../Cargo.toml#same",
            Some("an anchor in a file that is no document"),
        ),
    ] {
        assert_eq!(broken(link, "spec/README.md", &pages), expected, "{link}");
    }
}
