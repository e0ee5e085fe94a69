//! `GET /` and `/assets/`: the dashboard's files, embedded in the program.

use std::sync::LazyLock;

use bytes::Bytes;
use flate2::Compression;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::OnceCell;
use warp::Reply;
use warp::reply::Response;

use super::problem::Problem;
use super::representation::{if_none_match, takes_gzip};
use crate::encoding::{etag, gzip_here};

/// The page may run scripts and use styles of this relay, connect to this relay, and nothing else:
/// a name or a code that came through as markup would still run nothing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file of the page.
struct File {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

/// A file as it is served.
struct Asset {
    file: &'static File,
    /// Compressed.
    gzip: Bytes,
    /// Of the bytes; weak, since both forms bear it.
    etag: String,
}

const INDEX: &str = "index.html";

macro_rules! files {
    ($($content_type:ident: $($path:literal)*;)*) => {
        [$($(File {
            path: $path,
            content_type: $content_type,
            bytes: include_bytes!(concat!("../dashboard/", $path)),
        },)*)*]
    };
}

/// Below `/assets/`, but for the page itself.
static FILES: &[File] = &files! {
    HTML: "index.html";
    SVG: "favicon.svg";
    CSS: "css/base.css" "css/layout.css" "css/views.css" "css/drawer.css";
    SCRIPT: "boot.js"
        "js/api.js" "js/clock.js" "js/connection.js" "js/dom.js" "js/fold.js" "js/frame.js" "js/i18n.js"
        "js/icons.js" "js/kept.js" "js/main.js" "js/names.js" "js/observe.js" "js/picture.js"
        "js/preferences.js" "js/store.js" "js/student.js" "js/time.js"
        "js/strings/en.js" "js/strings/ja.js"
        "js/views/activity.js" "js/views/cells.js" "js/views/common.js" "js/views/connection.js"
        "js/views/drawer-run.js" "js/views/drawer-timeline.js" "js/views/drawer.js" "js/views/grid-canvas.js"
        "js/views/grid-model.js" "js/views/grid-paint.js" "js/views/grid-table.js" "js/views/grid.js" "js/views/header.js"
        "js/views/help.js" "js/views/overview.js" "js/views/place.js" "js/views/refused.js" "js/views/silent.js"
        "js/views/stuck.js" "js/views/teams.js" "js/views/terminal.js";
};

/// As they are served; compressed at the first request, which takes some time: see [`COMPRESSED`].
static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| FILES.iter().map(Asset::new).collect());

/// The file at a path of a URL; `None` if the page has none there.
fn asset(path: &str) -> Option<&'static Asset> {
    let name = match path {
        "/" => INDEX,
        _ => path.strip_prefix("/assets/").filter(|name| *name != INDEX)?,
    };
    ASSETS.iter().find(|asset| asset.file.path == name)
}

/// Set once [`ASSETS`] are made, on a thread for blocking work.
static COMPRESSED: OnceCell<()> = OnceCell::const_new();

/// Serves the file at a path of a URL, or says that the client has it.
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
        let bytes = if gzip { asset.gzip.clone() } else { Bytes::from_static(asset.file.bytes) };
        let mut response = Response::new(bytes.into());
        if gzip {
            response
                .headers_mut()
                .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    };
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.file.content_type));
    answer.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    answer.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    answer.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The address may name a class and a student.
    answer.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // The files of a release belong together: each is asked about, none is fetched twice.
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        answer.insert(header::ETAG, etag);
    }
    response
}

impl Asset {
    fn new(file: &'static File) -> Self {
        Self { file, gzip: gzip_here(file.bytes, Compression::best()), etag: etag(file.bytes) }
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

    /// Every file is served, and every import of a script is of one that is.
    #[test]
    fn every_file_is_embedded() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard");
        let mut found = BTreeSet::new();
        files(&root, &root, &mut found);
        let served: BTreeSet<String> = FILES.iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(served, found);
        // All modules are fetched at once, not import after import.
        let index = asset("/").expect("the page").file;
        assert_eq!(index.content_type, HTML);
        let text = std::str::from_utf8(index.bytes).expect("UTF-8");
        for file in FILES.iter().filter(|file| file.path != INDEX) {
            assert!(
                text.contains(&format!("=\"assets/{}\"", file.path)),
                "{} in index.html",
                file.path
            );
        }
        assert!(asset("/assets/js/main.js").is_some() && asset("/assets/js/").is_none());
        let tags: BTreeSet<&str> = ASSETS.iter().map(|asset| &*asset.etag).collect();
        assert_eq!(tags.len(), FILES.len());
    }

    /// What would let a student's text become markup or script, or fetch from elsewhere, does not
    /// occur.
    #[test]
    fn nothing_parses_markup_or_looks_elsewhere() {
        for file in FILES.iter().filter(|file| [SCRIPT, HTML].contains(&file.content_type)) {
            let text = std::str::from_utf8(file.bytes).expect("UTF-8");
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
                assert!(!text.contains(word), "{word} in {}", file.path);
            }
        }
    }
}
