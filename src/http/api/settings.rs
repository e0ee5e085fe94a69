//! `GET` and `PUT /api/class/settings`: how a class is counted and shown.
//!
//! Settings are stored as an event that holds all of them. Here they are checked; the fold takes
//! whatever it finds, since anyone may store such an event with SQL.

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderName, StatusCode};
use serde_json::{Map, Value};
use warp::reply::Response;

use super::request::{ApiRequest, unread};
use crate::event::{ClassId, Cursor, EventId, ObjectWriter, StudentId};
use crate::http::problem::Problem;
use crate::http::representation::{Match, Representation, if_match, if_none_match};
use crate::state::MAX_ROSTER;

/// Notebooks of an outline, and cells of each.
const MAX_NOTEBOOKS: usize = 50;
const MAX_OUTLINE_CELLS: usize = 2_000;
/// Headings above a cell.
const MAX_HEADINGS: usize = 6;
/// The longest text, in bytes.
const MAX_TEXT: usize = 1024;

impl ApiRequest<'_> {
    pub(super) async fn settings(&self) -> Result<Response, Problem> {
        let class = self.class()?;
        self.caught_up().await;
        let read = self.relay.classes.read(&class, |state, _, _| {
            let (settings, event) = state.settings();
            (settings.text.clone(), event)
        });
        let (settings, event) = read.await?;
        let version = event.0.to_string();
        let body = ObjectWriter::object(|object| {
            object.text("classId", class.as_str());
            object.json("settings", settings);
            object.text("version", &version);
        });
        Representation::versioned(body, &version).answer(self.headers, &self.relay.answers).await
    }

    pub(super) async fn change_settings(&self) -> Result<Response, Problem> {
        let class = self.class()?;
        let settings = serde_json::from_slice(self.body).map_err(|error| {
            Problem::bad_body("body", &format!("is no JSON object of settings: {error}"))
        })?;
        let settings = checked(&settings).map_err(|fault| invalid(&fault))?;
        let replaced = self.replaced(&class).await?;
        let text = settings.to_string();
        let actor = self.caller.name.as_deref().unwrap_or(&self.caller.subject);
        let write = |object: &mut ObjectWriter<'_>| {
            object.text("actor", actor);
            object.json("settings", &text);
            object.opt_json("replaces", replaced);
        };
        let stored = self.store("settings_changed", class.clone(), None, write).await?;
        if replaced.is_some() {
            self.check_replaced(&class, stored.cursor.as_ref(), &text).await?;
        }
        let version = stored.cursor.as_ref().map(|at| at.id.to_string());
        let body = ObjectWriter::object(|object| {
            object.opt_text("version", version.as_deref());
            stored.write(object);
        });
        self.answer_act(body, version.as_deref()).await
    }

    /// The version that the request means to replace; `None` if it replaces any.
    async fn replaced(&self, class: &ClassId) -> Result<Option<EventId>, Problem> {
        let is_conditional = |name: &HeaderName| self.headers.contains_key(name);
        if !is_conditional(&IF_MATCH) && !is_conditional(&IF_NONE_MATCH) {
            return Ok(None);
        }
        self.caught_up().await;
        let version = self.relay.classes.read(class, |state, _, _| state.settings().1).await?;
        let tag = format!("\"{version}\"");
        if !is_conditional(&IF_MATCH) {
            // A class without settings has version 0, which `*` does not mean.
            let is_any = self.headers.get_all(IF_NONE_MATCH).iter().any(|value| value == "*");
            let has_none = version == EventId::NONE;
            return match (is_any, has_none) {
                (true, true) => Ok(Some(version)),
                _ if if_none_match(self.headers, &tag) => Err(changed_meanwhile()),
                _ => Ok(None),
            };
        }
        match if_match(self.headers, &tag) {
            Match::Any => Ok(None),
            Match::Tag => Ok(Some(version)),
            Match::None => Err(changed_meanwhile()),
        }
    }

    /// Whether the settings that were just stored have replaced those that the request named. The
    /// log decides: of two instructors who change the same version at once, on any replicas, the
    /// fold takes the one whose event comes first.
    async fn check_replaced(
        &self,
        class: &ClassId,
        stored: Option<&Cursor>,
        text: &str,
    ) -> Result<(), Problem> {
        self.caught_up().await;
        let read = self.relay.classes.read(class, |state, cursor, _| {
            let (settings, event) = state.settings();
            match stored {
                Some(stored) if cursor.id < stored.id => None,
                Some(stored) => Some(event.0 == stored.id),
                // The connection was lost at the commit, and the event's id with it.
                None => Some(&*settings.text == text),
            }
        });
        match read.await? {
            Some(true) => Ok(()),
            Some(false) => Err(changed_meanwhile()),
            None => Err(unread("the settings are stored, and this replica has not read them yet")),
        }
    }
}

