//! jupyterlab-pioneer: `{"data":{"eventDetail":{…},"notebookState":{…}},"params":{…},"env":[…]}`.
//!
//! Its server extension posts one body for each event, without an id and without a retry of its
//! own. `params` are the exporter's in its configuration file, `env` the variables that the file
//! names.
//!
//! `NotebookOpenEvent` carries the whole environment of the process, tokens included, and the
//! clipboard's events the text that was copied: neither is read here.

use super::outputs;
use super::translated::{Translated, copy, copy_milliseconds, event_id};
use super::value::Value;
use crate::event::object::ObjectWriter;

/// Why an event of this client has no student.
pub(super) const NO_STUDENT: &str = "is required: neither the variable JUPYTERHUB_USER (\"env\" of \
     the exporter) nor \"user\" (\"params\" of the exporter) names the student";

/// The event's types by the client's names, and whether it is stored unless it is asked for. Those
/// that are not come with every stroke of a key or turn of a wheel.
const TYPES: &[(&str, &str, bool)] = &[
    ("NotebookOpenEvent", "notebook_opened", true),
    ("NotebookSaveEvent", "notebook_saved", true),
    ("NotebookHiddenEvent", "notebook_hidden", true),
    ("NotebookVisibleEvent", "notebook_visible", true),
    ("ActiveCellChangeEvent", "cell_selected", true),
    ("CellAddEvent", "cell_added", false),
    ("CellRemoveEvent", "cell_removed", false),
    ("CellEditEvent", "cell_edited", false),
    ("ClipboardCopyEvent", "clipboard_copied", false),
    ("ClipboardCutEvent", "clipboard_cut", false),
    ("ClipboardPasteEvent", "clipboard_pasted", false),
    ("NotebookScrollEvent", "notebook_scrolled", false),
];
const EXECUTED: &str = "CellExecuteEvent";
/// Members of `params` that an event has as they are, in the order in which they name the student.
const PARAMS: &[&str] = &["studentId", "emailAddress", "userId", "userName", "teamName"];

/// The event of a body; `None` if the body is of another client.
pub(super) fn translate(body: Value<'_>) -> Option<Translated> {
    let (data, params) = (body.get("data"), body.get("params"));
    let (detail, state) = (data.get("eventDetail"), data.get("notebookState"));
    let name = detail.get("eventName").string().filter(|_| detail.is_object())?;
    let info = detail.get("eventInfo");
    let cell = info.get("cells").items().next().unwrap_or(Value::NONE);
    let is_run = name == EXECUTED;
    let known = TYPES.iter().find(|(event, ..)| *event == name);
    let asked_for = params.get("store").string().as_deref() == Some("all");
    if !is_run && !asked_for && !known.is_some_and(|(.., is_stored)| *is_stored) {
        return Some(Translated::Ignored);
    }
    let text = ObjectWriter::object(|event| {
        let time = detail.get("eventTime");
        let (session, path) = (state.get("sessionID"), state.get("notebookPath"));
        let id = [detail.get("eventName"), time, session, path, cell.get("id"), cell.get("index")];
        event.text("eventId", &event_id("jupyterlab-pioneer", &id));
        copy_milliseconds(event, "eventTime", time);
        student(event, body.get("env"), params);
        copy(event, "classId", params.get("class").or(params.get("classId")));
        copy(event, "sessionId", session);
        copy(event, "notebookPath", path);
        if is_run {
            run(event, info, cell, state.get("notebookContent"));
        } else {
            // A later release may have events that are not known here.
            event.text("eventType", known.map_or("notebook_event", |(_, name, _)| name));
            if known.is_none() {
                event.text("eventName", &name);
            }
            place(event, cell.get("id"), cell.get("index").or(info.get("index")));
            copy(event, "cellType", cell.get("type").or(info.get("type")));
        }
    });
    Some(Translated::Event(text))
}

/// The student, by JupyterHub's name of the server that posts, else as the exporter's parameters
/// have it.
fn student(event: &mut ObjectWriter<'_>, env: Value<'_>, params: Value<'_>) {
    let hub =
        env.items().map(|variable| variable.get("JUPYTERHUB_USER")).find(|user| user.exists());
    match hub {
        Some(user) => copy(event, "studentId", user),
        None => copy(event, "studentId", params.get("studentId").or(params.get("user"))),
    }
    for name in PARAMS.iter().filter(|name| **name != "studentId") {
        copy(event, name, params.get(name));
    }
}

fn place(event: &mut ObjectWriter<'_>, id: Value<'_>, index: Value<'_>) {
    copy(event, "cellId", id);
    // The client writes -1 where it finds no cell.
    copy(event, "cellIndex", index.filter(|json| !json.starts_with('-')));
}

/// A cell that was executed. The client reports cells that did not run as well.
fn run(event: &mut ObjectWriter<'_>, info: Value<'_>, cell: Value<'_>, notebook: Value<'_>) {
    place(event, cell.get("id"), cell.get("index"));
    let (kind, error) = (cell.get("type"), info.get("kernelError"));
    let is_code = kind.string().as_deref() == Some("code");
    let failed = !info.get("success").is_true();
    // Only with `logWholeNotebook` is the notebook there. Nothing but this cell of it is read.
    let whole = whole_cell(notebook, cell);
    let count = whole.get("execution_count");
    let message = outputs::message(error.get("errorName"), error.get("errorValue"));
    // A cell behind one that failed is aborted: it fails without an error. An empty cell succeeds
    // without a count.
    let ran =
        is_code && (if failed { message.is_some() } else { !whole.exists() || count.exists() });
    event.text("eventType", if ran { "cell_executed" } else { "cell_skipped" });
    event.opt_text("code", whole.get("source").text().as_deref());
    if !ran {
        copy(event, "cellType", kind);
        return;
    }
    // Where the count is not known the type is left out as well: a code cell without a count is
    // one that did not run.
    if count.exists() {
        copy(event, "cellType", kind);
        copy(event, "executionCount", count);
    }
    event.json("hasError", failed);
    event.opt_text("errorMessage", message.as_deref());
    let traceback = outputs::traceback(error.get("traceback"));
    let result = traceback.or_else(|| outputs::text_of(whole.get("outputs")));
    event.opt_text("result", result.as_deref());
}

/// The cell of the notebook by its id; by its position in a notebook whose cells have no ids.
fn whole_cell<'a>(notebook: Value<'a>, cell: Value<'a>) -> Value<'a> {
    let (id, cells) = (cell.get("id"), notebook.get("cells"));
    let by_id = cells.items().find(|other| id.exists() && other.get("id").json() == id.json());
    let index = cell.get("index").json().and_then(|index| index.parse::<usize>().ok());
    let by_index = || {
        let found = cells.items().nth(index?)?;
        (!found.get("id").exists()).then_some(found)
    };
    by_id.or_else(by_index).unwrap_or(Value::NONE)
}
