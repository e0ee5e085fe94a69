//! `GET /` and `/assets/`: the dashboard's files, embedded in the program.

use std::fmt::Write as _;
use std::sync::LazyLock;

use bytes::Bytes;
use flate2::Compression;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use include_dir::{Dir, include_dir};
use tokio::sync::OnceCell;
use warp::Reply;
use warp::reply::Response;

use super::problem::Problem;
use super::representation::{if_none_match, takes_gzip};
use crate::encoding::{etag, gzip_here};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Every file of the dashboard. Cargo compiles this again when one of them changes, but not when
/// one is added: the test `every_file_is_served` notices that.
static DASHBOARD: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/dashboard");

const INDEX: &str = "index.html";
/// The first script. It stands in the page itself, all others are imported from it.
const MAIN: &str = "js/main.js";
/// The script of the sign-in page: the dashboard does not use it.
const SIGN_IN: &str = "js/sign-in.js";
/// The line of the page that the links to style sheets and modules replace.
const LINKS: &str = "<!-- links -->";

/// A file as it is served.
struct Asset {
    /// Below `/assets/`, but for the page itself.
    path: &'static str,
    content_type: &'static str,
    bytes: Bytes,
    /// The bytes, compressed.
    gzip: Bytes,
    /// Of the bytes; weak, since both forms bear it.
    etag: String,
}

/// The files as they are served. They are compressed at the first request, which takes some time:
/// see [`COMPRESSED`].
static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let mut files = files(&DASHBOARD);
    files.sort_unstable();
    files.iter().filter_map(|(path, bytes)| Asset::new(path, bytes, &files)).collect()
});

type File = (&'static str, &'static [u8]);

fn files(folder: &'static Dir<'static>) -> Vec<File> {
    let own = folder.files().filter_map(|file| Some((file.path().to_str()?, file.contents())));
    own.chain(folder.dirs().flat_map(files)).collect()
}

/// The page, with links to all style sheets and modules: a browser then fetches them at once, and
/// not import after import.
fn index(page: &str, files: &[File]) -> String {
    let mut links = String::new();
    for (path, _) in files {
        let link = match content_type(path) {
            Some(CSS) => "stylesheet",
            Some(SCRIPT) if path.starts_with("js/") && ![MAIN, SIGN_IN].contains(path) => {
                "modulepreload"
            }
            _ => continue,
        };
        let _ = writeln!(links, "<link rel=\"{link}\" href=\"assets/{path}\">");
    }
    page.replace(LINKS, &links)
}

/// `None` for a file that the page does not use, as an editor may leave one behind.
fn content_type(path: &str) -> Option<&'static str> {
    match path.rsplit_once('.')?.1 {
        "html" => Some(HTML),
        "css" => Some(CSS),
        "js" => Some(SCRIPT),
        "svg" => Some(SVG),
        _ => None,
    }
}

/// The file at a path of a URL; `None` if the page has none there.
fn asset(path: &str) -> Option<&'static Asset> {
    let name = match path {
        "/" => INDEX,
        _ => path.strip_prefix("/assets/").filter(|name| *name != INDEX)?,
    };
    ASSETS.iter().find(|asset| asset.path == name)
}

/// Set once [`ASSETS`] are made, on a thread for blocking work.
static COMPRESSED: OnceCell<()> = OnceCell::const_new();

/// Serves the file at a path of a URL, or answers 304 if the client has it.
pub(super) async fn serve(path: &str, headers: &HeaderMap) -> Response {
    let compress = || async {
        let _ = tokio::task::spawn_blocking(|| LazyLock::force(&ASSETS).len()).await;
    };
    COMPRESSED.get_or_init(compress).await;
    let Some(asset) = asset(path) else { return Problem::not_found().into_response() };
    let gzip = takes_gzip(headers);
    let mut response = if if_none_match(headers, &asset.etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let bytes = if gzip { asset.gzip.clone() } else { asset.bytes.clone() };
        let mut response = Response::new(bytes.into());
        if gzip {
            response
                .headers_mut()
                .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    };
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    answer.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    // The files of a release belong together: each is asked about, none is fetched twice.
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        answer.insert(header::ETAG, etag);
    }
    response
}

impl Asset {
    fn new(path: &'static str, bytes: &'static [u8], files: &[File]) -> Option<Self> {
        let content_type = content_type(path)?;
        let bytes = match std::str::from_utf8(bytes) {
            Ok(page) if path == INDEX => Bytes::from(index(page, files)),
            _ => Bytes::from_static(bytes),
        };
        let (gzip, etag) = (gzip_here(&bytes, Compression::best()), etag(&bytes));
        Some(Self { path, content_type, bytes, gzip, etag })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn files(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("src/dashboard") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                files(&path, root, found);
            } else {
                found
                    .insert(path.strip_prefix(root).expect("below").to_string_lossy().into_owned());
            }
        }
    }

    /// Every file of the folder is served; the page links to each style sheet and module.
    #[test]
    fn every_file_is_served() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard");
        let mut found = BTreeSet::new();
        files(&root, &root, &mut found);
        let served: BTreeSet<String> = ASSETS.iter().map(|asset| asset.path.to_owned()).collect();
        assert_eq!(served, found, "touch src/http/dashboard.rs, so that cargo sees new files");
        let page = asset("/").expect("the page");
        assert_eq!(page.content_type, HTML);
        let text = std::str::from_utf8(&page.bytes).expect("UTF-8");
        for asset in ASSETS.iter().filter(|asset| ![INDEX, SIGN_IN].contains(&asset.path)) {
            let link = format!("=\"assets/{}\"", asset.path);
            assert_eq!(text.matches(&link).count(), 1, "{} in the page", asset.path);
        }
        // It names the layers of all others.
        let first = text.find("rel=\"stylesheet\"").map(|at| &text[at..]).expect("a style sheet");
        assert!(first.starts_with("rel=\"stylesheet\" href=\"assets/css/base.css\""));
        assert!(asset("/assets/js/main.js").is_some() && asset("/assets/js/").is_none());
        let tags: BTreeSet<&str> = ASSETS.iter().map(|asset| &*asset.etag).collect();
        assert_eq!(tags.len(), ASSETS.len());
    }

    /// No file has a word by which a student's text could become markup or script, or by which the
    /// page would fetch from elsewhere.
    #[test]
    fn nothing_parses_markup_or_looks_elsewhere() {
        for asset in ASSETS.iter().filter(|asset| [SCRIPT, HTML].contains(&asset.content_type)) {
            let text = std::str::from_utf8(&asset.bytes).expect("UTF-8");
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "DOMParser",
                "createContextualFragment",
                "eval(",
                "new Function",
                "style=",
                "onclick=",
                "location.reload",
                "https://",
            ] {
                assert!(!text.contains(word), "{word} in {}", asset.path);
            }
        }
    }
}
