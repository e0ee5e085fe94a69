//! Requests that real clients sent.

use bytes::Bytes;
use progress_relay::client::http::{Connection, Response};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Clone, Deserialize)]
pub struct Captured {
    pub method: String,
    pub path: String,
    pub headers: Map<String, Value>,
    pub body: String,
}

pub fn captured(text: &str) -> Vec<Captured> {
    text.lines().map(|line| serde_json::from_str(line).expect("a captured request")).collect()
}

pub async fn replay(connection: &mut Connection, request: &Captured) -> Response {
    let headers: Vec<(&str, &str)> = request
        .headers
        .iter()
        .map(|(name, value)| (&**name, value.as_str().expect("text")))
        .collect();
    let body = Bytes::from(request.body.clone());
    connection.request(&request.method, &request.path, &headers, body).await.expect("an answer")
}
