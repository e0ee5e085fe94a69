//! Answers, compared with `/openapi.json`.

use progress_relay::client::http::Response;
use serde_json::Value;

use super::Relay;

/// Compares the answer to a request with the description that the relay itself gives.
pub async fn assert_described(relay: &Relay, (method, target): (&str, &str), answer: &Response) {
    let described = relay.connection().await.get("/openapi.json").await.expect("a description");
    let described: Value = described.json().expect("a description");
    let path = target.split('?').next().unwrap_or_default();
    let item = match path.strip_prefix("/api/class/students/") {
        Some(rest) => {
            let (_, act) = rest.split_once('/').expect("an act");
            format!("/api/class/students/{{student}}/{act}")
        }
        None => path.to_owned(),
    };
    let operation = &described["paths"][&item][method.to_lowercase()];
    let description = &operation["responses"][answer.status.as_str()];
    assert!(description.is_object(), "{method} {target}: {} is not described", answer.status);
    let gzip = answer.header("content-encoding") == Some("gzip");
    if let Some(media) = answer.header("content-type").filter(|_| !gzip && answer.status != 304) {
        let media = media.split(';').next().unwrap_or_default();
        let schema = &description["content"][media]["schema"];
        assert!(schema.is_object(), "{method} {target}: {media} is not described");
        if media.ends_with("json") && !media.contains("ndjson") {
            let body: Value = answer.json().expect("JSON");
            conforms(&described, schema, &body, target);
        }
    }
}

/// The part of JSON Schema that the description uses. A member that is not described is an error.
fn conforms(described: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let schema =
            described.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name}"));
        return conforms(described, schema, value, at);
    }
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(value), "{at}: {value}");
    }
    match schema["type"].as_str() {
        Some("object") => {
            let members = value.as_object().unwrap_or_else(|| panic!("{at}: {value} is no object"));
            let Some(properties) = schema["properties"].as_object() else { return };
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(
                    members.contains_key(required.as_str().unwrap_or_default()),
                    "{at}: no {required}"
                );
            }
            for (name, member) in members {
                match properties.get(name) {
                    Some(schema) => conforms(described, schema, member, &format!("{at}.{name}")),
                    None => assert_eq!(
                        schema["additionalProperties"], true,
                        "{at}.{name} is not described"
                    ),
                }
            }
        }
        Some("array") => {
            let elements = value.as_array().unwrap_or_else(|| panic!("{at}: {value} is no array"));
            if let Some(most) = schema["maxItems"].as_u64() {
                assert!(elements.len() as u64 <= most, "{at}");
            }
            for (index, element) in elements.iter().enumerate() {
                let schema = schema["prefixItems"].get(index).unwrap_or(&schema["items"]);
                conforms(described, schema, element, &format!("{at}[{index}]"));
            }
        }
        Some("string") => assert!(value.is_string(), "{at}: {value}"),
        Some("boolean") => assert!(value.is_boolean(), "{at}: {value}"),
        Some("integer") => {
            let number = value.as_i64().unwrap_or_else(|| panic!("{at}: {value}"));
            assert!(
                schema["minimum"].as_i64().is_none_or(|least| number >= least),
                "{at}: {value}"
            );
        }
        _ => {}
    }
}
