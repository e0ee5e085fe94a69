//! `GET /api/class/export`: a class's events, oldest first, as CSV, NDJSON or xAPI statements, or a
//! row for each student; a page at a time, as fast as the client takes them.

mod event_rows;
mod form;
mod members;
mod spreadsheet;
mod statements;
mod stream;
mod student_rows;

use std::sync::Arc;

use http::{HeaderValue, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;
use warp::Reply;
use warp::reply::Response;

use self::form::Form;
use self::statements::Statements;
use self::stream::Export;
use self::student_rows::StudentRows;
use super::request::ApiRequest;
use crate::database::IdRange;
use crate::event::{ClassId, Micros, parse_rfc3339};
use crate::http::problem::Problem;
use crate::state::Settings;

/// The longest URL of the students' accounts.
const MAX_HOME_PAGE_BYTES: usize = 200;
/// The largest offset from UTC, in seconds: that of the Line Islands, and of a day at most.
const MAX_OFFSET: i64 = 14 * 3600;

impl ApiRequest<'_> {
    pub(super) async fn export(&self) -> Result<Response, Problem> {
        let class = self.class()?;
        let form = self.form(&class).await?;
        let name = utf8_percent_encode(class.as_str(), NON_ALPHANUMERIC);
        let (ascii_name, suffix, content_type) = form.file();
        let disposition =
            format!("attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{name}{suffix}");
        let range = self.range(&class).await?;
        let (pages, answers) = (self.relay.pages.clone(), self.relay.answers.clone());
        let mut export = Export::new(pages, answers, class, range, form);
        // The first page before the answer begins: a database that is away is still an error then.
        let first = export.page().await?;
        let mut response = warp::reply::stream(export.stream(first)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(disposition) = HeaderValue::from_str(&disposition) {
            headers.insert(header::CONTENT_DISPOSITION, disposition);
        }
        Ok(response)
    }

    async fn form(&self, class: &ClassId) -> Result<Form, Problem> {
        let offset = self.offset()?;
        let home_page = self.home_page()?;
        let students = match self.once("rows")? {
            None | Some("events") => false,
            Some("students") => true,
            Some(_) => return Err(Problem::bad_parameter("rows", "is events or students")),
        };
        match self.once("format")? {
            None | Some("csv") if students => {
                let settings = self.settings_of(class).await?;
                let rows = StudentRows::new(offset, settings, &self.relay.answers);
                Ok(Form::Students(Box::new(rows)))
            }
            Some(_) if students => {
                Err(Problem::bad_parameter("rows", "is students with format=csv only"))
            }
            None | Some("csv") => Ok(Form::Csv { offset }),
            Some("ndjson") => Ok(Form::Ndjson),
            Some("xapi") => Ok(Form::Xapi(Statements::new(home_page))),
            Some("xapi-ndjson") => Ok(Form::XapiNdjson(Statements::new(home_page))),
            Some(_) => Err(Problem::bad_parameter("format", "is csv, ndjson, xapi or xapi-ndjson")),
        }
    }

    /// The settings of the class, by which its events are counted.
    async fn settings_of(&self, class: &ClassId) -> Result<Arc<Settings>, Problem> {
        self.caught_up().await;
        let settings = self.relay.classes.read(class, |state, _, _| Arc::clone(state.settings().0));
        Ok(settings.await?)
    }

    /// The events that are asked for, by their ids.
    async fn range(&self, class: &ClassId) -> Result<IdRange, Problem> {
        let (from, to) = (self.moment("from")?, self.moment("to")?);
        let lesson = self.lesson(class).await?;
        let mut range = self.relay.pages.ids_received(class, from, to).await?;
        if let Some(lesson) = lesson {
            range.first = range.first.max(lesson.listed.first.0);
            // Another lesson may begin before the events are read.
            range.end = range.end.min(lesson.listed.last.0 + 1);
        }
        Ok(range)
    }

    fn moment(&self, name: &str) -> Result<Option<Micros>, Problem> {
        let Some(text) = self.once(name)? else { return Ok(None) };
        // A plus sign that is not encoded means a blank in a query.
        let moment = parse_rfc3339(&text.replace(' ', "+"));
        let wrong = || {
            Problem::bad_parameter(name, "must be an RFC 3339 time, such as 2026-04-01T09:00:00Z")
        };
        moment.map(Some).ok_or_else(wrong)
    }

    /// The offset of the spreadsheets' times from UTC, in seconds.
    fn offset(&self) -> Result<i64, Problem> {
        let Some(text) = self.once("utcOffset")? else { return Ok(0) };
        parse_offset(&text.replace(' ', "+")).ok_or_else(|| {
            Problem::bad_parameter("utcOffset", "must be an offset from UTC, such as +09:00")
        })
    }

    /// The system in which the students of the statements have their accounts; the relay, as this
    /// request reached it, if the request names none.
    fn home_page(&self) -> Result<String, Problem> {
        let given = self.once("homePage")?;
        let home_page = match given {
            Some(given) => given.to_owned(),
            None => {
                let scheme = if self.client.is_https() { "https" } else { "http" };
                let host = Some(self.client.host(self.headers)).filter(|host| !host.is_empty());
                format!("{scheme}://{}/", host.unwrap_or("localhost"))
            }
        };
        let url = Url::parse(&home_page).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https") && url.has_host() && url.password().is_none()
        });
        // As it was given, if every program reads it so: a store takes another text for another
        // system.
        let home_page = url.map(|url| if is_plain(&home_page) { home_page } else { url.into() });
        if let Some(home_page) = home_page.filter(|url| url.len() <= MAX_HOME_PAGE_BYTES) {
            return Ok(home_page);
        }
        Err(Problem::bad_parameter(
            "homePage",
            &format!("must be an http or https URL of at most {MAX_HOME_PAGE_BYTES} bytes"),
        ))
    }
}

/// Whether a URL has only characters that stand for themselves in one. The parser takes others too,
/// and writes them otherwise.
fn is_plain(url: &str) -> bool {
    url.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"{}|\\^`".contains(&byte))
}

/// Reads `Z` or `±hh:mm`, in seconds.
fn parse_offset(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text[1..].split_once(':')?;
    let number = |digits: &str| {
        let is_two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<i64>().ok().filter(|_| is_two)
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let seconds = hours * 3600 + minutes * 60;
    (minutes < 60 && seconds <= MAX_OFFSET).then_some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_those_of_zones() {
        for (text, offset) in [
            ("Z", Some(0)),
            ("+00:00", Some(0)),
            ("+09:00", Some(32_400)),
            ("-03:30", Some(-12_600)),
            ("+14:00", Some(50_400)),
            ("+14:01", None),
            ("+9:00", None),
            ("09:00", None),
            ("+09:60", None),
            ("+0a:00", None),
            ("", None),
            ("－09:00", None),
        ] {
            assert_eq!(parse_offset(text), offset, "{text}");
        }
    }
}
