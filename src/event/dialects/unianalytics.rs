//! Jupyter Analytics (EPFL): the extension jupyterlab-unianalytics-telemetry.
//!
//! The browser posts one body for each event to a path of its own below the endpoint. Every body
//! has `notebook_id`, which the teacher's tagged notebook carries, and `user_id`, JupyterHub's name
//! of the user or a random one that the user's server keeps. The members tell the kinds of body
//! apart, so the path is not needed.

use super::outputs;
use super::translated::{Translated, copy, event_id};
use super::value::Value;
use crate::event::moment;
use crate::event::object::ObjectWriter;

/// Why an event of this client has no student.
pub(super) const NO_STUDENT: &str = "is required: user_id names the student";

/// The event of a body; `None` if the body is of another client.
pub(super) fn translate(body: Value<'_>) -> Option<Translated> {
    if !body.get("notebook_id").exists() {
        return None;
    }
    let is_on = body.get("click_type").string().as_deref() == Some("ON");
    let is_add = body.get("alteration_type").string().as_deref() == Some("ADD");
    let has = |name| body.get(name).exists();
    let kind = if has("cell_input") {
        "cell_executed"
    } else if has("cell_content") {
        "cell_skipped"
    } else if has("click_type") {
        match (has("cell_id"), is_on) {
            (true, true) => "cell_selected",
            (true, false) => "cell_left",
            (false, true) => "notebook_opened",
            (false, false) => "notebook_closed",
        }
    } else if has("alteration_type") {
        if is_add { "cell_added" } else { "cell_removed" }
    } else if has("update_id") {
        // What a student does with a cell that the teacher pushed.
        return Some(Translated::Ignored);
    } else {
        return None;
    };
    let time = body.get("t_finish").or(body.get("time"));
    let text = ObjectWriter::object(|event| {
        let names =
            ["user_id", "notebook_id", "cell_id", "click_type", "alteration_type", "t_start"];
        let mut id = vec![time];
        id.extend(names.map(|name| body.get(name)));
        event.text("eventId", &event_id(&format!("unianalytics {kind}"), &id));
        event.text("eventType", kind);
        copy(event, "eventTime", time);
        copy(event, "studentId", body.get("user_id"));
        copy(event, "notebookPath", body.get("notebook_id"));
        // A cell that a student adds has the original id of the cell above it, so that id alone
        // would make one cell of two. Copies of the teacher's notebook keep the cells' own ids.
        let original = body.get("orig_cell_id");
        copy(event, "cellId", body.get("cell_id"));
        copy(event, "originalCellId", original.filter(|id| Some(id) != body.get("cell_id").json()));
        match kind {
            "cell_executed" => run(event, body),
            "cell_skipped" => {
                event.text("cellType", "markdown");
                copy(event, "code", body.get("cell_content"));
            }
            _ => {}
        }
    });
    Some(Translated::Event(text))
}

/// A run. The client reports no cell that did not run.
fn run(event: &mut ObjectWriter<'_>, body: Value<'_>) {
    let outputs = body.get("cell_output_model");
    copy(event, "code", body.get("cell_input"));
    event.json("hasError", body.get("status").string().as_deref() == Some("error"));
    event.opt_text("errorMessage", outputs::error_of(outputs).as_deref());
    event.opt_text("result", outputs::text_of(outputs).as_deref());
    event.opt_json("executionCount", outputs::execution_count(outputs));
    let moment = |name| {
        let text = body.get(name).string()?;
        moment::parse(&text).ok().map(|(moment, _)| moment)
    };
    if let (Some(start), Some(finish)) = (moment("t_start"), moment("t_finish")) {
        event.json("executionDurationMs", (finish.0 - start.0).max(0) / 1000);
    }
}