fn changed_meanwhile() -> Problem {
    Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "settings-changed",
        "the settings were changed by somebody else meanwhile",
        "read them again, and make the change on top of what they are now",
    )
}

/// What is wrong with settings, and where.
struct Fault {
    member: String,
    reason: &'static str,
}

fn fault<T>(member: impl Into<String>, reason: &'static str) -> Result<T, Fault> {
    Err(Fault { member: member.into(), reason })
}

fn invalid(fault: &Fault) -> Problem {
    let Fault { member, reason } = fault;
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "invalid-settings",
        "the settings were not changed",
        format!("{member} {reason}"),
    )
}

/// Settings in the form in which they are stored.
fn checked(settings: &Value) -> Result<Value, Fault> {
    let Value::Object(members) = settings else { return fault("body", "must be an object") };
    let mut out = Map::new();
    for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        let value = match name.as_str() {
            "cellsBy" => one_of(name, value, &["id", "position"], "must be id or position")?,
            "notebooksBy" => one_of(name, value, &["path", "name"], "must be path or name")?,
            "capture" => one_of(
                name,
                value,
                &["all", "no-output", "no-code", "metadata"],
                "must be all, no-output, no-code or metadata",
            )?,
            "stuckAfter" => {
                whole(name, value, 1, 100, "must be a whole number of failures from 1 to 100")?
            }
            "idleAfter" => {
                whole(name, value, 10, 86_400, "must be whole seconds from 10 to 86400")?
            }
            "roster" => roster(value)?,
            "outline" => outline(value)?,
            _ => return fault(name, "is no setting"),
        };
        out.insert(name.clone(), value);
    }
    Ok(Value::Object(out))
}

fn one_of(name: &str, value: &Value, words: &[&str], reason: &'static str) -> Result<Value, Fault> {
    match value.as_str() {
        Some(word) if words.contains(&word) => Ok(value.clone()),
        _ => fault(name, reason),
    }
}

fn whole(
    name: &str,
    value: &Value,
    least: i64,
    most: i64,
    reason: &'static str,
) -> Result<Value, Fault> {
    match value.as_i64() {
        Some(number) if (least..=most).contains(&number) => Ok(value.clone()),
        _ => fault(name, reason),
    }
}

fn roster(value: &Value) -> Result<Value, Fault> {
    let Value::Array(entries) = value else { return fault("roster", "must be an array") };
    if entries.len() > MAX_ROSTER {
        return fault("roster", "may have 10000 students");
    }
    let checked = entries.iter().enumerate().map(|(at, entry)| {
        let here = |name: &str| format!("roster[{at}].{name}");
        let Value::Object(members) = entry else {
            return fault(format!("roster[{at}]"), "must be an object");
        };
        let Some(id) = members.get("id").and_then(Value::as_str) else {
            return fault(here("id"), "must be the student's id, a text");
        };
        // As clients' ids are stored: trimmed, and an address in lower case.
        let Ok(id) = StudentId::of_client(id) else {
            return fault(
                here("id"),
                "must have 1 to 200 bytes and no control characters, and not be @class",
            );
        };
        let mut out = Map::from_iter([("id".to_owned(), id.as_str().into())]);
        for name in ["name", "team"] {
            if let Some(text) = text(members.get(name), || here(name))? {
                out.insert(name.to_owned(), text.into());
            }
        }
        Ok(Value::Object(out))
    });
    checked.collect::<Result<Vec<_>, _>>().map(Value::Array)
}

fn outline(value: &Value) -> Result<Value, Fault> {
    let Value::Array(notebooks) = value else { return fault("outline", "must be an array") };
    if notebooks.len() > MAX_NOTEBOOKS {
        return fault("outline", "may have 50 notebooks");
    }
    let checked = notebooks.iter().enumerate().map(|(at, notebook)| {
        let here = |name: &str| format!("outline[{at}].{name}");
        let Some(path) = text(notebook.get("notebook"), || here("notebook"))? else {
            return fault(here("notebook"), "must be the notebook's path");
        };
        let Some(Value::Array(cells)) = notebook.get("cells") else {
            return fault(here("cells"), "must be an array");
        };
        if cells.len() > MAX_OUTLINE_CELLS {
            return fault(here("cells"), "may have 2000 cells");
        }
        let cells = cells.iter().enumerate();
        let cells = cells.map(|(cell_at, cell)| outline_cell(cell, &here("cells"), cell_at));
        let cells = cells.collect::<Result<Vec<_>, _>>()?;
        Ok(serde_json::json!({"notebook": path, "cells": cells}))
    });
    checked.collect::<Result<Vec<_>, _>>().map(Value::Array)
}

