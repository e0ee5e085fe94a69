//! The outputs of a cell, as notebooks have them, as the text that an event has.

use super::value::Value;

/// The most characters of outputs that are put together. The event's rule cuts the rest in any
/// case, and a cell may print megabytes in small pieces.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// What a cell printed and returned.
pub(super) fn text_of(outputs: Value<'_>) -> Option<String> {
    let mut text = String::new();
    for output in outputs.items() {
        if text.len() > MAX_TEXT_BYTES {
            break;
        }
        let part = match output.get("output_type").string().as_deref() {
            Some("stream") => output.get("text").text(),
            Some("execute_result" | "display_data") => output.get("data").get("text/plain").text(),
            Some("error") => traceback(output.get("traceback")).map(Into::into),
            _ => None,
        };
        let Some(part) = part else { continue };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&part);
    }
    (!text.is_empty()).then_some(text)
}

/// The message of the error among a cell's outputs, if there is one.
pub(super) fn error_of(outputs: Value<'_>) -> Option<String> {
    let is_error =
        |output: &Value<'_>| output.get("output_type").string().as_deref() == Some("error");
    let error = outputs.items().find(is_error)?;
    message(error.get("ename"), error.get("evalue"))
}

/// The execution count of the value that a cell returned.
pub(super) fn execution_count(outputs: Value<'_>) -> Option<&str> {
    outputs.items().find_map(|output| output.get("execution_count").json())
}

/// The lines of a traceback.
pub(super) fn traceback(lines: Value<'_>) -> Option<String> {
    let lines: Vec<_> = lines.items().filter_map(Value::string).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// `NameError: name 'x' is not defined`.
pub(super) fn message(name: Value<'_>, value: Value<'_>) -> Option<String> {
    let name = name.string()?;
    match value.string().filter(|value| !value.is_empty()) {
        Some(value) => Some(format!("{name}: {value}")),
        None => Some(name.into_owned()),
    }
}
