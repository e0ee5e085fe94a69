//! `GET /` and `/assets/`: the dashboard's files, embedded in the program.

use std::sync::LazyLock;

use bytes::Bytes;
use flate2::Compression;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use include_dir::{Dir, include_dir};
use tokio::sync::OnceCell;
use warp::Reply;
use warp::reply::Response;

use super::one_script::{Modules, one_script};
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
/// The module that imports all others.
const MAIN: &str = "js/main.js";
/// All style sheets as one, and all modules as one: the page fetches these two and no others. The
/// files that they are made of are served too, to whoever looks for a fault.
const ONE_SHEET: &str = "page.css";
const ONE_SCRIPT: &str = "page.js";

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
    let made = [(ONE_SHEET, one_sheet(&files)), (ONE_SCRIPT, whole_script(&files))];
    let made = made.into_iter().map(|(path, text)| (path, Bytes::from(text)));
    let files = files.iter().map(|(path, bytes)| (*path, Bytes::from_static(bytes)));
    files.chain(made).filter_map(|(path, bytes)| Asset::new(path, bytes)).collect()
});

type File = (&'static str, &'static [u8]);

fn files(folder: &'static Dir<'static>) -> Vec<File> {
    let own = folder.files().filter_map(|file| Some((file.path().to_str()?, file.contents())));
    own.chain(folder.dirs().flat_map(files)).collect()
}

/// The texts of the files of a type, by their paths.
fn texts(files: &[File], of: &str) -> Modules<'static> {
    let texts = files.iter().filter(|(path, _)| content_type(path) == Some(of));
    texts.filter_map(|(path, bytes)| Some((*path, std::str::from_utf8(bytes).ok()?))).collect()
}

/// The style sheets in the order of their paths: the first one names the layers of all.
fn one_sheet(files: &[File]) -> String {
    texts(files, CSS).into_values().collect()
}

fn whole_script(files: &[File]) -> String {
    one_script(MAIN, &texts(files, SCRIPT))
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
    fn new(path: &'static str, bytes: Bytes) -> Option<Self> {
        let content_type = content_type(path)?;
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

    fn text_of(path: &str) -> &'static str {
        std::str::from_utf8(&asset(path).expect(path).bytes).expect("UTF-8")
    }

    /// Every file of the folder is served, beside the two that are made of them.
    #[test]
    fn every_file_is_served() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard");
        let mut found = BTreeSet::from([ONE_SHEET.to_owned(), ONE_SCRIPT.to_owned()]);
        files(&root, &root, &mut found);
        let served: BTreeSet<String> = ASSETS.iter().map(|asset| asset.path.to_owned()).collect();
        assert_eq!(served, found, "touch src/http/dashboard.rs, so that cargo sees new files");
        assert_eq!(asset("/").expect("the page").content_type, HTML);
        assert!(asset("/assets/js/main.js").is_some() && asset("/assets/js/").is_none());
        let tags: BTreeSet<&str> = ASSETS.iter().map(|asset| &*asset.etag).collect();
        assert_eq!(tags.len(), ASSETS.len());
    }

    /// All style sheets are in the page's, the one that names the layers first; every module is in
    /// the page's script once, and nothing of `import` and `export` is left in it.
    #[test]
    fn the_page_has_all_sheets_and_modules() {
        let sheet = text_of("/assets/page.css");
        assert!(sheet.starts_with(text_of("/assets/css/base.css")));
        let script = text_of("/assets/page.js");
        for asset in ASSETS.iter() {
            let text = std::str::from_utf8(&asset.bytes).expect("UTF-8");
            if asset.path.starts_with("css/") {
                assert!(sheet.contains(text), "{}", asset.path);
            } else if asset.path.starts_with("js/") && asset.path != "js/sign-in.js" {
                let head = format!("// {}\nconst module", asset.path);
                assert_eq!(script.matches(&head).count(), 1, "{}", asset.path);
            }
        }
        for line in script.lines() {
            let has =
                |word: &str| line.starts_with(word) || line.contains(&format!("await {word}("));
            assert!(!has("import") && !has("export"), "{line}");
        }
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