fn outline_cell(cell: &Value, cells: &str, at: usize) -> Result<Value, Fault> {
    let here = |name: &str| format!("{cells}[{at}].{name}");
    let mut out = Map::new();
    if let Some(id) = text(cell.get("id"), || here("id"))? {
        out.insert("id".to_owned(), id.into());
    }
    match cell.get("index") {
        None | Some(Value::Null) => {}
        Some(index) => {
            let index = whole(&here("index"), index, 0, 1 << 20, "must be a place from 0 on")?;
            out.insert("index".to_owned(), index);
        }
    }
    if out.is_empty() {
        return fault(here("id"), "or index must say which cell it is");
    }
    if let Some(title) = text(cell.get("title"), || here("title"))? {
        out.insert("title".to_owned(), title.into());
    }
    match cell.get("exercise") {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(Value::Bool(true)) => drop(out.insert("exercise".to_owned(), true.into())),
        Some(_) => return fault(here("exercise"), "must be true or false"),
    }
    let headings = match cell.get("headings") {
        None | Some(Value::Null) => None,
        Some(Value::Array(headings)) => Some(headings),
        Some(_) => return fault(here("headings"), "must be an array"),
    };
    if let Some(headings) = headings {
        let headings = headings.iter().take(MAX_HEADINGS);
        let headings: Vec<&str> = headings
            .map(|heading| text(Some(heading), || here("headings")))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect();
        out.insert("headings".to_owned(), headings.into());
    }
    Ok(Value::Object(out))
}

/// A text that may be absent; an empty one is.
fn text(value: Option<&Value>, member: impl FnOnce() -> String) -> Result<Option<&str>, Fault> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= MAX_TEXT && !text.contains('\0') => {
            Ok(Some(text.trim()).filter(|text| !text.is_empty()))
        }
        Some(_) => fault(member(), "must be a text of at most 1024 bytes"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::state::Settings;

    fn wrong(settings: &Value) -> String {
        checked(settings).map_or_else(|fault| fault.member, |_| panic!("{settings} is taken"))
    }

    fn of_cell(cell: Value) -> Value {
        json!({"outline": [{"notebook": "a", "cells": [cell]}]})
    }

    #[test]
    fn settings_are_stored_in_one_form() {
        let settings = json!({
            "cellsBy": "position", "notebooksBy": null, "idleAfter": 300,
            "roster": [{"id": " Ann@Example.com ", "name": "Ann", "team": "", "mail": "x"}],
            "outline": [{"notebook": "a.ipynb", "cells": [
                {"index": 3, "headings": ["One", ""], "exercise": true, "title": "x = 1"}]}],
        });
        let stored = checked(&settings).unwrap_or_else(|fault| panic!("{}", fault.member));
        assert_eq!(stored["roster"], json!([{"id": "ann@example.com", "name": "Ann"}]));
        assert_eq!(stored["outline"][0]["cells"][0]["headings"], json!(["One"]));
        assert_eq!(stored.get("notebooksBy"), None);
        let read = Settings::parse(&stored.to_string());
        assert!(read.enrolled("ann@example.com").is_some());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (settings, member) in [
            (json!([]), "body"),
            (json!({"cellBy": "id"}), "cellBy"),
            (json!({"cellsBy": "place"}), "cellsBy"),
            (json!({"stuckAfter": 0}), "stuckAfter"),
            (json!({"idleAfter": "60"}), "idleAfter"),
            (json!({"roster": [{"id": "a"}, {"name": "b"}]}), "roster[1].id"),
            (json!({"roster": [{"id": "a", "name": 7}]}), "roster[0].name"),
            (json!({"outline": [{"cells": []}]}), "outline[0].notebook"),
            (json!({"outline": [{"notebook": "a", "cells": [{}]}]}), "outline[0].cells[0].id"),
            (of_cell(json!({"id": "a", "exercise": 1})), "outline[0].cells[0].exercise"),
            (of_cell(json!({"id": "a", "headings": "One"})), "outline[0].cells[0].headings"),
            (of_cell(json!({"id": "a", "index": 1.5})), "outline[0].cells[0].index"),
            (of_cell(json!("a")), "outline[0].cells[0].id"),
        ] {
            assert_eq!(wrong(&settings), member, "{settings}");
        }
    }
}
